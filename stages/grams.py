"""What tools divide that cite Gopher's table of n-grams (Rae et al. 2021, arXiv:2112.11446, A1.1), for n from 2 to 10.

Dolma counts every copy of n words that occur again, RedPajama and DCLM the words that such copies cover. Inside
kernels; arrays are made once a batch.
"""

from typing import Any

import numpy as np
from numba import njit

from coursepack.stages.copies import repeats

LEAST, MOST = 2, 10  # words
SIZES = MOST - LEAST + 1
# Of one n, the places of a row of `found`:
TOP_TIMES = (
    0  # occurrences of the most frequent n-gram, the first of equals; 0 where a text is shorter
)
TOP_CHARS = 1  # its letters, without what stands between words
COPY_CHARS = 2  # letters of all n-grams that occur again, each as often as it occurs
ALL_CHARS = 3  # letters of all n-grams, each as often as it occurs
COVERED_CHARS = 4  # letters of the words inside n-grams that occur again, each word once
COUNTS = 5


@njit(nogil=True, cache=True)
def count_grams(
    hashes: np.ndarray,
    ends: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    sieve: np.ndarray,
    found: np.ndarray,
) -> None:
    """Fills `found` (int64, SIZES x COUNTS, zeros) from the hashes of a text's words, in copies.gram_scratch.

    `ends[k]` holds the letters of words 0 to k. Equality is that of 64-bit hashes.
    """
    words = len(hashes)
    # The letters of the n-gram at place p are ends[p + n - 1] - ends[p - 1]: their sum telescopes to the last n
    # of `ends` less the first n - 1.
    last: Any = np.int64(ends[words - 1]) if words > 0 else np.int64(0)
    head: Any = np.int64(0)
    left: Any = np.int64(0)
    for n in range(LEAST, min(words, MOST) + 1):
        last += np.int64(ends[words - n])
        head += np.int64(ends[n - 2])
        counts = found[n - LEAST]
        counts[ALL_CHARS] = last - head
        left, times, first = repeats(n, left, hashes, grams, rows, table, sieve)
        counts[TOP_TIMES] = times
        counts[TOP_CHARS] = _letters(ends, first, first + n)
        free: Any = np.int64(0)  # word behind the last one that is covered
        for k in range(left):
            place = np.int64(rows[0, k])
            counts[COPY_CHARS] += _letters(ends, place, place + n)
            counts[COVERED_CHARS] += _letters(ends, max(place, free), place + n)
            free = place + n


@njit(nogil=True, cache=True)
def _letters(ends: np.ndarray, start: Any, end: Any) -> Any:
    """Letters of the words from `start` to before `end`."""
    before = np.int64(ends[start - 1]) if start > 0 else np.int64(0)
    return np.int64(ends[end - 1]) - before
