"""One batch of the real data through both models and every phase, on the CPU; nothing of it is kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ukd_core.errors import Problems
from ukd_core.projector import Projection, Projector
from ukd_core.run.cache.answers import TeacherAnswers
from ukd_core.run.cache.arrays import Entry, new_array, seal
from ukd_core.run.data import TaskData
from ukd_core.run.files import writing
from ukd_core.run.fingerprint import fingerprint
from ukd_core.run.live import LiveTeacher, refuse_other_tokens, runs_live
from ukd_core.run.phases import Training, needs_states, phase_batch, phase_steps, usable_phases
from ukd_core.run.plan import Plan, method_of
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.rows import TokenizedRows

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource, LayerStates
    from ukd_core.method import Phase
    from ukd_core.run.preflight.begin import Begun
    from ukd_core.run.trainer import DistillationModel

SEVERAL = 1e-3
"""A share above which a teacher layer counts as one that a student layer learns from."""


@dataclass(frozen=True)
class LayerMap:
    """Which layers of the teacher a term's projector mixes for each layer of the student."""

    term: str
    projector: str
    shares: Tensor
    """Mean weights over the batch, shape (S, T)."""

    def __str__(self) -> str:
        parts = []
        for layer, row in enumerate(self.shares):
            taken = (row > SEVERAL).nonzero().flatten().tolist()
            every = len(taken) == len(row) > 1
            parts.append(f"{layer} from {'all' if every else ', '.join(map(str, taken))}")
        return "; ".join(parts)


@dataclass(frozen=True)
class PhaseTrial:
    """What one batch showed of a phase."""

    phase: Phase
    steps: int
    maps: tuple[LayerMap, ...]
    seconds: float | None = None
    """Of one training step of a whole batch; None where no step was made."""
    activations: int | None = None
    """Bytes kept for the backward pass of a whole batch."""


@dataclass(frozen=True)
class Trial:
    """What the batch showed."""

    phases: tuple[PhaseTrial, ...]
    tokens_per_second: float
    """Of the teacher, padding not counted."""


def make_trial(plan: Plan, begun: Begun, rows: int, problems: Problems, *, measure: bool) -> Trial:
    """Ask the teacher about a few rows, then run every phase on them.

    Args:
        plan: The run.
        begun: Its models; with `measure` the student is changed, else nothing is.
        rows: Most rows of a batch.
        problems: Gets whatever does not fit; the other phases are tried all the same.
        measure: Make two training steps in each phase, to measure the second; else only a forward pass.
    """
    data = _few(plan.data, rows)
    read = {name: _tokenized(begun.student, data, name, plan.recipe.max_length) for name in data.splits}
    with tempfile.TemporaryDirectory(prefix="ukd-preflight-") as name, writing(Path(name)):
        answers, pace = _answers(plan, begun, data, Path(name))
        live = problems.attempt(_live, plan, begun, data, read["train"])
        if live is None and runs_live(plan.phases, plan.registry):
            return Trial((), pace)
        training = Training(begun.student, data, read, answers, plan.recipe, plan.registry, Path(name),
                            Processes(plan.recipe.device), Reporter(quiet=True), live)
        phases = usable_phases(plan.phases, plan.registry, plan.data)
        steps = phase_steps(plan.recipe, len(plan.data.splits["train"]), phases)
        tried = [problems.attempt(_tried, training, phase, count, rows, measure=measure)
                 for phase, count in zip(phases, steps, strict=True)]
    return Trial(tuple(each for each in tried if each is not None), pace)


def _few(data: TaskData, rows: int) -> TaskData:
    """A few training and validation rows, labelled ones and others where there are both."""
    splits = [name for name in ("train", "validation") if name in data.splits]
    return data.only({name: _mixed(data.labelled(name), rows) for name in splits})


def _mixed(labelled: Tensor, rows: int) -> Tensor:
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(0))
    with_label, without = order[labelled[order]], order[~labelled[order]]
    half = max(rows - len(without), -(-rows // 2))
    taken = torch.cat([with_label[:half], without[: rows - min(half, len(with_label))]])
    return taken.sort().values


def _tokenized(source: LayerSource, data: TaskData, split: str, max_length: int) -> TokenizedRows:
    rows = data.splits[split]
    return TokenizedRows.of(source, rows["text"][:], rows["pair"][:] if data.pairs else None, max_length)


def _live(plan: Plan, begun: Begun, data: TaskData, own: TokenizedRows) -> LiveTeacher | None:
    if not runs_live(plan.phases, plan.registry):
        return None
    given = _tokenized(begun.beside, data, "train", plan.recipe.max_length)
    refuse_other_tokens(method_of(plan.recipe), own, given)
    return LiveTeacher(begun.beside, given)


def _answers(plan: Plan, begun: Begun, data: TaskData, folder: Path) -> tuple[TeacherAnswers, float]:
    """Answers to the few rows as the cache would hold them, with heads that were not fitted; the teacher's tokens/s."""
    folder = folder / fingerprint({"trial": 1})
    folder.mkdir()
    names, tokens, seconds = [], 0, 0.0
    for split in data.splits:
        start = time.perf_counter()
        states, read = _shown(begun.teacher, data, split, plan.recipe.max_length)
        seconds, tokens = seconds + time.perf_counter() - start, tokens + read
        parts = {split: _scores(plan, begun, states, data, split)}
        if split == "train" and needs_states(plan.phases, plan.registry):
            beside, _ = _shown(begun.beside, data, split, plan.recipe.max_length) if begun.assistants else (states, 0)
            parts |= {f"train.layer{layer}": pooled for layer, pooled in enumerate(beside.pooled)}
        for name, part in parts.items():
            new_array(folder, name, tuple(part.shape), "float32")[:] = part.numpy()
            names.append(name)
    seal(folder, {"trial": 1}, {}, names)
    return TeacherAnswers(Entry.open(folder), 0, {}), tokens / seconds


def _shown(source: LayerSource, data: TaskData, split: str, max_length: int) -> tuple[LayerStates, int]:
    rows = _tokenized(source, data, split, max_length)
    training = source.training
    source.eval()
    with torch.inference_mode():
        states = source(rows.batch(torch.arange(len(rows))))
    source.train(training)
    return states, int(rows.lengths().sum())


def _scores(plan: Plan, begun: Begun, states: LayerStates, data: TaskData, split: str) -> Tensor:
    """Scores (rows, layers + 1, C) of whoever teaches the student, by random heads."""
    length = plan.recipe.max_length
    if begun.assistants and plan.recipe.assistant_use == "ensemble":
        own = [_shown(source, data, split, length)[0].logits.float() for _, source in begun.assistants]
        return torch.stack([*own, torch.stack(own).mean(dim=0)], dim=1)
    if begun.assistants:
        states, _ = _shown(begun.beside, data, split, length)
    kind = plan.registry.pseudo_heads.lookup(plan.recipe.pseudo_head)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        scores = [kind(pooled.shape[1], data.space.size)(pooled.float()) for pooled in states.pooled]
    return torch.stack([*scores, states.logits.float()], dim=1)


def _tried(training: Training, phase: Phase, steps: int, rows: int, *, measure: bool) -> PhaseTrial:
    model, batch = phase_batch(training, phase, rows)
    maps: list[LayerMap] = []
    with _maps_noted(model, maps):
        if not measure:
            model.train().source.eval()
            with torch.no_grad():
                model(**batch)
            return PhaseTrial(phase, steps, tuple(maps))
        model.train()
        seconds, kept = _measured(model, batch)
    whole = training.recipe.batch_size / len(batch["labels"])
    return PhaseTrial(phase, steps, tuple(maps[: len(maps) // 2]), seconds * whole, round(kept * whole))


def _measured(model: DistillationModel, batch: Mapping[str, Any]) -> tuple[float, int]:
    """Seconds of the second of two training steps, and the bytes that it keeps for its backward pass."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-6)
    seconds, kept = 0.0, 0
    for _ in range(2):
        start = time.perf_counter()
        with _bytes_kept(model) as sizes:
            loss = model(**batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds, kept = time.perf_counter() - start, sum(sizes.values())
    return seconds, kept


@contextmanager
def _bytes_kept(model: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of the storages that the backward pass needs, by address; weights are not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield sizes


@contextmanager
def _maps_noted(model: DistillationModel, maps: list[LayerMap]) -> Iterator[None]:
    """Within the context every projector of a term notes what it decides."""
    with ExitStack() as hooks:
        for term, owner in model.terms.items():
            for module in owner.modules():
                if isinstance(module, Projector):
                    hooks.enter_context(module.register_forward_hook(_noter(term, maps)))
        yield


def _noter(term: str, maps: list[LayerMap]) -> Any:
    def note(module: Projector, _: Any, projection: Projection) -> None:
        maps.append(LayerMap(term, _named(module), projection.weights.detach().float().mean(dim=2)))

    return note


def _named(projector: Projector) -> str:
    options = projector.options.model_dump(exclude_defaults=True)
    return projector.name + (":" + ",".join(f"{key}={value}" for key, value in options.items()) if options else "")
