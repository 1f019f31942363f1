"""The site as readers get it: built in strict mode, complete, and without anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from documents import ROOT

import ukd_core
import ukd_core.testing
from ukd_core import hookspecs

pytest.importorskip("mkdocs", reason="the site's tools are not installed: make docs installs them")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
                          cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    return folder


def test_every_document_has_a_page(site: Path):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert pages <= {path.relative_to(site).as_posix() for path in site.rglob("*.html")}


def test_every_public_name_has_an_entry(site: Path):
    text = zlib.decompress((site / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]).decode()
    entries = {line.split(" py:")[0] for line in text.splitlines()}
    hooks = [name for name in vars(hookspecs) if name.startswith("ukd_register_")]
    wanted = {*ukd_core.__all__, *ukd_core.testing.__all__, *hooks, "load_registry", "Registry", "InputError"}
    assert wanted - {entry.rpartition(".")[2] for entry in entries} == set()
    checks = {check.__name__ for name in ukd_core.testing.__all__ if name.endswith("_CHECKS")
              for check in getattr(ukd_core.testing, name)}
    assert checks - {entry.rpartition(".")[2] for entry in entries} == set()


def test_nothing_is_loaded_from_elsewhere(site: Path):
    loads = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
                       r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*href=[\"']?(?:https?:)?//")
    assert loads.search('<script src="https://x.org/a.js">') and loads.search("<link rel=preconnect href=//x.org>")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    assert [path.name for path in pages if loads.search(path.read_text(encoding="utf-8"))] == []
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)[\"' ]*(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_no_page_asks_for_a_script_that_the_theme_fetches(site: Path):
    # The theme fetches these two from elsewhere, but only for pages that hold such a block.
    for path in site.rglob("*.html"):
        assert not re.search(r"class=\"?[^\">]*\b(mermaid|arithmatex)\b", path.read_text(encoding="utf-8")), path.name
