"""Which texts a Unicode normaliser leaves as they are, so that the library need not see them.

A text whose characters are all starters that neither change nor combine with what stands before them is in
normal form (the quick check of UAX #15, with every combining class 0). Which those are is asked of the library.
"""

from functools import cache

import numpy as np
from tokenizers import normalizers

from coursepack.tokenizers.code_points import points
from coursepack.tokenizers.kernels import code_point, kernel

FORMS = ("NFC", "NFKC")


@cache
def restless(form: str) -> np.ndarray:
    """Code points (uint8, 0 or 1) that a normal form may change, join or move; those of `FORMS`."""
    table = np.zeros(1 << 21, np.uint8)
    changed = _each(getattr(normalizers, form)(), points())
    decomposed = _each(normalizers.NFD(), points())
    # of combining class above 1, or of 1 to 229: they change places with a mark of class 1, or of 230
    after = _each(normalizers.NFD(), points(), after="\u0334")
    before = _each(normalizers.NFD(), points(), before="\u0301")
    for point, new, parts, low, high in zip(
        points(), changed, decomposed, after, before, strict=True
    ):
        moves = parts == point and (low == "\u0334" + point or high == point + "\u0301")
        table[ord(point)] |= new != point or moves
        for part in parts[1:]:
            table[ord(part)] = 1
    return table


def rows_to_normalise(form: str, offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Numbers of the rows (int64) that are not known to be in normal form."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    _flag(offsets, data, restless(form), found)
    return np.flatnonzero(found)


def _each(
    normalizer: normalizers.Normalizer, texts: str, before: str = "", after: str = ""
) -> list[str]:
    """Each character, between two others, in a normal form."""
    # a newline is a starter that nothing joins
    joined = "\n".join(before + ("a" if text == "\n" else text) + after for text in texts)
    each: list[str] = normalizer.normalize_str(joined).split("\n")
    at = texts.index("\n")
    each[at] = each[at].replace("a", "\n")
    return each


@kernel
def _flag(offsets: np.ndarray, data: np.ndarray, table: np.ndarray, found: np.ndarray) -> None:
    for row in range(len(found)):
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        while at < end:
            if data[at] < 0x80:
                at += np.uint64(1)
                continue
            point, at = code_point(data, at, end)
            if table[point]:
                found[row] = True
                break
