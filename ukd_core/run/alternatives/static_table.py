"""A static table made of the teacher, as model2vec makes it, and logistic regression on the mean of its rows."""

from __future__ import annotations

import pickle  # nosec B403
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from ukd_core.layer_source import masked_mean
from ukd_core.run.alternatives.linear import fit_linear
from ukd_core.run.alternatives.task import Fitted, NotServed, Task, joined

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.layer_source import LayerSource

WIDTH = 256
SIF = 1e-4
ROWS_AT_ONCE = 256


def fit(task: Task) -> Fitted:
    """model2vec's `StaticModel` of the teacher's table (`static_table`), with a linear model on its text vectors.

    Raises:
        NotServed: model2vec is not installed, or the teacher shows no token states.
    """
    try:
        from model2vec import StaticModel
    except ImportError as error:
        raise NotServed("model2vec is not installed (pip install 'ukd[alternatives]')") from error
    source = task.teacher().source
    if not source.tokens_available or not source.tokenizer.is_fast:
        raise NotServed("the teacher shows no token states to make a table of")
    table = static_table(source, task.max_length, task.seed)
    model = StaticModel(table, source.tokenizer.backend_tokenizer, normalize=True, max_length=task.max_length)

    def vectors(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        return np.asarray(model.encode(joined(texts, pairs), use_multiprocessing=False), dtype=np.float32)

    linear = fit_linear(vectors(task.texts, task.pairs), task.labels, task.space, task.seed)
    size = table.nbytes + len(model.tokenizer.to_str().encode()) + len(pickle.dumps(linear))
    return Fitted(lambda texts, pairs: linear(vectors(texts, pairs)), size, table.size + linear.parameters)


def static_table(source: LayerSource, max_length: int, seed: int) -> np.ndarray:
    """One vector a token of the teacher's vocabulary, shape (tokens, 256 or the teacher's width), float16.

    As model2vec does (Tulkens and van Dongen, 2024, https://github.com/MinishLab/model2vec): each token alone through
    the teacher, the mean of its last token states; PCA; then a weight a / (a + p) with a = 1e-4 and p the frequency
    that Zipf's law gives the token's rank in the vocabulary.

    Args:
        source: The teacher, with tokens to show.
        max_length: Longest input in tokens.
        seed: Of the PCA.
    """
    states = np.concatenate([part.numpy() for part in _token_states(source, max_length)])
    reduced = PCA(min(WIDTH, *states.shape), svd_solver="auto", random_state=seed).fit_transform(states)
    zipf = 1.0 / np.arange(2, len(states) + 2)
    weights = SIF / (SIF + zipf / zipf.sum())
    return np.asarray(reduced * weights[:, None], dtype=np.float16)


def _token_states(source: LayerSource, max_length: int) -> Any:
    """Of each token id in order, (some tokens, width) at a time."""
    frame = source.tokenize(["a"], max_length=max_length)
    special = set(source.tokenizer.all_special_ids)
    places = [place for place, token in enumerate(frame["input_ids"][0]) if token not in special]
    first, after = (places[0], places[-1] + 1) if places else (0, len(frame["input_ids"][0]))
    tokens = len(source.tokenizer)
    source.eval()
    for begin in range(0, tokens, ROWS_AT_ONCE):
        ids = range(begin, min(begin + ROWS_AT_ONCE, tokens))
        rows = {key: [[*column[0][:first], token if key == "input_ids" else column[0][first], *column[0][after:]]
                      for token in ids] for key, column in frame.items()}
        yield _mean_state(source, rows)


def _mean_state(source: LayerSource, rows: dict[str, list[list[int]]]) -> Tensor:
    with torch.inference_mode():
        shown = source(source.pad(rows, multiple=1), frozenset({"tokens"}))
        return masked_mean(shown.tokens[-1], shown.mask).float()
