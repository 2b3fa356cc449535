"""Byte pair encoding of byte strings: the merges of a vocabulary as a hash table, applied by kernels.

A piece begins as its bytes. While two neighbours form a token, the pair of the lowest rank merges, of equal
ranks the leftmost (Sennrich et al. 2016; `tokenizers` and tiktoken alike). Short pieces are searched from end to
end for each merge; long ones keep their pairs in a heap.
"""

import heapq
from collections.abc import Mapping, Sequence

import numpy as np

from coursepack.tokenizers.cache import find, hash_key
from coursepack.tokenizers.kernels import GOLDEN, Int, kernel

_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
SHORT = 128  # bytes: up to here a search is faster than a heap
_LONGEST_TOKEN = 0xFFFF
_ID = np.uint64(0xFFFFFFFF)
_SEEN_BITS = 22  # a set of half a megabyte


class Merges:
    """A vocabulary of byte strings at work.

    With `whole`, a piece that is itself a token becomes it, whether or not merges lead there.
    """

    def __init__(
        self,
        pairs: np.ndarray,
        ranks: np.ndarray,
        tokens: "Tokens",
        whole: bool,
        short: int = SHORT,
    ) -> None:
        """`pairs` (int64, n x 3): left, right and the token they form; `ranks` (int64, n), lowest first."""
        self._bytes = tokens.single_bytes()
        self._whole, self._short = whole, short
        self._tokens = tokens
        self._pairs = pair_table(pairs, ranks)

    @classmethod
    def of_list(
        cls,
        vocabulary: Mapping[bytes, int],
        merges: Sequence[tuple[bytes, bytes]],
        whole: bool,
        short: int = SHORT,
    ) -> "Merges":
        """Merges in the order of a list, as a tokenizer.json has them: of two alike the later counts."""
        order = {pair: rank for rank, pair in enumerate(merges)}
        pairs = [(vocabulary[a], vocabulary[b], vocabulary[a + b]) for a, b in order]
        return cls(
            np.array(pairs, np.int64).reshape(-1, 3),
            np.fromiter(order.values(), np.int64, len(order)),
            Tokens.of(vocabulary),
            whole,
            short,
        )

    @classmethod
    def of_ranks(cls, ranks: Mapping[bytes, int], short: int = SHORT) -> "Merges":
        """Any two tokens that together are a token merge, at that token's rank: tiktoken's rule."""
        tokens = Tokens.of(ranks)
        pairs = tokens.divisions()
        return cls(pairs, pairs[:, 2], tokens, whole=True, short=short)

    def ids(self, data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (int64, n + 1, from 0) and ids (int32) of the pieces data[a:b] of bounds (int64, n x 2)."""
        sizes = bounds[:, 1] - bounds[:, 0]
        longest = int(sizes.max()) if len(sizes) else 0
        out = np.empty(int(sizes.sum()), np.int32)
        offsets = np.zeros(len(bounds) + 1, np.int64)
        _merge_all(
            data,
            bounds,
            self._bytes,
            *self._pairs,
            self._tokens.rows,
            self._tokens.data,
            self._whole,
            self._short,
            np.empty(longest, np.int64),
            np.empty(longest, np.uint64),
            offsets,
            out,
        )
        return offsets, out[: offsets[-1]].copy()


class Tokens:
    """A hash table from byte strings to ids, in the rows of `cache`."""

    def __init__(self, strings: Sequence[bytes], ids: np.ndarray) -> None:
        """Different `strings` of 1 to 65,535 bytes, and their ids (int64)."""
        self._offsets = np.zeros(len(strings) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)), out=self._offsets[1:])
        self._ids = ids
        self.data = np.frombuffer(b"".join(strings), np.uint8)
        self.rows = np.zeros((_table_size(len(strings)), 4), np.uint64)
        _index(self._offsets, self.data, self._ids, self.rows)

    @classmethod
    def of(cls, vocabulary: Mapping[bytes, int]) -> "Tokens":
        """The strings of a vocabulary, without an empty one and those that are too long."""
        strings = [token for token in vocabulary if 0 < len(token) <= _LONGEST_TOKEN]
        ids = np.fromiter((vocabulary[token] for token in strings), np.int64, len(strings))
        return cls(strings, ids)

    def single_bytes(self) -> np.ndarray:
        """The id of each byte (int64, 256); -1 where it is no token."""
        found = np.full(256, -1, np.int64)
        single = np.flatnonzero(np.diff(self._offsets) == 1)
        found[self.data[self._offsets[single]]] = self._ids[single]
        return found

    def divisions(self) -> np.ndarray:
        """Every way to divide a token into two (int64, n x 3): left, right, token."""
        # room for all places in all tokens; what is not written takes no memory
        pairs = np.empty((len(self.data), 3), np.int64)
        n = _divide(self._offsets, self.data, self._ids, self.rows, pairs)
        return pairs[:n].copy()


def pair_table(pairs: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the merging kernels ask: pairs (int64, n x 3) and their ranks, hashed (uint64, slots x 2), a pair's key
    and its value in one cache line; and a bit set of their hashes (uint8), small enough to stay in a core's cache,
    for most of what is asked is no pair."""
    table = np.full((_table_size(len(pairs)), 2), _NONE, np.uint64)
    seen = np.zeros(1 << (_SEEN_BITS - 3), np.uint8)
    _fill_pairs(pairs, ranks, table, seen)
    return table, seen


def _table_size(n: int) -> int:
    return 1 << max(4, (2 * n).bit_length())


@kernel
def _index(offsets: np.ndarray, data: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> None:
    for i in range(len(ids)):
        start, end = np.uint64(offsets[i]), np.uint64(offsets[i + 1])
        key = hash_key(data, start, end)
        row, known = find(data, start, end, key, rows, data)
        if not known:
            rows[row, 0] = key
            rows[row, 1] = start << np.uint64(16) | (end - start)
            rows[row, 2] = np.uint64(ids[i])


@kernel
def token_at(data: np.ndarray, start: Int, end: Int, rows: np.ndarray, tokens: np.ndarray) -> Int:
    """The id of data[start:end], or -1."""
    if end - start > _LONGEST_TOKEN:
        return np.int64(-1)
    row, known = find(data, start, end, hash_key(data, start, end), rows, tokens)
    return np.int64(rows[row, 2]) if known else np.int64(-1)


@kernel
def _divide(
    offsets: np.ndarray, data: np.ndarray, ids: np.ndarray, rows: np.ndarray, pairs: np.ndarray
) -> Int:
    """Write the divisions; how many there are."""
    n = 0
    for i in range(len(ids)):
        start, end = np.uint64(offsets[i]), np.uint64(offsets[i + 1])
        for k in range(start + np.uint64(1), end):
            left = token_at(data, start, k, rows, data)
            if left < 0:
                continue
            right = token_at(data, k, end, rows, data)
            if right >= 0:
                pairs[n, 0], pairs[n, 1], pairs[n, 2] = left, right, ids[i]
                n += 1
    return n


@kernel
def _pair_hash(left: Int, right: Int) -> tuple[Int, Int]:
    """A pair's key and its hash."""
    key = np.uint64(left) << np.uint64(32) | np.uint64(right)
    mixed = (key ^ key >> np.uint64(29)) * GOLDEN
    return key, mixed ^ mixed >> np.uint64(32)


@kernel
def _pair_slot(table: np.ndarray, key: Int, mixed: Int) -> Int:
    """The pair's place in the table, or the free one where it belongs."""
    mask = np.uint64(len(table) - 1)
    at = mixed & mask
    while table[at, 0] != key and table[at, 0] != _NONE:
        at = (at + np.uint64(1)) & mask
    return at


@kernel
def _seen_bit(mixed: Int) -> tuple[Int, Int]:
    """Byte and bit of a hash in the bit set: of its upper half, the lower one chooses the slot."""
    bit = mixed >> np.uint64(64 - _SEEN_BITS)
    return bit >> np.uint64(3), np.uint8(1) << np.uint8(bit & np.uint64(7))


@kernel
def _fill_pairs(pairs: np.ndarray, ranks: np.ndarray, table: np.ndarray, seen: np.ndarray) -> None:
    for i in range(len(pairs)):
        key, mixed = _pair_hash(pairs[i, 0], pairs[i, 1])
        at = _pair_slot(table, key, mixed)
        table[at, 0] = key
        table[at, 1] = np.uint64(ranks[i]) << np.uint64(32) | np.uint64(pairs[i, 2])
        byte, bit = _seen_bit(mixed)
        seen[byte] |= bit


@kernel
def _value(table: np.ndarray, seen: np.ndarray, left: Int, right: Int) -> Int:
    """Rank and token of a pair in one number that orders by rank; `_NONE` where they do not merge."""
    key, mixed = _pair_hash(left, right)
    byte, bit = _seen_bit(mixed)
    if not seen[byte] & bit:
        return _NONE
    return table[_pair_slot(table, key, mixed), 1]  # of a free row `_NONE` too


@kernel
def _merge_all(
    data: np.ndarray,
    bounds: np.ndarray,
    single: np.ndarray,
    table: np.ndarray,
    seen: np.ndarray,
    rows: np.ndarray,
    tokens: np.ndarray,
    whole: Int,
    short: Int,
    symbols: np.ndarray,
    merges: np.ndarray,
    offsets: np.ndarray,
    out: np.ndarray,
) -> None:
    total: Int = 0
    for i in range(len(bounds)):
        start, end = bounds[i, 0], bounds[i, 1]
        size: Int = end - start
        token: Int = -1
        if whole:
            token = token_at(data, np.uint64(start), np.uint64(end), rows, tokens)
        if token >= 0:
            symbols[0], size = token, 1
        else:
            for k in range(size):
                symbols[k] = single[data[start + k]]
            if size <= short:
                size = merge_short(symbols, merges, size, table, seen)
            else:
                size = merge_long(symbols, merges, size, table, seen)
        for k in range(size):
            out[total + k] = symbols[k]
        total += size
        offsets[i + 1] = total


@kernel
def merge_short(
    symbols: np.ndarray, merges: np.ndarray, n: Int, table: np.ndarray, seen: np.ndarray
) -> Int:
    """Merge symbols[:n] in place; how many are left. merges[i] is the value of symbols i and i + 1."""
    for i in range(n - 1):
        merges[i] = _value(table, seen, symbols[i], symbols[i + 1])
    while n > 1:
        best, at = merges[0], 0
        for i in range(1, n - 1):
            if merges[i] < best:
                best, at = merges[i], i
        if best == _NONE:
            break
        symbols[at] = np.int64(best & _ID)
        n -= 1
        for i in range(at + 1, n):
            symbols[i] = symbols[i + 1]
            merges[i] = merges[i + 1]
        if at + 1 < n:
            merges[at] = _value(table, seen, symbols[at], symbols[at + 1])
        if at > 0:
            merges[at - 1] = _value(table, seen, symbols[at - 1], symbols[at])
    return n


@kernel
def merge_long(
    symbols: np.ndarray, merges: np.ndarray, n: Int, table: np.ndarray, seen: np.ndarray
) -> Int:
    """The same by a heap over a linked list; a pair that changed leaves its entry behind, which is passed over."""
    before, after = np.arange(-1, n - 1), np.arange(1, n + 1)
    heap = [(np.uint64(0), np.int64(0)) for _ in range(0)]
    merges[n - 1] = _NONE
    for i in range(n - 1):
        merges[i] = _value(table, seen, symbols[i], symbols[i + 1])
        if merges[i] != _NONE:
            heap.append((merges[i], np.int64(i)))
    heapq.heapify(heap)
    while len(heap) > 0:
        best, at = heapq.heappop(heap)
        if merges[at] != best:
            continue
        gone = after[at]
        symbols[at] = np.int64(best & _ID)
        merges[gone] = _NONE
        after[at] = after[gone]
        if after[at] < n:
            before[after[at]] = at
            merges[at] = _value(table, seen, symbols[at], symbols[after[at]])
            if merges[at] != _NONE:
                heapq.heappush(heap, (merges[at], at))
        else:
            merges[at] = _NONE
        left = before[at]
        if left >= 0:
            merges[left] = _value(table, seen, symbols[left], symbols[at])
            if merges[left] != _NONE:
                heapq.heappush(heap, (merges[left], left))
    left_over, at = 0, np.int64(0)
    while at < n:
        symbols[left_over] = symbols[at]
        left_over += 1
        at = after[at]
    return left_over
