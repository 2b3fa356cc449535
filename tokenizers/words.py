"""Words as the SentencePiece trainer sees them, counted over Arrow buffers without a Python object a word.

The trainer takes text line by line, takes meta pieces out (user-defined symbols, control and byte pieces), splits the
rest before runs of spaces, and learns pieces inside what is left. None of its pieces holds a digit beside another
character, or characters of two scripts (trainer_interface.cc, `IsValidSentencePiece`). So text can be cut at
all these places before it is counted, and learning sees the same pairs of characters as often as before. The words
are far fewer: "(2024-05-17)" and "self.name" have parts that come again, where the trainer's own words hardly do.

Scripts are those of the `regex` package, for characters that Unicode 3.2 had; a test holds them against the trainer's.
Next to any other character, and to marks, which take the script before them, no cut is made: fewer cuts count
the same pairs.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex

from coursepack.pipeline.arrow import Text, binary_array, text_buffers
from coursepack.tokenizers.sentencepiece_proto import SPACE_MARK

# The trainer counts positions in 16 bits and ends the process beyond them.
LONGEST_WORD = 1 << 15  # in characters
WORDS = pa.schema(
    [
        # with spaces as such; the empty word is what cuts a line: meta pieces, tabs and U+2585
        pa.field("word", pa.large_binary(), False),
        pa.field("count", pa.int64(), False),
    ]
)

_UNKNOWN, _BREAK, _SPACE, _DIGIT, _FIRST_SCRIPT = 0, 1, 2, 3, 4
# The trainer silently drops sentences that hold U+2585, which it keeps for itself.
_RESERVED = 0x2585
_SLICE_BYTES = 1 << 22  # of text whose words are found at once
_FIRST_WORDS = 1 << 16
_NO_CHILD = 0
_NONE = 255  # no class


class WordCounter:
    """Counts words of texts. `symbols` are the meta pieces, in which U+2581 stands for a space.

    With `dummy_prefix` each line that is not empty has a space before it. Memory: the distinct words, and 40 to 80
    bytes for each.
    """

    def __init__(self, symbols: Sequence[str], dummy_prefix: bool = False) -> None:
        self._trie, self._ends = _trie(symbols)
        # the class of each byte that is a character of a script and begins no symbol
        ascii_classes = _classes()[:128]
        joins = (ascii_classes >= _FIRST_SCRIPT) & (self._trie[0, :128] == _NO_CHILD)
        self._plain = np.full(256, _NONE, np.uint8)
        self._plain[:128][joins] = ascii_classes[joins]
        self._prefixed = dummy_prefix
        self._boundaries = 0
        self._words = 0
        self._counts = np.zeros(_FIRST_WORDS, np.int64)
        self._hashes = np.zeros(_FIRST_WORDS, np.uint64)
        self._offsets = np.zeros(_FIRST_WORDS + 1, np.int64)
        self._data = np.zeros(_FIRST_WORDS * 8, np.uint8)
        self._slots = np.zeros(_FIRST_WORDS * 2, np.int64)  # 1 + the word; 0: free

    def add(self, text: Text) -> None:
        """Count the words of a string column; a null row is an empty text."""
        if isinstance(text, pa.ChunkedArray):
            for chunk in text.chunks:
                self.add(chunk)
            return
        text = pc.replace_substring(text, SPACE_MARK, " ")
        if self._prefixed:
            text = pc.replace_substring(text, "\n", "\n ")
            text = pc.binary_join_element_wise(
                pa.scalar(" ", text.type),
                pc.fill_null(text, pa.scalar("", text.type)),
                pa.scalar("", text.type),
            )
        offsets, data = text_buffers(text)
        rows = len(offsets) - 1
        row = 0
        while row < rows:
            # at least a row, and as many as fit
            end = int(np.searchsorted(offsets, offsets[row] + _SLICE_BYTES, "right")) - 1
            end = min(max(end, row + 1), rows)
            self._add(offsets[row : end + 1], data)
            row = end

    def _add(self, offsets: np.ndarray, data: np.ndarray) -> None:
        most = int(offsets[-1] - offsets[0])  # a word has a byte
        bounds = np.empty((2, most), np.int64)
        found, boundaries = _find_words(
            *(offsets, data, _classes(), self._trie, self._ends, self._plain),
            *(self._prefixed, bounds),
        )
        self._boundaries += boundaries
        at = 0
        while True:
            at, self._words = _count(
                *(data, bounds[:, :found], at, self._words),
                *(self._slots, self._hashes, self._counts, self._offsets, self._data),
            )
            if at == found:
                return
            self._grow(int(bounds[1, at] - bounds[0, at]))

    def _grow(self, size: int) -> None:
        """Make room for twice as many words and twice their bytes, and for one of `size` bytes."""
        used = int(self._offsets[self._words])
        if used + size > len(self._data):
            self._data = np.resize(self._data, max(2 * len(self._data), used + size))
        if self._words == len(self._counts):
            more = 2 * len(self._counts)
            self._counts = np.resize(self._counts, more)
            self._hashes = np.resize(self._hashes, more)
            self._offsets = np.resize(self._offsets, more + 1)
            self._slots = np.zeros(2 * more, np.int64)
            _place(self._hashes[: self._words], self._slots)

    def table(self) -> pa.Table:
        """WORDS: each distinct word with its count, in the order in which they were met first."""
        offsets = self._offsets[: self._words + 1]
        words = binary_array(offsets, self._data[: offsets[-1]])
        counts = pa.array(self._counts[: self._words])
        if self._boundaries:
            words = pa.concat_arrays([words, pa.array([b""], pa.large_binary())])
            counts = pa.concat_arrays([counts, pa.array([self._boundaries], pa.int64())])
        return pa.table([words, counts], schema=WORDS)


# Of Unicode 3.2. Kana are Han to the trainer.
_SCRIPTS = (
    "Common", "Latin", "Greek", "Cyrillic", "Armenian", "Hebrew", "Arabic", "Syriac", "Thaana", "Devanagari",
    "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao",
    "Tibetan", "Myanmar", "Georgian", "Hangul", "Ethiopic", "Cherokee", "Canadian_Aboriginal", "Ogham", "Runic",
    "Khmer", "Mongolian", "Bopomofo", "Yi", "Old_Italic", "Gothic", "Deseret", "Tagalog", "Hanunoo", "Buhid",
    "Tagbanwa",
)  # fmt: skip
_HAN = r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u30fc]"
_DIGITS = r"[0-9\uff10-\uff19]"
# Armenian's full stop and two accents changed their script since.
_CHANGED = "\u0589\u0953\u0954"


@cache
def _classes() -> np.ndarray:
    """The class (uint8) of each code point: what may stand beside it in a piece."""
    known = "".join(
        c
        for c in map(chr, range(0x110000))
        if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Co", "Cs") and c not in _CHANGED
    )
    classes = np.zeros(0x110000, np.uint8)
    patterns = [rf"\p{{Script={name}}}" for name in _SCRIPTS]
    for number, pattern in enumerate([*patterns, _HAN], _FIRST_SCRIPT):
        classes[[ord(c) for c in regex.findall(pattern, known)]] = number
    classes[[ord(c) for c in regex.findall(_DIGITS, known)]] = _DIGIT
    classes[ord(" ")] = _SPACE
    classes[[0, ord("\t"), ord("\n"), _RESERVED]] = _BREAK
    return classes


def _trie(symbols: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Children (int32, nodes x 256; 0: none) by byte, and whether a symbol ends at the node (bool)."""
    children: list[dict[int, int]] = [{}]
    ends = {0: False}
    for symbol in symbols:
        node = 0
        for byte in symbol.replace(SPACE_MARK, " ").encode():
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
            node = children[node][byte]
        ends[node] = True
    table = np.zeros((len(children), 256), np.int32)
    for node, row in enumerate(children):
        for byte, child in row.items():
            table[node, byte] = child
    return table, np.array([ends.get(node, False) for node in range(len(children))])


@numba.njit(nogil=True, cache=True)
def _find_words(
    offsets: np.ndarray,
    data: np.ndarray,
    classes: np.ndarray,
    trie: np.ndarray,
    ends: np.ndarray,
    plain: np.ndarray,
    prefixed: bool,
    bounds: np.ndarray,
) -> tuple[int, int]:
    """Fill in the words' bounds; how many there are, and what cut lines beside newlines."""
    found = boundaries = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        line = start = at
        last, characters = _BREAK, 0
        while True:
            # most bytes go on with a word: same script, and no symbol begins
            while at < end and plain[data[at]] == last and characters < LONGEST_WORD:
                at += 1
                characters += 1
            if at == end or data[at] == 0x0A:
                stop = at
                while stop > start and data[stop - 1] == 0x0D:  # as the library reads lines
                    stop -= 1
                if stop > start and not (prefixed and stop == line + 1):
                    bounds[0, found], bounds[1, found] = start, stop
                    found += 1
                if at == end:
                    break
                at += 1
                line = start = at
                last = _BREAK
                continue
            size = _symbol(data, at, end, trie, ends)
            if size:
                code, kind = 0, _BREAK
                boundaries += 1
            else:
                code, size = _decode(data, at)
                kind = classes[code]
                boundaries += kind == _BREAK and code != 0  # the trainer does not count NUL
            if (
                kind in (_BREAK, _DIGIT)
                or last in (_BREAK, _DIGIT)
                or (kind == _SPACE and last != _SPACE)
                or (kind >= _FIRST_SCRIPT and last >= _FIRST_SCRIPT and kind != last)
                or characters == LONGEST_WORD
            ):
                if at > start:
                    bounds[0, found], bounds[1, found] = start, at
                    found += 1
                start = at + size if kind == _BREAK else at
                characters = 0
            at += size
            characters += 1
            last = kind
    return found, boundaries


@numba.njit(nogil=True, cache=True)
def _symbol(data: np.ndarray, at: int, end: int, trie: np.ndarray, ends: np.ndarray) -> int:
    """Bytes of the longest symbol that begins at `at`; 0 for none."""
    node, longest, here = 0, 0, at
    while here < end:
        node = trie[node, data[here]]
        if node == _NO_CHILD:
            break
        here += 1
        if ends[node]:
            longest = here - at
    return longest


@numba.njit(nogil=True, cache=True)
def _decode(data: np.ndarray, at: int) -> tuple[Any, int]:
    """The code point of valid UTF-8 at `at`, and its bytes."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int64(data[at + 1] & 0x3F), 2
    if first < 0xF0:
        two = np.int64(data[at + 1] & 0x3F) << 6
        return (first & 0x0F) << 12 | two | np.int64(data[at + 2] & 0x3F), 3
    two = np.int64(data[at + 1] & 0x3F) << 12 | np.int64(data[at + 2] & 0x3F) << 6
    return (first & 0x07) << 18 | two | np.int64(data[at + 3] & 0x3F), 4


@numba.njit(nogil=True, cache=True)
def _count(
    data: np.ndarray,
    bounds: np.ndarray,
    at: int,
    words: int,
    slots: np.ndarray,
    hashes: np.ndarray,
    counts: np.ndarray,
    offsets: np.ndarray,
    stored: np.ndarray,
) -> tuple[int, int]:
    """Count words from number `at` on; the first that finds no room (or their number), and the distinct words."""
    mask = len(slots) - 1
    for number in range(at, bounds.shape[1]):
        start, size = bounds[0, number], bounds[1, number] - bounds[0, number]
        hashed = np.uint64(0xCBF29CE484222325)  # FNV-1a
        for i in range(start, start + size):
            hashed = (hashed ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
        hashed ^= hashed >> np.uint64(32)
        slot = np.int64(hashed) & mask
        while True:
            word = slots[slot] - 1
            if word < 0:
                begin = offsets[words]
                if words == len(counts) or begin + size > len(stored):
                    return number, words
                for i in range(size):
                    stored[begin + i] = data[start + i]
                offsets[words + 1] = begin + size
                hashes[words] = hashed
                counts[words] = 1
                words += 1
                slots[slot] = words
                break
            if hashes[word] == hashed and offsets[word + 1] - offsets[word] == size:
                begin, same = offsets[word], 0
                while same < size and stored[begin + same] == data[start + same]:
                    same += 1
                if same == size:
                    counts[word] += 1
                    break
            slot = (slot + 1) & mask
    return bounds.shape[1], words


@numba.njit(nogil=True, cache=True)
def _place(hashes: np.ndarray, slots: np.ndarray) -> None:
    """Put words into an empty table of slots."""
    mask = len(slots) - 1
    for word in range(len(hashes)):
        slot = np.int64(hashes[word]) & mask
        while slots[slot]:
            slot = (slot + 1) & mask
        slots[slot] = word + 1
