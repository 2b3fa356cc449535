"""Copies among the pieces of a text and n words that repeat, found by 64-bit hashes.

Shared by the signals of repetition. Most is for use inside kernels; arrays are made once a batch.
"""

from typing import Any

import numpy as np
from numba import njit, uint64

from coursepack.stages.characters import load8, load_few

# Of a longer text the first bytes are measured: pieces and scratch of a batch then take 0.7 GB at most.
HEAD_BYTES = 1 << 24
EMPTY = np.uint64(0xCBF29CE484222325)  # a hash before its first byte
STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd
_ONE = np.uint64(1)


def head_ends(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Where each row's first HEAD_BYTES end, at a border of characters; int64, one a row."""
    ends: np.ndarray = np.minimum(offsets[1:], offsets[:-1] + HEAD_BYTES)
    for row in np.flatnonzero(ends < offsets[1:]):
        tails = 0
        while tails < 3 and data[ends[row]] & 0xC0 == 0x80:
            ends[row] -= 1
            tails += 1
    return ends


@njit(uint64(uint64), nogil=True, cache=True)
def mix(x: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection of uint64; inside kernels."""
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(nogil=True, cache=True)
def hash_bytes(data: np.ndarray, start: Any, end: Any) -> Any:
    """A 64-bit hash of data[start:end], eight bytes at a time: what `Pieces` holds of words and lines."""
    held = EMPTY + uint64(end - start)
    while end - start > 8:
        held = (held ^ load8(data, start)) * STEP
        held ^= held >> uint64(32)
        start += 8
    if start < end:
        held = (held ^ load_few(data, start, end)) * STEP
    return mix(held)


def table_size(pieces: int) -> int:
    """Slots for `pieces` hashes: a power of two, at most half full."""
    return 1 << (2 * pieces).bit_length()


@njit(nogil=True, cache=True)
def clear(table: np.ndarray, pieces: Any) -> Any:
    """Empties as many slots of `table` (int32) as `pieces` hashes want; returns what `slot_of` shifts by."""
    bits = 1
    while (1 << bits) < 2 * pieces:
        bits += 1
    table[: 1 << bits] = 0
    return uint64(64 - bits)


@njit(nogil=True, cache=True)
def earlier(table: np.ndarray, shift: Any, hashes: np.ndarray, piece: Any) -> Any:
    """The first piece of the hash of `piece` that was looked up in `table`; `piece` itself where it is new."""
    wanted = hashes[piece]
    mask = (_ONE << (uint64(64) - shift)) - _ONE
    slot = (wanted * STEP) >> shift
    while True:
        held = np.int64(table[slot]) - 1
        first = np.int64(piece) if held < 0 else held
        # One branch for a new piece and a copy, which take turns as no CPU can tell; others in a slot are rare.
        if hashes[uint64(first)] == wanted:
            table[slot] = first + 1
            return first
        slot = (slot + _ONE) & mask


@njit(nogil=True, cache=True)
def count_copies(
    table: np.ndarray, hashes: np.ndarray, chars: np.ndarray, pieces: int
) -> tuple[Any, Any]:
    """How many of the first `pieces` are copies of one before, and their `chars` in all."""
    copies, copied = np.int64(0), np.int64(0)
    shift = clear(table, pieces)
    for piece in range(pieces):
        if earlier(table, shift, hashes, piece) != piece:
            copies += 1
            copied += chars[piece]
    return copies, copied


def gram_scratch(words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `repeats` works in, for texts of at most `words` words: n-grams, places, a table and a sieve."""
    size = table_size(words)
    return (
        np.empty(words, np.uint64),
        np.empty((3, words), np.int32),
        np.empty(size, np.int32),
        np.empty(2 * size, np.uint8),
    )


@njit(nogil=True, cache=True)
def _sift(hashes: np.ndarray, grams: np.ndarray, places: np.ndarray, sieve: np.ndarray) -> Any:
    """All 2-grams, and the places of those that may repeat: no branch depends on the text."""
    size = uint64(len(hashes) - 1)
    bits = uint64(0)
    while (_ONE << bits) < size * uint64(4):
        bits += _ONE
    shift = uint64(64) - bits
    sieve[: _ONE << bits] = 0
    before = hashes[0]
    for place in range(size):
        after = hashes[place + _ONE]
        gram = before * STEP + after
        grams[place] = gram
        slot = gram >> shift
        sieve[slot] = sieve[slot] << np.uint8(1) | np.uint8(1)  # bit 1: twice or more
        before = after
    kept: Any = uint64(0)
    for place in range(size):
        places[kept] = place
        kept += uint64(sieve[grams[place] >> shift] >> np.uint8(1) & np.uint8(1))
    return kept


@njit(nogil=True, cache=True)
def repeats(
    n: int,
    left: Any,
    hashes: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    sieve: np.ndarray,
) -> tuple[Any, Any, Any]:
    """The places in a text where n words stand that occur more than once: from those of n - 1 words.

    To be called for n = 2, 3, ... in turn with the hashes of the text's words, n or more; the `left` of the
    call before, any at first; and `gram_scratch`. Returns how many places are left, the most occurrences of
    one n-gram and its first place, the first of equals; (0, 1, 0) where none repeats. Then rows[0][:left]
    are the places in order, rows[1][place] is the first place of the same words, and rows[2][that place]
    how often they occur.

    Only where the n - 1 words from a place and from the next one both repeat may n words repeat: of most
    texts few places are left at n = 3. At n = 2 a sieve leaves out most of those that stand alone.
    """
    places, firsts, times = rows[0], rows[1], rows[2]
    kept: Any = uint64(0)
    if n == 2:
        kept = _sift(hashes, grams, places, sieve)
    else:
        last = uint64(n - 1)
        for k in range(uint64(1), uint64(left)):
            place: Any = uint64(places[k - _ONE])
            after = uint64(places[k])
            gram = grams[place]
            follows = after == place + _ONE
            grams[place] = gram * STEP + hashes[place + last] if follows else gram
            places[kept] = place
            kept += uint64(follows)
    shift = clear(table, kept)
    for k in range(kept):
        place = uint64(places[k])
        # Where n - 1 words stood first, the n stand too as a rule, if they are many: no search is wanted then.
        first = uint64(firsts[place]) if n > 3 else place
        if n <= 3 or grams[first] != grams[place]:
            first = uint64(earlier(table, shift, grams, place))
        firsts[place] = first
        times[first] = 1 if first == place else times[first] + 1
    best: Any = np.int64(1)
    best_place: Any = np.int64(0)
    found: Any = uint64(0)
    for k in range(kept):
        place = uint64(places[k])
        many: Any = np.int64(times[uint64(firsts[place])])
        places[found] = place
        found += uint64(many > 1)
        if many > best:
            best, best_place = many, np.int64(place)
    return np.int64(found), best, best_place
