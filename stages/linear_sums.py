"""The sum of the vectors of a text's words and n-grams: the kernel of `linear`.

Tokens, hashes and the order of the rows are those of fastText's `dictionary.cc`; where a model has no
character n-grams, so is the order of additions.
"""

from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.stages.characters import BYTES, INDEX, INT32S, UINT64S, load8, lowest_bit
from coursepack.stages.fasttext_files import step

# Words of at most KEY_BYTES bytes are kept with their sums.
KEY_BYTES = 24
# Elements of a kept word before its sum: three uint64s with its bytes, one with its hash (the upper half) and the
# number of vectors.
HEAD = 8
CHUNK = 256  # rows added at once; they stay in the processor's cache
LANES = 32  # n-grams of ASCII hashed at once, from as many letters on

# Of the first n bytes of 24, those in each eight: _KEPT[n + 16], _KEPT[n + 8] and _KEPT[n].
_KEPT = np.array([(1 << 8 * min(max(n - 16, 0), 8)) - 1 for n in range(KEY_BYTES + 17)], np.uint64)
_MIX, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_LOW, _HIGH = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)

# Arrays of a mapped file are read-only and begin at any byte.
_MAPPED = types.Array(types.float32, 2, "C", readonly=True, aligned=False)
_CODES = types.Array(types.uint8, 2, "C", readonly=True)
_FLOATS = types.Array(types.float32, 1, "C", readonly=True)
_CENTROIDS = types.Array(types.float32, 3, "C", readonly=True)


@njit(nogil=True, cache=True)
def _is_space(byte: int) -> bool:
    return byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0


@njit(nogil=True, cache=True)
def _spaces(eight: Any) -> Any:
    """The high bit of each of eight bytes that `_is_space`."""
    low = eight & _LOW
    printed = ((low ^ uint64(0x2020202020202020)) + _LOW) & (low + _LOW)  # neither 0x20 nor 0
    tabs = (low + uint64(0x7777777777777777)) & ~(low + uint64(0x7272727272727272))  # 0x09 to 0x0D
    return (~printed | tabs) & ~eight & _HIGH


# What is called for each word is inlined: a call would count the references of its arrays, by atomic instructions.
@njit(nogil=True, cache=True, forceinline=True)
def _word_end(data: np.ndarray, i: Any, end: Any) -> Any:
    while i + 8 <= end:
        spaces = _spaces(load8(data, i))
        if spaces:
            return i + np.int64(lowest_bit(spaces) >> uint64(3))
        i += 8
    while i < end and not _is_space(data[i]):
        i += 1
    return i


@njit(nogil=True, cache=True, forceinline=True)
def find_entry(
    data: np.ndarray,
    a: int,
    b: int,
    h: Any,
    starts: np.ndarray,
    known: np.ndarray,
    table: np.ndarray,
) -> Any:
    """The model's entry that is data[a:b], whose hash is h, or -1."""
    mask = len(table) - 1
    slot = np.int64(h) & mask
    while table[slot] != 0:
        if table[slot] >> uint64(32) == uint64(h):
            entry = np.int64(table[slot] & uint64(0xFFFFFFFF)) - 1
            start = starts[entry]
            if starts[entry + 1] - start == b - a:
                k = 0
                while k < b - a and known[start + k] == data[a + k]:
                    k += 1
                if k == b - a:
                    return entry
        slot = (slot + 1) & mask
    return -1


@njit(nogil=True, cache=True, forceinline=True)
def _add_rows(
    total: np.ndarray,
    rows: np.ndarray,
    count: int,
    dense: np.ndarray,
    codes: np.ndarray,
    norms: np.ndarray,
    centroids: np.ndarray,
) -> None:
    """Adds rows[:count] of the input matrix to `total`, each element in the order of `rows`."""
    dim = len(total)
    if len(codes) == 0:
        # Eight sums in registers: with them in memory, rows wait for each other's stores.
        whole = dim & ~7
        for j in range(0, whole, 8):
            s0, s1, s2, s3 = total[j], total[j + 1], total[j + 2], total[j + 3]
            s4, s5, s6, s7 = total[j + 4], total[j + 5], total[j + 6], total[j + 7]
            for k in range(count):
                row = rows[k]
                s0 += dense[row, j]
                s1 += dense[row, j + 1]
                s2 += dense[row, j + 2]
                s3 += dense[row, j + 3]
                s4 += dense[row, j + 4]
                s5 += dense[row, j + 5]
                s6 += dense[row, j + 6]
                s7 += dense[row, j + 7]
            total[j], total[j + 1], total[j + 2], total[j + 3] = s0, s1, s2, s3
            total[j + 4], total[j + 5], total[j + 6], total[j + 7] = s4, s5, s6, s7
        for j in range(whole, dim):
            s0 = total[j]
            for k in range(count):
                s0 += dense[rows[k], j]
            total[j] = s0
        return
    parts, width = centroids.shape[0], centroids.shape[2]
    # Two floats a part, as fastText makes them: eight sums again.
    whole = min(parts, dim // 2) & ~3 if width == 2 else 0
    for q in range(0, whole, 4):
        j = 2 * q
        s0, s1, s2, s3 = total[j], total[j + 1], total[j + 2], total[j + 3]
        s4, s5, s6, s7 = total[j + 4], total[j + 5], total[j + 6], total[j + 7]
        for k in range(uint64(count)):
            row = uint64(rows[k])
            norm = norms[row]
            c0, c1 = uint64(codes[row, q]), uint64(codes[row, q + 1])
            c2, c3 = uint64(codes[row, q + 2]), uint64(codes[row, q + 3])
            s0 += norm * centroids[q, c0, 0]
            s1 += norm * centroids[q, c0, 1]
            s2 += norm * centroids[q + 1, c1, 0]
            s3 += norm * centroids[q + 1, c1, 1]
            s4 += norm * centroids[q + 2, c2, 0]
            s5 += norm * centroids[q + 2, c2, 1]
            s6 += norm * centroids[q + 3, c3, 0]
            s7 += norm * centroids[q + 3, c3, 1]
        total[j], total[j + 1], total[j + 2], total[j + 3] = s0, s1, s2, s3
        total[j + 4], total[j + 5], total[j + 6], total[j + 7] = s4, s5, s6, s7
    for q in range(whole, parts):
        first = q * width
        for j in range(min(width, dim - first)):
            s0 = total[first + j]
            for k in range(count):
                row = rows[k]
                s0 += norms[row] * centroids[q, np.int64(codes[row, q]), j]
            total[first + j] = s0


@njit(nogil=True, cache=True)
def _remainder(h: Any, divisor: Any, inverse: Any) -> Any:
    """h % divisor of a uint32 by multiplications, where inverse = 2^64 // divisor + 1.

    Lemire, Kaser and Kurz 2019, arXiv:1902.01961; half the time of the division.
    """
    low = inverse * uint64(h)
    high = (low >> uint64(32)) * divisor + (((low & uint64(0xFFFFFFFF)) * divisor) >> uint64(32))
    return np.int64(high >> uint64(32))


@njit(nogil=True, cache=True)
def _is_kept(kept: np.ndarray, bucket: Any) -> Any:
    """1 where the bucket of a pruned model has a row, else 0."""
    return np.int64((kept[bucket >> 6] >> uint64(bucket & 63)) & uint64(1))


@njit(nogil=True, cache=True)
def _kept_row(kept: np.ndarray, before: np.ndarray, bucket: Any) -> Any:
    """The row, behind the words, of a bucket that has one: how many buckets before it have one."""
    bits = kept[bucket >> 6] & ((uint64(1) << uint64(bucket & 63)) - uint64(1))
    bits -= (bits >> uint64(1)) & uint64(0x5555555555555555)
    bits = (bits & uint64(0x3333333333333333)) + ((bits >> uint64(2)) & uint64(0x3333333333333333))
    bits = (bits + (bits >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return before[bucket >> 6] + np.int64((bits * uint64(0x0101010101010101)) >> uint64(56))


@njit(nogil=True, cache=True, forceinline=True)
def _add_subwords(
    total: np.ndarray,
    word: np.ndarray,
    size: int,
    ascii: Any,
    runs: np.ndarray,
    first: int,
    words: int,
    bucket: int,
    minn: int,
    maxn: int,
    pruned: bool,
    kept: np.ndarray,
    before: np.ndarray,
    rows: np.ndarray,
    dense: np.ndarray,
    codes: np.ndarray,
    norms: np.ndarray,
    centroids: np.ndarray,
) -> int:
    """Adds the row `first` (-1: none) and those of the character n-grams of word[:size]; their number."""
    count = pending = 0
    if first >= 0:
        rows[0] = first
        count = pending = 1
    start = pending  # rows from here on are numbers of buckets
    divisor = uint64(bucket)
    inverse = uint64(0xFFFFFFFFFFFFFFFF) // divisor + uint64(1)
    least = np.int64(max(minn, 1) - 1)
    i = 0
    while i < size:
        if ascii:
            for k in range(LANES):
                runs[0, k] = step(np.uint32(2166136261), word[uint64(i + k)])
            for n in range(uint64(1), uint64(maxn)):
                for k in range(LANES):
                    runs[n, k] = step(runs[n - uint64(1), k], word[uint64(i) + n + uint64(k)])
            for k in range(min(LANES, size - i)):
                low = least  # a letter alone is an n-gram, but not the mark at an end
                if least == 0 and (i + k == 0 or i + k == size - 1):
                    low = np.int64(1)
                for n in range(low, min(maxn, size - i - k)):
                    number = _remainder(runs[uint64(n), uint64(k)], divisor, inverse)
                    # Written always and counted where it has a row: no branch that nobody can foresee.
                    rows[uint64(pending)] = number
                    pending += _is_kept(kept, uint64(number)) if pruned else 1
            i += LANES
        else:
            if word[i] & 0xC0 != 0x80:
                h = np.uint32(2166136261)
                j, n = i, 1
                while j < size and n <= maxn:
                    h = step(h, word[j])
                    j += 1
                    while j < size and word[j] & 0xC0 == 0x80:
                        h = step(h, word[j])
                        j += 1
                    if n >= minn and not (n == 1 and (i == 0 or j == size)):
                        number = _remainder(h, divisor, inverse)
                        rows[uint64(pending)] = number
                        pending += _is_kept(kept, uint64(number)) if pruned else 1
                    n += 1
            i += 1
        if i >= size or pending >= CHUNK:
            for k in range(start, pending):
                rows[k] = words + (_kept_row(kept, before, rows[k]) if pruned else rows[k])
            _add_rows(total, rows, pending, dense, codes, norms, centroids)
            count += pending - start
            pending = start = 0
    return count


@njit(nogil=True, cache=True)
def _is_end(data: np.ndarray, a: int, b: int) -> Any:
    """Whether data[a:b] is `</s>`."""
    if b - a != 4:
        return False
    return data[a] == 0x3C and data[a + 1] == 0x2F and data[a + 2] == 0x73 and data[a + 3] == 0x3E


@njit(nogil=True, cache=True)
def _is_label(data: np.ndarray, a: int, b: int) -> Any:
    """Whether data[a:b] begins with `__label__`."""
    if b - a < 9 or data[a] != 0x5F or data[a + 1] != 0x5F:
        return False
    if data[a + 7] != 0x5F or data[a + 8] != 0x5F:
        return False
    return (
        data[a + 2] == 0x6C
        and data[a + 3] == 0x61
        and data[a + 4] == 0x62
        and data[a + 5] == 0x65
        and data[a + 6] == 0x6C
    )


@njit(
    types.void(
        INDEX,
        INDEX,
        BYTES,
        INDEX,
        BYTES,
        UINT64S,
        *(types.int64,) * 7,
        types.boolean,
        UINT64S,
        INT32S,
        _MAPPED,
        _CODES,
        _FLOATS,
        _CENTROIDS,
        types.uint64[:, ::1],
        types.float32[:, ::1],
        types.uint8[::1],
        types.int64[::1],
        types.int32[::1],
        types.float32[:, ::1],
        types.int64[::1],
    ),
    nogil=True,
    cache=True,
)
def add_lines(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    entry_starts: np.ndarray,
    entry_data: np.ndarray,
    table: np.ndarray,
    words: int,
    end_entry: int,
    end_hash: int,
    word_ngrams: int,
    bucket: int,
    minn: int,
    maxn: int,
    pruned: bool,
    kept: np.ndarray,
    before: np.ndarray,
    dense: np.ndarray,
    codes: np.ndarray,
    norms: np.ndarray,
    centroids: np.ndarray,
    keys: np.ndarray,
    key_sums: np.ndarray,
    word: np.ndarray,
    grams: np.ndarray,
    hashes: np.ndarray,
    sums: np.ndarray,
    counts: np.ndarray,
) -> None:
    dim = sums.shape[1]
    own = np.zeros(dim, np.float32)  # the sum of one word
    rows = np.empty(CHUNK + 1, np.int64)  # of words and their n-grams that are still to be added
    runs = np.empty((max(maxn, 1), LANES), np.uint32)
    mask = uint64(len(keys) - 1)
    for line in range(len(counts)):
        total = sums[line]
        count: Any = 0
        tokens = pending = 0
        i, end = starts[line], ends[line]
        while i < end:
            if _is_space(data[i]):
                i += 1
                continue
            a = i
            i = _word_end(data, a, end)
            if _is_end(data, a, i):
                break
            size = i - a
            # Its bytes, and zeros, for no byte of a word is 0; from the last words of `data` 24 cannot be read.
            keeps = maxn > 0 and size <= KEY_BYTES and a + KEY_BYTES <= len(data)
            key, key_1, key_2, slot = uint64(0), uint64(0), uint64(0), uint64(0)
            if keeps:
                key = load8(data, a) & _KEPT[uint64(size + 16)]
                key_1 = load8(data, a + 8) & _KEPT[uint64(size + 8)]
                key_2 = load8(data, a + 16) & _KEPT[uint64(size)]
                mixed = (key ^ (key_1 * _MIX) ^ (key_2 * _MIX_2)) * _MIX
                slot = (mixed ^ (mixed >> uint64(32))) & mask
                if keys[slot, 0] == key and keys[slot, 1] == key_1 and keys[slot, 2] == key_2:
                    for j in range(dim):
                        total[j] += key_sums[slot, uint64(HEAD + j)]
                    count += np.int64(keys[slot, 3] & uint64(0xFFFFFFFF))
                    if word_ngrams > 1:
                        hashes[tokens] = np.int32(keys[slot, 3] >> uint64(32))
                        tokens += 1
                    continue
            h, high = np.uint32(2166136261), np.uint8(0)
            for k in range(uint64(a), uint64(i)):
                h = step(h, data[k])
                high |= data[k]
            entry = find_entry(data, a, i, h, entry_starts, entry_data, table)
            if entry >= words or (entry < 0 and _is_label(data, a, i)):
                continue
            if word_ngrams > 1:
                hashes[tokens] = np.int32(h)
                tokens += 1
            if maxn <= 0:
                if entry >= 0:
                    rows[pending] = entry
                    pending += 1
                    count += 1
                    if pending == CHUNK:
                        _add_rows(total, rows, pending, dense, codes, norms, centroids)
                        pending = 0
                continue
            word[0] = 0x3C
            for k in range(size):
                word[k + 1] = data[a + k]
            word[size + 1] = 0x3E
            own[:] = 0
            found = _add_subwords(
                own,
                word,
                size + 2,
                high < 0x80,
                runs,
                entry,
                words,
                bucket,
                minn,
                maxn,
                pruned,
                kept,
                before,
                grams,
                dense,
                codes,
                norms,
                centroids,
            )
            for j in range(dim):
                total[j] += own[j]
            count += found
            if keeps:
                keys[slot, 0], keys[slot, 1], keys[slot, 2] = key, key_1, key_2
                keys[slot, 3] = uint64(found) | uint64(h) << uint64(32)
                key_sums[slot, HEAD : HEAD + dim] = own
        if end_entry >= 0:
            rows[pending] = end_entry
            pending += 1
            count += 1
        hashes[tokens] = np.int32(np.uint32(end_hash))
        tokens += 1
        for first in range(tokens if word_ngrams > 1 else 0):
            gram = uint64(np.int64(hashes[first]))
            for last in range(first + 1, min(first + word_ngrams, tokens)):
                gram = gram * uint64(116049371) + uint64(np.int64(hashes[last]))
                row: Any = np.int64(gram % uint64(bucket))
                if pruned:
                    if _is_kept(kept, row) == 0:
                        continue
                    row = _kept_row(kept, before, row)
                if pending >= CHUNK:
                    _add_rows(total, rows, pending, dense, codes, norms, centroids)
                    pending = 0
                rows[pending] = words + row
                pending += 1
                count += 1
        _add_rows(total, rows, pending, dense, codes, norms, centroids)
        counts[line] = count
