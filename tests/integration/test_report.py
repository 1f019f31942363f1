"""The pages of a run and of a comparison: what is on them, and that nothing in the data can do anything to them."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pages import SCRIPT, Page, small_data, small_recipe
from safetensors.torch import load_file, save_file
from stopped import cut_at

from ukd_core import distill
from ukd_core.errors import InputError
from ukd_core.run import phases as phases_module
from ukd_core.run.progress import Reporter
from ukd_core.run.report import write_report
from ukd_core.run.report.rows import confusion, disagreements, most_confused, sure_and_right
from ukd_core.run.verdict import verdict_of
from ukd_core.run.verdict.calibration import reliability
from ukd_core.run.verdict.stored import StoredRun

Command = Callable[..., tuple[int, str, str]]
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def run(reported: Path) -> Path:
    return reported


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


def looks(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "layers.jsonl").read_text().splitlines()]


def test_layers_are_looked_at_before_the_first_step_and_at_every_evaluation(run: Path):
    lines = looks(run)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    evaluated = [line["step"] for line in log if line["number"] == 1 and "eval_accuracy" in line]
    assert [line["step"] for line in lines] == [0, *evaluated]
    for line in lines:
        assert (line["phase"], line["number"], line["term"], line["split"], line["rows"]) == (
            "distil", 1, "layer-kd", "validation", 40)
        assert np.array(line["weights"]).shape == (1, 2)  # all layers but the last of both
        np.testing.assert_allclose(np.array(line["weights"]).sum(axis=1), 1.0, atol=1e-5)
        assert list(line["by_class"]) == ["<b>other</b>", "food & drink"] and len(line["student"]) == 1
    assert lines[0]["weights"] != lines[-1]["weights"]


def test_looking_changes_no_bit_of_the_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = StoredRun.read(run).recipe.model_copy(update={"output": str(tmp_path / "unseen")})
    monkeypatch.setattr(phases_module, "sample_of", lambda training: None)
    distill(recipe, speed=False, reporter=QUIET)
    assert not (tmp_path / "unseen" / "layers.jsonl").exists()
    weights = [(folder / "student" / "model.safetensors").read_bytes() for folder in (run, tmp_path / "unseen")]
    assert weights[0] == weights[1]


def test_a_resumed_run_has_the_logs_of_a_whole_one(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = StoredRun.read(run).recipe.model_copy(update={"output": str(tmp_path / "cut")})
    cut_at(5, recipe, monkeypatch)
    distill(recipe, resume=True, speed=False, reporter=QUIET)
    assert (tmp_path / "cut" / "layers.jsonl").read_text() == (run / "layers.jsonl").read_text()
    logs = [[(line["number"], line["step"], "loss" in line) for line in map(json.loads, log.read_text().splitlines())
             if "train_runtime" not in line] for log in (run / "log.jsonl", tmp_path / "cut" / "log.jsonl")]
    assert logs[0] == logs[1]


def test_every_part_of_a_runs_page_is_there(run: Path, page: Page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    assert {"verdict", "training", "layers", "listening", "confusion", "differ", "calibration", "plan",
            "again"} <= set(ids)
    links = [attributes["href"] for attributes in page.all("a")]
    assert links and all(link[1:] in ids for link in links)
    metrics = json.loads((run / "metrics.json").read_text())
    verdict = page.texts("p")
    judged = verdict_of(run)
    sentences = judged.sentences
    assert judged.floor is not None and len(sentences) == 2 + (judged.floor.over.low <= 0.0)
    assert "labels alone" in sentences[1] and set(sentences) <= set(verdict)
    assert f"{metrics['speed']['student']['p50_ms']:.2f}" in page.texts("td")
    assert f"{metrics['student']['metrics']['accuracy']:.4f}" in page.texts("td")
    assert {"teacher", "student", "baseline", "labels alone"} <= set(page.texts("span", "td", "text"))
    assert {"term layer-kd", "term logit-kd", "term hard-label"} <= set(page.texts("text"))
    assert "ukd distill" in " ".join(page.texts("pre")) and metrics["versions"]["torch"] in " ".join(verdict)


def test_metrics_say_what_each_phase_reached_and_the_page_which_was_not_kept(run: Path, page: Page, tmp_path: Path):
    metrics = json.loads((run / "metrics.json").read_text())
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    best = [max(line["eval_accuracy"] for line in log if line["number"] == number and "eval_accuracy" in line)
            for number in (1, 2)]
    assert metrics["phases"] == [{"phase": "distil", "reached": best[0], "kept": True},
                                 {"phase": "finetune", "reached": best[1], "kept": best[1] >= best[0]}]
    shutil.copytree(run, tmp_path / "run")
    metrics["phases"][1] |= {"reached": 0.125, "kept": False}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    write_report(tmp_path / "run")
    told = ("Phase finetune reached accuracy 0.1250 on validation rows, less than the student had before it: the "
            "student keeps the weights of before.")
    assert told in Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8")).texts("p")
    assert (best[1] < best[0]) == any("keeps the weights of before" in text for text in page.texts("p"))


def test_the_page_stands_alone_and_every_figure_is_told_in_words(run: Path, page: Page):
    text = (run / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 2_000_000
    assert not page.all("script") and not page.all("img") and not page.all("iframe")
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert not re.search(r"url\((?!#)|@import|\bon\w+=\"", text)
    drawings = page.all("svg")
    assert len(drawings) >= 6
    for drawing in drawings:
        assert drawing["role"] == "img" and len(drawing["aria-label"] or "") > 20 and "viewbox" in drawing
        assert "width" not in drawing
    assert not re.search(r"#([01])(\d)\1\2\1\2\b", text)  # every stand-in colour became one of the page
    for feature in ("prefers-color-scheme: dark", "@media print", "width=device-width"):
        assert feature in text


def test_texts_and_labels_are_shown_and_not_run(run: Path, page: Page):
    stored = StoredRun.read(run)
    answers = [stored.answers[f"validation.{side}"].argmax(-1) for side in ("teacher", "student")]
    differ = [row for row, apart in enumerate((answers[0] != answers[1]).tolist()) if apart]
    assert differ, "the two models answer all rows alike: this data shows nothing"
    told = " ".join(page.texts("p"))
    assert f"{len(differ)} of 40 validation rows" in told
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<b>" not in text and "&lt;b&gt;other&lt;/b&gt;" in text
    if any(row % 4 == 0 for row in differ):
        assert any(SCRIPT in cell for cell in page.texts("td"))


def test_the_same_folder_gives_the_same_bytes_anywhere(run: Path, ukd: Command, tmp_path: Path):
    before = (run / "report.html").read_bytes()
    status, out, err = ukd("report", run, "--output", tmp_path / "new" / "page.html")
    assert (status, out.strip()) == (0, str(tmp_path / "new" / "page.html")), err
    assert (tmp_path / "new" / "page.html").read_bytes() == before


def test_changed_data_are_not_shown(run: Path, tmp_path: Path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text())
    for data, reason in ((tmp_path / "gone", "The texts cannot be read again: "), (None, "The data changed since")):
        (copy / "recipe.yaml").write_text(yaml.safe_dump(
            {**recipe, **({"data": str(data)} if data else {"max_eval_rows": 39})}))
        rows, _, problem = disagreements(StoredRun.read(copy), "validation")
        assert problem.startswith(reason) and rows and all(row.texts == () for row in rows)


@pytest.mark.parametrize(("space", "labels", "values", "gone"), [
    ("multilabel", ["a", "b"], [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]], {"confusion"}),
    ("regression", ["score"], [0.1, 0.4, 0.7, 1.0], {"confusion", "calibration"})])
def test_other_output_spaces_have_the_parts_that_mean_something(run: Path, tmp_path: Path, space: str, labels: list,
                                                               values: list, gone: set[str]):
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("baseline", "report.html"))
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text())
    (copy / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "output_space": space}))
    metrics = json.loads((copy / "metrics.json").read_text())
    metric = {"multilabel": "f1_macro", "regression": "pearson"}[space]
    (copy / "metrics.json").write_text(json.dumps({**metrics, "labels": labels, "metric": metric}))
    scores = torch.randn(4, len(labels), generator=torch.Generator().manual_seed(1))
    save_file({"validation.labels": torch.tensor(values), "validation.teacher": scores,
               "validation.student": -scores}, copy / "answers.safetensors")
    page = Page(write_report(copy).read_text(encoding="utf-8"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {"verdict", "differ", "plan"} <= ids and not gone & ids
    assert {"calibration"} - gone <= ids


def test_figures_of_rows_agree_with_numpy(run: Path):
    stored = StoredRun.read(run)
    scores, labels = stored.answers["validation.student"], stored.answers["validation.labels"]
    given, true = scores.numpy().argmax(1), labels.numpy()
    expected = [[int(((true == one) & (given == other)).sum()) for other in (0, 1)] for one in (0, 1)]
    assert confusion(stored.space, scores, labels).tolist() == expected
    shares = np.exp(scores.double().numpy())
    sure = (shares / shares.sum(1, keepdims=True)).max(1)
    bins = reliability(*sure_and_right(stored.space, scores, labels))
    assert sum(count for _, _, count in bins) == len(labels)
    error = sum(count * abs(right - mean) for mean, right, count in bins) / len(labels)
    naive = sum(abs(((given == true) - sure)[(sure > low / 15) & (sure <= (low + 1) / 15)].sum())
                for low in range(15)) / len(labels)
    assert error == pytest.approx(naive, abs=1e-5)
    wrong = most_confused(np.array([[5, 2, 0], [7, 1, 3], [0, 0, 9]]), ("a", "b", "c"), most=2)
    assert wrong == [("b", "a", 7), ("b", "c", 3)]


def test_what_is_no_run_is_one_line(run: Path, ukd: Command, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert ukd("report", tmp_path / "none") == (
        2, "", f"ukd: report '{tmp_path / 'none'}': no such folder. Name the --output of a run or a comparison.\n")
    status, _, err = ukd("report", empty)
    assert status == 2 and err.startswith(f"ukd: run '{empty}': expected a finished run") and not any(empty.iterdir())
    with pytest.raises(InputError) as caught:
        write_report(run, tmp_path)
    assert str(caught.value) == f"output '{tmp_path}': expected an HTML file, got a folder. Name a file in it."


def test_the_command_on_the_page_makes_the_run_again(run: Path, ukd: Command):
    from ukd_core.run.report.command import distill_command
    stored = StoredRun.read(run)
    command = distill_command(stored.recipe, str(run))
    words = command.replace("\\\n", " ").split()
    status, out, err = ukd(*[word.strip("'") for word in words[1:]])
    assert status == 0, err
    again = Path(f"{run}-again")
    assert f"ukd report {again}" in out
    assert load_file(again / "student" / "model.safetensors").keys()
    assert (again / "student" / "model.safetensors").read_bytes() == (run / "student" /
                                                                      "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two methods, with two seeds each."""
    from ukd_core.plugins import load_registry
    from ukd_core.run.compare import Grid, measured_speeds, run_grid, summarise
    folder = tmp_path_factory.mktemp("compared")
    recipe = small_recipe(small_data(folder / "data"), folder)
    settings = recipe.model_dump(include={"teacher", "teacher_tuning", "data", "epochs", "max_length", "device",
                                          "cache"})
    grid = Grid.make(settings, [recipe.student], ["logit-kd"], 2, folder / "compared")
    done, registry = run_grid(grid, 1, QUIET), load_registry()
    summarise(grid, done, registry)
    speeds = measured_speeds(grid, registry)
    assert set(speeds) == {"teacher", "students"} and list(speeds["students"]) == [recipe.student]
    assert measured_speeds(grid, registry) == speeds  # read again, not measured again
    return folder / "compared"


def test_every_part_of_a_comparisons_page_is_there(compared: Path):
    before = {path.name: path.read_bytes() for path in compared.iterdir() if path.is_file()}
    text = write_report(compared).read_text(encoding="utf-8")
    assert before == {path.name: path.read_bytes() for path in compared.iterdir()
                      if path.is_file() and path.name != "report.html"}
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and {"verdict", "front", "student-1", "budgets", "runs", "again"} <= set(ids)
    summary = (compared / "summary.md").read_text()
    interval = re.search(r"\[([+-]0\.\d{4}), ([+-]0\.\d{4})\]", summary)
    shown = " ".join(page.texts("small")).replace("−", "-")
    assert interval is not None and f"{interval[1]} to {interval[2]}" in shown
    assert re.search(r"logit-kd: (helped|did not help|within noise)", " ".join(page.texts("p")))
    assert len([text for text in page.texts("code") if text.startswith("runs/")]) == 4
    assert len(page.all("svg")) == 2 and not page.all("script")
    assert "--seeds 2" in " ".join(page.texts("pre"))


def test_a_comparison_that_is_not_finished_says_so(compared: Path, tmp_path: Path):
    copy = tmp_path / "compared"
    shutil.copytree(compared, copy)
    gone = next(copy.glob("runs/*/logit-kd/seed-1"))
    (gone / "metrics.json").unlink()
    with pytest.raises(InputError) as caught:
        write_report(copy)
    assert str(caught.value) == f"report '{copy}': the run '{gone}' is gone. Start the same ukd compare again."
    (copy / "runs.csv").unlink()
    with pytest.raises(InputError) as caught:
        write_report(copy)
    assert str(caught.value) == (f"report '{copy}': expected a finished comparison, got one without runs.csv. "
                                 "Start the same ukd compare again to go on.")
