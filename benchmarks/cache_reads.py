"""How large is a cache entry, how quickly is it opened, and how many rows a second are read in random batches?

Run as ``python benchmarks/cache_reads.py --rows 1000000``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ukd_core.run.cache.arrays import Entry, new_array, seal
from ukd_core.run.fingerprint import fingerprint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", default=None, help="Where the entry is written; a temporary folder by default.")
    options = parser.parse_args()
    shape = (options.rows, options.layers + 1, options.classes)
    facts = {"rows": options.rows}
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        folder = Path(root) / fingerprint(facts)
        folder.mkdir()
        array = new_array(folder, "train", shape, options.dtype)
        generator = np.random.default_rng(0)
        for start in range(0, options.rows, 10_000):
            array[start: start + 10_000] = generator.normal(size=(min(10_000, options.rows - start), *shape[1:]))
        seal(folder, facts, {}, ["train"])
        least = options.rows * shape[1] * shape[2] * np.dtype(options.dtype).itemsize
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"bytes a row {size / options.rows:.2f}, {size / least:.4f} of the scores alone")
        opened, verified = [], []
        for _ in range(options.repeats):
            start_time = time.perf_counter()
            entry = Entry.open(folder)
            opened.append(time.perf_counter() - start_time)
            entry.verify()
            verified.append(time.perf_counter() - start_time - opened[-1])
        print(f"open {statistics.median(opened) * 1e3:.2f} ms, verify all {statistics.median(verified):.3f} s "
              f"(medians of {options.repeats})")
        for batch in (32, 256, 2048):
            rates = []
            for _ in range(options.repeats):
                rows = torch.randint(0, options.rows, (200_000 // batch, batch))
                start_time = time.perf_counter()
                for chosen in rows:
                    entry.arrays["train"].rows(chosen)
                rates.append(rows.numel() / (time.perf_counter() - start_time))
            print(f"random batches of {batch}: {statistics.median(rates) / 1e6:.2f} M rows/s")


if __name__ == "__main__":
    main()
