"""Sentences a second from text to answer, one thread, side by side: teacher, students in every form, the usual others.

    python benchmarks/deploy_speed.py --teacher runs/my-teacher --data DATA --output work

Students are taught by logit-kd (runs that `work` holds already are read), exported as ONNX in float32 and int8, and
measured in turns with the teacher (torch, ONNX, int8), TF-IDF with logistic regression, fastText's classifier and,
where model2vec is installed, a static model made from the teacher. Quality is that of the validation split, size that
of the folder (of the pickled model, for the others).
"""

from __future__ import annotations

import argparse
import json
import pickle  # nosec B403
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor

from ukd_core import LayerSource, OutputSpace, Recipe
from ukd_core.plugins import load_registry
from ukd_core.run.answer import StoredModel, TorchModel, load_model, read_task, stored_length, texts_of
from ukd_core.run.bench import Measured, bench_table, in_turns, use_threads
from ukd_core.run.distill import completed
from ukd_core.run.embedded import cache_folder
from ukd_core.run.export.folders import FORMATS, export
from ukd_core.run.export.tokenizer import Reader, standalone_tokenizer
from ukd_core.run.progress import Reporter
from ukd_core.run.trainer import evaluate_scores
from ukd_core.spec import split_specs

STUDENTS = "bag:embeddings=random,cnn,bilstm,bert:layers=2,init=teacher-lower"


class Other(StoredModel):
    """What a user would pick instead: anything that gives probabilities.

    Args:
        name: In the table.
        space: Of the task.
        model: Pickled, to know its size; None where `size` says it.
        shares: Texts to probabilities, shape (texts, C), float.
        size: Bytes.
        parameters: Weights.
    """

    def __init__(self, name: str, space: OutputSpace, shares: Callable[[list[str]], Any], parameters: int,
                 model: object = None, size: int = 0) -> None:
        super().__init__(name, space, size or len(pickle.dumps(model)), parameters)
        self.shares = shares

    def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
        """Log-probabilities, shape (texts, C)."""
        return torch.from_numpy(np.log(np.asarray(self.shares(list(texts))) + 1e-12)).float()


def tfidf(texts: list[str], labels: list[int], space: OutputSpace) -> Other:
    """Words and pairs of words, as in ``ukd demo``."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
                          LogisticRegression(C=10, max_iter=1000)).fit(texts, labels)
    return Other("TF-IDF + logistic regression", space, model.predict_proba, model[-1].coef_.size, model)


def fast_text(texts: list[str], labels: list[int], space: OutputSpace) -> Other:
    """The classifier of fastText itself, with word pairs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        file.write_text("".join(f"__label__{label} {' '.join(text.split())}\n"
                                for text, label in zip(texts, labels, strict=True)), encoding="utf-8")
        model = fasttext.train_supervised(str(file), dim=100, epoch=5, wordNgrams=2, bucket=200_000,
                                          thread=1, verbose=0)
        model.save_model(str(Path(folder) / "model.bin"))
        size = (Path(folder) / "model.bin").stat().st_size

    def shares(asked: list[str]) -> np.ndarray:
        found, values = model.predict([" ".join(text.split()) for text in asked], k=space.size)
        scores = np.zeros((len(asked), space.size))
        for row, (names, given) in enumerate(zip(found, values, strict=True)):
            for name, value in zip(names, given, strict=True):
                scores[row, int(name.removeprefix("__label__"))] = value
        return scores
    return Other("fastText", space, shares, model.get_input_matrix().size + model.get_output_matrix().size, size=size)


def static_model(texts: list[str], labels: list[int], space: OutputSpace, teacher: LayerSource) -> Other:
    """A model2vec static model: the teacher's state of each token alone, 256 main directions, then a linear map."""
    from model2vec import StaticModel
    from sklearn.decomposition import PCA
    tokenizer = teacher.tokenizer
    around = tokenizer("")["input_ids"]  # the special tokens; a token alone comes after the first of them
    states = []
    with torch.inference_mode():
        for ids in torch.arange(len(tokenizer)).split(1024):
            before, behind = (torch.tensor(part, dtype=torch.int64).repeat(len(ids), 1) for part in (
                around[:1], around[1:]))
            batch = torch.cat([before, ids.unsqueeze(1), behind], dim=1)
            columns = {"input_ids": batch, "attention_mask": torch.ones_like(batch)}
            if "token_type_ids" in tokenizer.model_input_names:
                columns["token_type_ids"] = torch.zeros_like(batch)
            states.append(teacher(columns).pooled[-1])
    vectors = PCA(256, random_state=0).fit_transform(torch.cat(states).numpy())
    ranks = np.arange(2, len(vectors) + 2)
    vectors *= (1e-4 / (1e-4 + (1 / ranks) / (1 / ranks).sum()))[:, None]  # Zipf's law stands for word counts
    model = StaticModel(vectors.astype(np.float32), tokenizer.backend_tokenizer)
    top = LogisticRegression(C=10, max_iter=1000).fit(model.encode(texts), labels)
    return Other("model2vec of the teacher", space, lambda asked: top.predict_proba(model.encode(asked)),
                 vectors.size + top.coef_.size, size=vectors.size * 4)


def stored(names: Sequence[str], work: Path, data: str, cache: Path) -> Iterator[StoredModel]:
    """Each run or teacher as it is and in both ONNX forms."""
    registry = load_registry()
    for name in names:
        yield load_model(name, registry, cache)
        for form in FORMATS[1:]:
            folder = work / "exported" / f"{Path(name).name}-{form}"
            if not folder.is_dir():
                told = export(name, form, registry, cache, output=str(folder), data=data)
                print(told)
            yield load_model(str(folder), registry, cache, threads=1)


def tokenizing(model: TorchModel, texts: list[str]) -> float:
    """Texts a second that the tokenizer alone makes ready in batches of 32: what no model of this tokenizer exceeds."""
    reader = Reader(standalone_tokenizer(model.source, stored_length(model.source)), ["input_ids", "attention_mask"])

    class Ready(StoredModel):
        def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
            return torch.from_numpy(reader.read(texts, pairs)["input_ids"])
    return in_turns([Ready(model.name, model.space, 0, 0)], texts, None, 3, 0.3)[0].per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="a stored classifier")
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--students", default=STUDENTS)
    parser.add_argument("--rows", type=int, default=None, help="training rows")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    use_threads(1)
    cache = cache_folder()
    runs = []
    for student in split_specs(options.students):
        runs.append(str(options.output / student.split(":")[0]))
        completed(Recipe.make({"teacher": options.teacher, "student": student, "data": options.data, "device": "cpu",
                               "method": "logit-kd", "output": runs[-1], "max_train_rows": options.rows,
                               "epochs": options.epochs, "max_length": 64}), Reporter())
    models = list(stored([options.teacher, *runs], options.output, options.data, cache))
    task = read_task(options.data, models[0].space, cache, max_train_rows=options.rows)
    _, train, _ = texts_of(task, options.data, "train")
    _, texts, pairs = texts_of(task, options.data, "validation")
    labels, space = task.labels("train").tolist(), models[0].space
    models += [tfidf(train, labels, space), fast_text(train, labels, space)]
    if find_spec("model2vec") is not None and isinstance(models[0], TorchModel):
        models.append(static_model(train, labels, space, models[0].source))
    quality = [evaluate_scores(model.answer(texts, pairs), task.labels("validation"), space)[space.metric]
               for model in models]
    speeds = in_turns(models, texts, pairs, options.repeats, options.seconds)
    found = [Measured(model.name, model.parameters, model.bytes, speed, score, space.metric)
             for model, speed, score in zip(models, speeds, quality, strict=True)]
    print(bench_table(found))
    for model in models:
        if isinstance(model, TorchModel):
            print(f"tokenizing alone, {model.name}: {tokenizing(model, texts):,.0f} texts/s")
    (options.output / "speed.json").write_text(json.dumps([{
        "model": part.name, "parameters": part.parameters, "bytes": part.bytes, "p50_ms": part.speed.p50_ms,
        "p95_ms": part.speed.p95_ms, "per_second": part.speed.per_second, part.metric: part.quality}
        for part in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
