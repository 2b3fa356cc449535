"""The words of a batch, found once and shared: shingles of MinHash, n-grams of decontamination.

A word is a maximal run of letters, marks, numbers and `_`, in lower case. In scripts written without
spaces each character is a word of its own, so n-grams of words are n-grams of characters there, and
Chinese, Japanese or Thai is compared like English.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.arrow import text_buffers
from coursepack.stages.characters import (
    BYTES,
    INDEX,
    INT32S,
    OWN_UNIT,
    WORD,
    characters,
    decode,
)
from coursepack.stages.copies import mix as mix
from coursepack.stages.pieces import Pieces, TextOrPieces

_EMPTY = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_NO, _YES = np.uint64(0), np.uint64(1)


@dataclass(frozen=True)
class Words:
    """Word hashes of a batch: row i has `hashes[offsets[i]:offsets[i + 1]]`, in the order of the text."""

    offsets: np.ndarray  # int64, rows + 1, from 0
    hashes: np.ndarray  # uint64


def find_words(text: TextOrPieces) -> Words:
    """The words of each row, whole; a null row has none. Bytes that are not UTF-8 separate words.

    Lower-casing is by code point (`characters().lower`), so a final sigma is not made of a capital.
    """
    offsets, data = (text.offsets, text.data) if isinstance(text, Pieces) else text_buffers(text)
    table = characters()
    rows = len(offsets) - 1
    starts = np.zeros(rows + 1, np.int64)
    # A word takes two bytes with its separator, save a row's last; an own-unit character takes three.
    hashes = np.empty((offsets[-1] - offsets[0] + rows) // 2 + 1, np.uint64)
    ascii_letter = np.where(table.word_class[:128], table.lower[:128], 0).astype(np.uint8)
    _hash_words(offsets, data, ascii_letter, table.word_class, table.lower, starts, hashes)
    return Words(starts, hashes[: starts[-1]])


@njit(
    types.void(INDEX, BYTES, BYTES, BYTES, INT32S, types.int64[::1], types.uint64[::1]),
    nogil=True,
    cache=True,
)
def _hash_words(
    offsets: np.ndarray,
    data: np.ndarray,
    ascii_letter: np.ndarray,
    word_class: np.ndarray,
    lower: np.ndarray,
    starts: np.ndarray,
    hashes: np.ndarray,
) -> None:
    """A word's hash is written at each byte, and kept where the word ends: ASCII takes no branch."""
    count: Any = uint64(0)
    for row in range(len(starts) - 1):
        starts[row] = count
        i, end = uint64(offsets[row]), uint64(offsets[row + 1])
        word, inside = _EMPTY, _NO  # of the word so far: its hash, and whether it has letters
        while i < end:
            byte = data[i]
            if byte < 0x80:
                i += _YES
                letter = uint64(ascii_letter[byte])
                is_letter = uint64(letter != _NO)
                hashes[count] = word
                count += inside & ~is_letter
                inside = is_letter
                word = (word ^ letter) * _STEP
                word = word if is_letter else _EMPTY
                continue
            code, width = decode(data, np.int64(i), np.int64(end))
            i += uint64(width)
            kind = word_class[code]
            if kind == WORD:
                word, inside = (word ^ uint64(lower[code])) * _STEP, _YES
                continue
            hashes[count] = word
            count += inside
            if kind == OWN_UNIT:
                hashes[count] = (_EMPTY ^ uint64(lower[code])) * _STEP
                count += _YES
            word, inside = _EMPTY, _NO
        hashes[count] = word
        count += inside
    starts[-1] = count
    for k in range(count):
        hashes[k] = mix(hashes[k])
