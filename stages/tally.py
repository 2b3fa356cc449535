"""Counts of measured documents by the rules they fail: what `whatif` asks its questions of.

Input groups stream by. A document without duplicates ends in a count by (class, failed rules); a member
of a cluster is kept as a row, since the rules say which member stays. The tables are DuckDB's.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import fixed_binary
from coursepack.pipeline.database import connect
from coursepack.pipeline.documents import PLACE_BITS
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.hashing import CHOICE_BITS, choice
from coursepack.pipeline.recipe import Recipe
from coursepack.stages.catalogue import Signal
from coursepack.stages.domains import domain_column, uses_tags
from coursepack.stages.examples import beside
from coursepack.stages.inventory import Inventory
from coursepack.stages.judged import Judged, signals_read
from coursepack.stages.measure import Measured, in_sample
from coursepack.stages.own_signals import signals_of
from coursepack.stages.rules import Rule, scope_sql

_T = TypeVar("_T")
MOST_RULES = 63  # bits of an int64 that is not negative
# Rows that one query counts: planning a query of many rules takes as long as counting 50,000 rows.
_BATCH_ROWS = 500_000
_FEW = 0.5  # share of rows below which it pays to copy them before rules are judged
_AHEAD = 2  # input groups read before they are wanted
_RECORD = ("doc", "content", "bytes", "metadata", "subset", "reject")
_JUDGED = ("_class", "_source", "doc", "bytes", "content", "metadata")
_TABLES = """
create table classes (class bigint, source varchar, domain varchar, language varchar);
create table rejects (class bigint, documents bigint);
create table cube (class bigint, failed bigint, step bigint,
                   documents hugeint, bytes hugeint, squares double);
create table members (class bigint, failed bigint, step bigint, bytes bigint, component bigint,
                      doc bigint, source varchar, priority bigint, content blob, metadata bigint);
"""


@dataclass
class Tally:
    """Counts of the documents of a recipe, as DuckDB tables that `connection` knows.

    `cube` counts documents alone: bits of `failed` are the places of `rules`, `step` is how many of
    `steps` (predicates as DuckDB's SQL, in the order of a threshold) are not true, `squares` is the sum of squared
    bytes. `members` has a row for each document of a cluster. `rejects` counts records that are no
    documents. Counts are of a hash sample of `share` of the clusters, but for `rejects`.
    """

    recipe: Recipe
    rules: tuple[Rule, ...]
    steps: tuple[str, ...] = ()
    share: float = 1.0
    judged: Judged | None = None  # knows of the first of `rules`: those that the recipe has
    connection: duckdb.DuckDBPyConnection = field(default_factory=connect)
    _classes: dict[tuple[int, str, str | None], int] = field(default_factory=dict)
    samples: list[pa.Table] = field(
        default_factory=list
    )  # the documents that `read` was asked to show
    _scopes: list[int] = field(default_factory=list)  # of each class: bits of the rules it is under

    def __post_init__(self) -> None:
        self.connection.execute(_TABLES)

    @cached_property
    def _new(self) -> dict[int, Rule]:
        """The rules to judge here, by bit: the last of `rules`."""
        first = len(self.judged.rules) if self.judged else 0
        return dict(enumerate(self.rules[first:], first))

    @cached_property
    def _scope_sql(self) -> str:
        """The bits of the new rules that a (source, domain, language) is under."""
        bits: dict[tuple[str, ...], int] = {}
        for number, rule in self._new.items():
            bits[rule.scope] = bits.get(rule.scope, 0) | 1 << number
        rules = {rule.scope: rule for rule in self.rules}
        scopes = [
            f"({scope_sql(rules[scope]).duckdb})::bigint * {of}" for scope, of in bits.items()
        ]
        return " + ".join(scopes) or "0"

    def read(
        self,
        inventory: Inventory,
        measured: Measured,
        clusters: tuple[np.ndarray, np.ndarray],
        signals: Iterable[str],
        shown: Callable[[int], pa.Table] | None = None,
    ) -> None:
        """Count all groups; `clusters` is (doc, ascending, and its component), int64.

        `shown(group)` is a table of documents (doc, ascending, and whatever else) that go to `samples`, with
        their signals, source and domain.
        `signals` are columns to read beside those of the new rules. Raises WorkspaceError where column groups of an
        input group are not of the same documents, or decisions not what they should be.
        """
        tags = {"tag"} if uses_tags(self.recipe) else set()
        named = tags.union(signals, signals_read(self._new.values()))
        known = signals_of(self.recipe)
        waiting: list[pa.Table] = []
        to_show: list[pa.Table] = []

        def load(group: int) -> tuple[pa.Table, pa.Table | None]:
            again = self.judged.again(group) if self.judged else ()
            more = signals_read(self.rules[bit] for bit in again)
            wanted = _by_group(named | more, known)
            table = self._documents(inventory, measured, group, wanted)
            if self.judged:
                failed = self.judged.failed(group, self._named(table))
                table = table.append_column("_failed", failed)
                table = table.drop_columns(sorted(more - named - {*_RECORD}))
            return table, beside(table, shown(group)) if shown else None

        for table, sample in _ahead(load, inventory.groups):
            if sample is not None:
                to_show.append(sample)
            waiting.append(table)
            if sum(table.num_rows for table in waiting) >= _BATCH_ROWS:
                self._add(pa.concat_tables(waiting), clusters)
                waiting = []
        if any(table.num_rows for table in waiting):
            self._add(pa.concat_tables(waiting), clusters)
        if to_show:
            self.samples.append(
                self._named(pa.concat_tables(to_show, promote_options="permissive"))
            )

    def _documents(
        self, inventory: Inventory, measured: Measured, group: int, wanted: Mapping[str, list[str]]
    ) -> pa.Table:
        """The records of the recipe's files in one group, with the signals."""
        columns = list(dict.fromkeys([*_RECORD, *wanted["record"]]))
        table = measured.read("record", group, columns)
        for column_group, names in wanted.items():
            if column_group == "record" or not names:
                continue
            more = measured.read(column_group, group, ["doc", *names])
            if not more["doc"].equals(table["doc"]):
                raise WorkspaceError(
                    f"columns {column_group!r} of group {group} are out of step; "
                    "delete the measurements of that group and run again"
                )
            for name in names:
                table = table.append_column(name, more[name])
        source = inventory.source_of(table["doc"].to_numpy(), PLACE_BITS)
        table = table.append_column("_source", pa.array(source.astype(np.int64)))
        return table if (source >= 0).all() else table.filter(pa.array(source >= 0))

    def _named(self, table: pa.Table) -> pa.Table:
        """With source and domain, and a language, which a scope may ask for."""
        source = table["_source"].to_numpy()
        names = pa.array([s.name for s in self.recipe.source]).take(pa.array(source))
        domain = domain_column(self.recipe, source, table["subset"], self._tag(table))
        table = table.append_column("source", names).append_column("domain", domain)
        if "language" not in table.schema.names:
            table = table.append_column("language", pa.nulls(table.num_rows, pa.string()))
        return table

    def _add(self, table: pa.Table, clusters: tuple[np.ndarray, np.ndarray]) -> None:
        table = table.append_column("_class", pa.array(self._class_of(table)))
        rejected = pc.is_valid(table["reject"]).to_numpy()
        if rejected.any():
            self._insert("insert into rejects select _class, count(*) from rows group by all",
                         table.select(["_class"]).filter(pa.array(rejected)))  # fmt: skip
        component = component_of(table["doc"].to_numpy(), *clusters)
        counted = ~rejected
        if self.share < 1:
            counted &= self._chosen(table["content"], component)
        if counted.mean() < _FEW:
            table, component = table.filter(pa.array(counted)), component[counted]
            counted = np.ones(len(component), np.bool_)
        # rules are judged on all rows: to copy most rows of many columns takes as long
        table = self._judged(table).append_column("_component", pa.array(component))
        self._add_alone(table.filter(pa.array(counted & (component < 0))))
        if (members := counted & (component >= 0)).any():
            self._add_members(table.filter(pa.array(members)))

    def _chosen(self, content: pa.ChunkedArray, component: np.ndarray) -> np.ndarray:
        """The hash sample: by content where alone, else by whole clusters, which share their fate."""
        chosen = in_sample(content, self.share * self.recipe.sample)
        pairs = np.repeat(component.astype(">i8")[:, None], 2, axis=1).copy()
        hashes = choice(0, "whatif", fixed_binary(pairs.view(np.uint8)))
        return np.where(component < 0, chosen, hashes < int(self.share * float(1 << CHOICE_BITS)))

    def _add_alone(self, table: pa.Table) -> None:
        self._insert(
            """insert into cube select _class, failed, step, count(*), sum(bytes),
            sum(bytes::double * bytes) from rows group by all""",
            table.select(["_class", "failed", "step", "bytes"]),
        )

    def _add_members(self, table: pa.Table) -> None:
        sources = self.recipe.source
        source = table["_source"].to_numpy()
        names = pa.array([s.name for s in sources]).take(pa.array(source))
        priorities = np.array([s.priority for s in sources], np.int64)[source]
        table = table.append_column("_name", names).append_column("_priority", pa.array(priorities))
        self._insert(
            """insert into members select _class, failed, step, bytes, _component, doc, _name,
            _priority, content, metadata from rows""",
            table,
        )

    def _judged(self, table: pa.Table) -> pa.Table:
        """What is asked of documents later on, with `failed`, the rules that fire, and `step`.

        A sum of constants, as `rules.verdict_sql` has it: to DuckDB a sum of products is twice the work.
        """
        bits = [
            f"case when {rule.fires.duckdb} then {1 << number}::bigint else 0 end"
            if rule.unknown == "keep"
            else f"case when not ({rule.fires.duckdb}) then 0 else {1 << number}::bigint end"
            for number, rule in self._new.items()
        ]
        judged = "_failed" if self.judged else "0"
        steps = [f"case when {step} then 0 else 1::bigint end" for step in self.steps]
        scopes = np.array(self._scopes, np.int64)[table["_class"].to_numpy()]
        self.connection.register("documents", table.append_column("_scope", pa.array(scopes)))
        found = self.connection.sql(
            f"select ({judged} | (({' + '.join(bits) or '0'}) & _scope))::bigint as failed, "
            f"({' + '.join(steps) or '0'})::bigint as step from documents"
        ).to_arrow_table()  # in the order of `documents`: preserve_insertion_order is on
        self.connection.unregister("documents")
        table = table.select(_JUDGED)
        for name in found.schema.names:
            table = table.append_column(name, found[name])
        return table

    def _insert(self, sql: str, rows: pa.Table) -> None:
        self.connection.register("rows", rows)
        self.connection.execute(sql)
        self.connection.unregister("rows")

    def _class_of(self, table: pa.Table) -> np.ndarray:
        """The number (int64) of each record's (source, domain, language); new ones are numbered.

        Domains and numbers are looked up once for each different (source, subset, tag, language).
        """
        source = table["_source"].to_numpy()
        names = ["subset", *(["tag"] if uses_tags(self.recipe) else [])]
        if "language" in signals_read(self._new.values()):
            names.append("language")
        texts = {name: table[name].combine_chunks().dictionary_encode() for name in names}
        parts = [source, *(_codes(column) for column in texts.values())]
        shape = [len(self.recipe.source), *(len(c.dictionary) + 1 for c in texts.values())]
        code = pa.array(np.ravel_multi_index(tuple(parts), tuple(shape))).dictionary_encode()
        place = code.indices.to_numpy()
        first = np.empty(len(code.dictionary), np.int64)
        first[place] = np.arange(len(place))  # a row that has the code
        rows, sources = table.select(names).take(pa.array(first)), source[first].tolist()
        domains = domain_column(self.recipe, source[first], rows["subset"], self._tag(rows))
        languages = rows["language"].to_pylist() if "language" in names else [None] * len(first)
        keys = zip(sources, domains.to_pylist(), languages, strict=True)
        found: np.ndarray = np.array([self._number(*key) for key in keys], np.int64)[place]
        return found

    def _tag(self, table: pa.Table) -> pa.ChunkedArray | None:
        return table["tag"] if uses_tags(self.recipe) else None

    def _number(self, source: int, domain: str, language: str | None) -> int:
        key = (source, domain, language)
        if key not in self._classes:
            self._classes[key] = len(self._classes)
            named = [self.recipe.source[source].name, domain, language]
            self.connection.execute(
                "insert into classes values (?, ?, ?, ?)", [self._classes[key], *named]
            )
            [[scope]] = self.connection.execute(
                f"select ({self._scope_sql})::bigint from "
                "(select ? as source, ? as domain, ?::varchar as language)",
                named,
            ).fetchall()
            self._scopes.append(scope)
        return self._classes[key]

    def rows(self, sql: str) -> Iterator[dict[str, Any]]:
        """The rows of a query of the tables."""
        yield from self.connection.sql(sql).to_arrow_table().to_pylist()


def component_of(doc: np.ndarray, known: np.ndarray, component: np.ndarray) -> np.ndarray:
    """The component (int64) of each `doc`, -1 where it is not among `known` (ascending)."""
    found = np.full(len(doc), -1, np.int64)
    if not len(doc):
        return found
    low, high = np.searchsorted(known, [doc.min(), doc.max() + 1])
    if low == high:
        return found
    if np.all(doc[1:] > doc[:-1]):  # members are fewer than documents: look those up
        at = np.minimum(np.searchsorted(doc, known[low:high]), len(doc) - 1)
        hit = doc[at] == known[low:high]
        found[at[hit]] = component[low:high][hit]
        return found
    at = np.minimum(np.searchsorted(known[low:high], doc) + low, high - 1)
    hit = known[at] == doc
    found[hit] = component[at[hit]]
    return found


def _codes(column: pa.DictionaryArray) -> np.ndarray:
    """The place of each value in the dictionary, int64; behind it where there is none."""
    codes = column.indices.fill_null(len(column.dictionary))
    found: np.ndarray = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _ahead(load: Callable[[int], _T], groups: Sequence[int]) -> Iterator[_T]:
    """What `load` gives for each group, made by another thread while the ones before are counted."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(load, group) for group in groups[:_AHEAD])
        for number in range(len(groups)):
            loaded = waiting.popleft().result()
            if number + _AHEAD < len(groups):
                waiting.append(pool.submit(load, groups[number + _AHEAD]))
            yield loaded


def _by_group(signals: Set[str], known: Mapping[str, Signal]) -> dict[str, list[str]]:
    """The signals by the column group that holds them; `language` is one where a scope may ask."""
    found: dict[str, list[str]] = {"record": []}
    for name in sorted(signals - set(_RECORD)):
        found.setdefault(known[name].group, []).append(name)
    return found
