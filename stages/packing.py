"""Packing: documents of any length into sequences of one length, whatever order they come in.

Best-fit-decreasing over documents cut on length alone (Ding et al. 2024, "Fewer Truncations Improve
Language Modeling"), or concatenation, which cuts documents at every border of a sequence.
"""

from dataclasses import dataclass

import numba
import numpy as np

from coursepack.shards.format import Lists

METHODS = ("best_fit", "concat")

Units = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Document (int32), start in its encoded stream (int32) and length (int32) of each packing unit."""


@dataclass(frozen=True)
class Packed:
    """Sequences of one shard, in order; the four lists of a sequence have one entry a run.

    A run is a piece of one document, and an attention segment of its own. `doc_ids` are row numbers
    of the sidecar, whose row i is the input document `documents[i]`.
    """

    documents: np.ndarray  # int64 (documents,): sidecar row -> input row
    input_ids: np.ndarray  # int32 (sequences, capacity)
    offsets: np.ndarray  # int32 (sequences + 1,) into the lists below
    run_lens: np.ndarray  # int32 (runs,)
    doc_ids: np.ndarray  # int32 (runs,)
    doc_starts: np.ndarray  # int32 (runs,)

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return int(self.run_lens.sum(dtype=np.int64))

    @property
    def padding(self) -> int:
        """Padding tokens."""
        return int(self.input_ids.size) - self.tokens

    def lists(self) -> dict[str, Lists]:
        """The list columns of the shard, as `write_shard` takes them."""
        values = {
            "seq_lens": self.run_lens,
            "run_lens": self.run_lens,
            "doc_ids": self.doc_ids,
            "doc_starts": self.doc_starts,
        }
        return {name: (self.offsets, column) for name, column in values.items()}


def pack(
    contents: np.ndarray,
    epochs: np.ndarray,
    offsets: np.ndarray,
    ids: np.ndarray,
    capacity: int,
    method: str,
    pad_id: int,
    order: np.ndarray,
    seed: int = 0,
) -> Packed:
    """Pack the documents of a shard; the result does not depend on the order they come in.

    `contents` uint8 (n, 16), `epochs` int32 (n,), document i has `ids[offsets[i]:offsets[i + 1]]`
    (int32), `order` int64 (n,) is its place in the phase. Documents are sorted by (content, epoch),
    under `concat` by (order, content, epoch); sequences by a hash of (seed, content, epoch, start)
    of their first run. A document without tokens keeps its row of the sidecar. Raises ValueError on
    an unknown method or a capacity below 1.
    """
    if method not in METHODS:
        raise ValueError(f"packing method is {method!r}; it must be one of {', '.join(METHODS)}")
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}; a sequence must hold at least 1 token")
    documents = _sort(contents, epochs, offsets, ids, order, by_order=method == "concat")
    starts, lengths = offsets[:-1][documents], np.diff(offsets)[documents]
    if method == "concat":
        units, bins = concat(lengths, capacity)
    else:
        units = cut(lengths, capacity)
        bins = best_fit(units[2], capacity)
    keys = _unit_keys(contents[documents], epochs[documents], units, seed)
    # runs stand in hash order: by length, the long ones would always come first in their sequence
    within = np.arange(len(bins)) if method == "concat" else np.argsort(keys, kind="stable")
    runs, bounds = _group(bins[within])
    runs = within[runs]
    # mixed once more: the least of many keys is small, so sequences of many runs would come first
    sequence = np.argsort(_mix(keys[runs[bounds[:-1]]] + _GOLDEN), kind="stable")
    return Packed(
        documents, *assemble(ids, starts, units, runs, bounds, sequence, capacity, pad_id)
    )


def cut(lengths: np.ndarray, capacity: int) -> Units:
    """Cut documents into blocks of `capacity` tokens and a remainder, by document, then start.

    A document of no tokens gives no unit.
    """
    lengths = np.ascontiguousarray(lengths, np.int64)
    return _cut(lengths, capacity, int((-(-lengths // capacity)).sum()))


@numba.njit(nogil=True, cache=True)
def _cut(lengths: np.ndarray, capacity: int, total: int) -> Units:
    doc = np.empty(total, np.int32)
    start = np.empty(total, np.int32)
    length = np.empty(total, np.int32)
    k = 0
    for i in range(len(lengths)):
        at = 0
        while at < lengths[i]:
            doc[k] = i
            start[k] = at
            length[k] = min(capacity, lengths[i] - at)
            at += length[k]
            k += 1
    return doc, start, length


def concat(lengths: np.ndarray, capacity: int) -> tuple[Units, np.ndarray]:
    """Documents end to end, cut at every `capacity` tokens: units, and the bin of each (int32)."""
    lengths = np.ascontiguousarray(lengths, np.int64)
    doc, start, length, bins = _concat(lengths, capacity)
    return (doc, start, length), bins


@numba.njit(nogil=True, cache=True)
def _concat(
    lengths: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    most = len(lengths) + lengths.sum() // capacity + 1
    doc = np.empty(most, np.int32)
    start = np.empty(most, np.int32)
    length = np.empty(most, np.int32)
    bins = np.empty(most, np.int32)
    k = 0
    laid = 0
    for i in range(len(lengths)):
        at = 0
        while at < lengths[i]:
            doc[k] = i
            start[k] = at
            length[k] = min(capacity - laid % capacity, lengths[i] - at)
            bins[k] = laid // capacity
            at += length[k]
            laid += length[k]
            k += 1
    return doc[:k].copy(), start[:k].copy(), length[:k].copy(), bins[:k].copy()


def best_fit(unit_len: np.ndarray, capacity: int) -> np.ndarray:
    """The bin (int32, numbered as opened) of each unit under best-fit-decreasing.

    Units are taken longest first, those of one length in the order given; each goes to the fullest
    bin that has room, of those the one that has been as full for longest. O(n log capacity). Raises
    ValueError when a unit is empty or longer than `capacity`.
    """
    unit_len = np.ascontiguousarray(unit_len, np.int32)
    if len(unit_len) and not 1 <= unit_len.min() <= unit_len.max() <= capacity:
        raise ValueError(
            f"units have {unit_len.min()} to {unit_len.max()} tokens; cut them to 1 to {capacity}"
        )
    return _best_fit(unit_len, capacity)


@numba.njit(nogil=True, cache=True)
def _best_fit(unit_len: np.ndarray, capacity: int) -> np.ndarray:
    leaves = 1
    while leaves < capacity + 1:
        leaves *= 2
    tree = np.zeros(2 * leaves, np.bool_)  # node: some bin below it; leaf r: a bin with room r
    head = np.full(capacity + 1, -1, np.int32)  # queue of the bins with room r
    tail = np.full(capacity + 1, -1, np.int32)
    after = np.full(len(unit_len), -1, np.int32)
    bins = np.empty(len(unit_len), np.int32)
    opened = 0
    for unit in _longest_first(unit_len, capacity):
        need = unit_len[unit]
        room = _least_room(tree, leaves, need)
        if room < 0:
            room = capacity
            taken = opened
            opened += 1
        else:
            taken = head[room]
            head[room] = after[taken]
            if head[room] < 0:
                _clear(tree, leaves + room)
        bins[unit] = taken
        room -= need
        if room > 0:
            after[taken] = -1
            if head[room] < 0:
                head[room] = taken
                _set(tree, leaves + room)
            else:
                after[tail[room]] = taken
            tail[room] = taken
    return bins


@numba.njit(nogil=True, cache=True)
def _longest_first(unit_len: np.ndarray, capacity: int) -> np.ndarray:
    """A stable counting sort."""
    at = np.zeros(capacity + 2, np.int64)
    for length in unit_len:
        at[capacity - length + 1] += 1
    at = np.cumsum(at)
    out = np.empty(len(unit_len), np.int64)
    for i in range(len(unit_len)):
        slot = capacity - unit_len[i]
        out[at[slot]] = i
        at[slot] += 1
    return out


@numba.njit(nogil=True, cache=True)
def _least_room(tree: np.ndarray, leaves: int, need: int) -> int:
    """The least room of at least `need` that some bin has, or -1."""
    node = leaves + need
    if tree[node]:
        return need
    while node > 1:
        if node % 2 == 0 and tree[node + 1]:
            node += 1
            while node < leaves:
                node *= 2
                if not tree[node]:
                    node += 1
            return node - leaves
        node //= 2
    return -1


@numba.njit(nogil=True, cache=True)
def _set(tree: np.ndarray, node: int) -> None:
    while node > 0 and not tree[node]:
        tree[node] = True
        node //= 2


@numba.njit(nogil=True, cache=True)
def _clear(tree: np.ndarray, node: int) -> None:
    tree[node] = False
    while node > 1:
        node //= 2
        if tree[2 * node] or tree[2 * node + 1]:
            return
        tree[node] = False


def assemble(
    ids: np.ndarray,
    starts: np.ndarray,
    units: Units,
    runs: np.ndarray,
    bounds: np.ndarray,
    sequence: np.ndarray,
    capacity: int,
    pad_id: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fill int32 input_ids (sequences, capacity), offsets, run_lens, doc_ids and doc_starts.

    Document d begins at `ids[starts[d]]`. Row s holds the units `runs[bounds[b]:bounds[b + 1]]` of
    bin b = `sequence[s]`, in that order, then padding.
    """
    counts = np.diff(bounds)[sequence]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    # the units in the order of rows
    shift = np.repeat(bounds[:-1][sequence] - offsets[:-1], counts)
    picked = runs[np.arange(len(shift)) + shift]
    doc_ids, doc_starts, run_lens = (column[picked] for column in units)
    input_ids = np.empty((len(sequence), capacity), np.int32)
    begins = starts[doc_ids] + doc_starts
    _fill(input_ids, np.ascontiguousarray(ids, np.int32), offsets, begins, run_lens, pad_id)
    return input_ids, offsets, run_lens, doc_ids, doc_starts


@numba.njit(nogil=True, cache=True)
def _fill(
    input_ids: np.ndarray,
    ids: np.ndarray,
    offsets: np.ndarray,
    begins: np.ndarray,
    run_lens: np.ndarray,
    pad_id: int,
) -> None:
    for row in range(input_ids.shape[0]):
        at = 0
        for run in range(offsets[row], offsets[row + 1]):
            input_ids[row, at : at + run_lens[run]] = ids[begins[run] : begins[run] + run_lens[run]]
            at += run_lens[run]
        input_ids[row, at:] = pad_id


def _sort(
    contents: np.ndarray,
    epochs: np.ndarray,
    offsets: np.ndarray,
    ids: np.ndarray,
    order: np.ndarray,
    by_order: bool,
) -> np.ndarray:
    """Input rows by (content, epoch, order), or (order, content, epoch); then by their ids."""
    halves = np.ascontiguousarray(contents).view(">u8").astype(np.uint64)
    keys = [halves[:, 0], halves[:, 1], epochs]
    keys = [order, *keys] if by_order else [*keys, order]
    found = np.lexsort(keys[::-1])
    same = np.ones(max(0, len(found) - 1), np.bool_)
    for key in keys:
        same &= key[found[1:]] == key[found[:-1]]
    if same.any():
        # equal texts that were edited differently, say under other sources: their tokens decide
        folded = _fold(np.ascontiguousarray(ids, np.int32), np.asarray(offsets, np.int64))
        found = np.lexsort([folded, *keys[::-1]])
    return found


@numba.njit(nogil=True, cache=True)
def _fold(ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each document's ids (FNV-1a over ids)."""
    out = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(out)):
        state = np.uint64(0xCBF29CE484222325)
        for k in range(offsets[i], offsets[i + 1]):
            state = (state ^ np.uint64(ids[k])) * np.uint64(0x100000001B3)
        out[i] = state
    return out


def _group(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of `bins` by bin, kept in order within one, and each bin's bounds among them."""
    counts = np.bincount(bins)
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.argsort(bins, kind="stable"), bounds


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _unit_keys(contents: np.ndarray, epochs: np.ndarray, units: Units, seed: int) -> np.ndarray:
    """A 64-bit hash of (seed, content, epoch, start) of each unit."""
    doc, start, _ = units
    halves = np.ascontiguousarray(contents).view(">u8").astype(np.uint64)
    with np.errstate(over="ignore"):
        keys = _mix(halves[:, 0] ^ np.uint64(seed & 0xFFFFFFFFFFFFFFFF))
        keys = _mix(keys + halves[:, 1] * _GOLDEN)
        keys = _mix(keys + epochs.astype(np.uint64) * _GOLDEN)
        return _mix(keys[doc] + start.astype(np.uint64) * _GOLDEN)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
