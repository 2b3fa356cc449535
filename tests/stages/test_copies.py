"""n words that repeat, and hashes of bytes, against plain twins."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from coursepack.stages.copies import gram_scratch, hash_bytes, repeats
from coursepack.stages.pieces import find_pieces

Found = list[tuple[list[int], list[int], list[int], int, int]]


def twin(words: list[int], most: int) -> Found:
    """For n from 2: places, their first places, the occurrences of each, the most, and where first."""
    found: Found = []
    for n in range(2, min(len(words), most) + 1):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        count = Counter(grams)
        places = [i for i, gram in enumerate(grams) if count[gram] > 1]
        firsts = [grams.index(grams[i]) for i in places]
        top, times = count.most_common(1)[0]
        found.append((places, firsts, [count[grams[i]] for i in places], times, grams.index(top)))
    return found


def every(words: list[int], most: int) -> Found:
    hashes = np.array(words, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    scratch = gram_scratch(len(words) + 3)  # as for a longer text of the batch
    scratch[2][:], scratch[3][:] = 7, 7
    found, left = [], 0
    for n in range(2, min(len(words), most) + 1):
        left, times, place = repeats(n, left, hashes, *scratch)
        places, firsts, counts = scratch[1]
        at = places[:left]
        found.append(
            (
                at.tolist(),
                firsts[at].tolist(),
                counts[firsts[at]].tolist(),
                times,
                place,
            )
        )
    return found


@given(st.lists(st.integers(1, 3), max_size=40) | st.lists(st.integers(1, 40), max_size=80))
def test_repeats_against_the_twin(words: list[int]) -> None:
    assert every(words, 6) == twin(words, 6)


def test_repeats_of_a_long_text() -> None:
    words = np.random.default_rng(5).integers(1, 200, 3000).tolist()
    assert every(words + words[:500], 4) == twin(words + words[:500], 4)


@njit
def _hash(data: np.ndarray, start: int, end: int) -> Any:
    return hash_bytes(data, start, end)


@given(
    st.lists(st.binary(max_size=30).filter(lambda b: not set(b) & set(b"\t\n\v\f\r ")), min_size=1)
)
def test_hashes_of_bytes_are_those_of_pieces(words: list[bytes]) -> None:
    pieces = find_pieces(pa.array([b" ".join(words)], pa.binary()))
    bounds = zip(pieces.word_starts, pieces.word_ends, strict=True)
    assert [_hash(pieces.data, *bound) for bound in bounds] == pieces.word_hashes.tolist()
    end = len(pieces.data)
    assert _hash(pieces.data, 0, end) == pieces.line_hashes[0]
