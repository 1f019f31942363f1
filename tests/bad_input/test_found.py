"""What the fuzzer found in whole commands, each once more."""

from __future__ import annotations

from pathlib import Path

import pytest
from nasty_files import CHECK
from oracle import FIFO, Case, run_command, try_case
from strategies import CHEAP_RUN
from worlds import World


def said(world: World, here: Path, *arguments: str, files: tuple[tuple[str, bytes | str], ...] = ()) -> str:
    """What a refused command says."""
    ending = try_case(Case("found", arguments, files), world, here)
    assert (ending.faults, ending.status) == ([], 2)
    return ending.err.removesuffix("\n").rpartition("\n")[2]


def test_a_last_step_that_goes_too_far(world: World, tmp_path: Path):
    """No loss is computed after it; the student was saved."""
    line = said(world, tmp_path, *CHEAP_RUN, "--learning-rate=1e30", "--weight-decay=1e10")
    assert line.startswith("ukd: weight '") and "expected finite numbers, got others after step 1 of phase " in line
    assert not (tmp_path / "output" / "student").exists()


def test_an_output_that_cannot_be_replaced(world: World, tmp_path: Path):
    arguments = [part.replace("{world}", str(world.folder)) for part in CHEAP_RUN if part != "--output=output"]
    assert run_command([*arguments, "--output=."], tmp_path).status == 0
    assert {"recipe.yaml", "student", "metrics.json"} <= {path.name for path in tmp_path.iterdir()}


def test_a_report_replaces_no_pipe(world: World, tmp_path: Path):
    assert said(world, tmp_path, "report", "{world}/run", "--output=page", files=(("page", FIFO),)) == (
        "ukd: output 'page': expected an HTML file, got something else. Name another.")


def test_weights_from_nowhere(world: World, tmp_path: Path):
    """As an empty variable of the shell leaves it."""
    assert said(world, tmp_path, "check", *CHECK, "--data={world}/data", "--student=bert:from=") == (
        "ukd: student 'bert:from=': expected a folder or a hub name after from=, got nothing. "
        "Name one, or leave it out.")


@pytest.mark.parametrize("name", ["../x", "", "a/b", "/etc", "x" * 101, "-"])
def test_a_phase_names_a_folder(world: World, tmp_path: Path, name: str):
    recipe = f"phases: [{{name: '{name}', terms: [{{term: hard-label}}]}}]\n".encode()
    assert said(world, tmp_path, "check", *CHECK, "--data={world}/data", "--output=output", "--recipe=r.yaml",
                files=(("r.yaml", recipe),)) == (
        f"ukd: phase '{name}': expected a name of at most 100 letters, digits, blanks and . _ + -. It names a folder; "
        "choose another.")


@pytest.mark.parametrize(("line", "shown"), [
    (b'{"text": "\\ud800"}', '{"text": "\\\\ud800"}'), (b'{"text": ' + b"[" * 5000, '{"text": ' + "[" * 31)])
def test_lines_that_no_tokenizer_reads(world: World, tmp_path: Path, line: bytes, shown: str):
    assert said(world, tmp_path, "predict", "{world}/run", "t.jsonl", files=(("t.jsonl", line),)) == (
        f"ukd: file 't.jsonl': line 1: expected a JSON object with a text, got '{shown}'. Write one object a line with "
        "the key text, or two such as text1 and text2.")


@pytest.mark.parametrize("words", [[], ["cache"]])
def test_a_command_without_arguments_shows_its_help(tmp_path: Path, words: list[str]):
    ending = run_command(words, tmp_path)
    assert (ending.status, ending.err) == (2, "")
    assert "Usage: " in ending.out
