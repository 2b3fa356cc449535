"""SQL in a text: how much, where, of which kinds and dialect, and how much of it parses.

Kernels tell the texts without SQL, find the pieces of SQL in the others and cut them into statements
(`sqlfind`, `sqlsplit`); sqlglot parses a bounded sample of each (`sqlparse`). No peer measures SQL: these
signals are our own.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from coursepack.pipeline.arrow import Text, int32s, ratio, text_buffers
from coursepack.stages.copies import head_ends
from coursepack.stages.notebooks import cells, may_be_notebook
from coursepack.stages.sqlfind import EVERYWHERE, PLACES, Sql, count_chars, find_sql, may_hold_sql
from coursepack.stages.sqlparse import ANSI, MOST_STATEMENTS, judge, marked
from coursepack.stages.sqlsplit import Found
from coursepack.stages.sqlwords import DIALECTS

# A predicate over these signals: what makes a text one of the domain `sql`.
LOOKS_LIKE_SQL = "sql_statements >= 1 and sql_char_ratio >= 0.5"
DUMP = 0.8  # share of a text's SQL that is inserted rows


def sql_signals(text: Text) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    `sql_char_ratio` is the share of the text's code points that stand in SQL: the whole file, Markdown's fences,
    notebooks' SQL cells, strings of other code, lines between other lines; null where the text is empty.
    Where there is no SQL, it and `sql_statements` are 0, the two booleans false, and all else null.

    `sql_embedded` says where most of it stands: file, markdown, notebook, code or text (lines between others).
    `sql_query_ratio`, `sql_dml_ratio` and `sql_ddl_ratio` are shares of the statements; transactions, variables
    and calls of procedures are the rest. `sql_join_ratio` is the share of queries with a JOIN, null without
    queries. `sql_insert_char_ratio` (INSERT ... VALUES, and COPY's rows) and `sql_comment_ratio` are shares of
    the code points of SQL. `is_insert_dump`: the former is at least DUMP. `is_schema_only`: a statement defines
    something, and none queries or changes data.

    `sql_dialect` is that of DIALECTS which left the most marks, or ansi where none left any.

    Of a text longer than HEAD_BYTES the head is measured.
    """
    offsets, data = text_buffers(text)
    ends = head_ends(offsets, data)
    starts = offsets[: len(ends)]
    totals = np.zeros(len(ends), Found)
    places = np.zeros((len(ends), len(PLACES)), np.int64)
    scores = np.zeros((len(ends), len(DIALECTS)), np.int64)
    flagged = np.flatnonzero(may_hold_sql(starts, ends, data))
    for rows, found, _ in _found(flagged, starts, ends, data):
        totals[rows], places[rows], scores[rows] = found.totals, found.places, found.scores
    held = totals["chars"]
    statements = totals["statements"]
    with_sql = np.flatnonzero(held)
    chars = np.ones(len(ends), np.int64)
    chars[with_sql] = count_chars(starts[with_sql], ends[with_sql], data)
    return pa.RecordBatch.from_pydict(
        {
            "sql_statements": int32s(statements),
            "sql_char_ratio": pa.array(held / chars, mask=ends == starts),
            "sql_embedded": _names(PLACES, places.argmax(axis=1), held > 0),
            "sql_query_ratio": ratio(totals["query"], statements),
            "sql_dml_ratio": ratio(totals["dml"], statements),
            "sql_ddl_ratio": ratio(totals["ddl"], statements),
            "sql_join_ratio": ratio(totals["joined"], totals["query"]),
            "sql_mean_statement_chars": ratio(totals["own_chars"], statements),
            "sql_insert_char_ratio": ratio(totals["data_chars"], held),
            "sql_comment_ratio": ratio(totals["comment_chars"], held),
            "is_insert_dump": pa.array((held > 0) & (totals["data_chars"] >= DUMP * held)),
            "is_schema_only": pa.array(
                (totals["ddl"] > 0) & (totals["query"] == 0) & (totals["dml"] == 0)
            ),
            "sql_dialect": _names((*DIALECTS, ANSI), marked(scores), held > 0),
        }
    )


def _names(names: Sequence[str], chosen: np.ndarray, valid: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(chosen, mask=~valid))


def sql_parse_signals(text: Text) -> pa.RecordBatch:
    """`sql_parse_ratio` (float64), one row a text: how much of its SQL parses.

    The share of at most 8 statements of at most 2,000 bytes, spread evenly, that sqlglot parses in the dialect of
    their marks, in one with nearly as many, or in its generic one; null where there is none to try. Statements
    for which sqlglot has no grammar (bodies of procedures, GRANT, SHOW, many an ALTER) do not count. sqlglot
    takes about 0.3 ms a statement, so this is a family of its own, measured where a rule asks for it.
    """
    offsets, data = text_buffers(text)
    ends = head_ends(offsets, data)
    starts = offsets[: len(ends)]
    ratios: list[float | None] = [None] * len(ends)
    flagged = np.flatnonzero(may_hold_sql(starts, ends, data))
    for rows, found, source in _found(flagged, starts, ends, data):
        for place, row in enumerate(rows.tolist()):
            if found.totals["chars"][place]:
                sample = _sample(found, place, source)
                _, parsed, failed = judge(sample, found.scores[place].tolist())
                ratios[row] = parsed / (parsed + failed) if parsed + failed else None
    return pa.RecordBatch.from_pydict({"sql_parse_ratio": pa.array(ratios, pa.float64())})


def _found(
    flagged: np.ndarray, starts: np.ndarray, ends: np.ndarray, data: np.ndarray
) -> Iterator[tuple[np.ndarray, Sql, np.ndarray]]:
    """Rows, the SQL in them, and the bytes it is found in: notebooks one by one, then all the rest."""
    plain = []
    for row in flagged.tolist():
        source = _cells(data[starts[row] : ends[row]])
        if source is None:
            plain.append(row)
            continue
        bounds, within = np.array([0, len(source)]), np.array([PLACES.index("notebook")])
        yield np.array([row]), find_sql(bounds[:1], bounds[1:], source, within), source
    rows = np.array(plain, np.int64)
    yield rows, find_sql(starts[rows], ends[rows], data, np.full(len(rows), EVERYWHERE)), data


def _cells(text: np.ndarray) -> np.ndarray | None:
    """The cells of a notebook, as UTF-8."""
    if text[:1].tobytes() not in (b"{", b"#", b" ", b"\n"):
        return None
    whole = text.tobytes()
    found = cells(whole) if may_be_notebook(whole) else None
    return None if found is None else np.frombuffer(found.encode(), np.uint8)


def _sample(found: Sql, row: int, source: np.ndarray) -> list[str]:
    """At most MOST_STATEMENTS of a row's statements, spread evenly."""
    held = int(found.totals["samples"][row])
    count = min(held, MOST_STATEMENTS)
    chosen = [k * (held - 1) // max(count - 1, 1) for k in range(count)]
    bounds = found.samples[row, chosen].tolist() if chosen else []
    return [source[start:end].tobytes().decode(errors="replace") for start, end in bounds]
