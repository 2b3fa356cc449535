"""Copies among the pieces of a text: the second and later occurrences, found by 64-bit hashes.

Shared by the signals of repetition. All inside kernels; their arrays are made once a batch.
"""

from typing import Any

import numpy as np
from numba import njit, uint64

# Of a longer text the first bytes are measured: what a batch's arrays take stays below half a GB.
HEAD_BYTES = 1 << 24
EMPTY = np.uint64(0xCBF29CE484222325)  # a hash before its first byte
STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd


def head_ends(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Where each row's first HEAD_BYTES end, at a border of characters; int64, one a row."""
    ends: np.ndarray = np.minimum(offsets[1:], offsets[:-1] + HEAD_BYTES)
    for row in np.flatnonzero(ends < offsets[1:]):
        tails = 0
        while tails < 3 and data[ends[row]] & 0xC0 == 0x80:
            ends[row] -= 1
            tails += 1
    return ends


def table_size(pieces: int) -> int:
    """Slots for `pieces` hashes: a power of two, at most half full."""
    return 1 << (2 * pieces).bit_length()


@njit(nogil=True, cache=True)
def clear(table: np.ndarray, pieces: int) -> Any:
    """Empties as many slots of `table` (int32) as `pieces` hashes want; returns what `slot_of` shifts by."""
    bits = 1
    while (1 << bits) < 2 * pieces:
        bits += 1
    table[: 1 << bits] = 0
    return uint64(64 - bits)


@njit(nogil=True, cache=True)
def earlier(table: np.ndarray, shift: Any, hashes: np.ndarray, piece: int) -> Any:
    """The first piece of the hash of `piece` that was looked up in `table`; `piece` itself where it is new."""
    wanted = hashes[piece]
    mask = (np.int64(1) << np.int64(uint64(64) - shift)) - 1
    slot = np.int64((wanted * STEP) >> shift)
    while True:
        held = np.int64(table[slot]) - 1
        if held < 0:
            table[slot] = piece + 1
            return piece
        if hashes[held] == wanted:
            return held
        slot = (slot + 1) & mask


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
