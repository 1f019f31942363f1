"""How many times faster than the loop that a good engineer writes with transformers alone, cold and warm?

    python benchmarks/against_plain_loop.py --data FOLDER --pair minilm-bert2 --rows 2000 --epochs 3 --repeats 5

The loop asks the teacher in each step under inference mode; loss ½ cross-entropy + ½ T²·KL; tokens made once; batches
of like length, padded by `DataCollatorWithPadding`; fused AdamW, linear schedule, gradients clipped at 1. It writes
nothing and evaluates nothing. Ours: cold is teacher pass, heads and training; warm is the training of a second student;
our checkpoints are counted. Beside them S, a plain epoch of the student on labels, and T, the teacher's forward pass
over the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from contest import CLIP, PAIRS, Contest, Inputs, clock, command_line, compete, prepared
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from ukd_core import quiet

TEMPERATURE = 2.0


def loader(contest: Contest, seed: int) -> DataLoader[Any]:
    """Batches of both tokenizers' inputs with labels."""
    collate = {side: DataCollatorWithPadding(inputs.source.tokenizer, pad_to_multiple_of=8)
               for side, inputs in (("teacher", contest.teacher), ("student", contest.student))}

    def features(inputs: Inputs, rows: Sequence[int]) -> list[dict[str, list[int]]]:
        return [{key: values[row] for key, values in inputs.columns.items()} for row in rows]

    def both(rows: list[int]) -> tuple[Any, Any, Tensor]:
        return (collate["teacher"](features(contest.teacher, rows)),
                collate["student"](features(contest.student, rows)), contest.labels[rows])

    return DataLoader(range(len(contest.labels)), batch_sampler=contest.order(seed), collate_fn=both)  # type: ignore[arg-type]


def plain_loop(contest: Contest, seed: int) -> float:
    """Seconds of the loop over all epochs."""
    student, teacher = contest.new_student().train(), contest.teacher.source.model
    optimizer, schedule_class, schedule_options = contest.optimizer(student, contest.options.epochs)
    schedule = schedule_class(optimizer, **schedule_options)
    batches = loader(contest, seed)
    with quiet(), clock(contest.device) as seconds:
        for _ in range(contest.options.epochs):
            for teacher_inputs, student_inputs, labels in batches:
                with contest.precision():
                    with torch.inference_mode():
                        target = teacher(**contest.to_device(teacher_inputs)).logits
                    logits = student(**contest.to_device(student_inputs)).logits
                divergence = kl_div(log_softmax(logits.float() / TEMPERATURE, -1),
                                    log_softmax(target.float() / TEMPERATURE, -1).clone(),
                                    log_target=True, reduction="batchmean")
                loss = 0.5 * cross_entropy(logits.float(), labels.to(contest.device)) + (
                    0.5 * TEMPERATURE ** 2 * divergence)
                loss.backward()
                nn.utils.clip_grad_norm_(student.parameters(), CLIP)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
    return seconds[0]


def main() -> None:
    options = command_line(__doc__).parse_args()
    pair = PAIRS[options.pair]
    with prepared(options, replace(pair, student=options.student or pair.student)) as contest:
        compete(contest, "plain loop", plain_loop)


if __name__ == "__main__":
    main()
