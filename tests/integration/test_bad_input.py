"""What a user gets wrong is one clear line, exit status 2, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from texts import write_jsonl

Command = Callable[..., tuple[int, str, str]]
GOOD = {"text": "oil prices rose", "label": "crude"}


def make_folder(folder: Path, rows: list[dict[str, object]], validation: list[dict[str, object]] | None = None) -> Path:
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", rows)
    if validation is not None:
        write_jsonl(folder / "validation.jsonl", validation)
    return folder


def refused(ukd: Command, tmp_path: Path, *texts: str, cache: Path, **changes: object) -> None:
    """Every line is an error and the first holds `texts`; status 2, no run folder."""
    output = tmp_path / "run"
    options = {"teacher": "cnn", "student": "bilstm", "output": output, "cache": cache, **changes}
    status, out, err = ukd("distill", *(f"--{key.replace('_', '-')}={value}" for key, value in options.items()))
    assert status == 2, err
    assert out == ""
    lines = err.splitlines()
    assert lines and all(line.startswith("ukd: ") for line in lines), err
    for text in texts:
        assert text in lines[0]
    assert not output.exists()


@pytest.mark.parametrize(("option", "value", "texts"), [
    ("teacher", "brt", ("teacher 'brt': no adapter of this name and no such folder", "Did you mean 'bert'")),
    ("student", "bilstn", ("student 'bilstn': no adapter of this name", "Did you mean 'bilstm'")),
    ("teacher", "./missing/folder/of/weights", ("teacher './missing/folder/of/weights': no such folder",)),
    ("method", "universal_kd", ("method 'universal_kd'", "Did you mean 'universal-kd'")),
    ("projector", "atention", ("projector 'atention'", "Did you mean 'attention'")),
    ("projector", "fixed:strategy=middle", ("projector 'fixed': option 'strategy'", "'middle'")),
    ("student", "bilstm:layerz=2", ("student 'bilstm:layerz=2': no option 'layerz'", "'layers'")),
    ("student", "bilstm:layers=-1", ("student 'bilstm:layers=-1': option 'layers'", "-1")),
    ("epochs", "0", ("ukd distill: option 'epochs'", "greater than 0")),
    ("epochs", "many", ("ukd distill: option 'epochs'", "'many'")),
    ("device", "tpu", ("ukd distill: option 'device'", "'tpu'")),
    ("output-space", "clases", ("output space 'clases'", "Did you mean 'classes'")),
    ("pseudo-head", "liner", ("pseudo head 'liner'", "Did you mean 'linear'")),
    ("data", "embedded:reuters-r9", ("reuters-r9", "Did you mean 'reuters-r8'")),
    ("text-columns", "txt", ("txt", "text")),
    ("label-column", "klass", ("klass", "label")),
])
def test_wrong_option(ukd: Command, news: Path, cache: Path, tmp_path: Path, option: str, value: str,
                      texts: tuple[str, ...]):
    refused(ukd, tmp_path, *texts, cache=cache, **{"data": news, option: value})


@pytest.mark.parametrize("projector", ["fixed:strategy=pairs,pairs=[[0,9]]", "fixed:strategy=pairs,pairs=[[7,0]]"])
def test_projector_that_names_missing_layers(ukd: Command, news: Path, cache: Path, tmp_path: Path, projector: str):
    """Found with two rows, before anything is written."""
    refused(ukd, tmp_path, "projector 'fixed': expected layers that exist", "Valid", cache=cache, data=news,
            projector=projector)


def test_missing_file(ukd: Command, tmp_path: Path, cache: Path):
    refused(ukd, tmp_path, "nowhere.csv", "no such", cache=cache, data=tmp_path / "nowhere.csv")


def test_missing_column(ukd: Command, tmp_path: Path, cache: Path):
    folder = make_folder(tmp_path / "data", [{"body": "oil", "label": "crude"}])
    refused(ukd, tmp_path, "body", cache=cache, data=folder)


def test_empty_split(ukd: Command, tmp_path: Path, cache: Path):
    folder = make_folder(tmp_path / "data", [GOOD, {"text": "shares", "label": "earn"}], [])
    refused(ukd, tmp_path, "validation", cache=cache, data=folder)


def test_one_class_only(ukd: Command, tmp_path: Path, cache: Path):
    folder = make_folder(tmp_path / "data", [GOOD] * 20)
    refused(ukd, tmp_path, "crude", cache=cache, data=folder)


def test_label_outside_the_teachers_names(ukd: Command, news: Path, tmp_path: Path, cache: Path):
    status, _, err = ukd("distill", "--teacher=cnn", "--student=cnn", "--method=none", f"--data={news}", "--epochs=1",
                         "--max-length=16", f"--output={tmp_path / 'first'}", f"--cache={cache}", "--device=cpu")
    assert status == 0, err
    folder = make_folder(tmp_path / "data", [GOOD, {"text": "wheat harvest", "label": "grain"}] * 10)
    refused(ukd, tmp_path, "'grain'", "acq", "trade", cache=cache, data=folder, teacher=tmp_path / "first")


def test_labels_needed_but_none_there(ukd: Command, tmp_path: Path, cache: Path):
    folder = make_folder(tmp_path / "data", [{"text": "oil"}, {"text": "gas"}])
    refused(ukd, tmp_path, "label", cache=cache, data=folder, method="none")


def test_hub_name_without_network(ukd: Command, news: Path, tmp_path: Path, cache: Path):
    refused(ukd, tmp_path, "teacher 'google-bert/bert-base-uncased'", "the hub did not give it", cache=cache, data=news,
            teacher="google-bert/bert-base-uncased")
    refused(ukd, tmp_path, "nyu-mll/glue", cache=cache, data="nyu-mll/glue:sst2")


def test_output_that_holds_a_run_or_something_else(ukd: Command, news: Path, tmp_path: Path, cache: Path):
    arguments = ["distill", "--teacher=cnn", "--student=cnn", "--method=none", f"--data={news}", "--epochs=1",
                 "--max-length=16", f"--output={tmp_path / 'run'}", f"--cache={cache}", "--device=cpu"]
    assert ukd(*arguments)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    status, _, err = ukd(*arguments)
    assert status == 2
    assert err.strip() == (f"ukd: output '{tmp_path / 'run'}': it already holds a run. "
                           "Add --overwrite to replace it or --resume to continue it.")
    status, _, err = ukd(*(each for each in arguments if "epochs" not in each), "--epochs=2", "--resume")
    assert status == 2
    assert "expected the recipe of the run to resume, got another epochs" in err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert ukd(*arguments, "--overwrite")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    status, _, err = ukd(*arguments, f"--output={tmp_path / 'mine'}", "--overwrite")
    assert status == 2
    assert "holds files that are not a run" in err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "do not touch"


def test_missing_options_and_bad_recipes(ukd: Command, tmp_path: Path):
    assert ukd("distill", "--teacher=bert")[::2] == (2, "ukd: ukd distill: missing --student, --data, --output. "
                                                        "Give the options or a --recipe.\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    assert "expected keys and values, got list" in ukd("distill", f"--recipe={tmp_path / 'list.yaml'}")[2]
    (tmp_path / "key.yaml").write_text("teacher: a\nstudent: b\ndata: c\noutput: d\nepoch: 3\n")
    assert "no option 'epoch'. Did you mean 'epochs'" in ukd("distill", f"--recipe={tmp_path / 'key.yaml'}")[2]
    assert "no such file" in ukd("distill", f"--recipe={tmp_path / 'nowhere.yaml'}")[2]


def test_plugin_that_raises_at_import(ukd: Command, tmp_path: Path, news: Path, cache: Path):
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no licence')\n")
    refused(ukd, tmp_path, "broken_plugin", "no licence", cache=cache, data=news, plugin=tmp_path / "broken_plugin.py")


def test_a_run_that_diverges_says_so(ukd: Command, news: Path, tmp_path: Path, cache: Path):
    status, out, err = ukd("distill", "--teacher=cnn", "--student=bilstm", "--method=logit-kd", f"--data={news}",
                           "--max-length=16", f"--output={tmp_path / 'run'}", f"--cache={cache}", "--device=cpu",
                           "--learning-rate=1e30")
    assert (status, out) == (2, "")
    assert "of plug-in 'ukd-plugins' (ukd 0.1.0): expected a finite loss, got nan in step " in err
    assert "Start anew with --overwrite and a lower --learning-rate." in err.splitlines()[-1]
    assert not (tmp_path / "run" / "student").exists()


@pytest.mark.parametrize("option", ["--epochs=inf", "--temperature=nan", "--weight-decay=inf"])
def test_numbers_are_finite(ukd: Command, news: Path, tmp_path: Path, cache: Path, option: str):
    key, _, value = option.removeprefix("--").partition("=")
    refused(ukd, tmp_path, f"option '{key.replace('-', '_')}'", "finite number", cache=cache, data=news, **{key: value})


def test_every_text_empty(ukd: Command, tmp_path: Path, cache: Path):
    folder = make_folder(tmp_path / "data", [{"text": " ", "label": "a"}, {"text": "", "label": "b"}] * 10)
    refused(ukd, tmp_path, "every text in column 'text' is empty", cache=cache, data=folder)


def test_a_projector_of_the_wrong_shape_is_named(ukd: Command, news: Path, tmp_path: Path, cache: Path):
    (tmp_path / "flat.py").write_text(
        "import torch\nfrom ukd_core import Projector, hookimpl\n"
        "class Flat(Projector):\n    name = 'flat'\n    def weights(self, student, teacher): return torch.zeros(3)\n"
        "@hookimpl\ndef ukd_register_projectors(): return [Flat]\n")
    refused(ukd, tmp_path, "projector 'flat': weights expected (S, T, units)", "got (3,)", cache=cache, data=news,
            plugin=tmp_path / "flat.py", projector="flat")


def test_cache_that_cannot_be_written(ukd: Command, news: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    refused(ukd, tmp_path, f"cache '{tmp_path / 'file'}'", "cannot be made", cache=tmp_path / "file", data=news)


def test_eval_needs_labels(ukd: Command, news: Path, tmp_path: Path, cache: Path):
    assert ukd("distill", "--teacher=cnn", "--student=cnn", "--method=none", f"--data={news}", "--epochs=1",
               "--max-length=16", f"--output={tmp_path / 'run'}", f"--cache={cache}", "--device=cpu")[0] == 0
    write_jsonl(tmp_path / "texts.jsonl", [{"text": "oil"}, {"text": "gas"}])
    status, out, err = ukd("eval", tmp_path / "run", "--data", tmp_path / "texts.jsonl")
    assert (status, out) == (2, "")
    assert "no row of split 'train' has a label" in err
