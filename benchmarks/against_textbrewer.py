"""How many times faster than TextBrewer's GeneralDistiller, cold and warm, and how near to the bound of caching?

    pip install textbrewer==0.2.1.post1 tensorboard
    python benchmarks/against_textbrewer.py --data FOLDER --pair minilm-bert2 --rows 2000 --epochs 3 --repeats 5

Both train the same student from the same teacher on the same rows, with fused AdamW, a linear schedule, gradients
clipped at 1, batches of like length padded to their longest row. TextBrewer matches logits, and hidden states too
where both models are BERT; it writes one checkpoint at the end, no TensorBoard file, and evaluates nothing. Its time
is that of its `train()`. Ours: cold is teacher pass, heads and training; warm is the training of a second student.
Our checkpoints are counted. Each repeat measures all of them, in another order, and beside them
S, a plain epoch of the student on labels, and T, the teacher's forward pass over the same batches.

`--distiller cached` takes TextBrewer's BasicDistiller with its own cache of logits instead (no hidden states then, and
the same batches in every epoch); it needs a student that reads the teacher's tokens, as
`--student bilstm:vocabulary=teacher` does, since it cannot cache for batches of two tokenizers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contest import CLIP, PAIRS, Contest, clock, command_line, compete, prepared
from textbrewer import BasicDistiller, DistillationConfig, GeneralDistiller, TrainingConfig
from torch import Tensor

from ukd_core import quiet


def adaptor(batch: Mapping[str, Tensor], outputs: Any) -> dict[str, Any]:
    """What TextBrewer is to see of an output of transformers; hidden states where they were asked for."""
    seen = {"logits": outputs.logits}
    if outputs.hidden_states is not None:
        seen |= {"hidden": outputs.hidden_states, "inputs_mask": batch["attention_mask"]}
    return seen


def matches(contest: Contest) -> list[dict[str, Any]]:
    """Mean squared error of evenly spaced hidden states, embeddings included, where both models are of one kind."""
    teacher, student = contest.teacher.source, contest.student.source
    if type(teacher) is not type(student):
        return []
    step = teacher.num_layers // student.num_layers
    projected: dict[str, Any] = {}
    if teacher.widths[0] != student.widths[0]:
        projected = {"proj": ["linear", student.widths[0], teacher.widths[0]]}
    return [{"layer_T": layer * step, "layer_S": layer, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
             **projected} for layer in range(student.num_layers + 1)]


def textbrewer(contest: Contest, seed: int) -> float:
    """Seconds of TextBrewer's `train()`."""
    options, student, teacher = contest.options, contest.new_student(), contest.teacher.source.model
    hidden = [] if options.distiller == "cached" else matches(contest)
    for model in (student, teacher):
        model.config.output_hidden_states = bool(hidden)
    with tempfile.TemporaryDirectory(dir=contest.folder) as output:
        train_config = TrainingConfig(output_dir=output, log_dir=None, device=contest.device,
                                      ckpt_epoch_frequency=options.epochs)
        distill_config = DistillationConfig(temperature=1, kd_loss_type="ce", intermediate_matches=hidden,
                                            is_caching_logits=options.distiller == "cached")
        kind = BasicDistiller if options.distiller == "cached" else GeneralDistiller
        distiller = kind(train_config, distill_config, teacher, student, adaptor, adaptor)
        optimizer, schedule_class, schedule_options = contest.optimizer(student, options.epochs)
        with quiet(), distiller, clock(contest.device) as seconds, contest.precision():
            distiller.train(optimizer, Batches(contest, seed), num_epochs=options.epochs, max_grad_norm=CLIP,
                            scheduler_class=schedule_class, scheduler_args=schedule_options)
    teacher.config.output_hidden_states = False
    return seconds[0]


class Batches:
    """The shared batches in the form that TextBrewer takes: both sides by name, or one batch for both models."""

    def __init__(self, contest: Contest, seed: int) -> None:
        self.loader = contest.loader(seed)
        self.one = contest.options.distiller == "cached"

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        for batch in self.loader:
            yield batch["student"] if self.one else {"teacher": batch["teacher"], "student": batch["student"]}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--distiller", choices=("general", "cached"), default="general")
    options: argparse.Namespace = parser.parse_args()
    pair = PAIRS[options.pair]
    with prepared(options, replace(pair, student=options.student or pair.student)) as contest:
        if options.distiller == "cached" and contest.teacher.columns != contest.student.columns:
            parser.error("--distiller cached needs a student that reads the teacher's tokens")
        compete(contest, "TextBrewer", textbrewer)


if __name__ == "__main__":
    main()
