"""One bidirectional LSTM layer on the CPU: two plain LSTMs with a gather, or one over packed sequences?

    python benchmarks/bilstm_layer.py

Forward and backward of the same batch in alternation; prints the median of each and the ratio of the medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from ukd_adapters.bilstm import BiLSTMLayer

UNITS, LENGTH, WIDTH, HIDDEN, REPEATS = 32, 48, 384, 128, 15


def seconds(step: Callable[[], Tensor]) -> float:
    """Time of one forward and backward pass."""
    start = time.perf_counter()
    step().sum().backward()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    torch.manual_seed(0)
    lengths = torch.randint(10, LENGTH + 1, (UNITS,))
    lengths[0] = LENGTH
    mask = torch.arange(LENGTH) < lengths.unsqueeze(1)
    states = torch.randn(UNITS, LENGTH, WIDTH, requires_grad=True)
    ours, packed = BiLSTMLayer(WIDTH, HIDDEN), nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=True)

    def run_packed() -> Tensor:
        rows = nn.utils.rnn.pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(packed(rows)[0], batch_first=True)[0]

    times: dict[str, list[float]] = {"gather": [], "packed": []}
    for _ in range(REPEATS):
        times["gather"].append(seconds(lambda: ours(states, mask)))
        times["packed"].append(seconds(run_packed))
    gather, one = median(times["gather"]), median(times["packed"])
    print(f"gather {gather * 1e3:.1f} ms, packed {one * 1e3:.1f} ms, packed / gather {one / gather:.2f} "
          f"({UNITS} units of 10 to {LENGTH} tokens, width {WIDTH}, {HIDDEN} a direction, "
          f"{torch.get_num_threads()} threads)")


if __name__ == "__main__":
    main()
