"""Ids of whole Arrow batches from a cache of segments, for any tokenizer that divides its texts.

A *segment* is a piece of text whose ids depend on its bytes alone. There are few distinct ones (Zipf), so a
hash table answers nearly all of them; its owner says where texts are cut and encodes what is not known.
"""

import threading
from typing import Any, Protocol

import numpy as np

from coursepack.tokenizers.kernels import GOLDEN, Int, kernel

CACHE_BYTES = 256 << 20
# Longer segments (base64, minified code) hardly ever come again; they are encoded each time.
LONGEST_CACHED_BYTES = 256
DOCUMENT_END = -1
# Segments looked up in one round, before those that are missing are encoded.
_ROUND = 1 << 19
_ROW_BYTES = 32
_FIRST_ROWS = 1 << 14
_GROWTH = 4  # by doubling, a new worker would spend as long on moving rows as on finding them
_SEPARATOR = 0xFF  # in no UTF-8 text


class Segments(Protocol):
    """Where texts are cut, and what the segments between the cuts become."""

    def cut(
        self, offsets: np.ndarray, data: np.ndarray, document: int, at: int, ends: np.ndarray
    ) -> tuple[int, int, int]:
        """Fill `ends` (int64) with the ends of segments from byte `at` of a document on, DOCUMENT_END after each
        document's last; return the document and the byte where it stands, and how many ends there are."""

    def ids(self, data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (int64, n + 1, from 0) and ids (int32) of the segments data[a:b] of bounds (int64, n x 2)."""


class CachedEncoder:
    """Ids of texts by their segments.

    The cache grows up to `cache_bytes` and is then emptied; neither its size nor its state changes a
    result. One encoder may be shared by threads, which take turns.
    """

    def __init__(self, segments: Segments, cache_bytes: int = CACHE_BYTES) -> None:
        self._segments = segments
        self._cache = _Cache(cache_bytes)
        self._lock = threading.Lock()

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts.

        Text i is `data[offsets[i]:offsets[i + 1]]`, valid UTF-8 (uint8). An empty text has no ids.
        """
        with self._lock:
            try:
                return self._encode(offsets, data)
            except BaseException:
                self._cache.clear()  # it may hold segments whose ids never came
                raise

    def _encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cache = self._cache
        counts = np.zeros(len(offsets), np.int64)
        parts: list[np.ndarray] = []
        ends = np.empty(_ROUND, np.int64)
        cut = counted = 0  # the documents where cutting and counting stand
        at, done = int(offsets[0]), int(offsets[0])
        while cut < len(offsets) - 1:
            cut, at, n = self._segments.cut(offsets, data, cut, at, ends)
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

        Those not known are encoded.
        """
        cache = self._cache
        slots, new = np.empty(len(ends), np.int32), np.empty(len(ends), np.int32)
        long = np.empty((len(ends), 2), np.int64)
        n, fresh, far = _look_up(
            data, at, ends, cache.rows, cache.keys, cache.used, slots, new, long
        )
        if fresh:
            bounds = _bounds(new[:fresh], cache.rows)
            cache.add(new[:fresh], *self._segments.ids(cache.keys, bounds))
        if not far:
            return slots[:n], np.zeros(1, np.int64), np.zeros(0, np.int32)
        return slots[:n], *self._segments.ids(data, long[:far])


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
        """Between rounds, when no slot is in use: enlarge the table, or empty a full cache."""
        crowded = _is_crowded(self.used[0], len(self.rows))
        if (
            self.used[1] + LONGEST_CACHED_BYTES >= len(self.keys)
            or self._ids_used > self._most_ids
            or (crowded and len(self.rows) >= self._most_rows)
        ):
            self.clear()
        elif crowded:
            grown = np.zeros((min(_GROWTH * len(self.rows), self._most_rows), 4), np.uint64)
            _rehash(self.rows, grown)
            self.rows = grown


@kernel
def _word(data: np.ndarray, at: Int) -> Int:
    word = np.uint64(0)
    for i in range(8):
        word |= np.uint64(data[at + np.uint64(i)]) << np.uint64(8 * i)
    return word


@kernel
def hash_key(data: np.ndarray, start: Int, end: Int) -> Int:
    """Up to 8 bytes as they are; a hash of more."""
    mixed, at, eight = np.uint64(0), start, np.uint64(8)
    while end - at > eight:
        mixed = (mixed ^ _word(data, at)) * GOLDEN
        mixed ^= mixed >> np.uint64(29)
        at += eight
    if at + eight <= len(data):  # one load, then the bytes beyond the end are cut off
        word = _word(data, at) & (~np.uint64(0) >> eight * (eight - (end - at)))
    else:
        word = np.uint64(0)
        for i in range(end - at):
            word |= np.uint64(data[at + np.uint64(i)]) << np.uint64(8 * i)
    if at > start:
        word = (mixed ^ word) * GOLDEN
        word ^= word >> np.uint64(32)
    return word


@kernel
def _home(key: Int, length: Int, mask: Int) -> Int:
    mixed = (np.uint64(key) + np.uint64(length)) * GOLDEN
    mixed = (mixed ^ mixed >> np.uint64(32)) * GOLDEN
    return mixed >> np.uint64(32) & mask


@kernel
def _is_crowded(used: Int, rows: Int) -> Any:
    return used * 5 >= rows * 3


@kernel
def find(
    data: np.ndarray, start: Int, end: Int, key: Int, rows: np.ndarray, keys: np.ndarray
) -> tuple[Int, Int]:
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


@kernel
def _look_up(
    data: np.ndarray,
    at: Int,
    ends: np.ndarray,
    rows: np.ndarray,
    keys: np.ndarray,
    used: np.ndarray,
    slots: np.ndarray,
    new: np.ndarray,
    long: np.ndarray,
) -> tuple[Int, Int, Int]:
    """A slot for each segment, as far as rows, keys and `long` have room; `at` is where the first
    starts.

    A slot is a row, -1 at a document's end, or -2 - i for long segment i. Segments not yet known
    get a row and a place in `keys`, but no ids. Returns the counts of slots, new rows and long
    segments.
    """
    n = fresh = far = 0
    while n < len(ends):
        stop = ends[n]
        if stop == DOCUMENT_END:
            slots[n] = DOCUMENT_END
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
            key = hash_key(data, start, end)
            row, known = find(data, start, end, key, rows, keys)
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


@kernel
def _bounds(new: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where the bytes of new rows stand in `keys`."""
    bounds = np.empty((len(new), 2), np.int64)
    for i in range(len(new)):
        place = rows[new[i], 1] >> np.uint64(16)
        bounds[i, 0] = np.int64(place)
        bounds[i, 1] = np.int64(place + (rows[new[i], 1] & np.uint64(0xFFFF)))
    return bounds


@kernel
def _fill(
    new: np.ndarray, offsets: np.ndarray, base: Int, ids: np.ndarray, rows: np.ndarray
) -> None:
    for i in range(len(new)):
        place, count = base + offsets[i], offsets[i + 1] - offsets[i]
        rows[new[i], 2] = place << 16 | count
        first = np.int64(ids[place]) if count > 0 else np.int64(0)
        second = np.int64(ids[place + 1]) if count > 1 else np.int64(0)
        rows[new[i], 3] = second << 32 | first


@kernel
def _count(slots: np.ndarray, rows: np.ndarray, long_offsets: np.ndarray) -> Int:
    n: Int = 0
    for slot in slots:
        if slot >= 0:
            n += np.int64(rows[np.uint32(slot), 2] & np.uint64(0xFFFF))
        elif slot != DOCUMENT_END:
            n += long_offsets[-1 - slot] - long_offsets[-2 - slot]
    return n


@kernel
def _gather(
    slots: np.ndarray,
    rows: np.ndarray,
    ids: np.ndarray,
    long_offsets: np.ndarray,
    long_ids: np.ndarray,
    document: Int,
    counts: np.ndarray,
    out: np.ndarray,
) -> Int:
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
        elif slot == DOCUMENT_END:
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


@kernel
def _rehash(old: np.ndarray, grown: np.ndarray) -> None:
    mask = np.uint64(len(grown) - 1)
    for row in old:
        if row[1] != 0:
            at = _home(row[0], row[1] & np.uint64(0xFFFF), mask)
            while grown[at, 1] != 0:
                at = (at + np.uint64(1)) & mask
            grown[at] = row
