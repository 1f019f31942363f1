"""One pass of a model over tokenized rows, in batches of like length, with the order kept by row number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource, LayerStates
    from ukd_core.run.rows import TokenizedRows

Done = TypeVar("Done")
MOST_STREAMS = 4
"""Batches that run at once on a CPU; each holds its own states in memory."""
TOKEN_BUDGET = {"cpu": 2048, "cuda": 65_536, "mps": 16_384}
"""Tokens in a batch of a pass, padding included: enough to fill the device, small enough for any memory."""


def batches_by_length(lengths: Tensor, token_budget: int, multiple: int = 8) -> list[Tensor]:
    """Row numbers in batches, longest rows first, each batch within the budget after padding.

    Args:
        lengths: Tokens of each row, shape (rows,), int64.
        token_budget: Most tokens of a batch, padding included; a single row may have more.
        multiple: Lengths are padded up to it.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    padded = (-(-lengths[order].clamp(min=1) // multiple) * multiple).tolist()
    batches, begin = [], 0
    while begin < len(order):
        size = max(1, token_budget // padded[begin])
        batches.append(order[begin: begin + size])
        begin += size
    return batches


def forward_rows(source: LayerSource, rows: TokenizedRows, chosen: Tensor, *, bf16: bool = False,
                 on_batch: Callable[[Tensor], None] | None = None) -> Iterator[tuple[Tensor, LayerStates]]:
    """Run the model over some rows in evaluation mode, without gradients; yields row numbers with their states.

    The states stay on the model's device, and nothing here waits for it. On a CPU several batches run at once, each
    with its share of the threads: threads that work on one batch wait for each other at every product of matrices.

    Args:
        source: On the device it is to run on; its training mode is restored.
        rows: Tokenized by `source`.
        chosen: Row numbers, shape (units,), int64.
        bf16: Run under bfloat16 autocast.
        on_batch: Called with the row numbers of each batch that is done.
    """
    device = next(source.parameters()).device
    pinned = device.type == "cuda"

    def run(batch: Tensor) -> tuple[Tensor, LayerStates]:
        inputs = {key: (value.pin_memory() if pinned else value).to(device, non_blocking=True)
                  for key, value in rows.batch(batch).items()}
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return batch, source(inputs)

    training = source.training
    source.eval()
    try:
        batches = [chosen[places] for places in batches_by_length(rows.lengths()[chosen], TOKEN_BUDGET[device.type])]
        for batch, states in _several_at_once(run, batches) if device.type == "cpu" else map(run, batches):
            yield batch, states
            if on_batch:
                on_batch(batch)
    finally:
        source.train(training)


def _several_at_once(run: Callable[[Tensor], Done], batches: Sequence[Tensor]) -> Iterator[Done]:
    """What `run` gives for each batch, in order; at most one more than there are streams is kept in memory."""
    threads = torch.get_num_threads()
    streams = min(threads, MOST_STREAMS, len(batches))
    if streams < 2:
        yield from map(run, batches)
        return
    torch.set_num_threads(threads // streams)
    try:
        with ThreadPoolExecutor(streams) as pool:
            waiting: deque[Future[Done]] = deque()
            for batch in batches:
                waiting.append(pool.submit(run, batch))
                if len(waiting) > streams:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def kept(states: LayerStates) -> tuple[Tensor, ...]:
    """Pooled states of every layer, (units, width_l), and the logits, (units, C), for as long as they are wanted.

    They are copied: the state of a first token is a view, which would keep the states of all tokens in memory.
    """
    return tuple(part.clone() for part in (*states.pooled, states.logits))


def in_order(chosen: Tensor, batches: list[Tensor], parts: list[Tensor]) -> Tensor:
    """Join what batches gave, in the order of `chosen`, as float32 on the CPU.

    Args:
        chosen: Row numbers, shape (units,), each once.
        batches: Row numbers of each batch.
        parts: What each batch gave, units first.
    """
    places = torch.empty(int(chosen.max()) + 1 if len(chosen) else 0, dtype=torch.int64)
    places[torch.cat(batches)] = torch.arange(len(chosen))
    joined = torch.cat([part.float() for part in parts])
    return joined[places[chosen].to(joined.device)].cpu()


def classify(source: LayerSource, rows: TokenizedRows, *, bf16: bool = False) -> Tensor:
    """The model's own scores of all rows, in order: shape (rows, C), float32, on the CPU."""
    scores = torch.empty(0)
    for batch, states in forward_rows(source, rows, torch.arange(len(rows)), bf16=bf16):
        if not len(scores):
            scores = torch.empty(len(rows), states.logits.shape[1], device=states.logits.device)
        # Written at once: small tensors that stay would cut up the memory that large ones leave and need again.
        scores[batch] = states.logits.float()
    return scores.cpu()
