"""What a user writes for a model: adapter, folder, run folder, hub name or embedded name; and what is none of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ukd_core.errors import InputError, UKDError, UnknownNameError
from ukd_core.plugins import Registry
from ukd_core.run.embedded import EMBEDDED
from ukd_core.run.sources import plan_source


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a configuration, which is all that planning reads."""
    return configured(tmp_path / "model", '{"model_type": "bert"}')


def configured(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


def refusal(text: object, registry: Registry, cache: Path, kind: type[UKDError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        plan_source(str(text), registry, cache, "teacher")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_adapter_with_options(registry: Registry, tmp_path: Path):
    plan = plan_source("bert:layers=3,hidden=16", registry, tmp_path, "student")
    assert (plan.kind.name, plan.options.layers, plan.options.hidden, plan.location) == ("bert", 3, 16, None)
    with pytest.raises(InputError) as caught:
        plan.load()
    assert str(caught.value) == ("model 'bert:layers=3,hidden=16': expected existing weights, got an adapter's name. "
                                 "Name a folder or a hub model.")


def test_a_folder_and_the_run_folder_around_it(registry: Registry, model: Path, tmp_path: Path):
    assert plan_source(str(model), registry, tmp_path, "teacher").location == str(model)
    model.rename(tmp_path / "student")
    plan = plan_source(str(tmp_path), registry, tmp_path, "teacher")
    assert (plan.kind.name, plan.location) == ("bert", str(tmp_path / "student"))


def test_an_adapter_with_options_for_existing_weights(registry: Registry, model: Path, tmp_path: Path):
    plan = plan_source(f"bert:from={model},layers=2", registry, tmp_path, "student")
    assert (plan.options.layers, plan.location) == (2, str(model))
    assert refusal(f"roberta:from={model}", registry, tmp_path) == (
        f"teacher 'roberta:from={model}': expected a model of type roberta or xlm-roberta or camembert, got 'bert'.")


def test_an_embedded_model_that_was_fetched_before(registry: Registry, tmp_path: Path):
    folder = tmp_path / "embedded" / "minilm"
    folder.mkdir(parents=True)
    for name in EMBEDDED["minilm"].members:
        (folder / name).write_text('{"model_type": "bert"}')
    plan = plan_source("embedded:minilm", registry, tmp_path, "teacher")
    assert (plan.kind.name, plan.location) == ("bert", str(folder))


def test_a_name_that_nobody_registers(registry: Registry, tmp_path: Path):
    assert refusal("brt", registry, tmp_path, UnknownNameError).startswith(
        "teacher 'brt': no adapter of this name and no such folder. Did you mean 'bert'")


@pytest.mark.parametrize("path", ["./missing/weights", "../missing", "/missing/weights", "a/b/c"])
def test_a_path_that_leads_nowhere(registry: Registry, tmp_path: Path, path: str):
    assert refusal(path, registry, tmp_path) == (
        f"teacher '{path}': no such folder, and neither an adapter's name nor a hub name org/name. Check the path.")


def test_a_hub_name_without_a_network(registry: Registry, tmp_path: Path):
    assert re.fullmatch(r"teacher 'no-org/no-model': no such folder, and the hub did not give it \(\w+\)\. "
                        r"Check the name and the network, or give a folder\.",
                        refusal("no-org/no-model", registry, tmp_path))


def test_a_hub_model(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The hub is replaced at the library's own door.
    monkeypatch.setattr("transformers.PreTrainedConfig.get_config_dict", lambda name: ({"model_type": "roberta"}, {}))
    plan = plan_source("org/name", registry, tmp_path, "teacher")
    assert (plan.kind.name, plan.location) == ("roberta", "org/name")


def test_a_folder_without_a_configuration(registry: Registry, tmp_path: Path):
    assert refusal(tmp_path, registry, tmp_path) == (
        f"teacher '{tmp_path}': expected a model folder with config.json, got a folder without it. "
        "Save the model with save_pretrained.")


@pytest.mark.parametrize(("text", "problem"), [
    ("{", "expected JSON in config.json, got: Expecting property name enclosed in double quotes: line 1 column 2 "
          "(char 1). Train or export it again."),
    ("[1]", "expected an object in config.json, got list. Train or export it again."),
    ("{}", "config.json has no model_type. Save the model with save_pretrained."),
    ('{"model_type": 3}', "config.json has no model_type. Save the model with save_pretrained."),
])
def test_a_configuration_that_is_none(registry: Registry, tmp_path: Path, text: str, problem: str):
    folder = configured(tmp_path / "model", text)
    assert refusal(folder, registry, tmp_path) == f"teacher '{folder}': {problem}"
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "config.json"]


def test_a_type_that_no_adapter_reads(registry: Registry, tmp_path: Path):
    folder = configured(tmp_path / "model", json.dumps({"model_type": "whisper"}))
    assert refusal(folder, registry, tmp_path, UnknownNameError).startswith(
        "model type 'whisper': no adapter reads it. Available: ")
