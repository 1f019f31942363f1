"""The teacher itself in 8-bit weights: no training, a quarter of the size, and some of the time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ukd_core.errors import InputError
from ukd_core.run.alternatives.task import Fitted, NotServed, Task
from ukd_core.run.export.folders import write_onnx
from ukd_core.run.export.runtime import ABOUT, OnnxModel
from ukd_core.run.files import files_bytes


def fit(task: Task) -> Fitted:
    """The run's teacher as ``ukd export --format onnx-int8`` writes it, run by onnxruntime on as many threads as torch.

    Raises:
        NotServed: its final classifier is a probe, which is no part of its weights, or it cannot be exported.
    """
    teacher = task.teacher()
    if teacher.probe:
        raise NotServed("the teacher's classifier is a probe of this run, which is no part of its weights")
    source = teacher.source
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            write_onnx(source, task.space, folder, max_length=task.max_length, int8=True)
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            model = OnnxModel(folder, task.space, about, torch.get_num_threads())
        except InputError as error:
            raise NotServed(f"it cannot be exported: {str(error).rstrip('.')}") from error
        size = files_bytes(folder)

    def answer(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        return np.asarray(model.answer(texts, pairs).numpy())

    return Fitted(answer, size, source.num_parameters)
