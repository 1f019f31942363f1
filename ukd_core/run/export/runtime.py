"""An exported folder at work: onnxruntime and tokenizers, no torch in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from ukd_core.errors import InputError, UKDError
from ukd_core.formats import EXPORTED
from ukd_core.run.answer import StoredModel
from ukd_core.run.export.graph import require
from ukd_core.run.export.tokenizer import Reader
from ukd_core.run.files import files_bytes

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry

ABOUT = "ukd.json"
"""What an exported folder says of itself; no other folder has this file."""
ROWS = 32
"""Rows that the model is given at once."""


def is_exported(folder: Path) -> bool:
    """Whether a folder was written by ``ukd export --format onnx`` (or ``onnx-int8``)."""
    return (folder / ABOUT).is_file()


class OnnxModel(StoredModel):
    """An exported folder that answers on the CPU.

    Args:
        folder: As `ukd_core.run.export.folders.write_onnx` leaves it.
        space: Meaning of the scores.
        about: What its ``ukd.json`` holds.
        threads: Threads of the processor; 0 for all cores.
    """

    def __init__(self, folder: Path, space: OutputSpace, about: dict[str, Any], threads: int = 0) -> None:
        require("onnxruntime")
        import onnxruntime
        super().__init__(str(folder), space, files_bytes(folder), int(about["parameters"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options,
                                                    providers=["CPUExecutionProvider"])
        self.reader = Reader(Tokenizer.from_file(str(folder / "tokenizer.json")), about["inputs"])

    def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
        """Scores of texts, see `StoredModel.answer`; `ROWS` at a time, texts of like length together."""
        if len(texts) <= ROWS:
            return torch.from_numpy(self._run(texts, pairs))
        sizes = [len(text) for text in texts] if pairs is None else [len(a) + len(b)
                                                                    for a, b in zip(texts, pairs, strict=True)]
        order = np.argsort(sizes, kind="stable")
        scores = np.empty((len(texts), self.space.size), np.float32)
        for begin in range(0, len(order), ROWS):
            rows = order[begin: begin + ROWS]
            scores[rows] = self._run([texts[row] for row in rows],
                                     None if pairs is None else [pairs[row] for row in rows])
        return torch.from_numpy(scores)

    def _run(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        if not texts:
            return np.empty((0, self.space.size), np.float32)
        scores: np.ndarray = self.session.run(None, self.reader.read(texts, pairs))[0]
        return scores


def load_exported(folder: Path, registry: Registry, threads: int = 0) -> OnnxModel:
    """Read an exported folder.

    Raises:
        InputError: a file is missing or damaged, another version wrote it, or nobody registers its kind of scores.
    """
    where = f"model '{folder}'"
    try:
        about = EXPORTED.read(folder / ABOUT, where)
        spaces = [kind for kind in registry.output_spaces.values() if kind.problem_type == about["problem_type"]]
        if not spaces:
            raise InputError(where, f"no output space for problem_type {about['problem_type']!r}")
        return OnnxModel(folder, spaces[0](tuple(about["labels"])), about, threads)
    except UKDError:
        raise
    except Exception as error:  # files, JSON, protobuf and the tokenizers each raise their own kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
        raise InputError(where, f"expected a readable exported folder, got {reason}",
                         "Export it again with ukd export.") from error
