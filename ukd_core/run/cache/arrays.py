"""Arrays on disk that can be trusted: memory-mapped, with a checksum for every block and a manifest over all."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ukd_core.errors import InputError
from ukd_core.formats import ANSWERS
from ukd_core.run.fingerprint import fingerprint

MANIFEST = "manifest.json"
DTYPES = {"float16": np.float16, "float32": np.float32}
"""Numbers alone: no file is taken for objects of Python."""
BLOCK_BYTES = 1 << 20
"""About so much of an array has one checksum: small enough to be checked on first use, large enough to be few."""
Array = npt.NDArray[Any]


class DamagedEntryError(InputError):
    """A cache entry is truncated, changed, or not what its name says."""

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        super().__init__(where, problem, remedy or "Remove it with ukd cache remove, or add --rebuild-damaged.")


class StoredArray:
    """Rows of a file of an entry. A block is checked when one of its rows is first read.

    Args:
        path: A ``.npy`` file, rows first.
        facts: What the manifest says of it.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path = path
        self.where = f"cache entry '{path.parent}'"
        self._block_rows = int(facts["block_rows"])
        self._checksums = [str(checksum) for checksum in facts["sha256"]]
        self._checked = np.zeros(len(self._checksums), dtype=bool)
        self._all_checked = False
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            found = f"{path.stat().st_size:,} bytes" if path.is_file() else "no file"
            raise DamagedEntryError(self.where, f"expected {facts['bytes']:,} bytes in {path.name}, got {found}")
        shape, dtype = tuple(map(int, facts["shape"])), np.dtype(DTYPES[facts["dtype"]])
        header = facts["bytes"] - math.prod(shape) * dtype.itemsize
        blocks = max(1, -(-shape[0] // self._block_rows)) if self._block_rows > 0 else 0
        if header < 0 or min(shape) < 0 or len(self._checksums) != blocks:
            raise ValueError
        # The file's own header is not parsed: it is checked with the first block, the manifest was checked before.
        self._rows: Array = np.memmap(path, dtype, mode="r", offset=header, shape=shape).view(np.ndarray)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then the axes of a row."""
        return tuple(self._rows.shape)

    @property
    def checksum(self) -> str:
        """One hash over the checksums of all blocks."""
        return fingerprint({"sha256": self._checksums})

    def rows(self, index: Tensor) -> Tensor:
        """Some rows, in the order asked for, as float32.

        Args:
            index: Row numbers, shape (units,), int64.

        Raises:
            DamagedEntryError: a block that is read for the first time is not what was written.
        """
        chosen = index.numpy()
        if not self._all_checked:
            self._check(np.unique(chosen // self._block_rows))
        found = torch.from_numpy(self._rows.take(chosen, axis=0))  # faster than by [] for few rows
        # A copy also of float32: NumPy puts its arrays anywhere, and products of matrices round by where they begin.
        return found.to(torch.float32, copy=True)

    def whole(self) -> Tensor:
        """All rows, as float32."""
        return self.rows(torch.arange(len(self)))

    def verify(self) -> None:
        """Check every block.

        Raises:
            DamagedEntryError: one of them is not what was written.
        """
        self._check(np.arange(len(self._checksums)))

    def _check(self, blocks: Array) -> None:
        for block in blocks[~self._checked[blocks]].tolist():
            first, last = block * self._block_rows, min((block + 1) * self._block_rows, len(self)) - 1
            if _checksum(self.path, self._rows, block, self._block_rows) != self._checksums[block]:
                raise DamagedEntryError(self.where, f"rows {first} to {last} of {self.path.name} do not have the "
                                                    "checksum with which they were written")
            self._checked[block] = True
        self._all_checked = bool(self._checked.all())


@dataclass(frozen=True)
class Entry:
    """A folder of arrays with its manifest."""

    folder: Path
    facts: Mapping[str, Any]
    """All that decides the content; its fingerprint is the folder's name."""
    about: Mapping[str, Any]
    """For people: what was asked, when, how long it took."""
    arrays: Mapping[str, StoredArray]

    @classmethod
    def open(cls, folder: Path) -> Entry:
        """Read the manifest, and map the files without reading them.

        Raises:
            DamagedEntryError: the manifest is damaged, or belongs to another folder; or a file has another size.
            InputError: another version wrote it.
        """
        where = f"cache entry '{folder}'"
        try:
            text = (folder / MANIFEST).read_bytes()
            manifest = dict(json.loads(text))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DamagedEntryError(where, "its manifest is missing or not readable") from error
        if manifest.get("sha256") == _digest({key: part for key, part in manifest.items() if key != "sha256"}):
            ANSWERS.check(where, manifest)  # as it was written, but perhaps by another version
        facts, about, arrays = (manifest.get(key, {}) for key in ("facts", "about", "arrays"))
        if text != _sealed(facts, about, arrays):
            raise DamagedEntryError(where, "its manifest was changed")
        if fingerprint(facts) != folder.name:
            raise DamagedEntryError(where, "its manifest belongs to another entry")
        if any(Path(name).name != name for name in arrays):
            raise DamagedEntryError(where, "its manifest names files outside of it")
        try:
            found = {name: StoredArray(folder / f"{name}.npy", array) for name, array in arrays.items()}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, DamagedEntryError):
                raise
            raise DamagedEntryError(where, "its manifest does not fit its files") from error
        return cls(folder, facts, about, found)

    def verify(self) -> None:
        """Read everything and compare it with the checksums.

        Raises:
            DamagedEntryError: something is not as it was written.
        """
        for array in self.arrays.values():
            array.verify()

    @property
    def checksum(self) -> str:
        """One hash over the content."""
        return fingerprint({name: array.checksum for name, array in self.arrays.items()})


def new_array(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> Array:
    """A writable memory map of an array of zeros, at least one row, for which the disk has room.

    Zeros are written first: to write into a map that the disk has no room for would end the process.
    """
    path = folder / f"{name}.npy"
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, BLOCK_BYTES):
            file.write(bytes(min(BLOCK_BYTES, size - start)))
    array: Array = np.load(path, mmap_mode="r+").view(np.ndarray)
    return array


def seal(folder: Path, facts: Mapping[str, Any], about: Mapping[str, Any], names: list[str]) -> None:
    """Write the manifest over arrays that are complete; from here on a changed byte is noticed."""
    arrays = {}
    for name in names:
        path = folder / f"{name}.npy"
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        rows = np.load(path, mmap_mode="r").view(np.ndarray)
        block_rows = max(1, BLOCK_BYTES // max(1, rows[:1].nbytes))
        blocks = range(max(1, -(-len(rows) // block_rows)))
        arrays[name] = {"shape": list(rows.shape), "dtype": str(rows.dtype), "bytes": path.stat().st_size,
                        "block_rows": block_rows,
                        "sha256": [_checksum(path, rows, block, block_rows) for block in blocks]}
    (folder / MANIFEST).write_bytes(_sealed(facts, about, arrays))


def _checksum(path: Path, rows: Array, block: int, block_rows: int) -> str:
    """SHA-256 of a block of rows; the first one covers the file's header too."""
    digest = hashlib.sha256()
    if block == 0:
        with path.open("rb") as file:
            digest.update(file.read(path.stat().st_size - rows.nbytes))
    digest.update(rows[block * block_rows: (block + 1) * block_rows].tobytes())
    return digest.hexdigest()


def _sealed(facts: Mapping[str, Any], about: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    content = ANSWERS.mark({"facts": facts, "about": about, "arrays": arrays})
    return (json.dumps({**content, "sha256": _digest(content)}, indent=1, default=str) + "\n").encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
