"""fastText classifiers (Joulin et al. 2016, arXiv:1607.01759) applied to a batch by a kernel.

A text is the mean of the vectors of its words, of their character n-grams and of its word n-grams; a linear
layer turns the mean into probabilities. The library takes one Python string a call; here a text stays
in Arrow's buffer, and the sum of a word's vectors is kept in a small table, as most words come again.
"""

import math
import os
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.errors import SourceError
from coursepack.stages.fasttext_files import HIERARCHICAL, SOFTMAX, ModelFile, read_model, step
from coursepack.stages.linear_sums import CHUNK, HEAD, LANES, add_lines, find_entry

END = "</s>"  # the token that ends each line

_SLOTS, _TABLE_BYTES = 1 << 16, 1 << 23  # words kept with their sums, at most
_FLOOR = float(np.float32(math.log(1e-5)))  # log of the least probability the library returns


@dataclass(frozen=True, eq=False)
class Classifier:
    """A model ready to be applied, one a process; `labels` are in the model's order."""

    path: str
    labels: tuple[str, ...]
    file: ModelFile
    end: tuple[int, int]  # the entry of `</s>`, or -1, and its hash
    output: np.ndarray  # float32 (dim, labels or nodes)
    tree: tuple[np.ndarray, np.ndarray]  # int32: two children a node, -1 of a leaf; parents
    sigmoid: np.ndarray  # float32, the library's table of 1 / (1 + exp(-x)), x from -8 to 8
    sums: np.ndarray  # float32, a word a row: its bytes, its number of vectors, their sum
    lock: Lock  # of `sums`


def load_classifier(path: str) -> Classifier:
    """The supervised fastText model of a local file (`.bin` or `.ftz`), read once a process.

    Raises SourceError where there is none, or where it is not one that classifies.
    """
    if not os.path.isfile(path):
        raise SourceError(f"there is no fastText model at {path!r}; give a file (.bin or .ftz)")
    found = os.stat(path)
    return _load(path, found.st_mtime_ns, found.st_size)


def classify(text: Text, model: Classifier) -> tuple[pa.Array, pa.Array]:
    """The likeliest label of each text (string, without `__label__`) and its probability (float64).

    The whole text is one line: newlines separate words as spaces do, and `</s>` in a text ends it, as in the
    library. Both are null where the library has no answer: no word or n-gram of the text has a
    vector. A null text is like an empty one. Labels are the library's; its probability is of
    float32 and depends on how it was compiled, here it differs by less than 1e-5. Round before comparing.
    """
    offsets, data = text_buffers(text)
    labels, probabilities = classify_lines(offsets[:-1], offsets[1:], data, model)
    names = pa.array(model.labels, pa.string())
    unknown = labels < 0
    return names.take(pa.array(labels, mask=unknown)), pa.array(probabilities, mask=unknown)


def scores(text: Text, model: Classifier, label: str) -> pa.Array:
    """The probability (float64) of one label for each text; null as in `classify`.

    Raises SourceError where the model does not know the label.
    """
    if label not in model.labels:
        known = ", ".join(model.labels[:20]) + (", ..." if len(model.labels) > 20 else "")
        raise SourceError(
            f"the fastText model {model.path!r} has no label {label!r}; it has {known}"
        )
    offsets, data = text_buffers(text)
    sums, counts = sum_lines(offsets[:-1], offsets[1:], data, model)
    found, probabilities = best_labels(sums, counts, model, model.labels.index(label))
    return pa.array(probabilities, mask=found < 0)


def classify_lines(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, model: Classifier
) -> tuple[np.ndarray, np.ndarray]:
    """The number of the likeliest label (int32, -1: none) and its probability (float64) of data[starts:ends]."""
    return best_labels(*sum_lines(starts, ends, data, model), model)


def sum_lines(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, model: Classifier
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the vectors of each line data[starts:ends] (float32, (lines, dim)) and their number (int64).

    Sums of lines may be added: they are then those of one text.
    """
    file = model.file
    sums = np.zeros((len(starts), file.input.dim), np.float32)
    counts = np.zeros(len(starts), np.int64)
    longest = int((ends - starts).max(initial=0))
    with model.lock:
        add_lines(
            np.ascontiguousarray(starts, np.int64),
            np.ascontiguousarray(ends, np.int64),
            data,
            file.starts,
            file.data,
            file.table,
            file.words,
            *model.end,
            file.word_ngrams,
            file.bucket,
            file.minn,
            file.maxn,
            file.pruned,
            file.kept,
            file.kept_before,
            file.input.dense,
            file.input.codes,
            file.input.norms,
            file.input.centroids,
            model.sums.view(np.uint64),
            model.sums,
            np.empty(longest + 2 + LANES + file.maxn, np.uint8),
            np.empty(CHUNK + LANES * file.maxn + 1, np.int64),
            np.empty(longest // 2 + 2 if file.word_ngrams > 1 else 1, np.int32),
            sums,
            counts,
        )
    return sums, counts


def best_labels(
    sums: np.ndarray, counts: np.ndarray, model: Classifier, label: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """As `classify_lines`, of sums and numbers of vectors; of `label` instead where it is not -1."""
    found = np.full(len(counts), -1, np.int32)
    probabilities = np.zeros(len(counts))
    if model.file.loss == HIERARCHICAL:
        _descend(sums, counts, model.output, *model.tree, label, found, probabilities)
    else:
        sigmoid = model.sigmoid[: 0 if model.file.loss == SOFTMAX else None]
        _apply(sums, counts, model.output, sigmoid, label, found, probabilities)
    return found, probabilities


@cache
def _load(path: str, modified: int, size: int) -> Classifier:
    file = read_model(path)
    end = np.frombuffer(END.encode(), np.uint8)
    hashed = np.uint32(2166136261)
    for byte in end:
        hashed = step(hashed, byte)
    dim = file.input.dim
    slots = _SLOTS
    while slots * (HEAD + dim) * 4 > _TABLE_BYTES:
        slots //= 2
    if file.maxn == 0:
        slots = 1  # a word is one row: nothing to keep
    labels = len(file.labels)
    return Classifier(
        path,
        file.labels,
        file,
        (
            int(find_entry(end, 0, len(end), hashed, file.starts, file.data, file.table)),
            int(hashed),
        ),
        np.ascontiguousarray(file.output.to_dense()[:labels].T),
        _tree(file.label_counts.tolist()),
        _sigmoid_table(),
        np.zeros((slots, HEAD + dim + dim % 2), np.float32),
        Lock(),
    )


def _sigmoid_table() -> np.ndarray:
    x = np.arange(513, dtype=np.float32) * np.float32(16) / np.float32(512) - np.float32(8)
    return np.asarray(1.0 / (1.0 + np.exp(-x)), np.float32)


def _tree(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The Huffman tree of labels by their counts, which fall: leaves first, the root last."""
    labels = len(counts)
    children = np.full((2 * labels - 1, 2), -1, np.int32)
    parents = np.full(2 * labels - 1, -1, np.int32)
    sizes = counts + [10**15] * (labels - 1)
    leaf, node = labels - 1, labels
    for i in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and sizes[leaf] < sizes[node]:
                children[i, side], leaf = leaf, leaf - 1
            else:
                children[i, side], node = node, node + 1
            parents[children[i, side]] = i
        sizes[i] = sizes[children[i, 0]] + sizes[children[i, 1]]
    return children, parents


@njit(nogil=True, cache=True)
def _log(p: Any) -> Any:
    """The library's logarithm of a probability, which is never that of 0."""
    return np.float32(math.log(np.float64(p) + 1e-5))


@njit(
    types.void(
        types.float32[:, ::1],
        types.int64[::1],
        types.float32[:, ::1],
        types.float32[::1],
        types.int64,
        types.int32[::1],
        types.float64[::1],
    ),
    nogil=True,
    cache=True,
)
def _apply(
    sums: np.ndarray,
    counts: np.ndarray,
    output: np.ndarray,
    sigmoid: np.ndarray,
    label: int,
    found: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """Softmax, or the table of sigmoids where it is given, and the likeliest label or the one asked for."""
    labels = output.shape[1]
    p = np.empty(labels, np.float32)
    for line in range(len(counts)):
        if counts[line] == 0:
            continue
        scale = np.float32(1.0 / counts[line])
        p[:] = 0
        for j in range(len(output)):
            x = sums[line, j] * scale
            for k in range(labels):
                p[k] += x * output[j, k]
        if len(sigmoid) > 0:
            for k in range(labels):
                if p[k] < -8:
                    p[k] = 0
                elif p[k] > 8:
                    p[k] = 1
                else:
                    p[k] = sigmoid[np.int64((p[k] + np.float32(8)) * np.float32(512) / 8 / 2)]
        else:
            most = p.max()
            z = np.float32(0)
            for k in range(labels):
                p[k] = math.exp(p[k] - most)
                z += p[k]
            for k in range(labels):
                p[k] /= z
        best = label
        if label < 0:
            best = 0
            for k in range(1, labels):
                # The library compares logarithms in float32: of labels equal there the last one wins.
                if p[k] > p[best] or (p[k] > p[best] * 0.9999 and _log(p[k]) >= _log(p[best])):
                    best = k
        found[line] = best
        probabilities[line] = min(math.exp(np.float64(_log(p[best]))), 1.0)


@njit(nogil=True, cache=True)
def _branch(mean: np.ndarray, output: np.ndarray, node: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities of the two children of an inner node."""
    x = np.float32(0)
    for j in range(len(mean)):
        x += output[j, node] * mean[j]
    p = np.float32(1.0 / np.float64(np.float32(1) + np.float32(math.exp(-x))))
    return _log(np.float32(1.0 - np.float64(p))), _log(p)


@njit(
    types.void(
        types.float32[:, ::1],
        types.int64[::1],
        types.float32[:, ::1],
        types.int32[:, ::1],
        types.int32[::1],
        types.int64,
        types.int32[::1],
        types.float64[::1],
    ),
    nogil=True,
    cache=True,
)
def _descend(
    sums: np.ndarray,
    counts: np.ndarray,
    output: np.ndarray,
    children: np.ndarray,
    parents: np.ndarray,
    label: int,
    found: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """Hierarchical softmax: the likeliest leaf of the tree, or the one asked for."""
    dim, labels = len(output), (len(parents) + 1) // 2
    mean = np.empty(dim, np.float32)
    stack = np.empty(labels + 1, np.int64)
    scores = np.empty(labels + 1, np.float32)
    for line in range(len(counts)):
        if counts[line] == 0:
            continue
        scale = np.float32(1.0 / counts[line])
        for j in range(dim):
            mean[j] = sums[line, j] * scale
        if label >= 0:
            score = np.float32(0)
            node = np.int64(label)
            while parents[node] >= 0:
                parent = np.int64(parents[node])
                right = children[parent, 1] == node
                score += _branch(mean, output, parent - labels)[1 if right else 0]
                node = parent
            found[line] = label
            probabilities[line] = min(math.exp(np.float64(score)), 1.0)
            continue
        best, most = np.int64(-1), np.float32(-np.inf)
        depth = 1
        stack[0], scores[0] = len(parents) - 1, 0
        while depth > 0:
            depth -= 1
            node, score = stack[depth], scores[depth]
            if score < _FLOOR or score < most or (score == most and best >= 0):
                continue
            if children[node, 0] < 0:
                best, most = node, score
                continue
            left, right = _branch(mean, output, node - labels)
            # the likelier child is visited first, so that most of the tree is never seen
            first = 1 if right > left else 0
            stack[depth], scores[depth] = children[node, 1 - first], score + min(left, right)
            stack[depth + 1], scores[depth + 1] = children[node, first], score + max(left, right)
            depth += 2
        if best >= 0:
            found[line] = best
            probabilities[line] = min(math.exp(np.float64(most)), 1.0)
