"""SentencePiece's BPE by kernels: characters and user-defined symbols, merged by the scores of pieces.

The library reads a text from left to right, at each place the longest user-defined symbol, which then never merges,
else a character; then merges the neighbours whose piece has the best score, of equal ones the leftmost, until no
two form a piece; a character that is no piece becomes its bytes (google/sentencepiece, bpe_model.cc). Models with
pieces of the unused type, which it divides again, or in which two pieces have one score, are left to it (`can_merge`).
"""

from collections import Counter

import numpy as np

from coursepack.tokenizers.kernels import Int, code_point, kernel
from coursepack.tokenizers.merging import (
    SHORT,
    Tokens,
    merge_long,
    merge_short,
    pair_table,
    token_at,
)
from coursepack.tokenizers.sentencepiece_proto import (
    BYTE,
    NORMAL,
    SPACE_MARK,
    UNUSED,
    USER_DEFINED,
    ModelSpec,
)

# Symbols from here on are characters that are no pieces, by code point.
_CHARACTERS = 1 << 24
_CODE_POINTS = 0x110000
_SPACE = " "
_LONGEST = 0xFFFF  # bytes of a piece


def can_merge(spec: ModelSpec) -> bool:
    """Whether the kernels give the library's ids; the model has to be one of `segments.is_exact`."""
    kinds = Counter(spec.types)
    if kinds[UNUSED] or len(spec.pieces) >= _CHARACTERS:
        return False
    scores = Counter[float]()
    for piece, kind, score in zip(spec.pieces, spec.types, spec.scores, strict=True):
        if kind in (NORMAL, USER_DEFINED):
            if _SPACE in piece or not 0 < len(piece.encode()) <= _LONGEST:
                return False
            if kind == NORMAL and len(piece) > 1:
                scores[score] += 1
        elif len(piece) < 2:  # the library would give it to a character
            return False
    return set(scores.values()) <= {1} and {f"<0x{byte:02X}>" for byte in range(256)} == {
        piece for piece, kind in zip(spec.pieces, spec.types, strict=True) if kind == BYTE
    }


class CharacterMerges:
    """The pieces of a model at work; it has to be one that `can_merge` allows."""

    def __init__(self, spec: ModelSpec, short: int = SHORT) -> None:
        self._short = short
        pieces = {
            piece.replace(SPACE_MARK, _SPACE): token for token, piece in enumerate(spec.pieces)
        }
        kinds = spec.types
        normal = {piece: t for piece, t in pieces.items() if kinds[t] == NORMAL}
        own = {piece: t for piece, t in pieces.items() if kinds[t] == USER_DEFINED}
        byte = [pieces[f"<0x{byte:02X}>"] for byte in range(256)]
        self._byte = np.array(byte, np.int64)
        self._symbols = np.arange(_CHARACTERS, _CHARACTERS + _CODE_POINTS, dtype=np.int32)
        for piece, token in normal.items():
            if len(piece) == 1:
                self._symbols[ord(piece)] = token
        # what can merge: pieces, and characters that only stand within pieces
        lone = {c: _CHARACTERS + ord(c) for piece in normal for c in piece if c not in normal}
        lone = {c: symbol for c, symbol in lone.items() if c not in own}
        parts = Tokens({text.encode(): symbol for text, symbol in (normal | lone).items()})
        pairs = parts.divisions()
        ranks = np.empty(len(kinds), np.int64)
        ranks[np.argsort(-np.array(spec.scores), kind="stable")] = np.arange(len(kinds))
        self._pairs = pair_table(pairs, ranks[pairs[:, 2]])
        self._own = Tokens({text.encode(): token for text, token in own.items()})
        self._starts, self._lengths = _starts([text.encode() for text in own])

    def ids(self, data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (int64, n + 1, from 0) and ids (int32) of the segments data[a:b] of bounds (int64, n x 2)."""
        sizes = bounds[:, 1] - bounds[:, 0]
        longest = int(sizes.max()) if len(sizes) else 0
        # a space that is no piece becomes the three bytes of its sign
        room = 3 if self._symbols[ord(_SPACE)] >= _CHARACTERS else 1
        out = np.empty(int(sizes.sum()) * room, np.int32)
        offsets = np.zeros(len(bounds) + 1, np.int64)
        _encode(
            data,
            bounds,
            self._symbols,
            self._byte,
            self._starts,
            self._lengths,
            self._own.rows,
            self._own.data,
            self._pairs,
            self._short,
            np.empty(longest, np.uint8),
            np.empty(longest, np.int64),
            np.empty(longest, np.uint64),
            offsets,
            out,
        )
        return offsets, out[: offsets[-1]].copy()


def _starts(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Whether a text begins with two bytes (bool, 64K; of a text of one byte with it and any other), and the
    lengths of texts in bytes (int64), longest first."""
    starts = np.zeros((256, 256), np.bool_)
    for text in texts:
        starts[text[0], text[1] if len(text) > 1 else slice(None)] = True
    lengths = sorted({len(text) for text in texts}, reverse=True)
    return starts.reshape(-1), np.array(lengths, np.int64)


@kernel
def _spaced(data: np.ndarray, start: Int, end: Int, text: np.ndarray) -> Int:
    """Copy data[start:end] with spaces for their signs, U+2581; how many bytes that makes."""
    n = 0
    i = start
    while i < end:
        if data[i] == 0xE2 and i + 2 < end and data[i + 1] == 0x96 and data[i + 2] == 0x81:
            text[n] = 0x20
            i += 3
        else:
            text[n] = data[i]
            i += 1
        n += 1
    return n


@kernel
def _own_symbol(
    text: np.ndarray,
    at: Int,
    size: Int,
    starts: np.ndarray,
    lengths: np.ndarray,
    rows: np.ndarray,
    tokens: np.ndarray,
) -> tuple[Int, Int]:
    """The longest user-defined symbol at a byte and its length; (-1, 0) where there is none."""
    first = np.int64(text[at]) << 8
    if at + 1 < size and not starts[first | np.int64(text[at + 1])]:
        return np.int64(-1), np.int64(0)
    for length in lengths:
        if at + length <= size:
            token = token_at(text, np.uint64(at), np.uint64(at + length), rows, tokens)
            if token >= 0:
                return token, length
    return np.int64(-1), np.int64(0)


@kernel
def _write_bytes(point: Int, byte: np.ndarray, out: np.ndarray, n: Int) -> Int:
    """The ids of a character's bytes in UTF-8; a space is U+2581. Where they end in `out`."""
    if point == 0x20:
        point = np.int64(0x2581)
    if point < 0x80:
        out[n] = byte[point]
        return n + 1
    if point < 0x800:
        out[n] = byte[0xC0 | point >> 6]
        out[n + 1] = byte[0x80 | point & 0x3F]
        return n + 2
    if point < 0x10000:
        out[n] = byte[0xE0 | point >> 12]
        out[n + 1] = byte[0x80 | point >> 6 & 0x3F]
        out[n + 2] = byte[0x80 | point & 0x3F]
        return n + 3
    out[n] = byte[0xF0 | point >> 18]
    out[n + 1] = byte[0x80 | point >> 12 & 0x3F]
    out[n + 2] = byte[0x80 | point >> 6 & 0x3F]
    out[n + 3] = byte[0x80 | point & 0x3F]
    return n + 4


@kernel
def _encode(
    data: np.ndarray,
    bounds: np.ndarray,
    single: np.ndarray,
    byte: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    own_rows: np.ndarray,
    own_data: np.ndarray,
    pairs: np.ndarray,
    short: Int,
    text: np.ndarray,
    symbols: np.ndarray,
    merges: np.ndarray,
    offsets: np.ndarray,
    out: np.ndarray,
) -> None:
    total: Int = np.int64(0)
    for i in range(len(bounds)):
        size = _spaced(data, bounds[i, 0], bounds[i, 1], text)
        n, at = np.int64(0), np.int64(0)
        while at < size:
            symbol, width = _own_symbol(text, at, size, starts, lengths, own_rows, own_data)
            if symbol < 0:
                point, stop = code_point(text, np.uint64(at), np.uint64(size))
                symbol, width = np.int64(single[point]), np.int64(stop) - at
            symbols[n] = symbol
            n += 1
            at += width
        n = (
            merge_short(symbols, merges, n, pairs)
            if n <= short
            else merge_long(symbols, merges, n, pairs)
        )
        for k in range(n):
            if symbols[k] < _CHARACTERS:
                out[total] = symbols[k]
                total += 1
            else:
                total = _write_bytes(symbols[k] - _CHARACTERS, byte, out, total)
        offsets[i + 1] = total
