"""What earlier runs left of a recipe, read without Spark and without changing the workspace."""

import heapq
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.documents import PLACE_BITS
from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Dataset, Record, Workspace
from coursepack.stages.decide import Decided, Reading
from coursepack.stages.domains import domain_column, uses_tags
from coursepack.stages.families import FAMILIES
from coursepack.stages.inventory import Inventory, group_name, take_inventory
from coursepack.stages.measure import Measured, datasets_of
from coursepack.stages.own_signals import signals_of
from coursepack.stages.rules import rules_of

BATCH_ROWS = 1 << 13  # records of one input group in memory


def inventory_of(recipe: Recipe) -> Inventory:
    """The inventory that a run would take, on a copy; raises WorkspaceError where none was ever taken."""
    workspace = Workspace(recipe.workspace)
    with tempfile.TemporaryDirectory() as folder:
        copy = Workspace(folder)
        for name in ("files.parquet", "splits.parquet"):
            url = workspace.path("inventory", name)
            if not storage.exists(url):
                raise WorkspaceError(
                    f"{workspace.url!r} holds no measurements; run `coursepack curate` first"
                )
            storage.write_bytes(copy.path("inventory", name), storage.read_bytes(url))
        return replace(take_inventory(recipe, copy), workspace=workspace)


def measurements(recipe: Recipe, inventory: Inventory, signals: Iterable[str]) -> Measured:
    """The published columns that hold `signals`, what domains need, and `record`, of all of the recipe's files.

    Raises RecipeError where the recipe does not measure a signal, WorkspaceError where files were not measured.
    """
    names = {group_name(group) for group in inventory.groups}
    datasets = datasets_of(recipe, inventory.workspace)
    known = signals_of(recipe)
    tags = ["tag"] if uses_tags(recipe) else []
    wanted = {known[signal].group: signal for signal in (*signals, *tags)}
    records = {}
    for name in ("record", *sorted(wanted.keys() - {"record"})):
        if name not in datasets:
            how = f"add {name!r} to signals.families" if name in FAMILIES else f"give it {name!r}"
            raise RecipeError(
                f"{wanted[name]!r} is a signal of {name!r}, which the recipe does not measure; {how} and run "
                "`coursepack curate`"
            )
        records[name] = {r.group: r for r in datasets[name].published() if r.group in names}
        if missing := len(names - records[name].keys()):
            raise WorkspaceError(
                f"{missing:,} of {len(names):,} input groups have no {name!r} measurements with these "
                "files and settings; run `coursepack curate` first, which measures what is missing"
            )
    return Measured(datasets, records)


def decisions(recipe: Recipe, inventory: Inventory, measured: Measured) -> Decided | None:
    """What decide said by the recipe's rules; None where it has not decided on all of its files."""
    decided_by = Reading(recipe, inventory, measured).fingerprint(rules_of(recipe))
    dataset = inventory.workspace.dataset("decisions", decided_by)
    names = {group_name(group) for group in inventory.groups}
    records = {r.group: r for r in dataset.published() if r.group in names}
    return Decided(dataset, records) if len(records) == len(names) else None


@dataclass(frozen=True)
class Documents:
    """All records of a recipe's files, ascending by `doc`, with the columns `wanted` (signals, or of MEASURED_RECORD)
    and `source` and `domain`; `keep` and `reason` too where it was decided."""

    recipe: Recipe
    inventory: Inventory
    measured: Measured
    decided: Decided | None
    wanted: tuple[str, ...]

    def tables(self) -> Iterator[pa.Table]:
        """At most BATCH_ROWS rows at a time; input groups whose documents are neighbours are read together."""
        runs = {group: self._group(group) for group in self.inventory.groups}
        yield from _merged(runs, _first_docs(self.inventory))

    def _group(self, group: int) -> Iterator[pa.Table]:
        name = group_name(group)
        streams = [
            _stream(self.measured.datasets[columns], self.measured.records[columns][name], names)
            for columns, names in self._by_group().items()
        ]
        tables = self._named(_beside(streams, name))
        if self.decided is None:
            yield from tables
            return
        fates = _stream(self.decided.dataset, self.decided.records[name], ["doc", "keep", "reason"])
        yield from _beside([tables, fates], name)

    def _by_group(self) -> dict[str, list[str]]:
        """Column group -> its columns to read."""
        known = signals_of(self.recipe)
        found = {"record": ["doc", "subset"]}
        for name in (*self.wanted, *(["tag"] if uses_tags(self.recipe) else [])):
            columns = found.setdefault(known[name].group if name in known else "record", ["doc"])
            if name not in columns:
                columns.append(name)
        return found

    def _named(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The records of files that the recipe reads, with source and domain."""
        sources = pa.array([source.name for source in self.recipe.source])
        for table in tables:
            source = self.inventory.source_of(table["doc"].to_numpy(), PLACE_BITS).astype(np.int64)
            if (source < 0).any():
                table, source = table.filter(pa.array(source >= 0)), source[source >= 0]
            if table.num_rows:
                tag = table["tag"] if uses_tags(self.recipe) else None
                domain = domain_column(self.recipe, source, table["subset"], tag)
                yield table.append_column("source", sources.take(pa.array(source))).append_column(
                    "domain", domain
                )


def _first_docs(inventory: Inventory) -> dict[int, int]:
    """A `doc` that no document of each group is below."""
    url = inventory.workspace.path("inventory", "splits.parquet")
    table = pq.read_table(
        io.BytesIO(storage.read_bytes(url)), columns=["group", "file_no", "start"]
    )
    least: dict[int, int] = {}
    for row in table.to_pylist():
        doc = (row["file_no"] << PLACE_BITS) + row["start"]
        least[row["group"]] = min(doc, least.get(row["group"], doc))
    return least


def _stream(dataset: Dataset, record: Record, columns: Sequence[str]) -> Iterator[pa.Table]:
    try:
        with storage.open_input(dataset.file(record)) as raw:
            file = pq.ParquetFile(raw, page_checksum_verification=True)
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise WorkspaceError(
            f"{dataset.file(record)!r} cannot be read ({error}); delete "
            f"{storage.join(dataset.url, 'files.parquet')!r} and "
            f"{storage.join(dataset.url, 'commits', record.group)!r}, and run `coursepack curate` again"
        ) from error


def _beside(streams: Sequence[Iterator[pa.Table]], name: str) -> Iterator[pa.Table]:
    """Streams of the same documents as one of all their columns; batches need not have the same borders."""
    waiting = [next(stream, None) for stream in streams]
    while all(table is not None for table in waiting):
        tables = [table for table in waiting if table is not None]
        rows = min(table.num_rows for table in tables)
        joined = tables[0].slice(0, rows)
        for table in tables[1:]:
            part = table.slice(0, rows)
            if not part["doc"].equals(joined["doc"]):
                raise _out_of_step(name)
            for column in part.schema.names:
                if column not in joined.schema.names:
                    joined = joined.append_column(column, part[column])
        if rows:
            yield joined
        waiting = [
            table.slice(rows) if table.num_rows > rows else next(stream, None)
            for table, stream in zip(tables, streams, strict=True)
        ]
    if any(table is not None for table in waiting):
        raise _out_of_step(name)


def _out_of_step(name: str) -> WorkspaceError:
    return WorkspaceError(
        f"columns of input group {name!r} are not of the same documents; delete the measurements and decisions "
        "of that group, and run `coursepack curate` again"
    )


def _merged(runs: dict[int, Iterator[pa.Table]], least: dict[int, int]) -> Iterator[pa.Table]:
    """Runs that ascend by `doc` as one; each is opened when its least `doc` comes up."""
    # (what no waiting document of the run is below, whether a table waits, run, that table): of equals a run
    # without one comes first, so that a table never waits for itself
    heap: list[tuple[int, bool, int, pa.Table | None]]
    heap = [(least[number], False, number, None) for number in runs]
    heapq.heapify(heap)
    while heap:
        _, _, number, table = heapq.heappop(heap)
        if table is None:
            table = next(runs[number], None)
            if table is not None:
                heapq.heappush(heap, (table["doc"][0].as_py(), True, number, table))
            continue
        doc = table["doc"].to_numpy()
        rows = int(np.searchsorted(doc, heap[0][0])) if heap else len(doc)
        yield table.slice(0, rows)
        if rows < len(doc):
            heapq.heappush(heap, (int(doc[rows]), True, number, table.slice(rows)))
        else:
            heapq.heappush(heap, (int(doc[-1]) + 1, False, number, None))
