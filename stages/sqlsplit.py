"""SQL cut into tokens and statements, whatever the dialect: kernels over bytes, no grammar.

Known are comments (`--`, `#`, `/* */`), strings with doubled quotes or backslashes, identifiers in "", `` or [],
dollar quotes, templates ({{ }}, {% %}, ${ }), MySQL's DELIMITER, `GO` and `/` on lines of their own, psql's and
sqlite's commands, COPY's data, and bodies of BEGIN ... END.
"""

from typing import Any

import numpy as np
from numba import njit, uint64

from coursepack.stages.characters import chars_of
from coursepack.stages.copies import EMPTY, STEP
from coursepack.stages.sqlwords import (
    DDL,
    DML,
    HEAD,
    KEYWORD,
    KIND_SHIFT,
    NUMBER_SHIFT,
    OBJECT,
    OTHER,
    PROSE,
    QUERY,
    ROUTINE,
    look_up,
    word_hash,
    words,
)
from coursepack.stages.words import mix

# Tokens.
SPACE, NOTE, WORD, NUMBER, STRING, NAME, SIGN = range(7)

# How a piece of text is read.
ESCAPES, LITERAL = 1, 2  # a backslash escapes a quote; the piece stands in a string of other code
# Where it stands: SQL is expected there, or must show that it is SQL.
DECLARED, FILE, QUOTED, LINES = range(4)

SAMPLE_SLOTS = 16  # evenly spaced statements kept of a row: all of them, or half of these and more
SAMPLE_BYTES = 2000  # longer statements are not sampled
MARK_SLOTS = 64  # marks of dialects kept of a statement
_TEMPLATE_BYTES, _BRACKET_BYTES = 512, 128  # longer ones are none
_BLOCK = 256  # bytes looked at together

# What `walk` adds up, of one row; int64.
Found = np.dtype(
    [
        (name, np.int64)
        for name in (
            "chars",  # code points of accepted statements, with white space and comments before them
            "comment_chars",
            "data_chars",  # of INSERT ... VALUES and COPY's rows
            "own_chars",  # without what stands before
            "statements",
            "query",
            "dml",
            "ddl",
            "other",
            "joined",  # queries with a JOIN
            "strong",  # statements that need no company to be SQL
            "samples",  # filled slots
            "sampled",  # statements that could have been sampled
            "end",  # byte after the last accepted statement
        )
    ]
)
# The statement that `walk` is in; words are their numbers, 0 for none and for words that are unknown.
InStatement = np.dtype(
    [
        (name, np.int64)
        for name in (
            "start",  # its first byte, -1 before it
            "stop",  # the byte after its last token
            "tokens",
            "head",
            "kind",
            "head_case",
            "second",
            "second_kind",
            "second_byte",
            "called",  # ( right after the head
            "assigned",  # = as third token
            "prose",  # words that only English has, and words in runs that SQL has not
            "run",  # unknown words in a row
            "evidence",  # signs, strings, numbers and quoted names
            "from_case",  # of a FROM outside parentheses
            "target",  # the word INTO, ON, TO, FROM, USING was met
            "object",  # what CREATE, ALTER or DROP are about
            "routine",
            "body",  # AS or IS of a routine was the last token
            "pending",  # declarations before a routine's BEGIN
            "block",  # BEGINs without their END
            "depth",  # open parentheses
            "selects",  # outside parentheses
            "changes",  # INSERT, UPDATE, DELETE, MERGE of a WITH
            "joins",
            "has_values",
            "has_set",
            "has_equals",
            "has_as",
            "stdin",
            "comment_chars",
            "marks",  # in MARK_SLOTS
            "last",  # word of the token before
            "last_kind",
            "last_byte",
        )
    ]
)
_LOWER, _TITLE, _UPPER = 1, 2, 3


def number_of(word: str) -> int:
    """The number of a known word, for kernels to compare with."""
    return words()[2][word]


_ALL, _ALTER, _AND, _AS, _BEGIN = (number_of(w) for w in ("all", "alter", "and", "as", "begin"))
_CASE, _COMMENT, _COPY, _CREATE = (number_of(w) for w in ("case", "comment", "copy", "create"))
_CURSOR, _DATA, _DECLARE = (number_of(w) for w in ("cursor", "data", "declare"))
_DEFAULT, _DEFERRED, _DELETE = (number_of(w) for w in ("default", "deferred", "delete"))
_DELIMITER, _DENY, _DISTINCT = (number_of(w) for w in ("delimiter", "deny", "distinct"))
_DROP, _END, _EXCEPT, _EXCLUSIVE = (number_of(w) for w in ("drop", "end", "except", "exclusive"))
_EXEC, _EXPLAIN, _FOR, _FROM = (number_of(w) for w in ("exec", "explain", "for", "from"))
_GO, _GRANT, _IF, _IMMEDIATE = (number_of(w) for w in ("go", "grant", "if", "immediate"))
_INSERT, _INTERSECT, _INTO, _IS = (number_of(w) for w in ("insert", "intersect", "into", "is"))
_ISOLATION, _JOIN, _LOAD, _LOOP = (number_of(w) for w in ("isolation", "join", "load", "loop"))
_MERGE, _MINUS, _ON, _OR = (number_of(w) for w in ("merge", "minus", "on", "or"))
_OVERWRITE, _PACKAGE, _PRINT = (number_of(w) for w in ("overwrite", "package", "print"))
_RENAME, _REPEAT, _REPLACE = (number_of(w) for w in ("rename", "repeat", "replace"))
_REVOKE, _SELECT, _SET, _SHOW = (number_of(w) for w in ("revoke", "select", "set", "show"))
_STDIN, _TABLE, _THEN, _TO = (number_of(w) for w in ("stdin", "table", "then", "to"))
_TRAN, _TRANSACTION, _TRUNCATE = (number_of(w) for w in ("tran", "transaction", "truncate"))
_UNION, _UPDATE, _USE, _USING = (number_of(w) for w in ("union", "update", "use", "using"))
_VALUES, _WHILE, _WITH, _WORK = (number_of(w) for w in ("values", "while", "with", "work"))
_AT, _AT_AT, _PARAMETER, _TEMP = (np.uint64(word_hash(w)) for w in (b"@", b"@@", b"$0", b"~"))
_NUMBER_HASH, _STRING_HASH, _DOLLAR, _BRACKET, _BACKTICK, _QUOTE, _HINT = (
    np.uint64(word_hash(w)) for w in (b"0", b"'", b"$", b"[", b"`", b'"', b"/*!")
)


@njit(nogil=True, cache=True)
def is_word(byte: Any) -> bool:
    """Whether the byte is an ASCII letter or digit, `_`, or one of a longer character; inside kernels."""
    low = byte | 0x20
    return bool(0x61 <= low <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x5F or byte >= 0x80)


@njit(nogil=True, cache=True)
def _find(data: np.ndarray, i: int, end: int, a: int, b: int) -> int:
    """The first place of the bytes a, b in data[i:end], or -1."""
    while i + 1 < end:
        if data[i] == a and data[i + 1] == b:
            return i
        i += 1
    return -1


@njit(nogil=True, cache=True)
def _line_end(data: np.ndarray, i: int, end: int) -> int:
    while i < end and data[i] != 0x0A:
        i += 1
    return i


@njit(nogil=True, cache=True)
def quote_end(data: np.ndarray, i: int, end: int, escapes: bool) -> int:
    """The byte after the quote that closes the one at byte i, or -1; doubled quotes close nothing."""
    quote = data[i]
    i += 1
    while i < end:
        byte = data[i]
        if byte == quote:
            if i + 1 >= end or data[i + 1] != quote:
                return i + 1
            i += 1
        elif byte == 0x5C and escapes:
            i += 1
        i += 1
    return -1


@njit(nogil=True, cache=True)
def _dollar_end(data: np.ndarray, i: int, end: int) -> int:
    """The byte after the dollar-quoted string that begins at byte i, or -1."""
    j = i + 1
    while j < end and is_word(data[j]) and j - i < 64:
        j += 1
    if j >= end or data[j] != 0x24 or (j > i + 1 and 0x30 <= data[i + 1] <= 0x39):
        return -1
    width = j + 1 - i
    k = j + 1
    while k + width <= end:
        if data[k] == 0x24:
            same = 1
            while same < width and data[k + same] == data[i + same]:
                same += 1
            if same == width:
                return k + width
        k += 1
    return -1


@njit(nogil=True, cache=True)
def _template_end(data: np.ndarray, i: int, end: int, literal: bool) -> int:
    """The byte after the template ({{ }}, {% %}, {# #}, ${ }, #{ }, and { } in literals) at byte i, or -1."""
    byte = data[i]
    after = data[i + 1] if i + 1 < end else np.uint8(0)
    close: Any = np.int64(0x7D)
    wide = False
    if byte == 0x7B and (after == 0x7B or after == 0x25 or after == 0x23):
        close = np.int64(0x7D if after == 0x7B else after)
        wide = True
    elif (byte == 0x24 or byte == 0x23) and after == 0x7B:
        i += 1
    elif byte != 0x7B or not literal:
        return -1
    most = min(end, i + _TEMPLATE_BYTES)
    j = i + 1 + wide
    while j < most:
        if data[j] == close and (not wide or (j + 1 < end and data[j + 1] == 0x7D)):
            return j + 1 + wide
        j += 1
    return -1


@njit(nogil=True, cache=True)
def token(
    data: np.ndarray, i: int, end: int, flags: int, unclosed: np.ndarray
) -> tuple[Any, Any, Any]:
    """The kind of the token at byte i < end, the byte after it, and its hash (0 of white space); inside kernels.

    `unclosed[q]` remembers from where on no quote q is closed, so a text of quotes costs no square.
    """
    byte = data[i]
    after = data[i + 1] if i + 1 < end else np.uint8(0)
    none = uint64(0)
    if byte == 0x20 or 0x09 <= byte <= 0x0D:
        j = i + 1
        while j < end and (data[j] == 0x20 or 0x09 <= data[j] <= 0x0D):
            j += 1
        return SPACE, j, none
    if byte == 0x5C and flags & LITERAL:
        if after == 0x6E or after == 0x74 or after == 0x72 or after == 0x0A:
            return SPACE, i + 2, none
        if after == 0x22 or after == 0x27 or after == 0x60:
            i += 1
            byte = after
            after = data[i + 1] if i + 1 < end else np.uint8(0)
    if (is_word(byte) and not 0x30 <= byte <= 0x39) or byte == 0x40:
        return _word(data, i, end)
    if 0x30 <= byte <= 0x39:
        j = i + 1
        while j < end and (is_word(data[j]) or data[j] == 0x2E):
            j += 1
        return NUMBER, j, _NUMBER_HASH
    if byte == 0x2D and after == 0x2D:
        return NOTE, _line_end(data, i, end), none
    if byte == 0x2F and after == 0x2A:
        j = _find(data, i + 2, end, 0x2A, 0x2F) if i >= 0 else -1
        hint = _HINT if i + 2 < end and data[i + 2] == 0x21 else none
        return NOTE, j + 2 if j >= 0 else end, hint
    if byte == 0x27 or byte == 0x22 or byte == 0x60:
        q = 0 if byte == 0x27 else 1 if byte == 0x22 else 2
        if i < unclosed[q]:
            j = quote_end(data, i, end, (flags & ESCAPES) != 0 and byte != 0x60)
            if j > 0:
                if q == 0:
                    return STRING, j, _STRING_HASH
                return NAME, j, _QUOTE if q == 1 else _BACKTICK
            unclosed[q] = i
        return SIGN, i + 1, none
    if byte == 0x24 and (after == 0x24 or is_word(after)):
        if 0x30 <= after <= 0x39:
            j = i + 2
            while j < end and 0x30 <= data[j] <= 0x39:
                j += 1
            return NUMBER, j, _PARAMETER
        if i < unclosed[3]:
            j = _dollar_end(data, i, end)
            if j > 0:
                return STRING, j, _DOLLAR
            if after == 0x24:
                unclosed[3] = i
    if byte == 0x7B or ((byte == 0x24 or byte == 0x23) and after == 0x7B):
        j = _template_end(data, i, end, (flags & LITERAL) != 0)
        if j > 0:
            return (NOTE if after == 0x25 or (byte == 0x7B and after == 0x23) else NAME), j, none
    if byte == 0x23:
        before = data[i - 1] if i > 0 else np.uint8(0x0A)
        if is_word(after) and (before == 0x20 or before == 0x28):
            _, j, _ = _word(data, i + 1, end)
            return WORD, j, _TEMP
        if before == 0x0A or after == 0x20 or after == 0x23:
            return NOTE, _line_end(data, i, end), none
    if byte == 0x5B and (is_word(after) and not 0x30 <= after <= 0x39):
        before = data[i - 1] if i > 0 else np.uint8(0x20)
        if not (is_word(before) or before == 0x5D):
            j = i + 1
            most = min(end, i + _BRACKET_BYTES)
            while j < most and data[j] != 0x5D and data[j] != 0x0A and data[j] != 0x2C:
                j += 1
            if j < most and data[j] == 0x5D:
                return NAME, j + 1, _BRACKET
    return _sign(data, i, end)


@njit(nogil=True, cache=True, forceinline=True)
def _word(data: np.ndarray, i: int, end: int) -> tuple[Any, Any, Any]:
    if data[i] == 0x40:
        j = i + 1
        while j < end and (is_word(data[j]) or data[j] == 0x40):
            j += 1
        if j == i + 1:
            return _sign(data, i, end)
        return WORD, j, _AT_AT if data[i + 1] == 0x40 else _AT
    found = uint64(EMPTY)
    while i < end:
        byte = data[i]
        # v$session is a word, and the end of END$$ is not
        inside = byte == 0x24 and i + 1 < end and is_word(data[i + 1])
        if not is_word(byte) and not inside:
            break
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        found = (found ^ uint64(byte)) * STEP
        i += 1
    return WORD, i, mix(found)


@njit(nogil=True, cache=True, forceinline=True)
def _sign(data: np.ndarray, i: int, end: int) -> tuple[Any, Any, Any]:
    """One byte, or an operator of two or three."""
    a = data[i]
    b = data[i + 1] if i + 1 < end else np.uint8(0)
    c = data[i + 2] if i + 2 < end else np.uint8(0)
    width = 1
    if (a == 0x28 and b == 0x2B and c == 0x29) or (a == 0x2D and b == 0x3E and c == 0x3E):
        width = 3  # (+) ->>
    elif (a == 0x3A and (b == 0x3A or b == 0x3D)) or (a == 0x2D and b == 0x3E):
        width = 2  # :: := ->
    elif ((a == 0x40 or a == 0x3D) and b == 0x3E) or (a == 0x3C and (b == 0x40 or b == 0x3E)):
        width = 2  # @> => <@ <>
    elif (a == 0x7C and b == 0x7C) or ((a == 0x3C or a == 0x3E or a == 0x21) and b == 0x3D):
        width = 2  # || <= >= !=
    found = uint64(EMPTY)
    for k in range(i, i + width):
        found = (found ^ uint64(data[k])) * STEP
    return SIGN, i + width, mix(found)


@njit(nogil=True, cache=True, forceinline=True)
def case_of(data: np.ndarray, start: Any, stop: Any) -> int:
    """1 of a word in lower case, 2 of one with a capital first or mixed ones, 3 in upper case; inside kernels."""
    upper = lower = 0
    for i in range(start, stop):
        upper += 0x41 <= data[i] <= 0x5A
        lower += 0x61 <= data[i] <= 0x7A
    return _UPPER if lower == 0 else _LOWER if upper == 0 else _TITLE


@njit(nogil=True, cache=True)
def _reset(s: Any) -> None:
    s.start = s.stop = -1
    s.tokens = s.head = s.kind = s.head_case = s.second = 0
    s.second_kind = s.second_byte = s.called = s.assigned = s.prose = s.run = s.evidence = 0
    s.from_case = s.target = s.object = s.routine = s.body = s.pending = s.block = 0
    s.depth = s.selects = s.changes = s.joins = 0
    s.has_values = s.has_set = s.has_equals = s.has_as = s.stdin = 0
    s.comment_chars = s.marks = s.last = s.last_kind = s.last_byte = 0


@njit(nogil=True, cache=True)
def _strength(s: Any, where: int, closed: bool) -> int:
    """2: SQL by itself; 1: SQL in company of such; 0: no SQL. `closed`: a terminator follows."""
    declared = where == DECLARED
    head, upper = s.head, s.head_case == _UPPER
    # Between lines of English or code, only capitals or a semicolon make up for a doubt.
    doubtful = (where == LINES and not (upper or closed)) or (where == QUOTED and not upper)
    if not declared and (s.prose > 0 if doubtful else s.prose * 8 > s.tokens):
        return 0
    if head == 0:
        return 0
    if s.kind == OTHER:
        works = s.routine and s.selects + s.changes > 0
        return 2 if works and closed and where <= FILE else 1
    # A title, such as "Create Table Statements", needs more to be a statement.
    least = 2 if s.head_case == _TITLE or (where == LINES and not upper) else 1
    if where == LINES and not upper and not closed and head != _SELECT and head != _WITH:
        return 0
    sure = closed or declared or s.evidence >= least
    if head == _SELECT:
        if s.from_case:
            if declared:
                return 2
            same = s.from_case == s.head_case
            if upper and same and s.tokens >= 4:
                return 2
            return 2 if (same or s.evidence >= 2) and (closed or s.evidence >= least) else 0
        if where == LINES:
            return 2 if upper and closed else 0
        plain = s.second_kind == NUMBER or s.second_kind == STRING or s.second_byte == 0x40
        plain |= s.second_byte == 0x28 and not s.called
        if plain or (s.evidence >= 2 and s.second_byte != 0x28):
            return 2 if declared or ((closed or where == QUOTED) and upper) else 1
        return 1 if declared or (where == FILE and closed) else 0
    if head == _WITH:
        works = s.selects + (
            s.changes if declared or upper or closed else 0
        )  # Python has `with` too
        return 2 if s.has_as and works > 0 and s.evidence >= 2 else 0
    if head in (_INSERT, _REPLACE):
        filled = s.has_values or s.selects or s.has_set or s.has_values or s.evidence >= 4
        return 2 if s.target and filled and sure else 0
    if head == _UPDATE:
        return 2 if s.has_set and s.has_equals and s.tokens >= 6 else 0
    if head == _DELETE:
        return 2 if s.target and s.tokens >= 3 and (sure or upper) else 0
    if head == _MERGE:
        return 2 if s.has_as + s.target >= 1 and s.tokens >= 6 and s.evidence >= 2 else 0
    if head == _COPY:
        titled = s.head_case == _TITLE and not closed and where != DECLARED
        return 2 if s.target and s.tokens >= 4 and sure and not titled else 0
    if head == _LOAD:
        return 2 if s.second == _DATA and s.evidence else 1 if declared or where == FILE else 0
    if head in (_CREATE, _ALTER, _DROP):
        # CREATE is followed by what it creates, or by a word such as UNIQUE; ALGORITHM = is MySQL's
        if s.object == 0 or s.tokens < 3 or (s.second == 0 and not s.assigned):
            return 0
        return 2 if sure or (upper and s.tokens >= 4) else 0
    if head == _TRUNCATE:
        return 2 if (s.second == _TABLE or closed) and (sure or upper) and s.tokens >= 2 else 0
    if head in (_GRANT, _REVOKE, _DENY):
        return 2 if s.target and (closed or declared or upper) and s.tokens >= 4 else 0
    if head == _COMMENT:
        return 2 if s.second == _ON and s.evidence else 0
    if head == _VALUES:
        return 2 if s.second_byte == 0x28 and (closed or declared or upper) else 0
    if head == _EXPLAIN:
        return 2 if s.selects + s.changes > 0 and sure else 0
    if head == _SHOW:
        return 2 if upper and closed and s.second else 1 if closed or declared else 0
    return 1 if closed or declared else 0


@njit(nogil=True, cache=True)
def _sample(samples: np.ndarray, row: Any, start: int, end: int) -> None:
    """Keeps each 2^k-th statement, with the k that fits the slots."""
    stride = 1
    while row.sampled >= SAMPLE_SLOTS * stride:
        stride *= 2
    if row.sampled % stride == 0:
        if row.samples == SAMPLE_SLOTS:
            for slot in range(SAMPLE_SLOTS // 2):
                samples[slot, 0], samples[slot, 1] = samples[2 * slot, 0], samples[2 * slot, 1]
            row.samples = SAMPLE_SLOTS // 2
        samples[row.samples, 0], samples[row.samples, 1] = start, end
        row.samples += 1
    row.sampled += 1


@njit(nogil=True, cache=True)
def _finish(
    data: np.ndarray,
    s: Any,
    before: int,
    after: int,
    where: int,
    closed: bool,
    row: Any,
    samples: np.ndarray,
    hits: np.ndarray,
    seen: np.ndarray,
    spans: np.ndarray,
) -> int:
    """Ends the statement, its terminator before byte `after`: counts it if it is SQL, and returns its strength."""
    if s.start < 0:
        return 0
    stop = s.stop
    strength = _strength(s, where, closed)
    if strength == 0 and where == DECLARED:
        row.chars += chars_of(data, before, after)
        row.comment_chars += s.comment_chars
    if strength > 0:
        own = chars_of(data, s.start, stop)
        row.chars += chars_of(data, before, after)
        row.comment_chars += s.comment_chars
        row.own_chars += own
        if len(spans) > row.statements:
            spans[row.statements, 0], spans[row.statements, 1] = s.start, stop
            spans[row.statements, 2] = s.kind
        row.statements += 1
        row.query += s.kind == QUERY
        row.dml += s.kind == DML
        row.ddl += s.kind == DDL
        row.other += s.kind == OTHER
        row.joined += s.kind == QUERY and s.joins > 0
        row.strong += strength == 2
        row.end = after
        rows = s.head == _INSERT or s.head == _REPLACE
        if rows and s.has_values and not s.selects:
            row.data_chars += own
        for k in range(s.marks):
            seen[hits[k]] = 1
        commands = s.head in (_SHOW, _EXPLAIN, _GRANT, _REVOKE, _COMMENT, _LOAD, _DENY, _RENAME)
        short = stop - s.start <= SAMPLE_BYTES
        if strength == 2 and s.kind != OTHER and short and not s.routine and not commands:
            _sample(samples, row, s.start, stop)
    _reset(s)
    return strength


@njit(nogil=True, cache=True)
def _is_alone(data: np.ndarray, i: Any, stop: Any, end: int) -> bool:
    """Whether data[i:stop], which begins a line, is all of it, save a count."""
    while stop < end and data[stop] != 0x0A:
        if data[stop] != 0x20 and data[stop] != 0x0D and not 0x30 <= data[stop] <= 0x39:
            return False
        stop += 1
    return True


@njit(nogil=True, cache=True)
def _starts_anew(s: Any, word: Any, value: Any, case: int) -> bool:
    """Whether a word at the head of a line starts a statement, though none has ended (as T-SQL allows)."""
    if s.start < 0 or s.depth > 0 or s.block > 0 or s.pending or s.head == 0 or s.routine:
        return False
    if not value & HEAD or case != s.head_case:
        return False
    if s.last in (_UNION, _ALL, _EXCEPT, _INTERSECT, _MINUS, _DISTINCT, _AS, _EXPLAIN, _THEN):
        return False
    if word == _SELECT:
        if s.head == _GRANT or s.head == _REVOKE:
            return False
        return s.selects > 0 or s.head not in (_WITH, _INSERT, _CREATE, _EXPLAIN, _DECLARE)
    if word in (_CREATE, _DROP, _TRUNCATE, _DECLARE, _USE, _EXEC, _PRINT):
        return bool(s.head != _GRANT and s.head != _CREATE and s.last_kind != SIGN)
    if word in (_INSERT, _UPDATE, _DELETE):
        ended = s.selects > 0 or s.has_equals > 0 or s.head == _DECLARE
        return ended and s.head != _WITH and s.last_kind != SIGN and s.last not in (_FOR, _ON)
    return False


@njit(nogil=True, cache=True)
def _take_word(
    data: np.ndarray, s: Any, word: int, value: int, case: int, i: int, stop: int
) -> None:
    """The effect of a word on its statement."""
    if s.head == 0 and s.tokens == s.depth:
        s.head, s.kind, s.head_case = word, (value >> KIND_SHIFT) & 7, case
        if not value & HEAD:
            s.head = 0
        if word == _SELECT:
            s.selects = 1
        return
    if s.tokens - 1 < 8 and s.head in (_CREATE, _ALTER, _DROP):
        if value & OBJECT and s.object == 0:
            s.object = word
        if value & ROUTINE and s.depth == 0:
            s.routine = 1
    transaction = word in (
        _TRAN,
        _TRANSACTION,
        _WORK,
        _ISOLATION,
        _IMMEDIATE,
        _EXCLUSIVE,
        _DEFERRED,
    )
    if s.head == _BEGIN and s.tokens == 1 and not transaction:
        s.routine, s.block = 1, 1
    if s.head == _DECLARE:
        if s.tokens == 1 and data[i] != 0x40:
            s.routine, s.pending = 1, 1
        if word == _CURSOR and s.tokens == 2:
            s.routine, s.pending = 0, 0
    if (s.head == _IF or s.head == _WHILE) and s.tokens == 1:
        s.routine = 1
    if s.routine:
        if word == _BEGIN:
            s.block += 1
            s.pending = 0
        elif word == _CASE and s.block > 0:
            s.block += s.last != _END
        elif word == _END:
            s.block = max(s.block - 1, 0)
        elif s.last == _END and word in (_IF, _LOOP, _WHILE, _REPEAT, _FOR):
            s.block += 1  # the END was theirs
        elif s.body and (not value & KEYWORD or word == _DECLARE or s.last == _IS):
            s.pending = 1
        if (word in (_AS, _IS)) and s.block == 0:
            s.body = 2
            if s.object == _PACKAGE:
                s.block = 1
    if word == _SELECT:
        s.selects += s.depth == 0
    elif word == _FROM:
        if s.depth == 0 and s.from_case == 0:
            s.from_case = case
        s.target = 1
    elif word in (_INTO, _ON, _TO, _USING, _OVERWRITE):
        s.target = 1
    elif word in (_INSERT, _UPDATE, _DELETE, _MERGE):
        s.changes += 1
        if s.head == _WITH and s.depth == 0:
            s.kind = DML
    elif word == _JOIN:
        s.joins += 1
    elif word in (_VALUES, _DEFAULT):
        s.has_values = 1
    elif word == _SET:
        s.has_set = 1
    elif word == _AS:
        s.has_as = 1
    elif word == _STDIN:
        s.stdin = 1
    elif (word in (_AND, _OR)) and s.last_byte == 0x2C:
        s.prose += 2  # "this, that, and those"


@njit(nogil=True, cache=True)
def _take(
    data: np.ndarray, s: Any, kind: Any, word: Any, value: Any, i: Any, stop: Any, end: int
) -> None:
    """The effect of a token, which is no white space or comment, on its statement."""
    if s.start < 0:
        s.start = i
    if s.body > 0:
        s.body -= 1
    byte = np.int64(data[i])
    if s.tokens == 1 + (s.head == 0) and s.head != 0:
        s.second, s.second_kind, s.second_byte = word, kind, byte
        s.called = byte == 0x28 and i > 0 and data[i - 1] > 0x20
    elif s.tokens == 2:
        s.assigned = byte == 0x3D
    if kind == WORD:
        case = case_of(data, i, stop)
        if value & PROSE and s.last_byte != 0x2E:
            s.prose += 1
        if value & KEYWORD or byte == 0x40 or case == s.head_case == _UPPER:
            s.run = 0  # where keywords are capitals, so is one that is unknown here
        else:
            s.run += 1
            if s.run >= 3:
                s.prose += 3 if s.run == 3 else 1
        _take_word(data, s, word, value, case, i, stop)
    else:
        s.run = 0
        s.evidence += 1
        if kind == SIGN:
            if byte == 0x28:
                s.depth += 1
            elif byte == 0x29:
                s.depth = max(s.depth - 1, 0)
            elif byte == 0x3D:
                s.has_equals = 1
            elif byte in (0x7B, 0x7D, 0x5C, 0x21) and stop == i + 1:
                s.prose += 2
            elif byte == 0x2E or byte == 0x3A:
                # The end of a sentence, or a colon before a list.
                ends = stop >= end or data[stop] <= 0x20
                if stop == i + 1 and ends and i > 0 and data[i - 1] > 0x20:
                    s.prose += 2
    s.tokens += 1
    s.stop = stop
    s.last, s.last_kind, s.last_byte = word, kind, byte


@njit(nogil=True, cache=True)
def is_command(data: np.ndarray, i: int, end: int) -> bool:
    """Whether a command of psql (\\d) or sqlite3 (.mode) begins at byte i, where a line does; inside kernels."""
    return bool((data[i] == 0x5C or data[i] == 0x2E) and i + 1 < end and is_word(data[i + 1]))


@njit(nogil=True, cache=True)
def _same(data: np.ndarray, i: int, end: int, j: int, width: int) -> bool:
    if i + width > end:
        return False
    same = True
    for k in range(width):
        same &= data[i + k] == data[j + k]
    return same


@njit(nogil=True, cache=True)
def _rows_end(data: np.ndarray, i: int, end: int) -> int:
    r"""The end of COPY's rows, which a line \. closes."""
    i = _line_end(data, i, end)
    while i < end:
        if i + 2 < end and data[i + 1] == 0x5C and data[i + 2] == 0x2E:
            return i + 3
        i = _line_end(data, i + 1, end)
    return end


@njit(nogil=True, cache=True)
def walk(
    data: np.ndarray,
    start: int,
    end: int,
    flags: int,
    where: int,
    keys: np.ndarray,
    values: np.ndarray,
    mark_keys: np.ndarray,
    mark_values: np.ndarray,
    row: Any,
    s: Any,
    samples: np.ndarray,
    hits: np.ndarray,
    seen: np.ndarray,
    spans: np.ndarray,
) -> None:
    """Adds the statements of data[start:end] to `row`, a sample of their places to `samples`, the marks of
    dialects they hold to `seen`, and the first statements to `spans` (rows of start, end, kind)."""
    unclosed = np.full(4, end, np.int64)
    delimiter: Any = np.int64(start)  # where it was set
    wide: Any = np.int64(0)  # its width
    before: Any = np.int64(start)  # the end of the statement before
    i: Any = np.int64(start)
    resume: Any = np.int64(start)
    kind: Any = SPACE
    stop: Any = np.int64(start)
    one, two = uint64(0), uint64(0)  # hashes of the two tokens before
    at_line = True
    _reset(s)
    while i <= end:
        ends, closed, resume = i == end, True, end + 1
        kind, stop, found = SPACE, np.int64(i), uint64(0)
        word, value = np.int64(0), np.int64(0)
        if ends:
            closed = False
            if s.start < 0 and before < end and before == row.end:
                row.chars += chars_of(data, before, end)  # what follows the last statement
                row.comment_chars += s.comment_chars
        elif wide and _same(data, i, end, delimiter, wide):
            ends, resume = True, i + wide
        else:
            kind, stop, found = token(data, i, end, flags, unclosed)
            if kind == SPACE:
                for k in range(i, stop):
                    at_line |= data[k] == 0x0A or data[k] == 0x5C
                i = stop
                continue
            if kind == NOTE:
                s.comment_chars += chars_of(data, i, stop)
                if found != 0:
                    seen[look_up(mark_keys, mark_values, found)] = 1
                i = stop
                continue
            if kind == NAME and found == 0 and s.start < 0:
                i = stop  # a template before a statement
                continue
            if kind == WORD:
                value = look_up(keys, values, found)
                word = value >> NUMBER_SHIFT
        if at_line and not ends:
            at_line = False
            rest = _line_end(data, i, end)
            slash = data[i] == 0x2F and kind == SIGN
            if (word == _GO or slash) and _is_alone(data, i, stop, end):
                if word == _GO and where <= FILE:
                    seen[look_up(mark_keys, mark_values, found)] = 1
                ends, resume = True, stop
            elif word == _DELIMITER and (s.start < 0 or s.depth == 0):
                seen[look_up(mark_keys, mark_values, found)] = 1
                delimiter = stop
                while delimiter < rest and data[delimiter] <= 0x20:
                    delimiter += 1
                wide = rest - delimiter
                while wide > 0 and data[delimiter + wide - 1] <= 0x20:
                    wide -= 1
                if wide == 1 and data[delimiter] == 0x3B:
                    wide = 0
                ends, resume = True, rest
            elif s.start < 0 and where <= FILE and is_command(data, i, end):
                if row.strong > 0:
                    row.chars += chars_of(data, before, rest)
                before = i = rest  # a command of psql or sqlite3
                continue
            elif value & HEAD and _starts_anew(s, word, value, case_of(data, i, stop)):
                ends, closed, resume = True, False, i
        semicolon = not ends and data[i] == 0x3B and kind == SIGN and wide == 0
        if semicolon:
            one, two = uint64(0), uint64(0)
            transaction = s.head == _BEGIN and s.tokens == 1
            if (s.block == 0 and not s.pending) or transaction:
                ends, resume = True, stop
            else:
                s.run = 0
                s.tokens += 1
                s.stop = stop
                s.last, s.last_kind, s.last_byte = 0, SIGN, 0x3B
                i = stop
                continue
        if ends:
            copies = semicolon and s.head == _COPY and s.stdin > 0
            after = min(resume, end)
            done = _finish(data, s, before, after, where, closed, row, samples, hits, seen, spans)
            before = i = resume
            if copies and done:
                i = _rows_end(data, before, end)
                row.data_chars += chars_of(data, before, i)
                row.chars += chars_of(data, before, i)
                row.end = before = i
            continue
        _take(data, s, kind, word, value, i, stop, end)
        chain = found
        for length in range(3):
            if s.marks < MARK_SLOTS:
                mark = look_up(mark_keys, mark_values, chain)
                if mark:
                    hits[s.marks] = mark
                    s.marks += 1
            chain = one * STEP ^ found if length == 0 else (two * STEP ^ one) * STEP ^ found
        two, one = one, found
        i = stop


@njit(nogil=True, cache=True)
def escapes_quotes(data: np.ndarray, start: int, end: int) -> bool:
    """Whether a backslash escapes quotes here: one stands before a quote that a letter follows, or identifiers
    stand in backticks, as in MySQL; inside kernels."""
    for block in range(start, end - 2, _BLOCK):
        last = min(block + _BLOCK, end - 2)
        signs = np.uint8(0)
        for i in range(uint64(block), uint64(last)):  # no branches: LLVM looks at 32 bytes at once
            signs |= (data[i] == 0x5C) | (data[i] == 0x60)
        for i in range(block, last if signs else block):
            if data[i] == 0x5C and data[i + 1] == 0x27 and is_word(data[i + 2]):
                return True
            if data[i] == 0x60 and is_word(data[i + 1]):
                return True
    return False
