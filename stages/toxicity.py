"""Scores of a fastText model for toxic or sexual content (NSFW), of a text and of its worst sentence, as Dolma has them
(Soldaini et al. 2024, arXiv:2402.00159; allenai/dolma, `taggers/jigsaw.py`), for models given by path.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types

from coursepack.stages.characters import BYTES, INDEX
from coursepack.stages.linear import Classifier, best_labels, scores, sum_lines
from coursepack.stages.pieces import (
    LETTER,
    MARK,
    NUMBER,
    SPACE,
    TERMINAL,
    TextOrPieces,
    find_pieces,
)

DECIMALS = 4  # a probability of float32 depends on how its kernel was compiled
_AT_A_TIME = 1 << 13  # sentences whose sums are in memory


def label_signals(text: TextOrPieces, model: Classifier, label: str, name: str) -> pa.RecordBatch:
    """The probability of `label` (float64, DECIMALS decimals): of the text (column `name`), and the highest of its
    sentences (`<name>_sentence`). Null where the model knows no word of the text, or of any sentence.

    A sentence ends with its line, with a sign that ends sentences and what signs follow it before white space, and with
    such a sign outside ASCII whatever follows, as in Chinese. `label` may have fastText's prefix. Of a text longer
    than copies.HEAD_BYTES the head is read. Raises SourceError where the model does not know the label.
    """
    label = label.removeprefix("__label__")
    scores(pa.array([], pa.string()), model, label)  # says which labels there are
    p = find_pieces(text)
    number = model.labels.index(label)
    known, probabilities = best_labels(
        *sum_lines(p.offsets[:-1], p.ends, p.data, model), model, number
    )
    whole = pa.array(probabilities, mask=known < 0)
    rows, starts, ends = _sentences(p.offsets, p.ends, p.data, p.kinds)
    worst = np.full(len(p.ends), -1.0)
    for first in range(0, len(rows), _AT_A_TIME):
        part = slice(first, first + _AT_A_TIME)
        sums = sum_lines(starts[part], ends[part], p.data, model)
        known, probabilities = best_labels(*sums, model, number)
        np.maximum.at(worst, rows[part][known >= 0], probabilities[known >= 0])
    columns = [whole, pa.array(worst, mask=worst < 0)]
    return pa.RecordBatch.from_arrays(
        [pc.round(column, DECIMALS) for column in columns], [name, f"{name}_sentence"]
    )


def _sentences(
    offsets: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, start and end (int64) of each sentence that is not blank, in the order of the texts."""
    most = int((data == 0x0A).sum() + (kinds & TERMINAL > 0).sum()) + len(ends)
    found = np.empty((3, most), np.int64)
    count = _find_sentences(offsets, ends, data, kinds, found)
    return found[0, :count], found[1, :count], found[2, :count]


@njit(
    types.int64(INDEX, INDEX, BYTES, BYTES, types.int64[:, ::1]),
    nogil=True,
    cache=True,
)
def _find_sentences(
    offsets: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray, found: np.ndarray
) -> Any:
    n = np.int64(0)
    for row in range(len(ends)):
        i, end = offsets[row], ends[row]
        start, blank = i, True
        while i < end:
            kind, first = kinds[i], data[i]
            i += 1
            ended = first == 0x0A
            if kind & TERMINAL and not blank:
                while i < end and kinds[i] & (LETTER | NUMBER | SPACE | MARK) == 0:
                    i += 1
                ended = first >= 0x80 or i == end or kinds[i] & SPACE != 0
            elif kind & SPACE == 0:
                blank = False
            if ended or i == end:
                if not blank:
                    found[0, n], found[1, n], found[2, n] = row, start, i
                    n += 1
                start, blank = i, True
    return n
