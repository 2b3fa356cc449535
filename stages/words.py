"""The words of a batch, found once and shared: shingles of MinHash, n-grams of decontamination.

A word is a maximal run of letters, marks, numbers and `_`, in lower case. In scripts written without
spaces each character is a word of its own, so n-grams of words are n-grams of characters there, and
Chinese, Japanese or Thai is compared like English.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import (
    BYTES,
    INDEX,
    INT32S,
    OWN_UNIT,
    WORD,
    characters,
    decode,
)

_EMPTY = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """Word hashes of a batch: row i has `hashes[offsets[i]:offsets[i + 1]]`, in the order of the text."""

    offsets: np.ndarray  # int64, rows + 1, from 0
    hashes: np.ndarray  # uint64


def find_words(text: Text) -> Words:
    """The words of each row; a null row has none. Bytes that are not UTF-8 separate words.

    Lower-casing is by code point (`characters().lower`), so a final sigma is not made of a capital.
    """
    offsets, data = text_buffers(text)
    table = characters()
    rows = len(offsets) - 1
    starts = np.zeros(rows + 1, np.int64)
    # A word takes two bytes with its separator, save a row's last; an own-unit character takes three.
    hashes = np.empty((offsets[-1] - offsets[0] + rows) // 2 + 1, np.uint64)
    ascii_letter = np.where(table.word_class[:128], table.lower[:128], 0).astype(np.uint8)
    _hash_words(offsets, data, ascii_letter, table.word_class, table.lower, starts, hashes)
    return Words(starts, hashes[: starts[-1]])


@njit(uint64(uint64), nogil=True, cache=True)
def mix(x: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection of uint64; inside kernels."""
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


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
    count = 0
    for row in range(len(starts) - 1):
        starts[row] = count
        i, end = offsets[row], offsets[row + 1]
        word = _EMPTY  # no letters yet; a word's own hash gets back here once in 2^64
        while i < end:
            byte = data[i]
            if byte < 0x80:
                i += 1
                letter = ascii_letter[byte]
                if letter != 0:
                    word = (word ^ uint64(letter)) * _STEP
                elif word != _EMPTY:
                    hashes[count] = mix(word)
                    count += 1
                    word = _EMPTY
                continue
            code, width = decode(data, i, end)
            i += width
            kind = word_class[code]
            if kind == WORD:
                word = (word ^ uint64(lower[code])) * _STEP
                continue
            if word != _EMPTY:
                hashes[count] = mix(word)
                count += 1
                word = _EMPTY
            if kind == OWN_UNIT:
                hashes[count] = mix((_EMPTY ^ uint64(lower[code])) * _STEP)
                count += 1
        if word != _EMPTY:
            hashes[count] = mix(word)
            count += 1
    starts[-1] = count
