"""The recipe's own rules as decide judged them: read from its decisions, and judged again in part, as a proof.

To read all signals takes as long as the rest of a question that changes one rule. So an input group is asked for a
few of the rules alone: every group and every rule takes part, and a record that a rule fires on otherwise than the
decisions say is an error.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from coursepack.pipeline.database import connect
from coursepack.pipeline.errors import WorkspaceError
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import group_name
from coursepack.stages.rules import Rule, scope_sql, verdict_sql

PROOFS = 8  # input groups that a rule is judged again on, at least; all where there are fewer


@dataclass(frozen=True)
class Judged:
    """Which of `rules` (the recipe's, rule i is bit i) the records of `groups` fail, as `decided` has it."""

    decided: Decided
    rules: tuple[Rule, ...]
    groups: tuple[int, ...]
    # to open one takes longer than to judge a group
    _connection: duckdb.DuckDBPyConnection = field(default_factory=connect)

    def again(self, group: int) -> list[int]:
        """The bits of the rules that are judged again on a group: the rules in turn, as groups come."""
        count = len(self.rules)
        size = min(count, -(-PROOFS * count // len(self.groups)))
        first = self._places[group] * size
        return [(first + step) % count for step in range(size)]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {group: place for place, group in enumerate(self.groups)}

    @cached_property
    def _fires(self) -> list[str]:
        return [f"({scope_sql(r).duckdb}) and ({verdict_sql(r).duckdb})" for r in self.rules]

    def failed(self, group: int, documents: pa.Table) -> pa.Array:
        """Bits of the rules (int64) that each record of a group fails; a rejected one fails none.

        `documents` has doc, reject, source, domain, language, and the signals of the rules that are judged again.
        Raises WorkspaceError where the decisions are on other records, or a rule fires on others than they say.
        """
        dataset = self.decided.dataset
        found = dataset.read(self.decided.records[group_name(group)], ["doc", "failed"])
        if not found["doc"].equals(documents["doc"]):
            raise WorkspaceError(
                f"{dataset.url!r} is not of the records of group {group} that were measured; delete it and run "
                "`coursepack curate` again"
            )
        failed = found["failed"].combine_chunks()
        again = self.again(group)
        for bit, fires in zip(again, self._judge(again, documents), strict=True):
            wrong = np.count_nonzero(fires != (failed.to_numpy() >> bit & 1))
            if wrong:
                raise WorkspaceError(
                    f"{dataset.url!r} and the measurements differ in whether rule {self.rules[bit].name!r} fires, "
                    f"on {wrong:,} records of group {group}; delete it and run `coursepack curate` again"
                )
        return failed

    def _judge(self, bits: list[int], documents: pa.Table) -> list[np.ndarray]:
        """Whether each rule fires on each record, 1 or 0."""
        if not bits:
            return []
        fires = [f"(reject is null and {self._fires[bit]})::bigint as r{bit}" for bit in bits]
        self._connection.register("documents", documents)
        found = self._connection.sql(f"select {', '.join(fires)} from documents").fetchnumpy()
        self._connection.unregister("documents")
        return [found[f"r{bit}"] for bit in bits]


def signals_read(rules: Iterable[Rule]) -> set[str]:
    """The columns that rules and their scopes ask for, beside source and domain."""
    rules = tuple(rules)
    scoped = any("lang=" in text for rule in rules for text in rule.scope)
    return {name for rule in rules for name in rule.fires.signals} | ({"language"} if scoped else set())  # fmt: skip
