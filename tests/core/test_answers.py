"""The teacher's answers: right, asked for once, under a fingerprint of all that decides them, resumed after a cut."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from ukd_core import BuildContext, LayerSource, LayerStates
from ukd_core.errors import InputError
from ukd_core.plugins import load_registry
from ukd_core.run import forward
from ukd_core.run.cache import building
from ukd_core.run.cache.answers import AnswerSettings, Question, TeacherAnswers, teacher_answers
from ukd_core.run.cache.arrays import DamagedEntryError
from ukd_core.run.cache.entries import kept, remove, verify
from ukd_core.run.data import TaskData, encode_data, read_data
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter

WORDS = ("oil", "grain", "profit", "ship", "tariff", "loss", "crude", "wheat", "bank", "dollar")
SETTINGS = AnswerSettings(max_length=16, head="linear", l2=1.0, head_rows=20_000, probe=False, bf16=False,
                          dtype="float32")
ROWS = 90
QUIET = Reporter(quiet=True)


def texts(seed: int, rows: int) -> list[dict[str, object]]:
    generator = torch.Generator().manual_seed(seed)
    words = [[WORDS[word] for word in torch.randint(0, 10, (1 + row % 9,), generator=generator)] for row in range(rows)]
    return [{"text": " ".join(row), "label": "food" if {"grain", "wheat"} & set(row) else "other"} for row in words]


def write(folder: Path, rows: list[dict[str, object]]) -> TaskData:
    folder.mkdir(exist_ok=True)
    for name, part in (("train", rows), ("validation", texts(1, 20))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    raw = read_data(str(folder), cache=folder / "cache")
    return encode_data(raw, load_registry().output_spaces.lookup("classes"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    return write(tmp_path_factory.mktemp("data"), texts(0, ROWS))


@pytest.fixture(scope="module")
def teacher(data: TaskData) -> LayerSource:
    kind = load_registry().layer_sources.lookup("bert")
    return kind.build(kind.Options(layers=3, hidden=16), BuildContext(data.space, data.texts(), None, 16, 0)).eval()


@pytest.fixture
def ask(registry, data: TaskData, teacher: LayerSource, tmp_path: Path) -> Callable[..., TeacherAnswers]:
    def asked(reporter: Reporter = QUIET, **changes: object) -> TeacherAnswers:
        head = registry.pseudo_heads.lookup("linear")
        question = Question(teacher, data, SETTINGS, lambda width: head(width, data.space.size), tmp_path,
                            {"teacher": "bert", "data": "texts"})
        return teacher_answers(dataclasses.replace(question, **changes), Processes("cpu"), reporter)
    return asked


def entries(cache: Path) -> list[Path]:
    return [entry.path for entry in kept(cache) if entry.kind == "answers"]


def test_scores_are_the_teachers(ask, data: TaskData, teacher: LayerSource):
    """Row by row against transformers' own forward pass; heads against the states that it gives."""
    answers = ask()
    assert answers.rows_forwarded == ROWS + 20
    for split, table in data.splits.items():
        scores = answers.scores(split).whole()
        assert scores.shape == (len(table), 4, 2)
        for row in (0, 7, len(table) - 1):
            inputs = teacher.tokenizer(table["text"][row], return_tensors="pt")
            with torch.no_grad():
                logits = teacher.model(**inputs).logits[0]
            assert torch.allclose(scores[row, -1], logits, atol=1e-5)


def test_shallow_heads_know_the_labels(ask, data: TaskData):
    scores = ask().scores("train").whole()
    labels = data.labels("train")
    assert ((scores[:, 0].argmax(-1) == labels).float().mean()) > 0.8


def test_states_of_tokens_are_let_go(ask, teacher: LayerSource, monkeypatch: pytest.MonkeyPatch):
    """Pooled states that are views of large tensors, as those of a first token are: 4 MB a layer and batch."""
    monkeypatch.setitem(forward.TOKEN_BUDGET, "cpu", 64)
    held: list[int] = []

    def show_views(module: object, args: object, states: LayerStates) -> LayerStates:
        held.append(psutil.Process().memory_info().rss)
        large = [torch.ones(1_000_000 // pooled.numel(), *pooled.shape) for pooled in states.pooled]
        for whole, pooled in zip(large, states.pooled, strict=True):
            whole[0] = pooled
        return dataclasses.replace(states, pooled=tuple(whole[0] for whole in large))

    hook = teacher.register_forward_hook(show_views)
    ask()
    hook.remove()
    assert len(held) > 12
    assert max(held) - held[0] < 60e6, [round(each / 1e6) for each in held]


def test_the_second_question_runs_nothing(ask, tmp_path: Path):
    first, second = ask(), ask()
    assert (first.rows_forwarded, second.rows_forwarded) == (ROWS + 20, 0)
    assert second.entry.checksum == first.entry.checksum
    assert len(entries(tmp_path)) == 1
    assert not list((tmp_path / "answers").glob("*.work"))


def changed_weight(teacher: LayerSource) -> LayerSource:
    other = copy.deepcopy(teacher)
    with torch.no_grad():
        next(other.model.parameters()).view(-1)[5] += 1e-6
    return other


def changed_config(teacher: LayerSource) -> LayerSource:
    other = copy.deepcopy(teacher)
    other.model.config.ukd_pooling = "mean"
    return other


def changed_tokenizer(teacher: LayerSource) -> LayerSource:
    other = copy.deepcopy(teacher)
    other.tokenizer.add_tokens(["tariff"])
    return other


@pytest.mark.parametrize("change", [changed_weight, changed_config, changed_tokenizer])
def test_another_teacher_is_another_entry(ask, teacher: LayerSource, tmp_path: Path, change):
    ask()
    assert ask(source=change(teacher)).rows_forwarded == ROWS + 20
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize("change", [{"max_length": 15}, {"l2": 2.0}, {"probe": True}, {"dtype": "float16"},
                                    {"head_rows": 50}, {"head": "other"}])
def test_other_settings_are_another_entry(ask, tmp_path: Path, change: dict[str, object]):
    ask()
    assert ask(settings=dataclasses.replace(SETTINGS, **change)).rows_forwarded == ROWS + 20
    assert len(entries(tmp_path)) == 2


def test_a_changed_row_or_label_is_another_entry(ask, tmp_path: Path):
    ask()
    for key in ("text", "label"):
        rows = texts(0, ROWS)
        rows[3][key] = "other" if rows[3][key] == "food" else "food"
        assert ask(data=write(tmp_path / key, rows)).rows_forwarded == ROWS + 20
    assert len(entries(tmp_path)) == 3


def test_half_precision_on_disk(ask):
    exact, half = ask(), ask(settings=dataclasses.replace(SETTINGS, dtype="float16"))
    assert torch.allclose(half.scores("train").whole(), exact.scores("train").whole(), rtol=1e-3, atol=1e-3)
    assert half.scores("train").path.stat().st_size < 0.6 * exact.scores("train").path.stat().st_size


def test_states_are_kept_when_asked_for(ask, data: TaskData, teacher: LayerSource, tmp_path: Path):
    states = dataclasses.replace(SETTINGS, states=True)
    assert ask().states("train") == ()
    answers = ask(settings=states)
    assert [layer.shape for layer in answers.states("train")] == [(ROWS, 16)] * 3
    with torch.no_grad():
        seen = teacher(teacher.pad(teacher.tokenize(data.splits["train"]["text"][5:6], max_length=16)))
    for layer, expected in zip(answers.states("train"), seen.pooled, strict=True):
        assert torch.allclose(layer.rows(torch.tensor([5])), expected, atol=1e-5)
    for path in entries(tmp_path):
        if path != answers.entry.folder:
            shutil.rmtree(path)
    assert ask().rows_forwarded == 0  # an entry with states answers the smaller question too


class Cut(Exception):
    """Stands for whatever ends a process."""


def cut_after(batches: int, patch: pytest.MonkeyPatch) -> None:
    forward, seen = building.forward_rows, iter(range(batches))

    def forward_some(*arguments: object, **options: object):
        for result in forward(*arguments, **options):  # type: ignore[arg-type]
            if next(seen, None) is None:
                raise Cut
            yield result

    patch.setattr(building, "forward_rows", forward_some)


@pytest.mark.parametrize("states", [False, True])
def test_a_cut_pass_goes_on_after_its_last_whole_shard(ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       states: bool):
    monkeypatch.setattr(building, "SHARD_ROWS", 16)
    settings = dataclasses.replace(SETTINGS, states=states, head_rows=40)
    whole = ask(settings=settings, cache=tmp_path / "whole")
    shards = [16, 16, 8, 16, 16, 16, 2, 16, 4]  # 40 rows for the heads, 50 others, 20 of validation
    for batches in (0, 1, 3, 6, 8):
        cache = tmp_path / f"cut{batches}"
        with monkeypatch.context() as patch, pytest.raises(Cut):
            cut_after(batches, patch)
            ask(settings=settings, cache=cache)
        assert not [path for path in entries(cache) if path.suffix != ".work"]
        again = ask(settings=settings, cache=cache)
        assert again.rows_forwarded == sum(shards[batches:])
        for name in whole.entry.arrays:
            path = Path(f"{name}.npy")
            assert (again.entry.folder / path).read_bytes() == (whole.entry.folder / path).read_bytes()
        assert not list((cache / "answers").glob("*.work"))


def test_a_damaged_shard_is_made_again(ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "SHARD_ROWS", 16)
    whole = ask(cache=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(4, patch)
        ask()
    path = sorted((tmp_path / "answers").glob("*.work/*states*"))[1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = ask()
    assert again.rows_forwarded == ROWS + 20 - 3 * 16
    assert again.entry.checksum == whole.entry.checksum


def test_damage_is_refused_or_rebuilt(ask, tmp_path: Path):
    first = ask()
    path = first.entry.folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[700] ^= 4
    path.write_bytes(content)
    assert [problem for _, problem in verify(tmp_path)] == [
        "rows 0 to 89 of train.npy do not have the checksum with which they were written"]
    with pytest.raises(DamagedEntryError, match="Remove it with ukd cache remove, or add --rebuild-damaged"):
        ask()
    again = ask(rebuild_damaged=True)
    assert again.rows_forwarded == ROWS + 20
    assert again.entry.checksum == first.entry.checksum
    assert [problem for _, problem in verify(tmp_path)] == [None]


def test_a_disk_without_room_is_refused(ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError) as caught:
        ask()
    assert str(caught.value) == (f"cache '{tmp_path}': expected 0.0 MB of free space for the teacher's answers, got "
                                 "0.0 MB. Make room, or name another disk with --cache.")
    monkeypatch.undo()
    assert ask().rows_forwarded == ROWS + 20


def test_a_shard_that_disappears_is_named(ask, registry, data: TaskData, tmp_path: Path):
    """Whoever empties the cache while an entry is built; what is left is no entry, and the next run builds one."""
    def make_head(width: int) -> object:
        for path in tmp_path.glob("answers/*.work/*-states-*"):
            path.unlink()
        return registry.pseudo_heads.lookup("linear")(width, data.space.size)

    with pytest.raises(FileNotFoundError) as caught:
        ask(make_head=make_head)
    (begun,) = (tmp_path / "answers").glob("*.work")
    assert (caught.value.filename, caught.value.strerror) == (
        str(begun), "a shard disappeared while the cache entry was built")
    assert entries(tmp_path) == [begun]
    assert ask().rows_forwarded == ROWS + 20


def test_a_disk_that_fills_up_is_told_with_the_place(ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device") as caught:
        patch.setattr(building.os, "fsync", full)
        ask()
    (begun,) = (tmp_path / "answers").glob("*.work")
    assert caught.value.filename == str(begun)
    assert not list(begun.glob("*.safetensors"))
    assert ask().rows_forwarded == ROWS + 20
    assert not begun.exists()


def test_what_a_killed_process_half_assembled_is_removed(ask, tmp_path: Path):
    target = ask().entry.folder
    shutil.rmtree(target)
    half = target.with_name(f".{target.name}.half")
    half.mkdir()
    (half / "train.npy").write_bytes(b"half")
    os.utime(half, (1.0, 1.0))
    assert ask().entry.folder == target
    assert not half.exists()


def test_what_a_killed_process_left_beside_a_whole_entry_is_removed(ask):
    target = ask().entry.folder
    work = target.with_name(target.name + ".work")
    work.mkdir()
    (work / "train-00000-scores-0.safetensors").write_bytes(b"left")
    answers = ask()
    assert (answers.rows_forwarded, answers.entry.folder) == (0, target)
    assert not work.exists()


def test_the_pace_is_told_once(ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(building, "SHARD_ROWS", 16)
    monkeypatch.setattr(building, "PACE_AFTER", 0.0)
    ask(reporter=Reporter())
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("teacher pass: ")]
    assert len(told) == 1
    assert re.fullmatch(r"teacher pass: [\d,]+ tokens/s, about \d:\d\d:\d\d left", told[0])


def test_entries_are_listed_and_removed(ask, tmp_path: Path):
    answers = ask()
    listed = {entry.kind: entry for entry in kept(tmp_path)}
    assert listed["answers"].about.startswith("bert on texts: 110 rows, made 20")
    assert listed["answers"].size > ROWS * 4 * 2 * 4
    assert set(listed) == {"answers", "tokens"}
    with pytest.raises(InputError, match=r"of one entry, got 'no', which fits none\. List them with ukd cache list"):
        remove(tmp_path, "no")
    assert remove(tmp_path, answers.entry.folder.name[:8]).path == answers.entry.folder
    assert not answers.entry.folder.exists()
    with pytest.raises(InputError, match="no such folder"):
        list(kept(tmp_path / "nowhere"))
