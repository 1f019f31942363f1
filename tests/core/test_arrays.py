"""Arrays on disk: what is written is read, and every changed byte is noticed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ukd_core.run.cache.arrays import BLOCK_BYTES, MANIFEST, DamagedEntryError, Entry, new_array, seal
from ukd_core.run.fingerprint import fingerprint

FACTS = {"teacher": "t", "settings": [1, 2.5, None]}


def write(root: Path, rows: int = 300, dtype: str = "float32") -> Path:
    folder = root / fingerprint(FACTS)
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(rows, 7, 4))
    for name in ("train", "test"):
        array = new_array(folder, name, values.shape, dtype)
        array[::2] = values[::2]
        array[1::2] = values[1::2]
    seal(folder, FACTS, {"teacher": "t"}, ["train", "test"])
    return folder


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip(tmp_path: Path, dtype: str):
    entry = Entry.open(write(tmp_path, 300, dtype))
    entry.verify()
    assert entry.facts == FACTS
    train = entry.arrays["train"]
    expected = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 7, 4)).astype(dtype)).float()
    assert train.shape == (300, 7, 4)
    chosen = torch.tensor([299, 0, 0, 17])
    assert torch.equal(train.rows(chosen), expected[chosen])
    assert train.rows(chosen).dtype == torch.float32
    assert torch.equal(train.whole(), expected)
    with pytest.raises(IndexError):
        train.rows(torch.tensor([300]))


def test_bytes_a_row(tmp_path: Path):
    folder = write(tmp_path, 20_000)
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert total <= 1.1 * 40_000 * 7 * 4 * 4


def test_every_flipped_byte_is_noticed(tmp_path: Path):
    """In 200 places of an entry, of array, header and manifest alike."""
    folder = write(tmp_path)
    generator = random.Random(0)
    files = sorted(folder.iterdir())
    places = [(path, generator.randrange(path.stat().st_size)) for path in generator.choices(files, k=190)]
    places += [(path, place) for path in files for place in (0, 9, path.stat().st_size - 1)]
    for path, place in places:
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[place] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(DamagedEntryError):
            Entry.open(folder).verify()
        path.write_bytes(whole)
    Entry.open(folder).verify()
    assert len(places) >= 199


def test_a_damaged_block_is_noticed_when_its_rows_are_first_read(tmp_path: Path):
    rows = 4 * BLOCK_BYTES // (7 * 4 * 4)
    folder = write(tmp_path, rows)
    path = folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    train = Entry.open(folder).arrays["train"]
    train.rows(torch.tensor([0, 5]))
    with pytest.raises(DamagedEntryError, match=rf"rows \d+ to {rows - 1} of train.npy do not have the checksum"):
        train.rows(torch.tensor([5, rows - 1]))


def truncated(folder: Path) -> None:
    path = folder / "train.npy"
    path.write_bytes(path.read_bytes()[:-1])


def missing(folder: Path) -> None:
    (folder / "test.npy").unlink()


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def rewritten(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["about"]["teacher"] = "another"
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


@pytest.mark.parametrize(("damage", "text"), [
    (truncated, "expected 33,728 bytes in train.npy, got 33,727 bytes"),
    (missing, "expected 33,728 bytes in test.npy, got no file"),
    (without_manifest, "its manifest is missing or not readable"),
    (rewritten, "its manifest was changed"),
])
def test_damage_is_named(tmp_path: Path, damage, text: str):
    folder = write(tmp_path)
    damage(folder)
    with pytest.raises(DamagedEntryError) as caught:
        Entry.open(folder)
    assert text in str(caught.value)
    assert str(caught.value).endswith("Remove it with ukd cache remove, or add --rebuild-damaged.")


def test_a_foreign_entry_is_refused(tmp_path: Path):
    folder = write(tmp_path)
    copied = tmp_path / fingerprint({"teacher": "another"})
    shutil.copytree(folder, copied)
    with pytest.raises(DamagedEntryError, match="its manifest belongs to another entry"):
        Entry.open(copied)


def test_opening_reads_no_rows(tmp_path: Path):
    """Rows that were damaged are not noticed by opening, which is what makes it quick."""
    folder = write(tmp_path)
    path = folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    Entry.open(folder)
