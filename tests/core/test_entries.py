"""What the cache holds is listed, checked and deleted, but not under the hands of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from ukd_core.errors import InputError
from ukd_core.run.cache.entries import kept, remove, verify

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """One entry of each kind, and what is none."""
    for name in ("answers/0abc1", "answers/0abc2.work", "teachers/1def", "tokens/2fed", "embedded/minilm", "datasets",
                 "answers/.0abc1.half", "elsewhere/3abc"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 1000)
    (tmp_path / "answers" / "0abc1.lock").touch()
    return tmp_path


def test_every_entry_is_listed_with_what_it_is(ukd: Command, cache: Path):
    assert {(entry.kind, entry.path.name): (entry.about, entry.size) for entry in kept(cache)} == {
        ("answers", "0abc1"): ("damaged, or of another version", 1000),
        ("answers", "0abc2.work"): ("begun; the next run goes on with it", 1000),
        ("teachers", "1def"): ("fine-tuned weights", 1000),
        ("tokens", "2fed"): ("texts as one tokenizer reads them", 1000),
        ("embedded", "minilm"): ("download", 1000),
        ("datasets", "datasets"): ("tables read from data files", 1000)}
    status, out, _ = ukd("cache", "list", "--cache", cache)
    assert status == 0
    assert f"{cache}: 6 entries, 0.0 MB" in " ".join(out.split())


def test_damage_is_told_by_the_exit_status(ukd: Command, cache: Path):
    assert [problem for _, problem in verify(cache)] == ["its manifest is missing or not readable"]
    assert ukd("cache", "verify", "--cache", cache)[:2] == (1, "0abc1: its manifest is missing or not readable\n")
    assert ukd("cache", "verify", "--cache", cache / "tokens")[:2] == (0, "")


@pytest.mark.parametrize(("name", "fits"), [("0ab", "none"), ("9999", "none"), ("0abc", "2")])
def test_a_name_must_fit_one_entry(cache: Path, name: str, fits: str):
    with pytest.raises(InputError) as caught:
        remove(cache, name)
    assert str(caught.value) == (f"cache '{cache}': expected the first characters (at least 4) of one entry, got "
                                 f"'{name}', which fits {fits}. List them with ukd cache list.")
    assert len(list(kept(cache))) == 6


@pytest.mark.parametrize("name", ["0abc1", "0abc2", "1def", "mini", "datasets"])
def test_one_entry_is_removed(ukd: Command, cache: Path, name: str):
    (path,) = (entry.path for entry in kept(cache) if entry.path.name.startswith(name))
    assert ukd("cache", "remove", name, "--cache", cache)[:2] == (0, f"removed {path}\n")
    assert not path.exists()
    assert len(list(kept(cache))) == 5


@pytest.mark.parametrize("name", ["0abc1", "0abc2.work"])
def test_an_entry_that_a_run_builds_stays(cache: Path, name: str):
    path = cache / "answers" / name
    with FileLock(cache / "answers" / f"{name.removesuffix('.work')}.lock"), pytest.raises(InputError) as caught:
        remove(cache, name)
    assert str(caught.value) == (f"cache entry '{path}': expected an entry that nobody uses, got one that a run is "
                                 "building. Wait for the run, or stop it.")
    assert (path / "file").is_file()
    assert remove(cache, name).path == path


def test_a_cache_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        list(kept(tmp_path / "nowhere"))
    assert str(caught.value) == f"cache '{tmp_path / 'nowhere'}': no such folder."


def test_a_link_to_nothing_does_not_hide_the_rest(ukd: Command, cache: Path):
    (cache / "answers" / "0gone").symlink_to(cache / "nowhere")
    status, out, err = ukd("cache", "list", "--cache", cache)
    assert (status, err) == (0, "")
    assert "0abc1" in out
