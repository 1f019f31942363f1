"""fastText's own classifier: Joulin et al., Bag of Tricks for Efficient Text Classification, EACL 2017."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ukd_core.run.alternatives.task import CLASSES, LEAST_CHANCE, Fitted, NotServed, Task, joined

WIDTH = 50
RATE = 0.5
ROWS_SEEN = 500_000
FEWEST_PASSES, MOST_PASSES = 5, 100
LABEL = "__label__"
FRESH_MEMORY = 64 * 2**20
"""Bytes from which an allocation starts as zeros."""


def fit(task: Task) -> Fitted:
    """Lower-cased words and pairs of words, width 50, learning rate 0.5; 5 to 100 passes, by the number of rows.

    One thread, so that the same rows give the same model. On one thread fastText draws only the first tenth of its
    table at random and takes the rest as memory is: there are ten times more rows than words, in fresh memory.

    Raises:
        NotServed: not a task of classes, the texts have no word, or fastText is not installed or fails.
    """
    if task.space.problem_type != CLASSES:
        raise NotServed("fastText answers with one of several classes, and this task is another")
    try:
        import fasttext
    except ImportError as error:
        raise NotServed("fasttext-numpy2 is not installed") from error
    rows = zip(task.labels, _lines(task.texts, task.pairs), strict=True)
    lines = [f"{LABEL}{label} {line}\n" for label, line in rows]
    words = len({word for line in lines for word in line.split()})
    passes = min(MOST_PASSES, max(FEWEST_PASSES, ROWS_SEEN // len(lines)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.txt"
        file.write_text("".join(lines), encoding="utf-8")
        try:
            model = fasttext.train_supervised(str(file), lr=RATE, dim=WIDTH, epoch=passes, wordNgrams=2, thread=1,
                                              bucket=max(10 * words, FRESH_MEMORY // (4 * WIDTH)), verbose=0)
        except (RuntimeError, ValueError) as error:
            raise NotServed(f"fastText says: {str(error).rstrip('.')}") from error
        model.save_model(str(file))
        size = file.stat().st_size
    weights = sum(matrix.size for matrix in (model.get_input_matrix(), model.get_output_matrix()))
    return Fitted(_answering(model, task.space.size), size, weights)


def _answering(model: Any, size: int) -> Any:
    def answer(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        chances = np.full((len(texts), size), LEAST_CHANCE)
        named, given = model.predict(_lines(texts, pairs), k=-1)
        for row, (labels, shares) in enumerate(zip(named, given, strict=True)):
            for label, share in zip(labels, shares, strict=True):
                chances[row, int(label.removeprefix(LABEL))] = max(float(share), LEAST_CHANCE)
        return np.asarray(np.log(chances))

    return answer


def _lines(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    """Words and marks between blanks, on one line."""
    return [" ".join(re.findall(r"\w+|[^\w\s]", text.lower())) for text in joined(texts, pairs)]
