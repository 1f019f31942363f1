"""Training: transformers' Trainer with a loss that is a sum of terms, over a student and what the terms own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from ukd_core.errors import InputError
from ukd_core.layer_source import Batch, LayerSource
from ukd_core.run.batches import RowBatches, RowDataset, RowLoader, as_it_is
from ukd_core.run.culprit import described
from ukd_core.run.files import writing
from ukd_core.run.guards import OnlyFinite, all_finite, first_not_finite
from ukd_core.run.kept import whole_checkpoints
from ukd_core.run.lines import append_line, cut
from ukd_core.run.live import LiveTeacher, shown
from ukd_core.term import Term, TermInput, TermView

if TYPE_CHECKING:
    from ukd_core.catalogue import Registry
    from ukd_core.method import TermSpec
    from ukd_core.output_space import OutputSpace
    from ukd_core.run.processes import Processes

NOT_LOOKED_AT = frozenset({"teacher-states", "teacher-tokens", "teacher-attentions", "teacher-embeddings"})
"""Needs that are served in training alone."""


class DistillationModel(nn.Module):
    """The student with the terms of a phase; gives the loss in training and the scores in evaluation.

    Args:
        source: The student.
        terms: By their name in the log.
        specs: What the phase says of them, in the same order.
        space: What scores mean.
        live: The teacher, where a term needs it to run in every step; it is no part of this module.
    """

    def __init__(self, source: LayerSource, terms: Mapping[str, Term], specs: Sequence[TermSpec],
                 space: OutputSpace, live: LiveTeacher | None = None) -> None:
        super().__init__()
        self.source = source
        self.terms = nn.ModuleDict(terms)
        self.term_list = list(terms.values())
        """The terms in the order of their weights."""
        self.specs = specs
        self.space = space
        self.weights = [spec.weight_at(0.0) for spec in specs]
        self.needs = frozenset(need.removeprefix("student-") for term in terms.values() for need in term.needs
                               if need.startswith("student-"))
        self.live = live
        self.teacher_needs = shown("teacher", (need for term in terms.values() for need in term.needs))

    def on_progress(self, fraction: float) -> None:
        """Give terms (and through them projectors) and weights the progress of the phase, 0 ≤ fraction < 1."""
        self.weights = [spec.weight_at(fraction) for spec in self.specs]
        for term in self.term_list:
            term.on_progress(fraction)

    def forward(self, labels: Tensor | None = None, teacher_scores: Tensor | None = None,
                teacher_states: tuple[Tensor, ...] | None = None, teacher_batch: Batch | None = None,
                **batch: Tensor) -> dict[str, Tensor]:
        """Score a batch; with labels and in training, also the loss of each term and their weighted sum."""
        states = self.source.shown(batch, self.needs if self.training else frozenset())
        if not self.training or labels is None:
            return {"logits": states.logits}
        scores = None if teacher_scores is None else teacher_scores.transpose(0, 1)
        teacher = None
        if self.live is not None and teacher_batch is not None:
            teacher = self.live.show(teacher_batch, self.teacher_needs)
            teacher_states = teacher.pooled
        seen = TermInput(states, labels, self.space.is_labelled(labels), scores, teacher_states, teacher)
        losses = torch.stack([term.loss(seen).float() for term in self.term_list])
        return {"loss": losses @ losses.new_tensor(self.weights), "logits": states.logits, "losses": losses}

    def look(self, labels: Tensor, teacher_scores: Tensor, **batch: Tensor) -> dict[str, TermView]:
        """What the terms that can be looked at show of a batch, by their name in the log; see `Term.look`."""
        looked = {key: term for key, term in self.terms.items() if isinstance(term, Term) and can_look(term)}
        if not looked:
            return {}
        states = self.source(batch, self.needs)
        seen = TermInput(states, labels, self.space.is_labelled(labels), teacher_scores.transpose(0, 1))
        views = {key: term.look(seen) for key, term in looked.items()}
        return {key: view for key, view in views.items() if view is not None}


def can_look(term: Term) -> bool:
    """Whether a term may show something of its layers outside of training."""
    return type(term).look is not Term.look and not any(need in NOT_LOOKED_AT for need in term.needs)


class DistillationTrainer(Trainer):  # type: ignore[misc]
    """The engine of every phase; resume, precision, several processes and checkpoints are transformers'.

    Args:
        model: Student and terms.
        args: As transformers takes them.
        train: Training rows.
        batches: Their order.
        validation: Rows that checkpoints are compared on, or None.
        head_learning_rate: Of what the terms own.
        registry: Says which plug-in a term is from.
        processes: Who takes part.
        callbacks: As transformers takes them.
    """

    optimizer: torch.optim.Optimizer | None

    def __init__(self, model: DistillationModel, args: TrainingArguments, *, train: RowDataset, batches: RowBatches,
                 validation: RowDataset | None, head_learning_rate: float, registry: Registry,
                 processes: Processes, callbacks: list[TrainerCallback]) -> None:
        self.batches = batches
        self.processes = processes
        self.head_learning_rate = head_learning_rate
        self.registry = registry
        self._terms = {key: term for key, term in model.terms.items() if isinstance(term, Term)}
        self._losses: list[Tensor] = []
        self._teacher_rows = 0
        space = model.space

        def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
            return dict(evaluate_scores(torch.as_tensor(prediction.predictions),
                                        torch.as_tensor(prediction.label_ids), space))

        super().__init__(model=model, args=args, data_collator=as_it_is, train_dataset=train,
                         eval_dataset=validation, compute_metrics=compute_metrics, callbacks=callbacks)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over the batch
        self.remove_callback(PrinterCallback)
        self.add_callback(OnlyFinite(self.refuse_not_finite))

    def get_train_dataloader(self) -> RowLoader:
        """Whole batches; `RowBatches` gives each process its part, so Accelerate has nothing to divide."""
        return RowLoader(self.train_dataset, self.batches, pin_memory=self.args.dataloader_pin_memory)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False,
                     num_items_in_batch: Any = None) -> Any:
        """The weighted sum of terms; each term's share is kept on the device until it is logged."""
        outputs = model(**inputs)
        losses = outputs["losses"].detach()
        if self.processes.count > 1:
            outputs["loss"] = outputs["loss"] * self._share(len(outputs["logits"]))
        self._losses.append(losses)
        if self.processes.count == 1 and losses.device.type == "cpu" and not losses.isfinite().all():
            self._refuse_losses(self.state.global_step + 1, inputs)  # elsewhere to look would be to wait
        self._teacher_rows += len(outputs["logits"]) if "teacher_batch" in inputs else 0
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def teacher_rows(self) -> int:
        """Rows that a live teacher read so far, all processes together."""
        own = torch.tensor(float(self._teacher_rows), device=self.args.device)
        return int(self.accelerator.reduce(own, "sum"))

    def _share(self, units: int) -> Tensor:
        """Makes the mean over processes, which gradients get, the mean over units where parts are not equal."""
        own = torch.tensor(float(units), device=self.args.device)
        total: Tensor = self.accelerator.reduce(own.clone(), "sum")
        return own * self.processes.count / total

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool,
                        ignore_keys: list[str] | None = None) -> tuple[None, Tensor, Tensor]:
        """Scores and labels of an evaluation batch; terms have no part in it."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")
        with torch.no_grad(), self.compute_loss_context_manager():
            logits = model(**inputs)["logits"]
        return None, logits.float(), labels

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW: biases and norms without weight decay, what the terms own with its own learning rate."""
        if self.optimizer is None:
            decayed = set(self.get_decay_parameter_names(self.model))
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    rate = self.head_learning_rate if name.startswith("terms.") else self.args.learning_rate
                    decay = self.args.weight_decay if name in decayed else 0.0
                    groups.setdefault((rate, decay), []).append(parameter)  # few groups: each costs every step
            optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args)
            self.optimizer = optimizer_class([{"params": parameters, "lr": rate, "weight_decay": decay}
                                              for (rate, decay), parameters in groups.items()], **options)
        return self.optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each term since the last log."""
        if "loss" in logs and self._losses:
            means = self._shared_losses().mean(dim=0).tolist()
            logs.update({f"loss/{key}": mean for key, mean in zip(self._terms, means, strict=True)})
            self._losses = []
        super().log(logs, start_time)

    def _shared_losses(self) -> Tensor:
        """The terms since the last log, means over processes: shape (steps, terms)."""
        losses: Tensor = self.accelerator.reduce(torch.stack(self._losses), "mean")
        return losses

    def refuse_not_finite(self) -> None:
        """Stop a diverged run before anything of it is logged, evaluated or kept; called by `OnlyFinite`.

        Raises:
            InputError: a term, or a weight, is not finite.
        """
        self._refuse_losses(self.state.global_step)
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and not all_finite(weight.detach()):
                raise InputError(f"weight '{name}'", "expected finite numbers, got others after "
                                 + self.place(self.state.global_step), self._way_on())

    def _refuse_losses(self, last: int, inputs: Mapping[str, Any] | None = None) -> None:
        """Refuse terms that are not finite; `last` is the step of the newest of them, `inputs` its batch."""
        losses = self._shared_losses() if self._losses else torch.zeros(0, 0)
        for row, column in (~losses.isfinite()).nonzero().tolist():
            first = "" if inputs is None else first_not_finite(self.model, inputs, self.registry)
            raise InputError(
                described(list(self._terms.values())[column], self.registry), f"expected a finite loss, got "
                f"{losses[row, column]} in {self.place(last - len(losses) + 1 + row)}{first}", self._way_on())

    def place(self, step: int | None = None) -> str:
        """A step, or the one that runs, for messages."""
        return f"step {step or self.state.global_step + 1} of phase {Path(self.args.output_dir).name}"

    def _way_on(self) -> str:
        kept = whole_checkpoints(Path(self.args.output_dir))[:1]
        told = (f" The checkpoint of step {kept[0].name.rpartition('-')[2]} is kept: --resume goes on there, and comes "
                "here again unless the machine was at fault.") if kept else ""
        return "Start anew with --overwrite and a lower --learning-rate." + told

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        with writing(Path(self.args.output_dir), RuntimeError):
            super()._save_checkpoint(*arguments, **options)


def evaluate_scores(logits: Tensor, labels: Tensor, space: OutputSpace) -> Mapping[str, float]:
    """Metrics over the labelled rows; empty where no row has a label.

    Args:
        logits: Shape (rows, C), floating.
        labels: Encoded, shape (rows,) or (rows, C).
        space: Meaning of both.
    """
    labelled = space.is_labelled(labels)
    if not labelled.any():
        return {}
    return space.metrics(space.predictions(logits[labelled]).numpy(), labels[labelled].numpy())


class ProgressToModel(TrainerCallback):  # type: ignore[misc]
    """Tells terms and their weights how far the phase is."""

    def __init__(self, model: DistillationModel) -> None:
        self.model = model

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Before every training step."""
        self.model.on_progress(state.global_step / max(state.max_steps, 1))


class JsonLog(TrainerCallback):  # type: ignore[misc]
    """Appends what the Trainer logs to the run's log, a JSON object a line.

    Args:
        path: The file.
        phase: Name of the phase.
        number: Its place in the run, from 1.
        writes: Whether this process writes; one is enough.
    """

    def __init__(self, path: Path, phase: str, number: int, writes: bool = True) -> None:
        self.path = path
        self.place: dict[str, Any] = {"phase": phase, "number": number}
        self.writes = writes

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Where a resumed phase goes on: what was logged after its checkpoint is logged again."""
        if self.writes:
            number, step = self.place["number"], state.global_step
            cut(self.path, lambda line: (line.get("number", 0), line["step"]) <= (number, step)
                and not (line.get("number") == number and "train_runtime" in line))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
               logs: dict[str, Any] | None = None, **_: Any) -> None:
        """After every logging interval and evaluation."""
        if self.writes:
            append_line(self.path, {**self.place, "step": state.global_step, **(logs or {})})


class ProgressBar(TrainerCallback):  # type: ignore[misc]
    """Moves the run's progress bar."""

    def __init__(self, advance: Any) -> None:
        self.advance = advance

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After every training step."""
        self.advance(1)


class LastStep(TrainerCallback):  # type: ignore[misc]
    """The last step of a phase is logged and evaluated, whatever the interval.

    It is saved only where checkpoints are compared: else what the phase ends with is written next.
    """

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After every training step."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = args.eval_strategy != "no"
            control.should_log = True
            control.should_save = args.load_best_model_at_end
