"""How near is the teacher pass to the raw forward pass of its model, and how far ahead of a fixed-padding loader?

    python benchmarks/teacher_pass.py --data FOLDER --teacher minilm --rows 4000 --repeats 5

Tokens (without padding) a second of three passes over the same rows in one process, each repeat in another order:

- ours: all of the teacher pass of a run, as it says itself in `metrics.json`; tokenizing the texts is in it;
- raw: the model alone, over batches that lie ready, of like length and within our token budget, padding included;
- loader: what is often written: a `DataLoader` in the order of the data, 32 rows a batch, all padded to --max-length.
  And once more padded to the longest row of the data, which is the kindest fixed padding.

--flops counts the arithmetic of the raw pass and gives our rate in TFLOP/s, --peak also the share of the device's best.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from contest import Contest, Pair, clock, command_line, ours, prepared
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from ukd_core.run.forward import TOKEN_BUDGET

SMALL_STUDENT = "cnn:layers=1,hidden=8,embeddings=random,embedding_width=8"
Batches = Sequence[dict[str, Tensor]]


class FixedRows(Dataset[dict[str, Tensor]]):
    """Rows that are all padded to one length.

    Args:
        contest: The rows.
        length: Of all of them.
    """

    def __init__(self, contest: Contest, length: int) -> None:
        fill = contest.teacher.source.padding()
        self.columns = {key: torch.tensor([row + [fill.get(key, 0)] * (length - len(row)) for row in rows])
                        for key, rows in contest.teacher.columns.items()}

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {key: values[row] for key, values in self.columns.items()}


def ready_batches(contest: Contest, budget: int) -> Batches:
    """Rows of like length, longest first, as many a batch as fit into the budget with their padding."""
    lengths = contest.teacher.lengths()
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    batches = []
    while order:
        padded = contest.teacher.source.padded_length(lengths[order[0]])
        size = max(1, budget // padded)
        batches.append(contest.teacher.batch(order[:size]))
        order = order[size:]
    return batches


def forward_all(contest: Contest, batches: Any) -> float:
    """Seconds of the model alone over batches."""
    model: nn.Module = contest.teacher.source.model
    with clock(contest.device) as seconds, torch.inference_mode(), contest.precision():
        for batch in batches:
            model(**contest.to_device(batch))
    return seconds[0]


def our_pass(contest: Contest) -> float:
    """Seconds of the teacher pass of a run that does next to nothing else."""
    with tempfile.TemporaryDirectory(dir=contest.folder) as cache:
        metrics = ours(contest, Path(cache), 0, epochs=1e-6)
    if metrics["teacher_rows_forwarded"] != len(contest.labels):
        raise SystemExit("expected a cold cache, but the teacher did not run on every row")
    return float(metrics["seconds"]["teacher_pass"])


def count_flops(contest: Contest, batches: Batches) -> int:
    """Multiplications and additions of the model over batches, each counted."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for batch in batches:
            contest.teacher.source.model(**contest.to_device(batch))
    return int(counter.get_total_flops())


def measure(contest: Contest) -> None:
    """Alternate the passes and print the table."""
    options, lengths = contest.options, contest.teacher.lengths()
    ready = ready_batches(contest, options.token_budget or TOKEN_BUDGET[contest.device.type])
    loaders = {f"loader, {length} tokens": DataLoader(FixedRows(contest, length), batch_size=32)
               for length in sorted({options.max_length, max(lengths)}, reverse=True)}
    passes: dict[str, Callable[[], float]] = {
        "ours": lambda: our_pass(contest), "raw": lambda: forward_all(contest, ready),
        **{name: lambda loader=loader: forward_all(contest, loader) for name, loader in loaders.items()}}  # type: ignore[misc]
    passes = {name: each for name, each in passes.items() if name.split(",")[0] in options.passes.split(",")}
    for each in passes.values():
        each()
    times: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(options.repeats):
        names = list(passes)
        for name in names[number % len(names):] + names[:number % len(names)]:
            times[name].append(passes[name]())
    tokens, mine = sum(lengths), median(times["ours"])
    print(f"{'pass':>22} {'seconds':>9} {'tokens/s':>10} {'ours / it':>10}")
    for name, spent in times.items():
        ratio = median(its / own for own, its in zip(times["ours"], spent, strict=True))
        print(f"{name:>22} {median(spent):9.3f} {tokens / median(spent):10,.0f} {ratio:10.3f}")
    if options.flops or options.peak:
        rate = count_flops(contest, ready) / mine / 1e12
        print(f"ours: {rate:.3f} TFLOP/s" + (f", {rate / options.peak:.1%} of {options.peak} TFLOP/s"
                                            if options.peak else ""))
    print(f"{contest.pair.teacher} teacher, {len(lengths)} rows, {tokens} tokens, longest row {max(lengths)}, "
          f"{contest.device.type}, {torch.get_num_threads()} threads")


def main() -> None:
    parser = command_line(__doc__, pairs=False)
    parser.add_argument("--teacher", choices=("minilm", "base"), default="minilm")
    parser.add_argument("--token-budget", type=int, help="of the raw pass; default: that of ours")
    parser.add_argument("--passes", default="ours,raw,loader", help="the ones to measure; ours is needed")
    parser.add_argument("--flops", action="store_true")
    parser.add_argument("--peak", type=float, metavar="TFLOPS", help="of the device at the precision in use")
    options: argparse.Namespace = parser.parse_args()
    with prepared(options, Pair(options.teacher, SMALL_STUDENT, "logit-kd")) as contest:
        measure(contest)


if __name__ == "__main__":
    main()
