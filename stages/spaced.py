"""Words as tools have them that split on white space alone, in every script.

Pieces has a word for each character of Chinese, Japanese or Thai; joined to what they touch they are words again.
"""

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def behind(word: Any, last: Any, starts: np.ndarray, ends: np.ndarray) -> Any:
    """The word after those that `word` touches, `last` where the text ends with them; inside kernels."""
    word += 1
    while word < last and starts[word] == ends[word - 1]:
        word += 1
    return word
