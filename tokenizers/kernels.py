"""How the kernels of this folder are compiled, and UTF-8 read inside them."""

from typing import Any

import numba
import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Int = Any  # of kernels: an int to Python, an int64 to numba
kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


@kernel
def code_point(data: np.ndarray, at: Int, end: Int) -> tuple[Int, Int]:
    """The character at a byte of valid UTF-8, and where the next one starts; all uint64.

    No bytes lead past `end`, nor to a number of more than 21 bits.
    """
    point = np.uint64(data[at])
    if point < 0x80:
        return point, at + np.uint64(1)
    size = np.uint64(2) + np.uint64(point >= 0xE0) + np.uint64(point >= 0xF0)
    point &= np.uint64(0x7F) >> size
    stop = min(at + size, end)
    at += np.uint64(1)
    while at < stop:
        point = point << np.uint64(6) | np.uint64(data[at] & 0x3F)
        at += np.uint64(1)
    return point, stop
