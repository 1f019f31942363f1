"""Several assistants as one teacher: their answers side by side, and their weighted mixture as the classifier.

After Ganta, Das Gupta, Sheng, Knowledge Distillation via Weighted Ensemble of Teaching Assistants
(https://arxiv.org/abs/2206.12005): the weights are those of the projector `ensemble`, from labelled rows. Ours mixes
scores, not probabilities.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ukd_core.errors import InputError
from ukd_core.formats import ANSWERS
from ukd_core.projector import ProjectorSetup
from ukd_core.run.cache.answers import TeacherAnswers
from ukd_core.run.cache.arrays import DamagedEntryError, Entry, StoredArray, new_array, seal
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import data_facts, fingerprint
from ukd_core.run.held_out import SPLITS, held_out_rows
from ukd_core.run.live import runs_live
from ukd_core.run.phases import needs_states

if TYPE_CHECKING:
    from ukd_core.run.assistants import Link
    from ukd_core.run.plan import Plan
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter

PROJECTOR = "ensemble"
"""Whose weights the mixture has."""
ROWS_AT_ONCE = 1 << 14
WHERE = "assistant-use 'ensemble'"


class StackedScores:
    """Final scores of several models, read as one array: (rows, K, C).

    Args:
        parts: Answers of each to one split, (rows, T + 1, C); T may differ.
    """

    def __init__(self, parts: Sequence[StoredArray]) -> None:
        self.parts = parts

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, K, C."""
        return (len(self.parts[0]), len(self.parts), self.parts[0].shape[-1])

    def rows(self, index: Tensor) -> Tensor:
        """Some rows: index (units,), int64, to (units, K, C), float32."""
        return torch.stack([part.rows(index)[:, -1] for part in self.parts], dim=1)


def check_mixture(plan: Plan) -> None:
    """Refuse a run whose assistants cannot teach together; called before anything is trained.

    Raises:
        InputError: there are no assistants or no labelled rows, or a term needs hidden states.
    """
    if not plan.assistants and not plan.default_assistants:
        raise InputError(WHERE, "expected assistants, got none", "Name them with --assistants A,B,...")
    if needs_states(plan.phases, plan.registry) or runs_live(plan.phases, plan.registry):
        raise InputError(WHERE, "expected a method that learns from scores, got one that needs the teacher's hidden "
                                "states", "Use --assistant-use chain.")
    if not any(plan.data.labelled(split).any() for split in SPLITS if split in plan.data.splits):
        raise InputError(WHERE, "expected labelled validation or training rows to weigh assistants by, got none",
                         "Use --assistant-use chain.")


def mixed_answers(plan: Plan, members: Sequence[Link], processes: Processes, reporter: Reporter) -> TeacherAnswers:
    """The answers that the student learns from: those of each assistant, in order, last their mixture.

    Kept in the cache like those of a teacher, with the weights in `Entry.about`; read by later runs.

    Args:
        plan: The run.
        members: The assistants with their answers.
        processes: Who takes part.
        reporter: Where progress goes.

    Raises:
        DamagedEntryError: the entry was changed after it was written, and may not be rebuilt.
    """
    scores = [{split: link.answers.scores(split).checksum for split in plan.data.splits} for link in members]
    facts = ANSWERS.mark({"mixture": PROJECTOR, "data": data_facts(plan.data), "dtype": plan.recipe.cache_dtype,
                          "members": scores})
    target = plan.cache / "answers" / fingerprint(facts)
    with processes.lock(target.with_name(f"{target.name}.lock"), reporter):
        if processes.is_main:
            _drop_damaged(target, rebuild=plan.recipe.rebuild_damaged)
            if not target.is_dir():
                with whole_folder(target) as folder:
                    _write(plan, members, folder, facts)
        processes.wait()
        entry = Entry.open(target)
    reporter.say("assistants: mixed with the weights " + ", ".join(f"{share:.3f}" for share in entry.about["weights"]))
    return TeacherAnswers(entry, 0, {})


def _drop_damaged(target: Path, *, rebuild: bool) -> None:
    """Check what an earlier run wrote; remove it where it is damaged and may be rebuilt."""
    if target.is_dir():
        try:
            Entry.open(target).verify()
        except DamagedEntryError:
            if not rebuild:
                raise
            shutil.rmtree(target)


def _write(plan: Plan, members: Sequence[Link], folder: Path, facts: Mapping[str, Any]) -> None:
    stacks = {split: StackedScores([link.answers.scores(split) for link in members]) for split in plan.data.splits}
    shares = _shares(plan, stacks)
    for split, stack in stacks.items():
        rows, layers, size = stack.shape
        array = new_array(folder, split, (rows, layers + 1, size), plan.recipe.cache_dtype)
        for index in torch.split(torch.arange(rows), ROWS_AT_ONCE):
            scores = stack.rows(index)
            mixture = torch.einsum("k,ukc->uc", shares, scores)
            array[index.numpy()] = torch.cat([scores, mixture.unsqueeze(1)], dim=1).numpy()
    about = {"teacher": " + ".join(link.name for link in members), "data": plan.recipe.data, "weights": shares.tolist(),
             "rows": sum(stack.shape[0] for stack in stacks.values()),
             "made": datetime.now(UTC).isoformat(timespec="seconds")}
    seal(folder, facts, about, list(stacks))


def _shares(plan: Plan, stacks: Mapping[str, StackedScores]) -> Tensor:
    """The weight of each assistant, shape (K,), float32."""
    space = plan.data.space
    count = next(iter(stacks.values())).shape[1]
    kind = plan.registry.projectors.lookup(PROJECTOR)
    setup = ProjectorSetup(1, count, space.size, space.shift_invariant,
                           held_out=held_out_rows(plan.data, stacks.__getitem__)(count))
    nothing = torch.zeros(1, 1, space.size)
    projection = kind(kind.Options(), setup)(nothing, nothing.expand(count, 1, -1))
    weights: Tensor = projection.weights[0, :, 0].detach()
    return weights
