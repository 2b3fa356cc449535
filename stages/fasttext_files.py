"""fastText's model files (`.bin`, and quantised `.ftz`) as NumPy arrays, without the library.

The format is that of fastText's own source (`fasttext.cc`, `dictionary.cc`, `quantmatrix.cc`,
`productquantizer.cc`): little-endian, versions 11 and 12. Large matrices are views of the mapped file,
so the processes of a machine share them.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.errors import SourceError
from coursepack.stages.characters import BYTES

MAGIC, VERSIONS = 793712314, (11, 12)
HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
LABEL_PREFIX = "__label__"

_SUPERVISED = 3
_CENTROIDS = 256
_NOTHING = (np.zeros((0, 0), np.uint8), np.zeros(0, np.float32), np.zeros((0, 0, 0), np.float32))


@dataclass(frozen=True, eq=False)
class Matrix:
    """Rows of float32, dense or as product-quantised codes; the other arrays are then empty.

    Row r of a quantised matrix is, for each part q, `norms[r] * centroids[q, codes[r, q]]`.
    """

    rows: int
    dim: int
    dense: np.ndarray  # float32 (rows, dim)
    codes: np.ndarray  # uint8 (rows, parts)
    norms: np.ndarray  # float32 (rows)
    centroids: np.ndarray  # float32 (parts, 256, dim of a part); zeros behind a narrower last part

    def to_dense(self) -> np.ndarray:
        """All rows as float32 (rows, dim)."""
        if not len(self.codes):
            return np.ascontiguousarray(self.dense)
        parts = [self.centroids[q][codes] for q, codes in enumerate(self.codes.T)]
        rows: np.ndarray = np.concatenate(parts, axis=1)[:, : self.dim] * self.norms[:, None]
        return rows

    def reordered(self, order: np.ndarray) -> "Matrix":
        """A quantised matrix of the rows `order`."""
        codes, norms = self.codes[order], self.norms[order]
        return Matrix(len(order), self.dim, self.dense, codes, norms, self.centroids)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A supervised model as its file holds it; its entries are its words, then its labels."""

    words: int  # entries that are words
    labels: tuple[str, ...]  # without `__label__`
    label_counts: np.ndarray  # int64: how often each was met in training
    starts: (
        np.ndarray
    )  # int64, entries + 1: entry i is the bytes [starts[i], starts[i + 1]) of `data`
    data: np.ndarray  # uint8
    table: np.ndarray  # uint64, open addressing by `step`: hash << 32 | entry + 1; 0: empty
    loss: int
    word_ngrams: int
    bucket: int
    minn: int
    maxn: int  # 0: no character n-grams
    pruned: bool  # only some buckets have rows: those whose bit is set in `kept`
    kept: np.ndarray  # uint64, a bit a bucket; empty unless `pruned`
    kept_before: np.ndarray  # int32: bits set in the words of `kept` before each
    input: Matrix  # a row a word, then a row a bucket in the order of buckets
    output: Matrix  # a row a label, or a row an inner node of the tree of labels


def read_model(path: str) -> ModelFile:
    """The model in a local file. Raises SourceError where it is no supervised fastText model."""
    if not os.path.isfile(path):
        raise SourceError(f"there is no fastText model at {path!r}; give a file (.bin or .ftz)")
    reader = _Reader(path)
    magic, version = reader.ints(2)
    if magic != MAGIC:
        raise SourceError(f"{path!r} is no fastText model; give its .bin or .ftz file")
    if version not in VERSIONS:
        raise SourceError(
            f"the fastText model {path!r} has format version {version}; known are 11 and 12: "
            "save it with fastText 0.9"
        )
    # dim, ws, epoch, minCount and neg come first, lrUpdateRate and t last
    word_ngrams, loss, kind, bucket, minn, maxn = reader.ints(12)[5:11]
    reader.take(np.float64, 1)
    if kind != _SUPERVISED:
        raise SourceError(
            f"the fastText model {path!r} holds word vectors and cannot classify; give one trained "
            "by `fasttext supervised`"
        )
    entries, words, labels = reader.ints(3)
    _, kept_buckets = reader.take(np.int64, 2).tolist()  # the number of tokens comes first
    starts, data, counts = reader.entries(entries)
    pairs = reader.take(np.int32, 2 * max(kept_buckets, 0)).reshape(-1, 2)
    quantised = reader.flag()
    inputs = reader.matrix(quantised)
    outputs = reader.matrix(reader.flag() and quantised)
    kept = np.full(bucket if kept_buckets > 0 else 0, -1, np.int32)
    if kept_buckets > 0:
        reader.check(pairs.min() >= 0 and pairs[:, 0].max() < bucket)
        kept[pairs[:, 0]] = pairs[:, 1]
    maxn = maxn if version > VERSIONS[0] else 0
    ngrams = maxn > 0 or word_ngrams > 1
    gram_rows = bucket if kept_buckets < 0 else int(kept.max(initial=-1)) + 1
    reader.check(words + labels == entries and labels > 0 and inputs.dim == outputs.dim)
    reader.check(loss in (HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VS_ALL))
    reader.check(not ngrams or bucket > 0)
    reader.check(inputs.rows >= words + (gram_rows if ngrams else 0))
    reader.check(outputs.rows >= labels - (loss == HIERARCHICAL))
    kept = np.zeros(0, np.uint64)
    if kept_buckets >= 0:
        reader.check(pairs.min(initial=0) >= 0 and pairs[:, 0].max(initial=0) < max(bucket, 1))
        reader.check(quantised)
        pairs = pairs[np.argsort(pairs[:, 0])]
        inputs = inputs.reordered(np.append(np.arange(words), words + pairs[:, 1]))
        bits = np.zeros((bucket // 64 + 1) * 64, np.uint8)
        bits[pairs[:, 0]] = 1
        kept = np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)
    before = np.cumsum(np.bitwise_count(kept), dtype=np.int64)
    table = np.zeros(1 << (2 * entries).bit_length(), np.uint64)
    _fill_table(starts, data, table)
    names = [bytes(data[starts[i] : starts[i + 1]]) for i in range(words, entries)]
    return ModelFile(
        words,
        tuple(name.decode("utf-8", "replace").removeprefix(LABEL_PREFIX) for name in names),
        counts[words:],
        starts,
        data,
        table,
        loss,
        word_ngrams,
        bucket,
        minn,
        maxn,
        kept_buckets >= 0,
        kept,
        (before - np.bitwise_count(kept)).astype(np.int32),
        inputs,
        outputs,
    )


class _Reader:
    """Reads one field after the other; SourceError past the end of the file."""

    def __init__(self, path: str) -> None:
        self.path = path
        size = os.path.getsize(path)
        self.raw = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)
        self.at = 0

    def check(self, holds: Any) -> None:
        if not holds:
            raise SourceError(
                f"the fastText model {self.path!r} is damaged or cut off; fetch or train it again"
            )

    def take(self, dtype: Any, count: int) -> np.ndarray:
        end = self.at + count * np.dtype(dtype).itemsize
        self.check(count >= 0 and end <= len(self.raw))
        found: np.ndarray = self.raw[self.at : end].view(np.ndarray).view(dtype)
        self.at = end
        return found

    def ints(self, count: int) -> list[int]:
        return [int(x) for x in self.take(np.int32, count)]

    def flag(self) -> bool:
        return bool(self.take(np.uint8, 1)[0])

    def entries(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Their bounds, bytes and counts."""
        rest = self.raw[self.at :].view(np.ndarray)
        self.check(0 < 10 * count <= len(rest))  # an entry takes 10 bytes or more
        starts, counts = np.zeros(count + 1, np.int64), np.zeros(count, np.int64)
        data = np.empty(len(rest) if count else 0, np.uint8)
        taken = _split_entries(rest, starts, data, counts)
        self.check(taken >= 0)
        self.at += taken
        return starts, data[: starts[-1]].copy(), counts

    def matrix(self, quantised: bool) -> Matrix:
        normed = quantised and self.flag()
        rows, dim = self.take(np.int64, 2).tolist()
        self.check(rows >= 0 and dim > 0)
        if not quantised:
            dense = self.take(np.float32, rows * dim).reshape(rows, dim)
            return Matrix(rows, dim, dense, *_NOTHING)
        codes = self.take(np.uint8, self.ints(1)[0])
        centroids = self._centroids(dim)
        self.check(len(codes) == rows * len(centroids))
        norms = np.ones(rows, np.float32)
        if normed:
            norm_codes = self.take(np.uint8, rows)
            norms = self._centroids(1)[0, :, 0][norm_codes]
        codes = np.ascontiguousarray(codes.reshape(rows, -1))
        return Matrix(rows, dim, np.zeros((0, dim), np.float32), codes, norms, centroids)

    def _centroids(self, dim: int) -> np.ndarray:
        """A product quantiser's, (parts, 256, dim of a part)."""
        found, parts, width, last = self.ints(4)
        self.check(found == dim and 0 < last <= width and (parts - 1) * width + last == dim)
        flat = self.take(np.float32, dim * _CENTROIDS)
        centroids = np.zeros((parts, _CENTROIDS, width), np.float32)
        whole = (parts - 1) * _CENTROIDS * width
        centroids[:-1] = flat[:whole].reshape(parts - 1, _CENTROIDS, width)
        centroids[-1, :, :last] = flat[whole:].reshape(_CENTROIDS, last)
        return centroids


@njit(nogil=True, cache=True)
def step(h: Any, byte: Any) -> Any:
    """FNV-1a over one more byte (uint32), as fastText has it: with the byte's sign; inside kernels."""
    signed = np.uint32(np.int32(np.int8(byte)))
    return np.uint32((h ^ signed) * np.uint32(16777619))


@njit(
    types.int64(BYTES, types.int64[::1], types.uint8[::1], types.int64[::1]), nogil=True, cache=True
)
def _split_entries(
    raw: np.ndarray, starts: np.ndarray, data: np.ndarray, counts: np.ndarray
) -> int:
    """Bytes taken by the entries (text, 0, int64 count, int8 kind), or -1 where they are cut off."""
    i = n = 0
    for entry in range(len(counts)):
        while i < len(raw) and raw[i] != 0:
            data[n] = raw[i]
            i += 1
            n += 1
        if i + 10 > len(raw):
            return -1
        for k in range(8):
            counts[entry] |= np.int64(raw[i + 1 + k]) << (8 * k)
        i += 10
        starts[entry + 1] = n
    return i


@njit(types.void(types.int64[::1], types.uint8[::1], types.uint64[::1]), nogil=True, cache=True)
def _fill_table(starts: np.ndarray, data: np.ndarray, table: np.ndarray) -> None:
    mask = len(table) - 1
    for entry in range(len(starts) - 1):
        h = np.uint32(2166136261)
        for i in range(starts[entry], starts[entry + 1]):
            h = step(h, data[i])
        slot = np.int64(h) & mask
        while table[slot] != 0:
            slot = (slot + 1) & mask
        table[slot] = uint64(h) << uint64(32) | uint64(entry + 1)
