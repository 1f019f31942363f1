"""TF-IDF and a linear model: what to try first, and often enough."""

from __future__ import annotations

import pickle  # nosec B403
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from ukd_core.run.alternatives.linear import fit_linear
from ukd_core.run.alternatives.task import Fitted, NotServed, Task, joined


def fit(task: Task) -> Fitted:
    """Words and pairs of words, and pieces of 2 to 4 characters within words, by 1 + log(count) · idf.

    A linear model on them: logistic regression for classes, one for each of several labels, ridge regression for
    numbers; its penalty is chosen on a fifth of the rows.

    Raises:
        NotServed: the texts hold nothing that counts as a word, or the space is of a kind of its own.
    """
    parts = (TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b"),
             TfidfVectorizer(sublinear_tf=True, ngram_range=(2, 4), analyzer="char_wb"))
    rows = joined(task.texts, task.pairs)
    try:
        features = hstack([part.fit_transform(rows) for part in parts], format="csr")
    except ValueError as error:  # scikit-learn's word for texts without any word
        raise NotServed(f"scikit-learn says: {str(error).rstrip('.')}") from error
    linear = fit_linear(features, task.labels, task.space, task.seed)

    def answer(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        rows = joined(texts, pairs)
        return linear(hstack([part.transform(rows) for part in parts], format="csr"))

    return Fitted(answer, sum(map(_stored, (*parts, linear))), linear.parameters)


def _stored(part: Any) -> int:
    """Bytes of a pickle, as scikit-learn's models are kept."""
    return len(pickle.dumps(part))
