"""Documents on either side of a rule or a threshold, from the sample that measure kept: no text is read.

Where a rule compares one signal with a number, those nearest to the number are shown; else any, by hash.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from coursepack.pipeline.database import connect
from coursepack.stages.rules import Rule, scope_sql, verdict_sql

EACH = 3  # documents a side
SHOWN = 200  # characters of a text
_COMPARISON = re.compile(r"(\w+) (?:<|<=|>|>=) (-?[0-9.e+-]+)")


@dataclass(frozen=True)
class Example:
    """A document of the sample: which side of the rule it is on, and the values that put it there."""

    rule: str
    dropped: bool
    source: str
    domain: str
    name: str  # its URL, path or id, redacted; "" where it has none
    values: Mapping[str, Any]  # of the rule's signals
    text: str  # its beginning, redacted, in one line


def examples(rules: Sequence[Rule], documents: pa.Table) -> tuple[Example, ...]:
    """A few of `documents` that each rule drops, and that it leaves, within its scope.

    `documents` has source, domain, language, lot, head, name and the signals that the rules name.
    """
    found: list[Example] = []
    for rule in rules:
        compared = _COMPARISON.fullmatch(rule.fires.text)
        near = f'abs("{compared[1]}" - ({compared[2]}))' if compared else "lot"
        for dropped in (True, False):
            with connect(1) as connection:
                connection.register("documents", documents)
                rows = connection.sql(
                    f"""select * from documents
                    where ({scope_sql(rule).duckdb})
                    and {"" if dropped else "not"} ({verdict_sql(rule).duckdb})
                    order by {near}, lot limit {EACH}"""
                )
                found += [_example(rule, dropped, row) for row in rows.to_arrow_table().to_pylist()]
    return tuple(found)


def _example(rule: Rule, dropped: bool, row: Mapping[str, Any]) -> Example:
    values = {signal: row[signal] for signal in rule.fires.signals}
    text = _printable(" ".join(row["head"].split()))
    shown = text[:SHOWN] + ("…" if len(text) > SHOWN else "")
    return Example(
        rule.name,
        dropped,
        row["source"],
        row["domain"],
        _printable(row["name"] or ""),
        values,
        shown,
    )


def _printable(text: str) -> str:
    """No control characters: a document must not steer the terminal it is shown on."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def beside(documents: pa.Table, samples: pa.Table) -> pa.Table:
    """The rows of `documents` that are in `samples` (both ascending by `doc`), with their lot, head and name."""
    at = np.searchsorted(documents["doc"].to_numpy(), samples["doc"].to_numpy())
    there = at < documents.num_rows
    there[there] = documents["doc"].to_numpy()[at[there]] == samples["doc"].to_numpy()[there]
    rows = documents.take(pa.array(at[there]))
    kept = samples.filter(pa.array(there))
    for name in ("lot", "head", "name"):
        rows = rows.append_column(name, kept[name])
    return rows
