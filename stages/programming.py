"""The programming language of a document: from its file name, its first lines, or a classifier.

The names are those of GitHub Linguist, as in The Stack. Extensions that several languages share are
settled by what the text holds.
"""

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, binary_array, text_buffers
from coursepack.stages.characters import BYTES, INDEX
from coursepack.stages.linear import Classifier, classify
from coursepack.stages.programming_names import ALIASES, AMBIGUOUS, EXTENSIONS, FILE_NAMES

# Cues are looked for in so many bytes from the start of a text.
HEAD_BYTES = 8192
# Mode lines, and what a text begins with, in so many.
MODE_BYTES = 1024
# Where only a classifier is left, it is asked when so many lines of the head end as lines of code do, and
# believed from this probability on.
CODE_LINES, LEAST_PROBABILITY = 0.25, 0.5

_SHEBANG = (
    r"\A#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+)*(?:\w+=\S*[ \t]+)*)?(?:[^\s/]*/)*"
    r"(?P<name>[A-Za-z+]+)"
)
_EMACS = r"-\*-[ \t]*(?:[^\n]*?\bmode:[ \t]*)?(?P<name>[A-Za-z+#]+)[ \t]*(?:;[^\n]*?)?-\*-"
_VIM = r"\bvim?:[^\n]*\b(?:ft|filetype|syntax)=(?P<name>[a-z+#]+)"
# A text that begins so needs no name.
_OPENERS = (
    ("PHP", r"\A\s*<\?php\b"),
    ("XML", r"\A\s*<\?xml\b"),
    ("HTML", r"(?i)\A\s*(<!doctype html|<html\b)"),
    ("TeX", r"\A\s*(%[^\n]*\n\s*)*\\documentclass\b"),
    ("PostScript", r"\A%!PS"),
)
# The text of a page is not in the language that its server runs, nor in that of the page.
_NOT_OF_URLS = ("HTML", "PHP", "Java Server Pages", "XML", "Text", "JSON", "Markdown", "CSV", "TSV")


def programming_signals(records: pa.RecordBatch, text: Text) -> pa.RecordBatch:
    """The column `programming_language`, from the columns `path` and `url` of the records and their text."""
    found = programming_language(records.column("path"), records.column("url"), text)
    return pa.RecordBatch.from_arrays([found], ["programming_language"])


def programming_language(
    path: Text, url: Text, text: Text, model: Classifier | None = None
) -> pa.Array:
    """The language of each document (string, Linguist's name, as "Python" or "C++"), null where unknown.

    The first that knows it wins: the name or extension of the file `path`, or without one that of `url` (not
    for languages of web pages); the `#!` line; an Emacs or Vim mode line or the first tag or command of the
    text; and `model`, a classifier whose labels are such names, for texts of which CODE_LINES of the
    lines end as code does. Cues in the first HEAD_BYTES settle extensions of several languages. Data and
    mark-up (JSON, Markdown, ...) have names too. A null in any column is the same as an empty one.
    """
    name = _file_names(path, url)
    of_names, of_extensions = _tables()
    found = _look_up(name, of_names)
    extension = pc.struct_field(pc.extract_regex(name, r"\.(?P<end>[^.]+)\z"), "end")
    found = pc.coalesce(found, _look_up(extension, of_extensions))
    from_url = pc.and_(_is_empty(path), pc.is_in(found, pa.array(_NOT_OF_URLS)))
    found = pc.if_else(from_url, pa.scalar(None, pa.string()), found)

    shared = pc.is_in(extension, pa.array(list(AMBIGUOUS)))
    found = _fill(found, shared, lambda e, t: _by_cues(e, heads(t, HEAD_BYTES)), extension, text)
    start = heads(text, MODE_BYTES)
    found = _fill(found, pc.and_(pc.is_null(found), pc.starts_with(start, "#!")), _shebang, start)
    found = _fill(found, pc.is_null(found), _opening, start)
    if model is not None:
        found = _fill(found, pc.is_null(found), lambda t: _ask(heads(t, HEAD_BYTES), model), text)
    return found


def heads(text: Text, size: int) -> pa.Array:
    """The first `size` bytes of each row as a large_binary column without nulls; a null row is empty."""
    offsets, data = text_buffers(text)
    ends = np.minimum(offsets[1:], offsets[:-1] + size)
    starts = np.append(0, np.cumsum(ends - offsets[:-1]))
    found = np.empty(starts[-1], np.uint8)
    _copy(offsets[:-1], ends, data, found)
    return binary_array(starts, found)


def code_line_ratios(text: Text) -> np.ndarray:
    """Lines that end as lines of code do, per line that is not blank (float64; 0 without lines).

    They end in one of `; { } ( ) [ ] :` or `\\`, which end few lines of prose.
    """
    offsets, data = text_buffers(text)
    ratios = np.zeros(len(offsets) - 1)
    _count_code_lines(offsets, data, ratios)
    return ratios


def _file_names(path: Text, url: Text) -> pa.Array:
    """The last part of each path, or of the path in the URL, in lower case; empty without one."""
    of_url = pc.struct_field(
        pc.extract_regex(_flat(url), r"\A[A-Za-z][\w+.-]*://[^/?#]*/(?P<path>[^?#]*)"), "path"
    )
    whole = pc.if_else(_is_empty(path), pc.fill_null(of_url, ""), _flat(path))
    return pc.ascii_lower(pc.replace_substring_regex(whole, r"\A.*[/\\]", ""))


def _one(column: Text) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _flat(column: Text) -> pa.Array:
    """One string array without nulls."""
    return pc.fill_null(_one(column).cast(pa.string()), "")


def _is_empty(column: Text) -> pa.Array:
    return pc.equal(_flat(column), "")


def _look_up(names: pa.Array, table: tuple[pa.Array, pa.Array]) -> pa.Array:
    return table[1].take(pc.index_in(names, table[0]))


@cache
def _tables() -> tuple[tuple[pa.Array, pa.Array], tuple[pa.Array, pa.Array]]:
    return _table(FILE_NAMES), _table(EXTENSIONS)


def _table(names: dict[str, str]) -> tuple[pa.Array, pa.Array]:
    """Names, and the language of each, from the names of each language."""
    pairs = [(name, language) for language, held in names.items() for name in held.split()]
    return pa.array([name for name, _ in pairs]), pa.array([language for _, language in pairs])


def _fill(
    found: pa.Array, rows: pa.Array, say: Callable[..., pa.Array], *columns: pa.Array
) -> pa.Array:
    """`found` with what `say` says of the columns' rows where `rows` holds, in one call."""
    rows = pc.fill_null(rows, False)
    if not pc.any(rows).as_py():
        return found
    said = say(*(_one(column).filter(rows) for column in columns))
    return pc.replace_with_mask(found, rows, said)


def _by_cues(extension: pa.Array, head: pa.Array) -> pa.Array:
    found = pa.nulls(len(head), pa.string())
    for shared, languages in AMBIGUOUS.items():
        held = pc.equal(extension, shared)
        if pc.any(held).as_py():
            found = _first_match(found, held, languages, head)
    return found


def _first_match(
    found: pa.Array, asked: pa.Array, languages: Iterable[tuple[str, str]], head: pa.Array
) -> pa.Array:
    for language, cue in languages:
        held = pc.and_(asked, pc.and_(pc.is_null(found), pc.match_substring_regex(head, cue)))
        found = pc.if_else(held, language, found)
    return found


def _shebang(head: pa.Array) -> pa.Array:
    return _named(head, _SHEBANG)


def _opening(head: pa.Array) -> pa.Array:
    found = _first_match(pa.nulls(len(head), pa.string()), pc.is_valid(head), _OPENERS, head)
    # a cue without `\b` lets RE2 look for its first letters, so that few texts see the whole pattern
    may_be_vim = pc.match_substring_regex(head, "vim?:")
    vim = _fill(pa.nulls(len(head), pa.string()), may_be_vim, lambda h: _named(h, _VIM), head)
    return pc.coalesce(_named(head, _EMACS), vim, found)


def _named(head: pa.Array, pattern: str) -> pa.Array:
    """The language of the interpreter or mode that `pattern` finds."""
    name = pc.struct_field(pc.extract_regex(head, pattern), "name")
    return _look_up(pc.ascii_lower(name.cast(pa.string())), _modes())


@cache
def _modes() -> tuple[pa.Array, pa.Array]:
    languages = {*EXTENSIONS, *(name for held in AMBIGUOUS.values() for name, _ in held)}
    names = {language.lower(): language for language in sorted(languages)} | ALIASES
    return pa.array(list(names)), pa.array(list(names.values()))


def _ask(head: pa.Array, model: Classifier) -> pa.Array:
    found = pa.nulls(len(head), pa.string())
    likely = pa.array(code_line_ratios(head) >= CODE_LINES)
    return _fill(found, likely, lambda h: _sure_label(h, model), head)


def _sure_label(head: pa.Array, model: Classifier) -> pa.Array:
    label, probability = classify(head, model)
    sure = pc.greater_equal(pc.round(probability, 3), LEAST_PROBABILITY)
    return pc.if_else(sure, label, pa.scalar(None, pa.string()))


@njit(types.void(INDEX, INDEX, BYTES, types.uint8[::1]), nogil=True, cache=True)
def _copy(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, found: np.ndarray) -> None:
    n = 0
    for row in range(len(starts)):
        start, size = starts[row], ends[row] - starts[row]
        for k in range(size):  # with indices that are not negative it is one call of memcpy
            found[uint64(n) + uint64(k)] = data[uint64(start) + uint64(k)]
        n += size


@njit(types.void(INDEX, BYTES, types.float64[::1]), nogil=True, cache=True)
def _count_code_lines(offsets: np.ndarray, data: np.ndarray, ratios: np.ndarray) -> None:
    for row in range(len(ratios)):
        lines = code = 0
        last = 0x20  # the last byte of the line that is no white space
        for i in range(offsets[row], offsets[row + 1] + 1):
            byte = data[i] if i < offsets[row + 1] else 0x0A
            if byte == 0x0A:
                lines += last != 0x20
                code += last == 0x3A or last == 0x3B or last == 0x28 or last == 0x29
                code += last == 0x7B or last == 0x7D or last == 0x5B or last == 0x5D or last == 0x5C
                last = 0x20
            elif byte > 0x20:
                last = byte
        if lines > 0:
            ratios[row] = code / lines
