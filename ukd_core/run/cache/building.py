"""The teacher pass: every row once, shard by shard; a killed pass goes on after the last whole shard."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from ukd_core.run.cache.arrays import new_array
from ukd_core.run.files import writing
from ukd_core.run.forward import forward_rows, in_order, kept
from ukd_core.run.heads import fit_head

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.pseudo_head import PseudoHead
    from ukd_core.run.cache.answers import AnswerSettings
    from ukd_core.run.data import TaskData
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter
    from ukd_core.run.rows import TokenizedRows

SHARD_ROWS = 4096
"""Rows whose answers are written at once: a kill costs less than a minute, like lengths still find each other."""


PACE_AFTER = 3.0
"""Seconds after which the pace of the first batches says how long the pass will take."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of one split that are answered and written together."""

    split: str
    number: int
    rows: Tensor
    """Row numbers, ascending, shape (units,), int64."""
    for_heads: bool
    """The pseudo heads are fitted on these rows."""

    @property
    def name(self) -> str:
        """Begins the names of its files."""
        return f"{self.split}-{self.number:05d}"


def plan_shards(data: TaskData, head_rows: int) -> list[Shard]:
    """Cut every split into shards; the training rows that the heads are fitted on come first.

    Those are a random sample of the labelled rows, of all rows where none is labelled. Which rows share a shard
    depends on the data alone, so any number of processes, and a resumed pass, forms the same batches.
    """
    shards: list[Shard] = []
    for split, table in data.splits.items():
        shuffled = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
        first = shuffled[:0]
        if split == "train":
            labelled = data.labelled("train")
            first = shuffled[labelled[shuffled]][:head_rows] if labelled.any() else shuffled[:head_rows]
            taken = torch.zeros(len(table), dtype=torch.bool)
            taken[first] = True
            shuffled = shuffled[~taken[shuffled]]
        cuts = [(part, True) for part in torch.split(first, SHARD_ROWS) if len(part)]
        cuts += [(part, False) for part in torch.split(shuffled, SHARD_ROWS) if len(part)]
        shards += [Shard(split, number, part.sort().values, for_heads)
                   for number, (part, for_heads) in enumerate(cuts)]
    return shards


Advance = Callable[[Shard, Tensor], None]
"""Told of each batch that is done: its shard and row numbers."""


@dataclass(frozen=True)
class Building:
    """An entry while it is made, in a folder that a later process can go on with."""

    source: LayerSource
    data: TaskData
    rows: Mapping[str, TokenizedRows]
    settings: AnswerSettings
    make_head: Callable[[int], PseudoHead]
    folder: Path
    processes: Processes
    reporter: Reporter

    def run(self) -> tuple[int, dict[str, float]]:
        """Answer every row; returns the rows that this group of processes ran, and the seconds of each part.

        Afterwards the folder has a file of scores for every shard.
        """
        shards = plan_shards(self.data, self.settings.head_rows)
        wanted = [shard for shard in shards if shard.for_heads]
        start = time.perf_counter()
        left = [shard for shard in shards if not self._has_states(shard) and not self._has_scores(shard)]
        todo = sum(len(shard.rows) for shard in left)
        self.processes.wait()
        with self.reporter.track("teacher pass", todo, "rows") as bar:
            advance = self._paced(left, bar)
            for shard in self._mine(wanted):
                self._load_or_run(shard, advance)
            self.processes.wait()
            before = time.perf_counter()
            heads = self._heads(wanted)
            fitted = time.perf_counter() - before
            for shard in self._mine(shards):
                self._score(shard, heads, advance)
            self.processes.wait()
        return todo, {"teacher_pass": time.perf_counter() - start - fitted, "heads": fitted}

    def assemble(self, folder: Path) -> list[str]:
        """Put the scores of all shards (and states, where they are kept) in the order of the rows; names of arrays."""
        shards = plan_shards(self.data, self.settings.head_rows)
        names = []
        for split, rows in self.rows.items():
            own = [shard for shard in shards if shard.split == split]
            parts = [("scores", split)]
            if self.settings.states and split == "train":
                parts += [(f"layer{layer}", f"{split}.layer{layer}") for layer in range(self.source.num_layers)]
            for key, name in parts:
                names.append(name)
                self._join(folder, name, key, own, len(rows))
        return names

    def _join(self, folder: Path, name: str, key: str, shards: list[Shard], rows: int) -> None:
        array = None
        for shard in shards:
            part = _column([self._file(shard, "scores" if key == "scores" else "states")], key).numpy()
            if array is None:
                array = new_array(folder, name, (rows, *part.shape[1:]), self.settings.dtype)
            array[shard.rows.numpy()] = part

    def _paced(self, left: list[Shard], bar: Callable[[int], None]) -> Advance:
        """Moves the bar by the rows of each batch; once the pace is known, says how long the rest will take."""
        lengths = {split: rows.lengths() for split, rows in self.rows.items()}
        tokens = sum(int(lengths[shard.split][shard.rows].sum()) for shard in left)
        start, done, told = time.perf_counter(), 0, False

        def advance(shard: Shard, batch: Tensor) -> None:
            nonlocal done, told
            bar(len(batch) * self.processes.count)
            done += int(lengths[shard.split][batch].sum()) * self.processes.count
            seconds = time.perf_counter() - start
            if not told and seconds > PACE_AFTER:
                told = True
                self.reporter.say(f"teacher pass: {done / seconds:,.0f} tokens/s, about "
                                  f"{timedelta(seconds=round((tokens - done) * seconds / done))} left")

        return advance

    def _mine(self, shards: list[Shard]) -> Iterator[Shard]:
        """This process's share."""
        yield from shards[self.processes.rank:: self.processes.count]

    def _has_states(self, shard: Shard) -> bool:
        return self._found(shard, "states") is not None

    def _has_scores(self, shard: Shard) -> bool:
        return self._found(shard, "scores") is not None

    def _load_or_run(self, shard: Shard, advance: Advance) -> dict[str, Tensor]:
        if self._has_states(shard):
            return load(self._file(shard, "states").read_bytes())
        states = self._run(shard, advance)
        self._write(shard, "states", states)
        return states

    def _run(self, shard: Shard, advance: Advance) -> dict[str, Tensor]:
        """Pooled states of every layer, (units, width_l), and the logits, (units, C), in the order of the shard."""
        batches: list[Tensor] = []
        parts: list[tuple[Tensor, ...]] = []
        for batch, states in forward_rows(self.source, self.rows[shard.split], shard.rows, bf16=self.settings.bf16,
                                          on_batch=lambda batch: advance(shard, batch)):
            batches.append(batch)
            parts.append(kept(states))
        names = [*(f"layer{layer}" for layer in range(self.source.num_layers)), "logits"]
        return {name: in_order(shard.rows, batches, list(part))
                for name, part in zip(names, zip(*parts, strict=True), strict=True)}

    def _score(self, shard: Shard, heads: list[PseudoHead], advance: Advance) -> None:
        if self._has_scores(shard):
            return
        keep = shard.for_heads or (self.settings.states and shard.split == "train")
        states = self._load_or_run(shard, advance) if keep else self._run(shard, advance)
        with torch.inference_mode():
            scores = [head(states[f"layer{layer}"]) for layer, head in enumerate(heads)]
        last = scores[-1] if self.settings.probe else states["logits"]
        self._write(shard, "scores", {"scores": torch.stack([*scores, last], dim=1).clone()})

    def _heads(self, shards: list[Shard]) -> list[PseudoHead]:
        """One head a layer, fitted by the main process and read by the others."""
        path = self.folder / "heads.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same start whatever ran before, so that a cold cache gives the same scores again
            heads = [self.make_head(width) for width in self.source.widths]
        if self.processes.is_main:
            files = [self._file(shard, "states") for shard in shards]
            loss = self._loss(torch.cat([shard.rows for shard in shards]), files)
            for layer, head in enumerate(heads):
                fit_head(head, _column(files, f"layer{layer}"), loss, self.settings.l2)
            weights = {f"{layer}.{name}": value for layer, head in enumerate(heads)
                       for name, value in head.state_dict().items()}
            _write_whole(path, save(weights))
        self.processes.wait()
        weights = load(path.read_bytes())
        for layer, head in enumerate(heads):
            head.load_state_dict({name: weights[f"{layer}.{name}"] for name in head.state_dict()})
            head.requires_grad_(False).eval()
        return heads

    def _loss(self, rows: Tensor, files: list[Path]) -> Callable[[Tensor], Tensor]:
        """Against the labels; where there are none, against the teacher's own answers."""
        space = self.data.space
        if self.data.labelled("train").any():
            known = self.data.labels("train")[rows]
            return lambda scores: space.label_loss(scores, known)
        own = _column(files, "logits").double()
        return lambda scores: space.divergence(own, scores)

    def _found(self, shard: Shard, kind: str) -> Path | None:
        """The file of a shard, whole and unchanged since it was written; its name ends with its checksum."""
        for path in self.folder.glob(f"{shard.name}-{kind}-*.safetensors"):
            if hashlib.sha256(path.read_bytes()).hexdigest()[:16] == path.stem.rpartition("-")[2]:
                return path
            path.unlink()
        return None

    def _file(self, shard: Shard, kind: str) -> Path:
        path = self._found(shard, kind)
        if path is None:
            raise FileNotFoundError(2, "a shard disappeared while the cache entry was built", str(self.folder))
        return path

    def _write(self, shard: Shard, kind: str, tensors: dict[str, Tensor]) -> None:
        content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        digest = hashlib.sha256(content).hexdigest()[:16]
        _write_whole(self.folder / f"{shard.name}-{kind}-{digest}.safetensors", content)


def _column(files: list[Path], name: str) -> Tensor:
    """One tensor of each file, joined; the others are not read."""
    parts = []
    for path in files:
        with safe_open(path, framework="pt") as file:
            parts.append(file.get_tensor(name))
    return torch.cat(parts)


def _write_whole(path: Path, content: bytes) -> None:
    """A file that is there is complete, whatever happens to the process or the machine."""
    scratch = path.with_name(path.name + ".partial")
    with writing(path.parent):
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
