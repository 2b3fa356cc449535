"""SentencePiece BPE ids from a cache of segments, equal to the library's and many times as fast.

The idea: between two characters that stand side by side in no piece of the vocabulary, no merge can
ever reach across. Text is cut at all such places; there are few distinct cuts (Zipf), so a hash
table answers nearly all of them and the library encodes the rest.

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
prefix is a space before every text that is not empty. Models outside these conditions (`is_exact`)
are encoded by the library.
"""

import threading
from itertools import chain, pairwise
from typing import Any

import numba
import numpy as np
import sentencepiece

from coursepack.tokenizers.sentencepiece_proto import (
    BPE,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    WITHOUT_DUMMY_PREFIX,
    ModelSpec,
    read_spec,
)

CACHE_BYTES = 256 << 20
# Longer segments (base64, minified code) hardly ever come again; the library encodes them each
# time.
LONGEST_CACHED_BYTES = 256
# Segments looked up in one round, before the library is asked for those that are missing.
_ROUND = 1 << 19
_ROW_BYTES = 32
_FIRST_ROWS = 1 << 14
_DOCUMENT_END = -1
_SEPARATOR = 0xFF  # in no UTF-8 text
_SPACE = 0x20
_WHITESPACE_MARK = 0x2581
_PAIR_BITS = 23
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def is_exact(spec: ModelSpec) -> bool:
    """Whether segments encoded one by one give the ids of the whole text, by the argument above."""
    return (
        spec.model_type == BPE
        and spec.byte_fallback
        and spec.identity
        and spec.escapes_whitespaces
        and not spec.removes_extra_whitespaces
        and not spec.whitespace_as_suffix
    )


class SegmentEncoder:
    """Ids of whole Arrow batches for one SentencePiece model.

    The cache grows up to `cache_bytes` and is then emptied; neither its size nor its state changes
    a result. One encoder may be shared by threads, which take turns.
    """

    def __init__(self, model: bytes, cache_bytes: int = CACHE_BYTES) -> None:
        spec = read_spec(model)
        self.exact = is_exact(spec)
        self._prefixed = self.exact and spec.dummy_prefix
        self._library = sentencepiece.SentencePieceProcessor(
            model_proto=model + WITHOUT_DUMMY_PREFIX if self._prefixed else model
        )
        self._lock = threading.Lock()
        if self.exact:
            self._pairs = _pair_filter(spec)
            self._cache = _Cache(cache_bytes)

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts.

        Text i is `data[offsets[i]:offsets[i + 1]]`, valid UTF-8 (uint8); no bos, no eos. An empty
        text has no ids.
        """
        if not self.exact:
            return self._encode_whole(offsets, data)
        if self._prefixed:
            offsets, data = _prefix_spaces(offsets, data)
        with self._lock:
            try:
                return self._encode_segments(offsets, data)
            except BaseException:
                self._cache.clear()  # it may hold segments whose ids never came
                raise

    def _encode_segments(
        self, offsets: np.ndarray, data: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        cache = self._cache
        counts = np.zeros(len(offsets), np.int64)
        parts: list[np.ndarray] = []
        ends = np.empty(_ROUND, np.int64)
        cut = counted = 0  # the documents where cutting and counting stand
        at, done = int(offsets[0]), int(offsets[0])
        while cut < len(offsets) - 1:
            cut, at, n = _cut(offsets, data, *self._pairs, cut, at, ends)
            left = ends[:n]
            while len(left):
                slots, long_offsets, long_ids = self._learn(data, done, left)
                # and two more, which the kernel may write to
                ids = np.empty(_count(slots, cache.rows, long_offsets) + 2, np.int32)
                counted = _gather(
                    slots, cache.rows, cache.ids, long_offsets, long_ids, counted, counts, ids
                )
                parts.append(ids[:-2])
                taken, left = left[: len(slots)], left[len(slots) :]
                done = max(done, int(taken.max()))
                cache.make_room()
        ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        return np.cumsum(counts), ids

    def _learn(
        self, data: np.ndarray, at: int, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slots of the first segments, as many as have room, and the ids of long ones.

        The library encodes those not known.
        """
        cache = self._cache
        slots, new = np.empty(len(ends), np.int32), np.empty(len(ends), np.int32)
        long = np.empty((len(ends), 2), np.int64)
        first_key = cache.used[1]
        n, fresh, far = _look_up(
            data, at, ends, cache.rows, cache.keys, cache.used, slots, new, long
        )
        texts = cache.keys[first_key : cache.used[1]].tobytes().split(b"\xff")[:-1]
        texts += [data[a:b].tobytes() for a, b in long[:far]]
        offsets, ids = _library_ids(self._library, texts)
        cache.add(new[:fresh], offsets[: fresh + 1], ids)
        return slots[:n], offsets[fresh:] - offsets[fresh], ids[offsets[fresh] :]

    def _encode_whole(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        view = memoryview(data)  # type: ignore[arg-type]
        bounds = offsets.tolist()
        texts = [bytes(view[a:b]) for a, b in pairwise(bounds)]
        return _library_ids(self._library, texts)


class _Cache:
    """An open-addressing hash table from segments to ids, in flat arrays.

    A row (4 x uint64): the segment's bytes when there are at most 8, else their hash; place in
    `keys` and length; place in `ids` and count; the first two ids. Rows, keys and ids share the
    bytes 2 : 1 : 1.
    """

    def __init__(self, cache_bytes: int) -> None:
        rows = max(cache_bytes // 2 // _ROW_BYTES, 16)
        self._most_rows = 1 << (rows.bit_length() - 1)
        self._most_ids = cache_bytes // 16
        self.rows = np.zeros((min(_FIRST_ROWS, self._most_rows), 4), np.uint64)
        # pages that are not written take no memory
        self.keys = np.empty(max(cache_bytes // 4, LONGEST_CACHED_BYTES + 1), np.uint8)
        self.ids = np.empty(_FIRST_ROWS, np.int32)
        self.used = np.zeros(2, np.int64)  # rows and key bytes
        self._ids_used = 0

    def add(self, rows: np.ndarray, offsets: np.ndarray, ids: np.ndarray) -> None:
        """Fill in the ids of new rows."""
        used = self._ids_used + int(offsets[-1])
        if used > len(self.ids):
            grown = np.empty(2 * used, np.int32)
            grown[: self._ids_used] = self.ids[: self._ids_used]
            self.ids = grown
        self.ids[self._ids_used : used] = ids[: offsets[-1]]
        _fill(rows, offsets, self._ids_used, self.ids, self.rows)
        self._ids_used = used

    def clear(self) -> None:
        self.rows[:] = 0
        self.used[:] = 0
        self._ids_used = 0

    def make_room(self) -> None:
        """Between rounds, when no slot is in use: double the table, or empty a full cache."""
        crowded = _is_crowded(self.used[0], len(self.rows))
        if (
            self.used[1] + LONGEST_CACHED_BYTES >= len(self.keys)
            or self._ids_used > self._most_ids
            or (crowded and len(self.rows) >= self._most_rows)
        ):
            self.clear()
        elif crowded:
            grown = np.zeros((2 * len(self.rows), 4), np.uint64)
            _rehash(self.rows, grown)
            self.rows = grown


def _library_ids(library: Any, texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64, n + 1) and ids (int32) of `texts`, by one call of the library, one thread."""
    lists = library.encode(texts, out_type=int, num_threads=1) if texts else []
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


_Int = Any  # of kernels: an int to Python, an int64 to numba
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


@_kernel
def _pair_hash(left: _Int, right: _Int) -> _Int:
    mixed = (np.uint64(left) << np.uint64(21) | np.uint64(right)) * _GOLDEN
    return mixed >> np.uint64(64 - _PAIR_BITS)


@_kernel
def _set_pairs(left: np.ndarray, right: np.ndarray, ascii: np.ndarray, bits: np.ndarray) -> None:
    for i in range(len(left)):
        if left[i] < 128 and right[i] < 128:
            ascii[left[i] << 7 | right[i]] = True
        else:
            h = _pair_hash(left[i], right[i])
            bits[h >> np.uint64(3)] |= np.uint8(1 << (h & np.uint64(7)))


@_kernel
def _code_point(data: np.ndarray, at: _Int, end: _Int) -> tuple[_Int, _Int]:
    """The character at a byte, U+2581 as a space, and where the next one starts; all uint64."""
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
    return (np.uint64(_SPACE) if point == _WHITESPACE_MARK else point), stop


@_kernel
def _cut(
    offsets: np.ndarray,
    data: np.ndarray,
    ascii: np.ndarray,
    bits: np.ndarray,
    document: _Int,
    at: _Int,
    ends: np.ndarray,
) -> tuple[_Int, _Int, _Int]:
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
        ends[n] = _DOCUMENT_END
        n += 1
        document += 1
    return document, at, n


@_kernel
def _cut_document(
    data: np.ndarray,
    at: _Int,
    end: _Int,
    ascii: np.ndarray,
    bits: np.ndarray,
    ends: np.ndarray,
    n: _Int,
) -> _Int:
    # No branch depends on whether a place is a cut, and unsigned places need no check for negative
    # ones: together five times as fast.
    left, at = _code_point(data, at, end)
    while at < end and n < len(ends):
        right, after = np.uint64(data[at]), at + np.uint64(1)
        if right >= 128:
            right, after = _code_point(data, at, end)
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


@_kernel
def _word(data: np.ndarray, at: _Int) -> _Int:
    word = np.uint64(0)
    for i in range(8):
        word |= np.uint64(data[at + np.uint64(i)]) << np.uint64(8 * i)
    return word


@_kernel
def _key(data: np.ndarray, start: _Int, end: _Int) -> _Int:
    """Up to 8 bytes as they are; a hash of more."""
    mixed, at, eight = np.uint64(0), start, np.uint64(8)
    while end - at > eight:
        mixed = (mixed ^ _word(data, at)) * _GOLDEN
        mixed ^= mixed >> np.uint64(29)
        at += eight
    if at + eight <= len(data):  # one load, then the bytes beyond the end are cut off
        word = _word(data, at) & (~np.uint64(0) >> eight * (eight - (end - at)))
    else:
        word = np.uint64(0)
        for i in range(end - at):
            word |= np.uint64(data[at + np.uint64(i)]) << np.uint64(8 * i)
    if at > start:
        word = (mixed ^ word) * _GOLDEN
        word ^= word >> np.uint64(32)
    return word


@_kernel
def _home(key: _Int, length: _Int, mask: _Int) -> _Int:
    mixed = (np.uint64(key) + np.uint64(length)) * _GOLDEN
    mixed = (mixed ^ mixed >> np.uint64(32)) * _GOLDEN
    return mixed >> np.uint64(32) & mask


@_kernel
def _is_crowded(used: _Int, rows: _Int) -> Any:
    return used * 5 >= rows * 3


@_kernel
def _find(
    data: np.ndarray, start: _Int, end: _Int, key: _Int, rows: np.ndarray, keys: np.ndarray
) -> tuple[_Int, _Int]:
    """The segment's row and True, or the free row where it belongs and False."""
    mask = np.uint64(len(rows) - 1)
    length = end - start
    at = _home(key, length, mask)
    while rows[at, 1] != 0:
        if rows[at, 0] == key and rows[at, 1] & np.uint64(0xFFFF) == length:
            if length <= 8:
                return at, True
            place = rows[at, 1] >> np.uint64(16)
            i = np.uint64(0)
            while i < length and keys[place + i] == data[start + i]:
                i += np.uint64(1)
            if i == length:
                return at, True
        at = (at + np.uint64(1)) & mask
    return at, False


@_kernel
def _look_up(
    data: np.ndarray,
    at: _Int,
    ends: np.ndarray,
    rows: np.ndarray,
    keys: np.ndarray,
    used: np.ndarray,
    slots: np.ndarray,
    new: np.ndarray,
    long: np.ndarray,
) -> tuple[_Int, _Int, _Int]:
    """A slot for each segment, as far as rows, keys and `long` have room; `at` is where the first
    starts.

    A slot is a row, -1 at a document's end, or -2 - i for long segment i. Segments not yet known
    get a row and a place in `keys`, but no ids. Returns the counts of slots, new rows and long
    segments.
    """
    n = fresh = far = 0
    while n < len(ends):
        stop = ends[n]
        if stop == _DOCUMENT_END:
            slots[n] = _DOCUMENT_END
            n += 1
            continue
        if stop - at > LONGEST_CACHED_BYTES:
            if far == len(long):
                break
            long[far, 0], long[far, 1] = at, stop
            slots[n] = -2 - far
            far += 1
        else:
            start, end = np.uint64(at), np.uint64(stop)
            key = _key(data, start, end)
            row, known = _find(data, start, end, key, rows, keys)
            if not known:
                if _is_crowded(used[0], len(rows)) or used[1] + (stop - at) >= len(keys):
                    break
                rows[row, 0] = key
                rows[row, 1] = used[1] << 16 | (stop - at)
                keys[used[1] : used[1] + stop - at] = data[at:stop]
                keys[used[1] + stop - at] = _SEPARATOR
                used[1] += stop - at + 1
                used[0] += 1
                new[fresh] = row
                fresh += 1
            slots[n] = row
        n += 1
        at = stop
    return n, fresh, far


@_kernel
def _fill(
    new: np.ndarray, offsets: np.ndarray, base: _Int, ids: np.ndarray, rows: np.ndarray
) -> None:
    for i in range(len(new)):
        place, count = base + offsets[i], offsets[i + 1] - offsets[i]
        rows[new[i], 2] = place << 16 | count
        first = np.int64(ids[place]) if count > 0 else np.int64(0)
        second = np.int64(ids[place + 1]) if count > 1 else np.int64(0)
        rows[new[i], 3] = second << 32 | first


@_kernel
def _count(slots: np.ndarray, rows: np.ndarray, long_offsets: np.ndarray) -> _Int:
    n: _Int = 0
    for slot in slots:
        if slot >= 0:
            n += np.int64(rows[np.uint32(slot), 2] & np.uint64(0xFFFF))
        elif slot != _DOCUMENT_END:
            n += long_offsets[-1 - slot] - long_offsets[-2 - slot]
    return n


@_kernel
def _gather(
    slots: np.ndarray,
    rows: np.ndarray,
    ids: np.ndarray,
    long_offsets: np.ndarray,
    long_ids: np.ndarray,
    document: _Int,
    counts: np.ndarray,
    out: np.ndarray,
) -> _Int:
    """Copy the ids of all slots and count each document's; returns the document left open."""
    n = np.uint64(0)
    last = n
    for slot in slots:
        if slot >= 0:
            row = np.uint32(slot)
            count = rows[row, 2] & np.uint64(0xFFFF)
            if count > 2:
                place = rows[row, 2] >> np.uint64(16)
                for i in range(count):
                    out[n + np.uint64(i)] = ids[place + np.uint64(i)]
            else:  # both are written without asking; the next segment overwrites what is too much
                out[n] = np.int32(rows[row, 3] & np.uint64(0x7FFFFFFF))
                out[n + np.uint64(1)] = np.int32(rows[row, 3] >> np.uint64(32))
            n += count
        elif slot == _DOCUMENT_END:
            counts[document + 1] += np.int64(n - last)
            last = n
            document += 1
        else:
            for i in range(long_offsets[-2 - slot], long_offsets[-1 - slot]):
                out[n] = long_ids[i]
                n += np.uint64(1)
    if n > last:
        counts[document + 1] += np.int64(n - last)
    return document


@_kernel
def _rehash(old: np.ndarray, grown: np.ndarray) -> None:
    mask = np.uint64(len(grown) - 1)
    for row in old:
        if row[1] != 0:
            at = _home(row[0], row[1] & np.uint64(0xFFFF), mask)
            while grown[at, 1] != 0:
                at = (at + np.uint64(1)) & mask
            grown[at] = row


@_kernel
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
