"""Comments of source code, by a light lexer that knows families of syntax rather than languages.

bigcode's preprocessing (Kocetkov et al. 2022, arXiv:2211.15533; SantaCoder, arXiv:2301.03988) keeps files whose
comments and docstrings are 1 % to 80 % of their characters, found by Python's own parser and by Pygments. Here a family
has up to two signs of line comments, one pair of brackets of block comments, and its quotes.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.stages.characters import BYTES, INDEX, chars_of, load8, without

PIECE_BYTES = 2048  # of a text without a known extension, read for the cues of a family
NOTICE_BYTES = 1 << 13  # of a comment, searched for a notice
NOTICES = (
    "copyright",
    "all rights reserved",
    "licensed under",
    "permission is hereby granted",
    "spdx-license-identifier",
)


@dataclass(frozen=True)
class Syntax:
    """How a family of languages writes comments and strings, and the extensions of its files."""

    extensions: str
    lines: tuple[str, ...] = ()  # signs of comments that end with the line
    block: tuple[str, str] = ("", "")
    quotes: str = "\"'"  # strings of one line; ` may span lines
    triple: bool = False  # strings in three quotes, comments where a statement may stand
    after_space: bool = False  # a line comment starts a line or follows white space


FAMILIES: dict[str, Syntax] = {
    "data": Syntax("json jsonl csv tsv txt text log rst ipynb lock pdf svgz"),
    "c": Syntax(
        "c h cc cpp cxx c++ hpp hxx hh java js mjs cjs jsx ts tsx go rs cs kt kts swift scala sc dart "
        "m mm proto groovy gradle v sv svh zig d glsl cu cuh hlsl scss less thrift sol vala ino",
        ("//",),
        ("/*", "*/"),
        "\"'`",
    ),
    "python": Syntax("py pyw pyi pyx pxd bzl sage", ("#",), triple=True),
    "hash": Syntax(
        "sh bash zsh fish ksh rb rake gemspec pl pm t perl r jl mk make makefile cmake dockerfi "
        "rakefile gemfile yml yaml toml conf cfg tcl awk ex exs nim cr coffee gd nix tf hcl bats",
        ("#",),
        after_space=True,
    ),
    "sql": Syntax("sql ddl dml psql pgsql plsql pks pkb hql vhd vhdl", ("--",), ("/*", "*/")),
    "lua": Syntax("lua", ("--",), ("--[[", "]]")),
    "haskell": Syntax("hs lhs elm purs agda idr", ("--",), ("{-", "-}"), '"'),
    "tex": Syntax("tex sty cls bib ltx dtx erl hrl pro", ("%",), quotes=""),
    "markup": Syntax(
        "html htm xhtml xml xsl xslt xsd svg vue md markdown rss atom", (), ("<!--", "-->"), ""
    ),
    "lisp": Syntax("lisp lsp cl clj cljs cljc edn scm ss rkt el asm s", (";",), ("#|", "|#"), '"'),
    "css": Syntax("css", (), ("/*", "*/")),
    "php": Syntax("php php3 php4 php5 phtml phpt", ("//", "#"), ("/*", "*/")),
    "ini": Syntax("ini properties", (";", "#"), quotes="", after_space=True),
    "powershell": Syntax("ps1 psm1 psd1", ("#",), ("<#", "#>"), after_space=True),
    "basic": Syntax("vb bas vbs frm", ("'",), quotes='"'),
    "fortran": Syntax("f f77 f90 f95 f03 f08 for fpp", ("!",)),
    "matlab": Syntax("octave mat", ("%", "#"), quotes='"', after_space=True),
    "pascal": Syntax("pas dpr pp", ("//",), ("{", "}"), "'"),
    "ml": Syntax("ml mli fs fsi fsx sml", ("//",), ("(*", "*)"), '"'),
}
NO_FAMILY = len(FAMILIES)  # nothing tells, or what tells is not known
_NAMES = tuple(FAMILIES)
_C, _PYTHON, _SQL = _NAMES.index("c"), _NAMES.index("python"), _NAMES.index("sql")
_TEX, _MARKUP, _DATA = _NAMES.index("tex"), _NAMES.index("markup"), _NAMES.index("data")

# A family as a row of bytes: the first line sign, the second, the block's start and end, and flags.
_LINE, _LINE2, _OPEN, _CLOSE, _TRIPLE, _SPACED, _WIDTH = 0, 4, 8, 12, 16, 17, 18
_MARKER = 4
# What a byte may start.
_COMMENT, _QUOTE, _BACKQUOTE = 1, 2, 4

_CUES = (
    (_SQL, "SELECT INSERT CREATE DROP ALTER UPDATE DELETE FROM WHERE JOIN"),
    (_PYTHON, "def import from self return raise assert"),
)


def path_families(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """The family of each path, by its extension, or its name if it has none; NO_FAMILY where neither is
    known. uint8."""
    found = np.empty(len(offsets) - 1, np.uint8)
    _by_extension(offsets, data, *_extensions(), found)
    return found


def guess_families(offsets: np.ndarray, data: np.ndarray, families: np.ndarray) -> None:
    """Fills in the NO_FAMILYs of `families` by PIECE_BYTES from the middle of the text, where a third of their
    lines and at least two look like C's, Python's, SQL's, TeX's or markup's."""
    _guess(offsets, data, *_cues(), families)


def count_comments(
    offsets: np.ndarray, data: np.ndarray, families: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Code points in the comments of each text, with their signs; and lines up to the end of the notice
    of copyright or licence in the comments before the code, 0 if there is none. Int64.

    A docstring is a string in three quotes that starts a line and continues no expression. Strings end on
    their line, or were none. Texts of the family `data`, or of none, have no comments.
    """
    found = np.zeros((len(families), 2), np.int64)
    _count(offsets, data, families, *_syntaxes(), _notices(), found)
    return found[:, 0], found[:, 1]


def _packed(word: str) -> int:
    """The first eight bytes of a word, the first byte lowest."""
    return int.from_bytes(word.encode()[:8], "little")


@cache
def _extensions() -> tuple[np.ndarray, np.ndarray]:
    """Packed extensions in order, and their families."""
    pairs = sorted(
        (_packed(extension), family)
        for family, syntax in enumerate(FAMILIES.values())
        for extension in syntax.extensions.split()
    )
    return np.array([key for key, _ in pairs]), np.array([f for _, f in pairs], np.uint8)


@cache
def _cues() -> tuple[np.ndarray, np.ndarray]:
    """Packed words that start lines, and the families that they tell."""
    pairs = [(_packed(word), family) for family, words in _CUES for word in words.split()]
    return np.array([key for key, _ in pairs]), np.array([f for _, f in pairs], np.uint8)


@cache
def _syntaxes() -> tuple[np.ndarray, np.ndarray]:
    """Families as rows of bytes, and what each byte may start in each of them."""
    rows = np.zeros((len(FAMILIES), _WIDTH), np.uint8)
    starts = np.zeros((len(FAMILIES), 256), np.uint8)
    for row, start, syntax in zip(rows, starts, FAMILIES.values(), strict=True):
        markers = (*(*syntax.lines, "", "")[:2], *syntax.block)
        for place, marker in zip((_LINE, _LINE2, _OPEN, _CLOSE), markers, strict=True):
            row[place : place + len(marker)] = np.frombuffer(marker.encode(), np.uint8)
            if marker and place != _CLOSE:
                start[ord(marker[0])] |= _COMMENT
        for quote in syntax.quotes:
            start[ord(quote)] |= _BACKQUOTE if quote == "`" else _QUOTE
        row[_TRIPLE], row[_SPACED] = syntax.triple, syntax.after_space
    return rows, starts


@cache
def _notices() -> np.ndarray:
    rows = np.zeros((len(NOTICES), 32), np.uint8)
    for row, notice in zip(rows, NOTICES, strict=True):
        row[: len(notice)] = np.frombuffer(notice.encode(), np.uint8)
    return rows


@njit(
    types.void(INDEX, BYTES, INDEX, BYTES, types.uint8[::1]),
    nogil=True,
    cache=True,
)
def _by_extension(
    offsets: np.ndarray,
    data: np.ndarray,
    extensions: np.ndarray,
    families: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        start, end = offsets[row], offsets[row + 1]
        name = start
        dot: Any = np.int64(-1)
        for i in range(start, end):
            if data[i] == 0x2F or data[i] == 0x5C:
                name, dot = i + 1, np.int64(-1)
            elif data[i] == 0x2E:
                dot = i
        first = dot + 1 if dot >= 0 else name
        packed = np.int64(0)
        # A name is read in part, an extension whole.
        if dot < 0 or end - first <= 8:
            for i in range(first, min(end, first + 8)):
                byte = np.int64(data[i])
                if 0x41 <= byte <= 0x5A:
                    byte += 0x20
                packed |= byte << (8 * (i - first))
        slot = np.searchsorted(extensions, packed)
        known = slot < len(extensions) and extensions[slot] == packed
        found[row] = families[slot] if known else NO_FAMILY


@njit(nogil=True, cache=True)
def _line_end(data: np.ndarray, i: int, end: int) -> Any:
    while i + 8 <= end and without(load8(data, i), uint64(0x0A0A0A0A0A0A0A0A)):
        i += 8
    while i < end and data[i] != 0x0A:
        i += 1
    return i


@njit(
    types.void(INDEX, BYTES, INDEX, BYTES, types.uint8[::1]),
    nogil=True,
    cache=True,
)
def _guess(
    offsets: np.ndarray,
    data: np.ndarray,
    words: np.ndarray,
    of_words: np.ndarray,
    families: np.ndarray,
) -> None:
    scores = np.zeros(NO_FAMILY, np.int64)
    for row in range(len(families)):
        start, end = offsets[row], offsets[row + 1]
        if families[row] != NO_FAMILY or start == end or data[start] == 0x7B or data[start] == 0x5B:
            continue  # known, or JSON, whose lines end like C's
        if end - start > PIECE_BYTES:
            # From the middle, for files start with notices and prose; from a line's start on.
            start = _line_end(data, start + (end - start - PIECE_BYTES) // 2, end)
            end = min(end, start + PIECE_BYTES)
        lines, braces = 0, False
        i = start
        while i < end:
            while i < end and data[i] <= 0x20:
                i += 1
            first = i
            i = _line_end(data, i, end)
            if first == i:
                break
            last = i - 1
            while last > first and data[last] <= 0x20:
                last -= 1
            lines += 1
            a, z = data[first], data[last]
            b = data[first + 1] if first < last else np.uint8(0)
            letter = 0x61 <= b | 0x20 <= 0x7A
            brace = (z == 0x7B or z == 0x7D) and a != 0x5C  # TeX too ends lines in one
            braces |= brace
            scores[_C] += (
                brace
                or z == 0x3B
                or (a == 0x2F and (b == 0x2F or b == 0x2A))
                or (a == 0x2A and (b == 0x20 or b == 0x2F))
            )
            scores[_SQL] += a == 0x2D and b == 0x2D
            scores[_TEX] += (a == 0x5C and letter) or a == 0x25
            scores[_MARKUP] += a == 0x3C and (letter or b == 0x2F or b == 0x21)
            block_starts = z == 0x3A and 0x61 <= a <= 0x7A
            scores[_PYTHON] += (a == 0x40 and letter) or (a == 0x23 and b == 0x21) or block_starts
            packed, k = np.int64(0), first
            while k <= last and k < first + 8 and 0x61 <= data[k] | 0x20 <= 0x7A:
                packed |= np.int64(data[k]) << (8 * (k - first))
                k += 1
            for k in range(len(words)):
                scores[of_words[k]] += words[k] == packed
        scores[_C] *= braces  # lists in prose end in semicolons too
        best = scores.argmax()
        if scores[best] >= 2 and 3 * scores[best] >= lines:
            families[row] = best
        scores[:] = 0


@njit(nogil=True, cache=True)
def _is_at(data: np.ndarray, i: int, end: int, row: np.ndarray, place: int) -> Any:
    """The length of the marker at `place` of a family's row, if it stands at `i` and is any; else 0."""
    k = 0
    while k < _MARKER and row[place + k] != 0:
        if i + k >= end or data[i + k] != row[place + k]:
            return 0
        k += 1
    return k


@njit(nogil=True, cache=True)
def _comment_end(data: np.ndarray, start: int, i: int, end: int, row: np.ndarray) -> Any:
    """The byte after the comment that starts at `i`, or `i` if none does."""
    width = _is_at(data, i, end, row, _OPEN)
    if width > 0:
        k = i + width
        while k < end:
            closing = _is_at(data, k, end, row, _CLOSE)
            if closing > 0:
                return k + closing
            k += 1
        return end
    if _is_at(data, i, end, row, _LINE) == 0 and _is_at(data, i, end, row, _LINE2) == 0:
        return i
    if i > start:
        before = data[i - 1]
        if row[_SPACED] and before > 0x20:
            return i
        if data[i] == 0x25 and before == 0x5C:  # \% is a per cent sign of TeX
            return i
    return _line_end(data, i, end)


@njit(nogil=True, cache=True)
def _string_end(data: np.ndarray, i: int, end: int, width: int, over_lines: bool) -> Any:
    """The byte after the string whose quotes, `width` times the byte at `i`, start there; -1 if it does not
    end, or not on its line."""
    quote = data[i]
    k = i + width
    while k < end:
        byte = data[k]
        if byte == 0x5C:
            k += 1
            if k < end and data[k] == 0x0A and not over_lines:
                return -1
        elif byte == 0x0A and not over_lines:
            return -1
        elif byte == quote:
            same = 1
            while same < width and k + same < end and data[k + same] == quote:
                same += 1
            if same == width:
                return k + width
        k += 1
    return -1


@njit(nogil=True, cache=True)
def _is_statement(data: np.ndarray, start: int, i: int) -> bool:
    """Whether the string at `i`, with its prefix, starts a line and continues no expression."""
    k = i - 1
    while k >= start and k >= i - 2 and 0x61 <= data[k] | 0x20 <= 0x7A:
        k -= 1
    while k >= start and (data[k] == 0x20 or data[k] == 0x09):
        k -= 1
    if k >= start and data[k] != 0x0A:
        return False
    while k >= start and data[k] <= 0x20:
        k -= 1
    if k < start:
        return True
    # ( [ { , = + % \
    before = data[k]
    opens = before == 0x28 or before == 0x5B or before == 0x7B or before == 0x2C
    return not (opens or before == 0x3D or before == 0x2B or before == 0x25 or before == 0x5C)


@njit(nogil=True, cache=True)
def _is_triple(data: np.ndarray, i: int, end: int) -> bool:
    return bool(i + 2 < end and data[i + 1] == data[i] and data[i + 2] == data[i])


@njit(nogil=True, cache=True)
def _newlines(data: np.ndarray, start: int, end: int) -> Any:
    count = np.int64(0)
    for i in range(start, end):
        count += data[i] == 0x0A
    return count


@njit(nogil=True, cache=True)
def _has_notice(data: np.ndarray, start: Any, end: Any, notices: np.ndarray) -> bool:
    end = min(end, start + NOTICE_BYTES)
    for i in range(start, end):
        byte = data[i] | 0x20
        for notice in notices:
            if notice[0] != byte:
                continue
            k = 0
            while notice[k] != 0 and i + k < end and data[i + k] | 0x20 == notice[k] | 0x20:
                k += 1
            if notice[k] == 0:
                return True
    return False


@njit(nogil=True, cache=True)
def _prolog_end(data: np.ndarray, i: int, end: int) -> Any:
    """The byte after what may stand before the first comment: a byte order mark, `<?php`, `<?xml ... ?>`
    and `<!doctype ...>`."""
    if i + 2 < end and data[i] == 0xEF and data[i + 1] == 0xBB and data[i + 2] == 0xBF:
        i += 3
    if i + 4 < end and data[i] == 0x3C and data[i + 1] == 0x3F:
        if data[i + 2] | 0x20 == 0x70:
            return i + 5
        k = _line_end(data, i, end)
        return k if data[k - 1] == 0x3E else i
    if i + 2 < end and data[i] == 0x3C and data[i + 1] == 0x21 and data[i + 2] | 0x20 == 0x64:
        k = _line_end(data, i, end)
        return k if data[k - 1] == 0x3E else i
    return i


@njit(
    types.void(
        INDEX,
        BYTES,
        BYTES,
        types.uint8[:, ::1],
        types.uint8[:, ::1],
        types.uint8[:, ::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _count(
    offsets: np.ndarray,
    data: np.ndarray,
    families: np.ndarray,
    rows: np.ndarray,
    starts: np.ndarray,
    notices: np.ndarray,
    found: np.ndarray,
) -> None:
    for text in range(len(found)):
        family = families[text]
        if family in (NO_FAMILY, _DATA):
            continue
        row, kinds = rows[family], starts[family]
        start, end = offsets[text], offsets[text + 1]
        chars = np.int64(0)
        in_header, notice_end, last_end = True, start, start  # of the last comment that belongs
        goes_on = False  # a notice, into the next line comment
        unclosed = 0  # bits: quotes of strings over lines of which one did not end, so none will
        i = _prolog_end(data, start, end)
        while i < end:
            if in_header:
                while i < end and data[i] <= 0x20:
                    i += 1
            else:
                while i < end and kinds[data[i]] == 0:
                    i += 1
            if i >= end:
                break
            kind = kinds[data[i]]
            after = np.int64(i)
            if kind & _COMMENT:
                after = _comment_end(data, start, i, end, row)
            comment = after > i
            if not comment and kind & (_QUOTE | _BACKQUOTE):
                triple = row[_TRIPLE] and _is_triple(data, i, end)
                over_lines = triple or kind & _BACKQUOTE
                quote = 1 if data[i] == 0x22 else 2
                after = np.int64(-1)
                if not (over_lines and unclosed & quote):
                    after = _string_end(data, i, end, 3 if triple else 1, over_lines)
                    if over_lines and after < 0:
                        unclosed |= quote
                comment = triple and after > i and _is_statement(data, start, i)
            if comment:
                chars += chars_of(data, i, after)
                if in_header:
                    next_line = i > start and _newlines(data, last_end, i) == 1
                    if _has_notice(data, i, after, notices):
                        goes_on, notice_end = True, after
                    elif goes_on and next_line:
                        notice_end = after
                    else:
                        goes_on = False
                    last_end = after
            else:
                in_header = False
            i = max(i + 1, after)
        found[text, 0] = chars
        if notice_end > start:
            found[text, 1] = _newlines(data, start, notice_end) + 1
