"""Where SQL stands in a text: kernels that tell the texts without SQL quickly, and find the pieces in the others.

A text is SQL as a whole, or holds it in Markdown's fences, in notebooks' cells (%%sql, %sql), in strings of other
code, or in lines between other lines. Outside fences and cells a piece must show that it is SQL, for "select one
from the list" is English.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, njit, types, uint64

from coursepack.stages.characters import BYTES, INDEX, UINT64S
from coursepack.stages.kernels import byte_table, inside
from coursepack.stages.sqlsplit import (
    DECLARED,
    ESCAPES,
    FILE,
    LINES,
    LITERAL,
    MARK_SLOTS,
    NAME,
    NO_FLAGS,
    NOTE,
    QUOTED,
    SAMPLE_SLOTS,
    SIGN,
    SPACE,
    WORD,
    Found,
    InStatement,
    case_of,
    chars_of,
    escapes_quotes,
    is_command,
    is_word,
    line_end,
    number_of,
    peek,
    quote_end,
    read_word,
    starts_word,
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
_FILE, _MARKDOWN, _NOTEBOOK, _CODE, _TEXT = (np.int64(place) for place in range(5))

INT64S = types.Array(types.int64, 1, "C", readonly=True)
EVERYWHERE, ALL_SQL = -1, -2  # a text is looked through; is taken as SQL from end to end

# Where `_find` is in a text, and the piece that it has come to.
_Look = np.dtype(
    [
        (name, np.int64)
        for name in (
            "i",
            "begins",  # a line does at byte i
            "fence",  # signs that closes the fence of other code that byte i is in, 0 of none
            "fence_sign",
            "markdown",  # a fence of other code was met
            "start",
            "stop",
            "flags",
            "where",
            "place",
        )
    ]
)
# Sets of bytes: of escaped white space, what may stand between strings that are put together, ...
_ESCAPED, _BETWEEN_STRINGS = byte_table(b"ntr"), byte_table(bytes(range(0x21)) + b"\\_")
_JOINS, _QUOTES, _FENCE_SIGNS = byte_table(b"+.&"), byte_table(b"\"'`"), byte_table(b"`~")
_INDENT, _QUOTED_INDENT = byte_table(b" \t"), byte_table(b" \t>")
_BEFORE_FENCE, _BEFORE_LANGUAGE = byte_table(b"`~%.{"), byte_table(b" {.")
_GOES_ON = byte_table(b"(),+-=;")
_OPENS, _OPENS_CAPITALS = byte_table(b":>|=("), byte_table(b"#*-/$%")
# What begins another cell or fence, besides %%.
_CELLS = tuple(int.from_bytes(head, "big") for head in (b"# %", b"# I", b"InI", b"```"))
_ONE, _FIVE, _FIVE_BITS = (np.uint64(n) for n in (1, 5, 31))
_AHEAD = 400  # bytes that the look past a statement's first word may take
_FROM_AHEAD = 8192  # and how far a SELECT's FROM may be
_PIECE_BYTES = 1 << 16  # longest piece in a string or between lines

# Words a text without SQL has not, with what must follow: `_may_start`.
_ANCHORS = """
    select with insert update delete merge copy replace load create alter drop truncate grant revoke comment
    values explain show
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
def word_starts() -> tuple[np.ndarray, np.ndarray]:
    """By the low five bits of two letters, whether an anchor or a fence's language starts with them; and by
    those of its second and third letters likewise."""
    first, second = np.zeros(1 << 10, np.uint8), np.zeros(1 << 10, np.uint8)
    for word in (*_ANCHORS.split(), *FENCES.split()):
        a, b, c = (ord(letter) & 31 for letter in word[:3])
        first[a << 5 | b] = second[b << 5 | c] = 1
    return first, second


@inside
def _text_start(data: np.ndarray, start: int, end: int) -> int:
    """The byte after a byte order mark."""
    marked = end - start >= 3 and data[start] == 0xEF and data[start + 1] == 0xBB
    return start + 3 if marked and data[start + 2] == 0xBF else start


@inside
def _begins_word(data: np.ndarray, i: int, start: int) -> bool:
    """Whether no word goes on at byte i; the n of an escaped newline is none."""
    if i == start or not is_word(data[i - 1]):
        return True
    low = data[i - 1]
    return bool(i - 2 >= start and data[i - 2] == 0x5C and _ESCAPED[low])


@inside
def _pair(data: np.ndarray, i: Any) -> Any:
    """The low five bits of the bytes i and i + 1, an index of `word_starts`."""
    at = uint64(i)
    return (uint64(data[at]) & _FIVE_BITS) << _FIVE | uint64(data[at + _ONE]) & _FIVE_BITS


@inside
def _next(data: np.ndarray, i: int, end: int, unclosed: np.ndarray) -> tuple[Any, Any, Any, Any]:
    """Kind, first byte, end and hash of the next token that is no white space or comment; SPACE: there is none."""
    while i < end:
        kind, stop, found = token(data, i, end, ESCAPES | LITERAL, unclosed)
        if kind != SPACE and kind != NOTE:
            return kind, i, stop, found
        i = stop
    return SPACE, end, end, uint64(0)


@inside
def _holds_from(data: np.ndarray, i: int, end: int) -> int:
    """The place of the first word FROM in data[i:end], or `end`."""
    while i + 4 <= end:
        fr = data[i] | 0x20 == 0x66 and data[i + 1] | 0x20 == 0x72
        if fr and data[i + 2] | 0x20 == 0x6F and data[i + 3] | 0x20 == 0x6D:
            return i
        i += 1
    return end


@inside
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


@inside
def _word_value(
    data: np.ndarray, i: int, end: int, keys: np.ndarray, values: np.ndarray
) -> tuple[Any, Any]:
    """The value of the word at byte i, 0 where there is none, and its end."""
    if not starts_word(data[i]):
        return np.int64(0), i
    _, stop, found = read_word(data, i, min(end, i + 32))
    return look_up(keys, values, found), stop


@inside
def _is_fence(data: np.ndarray, i: Any, end: Any, keys: np.ndarray, values: np.ndarray) -> bool:
    """Whether the word at byte i is the language of a fence."""
    if i >= end:
        return False
    value, _ = _word_value(data, i, end, keys, values)
    return bool(value & FENCE)


@inside
def _names_fence(data: np.ndarray, i: int, start: int) -> bool:
    """Whether a fence's or a cell's language may stand at byte i."""
    if i == start:
        return False
    before = data[i - 1]
    if _BEFORE_FENCE[before]:
        return True
    while i - 1 > start and data[i - 1] == 0x20:
        i -= 1
    before = data[i - 1]
    return bool(before == 0x60 or before == 0x7E or before == 0x3A)


@njit(
    types.void(INDEX, INDEX, BYTES, BYTES, BYTES, UINT64S, INT64S, types.boolean[::1]),
    nogil=True,
    cache=True,
)
def _flag(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    found: np.ndarray,
) -> None:
    froms = np.zeros(1, np.int64)
    for row in range(len(found)):
        start, end = _text_start(data, starts[row], ends[row]), ends[row]
        i = start
        froms[0] = -1
        while i + 3 <= end:
            if first[_pair(data, i)] == 0:
                i += 1
                continue
            if (
                second[_pair(data, i + 1)] == 0
                or data[i] < 0x41
                or not _begins_word(data, i, start)
            ):
                i += 1
                continue
            value, stop = _word_value(data, i, end, keys, values)
            if value & HEAD:
                word = value >> NUMBER_SHIFT
                if _may_start(data, word, stop, end, keys, values, froms):
                    found[row] = True
                    break
            if value & FENCE and _names_fence(data, i, start):
                found[row] = True
                break
            i += 1


def may_hold_sql(offsets: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Whether each row (from its offset to its end) may hold SQL; bool. A row that is not flagged holds none."""
    found = np.zeros(len(ends), np.bool_)
    _flag(offsets[: len(ends)], ends, data, *word_starts(), *words()[:2], found)
    return found


@inside
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
        while j < most and _BETWEEN_STRINGS[data[j]]:
            j += 1
        if j < most and _JOINS[data[j]]:
            joined = True
            j += 1
            while j < most and _BETWEEN_STRINGS[data[j]]:
                j += 1
        if j + 1 < most and data[j + 1] == quote and is_word(data[j]) and not joined:
            j += 1  # f"..."
        if j >= most or data[j] != quote or quote == 0x60:
            return close - 1
        i = j


@inside
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
            if data[i] == 0x60 and _fence(data, i, end):
                return last
            indented = data[i - 1] != 0x0A
            kind, stop, found = token(data, i, end, flags, unclosed)
            value = look_up(keys, values, found) if kind == WORD else np.int64(0)
            goes_on = depth > 0 or loose or indented or kind == NOTE
            if kind == WORD:
                clause = value & (CLAUSE | HEAD) != 0 and case_of(data, i, stop) == head_case
                goes_on |= clause
            elif kind == SIGN:
                goes_on |= _GOES_ON[data[i]]
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


@inside
def _before(data: np.ndarray, i: int, start: int) -> int:
    """The place of the last byte before i that is no white space, or start - 1; an escaped newline is some."""
    i -= 1
    least = max(start, i - _AHEAD)
    while i >= least:
        byte = data[i]
        if byte > 0x20:
            if not (_ESCAPED[byte] and i - 1 >= least and data[i - 1] == 0x5C):
                return i
            i -= 1
        i -= 1
    return i


@inside
def _fence(data: np.ndarray, i: int, end: int) -> int:
    """How many ` or ~ stand at byte i, or 0 if fewer than three."""
    j = i
    while j < end and data[j] == data[i] and _FENCE_SIGNS[data[i]]:
        j += 1
    return j - i if j - i >= 3 else 0


@inside
def _fence_end(data: np.ndarray, i: int, end: int, sign: int, width: int) -> int:
    """The start of the line that closes a fence, or `end`; i is a line's start."""
    while i < end:
        j = i
        while j < end and _QUOTED_INDENT[data[j]]:
            j += 1
        if j < end and data[j] == sign and _fence(data, j, end) >= width:
            return i
        i = line_end(data, i, end) + 1
    return end


@inside
def _cell_end(data: np.ndarray, i: int, end: int) -> int:
    """The start of the line that begins another cell or fence, or `end`; i is a line's start."""
    while i < end:
        if i + 2 < end:
            pair = np.int64(data[i]) << 8 | data[i + 1]
            three = pair << 8 | data[i + 2]
            if pair == 0x2525 or three in _CELLS:
                return i
        i = line_end(data, i, end) + 1
    return end


@inside
def _block_end(data: np.ndarray, i: int, end: int) -> int:
    """The start of the first line that is neither blank nor indented, or `end`; i is a line's start."""
    while i < end and (data[i] <= 0x20):
        i = line_end(data, i, end) + 1
    return min(i, end)


@inside
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
            stop = line_end(data, i, end)
        elif not (template or kind in (SPACE, NOTE) or data[i] == 0x28):
            return False
        i = stop
    return False


@inside
def _opens(sign: Any, before: Any, case: int) -> bool:
    """Whether a statement in the middle of a line may follow the sign, with `before` right before it; after the sign of
    a comment or an item it begins with capitals."""
    if _OPENS[sign]:
        return bool(before == sign or before == 0x20 or before == 0x09)
    return bool(_OPENS_CAPITALS[sign] and case == 3 and before <= 0x20)


@inside
def _declared(
    data: np.ndarray, i: Any, end: int, keys: np.ndarray, values: np.ndarray, look: Any
) -> bool:
    """Whether a fence or a cell of SQL begins in the line that does at byte i, after white space; `look` is then at it,
    and otherwise past a line that opens or closes another fence."""
    width = _fence(data, i, end)
    byte, line = data[i], line_end(data, i, end)
    if width and look.fence == 0:
        info = i + width
        while info < end and _BEFORE_LANGUAGE[data[info]]:
            info += 1
        if _is_fence(data, info, line, keys, values):
            look.start, look.place = min(line + 1, end), _MARKDOWN
            look.stop = _fence_end(data, look.start, end, byte, width)
            look.i = line_end(data, look.stop, end)
            return True
        look.fence, look.fence_sign, look.markdown, look.i = width, byte, 1, line
    elif width >= look.fence > 0 and byte == look.fence_sign:
        look.fence, look.i = 0, line
    elif byte == 0x25:
        whole = peek(data, i + 1, end) == 0x25
        k = i + 1 + whole
        if _is_fence(data, k, end, keys, values):
            look.place = _NOTEBOOK
            if whole:
                look.start = min(line + 1, end)
                look.stop = _cell_end(data, look.start, end)
            else:
                _, look.start = _word_value(data, k, end, keys, values)
                look.stop = line
            look.i = look.stop
            look.begins = look.i < end and data[look.i - 1] == 0x0A
            return True
    elif byte == 0x2E and peek(data, i + 1, end) == 0x2E:
        k = i + 2
        while k + 1 < line and not (data[k] == 0x3A and data[k + 1] == 0x3A):
            k += 1
        k += 2
        while k < line and data[k] == 0x20:
            k += 1
        if _is_fence(data, k, line, keys, values):
            look.start, look.place = min(line + 1, end), _MARKDOWN
            look.i = look.stop = _block_end(data, look.start, end)
            look.begins = look.i < end and data[look.i - 1] == 0x0A
            return True
    return False


@inside
def _stands(
    data: np.ndarray,
    start: int,
    end: int,
    flags: int,
    keys: np.ndarray,
    values: np.ndarray,
    look: Any,
    word_stop: int,
) -> bool:
    """Whether the anchor that begins at byte `look.start` stands where a statement may: at the head of a line or a
    string, or after a sign; `look` then has the end of the piece."""
    i = look.start
    quote = _before(data, i, start)
    sign = data[quote] if quote >= start else np.uint8(0x0A)
    line_start = i
    while line_start > start and _INDENT[data[line_start - 1]]:
        line_start -= 1
    at_line = line_start == start or data[line_start - 1] == 0x0A
    look.place = _MARKDOWN if look.fence > 0 else _TEXT
    look.where, look.flags = LINES, flags
    if _QUOTES[sign]:
        stop = _literal_end(data, quote, end)
        fenced = sign == 0x60 and quote >= 2
        if fenced and data[quote - 1] == 0x60 and data[quote - 2] == 0x60:
            stop = -1
        elif stop >= i:
            look.where, look.flags, look.stop = QUOTED, flags | ESCAPES | LITERAL, stop
            inline = sign == 0x60 and look.markdown > 0
            look.place = _MARKDOWN if look.fence > 0 or inline else _CODE
            return True
    if not at_line and not _opens(sign, data[i - 1], case_of(data, i, word_stop)):
        return False
    look.stop = _lines_end(data, i, end, flags, keys, values)
    return True


@inside
def _next_piece(
    data: np.ndarray,
    start: int,
    end: int,
    flags: int,
    first: np.ndarray,
    second: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    froms: np.ndarray,
    look: Any,
) -> bool:
    """Takes `look` to the next piece of data[start:end] that may be SQL; whether there is one."""
    i, begins = look.i, look.begins > 0
    while i < end:
        if begins:
            begins = False
            j = i
            while j < end and _QUOTED_INDENT[data[j]]:
                j += 1
            if j >= end:
                break
            look.i, look.begins, look.where, look.flags = i, 0, DECLARED, flags
            if _declared(data, j, end, keys, values, look):
                return True
            if look.i != i:
                i = look.i
                continue
        if data[i] == 0x0A:
            begins = True
        elif (
            i + 3 <= end
            and first[_pair(data, i)]
            and second[_pair(data, i + 1)]
            and data[i] >= 0x41
            and _begins_word(data, i, start)
        ):
            value, stop = _word_value(data, i, end, keys, values)
            word = value >> NUMBER_SHIFT
            if value & HEAD and _may_start(data, word, stop, end, keys, values, froms):
                look.i, look.begins, look.start = i + 1, 0, i
                if _stands(data, start, end, flags, keys, values, look, stop):
                    return True
        i += 1
    return False


@njit(
    types.void(
        types.int64[::1],
        types.int64[::1],
        BYTES,
        INT64S,
        BYTES,
        BYTES,
        UINT64S,
        INT64S,
        UINT64S,
        INT64S,
        types.Array(types.int64, 2, "C", readonly=True),
        from_dtype(Found)[::1],
        from_dtype(Found)[::1],
        from_dtype(InStatement)[::1],
        from_dtype(_Look)[::1],
        types.int64[::1],
        types.int64[::1],
        types.uint8[::1],
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
    first: np.ndarray,
    second: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    mark_keys: np.ndarray,
    mark_values: np.ndarray,
    weights: np.ndarray,
    totals: np.ndarray,
    found: np.ndarray,
    state: np.ndarray,
    looks: np.ndarray,
    froms: np.ndarray,
    hits: np.ndarray,
    seen: np.ndarray,
    places: np.ndarray,
    scores: np.ndarray,
    samples: np.ndarray,
    spans: np.ndarray,
) -> None:
    """`found` is of three rows: of a text so far, before a piece of it, and zeros."""
    look = looks[0]
    for row in range(len(starts)):
        start, end, home = _text_start(data, starts[row], ends[row]), ends[row], within[row]
        row_samples, row_places = samples[row], places[row]
        flags = ESCAPES if escapes_quotes(data, start, end) else NO_FLAGS
        found[0] = found[2]
        seen[:] = 0
        done = False
        where = DECLARED if home == ALL_SQL else FILE
        if where == DECLARED or _whole(data, start, end, flags, keys, values):
            taken = walk(
                data, start, end, flags, where, _FILE if home < 0 else home,
                keys, values, mark_keys, mark_values,
                found, state, row_samples, hits, seen, row_places, spans,
            )  # fmt: skip
            done = where == DECLARED
            done |= taken and 2 * found[0].chars >= chars_of(data, start, end)
            if not done:
                found[0] = found[2]
                seen[:] = 0
                row_places[:] = 0
        look.i, look.begins, look.fence, look.markdown, froms[0] = start, 1, 0, 0, -1
        while not done and _next_piece(
            data, start, end, flags, first, second, keys, values, froms, look
        ):
            taken = walk(
                data, look.start, look.stop, look.flags, look.where, look.place if home < 0 else home,
                keys, values, mark_keys, mark_values,
                found, state, row_samples, hits, seen, row_places, spans,
            )  # fmt: skip
            if taken and look.where != DECLARED and look.stop > look.start:
                look.i = look.stop
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
    mark_keys, mark_values, weights = marks()
    scratch = (
        np.zeros(3, Found),
        np.zeros(1, InStatement),
        np.zeros(1, _Look),
        np.zeros(1, np.int64),
        np.zeros(MARK_SLOTS, np.int64),
        np.zeros(len(weights), np.uint8),
    )
    _find(
        starts, ends, data, within, *word_starts(), *words()[:2], mark_keys, mark_values, weights,
        found.totals, *scratch, found.places, found.scores, found.samples, spans,
    )  # fmt: skip
    return found
