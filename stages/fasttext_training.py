"""fastText's supervised training (Joulin et al. 2016, arXiv:1607.01759), the same model each time.

Softmax over the mean of the vectors of words and of pairs of words, by gradient descent with a rate that falls to 0.
The library itself starts nine tenths of its matrix with whatever was in memory when it trains on one thread
(facebookresearch/fastText issue 1061), and lets threads race when on several. The file is the library's format.
"""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types, uint64

from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.errors import RecipeError
from coursepack.stages.characters import BYTES, INDEX, INT32S
from coursepack.stages.fasttext_files import LABEL_PREFIX, MAGIC, SOFTMAX, VERSIONS, step
from coursepack.stages.linear import END

_SUPERVISED = 3
_NGRAMS = 2  # words in a row that have a vector of their own
_BATCH = 1 << 10  # texts split into words at once
_ROWS, _BOUNDS, _MATRIX = types.int32[::1], types.int64[::1], types.float32[:, ::1]


@dataclass(frozen=True)
class Training:
    """How a classifier is trained. Its file is about (words + buckets) * dim * 4 bytes: 23 MB at most."""

    seed: int = 0
    dim: int = 16
    buckets: int = 250_000  # of pairs of words
    words: int = 100_000  # the most frequent ones, at most
    least_count: int = 5  # of a word
    epochs: int = 10
    rate: float = 0.5


def train_model(labels: Sequence[str], texts: pa.Array, settings: Training) -> bytes:
    """The file of a model of labelled texts (large_string, words with single spaces between, none empty).

    Texts are gone through in their order, in each epoch. Raises RecipeError where there are fewer than two labels.
    """
    sizes = sorted(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))
    if len(sizes) < 2:
        found = "".join(f": {label!r}" for label, _ in sizes)
        raise RecipeError(
            f"a classifier needs documents of two labels or more; there is {len(sizes)}{found}"
        )
    words, counts = _vocabulary(texts, settings)
    rows, bounds = _all_rows(texts, words, settings.buckets)
    numbers = {label: number for number, (label, _) in enumerate(sizes)}
    truth = np.array([numbers[label] for label in labels], np.int32)
    draws = np.random.default_rng(settings.seed)
    shape = (len(words) + settings.buckets, settings.dim)
    vectors = draws.uniform(-1 / settings.dim, 1 / settings.dim, shape).astype(np.float32)
    output = np.zeros((len(sizes), settings.dim), np.float32)
    _descend(rows, bounds, truth, settings.epochs, settings.rate, vectors, output)
    entries = [(word, count, 0) for word, count in zip(words.to_pylist(), counts, strict=True)]
    entries += [(LABEL_PREFIX + label, count, 1) for label, count in sizes]
    return _file(settings, entries, vectors, output)


def _batches(texts: pa.Array) -> list[pa.Array]:
    """The words of the texts, a list a text, some texts at a time."""
    cuts = [*range(0, len(texts), _BATCH), len(texts)]
    return [pc.split_pattern(texts.slice(a, b - a), " ") for a, b in pairwise(cuts)]


def _vocabulary(texts: pa.Array, settings: Training) -> tuple[pa.Array, list[int]]:
    """The most frequent words and their counts, after the end of a line, which each text has."""
    found = []
    for batch in _batches(texts):
        counted = pc.value_counts(pc.list_flatten(batch))
        found.append(pa.table({"word": counted.field("values"), "count": counted.field("counts")}))
    table = pa.concat_tables(found).group_by("word").aggregate([("count", "sum")])
    table = table.filter(pc.greater_equal(table["count_sum"], settings.least_count))
    table = table.sort_by([("count_sum", "descending"), ("word", "ascending")])
    table = table.slice(0, settings.words)
    words = [pa.array([END], pa.large_string()), *table["word"].chunks]
    return pa.concat_arrays(words), [len(texts), *table["count_sum"].to_pylist()]


def _all_rows(texts: pa.Array, words: pa.Array, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the input matrix (int32) of all texts, and their bounds (int64)."""
    rows, sizes = [], []
    end = np.frombuffer(END.encode(), np.uint8)
    for batch in _batches(texts):
        tokens = pc.list_flatten(batch)
        known = pc.fill_null(pc.index_in(tokens, words), -1).to_numpy()
        counts = pc.list_value_length(batch).to_numpy()
        taken = np.empty(2 * len(tokens) + len(batch), np.int32)
        size = np.empty(len(batch), np.int64)
        _rows(counts, *text_buffers(tokens), known, end, len(words), buckets, taken, size)
        rows.append(taken[: size.sum()].copy())
        sizes.append(size)
    return np.concatenate(rows), np.append(0, np.cumsum(np.concatenate(sizes)))


@njit(nogil=True, cache=True)
def _hash(data: np.ndarray, start: int, end: int) -> Any:
    h = np.uint32(2166136261)
    for i in range(start, end):
        h = step(h, data[i])
    return uint64(np.int64(np.int32(h)))  # with its sign, as the library has it


@njit(
    types.void(
        INT32S,
        INDEX,
        BYTES,
        INT32S,
        BYTES,
        types.int64,
        types.int64,
        _ROWS,
        _BOUNDS,
    ),
    nogil=True,
    cache=True,
)
def _rows(
    counts: np.ndarray,
    offsets: np.ndarray,
    data: np.ndarray,
    known: np.ndarray,
    end: np.ndarray,
    words: int,
    buckets: int,
    rows: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """Of each text the rows of its words, of the end, and of the pairs of neighbours, the end the last."""
    ending = _hash(end, 0, len(end))
    n = token = 0
    for text in range(len(counts)):
        first = n
        last = uint64(0)
        for place in range(counts[text] + 1):
            if place == counts[text]:
                row, h = 0, ending
            else:
                row, h = known[token], _hash(data, offsets[token], offsets[token + 1])
                token += 1
            if row >= 0:
                rows[n] = row
                n += 1
            if place > 0:
                pair = (last * uint64(116049371) + h) % uint64(buckets)
                rows[n] = words + np.int64(pair)
                n += 1
            last = h
        sizes[text] = n - first


@njit(
    types.void(_ROWS, _BOUNDS, _ROWS, types.int64, types.float64, _MATRIX, _MATRIX),
    nogil=True,
    cache=True,
)
def _descend(
    rows: np.ndarray,
    bounds: np.ndarray,
    truth: np.ndarray,
    epochs: int,
    rate: float,
    vectors: np.ndarray,
    output: np.ndarray,
) -> None:
    labels, dim = output.shape
    mean, change = np.empty(dim, np.float32), np.empty(dim, np.float32)
    p = np.empty(labels, np.float32)
    total = np.float64(bounds[-1]) * epochs
    for epoch in range(epochs):
        for text in range(len(truth)):
            start, end = bounds[text], bounds[text + 1]
            now = rate * (1.0 - (epoch * np.float64(bounds[-1]) + start) / total)
            mean[:] = 0
            change[:] = 0
            for i in range(start, end):
                for j in range(dim):
                    mean[j] += vectors[rows[i], j]
            scale = np.float32(1.0 / (end - start))
            for j in range(dim):
                mean[j] *= scale
            most = np.float32(-np.inf)
            for k in range(labels):
                p[k] = 0
                for j in range(dim):
                    p[k] += mean[j] * output[k, j]
                most = max(most, p[k])
            z = np.float32(0)
            for k in range(labels):
                p[k] = np.exp(p[k] - most)
                z += p[k]
            for k in range(labels):
                wanted = np.float32(1) if k == truth[text] else np.float32(0)
                by = np.float32(now) * (wanted - p[k] / z)
                for j in range(dim):
                    change[j] += by * output[k, j]
                    output[k, j] += by * mean[j]
            for j in range(dim):
                change[j] *= scale
            for i in range(start, end):
                for j in range(dim):
                    vectors[rows[i], j] += change[j]


def _file(
    settings: Training,
    entries: Sequence[tuple[str, int, int]],
    vectors: np.ndarray,
    output: np.ndarray,
) -> bytes:
    # as the library's Args::save: dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, ...
    shape = (settings.dim, 5, settings.epochs, settings.least_count, 5)
    kind = (_NGRAMS, SOFTMAX, _SUPERVISED, settings.buckets, 0, 0, 100)
    labels = len(output)
    words = len(entries) - labels
    tokens = sum(count for _, count, is_label in entries if not is_label)
    parts = [
        struct.pack("<14id", MAGIC, VERSIONS[1], *shape, *kind, 1e-4),
        struct.pack("<3i2q", len(entries), words, labels, tokens, -1),
        *(
            name.encode() + struct.pack("<xqb", count, is_label)
            for name, count, is_label in entries
        ),
    ]
    for matrix in (vectors, output):
        parts += [struct.pack("<?2q", False, *matrix.shape), matrix.astype("<f4").tobytes()]
    return b"".join(parts)
