"""One batch of the real data through both models and every phase, on the CPU; nothing of it is kept."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from ukd_core.run.looks import BATCH as LOOKED_AT_ONCE
from ukd_core.run.looks import sample_size
from ukd_core.run.phases import (
    Training,
    checkpoint_interval,
    labels_only,
    needs_states,
    phase_batch,
    phase_steps,
    usable_phases,
)
from ukd_core.run.plan import Plan, method_of
from ukd_core.run.preflight.costs import pass_pace
from ukd_core.run.preflight.timing import seconds_of, typical_seconds
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.quick_metrics import metric_of
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.trainer import can_look
from ukd_core.run.vocabulary import trim_vocabulary

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource, LayerStates
    from ukd_core.method import Phase
    from ukd_core.run.preflight.begin import Begun
    from ukd_core.run.preflight.reading import Reading
    from ukd_core.run.trainer import DistillationModel

MOST_STEPS = 5
"""Steps, after the first, that are made at most to know what one takes."""
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


class Batch(NamedTuple):
    """Size of a batch."""

    rows: int
    length: int
    """Tokens of the longest row."""


@dataclass(frozen=True)
class PhaseTrial:
    """What one batch showed of a phase."""

    phase: Phase
    steps: int
    maps: tuple[LayerMap, ...]
    seconds: float | None = None
    """Of one training step of a whole batch of typical rows; None where no step was made."""
    evaluation: float = 0.0
    """Seconds in which the student answers such a batch in evaluation."""
    beside: float = 0.0
    """Batches that are evaluated or looked at beside the steps."""
    first_score: float = 0.0
    """Seconds in which the metric is loaded, where that was not done before."""
    activations: int | None = None
    """Bytes kept for the backward pass of a whole batch of the longest rows."""
    tried: Batch | None = None
    """The batch that both were measured on."""

    @property
    def all_seconds(self) -> float:
        """Of all steps of the phase, and of what is read and scored beside them."""
        return self.steps * (self.seconds or 0.0) + self.beside * self.evaluation + self.first_score

    def of_a(self, whole: Batch) -> PhaseTrial:
        """The same for a whole batch: as many steps of its rows, room for its longest one."""
        if self.tried is None or self.seconds is None or self.activations is None:
            return self
        rows, longer = whole.rows / self.tried.rows, max(1.0, whole.length / self.tried.length)
        return replace(self, seconds=self.seconds * rows, evaluation=self.evaluation * rows,
                       activations=round(self.activations * rows * longer))


@dataclass(frozen=True)
class Trial:
    """What the batch showed."""

    phases: tuple[PhaseTrial, ...]
    learned: int = 0
    """Weights of the student that are trained."""
    tokens_per_second: float | None = None
    """Of the teacher, padding not counted; None where nothing is measured."""


def make_trial(plan: Plan, begun: Begun, rows: int, problems: Problems, readings: Mapping[str, Reading], *,
               measure: bool) -> Trial:
    """Ask the teacher about a few rows, then run every phase on them.

    Args:
        plan: The run.
        begun: Its models; with `measure` the student is changed, else nothing is.
        rows: Most rows of a batch.
        problems: Gets whatever does not fit; the other phases are tried all the same.
        readings: By side, teacher and student.
        measure: Time batches of the teacher, and a few training steps in each phase; else one forward
            pass of each.
    """
    grouped = measure and plan.recipe.group_by_length
    data = _few(plan.data, rows, readings["student"].typical() if grouped else None)
    pace = pass_pace(begun.teacher, readings["teacher"], plan.data, plan.recipe.max_length) if measure else None
    read = {name: _tokenized(begun.student, data, name, plan.recipe.max_length) for name in data.splits}
    with tempfile.TemporaryDirectory(prefix="ukd-preflight-") as name, writing(Path(name)):
        answers = _answers(plan, begun, data, Path(name))
        live = problems.attempt(_live, plan, begun, data, read["train"])
        if live is None and runs_live(plan.phases, plan.registry):
            return Trial((), tokens_per_second=pace)
        training = Training(begun.student, data, read, answers, plan.recipe, plan.registry, Path(name),
                            Processes(plan.recipe.device), Reporter(quiet=True), live)
        phases = usable_phases(plan.phases, plan.registry, plan.data)
        steps = phase_steps(plan.recipe, len(plan.data.splits["train"]), phases)
        with _trimmed(training, readings["student"]) if measure else nullcontext(training) as trained:
            learned = sum(weight.numel() for weight in begun.student.model.parameters() if weight.requires_grad)
            tried = [problems.attempt(_tried, plan, trained, phase, count, rows, measure=measure)
                     for phase, count in zip(phases, steps, strict=True)]
    whole = Batch(min(plan.recipe.batch_size, len(plan.data.splits["train"])),
                  int(readings["student"].tokens.lengths().max()) if grouped else 0)
    return Trial(tuple(each.of_a(whole) for each in tried if each is not None), learned, pace)


def _few(data: TaskData, rows: int, first: Tensor | None) -> TaskData:
    """A few training and validation rows, labelled ones and others where there are both.

    Args:
        data: All of it.
        rows: Most rows of a split.
        first: Training rows in the order in which they are taken, shape (rows,); None for random ones.
    """
    splits = [name for name in ("train", "validation") if name in data.splits]
    return data.only({name: _mixed(data.labelled(name), rows, first if name == "train" else None) for name in splits})


def _mixed(labelled: Tensor, rows: int, order: Tensor | None) -> Tensor:
    if order is None:
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


def _answers(plan: Plan, begun: Begun, data: TaskData, folder: Path) -> TeacherAnswers:
    """Answers to the few rows as the cache would hold them, with heads that were not fitted."""
    folder = folder / fingerprint({"trial": 1})
    folder.mkdir()
    names = []
    for split in data.splits:
        states = _shown(begun.teacher, data, split, plan.recipe.max_length)
        parts = {split: _scores(plan, begun, states, data, split)}
        if split == "train" and needs_states(plan.phases, plan.registry):
            beside = _shown(begun.beside, data, split, plan.recipe.max_length) if begun.assistants else states
            parts |= {f"train.layer{layer}": pooled for layer, pooled in enumerate(beside.pooled)}
        for name, part in parts.items():
            new_array(folder, name, tuple(part.shape), "float32")[:] = part.numpy()
            names.append(name)
    seal(folder, {"trial": 1}, {}, names)
    return TeacherAnswers(Entry.open(folder), 0, {})


def _shown(source: LayerSource, data: TaskData, split: str, max_length: int) -> LayerStates:
    rows = _tokenized(source, data, split, max_length)
    training = source.training
    source.eval()
    with torch.inference_mode():
        states: LayerStates = source(rows.batch(torch.arange(len(rows))))
    source.train(training)
    return states


def _scores(plan: Plan, begun: Begun, states: LayerStates, data: TaskData, split: str) -> Tensor:
    """Scores (rows, layers + 1, C) of whoever teaches the student, by random heads."""
    length = plan.recipe.max_length
    if begun.assistants and plan.recipe.assistant_use == "ensemble":
        own = [_shown(source, data, split, length).logits.float() for _, source in begun.assistants]
        return torch.stack([*own, torch.stack(own).mean(dim=0)], dim=1)
    if begun.assistants:
        states = _shown(begun.beside, data, split, length)
    kind = plan.registry.pseudo_heads.lookup(plan.recipe.pseudo_head)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        scores = [kind(pooled.shape[1], data.space.size)(pooled.float()) for pooled in states.pooled]
    return torch.stack([*scores, states.logits.float()], dim=1)


@contextmanager
def _trimmed(training: Training, reading: Reading) -> Iterator[Training]:
    """As the run trains it: without the embedding rows that no text reads; those of the sample stand for all."""
    if not training.recipe.trim_vocabulary:
        yield training
        return
    sample = {"sample": TokenizedRows(reading.tokens, training.source)}
    rows, trimmed = trim_vocabulary(training.source, {**training.rows, **sample})
    yield replace(training, rows=rows)
    if trimmed is not None:
        trimmed.restore()


def _tried(plan: Plan, training: Training, phase: Phase, steps: int, rows: int, *, measure: bool) -> PhaseTrial:
    model, batch = phase_batch(training, phase, rows)
    maps: list[LayerMap] = []
    if not measure:
        model.train().source.eval()
        with _maps_noted(model, maps), torch.no_grad():
            model(**batch)
        return PhaseTrial(phase, steps, tuple(maps))
    step = _training_step(model.train(), batch)
    with _maps_noted(model, maps), _bytes_kept(model) as sizes:
        step()  # kernels and memory pools are made in the first one
    seconds = typical_seconds(step, MOST_STEPS)
    evaluation, views = _evaluated(model, batch)
    beside, scored = _read_beside(plan, phase, steps, model, views)
    first_score = seconds_of(lambda: metric_of(plan.data.space)) if scored else 0.0
    return PhaseTrial(phase, steps, tuple(maps), seconds, evaluation, beside, first_score, sum(sizes.values()),
                      Batch(*batch["input_ids"].shape))


def _read_beside(plan: Plan, phase: Phase, steps: int, model: DistillationModel, views: int
                 ) -> tuple[float, bool]:
    """Batches, of as many rows as a step has, that are evaluated or looked at in a phase; whether some are scored.

    Args:
        plan: The run.
        phase: One of its phases.
        steps: Of the phase.
        model: Its terms.
        views: How many of them show something; where none does, the first look at a batch is the last.
    """
    labelled = plan.data.labelled("train")
    own = int(labelled.sum()) if labels_only(phase, plan.registry) else len(labelled)
    held_out = plan.data.labelled("validation") if "validation" in plan.data.splits else labelled[:0]
    compared = bool(held_out.any())
    times = math.ceil(steps / checkpoint_interval(plan.recipe, len(labelled), own, compared=compared))
    evaluated = times * len(held_out) if compared else 0
    sample = min(sample_size(len(labelled)), len(held_out) or len(labelled))
    looked = (times + 1) * sample if views else min(LOOKED_AT_ONCE, sample)
    if not any(can_look(term) for term in model.term_list):
        looked = 0
    return (evaluated + looked) / min(plan.recipe.batch_size, len(labelled)), compared or bool(views and labelled.any())


def _training_step(model: DistillationModel, batch: Mapping[str, Any]) -> Callable[[], None]:
    """What a training step of the run does, with a learning rate that changes next to nothing."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-6)

    def step() -> None:
        model(**batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _evaluated(model: DistillationModel, batch: Mapping[str, Any]) -> tuple[float, int]:
    """Seconds in which the student answers the batch in evaluation, and how many terms show something of it."""
    model.eval()
    with torch.no_grad():
        seconds = seconds_of(lambda: model(**batch))
        seen = {key: value for key, value in batch.items() if key not in ("teacher_states", "teacher_batch")}
        return seconds, len(model.look(**seen)) if "teacher_scores" in seen else 0


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
