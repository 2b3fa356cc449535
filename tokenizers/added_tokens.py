"""Tokens that were added beside a vocabulary, found in texts as `tokenizers` finds them.

At each place the longest token that matches there is taken, and the search goes on behind it: first for tokens
that match the text as it is, then, between those, for the ones that match the normalised text. What lies between
two is cut and encoded by itself. A *special* token is text where it stands in a text, but what matched it is
passed over all the same (`Tokenizer.encode_special_tokens`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coursepack.tokenizers.kernels import Int, kernel

TEXT = -1  # a piece that is no token


@dataclass(frozen=True)
class Added:
    """A token to look for; `odd` ones depend on what stands around them."""

    content: bytes
    token: int
    special: bool
    odd: bool = False


class Finder:
    """Finds the tokens of one kind: those of the text as it is, or of the normalised one."""

    def __init__(self, added: Sequence[Added]) -> None:
        # by first byte, longest first
        found = sorted(added, key=lambda a: (a.content[0], -len(a.content), a.content))
        self.finds = any(not a.special for a in found)
        first = np.array([a.content[0] for a in found], np.int64)
        self._starts = np.searchsorted(first, np.arange(257))
        self._offsets = np.cumsum([0, *(len(a.content) for a in found)])
        self._data = np.frombuffer(b"".join(a.content for a in found), np.uint8)
        self._ids = np.array([TEXT if a.special else a.token for a in found], np.int64)
        self._odd = np.array([a.odd and not a.special for a in found], np.bool_)

    def matches(
        self, offsets: np.ndarray, data: np.ndarray, tokens: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens in the pieces of `tokens` TEXT: (int64, m x 4) of piece, start, end, token; and whether a piece
        holds an odd one (bool)."""
        odd = np.zeros(len(offsets) - 1, np.bool_)
        table = (self._starts, self._offsets, self._data, self._ids, self._odd)
        found = np.empty((0, 4), np.int64)
        n = _find_all(offsets, data, tokens, *table, odd, found)
        if n:
            found = np.empty((n, 4), np.int64)
            _find_all(offsets, data, tokens, *table, odd, found)
        return found, odd


@dataclass(frozen=True)
class Pieces:
    """Rows cut at tokens: piece i is data[offsets[i]:offsets[i + 1]], and `tokens[i]` its id, or TEXT."""

    offsets: np.ndarray  # int64, n + 1
    tokens: np.ndarray  # int64, n
    first: np.ndarray  # int64, rows + 1: the first piece of each row

    @classmethod
    def of_rows(cls, offsets: np.ndarray) -> "Pieces":
        rows = len(offsets) - 1
        return cls(offsets, np.full(rows, TEXT, np.int64), np.arange(rows + 1))

    def cut(self, matches: np.ndarray) -> "Pieces":
        """Cut further at what `Finder.matches` found."""
        more = np.bincount(matches[:, 0], minlength=len(self.tokens)) * 2
        begin = np.concatenate((np.zeros(1, np.int64), np.cumsum(more + 1)))
        offsets, tokens = np.empty(begin[-1] + 1, np.int64), np.full(begin[-1], TEXT, np.int64)
        _cut_pieces(self.offsets, self.tokens, matches, begin, offsets, tokens)
        return Pieces(offsets, tokens, begin[self.first])


def replace_rows(
    offsets: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    new_offsets: np.ndarray,
    new_values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (from 0) and values of rows of which some, `rows` (int64, ascending), have other values."""
    sizes = np.diff(offsets)
    sizes[rows] = np.diff(new_offsets)
    replaced = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
    out = np.empty(replaced[-1], values.dtype)
    _copy_rows(offsets, values, rows, new_offsets, new_values, replaced, out)
    return replaced, out


@kernel
def _find_all(
    offsets: np.ndarray,
    data: np.ndarray,
    tokens: np.ndarray,
    starts: np.ndarray,
    contents: np.ndarray,
    content: np.ndarray,
    ids: np.ndarray,
    is_odd: np.ndarray,
    odd: np.ndarray,
    found: np.ndarray,
) -> Int:
    """Count the matches, and write as many as `found` has room for."""
    n = 0
    for piece in range(len(offsets) - 1):
        at, end = offsets[piece], offsets[piece + 1]
        if tokens[piece] != TEXT:
            continue
        while at < end:
            taken = _longest(data, at, end, starts, contents, content)
            if taken < 0:
                at += 1
                continue
            stop = at + contents[taken + 1] - contents[taken]
            odd[piece] |= is_odd[taken]
            if ids[taken] != TEXT:
                if n < len(found):
                    found[n, 0], found[n, 1], found[n, 2] = piece, at, stop
                    found[n, 3] = ids[taken]
                n += 1
            at = stop
    return n


@kernel
def _longest(
    data: np.ndarray,
    at: Int,
    end: Int,
    starts: np.ndarray,
    contents: np.ndarray,
    content: np.ndarray,
) -> Int:
    """The number of the longest token at a place, or -1."""
    byte = data[at]
    for k in range(starts[byte], starts[byte + 1]):
        start, size = contents[k], contents[k + 1] - contents[k]
        if at + size > end:
            continue
        i: Int = 1
        while i < size and data[at + i] == content[start + i]:
            i += 1
        if i == size:
            return k
    return -1


@kernel
def _cut_pieces(
    old_offsets: np.ndarray,
    old_tokens: np.ndarray,
    matches: np.ndarray,
    begin: np.ndarray,
    offsets: np.ndarray,
    tokens: np.ndarray,
) -> None:
    m = 0
    for piece in range(len(old_tokens)):
        at = begin[piece]
        offsets[at] = old_offsets[piece]
        tokens[at] = old_tokens[piece]
        while m < len(matches) and matches[m, 0] == piece:
            offsets[at + 1], offsets[at + 2] = matches[m, 1], matches[m, 2]
            tokens[at + 1] = matches[m, 3]
            at += 2
            m += 1
    offsets[len(offsets) - 1] = old_offsets[len(old_offsets) - 1]


@kernel
def _copy_rows(
    offsets: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    new_offsets: np.ndarray,
    new_values: np.ndarray,
    replaced: np.ndarray,
    out: np.ndarray,
) -> None:
    k = 0
    for i in range(len(offsets) - 1):
        start, end = replaced[i], replaced[i + 1]
        if k < len(rows) and rows[k] == i:
            out[start:end] = new_values[new_offsets[k] : new_offsets[k + 1]]
            k += 1
        else:
            out[start:end] = values[offsets[i] : offsets[i + 1]]
