"""Classes of code points as the patterns of byte-level tokenizers know them, asked of the engine that they run on.

Engines know different releases of Unicode: Oniguruma, which `tokenizers` 0.23 has compiled in, knows 141,028
letters, and `regex` of the same year 158,172. A letter that one of them does not know is cut otherwise, so no
other library's table will do. tiktoken 0.14 agrees with this one on every code point.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, PreTokenizer, Split

LETTER, NUMBER, SPACE = 1, 2, 4  # \p{L}, \p{N}, \s
UPPER, LOWER = 8, 16  # of o200k's words: [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], [\p{Ll}\p{Lm}\p{Lo}\p{M}]
ALONE = 32  # cut off by a `Digits` pre-tokeniser before the pattern sees it
_CLASSES = {
    r"\p{Lu}": LETTER | UPPER,
    r"\p{Lt}": LETTER | UPPER,
    r"\p{Ll}": LETTER | LOWER,
    r"\p{Lm}": LETTER | UPPER | LOWER,
    r"\p{Lo}": LETTER | UPPER | LOWER,
    r"\p{M}": UPPER | LOWER,
    r"\p{N}": NUMBER,
    r"\s": SPACE,
}
_TABLE = 1 << 21  # beyond the last code point: no four bytes lead out of it
# Planes 0 to 3 and the signs of plane 14. No other holds a letter, a mark, a number or a space.
_ASSIGNED = ((0, 0xD800), (0xE000, 0x40000), (0xE0000, 0xE1000))
_CHUNK = 1 << 12  # the library's time grows faster than the text


@cache
def code_point_classes(digits: bool = False) -> np.ndarray:
    """Bits of a code point (uint8); made once a process, in 0.1 to 0.4 s.

    The library is asked for the runs of any class, then for the first character of each. With
    `digits` those that a `Digits` pre-tokeniser isolates are ALONE and nothing else.
    """
    table = np.zeros(_TABLE, np.uint8)
    codes = np.frombuffer(points().encode("utf-32-le"), np.uint32)
    runs = list(_matches("|".join(f"{pattern}+" for pattern in _CLASSES), points()))
    heads = "".join(points()[start] for start, _ in runs)
    for pattern, bits in _CLASSES.items():
        for first, last in _matches(f"{pattern}+", heads):
            for start, end in runs[first:last]:
                table[codes[start:end]] = bits
    if digits:
        spaced = "".join("a" + point for point in points())
        for start, end in _pieces(Digits(individual_digits=True), spaced):
            if end - start == 1 and start % 2:
                table[ord(spaced[start])] = ALONE
    return table


@cache
def points() -> str:
    """All code points that can have a class, in order."""
    return "".join(chr(point) for start, end in _ASSIGNED for point in range(start, end))


def _matches(pattern: str, text: str) -> Iterator[tuple[int, int]]:
    return _pieces(Split(Regex(pattern), "removed", invert=True), text)


def _pieces(cutter: PreTokenizer, text: str) -> Iterator[tuple[int, int]]:
    """Places of the pieces of a text that may be cut at every `_CHUNK` characters."""
    for base in range(0, len(text), _CHUNK):
        for _, (start, end) in cutter.pre_tokenize_str(text[base : base + _CHUNK]):
            yield base + start, base + end
