"""The domain that a document shows of itself: by its path, where it was found, its marks, or a classifier.

Paths and marks are rules that a person can read, set where they are almost never wrong; what they leave open
is asked of the recipe's classifier (`coursepack tagger train`), or stays without a tag.
"""

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import Text
from coursepack.stages.classifiers import likeliest
from coursepack.stages.identity import hosts
from coursepack.stages.linear import Classifier
from coursepack.stages.programming import CODE_LINES, code_line_ratios
from coursepack.stages.turns import turn_signals

# What paths, hosts and marks can say; a classifier has labels of its own.
SAID = (
    "books",
    "code",
    "dialogue",
    "encyclopedia",
    "instruction",
    "math",
    "science",
    "sql",
    "web",
)

LEAST_PROBABILITY = 0.5  # of a classifier's label
# of code points in SQL, as `sql.LOOKS_LIKE_SQL`
SQL_SHARE = 0.5
# Of 729 files of a LaTeX textbook on logic 75 % have so many code points in formulas; TeX below is prose of a science.
TEX_MATH_SHARE = 0.05
# Of text that is no TeX file; with so many commands, as `$x` is a variable of Perl and shells.
MATH_SHARE, MATH_COMMANDS = 0.1, 3
# Of code points in sums: 96 % of 7,473 school problems with solutions, 0.7 % of 8,348 prompts with answers, and
# of 17,178 pages, chapters and Wikipedia paragraphs two.
ARITHMETIC_SHARE = 0.03
QUESTION_ARITHMETIC_SHARE = 0.01  # of a text that is `Q:` and `A:`; 99.6 % of those problems

# Files in a language that say nothing about what the text is: prose, tables, and records of anything.
_NO_CODE = ("Markdown", "reStructuredText", "Org", "Text", "JSON", "CSV", "TSV", "BibTeX")
# A page or a feed begins like a file of these, and is none.
_PAGES = ("HTML", "XML", "SVG", "PHP", "PostScript")
_MOST_NAMES = 5  # of a host that are looked at
# Hosts, with those below them, whose pages are of one kind.
_HOSTS = {
    "encyclopedia": "wikipedia.org britannica.com",
    "science": "arxiv.org biorxiv.org medrxiv.org ncbi.nlm.nih.gov journals.plos.org",
    # communities of questions and answers, as StackExchange in RedPajama; Hacker News as in The Pile
    "dialogue": "stackexchange.com stackoverflow.com serverfault.com superuser.com askubuntu.com"
    " mathoverflow.net news.ycombinator.com reddit.com",
    "books": "gutenberg.org",
    "code": "raw.githubusercontent.com gist.githubusercontent.com",  # files as they are, not pages about them
    "math": "proofwiki.org planetmath.org mathworld.wolfram.com",
}

_NOTHING = pa.scalar(None, pa.string())


def tag_signals(
    path: Text,
    url: Text,
    text: Text,
    programming: pa.RecordBatch,
    sql: pa.RecordBatch,
    math: pa.RecordBatch,
    model: Classifier | None = None,
    least: float = LEAST_PROBABILITY,
) -> pa.RecordBatch:
    """`tag` (string, null where nothing says), `tag_from` (path, host, marker, classifier or url; null likewise) and
    `tag_score` (float64, 3 decimals: the classifier's probability of its likeliest label, null where it was not asked).

    `programming`, `sql` and `math` are the columns of those families for the same rows. The first that says it wins:

    - path: SQL is `sql`; TeX is `math` with TEX_MATH_SHARE of its code points in formulas, else `science`; a file of
      another language is `code`, unless that may hold anything (_NO_CODE).
    - host: the short table _HOSTS.
    - marker: turns of chat templates, of Alpaca's headings or of named speakers: `instruction`, or `dialogue` from
      two turns on. SQL_SHARE of the code points in SQL: `sql`. A preamble of LaTeX: as a path of TeX. MATH_SHARE in
      formulas with MATH_COMMANDS, or ARITHMETIC_SHARE in sums (less, in questions and answers): `math`. `Q:` and `A:`
      at the start: `instruction`. First lines of a programming language (`#!`, a mode line), where CODE_LINES of
      the lines end as code does: `code`.
    - classifier: its likeliest label, of at least the probability `least`.
    - url: a document from http or https that nothing else says anything of is `web`.

    A null in any column counts as absent.
    """
    language = programming.column("programming_language")
    has_path = pc.greater(pc.fill_null(pc.binary_length(_flat(path)), 0), 0)
    tag = pc.if_else(has_path, _of_language(language, math), _NOTHING)
    found = [
        (tag, "path"),
        (_of_host(url), "host"),
        (_of_marks(text, language, sql, math), "marker"),
    ]
    tag, origin = _first(found)
    score = pa.nulls(len(tag), pa.float64())
    open_ = pc.is_null(tag)
    if model is not None and pc.any(open_).as_py():
        label, probability = likeliest(_flat(text).filter(open_), model)
        score = pc.replace_with_mask(score, open_, probability)
        sure = pc.if_else(pc.greater_equal(probability, least), label, _NOTHING)
        guess = pc.replace_with_mask(pa.nulls(len(tag), pa.string()), open_, sure)
        found.append((guess, "classifier"))
    is_web = pc.match_substring_regex(pc.fill_null(_flat(url), ""), r"\A(?i:https?)://")
    found.append((pc.if_else(is_web, "web", _NOTHING), "url"))
    tag, origin = _first(found)
    return pa.RecordBatch.from_pydict({"tag": tag, "tag_from": origin, "tag_score": score})


def _flat(column: Text) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _first(found: list[tuple[pa.Array, str]]) -> tuple[pa.Array, pa.Array]:
    """The first tag of each row, and what said it."""
    said = [pc.if_else(pc.is_valid(tag), name, _NOTHING) for tag, name in found]
    return pc.coalesce(*(tag for tag, _ in found)), pc.coalesce(*said)


def _tex(math: pa.RecordBatch) -> pa.Array:
    much = pc.greater_equal(pc.fill_null(math.column("math_char_ratio"), 0), TEX_MATH_SHARE)
    return pc.if_else(much, "math", "science")


def _of_language(language: pa.Array, math: pa.RecordBatch) -> pa.Array:
    no_code = pc.is_in(language, pa.array(_NO_CODE))
    is_code = pc.and_(pc.is_valid(language), pc.invert(no_code))
    tag = pc.if_else(is_code, "code", _NOTHING)
    tag = pc.if_else(_is(language, "TeX"), _tex(math), tag)
    return pc.if_else(_is(language, "SQL"), "sql", tag)


def _is(column: pa.Array, value: str) -> pa.Array:
    return pc.fill_null(pc.equal(column, value), False)


def _of_host(url: Text) -> pa.Array:
    names, domains = _host_table()
    host = hosts(pc.fill_null(_flat(url), ""))
    found = pa.nulls(len(host), pa.string())
    # The host itself, then the domains above it, down to two names: en.m.wikipedia.org, m.wikipedia.org, ...
    for _ in range(_MOST_NAMES):
        found = pc.coalesce(found, domains.take(pc.index_in(host, names)))
        host = pc.replace_substring_regex(host, r"\A[^.]*\.", "")
    return found


@cache
def _host_table() -> tuple[pa.Array, pa.Array]:
    pairs = [(host, domain) for domain, held in _HOSTS.items() for host in held.split()]
    return pa.array([host for host, _ in pairs]), pa.array([domain for _, domain in pairs])


def _of_marks(
    text: Text, language: pa.Array, sql: pa.RecordBatch, math: pa.RecordBatch
) -> pa.Array:
    turns = {name: column.to_numpy() for name, column in _named(turn_signals(text))}
    talk = np.maximum.reduce([turns[f"{kind}_turns"] for kind in ("token", "heading", "speaker")])
    said = np.where(talk > 1, "dialogue", "instruction")
    formulas = pc.and_(
        pc.greater_equal(math.column("math_char_ratio"), MATH_SHARE),
        pc.greater_equal(math.column("latex_commands"), MATH_COMMANDS),
    )
    asks = turns["question_turns"] > 0
    least = pa.array(np.where(asks, QUESTION_ARITHMETIC_SHARE, ARITHMETIC_SHARE))
    sums = pc.greater_equal(math.column("arithmetic_ratio"), least)
    is_sql = pc.and_(
        pc.greater_equal(sql.column("sql_statements"), 1),
        pc.greater_equal(sql.column("sql_char_ratio"), SQL_SHARE),
    )
    marks = (
        (pa.array(talk > 0), pa.array(said)),
        (is_sql, "sql"),
        (math.column("has_latex_preamble"), _tex(math)),
        (formulas, "math"),
        (sums, "math"),
        (pa.array(asks), "instruction"),
        (_first_lines_of_code(text, language), "code"),
    )
    return pc.coalesce(*(pc.if_else(holds, tag, _NOTHING) for holds, tag in marks))


def _named(columns: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
    return list(zip(columns.schema.names, columns.columns, strict=True))


def _first_lines_of_code(text: Text, language: pa.Array) -> pa.Array:
    """Whether a language is known, and the lines look like code."""
    said = pc.and_(
        pc.is_valid(language),
        pc.invert(pc.is_in(language, pa.array([*_NO_CODE, *_PAGES, "TeX"]))),
    )
    rows = np.flatnonzero(said.to_numpy(zero_copy_only=False))
    holds = np.zeros(len(said), np.bool_)
    if len(rows):
        holds[rows] = code_line_ratios(_flat(text).take(pa.array(rows))) >= CODE_LINES
    return pa.array(holds)
