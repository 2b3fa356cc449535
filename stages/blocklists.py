"""Lists of URLs to leave out: domains, whole URLs, and words in them.

The lists are RefinedWeb's (Penedo et al. 2023, arXiv:2306.01116, G.1) in the order of datatrove's `url_filter.py`;
DCLM has the same. Folders may be categories of the UT1 lists (Université Toulouse 1). None is shipped.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.hashing import canonical_json
from coursepack.stages.urls import normalise, text_keys

# What a list's file is called, without what follows a dot, and what it holds.
KINDS = {
    "domains": "domains",  # as UT1 has them: a domain, with all below it
    "urls": "urls",  # whole, with or without a scheme
    "hard_words": "hard",  # a word of the URL
    "banned_words": "hard",
    "soft_words": "soft",  # two different words of the URL
    "soft_banned_words": "soft",
    "subwords": "strict",  # letters and digits anywhere, whatever stands between them
    "banned_subwords": "strict",
}
_PIECE_BYTES = 4 << 20  # of a list, read together
_SYMBOLS = 36  # letters and digits
_NO_LIST = -1
_HOST = r"^http://(?P<host>[^/?:]+)"  # of a URL in its normal spelling

_READ = types.Array(types.uint8, 1, "C", readonly=True)
_INT64S = types.Array(types.int64, 1, "C")
_INT16S = types.Array(types.int16, 1, "C")
_STEPS = types.Array(types.int32, 2, "C")
_FOUND = types.Array(types.int16, 2, "C")

Table = tuple[np.ndarray, np.ndarray]  # hashes (int64, ascending), the number of each one's list


@dataclass(frozen=True, eq=False)
class Blocklists:
    """What a URL is held against, as hashes and an automaton; `names` are those of the lists, by number.

    `sha256` is of the lists' bytes, names and order.
    """

    names: tuple[str, ...]
    domains: Table
    urls: Table
    hard: Table
    soft: Table
    steps: (
        np.ndarray
    )  # of the automaton of subwords (Aho and Corasick 1975): state, symbol -> state
    ends: np.ndarray  # state -> number of the list of a subword that ends there, or -1
    sha256: str


def blocked(url: pa.Array, lists: Blocklists) -> pa.Array:
    """The list (string, `folder/file`) that each URL is on; null where on none, or where there is no URL.

    The first of: its host or a domain above it; the URL in its normal spelling; a hard word; two different
    soft words; a subword. Words are runs of ASCII letters and digits, in any case.
    """
    normal = normalise(url)
    found = _find(text_keys(normal), lists.urls)
    by_domain = _blocked_hosts(normal, lists)
    found = np.where(by_domain == _NO_LIST, found, by_domain)
    offsets, data = text_buffers(url)
    in_words = np.full((len(offsets) - 1, 3), _NO_LIST, np.int16)
    if len(lists.hard[0]) or len(lists.soft[0]) or len(lists.steps) > 1:
        _find_words(
            *(offsets, data, *lists.hard, *lists.soft, lists.steps, lists.ends, in_words)
        )  # fmt: skip
    for column in in_words.T:
        found = np.where(found == _NO_LIST, column, found)
    names = pa.array([*lists.names, None], pa.string())
    return names.take(pa.array(np.where(found == _NO_LIST, len(lists.names), found)))


def blocklist_signals(url: pa.Array, paths: tuple[str, ...]) -> pa.RecordBatch:
    """`url_blocked` (string): the list at `paths` that each URL is on, see `blocked`."""
    return pa.RecordBatch.from_pydict({"url_blocked": blocked(url, load_blocklists(paths))})


@cache
def load_blocklists(paths: tuple[str, ...]) -> Blocklists:
    """The lists at `paths`: files named as KINDS says (`.txt` or the like may follow), or folders that hold some.

    A line is an entry; empty lines and those that begin with `#` are none. Raises SourceError where a path holds no
    list.
    """
    files = list(dict.fromkeys(file for path in paths for file in _list_files(path)))
    names: list[str] = []
    hashes: dict[str, list[tuple[int, np.ndarray]]] = {kind: [] for kind in KINDS.values()}
    subwords: list[tuple[int, pa.Array]] = []
    sha = hashlib.sha256()
    for number, file in enumerate(files):
        data = storage.read_bytes(file)
        names.append("/".join([*file.split("/")[-2:-1], _stem(file)]))
        sha.update(canonical_json([names[-1], hashlib.sha256(data).hexdigest()]))
        kind = KINDS[_stem(file)]
        for lines in _entries(data):
            if kind == "strict":
                subwords.append((number, _squeezed(lines)))
            else:
                hashes[kind].append((number, _HASHES[kind](lines)))
    domains, urls, hard, soft = (_table(hashes[kind]) for kind in _HASHES)
    steps, ends = _automaton(subwords)
    return Blocklists(tuple(names), domains, urls, hard, soft, steps, ends, sha.hexdigest())


def _stem(file: str) -> str:
    return file.rsplit("/", 1)[-1].split(".")[0]


def _list_files(path: str) -> list[str]:
    fs, within = storage.filesystem(path)
    files = [path] if fs.isfile(within) else storage.listing(path)
    found = [file for file in files if _stem(file) in KINDS]
    if not found:
        known = ", ".join(repr(name) for name in KINDS)
        raise SourceError(
            f"{path!r} holds no list of URLs; a list is a file called {known}, or a folder that holds some, "
            "such as a category of UT1's"
        )
    return found


def _entries(data: bytes) -> Iterator[pa.Array]:
    """The lines of a list that are entries, some at a time: lists have millions."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _PIECE_BYTES) + 1 or len(data)
        whole = pa.array([data[start:end].decode("utf-8", "replace")], pa.large_string())
        lines = pc.ascii_trim_whitespace(pc.split_pattern(whole, "\n").flatten())
        yield lines.filter(pc.and_(pc.not_equal(lines, ""), pc.invert(pc.starts_with(lines, "#"))))
        start = end


def _domain_hashes(lines: pa.Array) -> np.ndarray:
    bare = pc.replace_substring_regex(pc.ascii_lower(lines), r"^(\*?\.|www\.)+|\.+$", "")
    return text_keys(bare)


def _url_hashes(lines: pa.Array) -> np.ndarray:
    bare = pc.invert(pc.match_substring(lines, "://"))
    scheme, nothing = (pa.scalar(text, lines.type) for text in ("http://", ""))
    whole = pc.if_else(bare, pc.binary_join_element_wise(scheme, lines, nothing), lines)
    return text_keys(normalise(whole))


def _squeezed(lines: pa.Array) -> pa.Array:
    """Words as they are compared: ASCII letters in lower case and digits alone, none empty."""
    words = pc.replace_substring_regex(pc.ascii_lower(lines), "[^a-z0-9]+", "")
    return words.filter(pc.not_equal(words, ""))


def _word_hashes(lines: pa.Array) -> np.ndarray:
    words = _squeezed(lines)
    offsets, data = text_buffers(words)
    found = np.empty(len(words), np.int64)
    _hash_words(offsets, data, found)
    return found


_HASHES: Mapping[str, Callable[[pa.Array], np.ndarray]] = {
    "domains": _domain_hashes,
    "urls": _url_hashes,
    "hard": _word_hashes,
    "soft": _word_hashes,
}


def _table(parts: list[tuple[int, np.ndarray]]) -> Table:
    """Hashes in order, each with the first list that holds it."""
    hashes = np.concatenate([np.zeros(0, np.int64), *(part for _, part in parts)])
    numbers = np.concatenate(
        [np.zeros(0, np.int16), *(np.full(len(part), n, np.int16) for n, part in parts)]
    )
    kept, first = np.unique(hashes, return_index=True)
    return kept, numbers[first]


def _find(hashes: np.ndarray, table: Table) -> np.ndarray:
    """The number of the list (int16) that holds each hash, or -1."""
    known, numbers = table
    if not len(known):
        return np.full(len(hashes), _NO_LIST, np.int16)
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    found: np.ndarray = np.where(known[at] == hashes, numbers[at], np.int16(_NO_LIST))
    return found


def _blocked_hosts(normal: pa.Array, lists: Blocklists) -> np.ndarray:
    """The number of the list that holds the host or the nearest domain above it, or -1; each host is looked at once."""
    hosts = pc.struct_field(pc.extract_regex(normal, _HOST), "host").dictionary_encode()
    names = hosts.dictionary.to_pylist()
    above = [(n, host.split(".", k)[-1]) for n, host in enumerate(names)
             for k in range(host.count(".") + 1)]  # fmt: skip
    found = np.full(len(names) + 1, _NO_LIST, np.int16)
    numbers = _find(
        text_keys(pa.array([domain for _, domain in above], pa.string())), lists.domains
    )
    for at in np.flatnonzero(numbers != _NO_LIST)[::-1].tolist():
        found[above[at][0]] = numbers[at]  # backwards: the nearest is written last
    codes = pc.fill_null(hosts.indices, len(names)).to_numpy(zero_copy_only=False)
    of_rows: np.ndarray = found[codes]
    return of_rows


def _automaton(parts: list[tuple[int, pa.Array]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps and ends of the automaton that finds any of the words; each step leads on, never back."""
    children: list[dict[int, int]] = [{}]
    ends = [_NO_LIST]
    for number, words in parts:
        for word in words.to_pylist():
            state = 0
            for symbol in (int(sign, 36) for sign in word):
                if symbol not in children[state]:
                    children[state][symbol] = len(children)
                    children.append({})
                    ends.append(_NO_LIST)
                state = children[state][symbol]
            ends[state] = number if ends[state] == _NO_LIST else ends[state]
    steps = np.zeros((len(children), _SYMBOLS), np.int32)
    for symbol, child in children[0].items():
        steps[0, symbol] = child
    waiting = [(child, 0) for child in children[0].values()]  # a state, and its longest suffix
    for state, suffix in waiting:
        ends[state] = ends[suffix] if ends[state] == _NO_LIST else ends[state]
        steps[state] = steps[suffix]
        for symbol, child in children[state].items():
            waiting.append((child, int(steps[suffix, symbol])))
            steps[state, symbol] = child
    return steps, np.array(ends, np.int16)


_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@njit(types.int64(types.uint8), nogil=True, cache=True)
def _symbol(byte: int) -> int:
    """The digit of base 36 that an ASCII letter or digit is, else -1."""
    if 0x30 <= byte <= 0x39:
        return byte - 0x30
    byte |= 0x20
    return byte - 0x61 + 10 if 0x61 <= byte <= 0x7A else -1


@njit(types.uint64(types.uint64, types.int64), nogil=True, cache=True)
def _mix(state: np.uint64, symbol: int) -> np.uint64:
    return np.uint64((state ^ np.uint64(symbol)) * _FNV_PRIME)


@njit(types.int64(types.uint64), nogil=True, cache=True)
def _key(state: np.uint64) -> np.int64:
    """A word's FNV-1a hash, of 63 bits."""
    return np.int64(state >> np.uint64(1))


@njit(types.void(_INT64S, _READ, _INT64S), nogil=True, cache=True)
def _hash_words(offsets: np.ndarray, data: np.ndarray, found: np.ndarray) -> None:
    for row in range(len(found)):
        state = _FNV_START
        for i in range(offsets[row], offsets[row + 1]):
            state = _mix(state, _symbol(data[i]))
        found[row] = _key(state)


@njit(types.int64(_INT64S, types.int64), nogil=True, cache=True)
def _place(known: np.ndarray, key: np.int64) -> int:
    """Where `key` stands in `known` (ascending), or -1."""
    at = int(np.searchsorted(known, key))
    return at if at < len(known) and known[at] == key else -1


@njit(
    types.void(_INT64S, _READ, _INT64S, _INT16S, _INT64S, _INT16S, _STEPS, _INT16S, _FOUND),
    nogil=True,
    cache=True,
)
def _find_words(
    offsets: np.ndarray,
    data: np.ndarray,
    hard: np.ndarray,
    hard_list: np.ndarray,
    soft: np.ndarray,
    soft_list: np.ndarray,
    steps: np.ndarray,
    ends: np.ndarray,
    found: np.ndarray,
) -> None:
    """The list of a row's first hard word, of its first soft word where there are two, of its first subword."""
    for row in range(len(offsets) - 1):
        state = 0
        word, length, soft_word = _FNV_START, 0, -1
        for i in range(offsets[row], offsets[row + 1] + 1):
            symbol = _symbol(data[i]) if i < offsets[row + 1] else -1
            if symbol >= 0:
                word, length = _mix(word, symbol), length + 1
                state = steps[state, symbol]
                if ends[state] >= 0 and found[row, 2] < 0:
                    found[row, 2] = ends[state]
                continue
            if length:
                at = _place(hard, _key(word))
                if at >= 0 and found[row, 0] < 0:
                    found[row, 0] = hard_list[at]
                at = _place(soft, _key(word))
                if at >= 0 and soft_word < 0:
                    soft_word = at
                elif at >= 0 and at != soft_word and found[row, 1] < 0:
                    found[row, 1] = soft_list[soft_word]
            word, length = _FNV_START, 0
