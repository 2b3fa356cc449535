"""URLs: one spelling of each, a key to find copies of a page by, and lists of those to leave out.

The spelling follows the keys of crawl indexes (IIPC's SURT, RFC 3986, 6.2), where one page has one key; the lists
are those of RefinedWeb (Penedo et al. 2023, arXiv:2306.01116, G.1), in the order of datatrove's `url_filter.py`.
"""

import itertools
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numba import njit, types

from coursepack.pipeline.arrow import binary_array, text_buffers

# Parameters that say where a visitor came from, or who it is. Those of campaigns begin with `utm_`.
TRACKING = (
    "_ga", "_gl", "_hsenc", "_hsmi", "dclid", "fbclid", "gbraid", "gclid", "gclsrc", "igshid",
    "jsessionid", "mc_cid", "mc_eid", "mkt_tok", "msclkid", "phpsessid", "twclid", "wbraid", "yclid",
)  # fmt: skip
_MOST_SORTED = 1024  # parameters; more stay in their order
_WIDEST = 3  # bytes written for one read: a space becomes %20

_READ = types.Array(types.uint8, 1, "C", readonly=True)
_BYTES = types.Array(types.uint8, 1, "C")
_INT64S = types.Array(types.int64, 1, "C")
_BOUNDS = types.Array(types.int64, 2, "C")
_ROWS = types.Array(types.uint8, 2, "C")


def normalise(urls: pa.Array) -> pa.Array:
    """One spelling (string) of each URL; null where it is null. What is normal already stays as it is.

    White space and control characters at the ends go, control characters go everywhere, a space is `%20`,
    hex digits of `%xx` are upper case. Of http and https alone, which count as one (`http`):
    scheme and host are lower case (of ASCII), without user, `www.`, dots at the end and the default ports; the
    fragment goes, and slashes at the end of the path; parameters are sorted, without empty ones and those of
    TRACKING.
    """
    offsets, data = text_buffers(urls)
    count = len(offsets) - 1
    longest = int(np.diff(offsets).max(initial=0)) * _WIDEST
    ends = np.zeros(count + 1, np.int64)
    out = np.empty(int(offsets[-1] - offsets[0]) * _WIDEST, np.uint8)
    clean = np.empty(longest, np.uint8)
    bounds = np.empty((2, longest + 2), np.int64)
    _normalise(offsets, data, _tracking(), clean, bounds, ends, out)
    made = binary_array(ends, out[: ends[-1]].copy(), pa.large_string()).cast(pa.string())
    return pc.if_else(pc.is_valid(urls), made, pa.scalar(None, pa.string()))


def url_keys(urls: pa.Array) -> pa.Array:
    """The 63-bit hash (int64) of each URL's normal spelling; null where there is no URL."""
    normal = normalise(urls)
    offsets, data = text_buffers(normal)
    view, bounds = data.data, offsets.tolist()
    digest = xxhash.xxh3_64_intdigest
    found = [digest(view[a:b]) >> 1 for a, b in itertools.pairwise(bounds)]
    return pa.array(np.array(found, np.int64), mask=np.diff(offsets) == 0)


@cache
def _tracking() -> np.ndarray:
    """TRACKING as rows of bytes, 0 behind their ends."""
    rows = np.zeros((len(TRACKING), max(map(len, TRACKING)) + 1), np.uint8)
    for row, name in zip(rows, TRACKING, strict=True):
        row[: len(name)] = np.frombuffer(name.encode(), np.uint8)
    return rows


@njit(types.uint8(types.uint8), nogil=True, cache=True)
def _lower(byte: int) -> int:
    return byte + 0x20 if 0x41 <= byte <= 0x5A else byte


@njit(types.boolean(types.uint8), nogil=True, cache=True)
def _is_hex(byte: int) -> bool:
    return 0x30 <= byte <= 0x39 or 0x61 <= _lower(byte) <= 0x66


@njit(types.int64(_READ, types.int64, types.int64, _BYTES), nogil=True, cache=True)
def _clean(data: np.ndarray, start: int, end: int, clean: np.ndarray) -> int:
    """Write a URL without white space and control characters; returns its length."""
    while start < end and (data[start] <= 0x20 or data[start] == 0x7F):
        start += 1
    while end > start and (data[end - 1] <= 0x20 or data[end - 1] == 0x7F):
        end -= 1
    n = 0
    for i in range(start, end):
        byte = data[i]
        if byte == 0x20:
            clean[n], clean[n + 1], clean[n + 2] = 0x25, 0x32, 0x30
            n += 3
        elif byte > 0x20 and byte != 0x7F:
            clean[n] = byte
            n += 1
    for i in range(n - 2):
        if clean[i] == 0x25 and _is_hex(clean[i + 1]) and _is_hex(clean[i + 2]):
            for j in (i + 1, i + 2):
                if clean[j] >= 0x61:
                    clean[j] -= 0x20
    return n


@njit(types.int64(_BYTES, types.int64), nogil=True, cache=True)
def _after_scheme(url: np.ndarray, end: int) -> int:
    """Where the authority of an http or https URL begins; -1 of any other."""
    scheme = (0x68, 0x74, 0x74, 0x70)
    if end < 7:
        return -1
    for i in range(4):
        if _lower(url[i]) != scheme[i]:
            return -1
    i = 5 if _lower(url[4]) == 0x73 else 4
    if i + 3 <= end and url[i] == 0x3A and url[i + 1] == 0x2F and url[i + 2] == 0x2F:
        return i + 3
    return -1


@njit(types.UniTuple(types.int64, 2)(_BYTES, types.int64, types.int64), nogil=True, cache=True)
def _host(url: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The bounds of the host in an authority, lower-cased in place."""
    for i in range(start, end):
        if url[i] == 0x40:  # what precedes @ is a user
            start = i + 1
    for i in range(start, end):
        url[i] = _lower(url[i])
    while True:  # ":443." and the like, until nothing changes
        if end > start and (url[end - 1] == 0x2E or url[end - 1] == 0x3A):
            end -= 1
        elif end - start >= 3 and url[end - 3] == 0x3A and url[end - 2] == 0x38 and url[end - 1] == 0x30:
            end -= 3
        elif (
            end - start >= 4
            and url[end - 4] == 0x3A
            and url[end - 3] == 0x34
            and url[end - 2] == 0x34
            and url[end - 1] == 0x33
        ):
            end -= 4
        else:
            break
    while (
        end - start > 4
        and url[start] == 0x77
        and url[start + 1] == 0x77
        and url[start + 2] == 0x77
        and url[start + 3] == 0x2E
    ):
        start += 4
    return start, end


@njit(types.boolean(_BYTES, types.int64, types.int64, _ROWS), nogil=True, cache=True)
def _is_tracking(url: np.ndarray, start: int, end: int, names: np.ndarray) -> bool:
    """Whether a parameter is empty, or of a name that begins with `utm_` or is one of `names`."""
    stop = start
    while stop < end and url[stop] != 0x3D:
        stop += 1
    length = stop - start
    if end == start:
        return True
    utm = (0x75, 0x74, 0x6D, 0x5F)
    matched = 0
    while matched < 4 and matched < length and _lower(url[start + matched]) == utm[matched]:
        matched += 1
    if matched == 4:
        return True
    for row in range(len(names)):
        i = 0
        while i < length and names[row, i] != 0 and _lower(url[start + i]) == names[row, i]:
            i += 1
        if i == length and names[row, i] == 0:
            return True
    return False


@njit(types.boolean(_BYTES, types.int64, types.int64, types.int64, types.int64), nogil=True, cache=True)
def _is_less(url: np.ndarray, a: int, a_end: int, b: int, b_end: int) -> bool:
    while a < a_end and b < b_end and url[a] == url[b]:
        a += 1
        b += 1
    if a == a_end or b == b_end:
        return a == a_end and b < b_end
    return bool(url[a] < url[b])


@njit(types.int64(_BYTES, types.int64, types.int64, _ROWS, _BOUNDS), nogil=True, cache=True)
def _parameters(
    url: np.ndarray, start: int, end: int, names: np.ndarray, bounds: np.ndarray
) -> int:
    """The bounds of the parameters that stay, sorted; returns how many there are."""
    count = 0
    i = start
    while i <= end:
        stop = i
        while stop < end and url[stop] != 0x26:
            stop += 1
        if not _is_tracking(url, i, stop, names):
            bounds[0, count], bounds[1, count] = i, stop
            count += 1
        i = stop + 1
    if count > _MOST_SORTED:
        return count
    for k in range(1, count):
        a, a_end = bounds[0, k], bounds[1, k]
        j = k
        while j > 0 and _is_less(url, a, a_end, bounds[0, j - 1], bounds[1, j - 1]):
            bounds[0, j], bounds[1, j] = bounds[0, j - 1], bounds[1, j - 1]
            j -= 1
        bounds[0, j], bounds[1, j] = a, a_end
    return count


@njit(types.void(_INT64S, _READ, _ROWS, _BYTES, _BOUNDS, _INT64S, _BYTES), nogil=True, cache=True)
def _normalise(
    offsets: np.ndarray,
    data: np.ndarray,
    names: np.ndarray,
    url: np.ndarray,
    bounds: np.ndarray,
    ends: np.ndarray,
    out: np.ndarray,
) -> None:
    n = 0
    for row in range(len(offsets) - 1):
        end = _clean(data, offsets[row], offsets[row + 1], url)
        start = _after_scheme(url, end)
        if start < 0:
            out[n : n + end] = url[:end]
            n += end
            ends[row + 1] = n
            continue
        fragment = start
        while fragment < end and url[fragment] != 0x23:
            fragment += 1
        query = start
        while query < fragment and url[query] != 0x3F:
            query += 1
        path = start
        while path < query and url[path] != 0x2F:
            path += 1
        for byte in (0x68, 0x74, 0x74, 0x70, 0x3A, 0x2F, 0x2F):
            out[n] = byte
            n += 1
        start, stop = _host(url, start, path)
        out[n : n + stop - start] = url[start:stop]
        n += stop - start
        stop = query
        while stop > path and url[stop - 1] == 0x2F:
            stop -= 1
        out[n : n + stop - path] = url[path:stop]
        n += stop - path
        mark = 0x3F
        for k in range(_parameters(url, query + 1, fragment, names, bounds)):
            out[n] = mark
            mark = 0x26
            length = bounds[1, k] - bounds[0, k]
            out[n + 1 : n + 1 + length] = url[bounds[0, k] : bounds[1, k]]
            n += 1 + length
        ends[row + 1] = n
