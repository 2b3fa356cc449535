"""SQL cut into tokens and statements, whatever the dialect: kernels over bytes, no grammar.

Known are comments (`--`, `#`, `/* */`), strings with doubled quotes or backslashes, identifiers in "", `` or [],
dollar quotes, templates ({{ }}, {% %}, ${ }), MySQL's DELIMITER, `GO` and `/` on lines of their own, psql's and
sqlite's commands, COPY's data, and bodies of BEGIN ... END.
"""

import string
from typing import Any

import numpy as np
from numba import uint64

from coursepack.stages.copies import EMPTY, STEP
from coursepack.stages.kernels import byte_table, inside
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
    word_set,
    words,
)
from coursepack.stages.words import mix

# Tokens.
SPACE, NOTE, WORD, NUMBER, STRING, NAME, SIGN = range(7)

# How a piece of text is read.
# Numba compiles a function once more for each int that it is called with, but not for each np.int64.
NO_FLAGS = np.int64(0)
ESCAPES = np.int64(1)  # a backslash escapes a quote
LITERAL = np.int64(2)  # the piece stands in a string of other code
# Where it stands: SQL is expected there, or must show that it is SQL.
DECLARED, FILE, QUOTED, LINES = (np.int64(place) for place in range(4))

SAMPLE_SLOTS = 16  # evenly spaced statements kept of a row: all of them, or half of these and more
SAMPLE_BYTES = 2000  # longer statements are not sampled
MARK_SLOTS = 64  # marks of dialects kept of a statement
_TEMPLATE_BYTES, _BRACKET_BYTES = 512, 128  # longer ones are none

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
# Operators of two bytes.
_PAIRS = tuple(
    first << 8 | second
    for first, second in (b"::", b":=", b"->", b"@>", b"=>", b"<@", b"<>", b"||")
) + tuple(first << 8 | 0x3D for first in b"<>!")


def number_of(word: str) -> int:
    """The number of a known word, for kernels to compare with."""
    return words()[2][word]


_AND, _AS, _BEGIN, _CASE = (number_of(w) for w in ("and", "as", "begin", "case"))
_COMMENT, _COPY, _CREATE, _CURSOR = (number_of(w) for w in ("comment", "copy", "create", "cursor"))
_DATA, _DECLARE, _DEFAULT = (number_of(w) for w in ("data", "declare", "default"))
_DELETE, _DELIMITER, _END = (number_of(w) for w in ("delete", "delimiter", "end"))
_EXPLAIN, _FOR, _FROM, _GO = (number_of(w) for w in ("explain", "for", "from", "go"))
_GRANT, _IF, _IS, _JOIN, _LOAD = (number_of(w) for w in ("grant", "if", "is", "join", "load"))
_MERGE, _ON, _OR, _PACKAGE = (number_of(w) for w in ("merge", "on", "or", "package"))
_REVOKE, _SELECT, _SET, _SHOW = (number_of(w) for w in ("revoke", "select", "set", "show"))
_STDIN, _TABLE, _TRUNCATE = (number_of(w) for w in ("stdin", "table", "truncate"))
_UPDATE, _VALUES, _WHILE, _WITH = (number_of(w) for w in ("update", "values", "while", "with"))
# Sets of words, by number.
_ADDS, _CHANGES = word_set("insert replace"), word_set("insert update delete merge")
_CHANGES_ANEW = word_set("insert update delete")
_DEFINES, _GRANTS = word_set("create alter drop"), word_set("grant revoke deny")
_GOES_ON = word_set("union all except intersect minus distinct as explain then")
_HOLDS_SELECT = word_set("with insert create explain declare")
_LOOPS = word_set("if loop while repeat for")
_STARTS = word_set("create drop truncate declare use exec print")
_TARGETS = word_set("into on to using overwrite")
_TRANSACTIONS = word_set("tran transaction work isolation immediate exclusive deferred")
_UNSAMPLED = word_set("show explain grant revoke comment load deny rename")
_AT, _AT_AT, _PARAMETER, _TEMP = (np.uint64(word_hash(w)) for w in (b"@", b"@@", b"$0", b"~"))
_NUMBER_HASH, _DOLLAR, _BRACKET, _HINT = (
    np.uint64(word_hash(w)) for w in (b"0", b"$", b"[", b"/*!")
)

# Sets of bytes as tables, since each comparison costs a kernel 1 ms of compilation.
_BLANK = byte_table(b"\t\n\v\f\r ")
_DIGIT = byte_table(string.digits.encode())
_NAME = byte_table(string.ascii_letters.encode() + b"_" + bytes(range(0x80, 0x100)))
_NAME_START = _NAME | byte_table(b"@")
_WORD = _NAME | _DIGIT
_IN_NUMBER = _WORD | byte_table(b".")
_COMMANDS = byte_table(b"\\.")
_ESCAPED_BLANK = byte_table(b"ntr\n")
_TEMPLATES = byte_table(b"{%#")
_UNLIKELY = byte_table(b"{}\\!")
_STRANGE = byte_table(b"${#[")
_BRACKET_ENDS = byte_table(b"]\n,")
# By byte: the slot of `unclosed`, 0 of a byte that is no quote; and the hash of what it quotes.
_QUOTES = np.zeros(256, np.int64)
_QUOTES[[0x27, 0x22, 0x60]] = 1, 2, 3
_QUOTE_HASHES = np.array([0, *(word_hash(quote) for quote in (b"'", b'"', b"`"))], np.uint64)


@inside
def is_word(byte: Any) -> Any:
    """Whether the byte is an ASCII letter or digit, `_`, or one of a longer character; inside kernels."""
    return _WORD[byte]


@inside
def starts_word(byte: Any) -> Any:
    """Whether a word begins with the byte, a variable (@name) among them; inside kernels."""
    return _NAME_START[byte]


@inside
def _find(data: np.ndarray, i: int, end: int, a: int, b: int) -> int:
    """The first place of the bytes a, b in data[i:end], or -1."""
    while i + 1 < end:
        if data[i] == a and data[i + 1] == b:
            return i
        i += 1
    return -1


@inside
def line_end(data: np.ndarray, i: int, end: int) -> int:
    """The place of the first newline from byte i on, or `end`; inside kernels."""
    while i < end and data[i] != 0x0A:
        i += 1
    return i


@inside
def chars_of(data: np.ndarray, start: Any, end: Any) -> int:
    """Code points of data[start:end]: bytes that continue none; inside kernels."""
    found = 0
    for i in range(start, end):
        found += (data[i] & 0xC0) != 0x80
    return found


@inside
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


@inside
def _dollar_end(data: np.ndarray, i: int, end: int) -> int:
    """The byte after the dollar-quoted string that begins at byte i, or -1."""
    j = i + 1
    while j < end and is_word(data[j]) and j - i < 64:
        j += 1
    if j >= end or data[j] != 0x24 or (j > i + 1 and _DIGIT[data[i + 1]]):
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


@inside
def _template_end(data: np.ndarray, i: int, end: int, literal: bool) -> int:
    """The byte after the template ({{ }}, {% %}, {# #}, ${ }, #{ }, and { } in literals) at byte i, or -1."""
    byte = data[i]
    after = peek(data, i + 1, end)
    close: Any = np.int64(0x7D)
    wide = False
    if byte == 0x7B and _TEMPLATES[after]:
        close = 0x7D if after == 0x7B else after
        wide = True
    elif byte != 0x7B and after == 0x7B:
        i += 1
    elif byte != 0x7B or not literal:
        return -1
    most = min(end, i + _TEMPLATE_BYTES)
    j = i + 1 + wide
    while j < most:
        if data[j] == close and (not wide or peek(data, j + 1, end) == 0x7D):
            return j + 1 + wide
        j += 1
    return -1


@inside
def peek(data: np.ndarray, i: Any, end: Any) -> Any:
    """The byte data[i] as int64, or 0 where i is not before `end`; inside kernels."""
    return np.int64(data[i]) if i < end else np.int64(0)


@inside
def token(
    data: np.ndarray, i: Any, end: int, flags: int, unclosed: np.ndarray
) -> tuple[Any, Any, Any]:
    """The kind of the token at byte i < end, the byte after it, and its hash (0 of white space); inside kernels.

    `unclosed[q]` remembers from where on no quote q is closed, so a text of quotes costs no square.
    """
    byte, after = peek(data, i, end), peek(data, i + 1, end)
    none = uint64(0)
    if _BLANK[byte]:
        j = i + 1
        while j < end and _BLANK[data[j]]:
            j += 1
        return SPACE, j, none
    if byte == 0x5C and flags & LITERAL:
        if _ESCAPED_BLANK[after]:
            return SPACE, i + 2, none
        if _QUOTES[after]:
            i += 1
            byte, after = after, peek(data, i + 1, end)
    if _NAME_START[byte]:
        return read_word(data, i, end)
    if _DIGIT[byte]:
        j = i + 1
        while j < end and _IN_NUMBER[data[j]]:
            j += 1
        return NUMBER, j, _NUMBER_HASH
    if byte == 0x2D and after == 0x2D:
        return NOTE, line_end(data, i, end), none
    if byte == 0x2F and after == 0x2A:
        j = _find(data, i + 2, end, 0x2A, 0x2F)
        hint = _HINT if peek(data, i + 2, end) == 0x21 else none
        return NOTE, j + 2 if j >= 0 else end, hint
    if _QUOTES[byte]:
        q = _QUOTES[byte]
        if i < unclosed[q]:
            j = quote_end(data, i, end, (flags & ESCAPES) != 0 and byte != 0x60)
            if j > 0:
                return STRING if byte == 0x27 else NAME, j, _QUOTE_HASHES[q]
            unclosed[q] = i
        return SIGN, i + 1, none
    if _STRANGE[byte]:
        kind, j, found = _strange(data, i, end, byte, after, flags, unclosed)
        if kind >= 0:
            return kind, j, found
    return _sign(data, i, end)


@inside
def _strange(
    data: np.ndarray, i: Any, end: int, byte: Any, after: Any, flags: int, unclosed: np.ndarray
) -> tuple[Any, Any, Any]:
    """What `token` returns of a byte of $ { # [, or -1 as kind where it is but a sign."""
    none = uint64(0)
    before = peek(data, i - 1, end) if i > 0 else np.int64(0x0A)
    if byte == 0x24 and (after == 0x24 or _WORD[after]):
        if _DIGIT[after]:
            j = i + 2
            while j < end and _DIGIT[data[j]]:
                j += 1
            return NUMBER, j, _PARAMETER
        if i < unclosed[0]:
            j = _dollar_end(data, i, end)
            if j > 0:
                return STRING, j, _DOLLAR
            if after == 0x24:
                unclosed[0] = i
    if byte == 0x7B or (byte != 0x5B and after == 0x7B):
        j = _template_end(data, i, end, (flags & LITERAL) != 0)
        if j > 0:
            return (NOTE if after == 0x25 or (byte == 0x7B and after == 0x23) else NAME), j, none
    if byte == 0x23:
        if _WORD[after] and (before == 0x20 or before == 0x28):
            _, j, _ = read_word(data, i + 1, end)
            return WORD, j, _TEMP
        if before == 0x0A or after == 0x20 or after == 0x23:
            return NOTE, line_end(data, i, end), none
    if byte == 0x5B and _NAME[after] and not _WORD[before] and before != 0x5D:
        j = i + 1
        most = min(end, i + _BRACKET_BYTES)
        while j < most and not _BRACKET_ENDS[data[j]]:
            j += 1
        if j < most and data[j] == 0x5D:
            return NAME, j + 1, _BRACKET
    return np.int64(-1), i, none


@inside
def read_word(data: np.ndarray, i: int, end: int) -> tuple[Any, Any, Any]:
    """What `token` returns of a byte that `starts_word`; inside kernels."""
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


@inside
def _sign(data: np.ndarray, i: int, end: int) -> tuple[Any, Any, Any]:
    """One byte, or an operator of two or three."""
    a, b, c = data[i], peek(data, i + 1, end), peek(data, i + 2, end)
    pair = a << 8 | b
    width = 1
    if (pair == 0x282B and c == 0x29) or (pair == 0x2D3E and c == 0x3E):
        width = 3
    elif pair in _PAIRS:
        width = 2
    found = uint64(EMPTY)
    for k in range(i, i + width):
        found = (found ^ uint64(data[k])) * STEP
    return SIGN, i + width, mix(found)


@inside
def case_of(data: np.ndarray, start: Any, stop: Any) -> int:
    """1 of a word in lower case, 2 of one with a capital first or mixed ones, 3 in upper case; inside kernels."""
    upper = lower = 0
    for i in range(start, stop):
        upper += 0x41 <= data[i] <= 0x5A
        lower += 0x61 <= data[i] <= 0x7A
    return _UPPER if lower == 0 else _LOWER if upper == 0 else _TITLE


@inside
def _reset(s: Any) -> None:
    s.start = s.stop = -1
    s.tokens = s.head = s.kind = s.head_case = s.second = 0
    s.second_kind = s.second_byte = s.called = s.assigned = s.prose = s.run = s.evidence = 0
    s.from_case = s.target = s.object = s.routine = s.body = s.pending = s.block = 0
    s.depth = s.selects = s.changes = s.joins = 0
    s.has_values = s.has_set = s.has_equals = s.has_as = s.stdin = 0
    s.comment_chars = s.marks = s.last = s.last_kind = s.last_byte = 0


@inside
def _select_strength(s: Any, where: int, closed: bool, upper: bool, least: int) -> int:
    declared = where == DECLARED
    if s.from_case:
        same = s.from_case == s.head_case
        if declared or (upper and same and s.tokens >= 4):
            return 2
        return 2 if (same | (s.evidence >= 2)) & (closed | (s.evidence >= least)) else 0
    if where == LINES:
        return 2 if upper & closed else 0
    opens = s.second_byte == 0x28
    plain = (s.second_kind == NUMBER) | (s.second_kind == STRING) | (s.second_byte == 0x40)
    plain |= opens & (s.called == 0)
    if plain | ((s.evidence >= 2) & (not opens)):
        return 2 if declared | ((closed | (where == QUOTED)) & upper) else 1
    return 1 if declared | ((where == FILE) & closed) else 0


@inside
def _strength(s: Any, where: int, closed: bool) -> int:
    """2: SQL by itself; 1: SQL in company of such; 0: no SQL. `closed`: a terminator follows.

    Conditions are joined by `&` and `|`, which take half the compilation of `and` and `or`.
    """
    head, declared, upper = s.head, where == DECLARED, s.head_case == _UPPER
    if head == 0:
        return 0
    # Between lines of English or code, only capitals or a semicolon make up for a doubt.
    small = (where == LINES) & (not upper)
    doubtful = (small & (not closed)) | ((where == QUOTED) & (not upper))
    if not declared and s.prose * 8 > (0 if doubtful else s.tokens):
        return 0
    works = s.selects + s.changes > 0
    if s.kind == OTHER:
        return 2 if (s.routine > 0) & works & closed & (where <= FILE) else 1
    # A title, such as "Create Table Statements", needs more to be a statement.
    titled = s.head_case == _TITLE
    least = 2 if titled | small else 1
    if head == _SELECT:
        return _select_strength(s, where, closed, upper, least)
    if small & (not closed) & (head != _WITH):
        return 0
    sure = closed | declared | (s.evidence >= least)
    told = closed | declared | upper
    if head == _WITH:  # Python has `with` too
        works = s.selects + (s.changes if told else 0) > 0
        strong = (s.has_as > 0) & works & (s.evidence >= 2)
    elif _ADDS[head]:
        filled = (s.has_values + s.selects + s.has_set > 0) | (s.evidence >= 4)
        strong = (s.target > 0) & filled & sure
    elif head == _UPDATE:
        strong = (s.has_set > 0) & (s.has_equals > 0) & (s.tokens >= 6)
    elif head == _DELETE:
        strong = (s.target > 0) & (s.tokens >= 3) & (sure | upper)
    elif head == _MERGE:
        strong = (s.has_as + s.target > 0) & (s.tokens >= 6) & (s.evidence >= 2)
    elif head == _COPY:
        strong = (s.target > 0) & (s.tokens >= 4) & sure & (closed | declared | (not titled))
    elif head == _LOAD:
        if s.second != _DATA or s.evidence == 0:
            return 1 if where <= FILE else 0
        strong = True
    elif _DEFINES[head]:
        # CREATE is followed by what it creates, or by a word such as UNIQUE; ALGORITHM = is MySQL's
        named = (s.object > 0) & (s.second + s.assigned > 0)
        strong = named & (s.tokens >= 3) & (sure | (upper & (s.tokens >= 4)))
    elif head == _TRUNCATE:
        strong = ((s.second == _TABLE) | closed) & (sure | upper) & (s.tokens >= 2)
    elif _GRANTS[head]:
        strong = (s.target > 0) & told & (s.tokens >= 4)
    elif head == _COMMENT:
        strong = (s.second == _ON) & (s.evidence > 0)
    elif head == _VALUES:
        strong = (s.second_byte == 0x28) & told
    elif head == _EXPLAIN:
        strong = works & sure
    elif head == _SHOW and (upper & closed & (s.second > 0)):
        strong = True
    else:
        return 1 if closed | declared else 0
    return 2 if strong else 0


@inside
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


@inside
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
    if strength > 0 or where == DECLARED:
        row.chars += chars_of(data, before, after)
        row.comment_chars += s.comment_chars
    if strength > 0:
        own = chars_of(data, s.start, stop)
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
        if _ADDS[s.head] and s.has_values and not s.selects:
            row.data_chars += own
        for k in range(s.marks):
            seen[hits[k]] = 1
        short = stop - s.start <= SAMPLE_BYTES
        if strength == 2 and s.kind != OTHER and short and not s.routine and not _UNSAMPLED[s.head]:
            _sample(samples, row, s.start, stop)
    _reset(s)
    return strength


@inside
def _is_alone(data: np.ndarray, i: Any, stop: Any, end: int) -> bool:
    """Whether data[i:stop], which begins a line, is all of it, save a count."""
    while stop < end and data[stop] != 0x0A:
        if data[stop] != 0x20 and data[stop] != 0x0D and not _DIGIT[data[stop]]:
            return False
        stop += 1
    return True


@inside
def _starts_anew(s: Any, word: Any, case: int) -> Any:
    """Whether a statement's first word at the head of a line starts one, though none has ended (as T-SQL allows)."""
    within = s.depth + s.block + s.pending + s.routine > 0
    if (s.start < 0) | within | (s.head == 0) | (case != s.head_case) | _GOES_ON[s.last]:
        return False
    if word == _SELECT:
        if s.head == _GRANT or s.head == _REVOKE:
            return False
        return s.selects > 0 or not _HOLDS_SELECT[s.head]
    if _STARTS[word]:
        return bool(s.head != _GRANT and s.head != _CREATE and s.last_kind != SIGN)
    if _CHANGES_ANEW[word]:
        ended = s.selects > 0 or s.has_equals > 0 or s.head == _DECLARE
        return (
            ended and s.head != _WITH and s.last_kind != SIGN and s.last != _FOR and s.last != _ON
        )
    return False


@inside
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
    if s.tokens - 1 < 8 and _DEFINES[s.head]:
        if value & OBJECT and s.object == 0:
            s.object = word
        if value & ROUTINE and s.depth == 0:
            s.routine = 1
    if s.tokens == 1:
        if s.head == _BEGIN and not _TRANSACTIONS[word]:
            s.routine, s.block = 1, 1
        if s.head == _DECLARE and data[i] != 0x40:
            s.routine, s.pending = 1, 1
        if (s.head == _IF) | (s.head == _WHILE):
            s.routine = 1
    if (s.head == _DECLARE) & (word == _CURSOR) & (s.tokens == 2):
        s.routine, s.pending = 0, 0
    if s.routine:
        if word == _BEGIN:
            s.block += 1
            s.pending = 0
        elif word == _CASE and s.block > 0:
            s.block += s.last != _END
        elif word == _END:
            s.block = max(s.block - 1, 0)
        elif s.last == _END and _LOOPS[word]:
            s.block += 1  # the END was theirs
        elif s.body and (value & KEYWORD == 0) | (word == _DECLARE) | (s.last == _IS):
            s.pending = 1
        if word in (_AS, _IS) and s.block == 0:
            s.body = 2
            if s.object == _PACKAGE:
                s.block = 1
    if word == _SELECT:
        s.selects += s.depth == 0
    elif word == _FROM:
        if s.depth == 0 and s.from_case == 0:
            s.from_case = case
        s.target = 1
    elif _TARGETS[word]:
        s.target = 1
    elif _CHANGES[word]:
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
    elif s.last_byte == 0x2C and word in (_AND, _OR):
        s.prose += 2  # "this, that, and those"


@inside
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
            elif _UNLIKELY[byte] and stop == i + 1:
                s.prose += 2
            elif byte == 0x2E or byte == 0x3A:
                # The end of a sentence, or a colon before a list.
                ends = stop >= end or data[stop] <= 0x20
                if stop == i + 1 and ends and i > 0 and data[i - 1] > 0x20:
                    s.prose += 2
    s.tokens += 1
    s.stop = stop
    s.last, s.last_kind, s.last_byte = word, kind, byte


@inside
def is_command(data: np.ndarray, i: int, end: int) -> bool:
    """Whether a command of psql (\\d) or sqlite3 (.mode) begins at byte i, where a line does; inside kernels."""
    return bool(_COMMANDS[data[i]] and _WORD[peek(data, i + 1, end)])


@inside
def _same(data: np.ndarray, i: int, end: int, j: int, width: int) -> bool:
    if i + width > end:
        return False
    same = True
    for k in range(width):
        same &= data[i + k] == data[j + k]
    return same


@inside
def _rows_end(data: np.ndarray, i: int, end: int) -> int:
    r"""The end of COPY's rows, which a line \. closes."""
    i = line_end(data, i, end)
    while i < end:
        if i + 2 < end and data[i + 1] == 0x5C and data[i + 2] == 0x2E:
            return i + 3
        i = line_end(data, i + 1, end)
    return end


@inside
def walk(
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
    totals: np.ndarray,
    state: np.ndarray,
    samples: np.ndarray,
    hits: np.ndarray,
    seen: np.ndarray,
    places: np.ndarray,
    spans: np.ndarray,
) -> bool:
    """Adds the piece data[start:end] to `totals[0]` and `places[place]` if it holds a statement that is SQL by itself,
    or is declared to be SQL; a sample of its statements goes to `samples`, the marks of dialects they hold to
    `seen`, and the first statements to `spans` (rows of start, end, kind). Inside kernels."""
    row, s = totals[0], state[0]
    totals[1] = totals[0]
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
            rest = line_end(data, i, end)
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
            elif value & HEAD and _starts_anew(s, word, case_of(data, i, stop)):
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
                copied = chars_of(data, before, i)
                row.data_chars += copied
                row.chars += copied
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
    if where != DECLARED and row.strong == totals[1].strong:
        totals[0] = totals[1]
        return False
    places[place] += row.chars - totals[1].chars
    return True


@inside
def escapes_quotes(data: np.ndarray, start: int, end: int) -> bool:
    """Whether a backslash escapes quotes here: one stands before a quote that a letter follows, or identifiers
    stand in backticks, as in MySQL; inside kernels."""
    for i in range(start, end - 2):
        if data[i] == 0x5C and data[i + 1] == 0x27 and is_word(data[i + 2]):
            return True
        if data[i] == 0x60 and is_word(data[i + 1]):
            return True
    return False
