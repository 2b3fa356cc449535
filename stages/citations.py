"""Wikipedia's marks in running text: `[1]`, `[]`, `[edit]`, `[citation needed]`, as C4's pattern has them.

Source: Raffel et al. 2020, arXiv:1910.10683, 2.2; the pattern is datatrove's `c4_filters.py`.
"""

import numpy as np
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, characters, decode
from coursepack.stages.spans import Spans, count_byte

_WORDS = (b"[edit]", b"[citation needed]")


def find_citations(text: Text) -> Spans:
    """The marks of each row, to be deleted; digits are those of any script. A null row has none.

    One pass: what closes up when a mark goes, such as `[[1]2]`, is left for a second edit.
    """
    offsets, data = text_buffers(text)
    rows = len(offsets) - 1
    most = count_byte(data[offsets[0] : offsets[-1]], ord("["))
    row_offsets = np.zeros(rows + 1, np.int64)
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    _find(offsets, data, characters().is_digit, *_words(), row_offsets, starts, ends)
    count = row_offsets[-1]
    kinds, replacements = np.zeros(count, np.int16), np.zeros(count, np.int32)
    return Spans(
        row_offsets, starts[:count], ends[:count], kinds, ("citation",), (b"",), replacements
    )


def _words() -> tuple[np.ndarray, np.ndarray]:
    return (np.frombuffer(_WORDS[0], np.uint8), np.frombuffer(_WORDS[1], np.uint8))


@njit(nogil=True, cache=True)
def _is_word(data: np.ndarray, i: int, end: int, word: np.ndarray) -> bool:
    if i + len(word) > end:
        return False
    same = 0
    for k in range(len(word)):
        same += data[i + k] == word[k]
    return same == len(word)


@njit(
    types.void(
        INDEX, BYTES, BYTES, BYTES, BYTES, types.int64[::1], types.int64[::1], types.int64[::1]
    ),
    nogil=True,
    cache=True,
)
def _find(
    offsets: np.ndarray,
    data: np.ndarray,
    is_digit: np.ndarray,
    edit: np.ndarray,
    needed: np.ndarray,
    row_offsets: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> None:
    count = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        i = begin if count_byte(data[begin:end], 0x5B) > 0 else end
        while i < end:
            if data[i] != 0x5B:
                i += 1
                continue
            j = i + 1
            while j < end:
                code, width = decode(data, j, end)
                if not is_digit[code]:
                    break
                j += width
            if j < end and data[j] == 0x5D:
                j += 1
            elif _is_word(data, i, end, edit):
                j = i + len(edit)
            elif _is_word(data, i, end, needed):
                j = i + len(needed)
            else:
                i += 1
                continue
            starts[count], ends[count] = i - begin, j - begin
            count += 1
            i = j
        row_offsets[row + 1] = count
