"""URLs in one spelling, and a key of it to find copies of a page by.

The spelling follows RFC 3986, 6.2, and the keys of crawl indexes (IIPC's SURT), where one page has one key.
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


def _ascii(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


_HTTP, _HTTPS, _WWW, _UTM = _ascii("http://"), _ascii("https://"), _ascii("www."), _ascii("utm_")
_PORT_HTTP, _PORT_HTTPS = _ascii(":80"), _ascii(":443")

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


def url_signals(url: pa.Array) -> pa.RecordBatch:
    """`url_key` (int64): pages with one key have one URL; null where there is no URL."""
    return pa.RecordBatch.from_pydict({"url_key": url_keys(url)})


def url_keys(urls: pa.Array) -> pa.Array:
    """The 63-bit hash (int64) of each URL's normal spelling; null where there is no URL."""
    normal = normalise(urls)
    offsets, _ = text_buffers(normal)
    return pa.array(text_keys(normal), mask=np.diff(offsets) == 0)


def text_keys(texts: pa.Array) -> np.ndarray:
    """A 63-bit hash (int64) of each text; a null hashes as the empty one."""
    offsets, data = text_buffers(texts)
    view, bounds = data.data, offsets.tolist()
    digest = xxhash.xxh3_64_intdigest
    found = (digest(view[a:b]) >> 1 for a, b in itertools.pairwise(bounds))
    return np.fromiter(found, np.int64, len(texts))


@cache
def _tracking() -> np.ndarray:
    """TRACKING as rows of bytes, 0 behind their ends."""
    rows = np.zeros((len(TRACKING), max(map(len, TRACKING)) + 1), np.uint8)
    for row, name in zip(rows, TRACKING, strict=True):
        row[: len(name)] = _ascii(name)
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


@njit(types.boolean(_BYTES, types.int64, types.int64, _READ), nogil=True, cache=True)
def _holds(url: np.ndarray, start: int, end: int, what: np.ndarray) -> bool:
    """Whether `what`, in lower case, stands at `start`, in any case of ASCII letters."""
    if start < 0 or start + len(what) > end:
        return False
    i = 0
    while i < len(what) and _lower(url[start + i]) == what[i]:
        i += 1
    return i == len(what)


@njit(types.int64(_BYTES, types.int64), nogil=True, cache=True)
def _after_scheme(url: np.ndarray, end: int) -> int:
    """Where the authority of an http or https URL begins; -1 of any other."""
    if _holds(url, 0, end, _HTTP):
        return len(_HTTP)
    return len(_HTTPS) if _holds(url, 0, end, _HTTPS) else -1


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64)", nogil=True, cache=True)
def _host(url: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The bounds of the host in an authority, lower-cased in place."""
    for i in range(start, end):
        if url[i] == 0x40:  # what precedes @ is a user
            start = i + 1
    for i in range(start, end):
        url[i] = _lower(url[i])
    before = -1
    while end != before:  # ":443." and the like, until nothing changes
        before = end
        if end > start and (url[end - 1] == 0x2E or url[end - 1] == 0x3A):
            end -= 1
        for port in (_PORT_HTTP, _PORT_HTTPS):
            if end - len(port) >= start and _holds(url, end - len(port), end, port):
                end -= len(port)
    while end - start > len(_WWW) and _holds(url, start, end, _WWW):
        start += len(_WWW)
    return start, end


@njit(types.boolean(_BYTES, types.int64, types.int64, _ROWS), nogil=True, cache=True)
def _is_noise(url: np.ndarray, start: int, end: int, names: np.ndarray) -> bool:
    """Whether a parameter is empty, or its name begins with `utm_` or is one of `names`."""
    if end == start or _holds(url, start, end, _UTM):
        return True
    length = 0
    while start + length < end and url[start + length] != 0x3D:
        length += 1
    for row in range(len(names)):
        i = 0
        while i < length and names[row, i] != 0 and _lower(url[start + i]) == names[row, i]:
            i += 1
        if i == length and names[row, i] == 0:
            return True
    return False


@njit(
    types.boolean(_BYTES, types.int64, types.int64, types.int64, types.int64),
    nogil=True,
    cache=True,
)
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
        if not _is_noise(url, i, stop, names):
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
        out[n : n + len(_HTTP)] = _HTTP
        n += len(_HTTP)
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
