"""Step 3, decide: every document gets keep, or the reason why not. No text takes part.

Rules are predicates over signals. Duplicates are found over all measured documents; the survivor of a
cluster is its best *eligible* member (one that passes the rules), by source priority, then content,
then the hash of the record's metadata, then the source's name; place decides only between records that
nothing else tells apart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from coursepack.pipeline.arrow import fixed_rows, text_buffers, totals
from coursepack.pipeline.database import connect
from coursepack.pipeline.documents import CHOSEN, DECISIONS, PLACE_BITS, REJECTS
from coursepack.pipeline.errors import SourceError, WorkspaceError
from coursepack.pipeline.hashing import choice, fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.tasks import merge, table_of, write_runs
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages.catalogue import SIGNALS, Signal
from coursepack.stages.components import GROUP, write_components
from coursepack.stages.domains import domain_column, uses_tags
from coursepack.stages.inventory import Inventory, group_name
from coursepack.stages.measure import Measured
from coursepack.stages.own_signals import signals_of
from coursepack.stages.quotas import within_quota
from coursepack.stages.rules import Quota, Rule, quotas_of, rules_of, scope_sql, verdict_sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EXACT, NEAR, SAME_URL = "exact_duplicate", "near_duplicate", "duplicate_url"


@dataclass(frozen=True)
class Decided:
    """What decide leaves: one slice an input group."""

    dataset: Dataset
    records: dict[str, Record]

    def fires(self) -> dict[str, dict[int, int]]:
        """Documents that each rule fires on, by source: rule -1 is all documents that were judged."""
        found: dict[str, dict[int, int]] = {}
        for record in self.records.values():
            for key, count in record.counts.items():
                kind, _, rest = key.partition("/")
                if kind in ("judged", "fires"):
                    bit, source = (-1, rest) if kind == "judged" else rest.split("/", 1)
                    sums = found.setdefault(source, {})
                    sums[int(bit)] = sums.get(int(bit), 0) + count
        return found

    def funnel(self) -> list[dict[str, Any]]:
        """Documents and bytes by source, domain and reason ('' where kept), from the commit records."""
        totals: dict[str, list[int]] = {}
        for record in self.records.values():
            for key, count in record.counts.items():
                kind, _, rest = key.partition(":")
                if kind in ("documents", "bytes"):
                    totals.setdefault(rest, [0, 0])[kind == "bytes"] += count
        return [
            dict(zip(("source", "domain", "reason"), key.split("/"), strict=True))
            | {"documents": documents, "bytes": size}
            for key, (documents, size) in sorted(totals.items())
        ]


def decide(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    measured: Measured,
    progress: Progress,
) -> Decided:
    """Decide on every measured document of the recipe's sources.

    Raises SourceError where a source has more rejected records than `limits.rejected` allows.
    """
    rules = rules_of(recipe)
    reading = Reading(recipe, inventory, measured)
    dataset = inventory.workspace.dataset("decisions", reading.fingerprint(rules))
    names = [group_name(group) for group in inventory.groups]
    found = dataset.records(names)
    with progress.step("decide", total_tasks=len(names)) as step:
        if len(found) == len(names):
            step.nothing_new(len(names))
        else:
            with step.spark(spark):
                components = find_components(spark, recipe, reading)
                frame = decisions(spark, rules, reading, components)
                partitions = recipe.execution.partitions or min(len(names), 200)
                made = write_runs(frame, "group", SliceWriter(dataset), partitions, ["doc"])
            found = merge(found, made)
            for name in set(names) - found.keys():  # groups without a single record
                found[name] = SliceWriter(dataset)(name, iter(()))
            found = dict(sorted(found.items()))
        # also when nothing is new: the run that wrote it may have ended before it came here
        _check_counts(inventory, measured, found)
        dataset.publish(found.values(), {"step": "decide", "rules": [r.name for r in rules]})
        step.done(rows=sum(record.rows for record in found.values()))
    decided = Decided(dataset, found)
    check_limits(recipe, decided)
    return decided


def find_components(
    spark: "SparkSession", recipe: Recipe, reading: "Reading"
) -> tuple[Dataset, Record] | None:
    """The clusters of duplicates, written once for all rules that are tried on them."""
    dataset = reading.inventory.workspace.dataset("components", reading.duplicates_fingerprint())
    found = dataset.records([GROUP]).get(GROUP)
    if found is None:
        edges = duplicate_pairs(spark, recipe, reading)
        if edges is None:
            return None
        found = write_components(edges, dataset)
    # also one that was there: the run that wrote it may have ended before it came here
    dataset.publish([found], {"step": "decide", "table": "components"})
    return dataset, found


def decisions(
    spark: "SparkSession",
    rules: tuple[Rule, ...],
    reading: "Reading",
    components: tuple[Dataset, Record] | None,
) -> "DataFrame":
    """One row a document: DECISIONS, and the `group` it belongs to."""
    from pyspark.sql import functions as F

    quotas = quotas_of(reading.recipe)
    docs = reading.documents(spark, rules)
    more = _quota_columns(quotas)
    if reading.recipe.dedup.url:
        docs, more = one_per_url(docs), [*more, "url_survivor"]
    if components is None:
        found = docs.selectExpr(
            "group", *DECISIONS.names[:6], "reason is null as keep", "reason", "failed",
            "cast(null as bigint) as survivor", *more,
        )  # fmt: skip
    else:
        dataset, record = components
        clusters = table_of(
            spark,
            [0],
            lambda _: iter(dataset.read(record).to_batches(1 << 16)),
            "doc bigint, component bigint",
        )
        found = keep_one(docs.join(clusters, "doc", how="left"), more)
    if reading.recipe.dedup.url:
        found = found.withColumn("survivor", F.coalesce("survivor", "url_survivor"))
    for quota in quotas:
        # it looks at the rows four times: without a cut each quota makes the plan four times as long
        found = within_quota(found.localCheckpoint(), quota)
    return found.select("group", *DECISIONS.names)


def _quota_columns(quotas: Sequence[Quota]) -> list[str]:
    """What quotas ask for, beside DECISIONS."""
    if not quotas:
        return []
    return ["lot", *sorted({quota.by for quota in quotas} - set(DECISIONS.names))]


def one_per_url(members: "DataFrame") -> "DataFrame":
    """Of each `url_key` (bigint; null: none) the best eligible member stays; the others get a reason, `url_survivor`.

    The order is that of `keep_one`. A step of its own: a URL must not join two clusters of text.
    """
    from pyspark.sql import functions as F

    best = (
        members.where("url_key is not null and reason is null")
        .groupBy("url_key")
        .agg(F.expr(f"min({_BEST})").alias("first"))
    )
    lost = F.expr("reason is null and first is not null and first.doc <> doc")
    return (
        members.join(best, "url_key", how="left")
        .withColumn("url_survivor", F.when(lost, F.expr("first.doc")))
        .withColumn("reason", F.when(lost, F.lit(SAME_URL)).otherwise(F.col("reason")))
    )


# the best of several documents is the least of these
_BEST = "struct(-priority as priority, content, metadata, source, doc, edited)"


def keep_one(members: "DataFrame", more: Sequence[str] = ()) -> "DataFrame":
    """Of each `component` (bigint; null: alone) the best eligible member, one whose `reason` is null.

    `members` has the columns of `Reading.documents` and `component`; one row a document, as `decisions`,
    with the columns `more` of `members`.
    """
    from pyspark.sql import functions as F

    best = (
        members.where("component is not null and reason is null")
        .groupBy("component")
        .agg(F.expr(f"min({_BEST})").alias("best"))
    )
    lost = F.expr("reason is null and best is not null and best.doc <> doc")
    return members.join(best, "component", how="left").select(
        "group",
        *DECISIONS.names[:6],
        F.expr("reason is null and (best is null or best.doc = doc)").alias("keep"),
        F.when(
            lost,
            F.when(F.expr("best.edited = edited"), F.lit(EXACT)).otherwise(F.lit(NEAR)),
        )
        .otherwise(F.col("reason"))
        .alias("reason"),
        "failed",
        F.when(lost, F.expr("best.doc")).alias("survivor"),
        *more,
    )


def duplicate_pairs(
    spark: "SparkSession", recipe: Recipe, reading: "Reading"
) -> "DataFrame | None":
    """Edges (a, b) between documents of one edited text, or of one band; None where nothing is asked.

    Documents of a bucket are linked in a chain, in order of number: fewer edges than documents,
    however hot the bucket, and the same components as all its pairs would give.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if not recipe.dedup.exact and not recipe.dedup.fuzzy:
        return None
    bucket = Window.partitionBy("kind", "high", "low").orderBy("doc")
    return (
        reading.buckets(spark)
        .select(F.lag("doc").over(bucket).alias("a"), F.col("doc").alias("b"))
        .where("a is not null")
    )


def failed_rules(rules: tuple[Rule, ...], table: pa.Table) -> np.ndarray:
    """The rules that fire on each row, as bits of an int64; rejected records fail none.

    Evaluated by DuckDB where the signals are read, so that Spark sees one number in their place.
    """
    if not rules:
        return np.zeros(table.num_rows, np.int64)
    bits = " + ".join(
        f"if(({scope_sql(rule).duckdb}) and ({verdict_sql(rule).duckdb}), {1 << number}, 0)"
        for number, rule in enumerate(rules)
    )
    with connect(1) as connection:
        connection.register("signals", table)
        found = connection.sql(
            f"select if(reject is null, {bits}, 0)::bigint as failed from signals"
        ).fetchnumpy()["failed"]
    return np.asarray(found, np.int64)


def first_reasons(rules: tuple[Rule, ...], failed: np.ndarray, reject: pa.ChunkedArray) -> pa.Array:
    """Why a document is dropped: its reject, else the first rule that fires; null where kept so far."""
    lowest = failed & -failed
    number = np.where(lowest > 0, np.log2(np.maximum(lowest, 1)).astype(np.int64), len(rules))
    names = pa.array([*(rule.reason for rule in rules), None], pa.string())
    return pc.coalesce(reject, names.take(pa.array(number)))


@dataclass(frozen=True)
class Reading:
    """Reads measurements of the recipe's files into Spark, with each document's source and domain."""

    recipe: Recipe
    inventory: Inventory
    measured: Measured

    def fingerprint(self, rules: tuple[Rule, ...]) -> str:
        """Of all that decides: the rules, the sources' names and priorities, the files that count."""
        return fingerprint(
            {
                "version": 2,
                "duplicates": self.duplicates_fingerprint(),
                "rules": [
                    [rule.name, rule.reason, rule.scope, verdict_sql(rule).text] for rule in rules
                ],
                "sources": [
                    [s.name, s.priority, s.layout, s.domain, s.fields] for s in self.recipe.source
                ],
                "sources_of_files": sorted(self.inventory.sources.items()),
                "url": self.recipe.dedup.url,
                "quotas": [asdict(quota) for quota in quotas_of(self.recipe)],
                "measured": self._measured(list(self._columns_read(rules))),
            }
        )

    def duplicates_fingerprint(self) -> str:
        """Of all that says which documents are duplicates: no rule takes part."""
        return fingerprint(
            {
                "version": 2,
                "dedup": self.recipe.dedup.model_dump(mode="json", exclude={"alarm", "url"}),
                "files": sorted(self.inventory.sources),
                "groups": self.inventory.groups,
                "measured": self._measured(["record", "bands"]),
            }
        )

    def _measured(self, column_groups: list[str]) -> dict[str, str]:
        datasets = self.measured.datasets
        return {n: datasets[n].url.rsplit("/", 1)[-1] for n in column_groups if n in datasets}

    def _columns_read(self, rules: tuple[Rule, ...]) -> dict[str, list[str]]:
        named = {quota.by for quota in quotas_of(self.recipe)}
        named |= {"tag"} if uses_tags(self.recipe) else set()
        named |= {"url_key"} if self.recipe.dedup.url else set()
        return columns_read(rules, named, signals_of(self.recipe))

    def documents(self, spark: "SparkSession", rules: tuple[Rule, ...]) -> "DataFrame":
        """The columns below, one row a document."""
        by_group = self._columns_read(rules)
        more = _quota_columns(quotas_of(self.recipe))
        schema = pa.schema(
            [
                pa.field("doc", pa.int64()),
                pa.field("content", pa.binary()),
                pa.field("edited", pa.binary()),
                pa.field("bytes", pa.int64()),
                pa.field("source", pa.string()),
                pa.field("domain", pa.string()),
                pa.field("language", pa.string()),
                pa.field("group", pa.string()),
                pa.field("priority", pa.int64()),
                pa.field("metadata", pa.int64()),
                pa.field("failed", pa.int64()),
                pa.field("reason", pa.string()),
                *(pa.field(name, pa.int64() if name == "lot" else pa.string()) for name in more),
                *([pa.field("url_key", pa.int64())] if self.recipe.dedup.url else []),
            ]
        )
        names = pa.array([source.name for source in self.recipe.source])
        priorities = np.array([source.priority for source in self.recipe.source], np.int64)

        def read(group: int) -> Iterator[pa.RecordBatch]:
            table = self.measured.read("record", group, by_group["record"])
            for column_group, names_read in by_group.items():
                if column_group == "record":
                    continue
                columns = self.measured.read(column_group, group, ["doc", *names_read])
                if not columns["doc"].equals(table["doc"]):
                    raise WorkspaceError(
                        f"columns {column_group!r} of group {group} are out of step"
                    )
                for name in names_read:
                    table = table.append_column(name, columns[name])
            source = self.inventory.source_of(table["doc"].to_numpy(), PLACE_BITS)
            table = table.filter(pa.array(source >= 0))
            source = source[source >= 0].astype(np.int64)
            tag = table["tag"] if uses_tags(self.recipe) else None
            table = (
                table.append_column("source", names.take(pa.array(source)))
                .append_column("domain", domain_column(self.recipe, source, table["subset"], tag))
                .append_column("priority", pa.array(priorities[source]))
                .append_column("group", pa.array([group_name(group)] * table.num_rows, pa.string()))
            )
            failed = failed_rules(rules, table)
            table = table.append_column("failed", pa.array(failed)).append_column(
                "reason", first_reasons(rules, failed, table["reject"])
            )
            if more:
                lots = choice(0, "quota", table["content"])
                table = table.append_column("lot", pa.array(lots))
            yield from table.select(schema.names).cast(schema).combine_chunks().to_batches(1 << 14)

        return self._frame(spark, read, schema)

    def buckets(self, spark: "SparkSession") -> "DataFrame":
        """What documents may share: (kind, high, low, doc); kind -1 is the edited text, others a band."""
        dedup = self.recipe.dedup

        def read(group: int) -> Iterator[pa.RecordBatch]:
            if dedup.exact:
                table = self.measured.read("record", group, ["doc", "edited", "reject"])
                table = self._wanted(table.filter(pc.is_null(table["reject"])))
                halves = fixed_rows(table["edited"]).view(">i8").astype(np.int64)
                yield _bucket_rows(-1, halves[:, 0], halves[:, 1], table["doc"].to_numpy())
            if dedup.fuzzy:
                table = self.measured.read("bands", group)
                table = self._wanted(table.filter(pc.is_valid(table["bands"])))
                doc = table["doc"].to_numpy()
                hashes = table["bands"].combine_chunks().flatten().to_numpy()
                for band in range(dedup.fuzzy.bands):
                    high = hashes[band :: dedup.fuzzy.bands]
                    yield _bucket_rows(band, high, np.zeros_like(high), doc)

        return self._frame(spark, read, _BUCKETS)

    def _wanted(self, table: pa.Table) -> pa.Table:
        source = self.inventory.source_of(table["doc"].to_numpy(), PLACE_BITS)
        return table.filter(pa.array(source >= 0))

    def _frame(self, spark: "SparkSession", read: Any, schema: pa.Schema) -> "DataFrame":
        from pyspark.sql.pandas.types import from_arrow_schema

        return table_of(
            spark,
            self.inventory.groups,
            read,
            from_arrow_schema(schema),
            self.recipe.execution.partitions,
        )


def columns_read(
    rules: tuple[Rule, ...], named: Iterable[str] = (), signals: Mapping[str, Signal] = SIGNALS
) -> dict[str, list[str]]:
    """Column group -> its columns that decide reads: what every document needs, what rules name, and `named`."""
    found = {
        "record": ["doc", "content", "edited", "bytes", "metadata", "subset", "reject"],
        "language": ["language"],
    }
    for name in sorted({name for rule in rules for name in rule.fires.signals}.union(named)):
        columns = found.setdefault(signals[name].group, [])
        if name not in columns:
            columns.append(name)
    return found


_REJECTS = pa.array(list(REJECTS))
_BUCKETS = pa.schema(
    [("kind", pa.int32()), ("high", pa.int64()), ("low", pa.int64()), ("doc", pa.int64())]
)


def _bucket_rows(kind: int, high: np.ndarray, low: np.ndarray, doc: np.ndarray) -> pa.RecordBatch:
    kinds = np.full(len(doc), kind, np.int32)
    return pa.record_batch([pa.array(c) for c in (kinds, high, low, doc)], schema=_BUCKETS)


@dataclass(frozen=True)
class SliceWriter:
    """Writes the decisions on one input group, with the funnel in the counts."""

    dataset: Dataset

    def __call__(self, group: str, batches: Iterator[pa.RecordBatch]) -> Record:
        if record := self.dataset.find(group):
            return record
        with self.dataset.attempt(group, DECISIONS) as out:
            kept = xxhash.xxh3_64()
            for batch in batches:
                table = pa.Table.from_batches([batch]).drop_columns(["group"]).cast(DECISIONS)
                out.write(table)
                _count_funnel(out, table)
                _count_fires(out, table)
                _digest(kept, table)
            out.counts["kept_digest"] = kept.intdigest() >> 1
        assert out.record is not None
        return out.record


def _count_funnel(out: Any, table: pa.Table) -> None:
    keys = [table["source"], table["domain"], table["reason"]]
    for key, count in totals(keys, "bytes", table["bytes"]).items():
        out.count(key, count)


def _count_fires(out: Any, table: pa.Table) -> None:
    """Count documents by source, and those that each rule (its bit) fires on, dropped by another before or not."""
    failed = table["failed"].to_numpy()
    codes = table["source"].combine_chunks().dictionary_encode()
    source = codes.indices.to_numpy()
    judged = ~pc.is_in(table["reason"], _REJECTS).to_numpy(zero_copy_only=False)
    for number, name in enumerate(codes.dictionary.to_pylist()):
        mine = judged & (source == number)
        out.count(f"judged/{name}", int(mine.sum()))
        bits = int(np.bitwise_or.reduce(failed[mine], initial=0))
        for bit in range(bits.bit_length()):
            if fires := int((failed[mine] >> bit & 1).sum()):
                out.count(f"fires/{bit}/{name}", fires)


def _digest(state: Any, table: pa.Table) -> None:
    """Hash what encode will see of the kept rows; where the batches are cut does not matter."""
    kept = table.filter(table["keep"])
    columns = (
        kept["content"], kept["doc"].cast(pa.string()), kept["source"], kept["domain"],
        pc.fill_null(kept["language"], ""), pa.scalar(b"\n"),
    )  # fmt: skip
    rows = pc.binary_join_element_wise(*(c.cast(pa.binary()) for c in columns), b"\x00")
    offsets, data = text_buffers(rows)
    state.update(np.ascontiguousarray(data[offsets[0] : offsets[-1]]))


def _check_counts(inventory: Inventory, measured: Measured, found: dict[str, Record]) -> None:
    """Every measured record of the recipe's files has one decision."""
    for group in inventory.groups:
        name = group_name(group)
        counts = measured.records["record"][name].counts
        expected = sum(
            count
            for key, count in counts.items()
            if key.startswith("file:") and int(key.removeprefix("file:")) in inventory.sources
        )
        if found[name].rows != expected:
            raise WorkspaceError(
                f"decide, group {name}: {expected:,} records measured, {found[name].rows:,} decided on; "
                "this is a bug, nothing was published"
            )


def check_limits(recipe: Recipe, decided: Decided) -> None:
    """Fail where a source's share of rejected records is above the recipe's limit."""
    funnel = decided.funnel()
    for source in recipe.source:
        rows = [row for row in funnel if row["source"] == source.name]
        total = sum(row["documents"] for row in rows)
        bad = sum(row["documents"] for row in rows if row["reason"] in REJECTS.keys() - CHOSEN)
        if total and bad / total > recipe.limits.rejected:
            raise SourceError(
                f"source {source.name!r}: {bad:,} of {total:,} records were rejected "
                f"({bad / total:.2%}); limits.rejected allows {recipe.limits.rejected:.2%}. "
                "Raise the limit, or look at the rejects (`coursepack stats`)"
            )
