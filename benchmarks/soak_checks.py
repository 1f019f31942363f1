"""What must hold after a run, whatever was done to it. Not a script.

Each check is a generator of problems, one line each; none where all is well. They read what is on disk through the
public commands and the modules that the commands use.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ALWAYS = frozenset({"answers.safetensors", "log.jsonl", "metrics.json", "recipe.yaml", "student"})
ALSO = frozenset({"layers.jsonl", "verdict.json", "baseline", "report.html", "onnx"})
RANGES = {"matthews_correlation": (-1.0, 1.0), "pearson": (-1.0, 1.0), "spearmanr": (-1.0, 1.0), "mse": (0.0, math.inf)}
"""Of metrics; all others are between 0 and 1."""
KINDS = ("answers", "teachers", "assistants", "tokens")
MOST_PREDICTED = 5
CLOSE = 1e-4


def check_run(run: Path, forwarded: tuple[int, int] | None) -> Iterator[str]:
    """A finished run folder: its files, numbers, logs, and the student that it holds.

    Args:
        run: The folder.
        forwarded: Least and greatest number of rows that the teacher may have run over; None where it is not known.
    """
    names = {path.name for path in run.iterdir()}
    yield from (f"the run folder lacks {name}" for name in sorted(ALWAYS - names))
    yield from (f"the run folder holds {name}" for name in sorted(names - ALWAYS - ALSO))
    yield from _litter(run)
    if ALWAYS - names:
        return
    metrics = read_json(run / "metrics.json")
    yield from _numbers("metrics", metrics)
    rows = metrics["teacher_rows_forwarded"]
    if forwarded is not None and not forwarded[0] <= rows <= forwarded[1]:
        yield f"expected {forwarded[0]} to {forwarded[1]} rows forwarded, got {rows}"
    if (run / "verdict.json").is_file():
        yield from _numbers("verdict", read_json(run / "verdict.json"))
    yield from _student(run, metrics)


def check_cache(cache: Path) -> Iterator[str]:
    """A cache that nobody uses now: every entry is valid, nothing is half-built, no lock is held."""
    from filelock import FileLock, Timeout

    from ukd_core.run.cache.entries import verify
    yield from (f"cache entry {entry.path.name}: {problem}" for entry, problem in verify(cache) if problem)
    yield from _litter(cache)
    for lock in sorted(path for kind in KINDS for path in (cache / kind).glob("*.lock")):
        try:
            FileLock(lock).acquire(timeout=0).lock.release()
        except Timeout:
            yield f"lock {lock.name} is held"


def same_weights(run: Path, other: Path) -> Iterator[str]:
    """Two runs of one recipe have the same bytes of weights, and saw the same in the layers."""
    for name in ("student/model.safetensors", "layers.jsonl"):
        both = [folder / name for folder in (run, other)]
        if [path.is_file() for path in both] != [True, True]:
            if both[0].is_file() != both[1].is_file():
                yield f"{name}: only one of the run and its twin has it"
        elif both[0].read_bytes() != both[1].read_bytes():
            yield f"{name} differs from that of a run that nobody disturbed"


def read_json(path: Path) -> Any:
    """A file of JSON, without the numbers that JSON does not have."""
    def refuse(name: str) -> float:
        raise ValueError(f"{path.name} holds {name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def _litter(folder: Path) -> Iterator[str]:
    """Hidden, partial and temporary files, and work that nobody will go on with."""
    for path in sorted(folder.rglob("*")):
        begun = path.suffix in (".work", ".partial", ".tmp") or path.name.endswith((".incomplete", "_incomplete"))
        if begun or path.name.startswith("."):
            yield f"left behind: {path.relative_to(folder)}"


def _numbers(where: str, value: Any, name: str = "") -> Iterator[str]:
    """Every number is finite; a metric is within its range."""
    if isinstance(value, Mapping):
        metric = where.rpartition(".")[2] in ("metrics", "validation", "test")
        for key, part in value.items():
            yield from _numbers(f"{where}.{key}", part, key if metric else "")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _numbers(f"{where}[{number}]", part)
    elif isinstance(value, float):
        low, high = RANGES.get(name, (0.0, 1.0)) if name else (-math.inf, math.inf)
        if not (math.isfinite(value) and low <= value <= high):
            yield f"{where} is {value}"


def _student(run: Path, metrics: Mapping[str, Any]) -> Iterator[str]:
    """The stored student answers as the run says it did; its log has every step once."""
    import torch
    from safetensors.torch import load

    from ukd_core.run.answer import load_model
    from ukd_core.run.phases import phase_steps, usable_phases
    from ukd_core.run.plan import make_plan
    from ukd_core.run.recipe import Recipe
    plan = make_plan(Recipe.read(run / "recipe.yaml"))
    phases = usable_phases(plan.phases, plan.registry, plan.data)
    yield from check_log(run / "log.jsonl", phase_steps(plan.recipe, len(plan.data.splits["train"]), phases))
    yield from _layers(run / "layers.jsonl")
    stored = load((run / "answers.safetensors").read_bytes())
    if metrics["rows"] != {name: len(part) for name, part in plan.data.splits.items()}:
        yield f"metrics.json counts other rows: {metrics['rows']}"
    model = load_model(str(run), plan.registry, plan.cache)
    for split, part in plan.data.splits.items():
        if split == "train":
            continue
        pairs = part["pair"][:] if plan.data.pairs else None
        given, kept = model.answer(part["text"][:], pairs), stored[f"{split}.student"]
        if not kept.isfinite().all():
            yield f"scores of split {split} are not finite"
        if not torch.equal(given, kept):
            apart = float((given - kept).abs().max())
            yield f"the stored student answers split {split} otherwise, by up to {apart:.1e}"
        texts = list(zip(part["text"][:MOST_PREDICTED], (pairs or [None] * len(part))[:MOST_PREDICTED], strict=True))
        yield from _predicted(run, split, texts, model.space.describe(kept[:MOST_PREDICTED]))


def _predicted(run: Path, split: str, texts: list[tuple[str, str | None]], expected: list[dict[str, Any]]
               ) -> Iterator[str]:
    """``ukd predict`` gives the stored answers."""
    from ukd_core.cli import main
    asked = run.parent / "texts.jsonl"
    asked.write_text("".join(json.dumps({"text": text} if pair is None else {"sentence1": text, "sentence2": pair})
                             + "\n" for text, pair in texts), encoding="utf-8")
    written, sys.argv = io.StringIO(), ["ukd", "predict", str(run), str(asked)]
    with contextlib.redirect_stdout(written):
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                yield f"ukd predict ended with status {ended.code}"
    asked.unlink()
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    wanted = [{"text": text, **answer} for (text, _), answer in zip(texts, expected, strict=True)]
    if not _alike(found, wanted):
        yield f"ukd predict says of split {split}: {found}, the run said {wanted}"


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def check_log(path: Path, steps: list[int]) -> Iterator[str]:
    """Losses, evaluations and ends of a log: every phase to its last step, each step once, at equal distances.

    Args:
        path: log.jsonl of a run.
        steps: Of each phase.
    """
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    places = [(line["number"], line["step"]) for line in lines]
    if places != sorted(places):
        yield "log.jsonl goes back"
    for number, last in enumerate(steps, start=1):
        own = [line for line in lines if line["number"] == number]
        losses = [line["step"] for line in own if "loss" in line]
        if not losses or losses[-1] != last:
            yield f"log.jsonl: phase {number} ends at step {losses[-1:]}, expected {last}"
        if len({after - before for before, after in zip([0, *losses[:-1]], losses[:-1], strict=False)}) > 1:
            yield f"log.jsonl: phase {number} has losses of the steps {losses}"
        for key in ("loss", "eval_runtime", "train_runtime"):
            seen = [line["step"] for line in own if key in line]
            if len(set(seen)) != len(seen):
                yield f"log.jsonl: phase {number} has {key} of a step twice: {seen}"
        if sum("train_runtime" in line for line in own) != 1:
            yield f"log.jsonl: phase {number} does not end once"
    if {line["number"] for line in lines} - set(range(1, len(steps) + 1)):
        yield "log.jsonl has phases that the run has not"


def _layers(path: Path) -> Iterator[str]:
    if path.is_file():
        places = [(line["number"], line["step"], line["term"])
                  for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())]
        if len(set(places)) != len(places) or [place[:2] for place in places] != sorted(place[:2] for place in places):
            yield f"layers.jsonl has a look twice, or goes back: {places}"
