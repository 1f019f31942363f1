"""Disks that are full or read-only, and files that disappear while a run goes on.

A small disk is a tmpfs, which only root may mount; ``python benchmarks/faults.py disks`` fills more of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forks import Forks
from moments import SHARDS

Mount = Callable[[str], Path]


def mounted(folder: Path, options: str) -> str:
    """Mount a tmpfs, or say why not."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True,
                          check=False)
    return done.stderr.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    """A disk with these options, ``size=100k`` say; called again, the same disk with others."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        reason = mounted(place, "size=1m")
    except FileNotFoundError:
        reason = "no program mount"
    if reason:
        pytest.skip(f"needs a tmpfs: {reason}")

    def change(options: str) -> Path:
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
        return place

    yield change
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(("size", "named"), [("16k", "/checkpoints/1-distil: "), ("48k", "/checkpoints/1-distil: ")])
def test_a_run_goes_on_when_its_full_disk_has_room_again(disk: Mount, forks: Forks, small: tuple[str, ...],
                                                         whole: Path, size: str, named: str):
    """Where weights do not fit, and where the state of the optimizer does not."""
    output = disk(f"size={size}") / "run"
    command = [*small, "--cache", whole / "cache", "--output", output]
    full = forks.start(*command)
    assert full.wait() == 2, full.errors
    line = full.errors.splitlines()[-1]
    assert line.startswith(f"ukd: {output}") and named in line, line
    assert "No space left on device. When that is mended, go on with: ukd distill --teacher " in line
    assert "Traceback" not in full.errors
    disk("size=5m")
    again = forks.start(*command, "--resume")
    assert again.wait() == 0, again.errors
    assert (output / "student" / "model.safetensors").read_bytes() == (
        whole / "run" / "student" / "model.safetensors").read_bytes()


def test_a_full_disk_of_the_cache_is_named(disk: Mount, forks: Forks, small: tuple[str, ...], tmp_path: Path):
    cache = disk("size=24k") / "cache"
    full = forks.start(*small, "--cache", cache, "--output", tmp_path / "run")
    assert full.wait() == 2, full.errors
    assert full.errors.splitlines()[-1].startswith(f"ukd: {cache}/"), full.errors
    assert full.errors.endswith(": No space left on device.\n")
    assert not (tmp_path / "run").exists()


def test_a_full_temporary_folder_is_named(disk: Mount, forks: Forks, small: tuple[str, ...], whole: Path,
                                          tmp_path: Path):
    place = disk("size=4k,nr_inodes=4")
    (place / "large").write_bytes(bytes(4096))
    full = forks.start(*small, "--cache", whole / "cache", "--output", tmp_path / "run", TMPDIR=str(place),
                       before="import tempfile; tempfile.tempdir = None")
    assert full.wait() in (0, 2)
    assert "Traceback" not in full.errors


@pytest.mark.parametrize("which", ["output", "cache"])
def test_a_read_only_disk_is_refused_at_once(disk: Mount, forks: Forks, small: tuple[str, ...], tmp_path: Path,
                                             which: str):
    place = disk("ro")
    output, cache = (place / "run", tmp_path / "cache") if which == "output" else (tmp_path / "run", place)
    run = forks.start(*small, "--cache", cache, "--output", output)
    assert run.wait() == 2
    assert run.errors == {
        "output": f"ukd: output '{output}': no permission to write in '{place}'.\n",
        "cache": f"ukd: cache '{place}': no permission to write in it. Name another with --cache.\n"}[which]


GONE = """
import shutil
import ukd_core.run.distill as module
before = module.{function}

def removed(*arguments, **options):
    for path in {paths}:
        shutil.rmtree(path) if __import__("os").path.isdir(path) else __import__("os").unlink(path)
    return before(*arguments, **options)

module.{function} = removed
"""


@pytest.mark.parametrize("function", ["ask_teachers", "train_phases"])
def test_data_and_teacher_that_disappear_were_read_before(forks: Forks, small: tuple[str, ...], whole: Path,
                                                          tmp_path: Path, few: Path, function: str):
    """After the preflight, and in training: the run ends as if they were there."""
    data, teacher = tmp_path / "train.jsonl", tmp_path / "teacher"
    data.write_bytes(few.read_bytes())
    subprocess.run(["cp", "-r", str(whole / "run" / "student"), str(teacher)], check=True)
    changed = dict(zip(small[1::2], small[2::2], strict=False)) | {"--data": str(data), "--teacher": str(teacher)}
    changed.pop("--teacher-tuning")
    options = [part for pair in changed.items() for part in pair if part != "--no-speed"]
    run = forks.start("distill", *options, "--no-speed", "--cache", tmp_path / "cache", "--output", tmp_path / "run",
                      before=GONE.format(function=function, paths=[str(data), str(teacher)]))
    assert run.wait() == 0, run.errors
    assert not data.exists() and not teacher.exists()
    assert (tmp_path / "run" / "verdict.json").is_file()


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_tokens_that_are_cut_or_missing_are_refused(forks: Forks, small: tuple[str, ...], whole: Path, tmp_path: Path,
                                                    damage: str):
    """Tokens that were kept are read without another look at their texts."""
    subprocess.run(["cp", "-r", str(whole / "cache"), str(tmp_path / "cache")], check=True)
    entries = sorted((tmp_path / "cache" / "tokens").iterdir())
    for entry in entries:
        tokens = entry / "input_ids.tokens"
        tokens.unlink() if damage == "missing" else tokens.write_bytes(tokens.read_bytes()[:-4])
    run = forks.start(*small, "--cache", tmp_path / "cache", "--output", tmp_path / "run", before=SHARDS)
    assert run.wait() == 2, run.errors
    line = run.errors.splitlines()[-1]
    assert any(line == f"ukd: cache entry '{entry}': expected the tokens of every row, got files that are cut or "
               f"missing. Remove it: ukd cache remove {entry.name}" for entry in entries), line
    assert not (tmp_path / "run").exists()
