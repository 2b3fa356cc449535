"""SentencePiece BPE ids from a cache of segments, equal to the library's and many times as fast.

The idea: between two characters that stand side by side in no piece of the vocabulary, no merge can
ever reach across. Text is cut at all such places; there are few distinct cuts (Zipf), so a hash
table answers nearly all of them; the rest is merged by `character_merging`, or encoded by the library.

Why that is exact. Let N be the model's normaliser, here character by character: a space becomes
U+2581, everything else stays. Let a *cut* be a place in N(text) whose two neighbours are adjacent
in no normal, user-defined or unused piece. The library then does three things:

1. It reads symbols from left to right: at each place the longest user-defined symbol that matches,
   else one character. A symbol over a cut would contain the cut's pair, so none does. By induction
   reading stands at each cut, and what matches from there on within a segment is the same with and
   without the text around it: a match in the whole text ends before the next cut, and a match in
   the segment is one in the text. So a run of newlines longer than the longest newline symbol is
   one segment, divided by the library itself.
2. It merges neighbours, best score first and left before right, while the result is a piece. A
   result over a cut would contain its pair, so none is a piece. Merges in different segments touch
   different symbols, and order within a segment depends on its own scores and places only.
3. Each piece becomes its id, a piece of the unused type its halves, an unknown character its bytes:
   all local. (Without byte fallback the library joins neighbouring unknowns, which is not.)

Control, unknown and byte pieces take no part in 1 and 2: "</s>" in a text is five characters.
U+2581 in a text is what a space becomes, so both count as one character when cutting. A dummy
prefix is a space before every text that is not empty. A normaliser that does more is applied first,
by the library, and N is what is left of it. Models outside these conditions (`is_exact`) are encoded
by the library.
"""

from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
import sentencepiece

from coursepack.pipeline.tasks import task_cores
from coursepack.tokenizers.cache import CACHE_BYTES, DOCUMENT_END, CachedEncoder
from coursepack.tokenizers.character_merging import CharacterMerges, can_merge
from coursepack.tokenizers.kernels import GOLDEN, Int, code_point, kernel
from coursepack.tokenizers.sentencepiece_proto import (
    BPE,
    NORMAL,
    SPACE_MARK,
    UNUSED,
    USER_DEFINED,
    WITHOUT_DUMMY_PREFIX,
    WITHOUT_NORMALIZER,
    ModelSpec,
    read_spec,
)

_SPACE = 0x20
_WHITESPACE_MARK = ord(SPACE_MARK)
_PAIR_BITS = 23


def is_exact(spec: ModelSpec) -> bool:
    """Whether segments encoded one by one give the ids of the whole text, by the argument above."""
    return spec.model_type == BPE and spec.byte_fallback and spec.escapes_whitespaces


def _is_plain(spec: ModelSpec) -> bool:
    """Whether the normaliser does no more than to make spaces U+2581, and one before the text."""
    return spec.identity and not spec.removes_extra_whitespaces and not spec.whitespace_as_suffix


class SegmentEncoder:
    """Ids of whole Arrow batches for one SentencePiece model."""

    def __init__(self, model: bytes, cache_bytes: int = CACHE_BYTES) -> None:
        self.spec = spec = read_spec(model)
        self.exact = is_exact(spec)
        plain = self.exact and _is_plain(spec)
        self._prefixed = plain and spec.dummy_prefix
        self._model = model
        if self.exact:  # what is left to the library is one segment: no prefix, no normaliser
            self._model += WITHOUT_DUMMY_PREFIX if plain else WITHOUT_NORMALIZER
        self._normalizer = None
        if self.exact and not plain:
            self._normalizer = sentencepiece.SentencePieceProcessor(model_proto=model)
        if self.exact:
            self._pairs = _pair_filter(spec)
            self._cached = CachedEncoder(self, cache_bytes)

    @cached_property
    def _library(self) -> Any:
        return sentencepiece.SentencePieceProcessor(model_proto=self._model)

    @cached_property
    def _merges(self) -> CharacterMerges | None:
        """Made when the first text comes: it takes half a second, and many load a vocabulary to look at it."""
        return CharacterMerges(self.spec) if self.exact and can_merge(self.spec) else None

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts.

        Text i is `data[offsets[i]:offsets[i + 1]]`, valid UTF-8 (uint8); no bos, no eos. An empty
        text has no ids.
        """
        if not self.exact:
            bounds = np.stack((offsets[:-1], offsets[1:]), axis=1)
            return self.ids(data, bounds)
        if self._prefixed:
            offsets, data = _prefix_spaces(offsets, data)
        if self._normalizer:
            offsets, data = _normalised(self._normalizer, offsets, data)
        return self._cached.encode(offsets, data)

    def cut(
        self, offsets: np.ndarray, data: np.ndarray, document: int, at: int, ends: np.ndarray
    ) -> tuple[int, int, int]:
        """As `Segments` says."""
        return _cut(offsets, data, *self._pairs, document, at, ends)

    def ids(self, data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Segments` says: by kernels, or by one call of the library."""
        if self._merges:
            return self._merges.ids(data, bounds)
        view = memoryview(data)  # type: ignore[arg-type]
        return _library_ids(self._library, [bytes(view[a:b]) for a, b in bounds.tolist()])


def _normalised(
    library: Any, offsets: np.ndarray, data: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and bytes of the texts as the library normalises them."""
    view = memoryview(data)  # type: ignore[arg-type]
    texts = [bytes(view[a:b]) for a, b in pairwise(offsets.tolist())]
    texts = library.normalize(texts) if texts else []
    return np.cumsum([0, *map(len, texts)]), np.frombuffer(b"".join(texts), np.uint8)


def _library_ids(library: Any, texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64, n + 1) and ids (int32) of `texts`, by one call of the library on the cores of a task."""
    lists = library.encode(texts, out_type=int, num_threads=task_cores()) if texts else []
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)), out=offsets[1:])
    ids = np.fromiter(chain.from_iterable(lists), np.int32, int(offsets[-1]))
    return offsets, ids


def _pair_filter(spec: ModelSpec) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of characters that stand side by side in a piece: ASCII pairs (bool, 16K) and all
    others.

    The others are a bit set over hashes (uint8, 1 MB). Two pairs of one hash can only keep a place
    from being cut, so collisions cost speed, never exactness.
    """
    kinds = (NORMAL, USER_DEFINED, UNUSED)
    pieces = [p for p, kind in zip(spec.pieces, spec.types, strict=True) if kind in kinds]
    points = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32).astype(np.int64)
    points[points == _WHITESPACE_MARK] = _SPACE
    inside = np.ones(len(points), np.bool_)
    ends = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)))
    inside[ends - 1] = False  # the last character of a piece has no right neighbour
    left = np.flatnonzero(inside)
    ascii, bits = np.zeros(1 << 14, np.bool_), np.zeros(1 << (_PAIR_BITS - 3), np.uint8)
    _set_pairs(points[left], points[left + 1], ascii, bits)
    return ascii, bits


@kernel
def _pair_hash(left: Int, right: Int) -> Int:
    mixed = (np.uint64(left) << np.uint64(21) | np.uint64(right)) * GOLDEN
    return mixed >> np.uint64(64 - _PAIR_BITS)


@kernel
def _set_pairs(left: np.ndarray, right: np.ndarray, ascii: np.ndarray, bits: np.ndarray) -> None:
    for i in range(len(left)):
        if left[i] < 128 and right[i] < 128:
            ascii[left[i] << 7 | right[i]] = True
        else:
            h = _pair_hash(left[i], right[i])
            bits[h >> np.uint64(3)] |= np.uint8(1 << (h & np.uint64(7)))


@kernel
def _character(data: np.ndarray, at: Int, end: Int) -> tuple[Int, Int]:
    """The character at a byte, U+2581 as a space, and where the next one starts; all uint64."""
    point, stop = code_point(data, at, end)
    return (np.uint64(_SPACE) if point == _WHITESPACE_MARK else point), stop


@kernel
def _cut(
    offsets: np.ndarray,
    data: np.ndarray,
    ascii: np.ndarray,
    bits: np.ndarray,
    document: Int,
    at: Int,
    ends: np.ndarray,
) -> tuple[Int, Int, Int]:
    """Ends of the segments from byte `at` of a document on, -1 after each document's last.

    Returns where it stands when `ends` or the text is used up, and how many ends there are.
    """
    n = 0
    while document < len(offsets) - 1 and n < len(ends):
        end = np.uint64(offsets[document + 1])
        if at < end:
            n = _cut_document(data, np.uint64(at), end, ascii, bits, ends, n)
            at = ends[n - 1]
        if at < end or n == len(ends):
            break
        ends[n] = DOCUMENT_END
        n += 1
        document += 1
    return document, at, n


@kernel
def _cut_document(
    data: np.ndarray,
    at: Int,
    end: Int,
    ascii: np.ndarray,
    bits: np.ndarray,
    ends: np.ndarray,
    n: Int,
) -> Int:
    # No branch depends on whether a place is a cut, and unsigned places need no check for negative
    # ones: together five times as fast.
    left, at = _character(data, at, end)
    while at < end and n < len(ends):
        right, after = np.uint64(data[at]), at + np.uint64(1)
        if right >= 128:
            right, after = _character(data, at, end)
        if (left | right) < 128:
            together = np.int64(ascii[left << np.uint64(7) | right])
        else:
            h = _pair_hash(left, right)
            together = np.int64(bits[h >> np.uint64(3)] >> (h & np.uint64(7))) & 1
        ends[n] = at
        n += 1 - together
        left, at = right, after
    if n < len(ends):
        ends[n] = end
        n += 1
    return n


@kernel
def _prefix_spaces(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same texts, each that is not empty with a space before it."""
    shifted = np.zeros(len(offsets), np.int64)
    for i in range(len(offsets) - 1):
        size = offsets[i + 1] - offsets[i]
        shifted[i + 1] = shifted[i] + size + (size > 0)
    joined = np.empty(shifted[-1], np.uint8)
    for i in range(len(offsets) - 1):
        if shifted[i + 1] > shifted[i]:
            joined[shifted[i]] = _SPACE
            joined[shifted[i] + 1 : shifted[i + 1]] = data[offsets[i] : offsets[i + 1]]
    return shifted, joined
