"""SentencePiece's BPE by kernels: characters and user-defined symbols, merged by the scores of pieces.

The library reads a text from left to right, at each place the longest user-defined symbol, which then never merges,
else a character; then merges the neighbours whose piece has the best score, of equal ones the leftmost, until no
two form a piece; a character that is no piece becomes its bytes (google/sentencepiece, bpe_model.cc). Models with
pieces of the unused type, which it divides again, or in which two pieces have one score, are left to it (`can_merge`).
"""

import numpy as np

from coursepack.tokenizers.kernels import Int, code_point, kernel
from coursepack.tokenizers.merging import (
    SHORT,
    Tokens,
    merge_long,
    merge_short,
    pair_table,
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
_LONGEST = 0xFFF  # bytes of a piece
_LAST = 256  # the first byte of a begin of one byte


def can_merge(spec: ModelSpec) -> bool:
    """Whether the kernels give the library's ids; the model has to be one of `segments.is_exact`."""
    kinds = spec.types
    if (kinds == UNUSED).any() or len(kinds) >= _CHARACTERS:
        return False
    sizes = np.fromiter(map(len, spec.pieces), np.int64, len(kinds))
    in_texts = (kinds == NORMAL) | (kinds == USER_DEFINED)
    if (sizes[~in_texts] < 2).any():  # the library would give it to a character
        return False
    texts = [spec.pieces[token] for token in np.flatnonzero(in_texts)]
    if not all(0 < len(text.encode()) <= _LONGEST and _SPACE not in text for text in texts):
        return False
    scores = spec.scores[(kinds == NORMAL) & (sizes > 1)]
    if len(np.unique(scores)) < len(scores):
        return False
    of_bytes = {spec.pieces[token] for token in np.flatnonzero(kinds == BYTE)}
    return of_bytes == {f"<0x{byte:02X}>" for byte in range(256)}


class CharacterMerges:
    """The pieces of a model at work; it has to be one that `can_merge` allows."""

    def __init__(self, spec: ModelSpec, short: int = SHORT) -> None:
        self._short = short
        self._byte = np.zeros(256, np.int64)
        for token in np.flatnonzero(spec.types == BYTE).tolist():
            self._byte[int(spec.pieces[token].strip("<>"), 16)] = token
        tokens, texts = _of_kind(spec, NORMAL)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        single = sizes == 1
        self._symbols = np.arange(_CHARACTERS, _CHARACTERS + _CODE_POINTS, dtype=np.int32)
        self._symbols[points[np.cumsum(sizes)[single] - 1]] = tokens[single]
        own, own_texts = _of_kind(spec, USER_DEFINED)
        # what can merge: pieces, and characters that only stand within pieces
        lone = np.zeros(_CODE_POINTS, np.bool_)
        lone[points] = True
        lone[self._symbols < _CHARACTERS] = False
        lone[[ord(text) for text in own_texts if len(text) == 1]] = False
        characters = np.flatnonzero(lone)
        parts = Tokens(
            [text.encode() for text in texts] + [chr(c).encode() for c in characters],
            np.concatenate((tokens, _CHARACTERS + characters)),
        )
        pairs = parts.divisions()
        ranks = np.empty(len(spec.scores), np.int64)
        ranks[np.argsort(-spec.scores, kind="stable")] = np.arange(len(ranks))
        self._pairs = pair_table(pairs, ranks[pairs[:, 2]])
        self._own = _trie([text.encode() for text in own_texts], own)

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
            *self._own,
            *self._pairs,
            self._short,
            np.empty(longest, np.uint8),
            np.empty(longest, np.int64),
            np.empty(longest, np.uint64),
            offsets,
            out,
        )
        return offsets, out[: offsets[-1]].copy()


def _of_kind(spec: ModelSpec, kind: int) -> tuple[np.ndarray, list[str]]:
    """The pieces of a type: their ids (int64), and what they stand for in texts."""
    tokens = np.flatnonzero(spec.types == kind)
    return tokens, [spec.pieces[token].replace(SPACE_MARK, _SPACE) for token in tokens.tolist()]


def _trie(
    texts: list[bytes], tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Texts by their bytes: node 0 is the empty text, and the k-th edge leads to node k + 1.

    Returns where the edges of each node start (int64, nodes + 1), the byte of each edge (uint8), the token of
    each node (int64; -1 where it is no text), and whether a text begins with two bytes, or with the one that is
    the last (bool, 64K and 256; a text of one byte begins with any second one).
    """
    prefixes = {text[:n] for text in texts for n in range(1, len(text) + 1)}
    nodes = [b"", *sorted(prefixes, key=lambda prefix: (len(prefix), prefix))]
    number = {prefix: node for node, prefix in enumerate(nodes)}
    parents = np.array([number[prefix[:-1]] for prefix in nodes[1:]], np.int64)
    labels = np.array([prefix[-1] for prefix in nodes[1:]], np.uint8)
    token = np.full(len(nodes), -1, np.int64)
    token[[number[text] for text in texts]] = tokens
    begins = np.zeros((_LAST + 1, 256), np.bool_)
    for text in texts:
        begins[text[0], text[1] if len(text) > 1 else slice(None)] = True
        begins[_LAST, text[0]] |= len(text) == 1
    first = np.searchsorted(parents, np.arange(len(nodes) + 1))
    return first, labels, token, begins.reshape(-1)


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
    first: np.ndarray,
    labels: np.ndarray,
    tokens: np.ndarray,
    begins: np.ndarray,
) -> tuple[Int, Int]:
    """The longest user-defined symbol at a byte and its length; (-1, 0) where there is none."""
    symbol, width = np.int64(-1), np.int64(0)
    byte = np.int64(text[at])
    if not begins[byte << 8 | np.int64(text[at + 1]) if at + 1 < size else _LAST << 8 | byte]:
        return symbol, width
    node, end = np.int64(0), at
    while end < size:
        edge = first[node]
        while edge < first[node + 1] and labels[edge] != text[end]:
            edge += 1
        if edge == first[node + 1]:
            break
        node = edge + 1
        end += 1
        if tokens[node] >= 0:
            symbol, width = tokens[node], end - at
    return symbol, width


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
    first: np.ndarray,
    labels: np.ndarray,
    tokens: np.ndarray,
    begins: np.ndarray,
    pairs: np.ndarray,
    seen: np.ndarray,
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
            symbol, width = _own_symbol(text, at, size, first, labels, tokens, begins)
            if symbol < 0:
                point, stop = code_point(text, np.uint64(at), np.uint64(size))
                symbol, width = np.int64(single[point]), np.int64(stop) - at
            symbols[n] = symbol
            n += 1
            at += width
        n = (
            merge_short(symbols, merges, n, pairs, seen)
            if n <= short
            else merge_long(symbols, merges, n, pairs, seen)
        )
        for k in range(n):
            if symbols[k] < _CHARACTERS:
                out[total] = symbols[k]
                total += 1
            else:
                total = _write_bytes(symbols[k] - _CHARACTERS, byte, out, total)
        offsets[i + 1] = total
