"""The page of a run in a real browser, where one is installed: nothing errs, nothing is wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
PHONE = """<!doctype html><iframe id="phone" src="report.html" style="width: 390px; height: 3000px"></iframe>
<script>
onload = () => {
  const page = document.getElementById("phone").contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter(each => !each.closest(".box, pre, svg")
    && each.getBoundingClientRect().right > 391).map(each => each.tagName + "." + each.className);
  document.title = JSON.stringify({ width: root.clientWidth, scroll: root.scrollWidth, wide: wide,
    drawings: [...page.querySelectorAll("svg")].filter(each => each.getBoundingClientRect().height < 100).length,
    dark: matchMedia("(prefers-color-scheme: dark)").matches, paper: getComputedStyle(page.body).backgroundColor,
    ink: getComputedStyle(page.querySelector("svg text")).fill });
};
</script>"""


@pytest.fixture
def report(reported: Path) -> Path:
    return reported / "report.html"


def dumped(page: Path, folder: Path, *more: str) -> tuple[str, str]:
    """The page after everything ran, and what the browser logged of it."""
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", f"--user-data-dir={folder}", "--enable-logging=stderr", "--v=0",
         "--window-size=1280,1000", *more, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_the_page_is_shown_whole_and_nothing_errs(report: Path, tmp_path: Path):
    text, console = dumped(report, tmp_path / "profile")
    assert console == ""
    shown, written = Page(text), Page(report.read_text(encoding="utf-8"))
    assert "broken" not in "".join(shown.texts("title"))
    assert len(shown.all("svg")) == len(written.all("svg")) >= 6
    assert len(shown.all("section")) == len(written.all("section")) and not shown.all("script")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_on_a_phone_nothing_is_cut_off(report: Path, tmp_path: Path, scheme: str):
    wrapper = report.parent / f"phone-{scheme}.html"
    wrapper.write_text(PHONE, encoding="utf-8")
    number = {"dark": 0, "light": 1}[scheme]
    text, console = dumped(wrapper, tmp_path / "profile", f"--blink-settings=preferredColorScheme={number}")
    assert console == ""
    found = re.search(r"<title>(.*?)</title>", text)
    assert found is not None, "the page was not measured"
    measured = json.loads(html.unescape(found[1]))
    assert measured["scroll"] <= measured["width"] <= 390 and measured["wide"] == []
    assert measured["drawings"] == 0
    assert measured["dark"] == (scheme == "dark")
    paper, ink = (sum(map(int, re.findall(r"\d+", measured[key])[:3])) for key in ("paper", "ink"))
    assert (paper < 200 and ink > 400) if scheme == "dark" else (paper > 600 and ink < 400)
