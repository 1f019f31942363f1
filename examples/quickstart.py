"""Distil a real encoder into a small CNN, then ask the student: about a minute on two cores after the downloads.

python examples/quickstart.py
"""

from __future__ import annotations

from pathlib import Path

from ukd_core import Recipe, distill
from ukd_core.plugins import load_registry
from ukd_core.run.answer import load_model, predict
from ukd_core.run.embedded import cache_folder


def main() -> None:
    """Teach with 300 stories, 100 of them labelled, and print what the student says of two new ones."""
    run = Path("runs/quickstart")
    metrics = distill(Recipe(
        teacher="embedded:minilm", teacher_tuning="probe", student="cnn", data="embedded:reuters-r8",
        max_train_rows=300, max_labels=100, max_eval_rows=200, max_length=32, epochs=20, output=str(run)),
        overwrite=(run / "recipe.yaml").is_file())
    print({side: metrics[side]["metrics"]["accuracy"] for side in ("teacher", "student")})
    student = load_model(str(run), load_registry(), cache_folder())
    texts = ["crude oil prices rose again on opec talks", "the company raised its dividend"]
    for answer in predict(student, [(text, None) for text in texts]):
        print(answer)


if __name__ == "__main__":
    main()
