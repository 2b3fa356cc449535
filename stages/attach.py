"""Columns of a table of one's own, such as scores made on GPUs, as signals: joined by id, URL, path or content.

The table is Parquet, read by pyarrow inside tasks. Rows of the table that share a key become one, the least by
all columns, and NaN is null; documents without a row get nulls, and are counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.recipe import Attach, Recipe, Source
from coursepack.pipeline.tasks import table_of, write_runs
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages.catalogue import Signal, check_name
from coursepack.stages.inventory import Found, Inventory, group_name, source_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from coursepack.stages.measure import Measured


@dataclass(frozen=True)
class Attached:
    """One table to join: its settings, its files as they are now, and the signals it gives."""

    settings: Attach
    files: tuple[Found, ...]
    signals: tuple[Signal, ...]

    @property
    def name(self) -> str:
        """Of its column group."""
        return group_of(self.settings)

    @property
    def schema(self) -> pa.Schema:
        """Of the joined columns."""
        columns = [pa.field(signal.name, signal.type) for signal in self.signals]
        return pa.schema([pa.field("doc", pa.int64(), False), *columns])

    def fingerprint(self, record: str) -> str:
        """Of the table, and of the record group (`record`, its fingerprint) it is joined to."""
        return fingerprint(
            {
                "version": 2,
                "settings": self.settings.model_dump(mode="json"),
                "files": [[file.url, file.size, file.version] for file in self.files],
                "record": record,
            }
        )


def group_of(settings: Attach) -> str:
    """The name of a table's column group; columns are unique among all signals, so it is."""
    return f"attach_{settings.columns[0]}"


def attached(settings: Attach) -> Attached:
    """Looks at the table's files and schema; raises RecipeError where a column is not there or no signal."""
    where = f"signals.attach: {settings.table!r}"
    try:
        source = Source(name="attach", layout="parquet", paths=(settings.table,))
        files = tuple(source_files(source))
    except SourceError as error:
        said = str(error).removeprefix("source 'attach': ")
        raise RecipeError(f"{where}: {said}") from error
    with storage.open_input(files[0].url) as raw:
        try:
            schema = pq.read_schema(raw)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RecipeError(f"{where} is no Parquet table: {error}") from None
    signals = []
    for name in (settings.key or settings.on, *settings.columns):
        if name not in schema.names:
            raise RecipeError(
                f"{where} has no column {name!r}; its columns are {', '.join(schema.names)}"
            )
        if name in settings.columns:
            check_name(where, name)
            signals.append(
                Signal(name, group_of(settings), _signal_type(where, schema.field(name)), "its own",
                       "of a table of one's own", settings.table)
            )  # fmt: skip
    return Attached(settings, files, tuple(signals))


def _signal_type(where: str, entry: pa.Field) -> pa.DataType:
    kind = entry.type
    if pa.types.is_boolean(kind):
        return pa.bool_()
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    raise RecipeError(
        f"{where}: the column {entry.name!r} is {kind}; signals are numbers, strings and booleans"
    )


def attach(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    measured: "Measured",
    table: Attached,
) -> tuple[Dataset, dict[str, Record]]:
    """The table's columns for every measured record, a file an input group, aligned with the others.

    Records count `unmatched`, the documents without a row in the table.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    record_url = measured.datasets["record"].url
    dataset = inventory.workspace.dataset(
        "measurements", table.name, table.fingerprint(record_url.rsplit("/", 1)[-1])
    )
    names = {group_name(group): group for group in inventory.groups}
    found = dataset.records(names)
    todo = [group for name, group in names.items() if name not in found]
    if todo:
        partitions = recipe.execution.partitions
        on, columns = table.settings.on, list(table.settings.columns)
        key = pa.field("key", pa.binary() if on == "content" else pa.string())
        document = pa.field("document", pa.bool_())
        left = pa.schema([("doc", pa.int64()), ("group", pa.string()), key, document])
        right = pa.schema([key, *(pa.field(s.name, s.type) for s in table.signals)])
        docs = table_of(spark, todo, _keys(measured, on), from_arrow_schema(left), partitions)
        scores = table_of(
            spark,
            range(len(table.files)),
            rows_of(table, right),
            from_arrow_schema(right),
            partitions,
        )
        # nested in a struct, a value that is null still orders and still counts as a match
        best = scores.where("key is not null").groupBy("key").agg(
            F.min(F.struct(*columns)).alias("best")
        )  # fmt: skip
        joined = docs.join(best, "key", how="left").select(
            "group", "doc", *(f"best.{name}" for name in columns),
            "document", F.col("best").isNotNull().alias("matched"),
        )  # fmt: skip
        writer = _Writer(dataset, table.schema)
        made = write_runs(joined, "group", writer, partitions or min(len(todo), 200), ["doc"])
        found |= {record.group: record for record in made}
        for name in sorted(names.keys() - found.keys()):  # groups without a single record
            found[name] = writer(name, iter(()))
    dataset.publish(found.values(), {"step": "measure", "columns": table.name})
    return dataset, found


def _keys(measured: "Measured", on: str) -> Any:
    kind = pa.binary() if on == "content" else pa.string()  # Spark knows no fixed size

    def read(group: int) -> Iterator[pa.RecordBatch]:
        table = measured.read("record", group, ["doc", on, "reject"])
        names = pa.array([group_name(group)] * table.num_rows, pa.string())
        document = pc.is_null(table["reject"])
        key = pc.if_else(document, table[on], pa.scalar(None, table[on].type)).cast(kind)
        found = pa.table({"doc": table["doc"], "group": names, "key": key, "document": document})
        yield from found.combine_chunks().to_batches(1 << 14)

    return read


def rows_of(table: Attached, schema: pa.Schema) -> Callable[[int], Iterator[pa.RecordBatch]]:
    """What reads file number n of the table, as a key and its signals; NaN is null.

    Raises SourceError where the file has other columns than the first one.
    """
    key = table.settings.key or table.settings.on

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with storage.open_input(table.files[number].url) as raw:
            file = pq.ParquetFile(raw)
            _check_columns(table, number, file.schema_arrow)
            for batch in file.iter_batches(1 << 14, columns=[key, *table.settings.columns]):
                keys = batch.column(key)
                keys = _contents(keys) if table.settings.on == "content" else keys.cast(pa.string())
                columns = [batch.column(n).cast(schema.field(n).type) for n in schema.names[1:]]
                columns = [keys, *map(without_nan, columns)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return read


def _check_columns(table: Attached, number: int, schema: pa.Schema) -> None:
    """Raises SourceError where a file of the table is not as its first one."""
    where = f"signals.attach: {table.files[number].url!r}"
    key = table.settings.key or table.settings.on
    for name in (key, *table.settings.columns):
        if name not in schema.names:
            raise SourceError(
                f"{where} has no column {name!r}, as {table.files[0].url!r} has; all files of a table have the "
                "same columns: write it again, or leave it out"
            )
    for signal in table.signals:
        if (found := _signal_type(where, schema.field(signal.name))) != signal.type:
            raise SourceError(
                f"{where}: the column {signal.name!r} is {found}, and {signal.type} in {table.files[0].url!r}; all "
                "files of a table have the same columns: write it again, or leave it out"
            )


def without_nan(column: pa.Array) -> pa.Array:
    """The column with null for NaN: a signal is a number, or nothing is known."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _contents(keys: pa.Array) -> pa.Array:
    """Content hashes as 16 bytes, from those or from 32 hex digits; others are null."""
    if pa.types.is_string(keys.type) or pa.types.is_large_string(keys.type):
        good = pc.match_substring_regex(keys, "^[0-9a-fA-F]{32}$")
        digits = pc.if_else(good, keys, pa.scalar(None, keys.type)).to_pylist()
        return pa.array([bytes.fromhex(d) if d else None for d in digits], pa.binary())
    good = pc.equal(pc.binary_length(keys), 16)
    return pc.if_else(good, keys.cast(pa.binary()), pa.scalar(None, pa.binary()))


@dataclass(frozen=True)
class _Writer:
    dataset: Dataset
    schema: pa.Schema

    def __call__(self, group: str, batches: Iterator[pa.RecordBatch]) -> Record:
        if record := self.dataset.find(group):
            return record
        with self.dataset.attempt(group, self.schema) as out:
            for batch in batches:
                out.write(
                    pa.Table.from_batches([batch]).select(self.schema.names).cast(self.schema)
                )
                alone = pc.and_not(batch.column("document"), batch.column("matched"))
                out.count("in", batch.num_rows)
                out.count("unmatched", pc.sum(alone).as_py() or 0)
        assert out.record is not None
        return out.record
