"""What a run tells goes to standard error: lines always, bars on a terminal only, and nothing where it is quiet."""

from __future__ import annotations

import pytest

from ukd_core.run.progress import Reporter

LINE = "teacher: reused [bold] from '/a/very/long/folder/" + "x" * 120 + "'"


def test_a_line_stays_as_it_is(capsys: pytest.CaptureFixture[str]):
    Reporter().say(LINE)
    assert capsys.readouterr() == ("", LINE + "\n")


def test_no_bar_where_nobody_watches(capsys: pytest.CaptureFixture[str]):
    with Reporter().track("teacher pass", 3, "rows") as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Reporter().track("teacher pass", 4, "rows") as advance:
        advance(1)
        advance(3)
    out, err = capsys.readouterr()
    assert out == ""
    assert "teacher pass" in err
    assert "4/4" in err
    assert "rows/s" in err


def test_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    reporter = Reporter(quiet=True)
    reporter.say(LINE)
    with reporter.track("teacher pass", 2) as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")
