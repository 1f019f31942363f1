"""Every nasty file ends as it must: read rightly, or refused in one clear line; so does what Hypothesis draws.

`python benchmarks/fuzz.py` does the same with thousands of cases.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from nasty_files import CHECK, Nasty, corpus
from oracle import Case, Ending, not_clear, run_command, try_case
from strategies import GENERATED
from worlds import World

FEW = 12
"""Cases of each kind that are drawn."""


@pytest.mark.parametrize("nasty", corpus(), ids=lambda nasty: nasty.name)
def test_a_nasty_file(nasty: Nasty, world: World, tmp_path: Path):
    ending = try_case(nasty.case, world, tmp_path)
    assert ending.faults == []
    said = " ".join((ending.out if nasty.right else ending.err).split())
    assert (ending.status, nasty.says in said) == (0 if nasty.right else 2, True), ending.err or said


@pytest.mark.parametrize("kind", GENERATED)
def test_generated_cases(kind: str, world: World):
    @settings(max_examples=FEW, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(GENERATED[kind])
    def ends_as_it_must(case: Case) -> None:
        with tempfile.TemporaryDirectory() as here:
            ending = try_case(case, world, Path(here))
            assert ending.faults == [], case.arguments

    ends_as_it_must()


# --- The oracle sees what is wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "fault"), [
    (Ending(2, "", "ukd: data 'x': expected text, got none.\n"), None),
    (Ending(2, "", "reading\nukd: data 'x': expected text, got none.\n"), None),
    (Ending(1, "", "ukd: data 'x': expected text, got none.\n"), "exit status 1"),
    (Ending(2, "", ""), "no clear line"),
    (Ending(2, "", "ukd: data 'x': expected text, got none.\nmore\n"), "no clear line"),
    (Ending(2, "", "ukd: .\n"), "says little"),
    (Ending(2, "", "x.py:3: UserWarning: old\nukd: data 'x': expected text.\n"), "noise"),
    (Ending(2, "", f"ukd: data '{'x' * 5000}': expected text.\n"), "letters"),
])
def test_what_the_oracle_calls_clear(ending: Ending, fault: str | None):
    found = not_clear(["check"], ending)
    assert found == [] if fault is None else fault in found[0]


PLUGIN = "import os, time, warnings\n{}\nfrom ukd_core import hookimpl\n"


@pytest.mark.parametrize(("code", "fault"), [
    ("warnings.warn('old', UserWarning)", "warning: UserWarning: old"),
    ("os.write(2, b'x.py: FutureWarning: from C')", "noise"),
    ("class Odd(BaseException): pass\nraise Odd('inside')", "traceback"),
    ("while True: time.sleep(0.01)", "hangs"),
])
def test_what_the_oracle_sees_while_a_command_runs(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   code: str, fault: str):
    monkeypatch.setattr("oracle.LIMIT", 1.0)
    monkeypatch.setattr("oracle.PATIENCE", 3)
    case = Case("options", ("methods", "--plugin=odd.py"), (("odd.py", PLUGIN.format(code).encode()),))
    assert fault in try_case(case, world, tmp_path).faults[0]


def test_the_oracle_sees_what_is_left_behind(world: World, tmp_path: Path):
    leave = b"from pathlib import Path\nPath('output').mkdir()\nPath('.scratch').touch()\nraise ValueError('no')\n"
    case = Case("options", ("check", *CHECK, "--data={world}/data", "--plugin=odd.py"), (("odd.py", leave),))
    assert try_case(case, world, tmp_path).faults == ["left behind: output", f"litter: {tmp_path / '.scratch'}"]


def test_streams_and_folder_are_given_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    before = Path.cwd()
    assert run_command(["--help"], tmp_path).status == 0
    print("heard")
    assert (Path.cwd(), capfd.readouterr().out) == (before, "heard\n")
