"""Batches of a curriculum, phase after phase, as NumPy arrays over memory-mapped shards.

The order is fixed by composition. A position is the number of sequences taken of each length, so it
is one small dict and does not depend on the number of ranks, on workers or on a generator's state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from coursepack.shards.format import Lists, ShardError, open_shard
from coursepack.shards.manifest import (
    VALIDATION,
    PhaseInfo,
    Stream,
    read_files,
    read_manifest,
)

State = dict[str, Any]

# The list columns that a trainer needs, and the key of a batch that counts each row's values.
_COUNTS = {"seq_lens": "seq_counts", "loss_spans": "loss_counts"}


class Batch(dict[str, Any]):
    """One rank's part of a global batch. Keys:

    - `input_ids` int32 (B, L), or (B, L + 1) where targets are `next`; read-only where it is a view
      of the memory map;
    - `seq_lens` int32, the attention segments of all rows in turn, and `seq_counts` int64 (B,);
    - `loss_spans` and `loss_counts` likewise, where the shard has them;
    - `sequence` int64 (B,), the number of each row in its (phase, length);
    - `phase`, `length` (L), `targets`, `step` (from 0 within the phase);
    - `state`: where to start to get the batch after this one.
    """

    def inputs(self) -> np.ndarray:
        """What the model reads: int32 (B, L)."""
        ids: np.ndarray = self["input_ids"]
        return ids[:, : self["length"]]

    def labels(self, ignore: int = -100) -> np.ndarray:
        """What it predicts: int64 (B, L), `ignore` where there is no loss.

        With targets `next` these are the ids one further on. With `shifted` they stand at their own
        place, as Hugging Face models want them, which shift by themselves.
        """
        labels = np.where(self.loss_mask(), self["input_ids"].astype(np.int64), ignore)
        return labels[:, labels.shape[1] - self["length"] :]

    def loss_mask(self) -> np.ndarray:
        """Whether a token carries loss: bool, in the shape of `input_ids`; never padding."""
        rows, width = self["input_ids"].shape
        used = _sums(self["seq_lens"], self["seq_counts"])
        mask: np.ndarray = np.arange(width) < used[:, None]
        if "loss_spans" not in self:
            return mask
        row = np.repeat(np.arange(rows), self["loss_counts"] // 2)
        edges = np.zeros((rows, width + 1), np.int32)
        np.add.at(edges, (row, self["loss_spans"][0::2]), 1)
        np.add.at(edges, (row, self["loss_spans"][1::2]), -1)
        return mask & (np.cumsum(edges, axis=1)[:, :width] > 0)

    def segment_ids(self) -> np.ndarray:
        """The attention segment of each input: int32 (B, L), from 1 in each row; padding is 0."""
        lens, numbers = self._pieces()
        return self._crop(np.repeat(numbers, lens).astype(np.int32))

    def position_ids(self) -> np.ndarray:
        """The place of each input in its segment: int32 (B, L); padding counts as one segment."""
        lens, _ = self._pieces()
        starts = np.cumsum(lens) - lens
        flat = np.arange(int(lens.sum())) - np.repeat(starts, lens)
        return self._crop(flat.astype(np.int32))

    def cu_seqlens(self) -> np.ndarray:
        """Segment borders of the inputs laid end to end: int32, from 0 to B * L.

        This is what variable-length attention kernels take; padding is a segment of its own.
        """
        rows, width = self["input_ids"].shape
        length = self["length"]
        lens, _ = self._pieces()
        row, column = np.divmod((np.cumsum(lens) - lens)[lens > 0], width)
        starts = (row * length + column)[column < length]
        return np.append(starts, rows * length).astype(np.int32)

    def _pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths of all segments and paddings in turn, and their numbers; padding is 0."""
        counts, lens = self["seq_counts"], self["seq_lens"].astype(np.int64)
        ends = np.cumsum(counts)
        numbers = np.arange(1, len(lens) + 1) - np.repeat(ends - counts, counts)
        padding = self["input_ids"].shape[1] - _sums(lens, counts)
        return np.insert(lens, ends, padding), np.insert(numbers, ends, 0)

    def _crop(self, flat: np.ndarray) -> np.ndarray:
        rows: np.ndarray = flat.reshape(self["input_ids"].shape)
        return rows[:, : self["length"]]


class Curriculum:
    """A packed result, `Curriculum("run/shards/NAME")`; iterating yields its batches in order.

    `seed` permutes the sequences within each shard, by hash; None keeps the order of composition.
    Raises ShardError when the folder is not a finished result.
    """

    def __init__(self, folder: str, seed: int | None = None) -> None:
        self.manifest = read_manifest(folder)
        self.seed = seed
        self._folder = folder.rstrip("/")
        self._phases = {phase.name: phase for phase in self.manifest.phases}
        self._sources = self._read_sources()
        self._state: State | None = None

    @property
    def phases(self) -> list[str]:
        """Names of all phases but validation, in order."""
        return [name for name in self._phases if name != VALIDATION]

    def phase(self, name: str) -> PhaseInfo:
        """What a phase holds; `validation` is one, where the recipe holds documents out."""
        if name not in self._phases:
            raise ShardError(
                f"there is no phase {name!r}; the phases are {', '.join(self._phases)}"
            )
        return self._phases[name]

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def state(self) -> State | None:
        """Where to `start` to get the batch after the last one yielded; None before the first.

        Where another process draws the batches, `batch["state"]` says the same.
        """
        return self._state

    def batches(
        self,
        *,
        batch_tokens: int | None = None,
        sequences: int | None = None,
        phase: str | None = None,
        rank: int = 0,
        world: int = 1,
        start: State | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """This rank's part of each global batch, in order: all phases, or `phase` alone.

        A global batch has `sequences` rows, or as many as fit `batch_tokens`, or what the recipe
        said; it must split evenly over ranks. Rank r of `world` takes its rows r, r + world, ...
        The last batch of each length is short, on some ranks by a row more or empty, unless
        `drop_last`. `start` is a state of any world size and batch. Raises ShardError where one of
        these does not fit.
        """
        if not 0 <= rank < world:
            raise ShardError(f"rank {rank} of {world}; ranks run from 0 to {world - 1}")
        if batch_tokens is not None and sequences is not None:
            raise ShardError("both batch_tokens and sequences are given; give one of them")
        names = [self.phase(phase).name] if phase is not None else self.phases
        if start is not None:
            names = names[self._index(names, start) :]
        plans = [
            _Plan(
                self._phases[name],
                [
                    _size(stream, batch_tokens, sequences, world)
                    for stream in self._phases[name].streams
                ],
                drop_last,
            )
            for name in names
        ]
        return self._run(plans, rank, world, start)

    def _run(
        self, plans: list["_Plan"], rank: int, world: int, start: State | None
    ) -> Iterator[Batch]:
        for plan in plans:
            done, step = plan.position(start) if start and plan is plans[0] else plan.position(None)
            while (which := plan.next_stream(done)) is not None:
                stream = plan.phase.streams[which]
                first, last = done[which], min(done[which] + plan.sizes[which], stream.sequences)
                source = self._sources[plan.phase.name, stream.length]
                batch = Batch(source.read(range(first + rank, last, world), self.seed))
                done[which], step = last, step + 1
                self._state = {
                    "phase": plan.phase.name,
                    "step": step,
                    "sequences": {
                        str(one.length): count
                        for one, count in zip(plan.phase.streams, done, strict=True)
                    },
                    "seed": self.seed,
                }
                batch.update(
                    phase=plan.phase.name,
                    length=stream.length,
                    targets=stream.targets,
                    step=step - 1,
                    state=self._state,
                )
                yield batch

    def _index(self, names: list[str], start: State) -> int:
        """Which of `names` a state stands in."""
        if start.get("phase") not in names:
            raise ShardError(
                f"the state is of phase {start.get('phase')!r}; the phases asked for are "
                f"{', '.join(names)}"
            )
        if start.get("seed") != self.seed:
            raise ShardError(
                f"the state was made with seed {start.get('seed')!r}, this curriculum has "
                f"{self.seed!r}; open it with the state's seed to go on at the same sample"
            )
        return names.index(start["phase"])

    def _read_sources(self) -> dict[tuple[str, int], "_Source"]:
        files = read_files(self._folder, ["path", "phase", "length", "shard", "sequences"])
        files = files.sort_by(
            [("phase", "ascending"), ("length", "ascending"), ("shard", "ascending")]
        )
        rows: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for path, phase, length, _, count in zip(*files.to_pydict().values(), strict=True):
            rows.setdefault((phase, length), []).append((f"{self._folder}/{path}", count))
        sources = {}
        for phase in self.manifest.phases:
            for stream in phase.streams:
                found = rows.get((phase.name, stream.length), [])
                source = _Source(stream, [path for path, _ in found], [n for _, n in found])
                if source.starts[-1] != stream.sequences:
                    raise ShardError(
                        f"phase {phase.name!r} lists {source.starts[-1]} sequences of length "
                        f"{stream.length}, its manifest says {stream.sequences}; pack it again"
                    )
                sources[phase.name, stream.length] = source
        return sources


@dataclass(frozen=True)
class _Plan:
    """The steps of a phase: which length each one has."""

    phase: PhaseInfo
    sizes: list[int]  # sequences in a global batch, per stream
    drop_last: bool

    def position(self, start: State | None) -> tuple[list[int], int]:
        """Sequences taken of each stream, and steps made."""
        taken = start["sequences"] if start else {}
        done = [int(taken.get(str(stream.length), 0)) for stream in self.phase.streams]
        for count, stream in zip(done, self.phase.streams, strict=True):
            if not 0 <= count <= stream.sequences:
                raise ShardError(
                    f"the state stands at sequence {count} of length {stream.length}; phase "
                    f"{self.phase.name!r} has {stream.sequences}"
                )
        return done, int(start["step"]) if start else 0

    def next_stream(self, done: list[int]) -> int | None:
        """The stream of the next step; None when the phase is over.

        Error diffusion: the stream that would be furthest behind its share of the phase half way
        through its step. Exact fractions of positions only, so a schedule can be entered anywhere.
        """
        streams = self.phase.streams
        left = [
            which
            for which, stream in enumerate(streams)
            if stream.sequences - done[which] >= (self.sizes[which] if self.drop_last else 1)
        ]
        return min(
            left,
            key=lambda i: Fraction(2 * done[i] + self.sizes[i], streams[i].sequences),
            default=None,
        )


def _size(stream: Stream, batch_tokens: int | None, sequences: int | None, world: int) -> int:
    """Sequences in a global batch of a stream."""
    size = stream.batch if sequences is None else sequences
    if batch_tokens is not None:
        size = batch_tokens // stream.length
    if size < 1 or size % world:
        raise ShardError(
            f"a global batch of {size} sequences of length {stream.length} does not split over "
            f"{world} ranks; choose a positive multiple of {world}"
        )
    return size


class _Source:
    """The sequences of one (phase, length), numbered through its shards."""

    def __init__(self, stream: Stream, paths: list[str], counts: list[int]) -> None:
        self.starts = np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]).tolist()
        self._stream = stream
        self._paths = paths
        self._open: tuple[int, _Shard] | None = None  # readers go forward: one shard is enough

    def read(self, sequences: range, seed: int | None) -> dict[str, Any]:
        """The rows of `sequences`; a view where one record batch has them all and none is moved."""
        parts, at = [], sequences
        while at:
            number = int(np.searchsorted(self.starts, at[0], "right")) - 1
            begin, end = self.starts[number], self.starts[number + 1]
            here = at[: -(-(end - at[0]) // at.step)]
            rows = range(here.start - begin, here.stop - begin, here.step)
            shard = self._shard(number)
            parts.append(shard.rows(rows if seed is None else shard.order(seed)[np.array(rows)]))
            at = at[len(here) :]
        if not parts:
            parts = [self._shard(0).rows(range(0))]
        found = {
            name: parts[0][name] if len(parts) == 1 else np.concatenate([p[name] for p in parts])
            for name in parts[0]
        }
        return {**found, "sequence": np.array(sequences, np.int64)}

    def _shard(self, number: int) -> "_Shard":
        if self._open is None or self._open[0] != number:
            self._open = None  # give the old one back before the next is read
            count = self.starts[number + 1] - self.starts[number]
            self._open = number, _Shard(self._paths[number], number, self._stream, count)
        return self._open[1]


class _Shard:
    """An open shard."""

    def __init__(self, path: str, number: int, stream: Stream, count: int) -> None:
        table = open_shard(path)
        ids = table.column("input_ids")
        if len(ids) != count or ids.type.list_size != stream.width:
            raise ShardError(
                f"{path} has {len(ids)} rows of {ids.type.list_size} ids; files.parquet says "
                f"{count} of {stream.width}; pack it again"
            )
        self._number, self._count, self._length = number, count, stream.length
        self._blocks: list[np.ndarray] = [
            chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, stream.width)
            for chunk in ids.chunks
        ]
        # all record batches but the last have this many rows
        self._block_rows = max(1, len(self._blocks[0]) if self._blocks else 1)
        self._empty = np.zeros((0, stream.width), np.int32)
        self._lists = {
            name: _lists(table.column(name)) for name in _COUNTS if name in table.schema.names
        }
        self._order: tuple[int, np.ndarray] | None = None

    def order(self, seed: int) -> np.ndarray:
        """The permutation of the shard's rows under `seed`: they are sorted by a hash."""
        if self._order is None or self._order[0] != seed:
            with np.errstate(over="ignore"):
                key = np.zeros(1, np.uint64)
                for part in (seed, self._length, self._number):
                    key = _mix((key ^ np.uint64(part & 0xFFFFFFFFFFFFFFFF)) + _GOLDEN)
                keys = _mix(key + np.arange(self._count, dtype=np.uint64) * _GOLDEN)
            self._order = seed, np.argsort(keys, kind="stable")
        return self._order[1]

    def rows(self, rows: range | np.ndarray) -> dict[str, np.ndarray]:
        """The keys of a batch that stand in the shard."""
        index = np.array(rows, np.int64)
        found = {"input_ids": self._ids(rows, index)}
        for name, (offsets, values) in self._lists.items():
            counts = offsets[index + 1] - offsets[index]
            shift = np.repeat(offsets[index] - (np.cumsum(counts) - counts), counts)
            found[name] = values[np.arange(len(shift)) + shift]
            found[_COUNTS[name]] = counts
        return found

    def _ids(self, rows: range | np.ndarray, index: np.ndarray) -> np.ndarray:
        if not len(index):
            return self._empty
        size = self._block_rows
        block = index // size
        if isinstance(rows, range) and block[0] == block[-1]:
            base = int(block[0]) * size
            view: np.ndarray = self._blocks[block[0]]
            return view[rows.start - base : rows[-1] + 1 - base : rows.step]
        out = np.empty((len(index), self._empty.shape[1]), np.int32)
        for one in np.unique(block):
            here = block == one
            out[here] = self._blocks[one][index[here] - one * size]
        return out


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _lists(column: pa.ChunkedArray) -> Lists:
    """Offsets (int64) and values of a list column of a shard."""
    if not column.num_chunks:
        return np.zeros(1, np.int64), np.zeros(0, np.int32)
    counts = np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in column.chunks])
    values = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return offsets, values


def _sums(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of consecutive groups of `counts` values each; an empty group sums to 0."""
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(counts)
    found: np.ndarray = sums[ends] - sums[ends - counts]
    return found
