"""The two example packages, installed as a stranger installs them: listed, checked, used by name, gone again."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from documents import ROOT, install_into, is_said, run

PACKAGES = {"own_projector": "confidence", "own_adapter": "hashed-dan"}
OPEN_TO_STRANGERS = ("ukd_core", "ukd_core.errors", "ukd_core.testing")
Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the packages outside of the repository."""
    folder = tmp_path_factory.mktemp("strangers")
    for package in PACKAGES:
        shutil.copytree(ROOT / "examples" / package, folder / package,
                        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*"))
    return folder


@pytest.fixture(scope="module")
def shell(home: Path) -> Shell:
    """Commands in an environment that has the two packages besides what is here."""
    installed = home / "installed"
    run(f"{install_into(installed)} ./own_projector ./own_adapter", home)
    return lambda command: run(command, home, {"PYTHONPATH": str(installed)})


@pytest.fixture(scope="module")
def taught(shell: Shell, home: Path, news: Path, cache: Path) -> Path:
    """A run in which the stranger's encoder learns through the stranger's projector."""
    shell(f"ukd distill --teacher cnn:layers=2 --student hashed-dan:buckets=5000 --projector confidence:sharpness=8 "
          f"--data {news} --cache {cache} --output {home}/run --max-length 64 --epochs 8 --teacher-epochs 3 "
          "--device cpu")
    return home / "run"


def test_both_are_listed_with_their_distribution(shell: Shell):
    listing = shell("ukd plugins")
    assert is_said("adapter hashed-dan … plug-in 'hashed-dan' …", listing)
    assert is_said("projector confidence … plug-in 'confidence' …", listing)
    assert "(ukd-hashed-dan" in listing and "(ukd-confidence 0.1.0)" in listing
    assert "broken" not in listing


def test_the_encoder_passes_the_kit_by_name(shell: Shell):  # the projector does in test_tutorial.py
    lines = shell("ukd plugins check hashed-dan").splitlines()
    assert len([line for line in lines if "check_" in line]) >= 10


def test_the_encoders_own_tests_pass(shell: Shell):
    assert is_said("… passed in …", shell("python -m pytest -q -p no:cacheprovider own_adapter"))


def test_both_are_used_by_name(taught: Path):
    metrics = json.loads((taught / "metrics.json").read_text())
    assert metrics["student"]["layers"] == 2
    assert metrics["student"]["metrics"]["accuracy"] > 0.4  # of four classes
    assert "projector: confidence:sharpness=8" in (taught / "recipe.yaml").read_text()


def test_student_of_a_strangers_kind_answers_and_teaches(taught: Path, shell: Shell, home: Path, news: Path,
                                                         cache: Path):
    answer = json.loads(shell(f"echo 'oil prices rose' | ukd predict {taught}").splitlines()[-1])
    assert answer["text"] == "oil prices rose" and answer["label"] in ("acq", "crude", "earn", "trade")
    printed = shell(f"python -c \"import ukd_hashed_dan; from transformers import pipeline; "
                    f"print(pipeline('text-classification', '{taught}/student')('oil prices rose')[0]['label'])\"")
    assert printed.splitlines()[-1] == answer["label"]
    shell(f"ukd distill --teacher {taught} --student cnn:layers=1,embeddings=random --data {news} --cache {cache} "
          f"--output {home}/next --max-length 64 --epochs 1 --device cpu")
    metrics = json.loads((home / "next" / "metrics.json").read_text())
    assert metrics["teacher"]["metrics"] == json.loads((taught / "metrics.json").read_text())["student"]["metrics"]


def test_without_the_package_its_student_is_refused_in_one_line(taught: Path, ukd: Callable[..., tuple[int, str, str]]):
    status, out, err = ukd("predict", taught)
    assert (status, out) == (2, "")
    assert is_said("ukd: model type 'hashed-dan': no adapter reads it. Available: …", err)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_each_is_one_file_of_code_one_test_and_public_names(package: str):
    folder = ROOT / "examples" / package
    code = sorted(path.name for path in folder.glob("*.py"))
    assert code == [f"test_{code[1]}", code[1]]
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["pyproject.toml", *code]
    for name in code:
        for node in ast.walk(ast.parse((folder / name).read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [
                alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                assert module in OPEN_TO_STRANGERS or module.split(".")[0] not in ("ukd_core", "ukd_adapters",
                                                                                  "ukd_plugins", "plugins")
