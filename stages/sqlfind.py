"""Where SQL stands in a text: kernels that tell the texts without SQL quickly, and find the pieces in the others.

A text is SQL as a whole, or holds it in Markdown's fences, in notebooks' cells (%%sql, %sql), in strings of other
code, or in lines between other lines. Outside fences and cells a piece must show that it is SQL, for "select one
from the list" is English.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, njit, types, uint64

from coursepack.stages.characters import (
    ALL_BITS,
    AROUND,
    BYTES,
    INDEX,
    UINT32S,
    UINT64S,
    bits_of,
    chars_of,
    copy_around,
    has_around,
    load_few,
    lowest_bit,
)
from coursepack.stages.sqlsplit import (
    DECLARED,
    ESCAPES,
    FILE,
    LINES,
    LITERAL,
    MARK_SLOTS,
    NAME,
    NOTE,
    QUOTED,
    SAMPLE_SLOTS,
    SIGN,
    SPACE,
    WORD,
    Found,
    InStatement,
    case_of,
    escapes_quotes,
    is_command,
    is_word,
    number_of,
    quote_end,
    token,
    walk,
)
from coursepack.stages.sqlwords import (
    CLAUSE,
    DIALECTS,
    FENCE,
    FENCES,
    HEAD,
    KEYWORD,
    KINDS,
    NUMBER_SHIFT,
    OBJECT,
    PROSE,
    look_up,
    marks,
    words,
)

PLACES = ("file", "markdown", "notebook", "code", "text")
_FILE, _MARKDOWN, _NOTEBOOK, _CODE, _TEXT = range(5)

INT64S = types.Array(types.int64, 1, "C", readonly=True)
EVERYWHERE, ALL_SQL = -1, -2  # a text is looked through; is taken as SQL from end to end

_BLOCK = 64  # bytes looked at together, a bit each
_START_SLOTS = 1 << 10  # of `word_starts`
_STEP, _SLOT_SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(46)
_SQL = np.uint64(int.from_bytes(b"sql", "little"))
_LOWER_CASE = np.uint64(0x20202020)
_ONE, _TWO, _FOUR = (np.uint64(k) for k in (1, 2, 4))
_AHEAD = 400  # bytes that the look past a statement's first word may take
_FROM_AHEAD = 8192  # and how far a SELECT's FROM may be
_PIECE_BYTES = 1 << 16  # longest piece in a string or between lines

# Words a text without SQL has not, with what must follow: `_may_start`.
ANCHORS = """
    select with insert update delete merge copy replace load create alter drop truncate grant revoke comment
    values explain show commit release print pragma prepare install prompt
"""
_DELIMITER, _EXPLAIN, _FROM = (number_of(w) for w in ("delimiter", "explain", "from"))
_ANALYZE, _AS, _COMMENT, _COPY = (number_of(w) for w in ("analyze", "as", "comment", "copy"))
_DATA, _DELETE, _GO, _GRANT = (number_of(w) for w in ("data", "delete", "go", "grant"))
_INSERT, _INTO, _LOAD, _MERGE = (number_of(w) for w in ("insert", "into", "load", "merge"))
_ON, _RECURSIVE, _REPLACE = (number_of(w) for w in ("on", "recursive", "replace"))
_REVOKE, _ROW, _SELECT, _SET = (number_of(w) for w in ("revoke", "row", "select", "set"))
_SHOW, _TO, _TRUNCATE, _UPDATE = (number_of(w) for w in ("show", "to", "truncate", "update"))
_USING, _VALUES, _WITH = (number_of(w) for w in ("using", "values", "with"))


@cache
def word_starts() -> np.ndarray:
    """The first four letters of anchors and of fences' languages, each at its `_slot`; uint32."""
    starts = np.zeros(_START_SLOTS, np.uint32)
    for word in {word[:4] for word in (*ANCHORS.split(), *FENCES.split()) if word != "sql"}:
        four = int.from_bytes(word.encode(), "little")
        slot = int(_slot(uint64(four)))
        assert starts[slot] == 0, "another _STEP is needed"
        starts[slot] = four
    return starts


@njit(uint64(uint64), nogil=True, cache=True)
def _slot(four: Any) -> Any:
    return four * _STEP >> _SLOT_SHIFT & uint64(_START_SLOTS - 1)


@njit(nogil=True, cache=True, forceinline=True)
def _may_begin(data: np.ndarray, i: Any, end: Any, starts: np.ndarray) -> bool:
    """Whether four letters as of an anchor or of a fence's language, or `sql`, stand at byte i."""
    if end - i < 4:
        four = load_few(data, i, end)
    else:
        at = uint64(i)
        four = uint64(data[at]) | uint64(data[at + _ONE]) << uint64(8)
        four |= uint64(data[at + _TWO]) << uint64(16) | uint64(data[at + uint64(3)]) << uint64(24)
    four |= _LOWER_CASE
    return bool(uint64(starts[_slot(four)]) == four or four & uint64(0xFFFFFF) == _SQL)


@njit(nogil=True, cache=True, forceinline=True)
def _mark(data: np.ndarray, i: Any, marks: np.ndarray) -> None:
    """Sets `marks` for the _BLOCK bytes from byte i, of which two stand before and two behind: 1 where a word
    begins (see `_begins_word`), and where ```, ~~~, % or .. follow white space or >."""
    at = uint64(i)
    for k in range(uint64(_BLOCK)):  # no branches: LLVM makes it a few instructions on 64 bytes
        byte, before = data[at + k], data[at + k - _ONE]
        after, second = data[at + k + _ONE], data[at + k + _TWO]
        inside = np.uint8(np.uint8(before | 0x20) - 0x61) < 26
        inside |= (np.uint8(before - 0x30) < 10) | (before == 0x5F) | (before >= 0x80)
        escaped = (before == 0x6E) | (before == 0x74) | (before == 0x72)
        escaped &= data[at + k - _TWO] == 0x5C
        letter = np.uint8(np.uint8(byte | 0x20) - 0x61) < 26
        ticks = ((byte == 0x60) | (byte == 0x7E)) & (byte == after) & (byte == second)
        sign = ticks | (byte == 0x25) | ((byte == 0x2E) & (after == 0x2E))
        sign &= (before <= 0x20) | (before == 0x3E)
        marks[k] = (letter & (escaped | (inside == False))) | sign  # noqa: E712


@njit(nogil=True, cache=True, forceinline=True)
def _marked(data: np.ndarray, i: Any, marks: np.ndarray, border: np.ndarray) -> Any:
    """A bit for each of the _BLOCK bytes from byte i: whether `_mark` marks it; none past the end of `data`."""
    if has_around(data, i):
        _mark(data, i, marks)
    else:
        copy_around(data, i, border)
        _mark(border, AROUND, marks)
    return bits_of(marks, 0, 0)


@njit(nogil=True, cache=True)
def _text_start(data: np.ndarray, start: int, end: int) -> int:
    """The byte after a byte order mark."""
    marked = end - start >= 3 and data[start] == 0xEF and data[start + 1] == 0xBB
    return start + 3 if marked and data[start + 2] == 0xBF else start


@njit(nogil=True, cache=True, forceinline=True)
def _begins_word(data: np.ndarray, i: int, start: int) -> bool:
    """Whether no word goes on at byte i; the n of an escaped newline is none."""
    if i == start or not is_word(data[i - 1]):
        return True
    low = data[i - 1]
    return bool(
        i - 2 >= start and data[i - 2] == 0x5C and (low == 0x6E or low == 0x74 or low == 0x72)
    )


@njit(nogil=True, cache=True)
def _next(data: np.ndarray, i: int, end: int, unclosed: np.ndarray) -> tuple[Any, Any, Any, Any]:
    """Kind, first byte, end and hash of the next token that is no white space or comment; SPACE: there is none."""
    while i < end:
        kind, stop, found = token(data, i, end, ESCAPES | LITERAL, unclosed)
        if kind != SPACE and kind != NOTE:
            return kind, i, stop, found
        i = stop
    return SPACE, end, end, uint64(0)


@njit(nogil=True, cache=True)
def _holds_from(data: np.ndarray, i: int, end: int) -> int:
    """The place of the first word FROM in data[i:end], or `end`."""
    while i + 4 <= end:
        fr = data[i] | 0x20 == 0x66 and data[i + 1] | 0x20 == 0x72
        if fr and data[i + 2] | 0x20 == 0x6F and data[i + 3] | 0x20 == 0x6D:
            return i
        i += 1
    return end


@njit(nogil=True, cache=True)
def _may_start(
    data: np.ndarray,
    word: int,
    stop: int,
    end: int,
    keys: np.ndarray,
    values: np.ndarray,
    froms: np.ndarray,
) -> bool:
    """Whether what follows an anchor that ends at byte `stop` may make a statement of it.

    `froms` keeps the place of a FROM between calls, which go from the left to the right.
    """
    near = min(end, stop + _AHEAD)
    unclosed = np.full(4, near, np.int64)
    kind, i, j, found = _next(data, stop, near, unclosed)
    if kind == SPACE:
        return False
    value = look_up(keys, values, found) if kind == WORD else np.int64(0)
    second = value >> NUMBER_SHIFT
    byte = data[i]
    if value & PROSE:
        return False
    if word == _SELECT:
        if kind != WORD:
            return bool(byte != 0x2C and byte != 0x2E and byte != 0x29 and byte != 0x3D)
        if (j < end and data[j] == 0x28) or byte == 0x40 or second == _AS:
            return True
        if froms[0] < stop:
            froms[0] = _holds_from(data, stop, end)
        return bool(froms[0] < end and froms[0] - stop <= _FROM_AHEAD)
    if word == _INSERT:
        return bool(value & KEYWORD != 0 or kind == NAME)
    if word == _DELETE:
        if second == _FROM:
            return True
        kind, i, j, found = _next(data, j, near, unclosed)
        return bool(kind == WORD and look_up(keys, values, found) >> NUMBER_SHIFT == _FROM)
    if word == _REPLACE:
        return bool(second == _INTO)
    if word == _LOAD:
        return bool(second == _DATA)
    if word == _COMMENT:
        return bool(second == _ON)
    if word == _VALUES:
        return bool(byte == 0x28 or second == _ROW)
    if word == _EXPLAIN:
        return bool(value & HEAD != 0 or byte == 0x28 or second == _ANALYZE)
    if word == _SHOW:
        return bool(value & (KEYWORD | OBJECT) != 0)
    if word == _TRUNCATE:
        return kind in (WORD, NAME)
    if (word == _MERGE and second == _INTO) or (word == _WITH and second == _RECURSIVE):
        return True
    if word == _COPY and (byte == 0x28 or second == _INTO):
        return True
    for place in range(40):
        if value & PROSE or kind == SPACE or byte == 0x3B:
            return False
        if word == _WITH:
            if place == 0 and kind != WORD and kind != NAME:
                return False
            if place == 1:
                return bool(second == _AS or byte == 0x28)
        elif word == _UPDATE:
            if second == _SET and place > 0:
                return True
        elif word == _MERGE:
            if second == _USING:
                return True
        elif word == _COPY:
            if second in (_FROM, _TO):
                return place > 0
        elif word in (_GRANT, _REVOKE):
            if second in (_ON, _TO, _FROM):
                return place > 0
        elif value & OBJECT or place > 12:
            return place <= 12
        kind, i, j, found = _next(data, j, near, unclosed)
        value = look_up(keys, values, found) if kind == WORD else np.int64(0)
        second = value >> NUMBER_SHIFT
        byte = data[i] if i < end else np.uint8(0)
    return False


@njit(nogil=True, cache=True)
def _word_value(
    data: np.ndarray, i: int, end: int, keys: np.ndarray, values: np.ndarray
) -> tuple[Any, Any]:
    """The value of the word at byte i, and its end."""
    _, stop, found = token(data, i, min(end, i + 32), 0, np.zeros(4, np.int64))
    return look_up(keys, values, found), stop


@njit(nogil=True, cache=True)
def _names_fence(data: np.ndarray, i: int, start: int) -> bool:
    """Whether a fence's or a cell's language may stand at byte i."""
    if i == start:
        return False
    before = data[i - 1]
    if before == 0x60 or before == 0x7E or before == 0x25 or before == 0x2E or before == 0x7B:
        return True
    while i - 1 > start and data[i - 1] == 0x20:
        i -= 1
    before = data[i - 1]
    return bool(before == 0x60 or before == 0x7E or before == 0x3A)


@njit(nogil=True, cache=True)
def _holds_sign(
    data: np.ndarray,
    i: int,
    start: int,
    end: int,
    keys: np.ndarray,
    values: np.ndarray,
    froms: np.ndarray,
) -> bool:
    """Whether an anchor that may start a statement, or a fence's language, begins at byte i."""
    if i + 3 > end or not _begins_word(data, i, start):
        return False
    value, stop = _word_value(data, i, end, keys, values)
    if value & HEAD and _may_start(data, value >> NUMBER_SHIFT, stop, end, keys, values, froms):
        return True
    return bool(value & FENCE and _names_fence(data, i, start))


@njit(
    types.void(INDEX, INDEX, BYTES, UINT32S, UINT64S, INT64S, types.boolean[::1]),
    nogil=True,
    cache=True,
)
def _flag(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    beginnings: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    found: np.ndarray,
) -> None:
    froms = np.zeros(1, np.int64)
    marks, border = np.zeros(_BLOCK, np.uint8), np.zeros(_BLOCK + 2 * AROUND, np.uint8)
    for row in range(len(found)):
        start, end = _text_start(data, starts[row], ends[row]), ends[row]
        block = start
        froms[0] = -1
        while block < end and not found[row]:
            left = _marked(data, block, marks, border)
            left |= uint64(block == start)  # what stands before a text is not its own
            if end - block < _BLOCK:
                left &= ~(ALL_BITS << uint64(end - block))
            while left:
                i = block + int(lowest_bit(left))
                left &= left - _ONE
                if _may_begin(data, i, end, beginnings) and _holds_sign(
                    data, i, start, end, keys, values, froms
                ):
                    found[row] = True
                    break
            block += _BLOCK


def may_hold_sql(offsets: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Whether each row (from its offset to its end) may hold SQL; bool. A row that is not flagged holds none."""
    found = np.zeros(len(ends), np.bool_)
    _flag(offsets[: len(ends)], ends, data, word_starts(), *words()[:2], found)
    return found


@njit(types.void(INDEX, INDEX, BYTES, types.int64[::1]), nogil=True, cache=True)
def _count_chars(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, chars: np.ndarray) -> None:
    for row in range(len(chars)):
        chars[row] = chars_of(data, starts[row], ends[row])


def count_chars(starts: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Code points of each text data[starts[i]:ends[i]], int64."""
    chars = np.empty(len(starts), np.int64)
    _count_chars(starts, ends, data, chars)
    return chars


@njit(nogil=True, cache=True)
def _literal_end(data: np.ndarray, i: int, end: int) -> int:
    """The end of the text in the string whose quote stands at byte i, or -1; pieces put together in the
    code ("a" + "b", "a" "b", 'a' . 'b') belong to it."""
    quote = data[i]
    most = min(end, i + _PIECE_BYTES)
    if i >= 2 and data[i - 1] == quote and data[i - 2] == quote:
        j = i + 1
        while j + 2 < most:
            if data[j] == 0x5C:
                j += 1
            elif data[j] == quote and data[j + 1] == quote and data[j + 2] == quote:
                return j
            j += 1
        return -1
    while True:
        close = quote_end(data, i, most, quote != 0x60)
        if close < 0:
            return -1
        j, joined = close, False
        while j < most and (data[j] <= 0x20 or data[j] == 0x5C or data[j] == 0x5F):
            j += 1
        if j < most and (data[j] == 0x2B or data[j] == 0x2E or data[j] == 0x26):
            joined = True
            j += 1
            while j < most and (data[j] <= 0x20 or data[j] == 0x5C or data[j] == 0x5F):
                j += 1
        if j + 1 < most and data[j + 1] == quote and is_word(data[j]) and not joined:
            j += 1  # f"..."
        if j >= most or data[j] != quote or quote == 0x60:
            return close - 1
        i = j


@njit(nogil=True, cache=True)
def _lines_end(
    data: np.ndarray, i: Any, end: int, flags: int, keys: np.ndarray, values: np.ndarray
) -> Any:
    """The end of the statement at byte i that stands between lines of other text: its semicolon, a blank
    line, or a line that goes on with nothing of it."""
    end = min(end, i + _PIECE_BYTES)
    unclosed = np.full(4, end, np.int64)
    head_case, depth, loose = 0, 0, True
    last = i  # the end of the last token
    while i < end:
        kind, stop, found = token(data, i, end, flags, unclosed)
        if kind == SPACE:
            newlines = 0
            for k in range(i, stop):
                newlines += data[k] == 0x0A
            if newlines > 1 and depth == 0:
                return last
            i = stop
            if newlines == 0 or i >= end:
                continue
            if data[i] == 0x60 and i + 2 < end and data[i + 1] == 0x60 and data[i + 2] == 0x60:
                return last
            indented = data[i - 1] != 0x0A
            kind, stop, found = token(data, i, end, flags, unclosed)
            value = look_up(keys, values, found) if kind == WORD else np.int64(0)
            goes_on = depth > 0 or loose or indented or kind == NOTE
            if kind == WORD:
                clause = value & (CLAUSE | HEAD) != 0 and case_of(data, i, stop) == head_case
                goes_on |= clause
            elif kind == SIGN:
                goes_on |= data[i] in (0x28, 0x29, 0x2C, 0x2B, 0x2D, 0x3D, 0x3B)
            if not goes_on:
                return last
            continue
        if kind == SIGN and data[i] == 0x3B:
            return stop
        if kind != NOTE:
            value = look_up(keys, values, found) if kind == WORD else np.int64(0)
            if head_case == 0:
                head_case = case_of(data, i, stop)
            loose = value & KEYWORD != 0
            if kind == SIGN:
                loose = data[i] != 0x29
                depth += data[i] == 0x28
                depth -= data[i] == 0x29 and depth > 0
            last = stop
        i = stop
    return last


@njit(nogil=True, cache=True)
def _before(data: np.ndarray, i: int, start: int) -> int:
    """The place of the last byte before i that is no white space, or start - 1; an escaped newline is some."""
    i -= 1
    least = max(start, i - _AHEAD)
    while i >= least:
        byte = data[i]
        if byte > 0x20:
            escaped = byte == 0x6E or byte == 0x74 or byte == 0x72
            if not (escaped and i - 1 >= least and data[i - 1] == 0x5C):
                return i
            i -= 1
        i -= 1
    return i


@njit(nogil=True, cache=True)
def _fence(data: np.ndarray, i: int, end: int) -> int:
    """How many ` or ~ stand at byte i, or 0 if fewer than three."""
    j = i
    while j < end and data[j] == data[i] and (data[i] == 0x60 or data[i] == 0x7E):
        j += 1
    return j - i if j - i >= 3 else 0


@njit(nogil=True, cache=True)
def _line(data: np.ndarray, i: int, end: int) -> int:
    while i < end and data[i] != 0x0A:
        i += 1
    return i


@njit(nogil=True, cache=True)
def _fence_end(data: np.ndarray, i: int, end: int, sign: int, width: int) -> int:
    """The start of the line that closes a fence, or `end`; i is a line's start."""
    while i < end:
        j = i
        while j < end and (data[j] == 0x20 or data[j] == 0x09 or data[j] == 0x3E):
            j += 1
        if j < end and data[j] == sign and _fence(data, j, end) >= width:
            return i
        i = _line(data, i, end) + 1
    return end


@njit(nogil=True, cache=True)
def _cell_end(data: np.ndarray, i: int, end: int) -> int:
    """The start of the line that begins another cell or fence, or `end`; i is a line's start."""
    while i < end:
        if i + 2 < end:
            a, b, c = data[i], data[i + 1], data[i + 2]
            magic = (a == 0x25 and b == 0x25) or (a == 0x23 and b == 0x20 and c == 0x25)
            inputs = ((a == 0x23 and b == 0x20) or (a == 0x49 and b == 0x6E)) and c == 0x49
            if magic or inputs or (a == 0x60 and b == 0x60 and c == 0x60):
                return i
        i = _line(data, i, end) + 1
    return end


@njit(nogil=True, cache=True)
def _block_end(data: np.ndarray, i: int, end: int) -> int:
    """The start of the first line that is neither blank nor indented, or `end`; i is a line's start."""
    while i < end and (data[i] <= 0x20):
        i = _line(data, i, end) + 1
    return min(i, end)


@njit(nogil=True, cache=True)
def _read(
    data: np.ndarray,
    start: int,
    end: int,
    flags: int,
    where: int,
    place: int,
    keys: np.ndarray,
    values: np.ndarray,
    mark_keys: np.ndarray,
    mark_values: np.ndarray,
    found: np.ndarray,
    state: np.ndarray,
    samples: np.ndarray,
    hits: np.ndarray,
    seen: np.ndarray,
    places: np.ndarray,
    spans: np.ndarray,
) -> bool:
    """Adds a piece to `found[0]` if it holds a statement that is SQL by itself, or is declared to be SQL."""
    row = found[0]
    found[1] = found[0]
    walk(
        data, start, end, flags, where, keys, values, mark_keys, mark_values,
        row, state[0], samples, hits, seen, spans,
    )  # fmt: skip
    if where != DECLARED and row.strong == found[1].strong:
        found[0] = found[1]
        return False
    places[place] += row.chars - found[1].chars
    return True


@njit(nogil=True, cache=True)
def _whole(
    data: np.ndarray,
    start: int,
    end: int,
    flags: int,
    keys: np.ndarray,
    values: np.ndarray,
) -> bool:
    """Whether the text begins as SQL does, after comments, templates and clients' commands."""
    unclosed = np.full(4, end, np.int64)
    i = start
    while i < end:
        kind, stop, found = token(data, i, end, flags, unclosed)
        if kind == WORD:
            value = look_up(keys, values, found)
            word = value >> NUMBER_SHIFT
            return bool(value & HEAD != 0 or word in (_DELIMITER, _GO))
        template = kind == NAME and found == 0
        if is_command(data, i, end):
            stop = _line(data, i, end)
        elif not (template or kind in (SPACE, NOTE) or data[i] == 40):
            return False
        i = stop
    return False


@njit(nogil=True, cache=True)
def _opens(sign: Any, before: Any, case: int) -> bool:
    """Whether a statement in the middle of a line may follow the sign, with `before` right before it; after the sign of
    a comment or an item it begins with capitals."""
    if sign in (0x3A, 0x3E, 0x7C, 0x3D, 0x28):  # : > | = (
        return bool(before == sign or before == 0x20 or before == 0x09)
    return bool(sign in (0x23, 0x2A, 0x2D, 0x2F, 0x24, 0x25) and case == 3 and before <= 0x20)


@njit(nogil=True, cache=True)
def _look(
    data: np.ndarray,
    start: int,
    end: int,
    within: int,
    beginnings: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    mark_keys: np.ndarray,
    mark_values: np.ndarray,
    found: np.ndarray,
    state: np.ndarray,
    samples: np.ndarray,
    hits: np.ndarray,
    seen: np.ndarray,
    places: np.ndarray,
    spans: np.ndarray,
) -> None:
    """Finds and adds the pieces of one text; `within` is the place that all of them have, or -1."""
    flags = ESCAPES if escapes_quotes(data, start, end) else 0
    file = _FILE if within < 0 else within
    if within == ALL_SQL:
        _read(
            data, start, end, flags, DECLARED, file, keys, values, mark_keys, mark_values,
            found, state, samples, hits, seen, places, spans,
        )  # fmt: skip
        return
    if _whole(data, start, end, flags, keys, values):
        whole = _read(
            data, start, end, flags, FILE, file, keys, values, mark_keys, mark_values,
            found, state, samples, hits, seen, places, spans,
        )  # fmt: skip
        if whole and 2 * found[0].chars >= chars_of(data, start, end):
            return
        found[0] = found[2]
        seen[:] = 0
        places[:] = 0
    froms = np.full(1, -1, np.int64)
    fence, fence_sign, markdown = 0, 0, False
    least = start  # a line that begins before this byte has been looked at
    marks, border = np.zeros(_BLOCK, np.uint8), np.zeros(_BLOCK + 2 * AROUND, np.uint8)
    block, left = start - _BLOCK, uint64(0)
    i = start
    while i < end:
        if i >= block + _BLOCK:
            block, left = i, _marked(data, i, marks, border)
            left |= uint64(i == start)  # what stands before a text is not its own
        held = left >> uint64(i - block)
        if held == 0:
            i = block + _BLOCK
            continue
        i += int(lowest_bit(held))
        if i >= end:
            return
        if not 0x61 <= data[i] | 0x20 <= 0x7A:
            j = i
            line_start = i
            while line_start > start and data[line_start - 1] in (0x20, 0x09, 0x3E):
                line_start -= 1
            if line_start < least or (line_start > start and data[line_start - 1] != 0x0A):
                i += 1
                continue
            width = _fence(data, j, end)
            piece, stop, place = -1, -1, _MARKDOWN
            if width and fence == 0:
                info = j + width
                while info < end and data[info] in (0x20, 0x7B, 0x2E):
                    info += 1
                line = _line(data, j, end)
                value, _ = _word_value(data, info, line, keys, values) if info < line else (0, 0)
                if value & FENCE:
                    piece = min(line + 1, end)
                    stop = _fence_end(data, piece, end, data[j], width)
                    fence = -1
                else:
                    fence, fence_sign, markdown = width, int(data[j]), True
                    i = line
                    least = i + 1
                    continue
            elif width >= fence > 0 and data[j] == fence_sign:
                fence = 0
                i = _line(data, j, end)
                least = i + 1
                continue
            elif data[j] == 0x25:
                k = j + 1 + (j + 1 < end and data[j + 1] == 0x25)
                value, after = _word_value(data, k, end, keys, values) if k < end else (0, 0)
                if value & FENCE:
                    line = _line(data, j, end)
                    place = _NOTEBOOK
                    piece, stop = after, line
                    if k == j + 2:
                        piece = min(line + 1, end)
                        stop = _cell_end(data, piece, end)
            elif data[j] == 0x2E and j + 1 < end and data[j + 1] == 0x2E:
                line = _line(data, j, end)
                k = j + 2
                while k + 1 < line and not (data[k] == 0x3A and data[k + 1] == 0x3A):
                    k += 1
                k += 2
                while k < line and data[k] == 0x20:
                    k += 1
                value, _ = _word_value(data, k, line, keys, values) if k < line else (0, 0)
                if value & FENCE:
                    piece = min(line + 1, end)
                    stop = _block_end(data, piece, end)
            if piece >= 0:
                if within >= 0:
                    place = within
                _read(
                    data, piece, stop, flags, DECLARED, place, keys, values, mark_keys, mark_values,
                    found, state, samples, hits, seen, places, spans,
                )  # fmt: skip
                i = stop
                if fence < 0:
                    i = _line(data, stop, end)
                    fence = 0
                least = i if data[i - 1] == 0x0A else i + 1
            else:
                i += 1
            continue
        if (
            not _may_begin(data, i, end, beginnings)
            or i + 3 > end
            or not _begins_word(data, i, start)
        ):
            i += 1
            continue
        value, stop = _word_value(data, i, end, keys, values)
        anchor = value & HEAD != 0
        word = value >> NUMBER_SHIFT
        if not anchor or not _may_start(data, word, stop, end, keys, values, froms):
            i += 1
            continue
        quote = _before(data, i, start)
        sign = data[quote] if quote >= start else np.uint8(0x0A)
        line_start = i
        while line_start > start and (data[line_start - 1] == 0x20 or data[line_start - 1] == 0x09):
            line_start -= 1
        at_line = line_start == start or data[line_start - 1] == 0x0A
        place = _MARKDOWN if fence > 0 else _TEXT
        where, stop_word, stop = LINES, stop, -1
        if sign == 0x22 or sign == 0x27 or sign == 0x60:
            stop = _literal_end(data, quote, end)
            if sign == 0x60 and quote >= 2 and data[quote - 1] == 0x60 and data[quote - 2] == 0x60:
                stop = -1
            elif stop >= i:
                where = QUOTED
                inline = sign == 0x60 and markdown
                place = _MARKDOWN if fence > 0 or inline else _CODE
        if where == LINES:
            if not at_line and not _opens(sign, data[i - 1], case_of(data, i, stop_word)):
                i += 1
                continue
            stop = _lines_end(data, i, end, flags, keys, values)
        if within >= 0:
            place = within
        reads = flags if where == LINES else flags | ESCAPES | LITERAL
        taken = _read(
            data, i, stop, reads, where, place, keys, values, mark_keys, mark_values,
            found, state, samples, hits, seen, places, spans,
        )  # fmt: skip
        i += 1
        if taken and stop >= i:
            i = stop
            least = i + 1


@njit(
    types.void(
        types.int64[::1],
        types.int64[::1],
        BYTES,
        INT64S,
        UINT32S,
        UINT64S,
        INT64S,
        UINT64S,
        INT64S,
        types.Array(types.int64, 2, "C", readonly=True),
        from_dtype(Found)[::1],
        from_dtype(InStatement)[::1],
        types.int64[:, ::1],
        types.int64[:, ::1],
        types.int64[:, :, ::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _find(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    within: np.ndarray,
    beginnings: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    mark_keys: np.ndarray,
    mark_values: np.ndarray,
    weights: np.ndarray,
    totals: np.ndarray,
    state: np.ndarray,
    places: np.ndarray,
    scores: np.ndarray,
    samples: np.ndarray,
    spans: np.ndarray,
) -> None:
    hits = np.zeros(MARK_SLOTS, np.int64)
    seen = np.zeros(len(weights), np.uint8)
    found = np.zeros_like(totals[:1].repeat(3))
    for row in range(len(starts)):
        start = _text_start(data, starts[row], ends[row])
        found[0] = found[2]
        seen[:] = 0
        _look(
            data, start, ends[row], within[row], beginnings, keys, values, mark_keys, mark_values,
            found, state, samples[row], hits, seen, places[row], spans,
        )  # fmt: skip
        totals[row] = found[0]
        for mark in range(len(seen)):
            if seen[mark]:
                for dialect in range(weights.shape[1]):
                    scores[row, dialect] += weights[mark, dialect]


class Sql(NamedTuple):
    """What `find_sql` finds, a row a text."""

    totals: np.ndarray  # of dtype Found
    places: np.ndarray  # int64 (rows, PLACES): code points of SQL by where they stand
    scores: np.ndarray  # int64 (rows, DIALECTS): weight of the marks of each dialect
    samples: np.ndarray  # int64 (rows, SAMPLE_SLOTS, 2): bytes [start, end) of statements


class Statement(NamedTuple):
    """A statement: its first byte, the byte after its last one, and its kind (of KINDS)."""

    start: int
    end: int
    kind: str


def split_statements(sql: bytes) -> list[Statement]:
    """The statements of a text that is SQL, in order, without terminators, comments before them, and clients'
    commands. What begins with no statement's first word is left out."""
    spans = np.zeros((len(sql) // 2 + 1, 3), np.int64)
    bounds, data = np.array([0, len(sql)]), np.frombuffer(sql, np.uint8)
    found = find_sql(bounds[:1], bounds[1:], data, np.array([ALL_SQL]), spans)
    count = int(found.totals["statements"][0])
    return [Statement(start, end, KINDS[kind]) for start, end, kind in spans[:count].tolist()]


def find_sql(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    within: np.ndarray,
    spans: np.ndarray | None = None,
) -> Sql:
    """The SQL in the texts data[starts[i]:ends[i]]. `within` is the place of all of a text's SQL (an index of
    PLACES), or EVERYWHERE or ALL_SQL; `spans` takes rows (start, end, kind) of the last text's first statements."""
    if spans is None:
        spans = np.zeros((0, 3), np.int64)
    rows = len(starts)
    found = Sql(
        np.zeros(rows, Found),
        np.zeros((rows, len(PLACES)), np.int64),
        np.zeros((rows, len(DIALECTS)), np.int64),
        np.zeros((rows, SAMPLE_SLOTS, 2), np.int64),
    )
    state = np.zeros(1, InStatement)
    _find(
        starts, ends, data, within, word_starts(), *words()[:2], *marks(),
        found.totals, state, found.places, found.scores, found.samples, spans,
    )  # fmt: skip
    return found
