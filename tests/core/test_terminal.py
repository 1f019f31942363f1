"""What is printed cannot control the terminal, and what is written as Markdown is text."""

from __future__ import annotations

import io
import json
import logging
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import yaml

from ukd_core.run.export.model_card import code, model_card, plain
from ukd_core.run.progress import Reporter
from ukd_core.run.table import text_table
from ukd_core.terminal import visible

Command = Callable[..., tuple[int, str, str]]
OLD_RUN = Path(__file__).parents[1] / "fixtures" / "old_run"
CONTROLS = "\x1b]0;title\x07\x1b[2J\x9b31m\r\x08\u202eevil"


@pytest.mark.parametrize(("text", "shown"), [
    ("plain, Grüße, שלום, 😀\u200d\t\n", "plain, Grüße, שלום, 😀\u200d\t\n"), ("\x1b[31m", "\\u001b[31m"),
    ("a\rb\x00\x7f\x9b", "a\\u000db\\u0000\\u007f\\u009b"), ("\u202e\u2066\u2028", "\\u202e\\u2066\\u2028"),
    ("\ud800", "\\ud800")])
def test_control_characters_are_shown_by_their_number(text: str, shown: str):
    assert visible(text) == shown


def test_a_line_of_json_holds_the_same_values():
    values = {"text": CONTROLS, "label": "x\x85\u2029"}
    assert json.loads(visible(json.dumps(values, ensure_ascii=False))) == values


def test_tables_lines_and_warnings():
    found = io.StringIO()
    with redirect_stderr(found):
        Reporter().say(f"teacher: {CONTROLS}")
    for text in (text_table(CONTROLS, [CONTROLS], [[CONTROLS]]), found.getvalue()):
        assert visible(text) == text and "\\u001b[2J" in "".join(text.split())


def test_answers_and_errors_of_the_command_line(ukd: Command, tmp_path: Path):
    shutil.copytree(OLD_RUN / "run", tmp_path / "run")
    path = tmp_path / "run" / "student" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "id2label": {"0": f"rain{CONTROLS}", "1": "sun"}}))
    (tmp_path / "texts.txt").write_text("the morning is cold and wet \x9b31m\n", encoding="utf-8")
    status, out, _ = ukd("predict", tmp_path / "run", tmp_path / "texts.txt")
    assert status == 0 and visible(out) == out
    assert json.loads(out)["text"] == "the morning is cold and wet \x9b31m"
    assert json.loads(out)["label"] == f"rain{CONTROLS}"
    status, out, err = ukd("predict", f"no{CONTROLS}", tmp_path / "texts.txt")
    assert (status, out, visible(err), err.count("\n")) == (2, "", err, 1) and "\\u001b[2J" in err
    err = ukd("predict", "x" * 100_000, tmp_path / "texts.txt")[2]
    assert len(err) < 2100 and err.endswith("…\n")


def test_warnings_of_plug_ins(ukd: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "broken.py").write_text(f"raise RuntimeError({CONTROLS!r})")
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(handler)
    try:
        assert ukd("plugins", "--plugin-folder", tmp_path)[0] == 0
    finally:
        logging.getLogger().removeHandler(handler)
    told = handler.stream.getvalue()
    assert "broken" in told and visible(told) == told


@pytest.mark.parametrize(("text", "written"), [
    ("plain", "`plain`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("", "`  `"), ("a\n---\n# b", "`a --- # b`"),
    ("\x1b[31m", "`\\u001b[31m`")])
def test_code_in_markdown(text: str, written: str):
    assert code(text) == written


def test_titles_in_markdown():
    assert plain("my_run-2\n<b>![x](y)`") == "my_run-2 &lt;b>!\\[x\\](y)\\`"


def test_the_card_of_hostile_labels():
    hostile = ("</code><script>alert(1)</script>", "a\n---\nlicense: mit\n---\n# Evil", "`` ![x](http://evil) ``")
    card = model_card("x\n---\n<script>", hostile, None, None, "Use.")
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {"pipeline_tag": "text-classification", "tags": ["ukd", "text-classification"]}
    assert body.startswith("\n# x --- &lt;script>\n\nA text classifier. It answers `</code><script>alert(1)</script>`, "
                           "`a --- license: mit --- # Evil`, ``` `` ![x](http://evil) `` ```.\n")
    titles = [line for line in body.splitlines() if line.startswith("#")]
    assert titles == ["# x --- &lt;script>", "## Use", "## Limits"]
