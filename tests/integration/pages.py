"""Small runs with reports, and their pages as a reader of HTML sees them."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from texts import write_jsonl

from ukd_core import Recipe, distill
from ukd_core.run.progress import Reporter

WORDS = ("oil", "grain", "profit", "ship", "tariff", "loss", "crude", "wheat", "bank", "dollar")
SCRIPT = "<script>document.title = 'broken'</script> wheat & grain"


def small_data(folder: Path) -> Path:
    """64 training and 40 validation rows of two classes; every fourth validation text is a script."""
    folder.mkdir()
    for name, count, shift in (("train", 64, 0), ("validation", 40, 3)):
        rows: list[dict[str, object]] = []
        for row in range(count):
            words = [WORDS[((row + shift) * 7 + place * (3 + row % 5)) % 10] for place in range(3 + row % 6)]
            text = f"{' '.join(words)} {SCRIPT if name == 'validation' and row % 4 == 0 else ''}".strip()
            rows.append({"text": text, "label": "food & drink" if row % 3 else "<b>other</b>"})
        write_jsonl(folder / f"{name}.jsonl", rows)
    return folder


def small_recipe(data: Path, folder: Path, **changes: object) -> Recipe:
    """A run of a second or two."""
    return Recipe.make({"teacher": "bert:layers=3,hidden=16", "teacher_tuning": "probe", "data": str(data),
                        "student": "cnn:layers=2,hidden=8", "output": str(folder / "run"), "epochs": 4,
                        "max_length": 16, "device": "cpu", "cache": str(folder / "cache"), **changes})


def finished_run(folder: Path) -> Path:
    """A run folder, with its baseline and its times."""
    recipe = small_recipe(small_data(folder / "data"), folder)
    distill(recipe, baseline=True, reporter=Reporter(quiet=True))
    return Path(recipe.output)


class Page(HTMLParser):
    """What is on a page: tags with their attributes, ids, all text, and the text of every cell and heading."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.pieces: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "path", "use", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.pieces.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of one kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def texts(self, *tags: str) -> list[str]:
        """What stands directly in elements of some kinds."""
        return [text for tag, text in self.pieces if tag in tags]
