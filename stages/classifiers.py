"""fastText classifiers of whole documents: the recipe's tagger of domains, and scores of quality.

A classifier made by `coursepack tagger train` reads a document as `normalised`: a bounded sample of it, in words
that code has too. One from elsewhere reads all of it as it stands: DCLM's (Li et al. 2024, arXiv:2406.11794) was
trained on whole documents with newlines as spaces.
"""

from functools import cache
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types

from coursepack.pipeline.arrow import Text, binary_array, text_buffers
from coursepack.stages.characters import BYTES, INDEX
from coursepack.stages.fasttext_files import LABEL_PREFIX
from coursepack.stages.linear import Classifier, classify, scores

# Of a document longer than WINDOWS of WINDOW_BYTES so many windows are read, from its start to its end.
WINDOW_BYTES = 1024
WINDOWS = 4
# Decimals of probabilities, as their last bits depend on how a kernel was compiled; published thresholds of quality
# are small (DCLM's is 0.018112).
DECIMALS, QUALITY_DECIMALS = 3, 5

# What text a model was trained on, and is given: `normalised`, or the document as it is.
Form = Literal["normalised", "whole"]

_SPACE, _LINE, _DIGIT, _SIGN, _CAPITAL, _OTHER = range(6)
_NEW_LINE, _INDENTED = 0x4E, 0x49  # N and I: no other capital letter is left


def normalised(text: Text) -> pa.Array:
    """What a classifier of ours reads of each text (large_string), in training as later; a null text is empty.

    A text of more than WINDOWS * WINDOW_BYTES bytes is WINDOWS parts of about WINDOW_BYTES, whole code points,
    the first at its start, the last at its end, the others evenly between.

    Of each part ASCII letters are in lower case, a run of ASCII digits is `0`, each other visible ASCII
    character is a word of its own, a line break is the word `N`, or `I` where the next line is indented, and all other
    ASCII is a space. Words have single spaces between them. So the result is one line, in which no
    `__label__` and no `</s>` can stand.
    """
    offsets, data = text_buffers(text)
    room = 3 * np.minimum(np.diff(offsets), WINDOWS * WINDOW_BYTES) + 2 * WINDOWS
    found = np.empty(int(room.sum()), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _normalise(offsets, data, _kinds(), found, ends)
    return binary_array(ends, found[: ends[-1]], pa.large_string())


def likeliest(text: Text, model: Classifier) -> tuple[pa.Array, pa.Array]:
    """The likeliest label of each text (string) and its probability (float64, DECIMALS decimals), of a model of ours.

    Both are null where the model knows no word of the text.
    """
    label, probability = classify(normalised(text), model)
    return label, pc.round(probability, DECIMALS)


def quality(text: Text, model: Classifier, label: str, form: Form = "normalised") -> pa.Array:
    """The probability of `label` (float64, QUALITY_DECIMALS) for each text, null where the model knows no word of it.

    `form` is the text that the model was trained on: `whole` for models from elsewhere, newlines as spaces. `label`
    may be written with fastText's prefix. Raises SourceError where the model does not know it.
    """
    read = normalised(text) if form == "normalised" else text
    return pc.round(scores(read, model, label.removeprefix(LABEL_PREFIX)), QUALITY_DECIMALS)


@cache
def _kinds() -> np.ndarray:
    """What each byte is."""
    kinds = np.full(256, _OTHER, np.uint8)
    kinds[:0x80] = _SPACE
    kinds[0x21:0x7F] = _SIGN
    kinds[0x30:0x3A] = _DIGIT
    kinds[0x41:0x5B] = _CAPITAL
    kinds[0x61:0x7B] = _OTHER
    kinds[0x0A] = _LINE
    return kinds


@njit(types.void(INDEX, BYTES, BYTES, types.uint8[::1], types.int64[::1]), nogil=True, cache=True)
def _normalise(
    offsets: np.ndarray, data: np.ndarray, kinds: np.ndarray, found: np.ndarray, ends: np.ndarray
) -> None:
    n = 0
    for row in range(len(offsets) - 1):
        first, end = offsets[row], offsets[row + 1]
        size = end - first
        parts = 1 if size <= WINDOWS * WINDOW_BYTES else WINDOWS
        begin = n
        for part in range(parts):
            start, stop = first, end
            if parts > 1:
                start = first + (size - WINDOW_BYTES) * part // (parts - 1)
                stop = start + WINDOW_BYTES
                while start < stop and data[start] & 0xC0 == 0x80:
                    start += 1
                while stop < end and stop > start and data[stop] & 0xC0 == 0x80:
                    stop -= 1
            last = _SPACE
            for i in range(start, stop):
                byte = data[i]
                kind = kinds[byte]
                if kind in (_OTHER, _CAPITAL):
                    word = last == _OTHER
                    byte += 32 if kind == _CAPITAL else 0
                    kind = _OTHER
                elif kind == _DIGIT:
                    if last == _DIGIT:
                        continue
                    byte, word = 0x30, False
                elif kind == _LINE:
                    indented = i + 1 < stop and (data[i + 1] == 0x20 or data[i + 1] == 0x09)
                    byte, word = _INDENTED if indented else _NEW_LINE, False
                elif kind == _SIGN:
                    word = False
                else:
                    last = _SPACE
                    continue
                if not word and n > begin:
                    found[n] = 0x20
                    n += 1
                found[n] = byte
                n += 1
                last = kind
        ends[row + 1] = n
