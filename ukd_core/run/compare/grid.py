"""Which runs a comparison has, and where each of them goes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ukd_core.errors import InputError
from ukd_core.formats import COMPARISON
from ukd_core.run.files import refuse_links, write_text
from ukd_core.run.recipe import Recipe
from ukd_core.yaml_text import read_yaml

BASELINE = "none"
"""Every comparison has it: a method that is not compared with plain training proves nothing."""
NOTE = "comparison.yaml"
AT = "@"
"""Between a method and the projector that it is run with: ``universal-kd@random:draws=1``."""


class Cell(NamedTuple):
    """One run of a comparison."""

    student: str
    method: str
    """With the projector that takes the place of its own, after `AT`, where one was named."""
    seed: int


@dataclass(frozen=True)
class Grid:
    """Every student by every method with every seed; all else is the same for all of them."""

    settings: Mapping[str, Any]
    """Keys of a recipe that all runs share."""
    students: tuple[str, ...]
    methods: tuple[str, ...]
    """`none` first, whether it was asked for or not."""
    seeds: int
    output: Path

    @classmethod
    def make(cls, settings: Mapping[str, Any], students: Sequence[str], methods: Sequence[str], seeds: int,
             output: str | Path) -> Grid:
        """Check the axes of the grid and every recipe in it; nothing is read or written.

        Raises:
            InputError: an axis is empty or has something twice, or a key of a recipe is wrong.
        """
        for axis, values in (("--students", students), ("--methods", methods)):
            twice = sorted({value for value in values if values.count(value) > 1})
            if not values or twice:
                raise InputError("ukd compare", f"expected {axis} with different names, got "
                                                f"{f'{twice[0]} twice' if twice else 'none'}",
                                 f"Give {axis} A,B,...")
        ordered = (BASELINE, *(method for method in methods if method != BASELINE))
        grid = cls(settings, tuple(students), ordered, seeds, Path(output))
        for cell in grid:
            grid.recipe(cell)
        return grid

    def __iter__(self) -> Iterator[Cell]:
        """All runs, seed by seed, so that a comparison that is stopped early has all methods alike."""
        for seed in range(self.seeds):
            for student in self.students:
                for method in self.methods:
                    yield Cell(student, method, seed)

    def __len__(self) -> int:
        return len(self.students) * len(self.methods) * self.seeds

    def recipe(self, cell: Cell) -> Recipe:
        """The run of a cell."""
        method, at, projector = cell.method.partition(AT)
        own = {"student": cell.student, "method": method, "seed": cell.seed, "output": str(self.folder(cell))}
        return Recipe.make({**self.settings, **own, **({"projector": projector} if at else {})}, where="ukd compare")

    def folder(self, cell: Cell) -> Path:
        """Where the run of a cell is kept."""
        return self.output / "runs" / _as_name(cell.student) / _as_name(cell.method) / f"seed-{cell.seed}"

    def claim(self) -> None:
        """Note the shared settings in the folder of the comparison; refuse one that holds something else.

        Students, methods and seeds may be added to a comparison; what its runs share may not change.

        Raises:
            InputError: the folder holds a comparison with other settings, or something that is no comparison.
        """
        where = f"output '{self.output}'"
        note = self.output / NOTE
        shared = {key: value for key, value in self.recipe(next(iter(self))).written().items()
                  if key not in (*Cell._fields, "output")}
        if note.is_file():
            refuse_links(self.output, where)
            before = read_note(self.output)
            different = sorted(key for key in shared if before.get(key) != shared[key])
            if different:
                raise InputError(where, f"expected the comparison that it holds, got another {', '.join(different)}",
                                 "Choose another folder.")
            return
        if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise InputError(where, "it holds files that are not a comparison", "Choose another folder.")
        self.output.mkdir(parents=True, exist_ok=True)
        write_text(note, yaml.safe_dump(COMPARISON.mark(shared), sort_keys=False, allow_unicode=True))


def read_note(folder: Path) -> dict[str, Any]:
    """What the runs of the comparison in a folder share, as keys of a recipe.

    Raises:
        InputError: the note is damaged, or of another version.
    """
    where = f"comparison '{folder}'"
    try:
        found = read_yaml((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(where, f"expected a readable {NOTE}, got: {error}", "Compare again into another folder."
                         ) from error
    if not isinstance(found, dict):
        raise InputError(where, f"expected keys and values in {NOTE}, got {type(found).__name__}",
                         "Compare again into another folder.")
    COMPARISON.check(where, found)
    return {str(key): value for key, value in found.items() if key != COMPARISON.key}


def _as_name(spec: str) -> str:
    """A folder name that people recognise; other specs never have it. A plain name stays as it is."""
    if re.fullmatch(r"[a-z0-9-]{1,48}(\+[a-z]+)?", spec):
        return spec
    readable = re.sub(r"[^\w.=-]+", "-", spec).strip("-.")[-48:]
    return f"{readable}-{hashlib.sha256(spec.encode()).hexdigest()[:6]}"
