"""`ukd plugins check NAME`: the kit from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ukd_core.cli import main

PLUGIN = """
from ukd_core import Projector, hookimpl


class Sharp(Projector):
    name = "sharp"
    exceptions = {"check_copies_of_one_layer": "sums to two", "check_one_teacher_layer": "sums to two",
                  "check_weights_are_shares": "sums to two", "check_any_layer_counts": "sums to two",
                  "check_extreme_scores": "sums to two"}

    def weights(self, student, teacher):
        return student.new_full((len(student), len(teacher), student.shape[1]), 2 / len(teacher))


class Even(Projector):
    name = "even"

    def weights(self, student, teacher):
        return student.new_full((len(student), len(teacher), student.shape[1]), 1 / len(teacher))


@hookimpl
def ukd_register_projectors():
    return [Sharp, Even]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's file, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return path


def ukd(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(sys, "argv", ["ukd", *map(str, arguments)])
        main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out.splitlines(), printed.err


def test_a_line_a_law_a_summary_and_status_0(capsys, plugin):
    status, lines, _ = ukd(capsys, "plugins", "check", "even", "--plugin", plugin, "--examples", 3)
    assert status == 0
    assert lines[0] == "check_weights_are_shares: ok" and len(lines) == 14
    assert lines[-1].startswith("projector 'even': 13 laws: 13 ok, 0 declared exceptions, 0 failed, ")


def test_a_broken_law_is_status_1(capsys, plugin):
    status, lines, _ = ukd(capsys, "plugins", "--plugin-folder", plugin.parent, "check", "sharp", "--examples", 3)
    assert status == 1
    assert "check_any_layer_counts: declared exception: sums to two" in lines
    (failed,) = [line for line in lines if "FAILED" in line]
    assert failed.startswith("check_half_precision: FAILED: sums of weights are not as expected: 2 instead of 1 at")
    assert lines[-1].startswith("projector 'sharp': 13 laws: 7 ok, 5 declared exceptions, 1 failed, ")


def test_an_unknown_name_is_status_2(capsys, plugin):
    status, lines, error = ukd(capsys, "plugins", "check", "evne", "--plugin", plugin)
    assert (status, lines) == (2, [])
    assert error.startswith("ukd: 'evne': nothing of this name is registered. Did you mean 'even' or 'ensemble'? "
                            "Available: ")


def test_options_come_with_the_name(capsys):
    status, lines, _ = ukd(capsys, "plugins", "check", "fixed:strategy=uniform", "--examples", 3)
    assert status == 0
    assert lines[-1].startswith("projector 'fixed:strategy=uniform': 13 laws: 13 ok, ")


def test_nothing_is_left_behind(capsys, plugin):
    ukd(capsys, "plugins", "check", "even", "--plugin", plugin, "--examples", 3)
    assert {path.name for path in plugin.parent.iterdir()} == {"mine.py"}


def test_the_listing_is_as_before(capsys, plugin):
    status, lines, _ = ukd(capsys, "plugins", "--plugin", plugin)
    assert status == 0
    assert any("sharp" in line and "mine" in line for line in lines) and not any("check_" in line for line in lines)


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['ukd', *{arguments!r}]\n" \
           "from ukd_core.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_pytest_is_not_needed():
    done = without("pytest", "plugins", "check", "linear", "--examples", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "check_scores_shape: ok"


def test_hypothesis_is_needed():
    done = without("hypothesis", "plugins", "check", "linear")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("ukd: ukd plugins check: expected Hypothesis to be installed, got no such package. "
                           "Install it with: pip install 'ukd[testing]'.\n")
