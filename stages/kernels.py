"""How functions that only kernels call are compiled, and the sets of bytes that kernels know.

Numba gives each function an entry from Python and one from C, which is half of a small one's compilation, and
a file in the cache, though the kernels' own files hold all that they call.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

_Result = TypeVar("_Result")

# Options that numba's own sorts use, from 0.60 to 0.68; its documentation does not name them.
_NO_ENTRIES: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Decorates such a function. To call it from Python crashes: a test calls it in a kernel of its own.
inside: Callable[[Callable[..., _Result]], Callable[..., _Result]] = njit(nogil=True, **_NO_ENTRIES)


def byte_table(members: bytes) -> np.ndarray:
    """Whether each of the 256 bytes is among `members`; bool. A kernel holds it as a constant."""
    table = np.zeros(256, np.bool_)
    table[list(members)] = True
    return table


@inside
def stands_at(data: np.ndarray, i: Any, end: Any, word: np.ndarray) -> bool:
    """Whether the bytes of `word` stand at byte i of data[:end]; inside kernels."""
    k = 0
    while k < len(word) and i + k < end and data[i + k] == word[k]:
        k += 1
    return k == len(word)
