"""A classifier as an ONNX graph, in float32 or with 8-bit weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ukd_core.errors import InputError

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource

EXAMPLES = ("a", "a b c")
"""What the model is traced with: two short rows (some layers are traced token by token), one of them padded."""
ONE_FILE = 1_500_000_000
"""Bytes of weights up to which they lie in the graph's own file; protobuf ends at 2 GiB."""
NOISY = ("root", "onnxscript", "onnx_ir", "torch.onnx", "torch.export", "onnxruntime.quantization")


class Scores(nn.Module):
    """A source as the exporter wants it: tensors in, scores out.

    Args:
        source: The classifier.
        names: What the tensors are, in order.
    """

    def __init__(self, source: LayerSource, names: Sequence[str]) -> None:
        super().__init__()
        self.source = source
        self.names = tuple(names)

    def forward(self, *columns: Tensor) -> Tensor:
        """Columns of shape (units, length), int64, to scores of shape (units, C), float32."""
        logits: Tensor = self.source(dict(zip(self.names, columns, strict=True))).logits
        return logits.float()


def require(*packages: str) -> None:
    """See that optional packages are there.

    Raises:
        InputError: one is not.
    """
    for package in packages:
        if find_spec(package) is None:
            raise InputError("ONNX", f"expected the package {package} to be installed, got no such package",
                             "Install it with: pip install 'ukd[onnx]'.")


def write_graph(source: LayerSource, file: Path, max_length: int) -> tuple[tuple[str, ...], int]:
    """Trace the classifier and write it; any number of rows and any length up to the model's limit will do.

    Args:
        source: On the CPU; its training mode is restored.
        file: The .onnx file.
        max_length: Longest input in tokens.

    Returns:
        The names of the inputs, each of shape (units, length), int64; and the opset. The output is "scores", shape
        (units, C), float32.
    """
    require("onnx", "onnxscript")
    columns = source.pad(source.tokenize(EXAMPLES, max_length=max_length), multiple=1)
    axes = {0: "rows", 1: "length"}
    training = source.training
    source.eval()
    try:
        with _unheard(), torch.no_grad():
            program: Any = torch.onnx.export(
                Scores(source, tuple(columns)), tuple(columns.values()), dynamo=True, verbose=False,
                input_names=list(columns), output_names=["scores"], dynamic_shapes=(tuple(axes for _ in columns),))
    finally:
        source.train(training)
    graph = program.model.graph
    for value in [value for value in graph.inputs if not value.uses()]:  # token_type_ids of a borrowed tokenizer
        graph.inputs.remove(value)
    _without_traces(graph)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in source.parameters())
    with _unheard():
        program.save(str(file), external_data=weights > ONE_FILE)
    return tuple(value.name for value in graph.inputs), int(program.model.opset_imports[""])


def _without_traces(graph: Any) -> None:
    """Remove where in whose source each node comes from: paths of this machine, and most of a small model's bytes."""
    graph.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def quantize(full: Path, small: Path) -> None:
    """Write a graph with 8-bit weights: matrices by output channel, embedding tables as a whole.

    Activations are rounded when the model runs, by the range of each batch (dynamic quantization), so an answer
    depends a little on what else is in its batch. Weights use 7 of the 8 bits: on CPUs without VNNI instructions the
    sums of 8-bit products overflow otherwise.

    Args:
        full: The float32 graph.
        small: The file to write.
    """
    require("onnx", "onnxruntime")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    large = full.with_name(full.name + ".data").exists()
    folded = full if large else _folded(full, small.with_name("folded.onnx"))
    with _unheard():
        model = onnx.load(folded)
        del model.graph.value_info[:]  # the exporter leaves shapes there that weights had before they were transposed
        quantize_dynamic(model, small, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8,
                         use_external_data_format=large)
    if not large:
        folded.unlink()


def _folded(full: Path, file: Path) -> Path:
    """The graph with everything computed that only depends on weights: what is no stored weight is not rounded."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(full), options, providers=["CPUExecutionProvider"])
    return file


@contextmanager
def _unheard() -> Iterator[None]:
    """Hold back remarks of the exporters; what counts is found by comparing answers."""
    loggers: list[tuple[Any, int]] = [(logging.getLogger(None if name == "root" else name), 0) for name in NOISY]
    loggers = [(logger, logger.level) for logger, _ in loggers]
    try:
        for logger, _ in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in loggers:
            logger.setLevel(level)
