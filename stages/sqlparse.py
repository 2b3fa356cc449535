"""A bounded sample of a text's statements, parsed by sqlglot: its dialect, and the share that parses."""

import logging
import re
from collections.abc import Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from coursepack.stages.sqlwords import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSI = "ansi"  # no marks of any dialect
MOST_STATEMENTS = 8
LEAST_SCORE = 2  # of a dialect's marks
MOST_DEPTH = 60  # of parentheses; sqlglot's recursion, and its second tries, grow with it

_PARSES, _FAILS, _NO_GRAMMAR = range(3)
_PLAIN_STRING = re.compile(r"'(?:[^'\\]|'')*'")
_PLAIN_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")
# In strings of other code: pieces put together, escapes, and places left for values.
_JOINED = re.compile(r"""(["'])\s*\\?\s*[+.&]?\s*\\?\s*[frbuFRBUN]?\1""")
_ESCAPED = re.compile(r"\\([nrt\n\"'`])")
_PLACEHOLDER = re.compile(
    r"\{\{.*?\}\}|[$#]\{[^{}]*\}|\{[^{}]*\}|%\(\w+\)[sd]|%[sd]|<%.*?%>|\$\w+", re.DOTALL
)
_BLOCK = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def marked(scores: np.ndarray) -> np.ndarray:
    """The dialect whose marks score most (a row a text, a column for each of DIALECTS), the first of equals, as its
    place in (*DIALECTS, ANSI)."""
    best: np.ndarray = scores.argmax(axis=1)
    best[scores.max(axis=1) < LEAST_SCORE] = len(DIALECTS)
    return best


def judge(statements: Sequence[str], scores: Sequence[int]) -> tuple[str, int, int]:
    """The dialect of statements, by the scores of its marks (one for each of DIALECTS) and by which dialect
    parses more of them; how many parse, in that dialect or in a generic one; and how many do not.

    Statements that sqlglot has no grammar for are neither.
    """
    best = max(scores)
    # a dialect with nearly the best score may win by parsing more
    near = [
        dialect
        for score, dialect in zip(scores, DIALECTS, strict=True)
        if score >= LEAST_SCORE and 4 * score >= 3 * best
    ]
    near.sort(key=lambda dialect: -scores[DIALECTS.index(dialect)])
    chosen, results = ANSI, [_FAILS] * len(statements)
    for dialect in near[:3]:
        found = [_parse(statement, dialect) for statement in statements]
        if chosen == ANSI or found.count(_PARSES) > results.count(_PARSES):
            chosen, results = dialect, found
        if _FAILS not in results:
            break
    for generic in (
        None,
        "mysql",
    ):  # in MySQL "x" is a string, as in much SQL that names no dialect
        if _FAILS in results:
            again = [
                r if r != _FAILS else _parse(s, generic)
                for s, r in zip(statements, results, strict=True)
            ]
            results = again
    return chosen, results.count(_PARSES), results.count(_FAILS)


def _parse(statement: str, dialect: str | None) -> int:
    """Whether sqlglot reads the statement, as it is or as it would be once its template is filled in."""
    plain = _PLAIN_NUMBER.sub("1", _PLAIN_STRING.sub("'s'", statement))
    found = _parse_plain(plain, dialect)
    if found == _FAILS:
        filled = _ESCAPED.sub(_unescaped, _JOINED.sub("", plain))
        filled = _PLACEHOLDER.sub("p0", _BLOCK.sub(" ", filled))
        if filled != plain:
            return _parse_plain(filled, dialect)
    return found


def _unescaped(match: re.Match[str]) -> str:
    return " " if match[1] in "nrt\n" else match[1]


# Literals are made alike before, so statements of one form are parsed once.
@lru_cache(maxsize=1 << 13)
def _parse_plain(statement: str, dialect: str | None) -> int:
    from sqlglot import exp, parse  # not before a text holds SQL: the import takes 0.2 s

    if statement.count("(") > MOST_DEPTH and _depth(statement) > MOST_DEPTH:
        return _FAILS
    try:
        with _silent():
            found = parse(statement, read=dialect)
    except Exception:
        # SqlglotError where it reads no SQL, RecursionError, and whatever else its parsers let escape
        return _FAILS
    trees = [tree for tree in found if tree is not None]
    # A command is what sqlglot has no grammar for, and takes as it stands.
    return _NO_GRAMMAR if any(isinstance(tree, exp.Command) for tree in trees) else _PARSES


@contextmanager
def _silent() -> "Iterator[None]":
    """sqlglot warns in the log of what it does not support; a corpus is full of that."""
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _depth(statement: str) -> int:
    depth = most = 0
    for sign in statement:
        depth += (sign == "(") - (sign == ")")
        most = max(most, depth)
    return most
