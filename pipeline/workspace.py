"""The workspace: datasets of files, written by tasks that may run twice, read by list only.

Commit protocol. A task writes `<group>-<attempt>.parquet` and then, in one step, a small commit record
`commits/<group>/<attempt>.json` with path, rows, bytes, sha256 and counts. A task that finds a valid
record for its group returns it instead of working. The driver picks one record a group and publishes
the list as `files.parquet` with a `manifest.json` of constant size, written last. Readers open listed files only;
whatever else lies there is garbage of killed or repeated tasks.
"""

import hashlib
import io
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.errors import WorkspaceError


@dataclass(frozen=True)
class Record:
    """One committed file: what a task returns to the driver."""

    group: str
    path: str  # within the dataset
    rows: int
    size: int  # bytes
    sha256: str
    counts: dict[str, int] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)

    def bare(self) -> "Record":
        """What finds the file again: small enough to travel in a closure, times the number of groups."""
        return replace(self, counts={}, about={})

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes | str) -> "Record":
        return cls(**orjson.loads(data))


@dataclass(frozen=True)
class Dataset:
    """Files of one schema in a folder; each input group has one file."""

    url: str

    def file(self, record: Record) -> str:
        """The URL of a committed file."""
        return storage.join(self.url, record.path)

    @contextmanager
    def attempt(
        self, group: str, schema: pa.Schema, suffix: str = ".parquet", row_group_rows: int = 1 << 16
    ) -> Iterator["Attempt"]:
        """Write one Parquet file for `group`; it is committed when the block ends without an error."""
        name = f"{group}-{uuid.uuid4().hex}"
        path = name + suffix
        with storage.open_output(storage.join(self.url, path)) as out:
            attempt = Attempt(schema, out, row_group_rows)
            try:
                yield attempt
            finally:
                attempt.close()  # after an error too: its end of life would write to a closed file
        attempt.record = self.commit(group, name, path, attempt.rows, out, attempt.counts)

    def commit(
        self,
        group: str,
        attempt: str,
        path: str,
        rows: int,
        out: storage.Output,
        counts: Mapping[str, int],
        about: Mapping[str, str] | None = None,
    ) -> Record:
        """Make a written file count: write its commit record."""
        record = Record(group, path, rows, out.bytes, out.sha256, dict(counts), dict(about or {}))
        storage.write_bytes(
            storage.join(self.url, "commits", group, attempt + ".json"), record.to_json()
        )
        return record

    def find(self, group: str) -> Record | None:
        """A valid record of `group`: its file is there, at its length. The smallest name wins."""
        for url in storage.listing(storage.join(self.url, "commits", group)):
            if url.endswith(".json"):
                record = Record.from_json(storage.read_bytes(url))
                if storage.size(self.file(record)) == record.size:
                    return record
        return None

    def records(self, groups: Iterable[str]) -> dict[str, Record]:
        """The valid records of `groups`: published ones first, then whatever tasks committed."""
        wanted = set(groups)
        found = {r.group: r for r in self.published() if r.group in wanted}
        found |= self.committed(wanted - found.keys())
        return {group: found[group] for group in sorted(found)}

    def committed(self, groups: Iterable[str]) -> dict[str, Record]:
        """The valid records that tasks left for `groups`, listed or not."""
        wanted = set(groups)
        there = {url.split("/")[-2] for url in storage.listing(storage.join(self.url, "commits"))}
        found = {group: self.find(group) for group in sorted(there & wanted)}
        return {group: record for group, record in found.items() if record}

    def publish(self, records: Iterable[Record], about: Mapping[str, Any]) -> None:
        """List the files that count, beside those listed before; the manifest comes last."""
        merged = {r.group: r for r in self.published()} | {r.group: r for r in records}
        ordered = [merged[group] for group in sorted(merged)]
        rows = [
            asdict(r)
            | {"counts": orjson.dumps(r.counts).decode(), "about": orjson.dumps(r.about).decode()}
            for r in ordered
        ]
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, _FILES), out)
        storage.write_bytes(storage.join(self.url, "files.parquet"), out.getvalue())
        manifest = {
            **about,
            "files": len(ordered),
            "rows": sum(r.rows for r in ordered),
            "bytes": sum(r.size for r in ordered),
            "sha256": hashlib.sha256("".join(r.sha256 for r in ordered).encode()).hexdigest(),
        }
        storage.write_bytes(
            storage.join(self.url, "manifest.json"),
            orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS),
        )

    def published(self) -> list[Record]:
        """The listed files, by group; empty when nothing has been published."""
        url = storage.join(self.url, "files.parquet")
        if not storage.exists(url):
            return []
        rows = pq.read_table(io.BytesIO(storage.read_bytes(url))).to_pylist()
        parsed = ({name: orjson.loads(row[name]) for name in ("counts", "about")} for row in rows)
        return [Record(**row | more) for row, more in zip(rows, parsed, strict=True)]

    def manifest(self) -> dict[str, Any] | None:
        """The manifest; None when the dataset was never published."""
        url = storage.join(self.url, "manifest.json")
        return orjson.loads(storage.read_bytes(url)) if storage.exists(url) else None

    def read(self, record: Record, columns: Sequence[str] | None = None) -> pa.Table:
        """A committed file as a table; raises WorkspaceError when it is damaged or gone."""
        try:
            with storage.open_input(self.file(record)) as raw:
                return pq.read_table(
                    raw,
                    columns=list(columns) if columns is not None else None,
                    page_checksum_verification=True,
                )
        except (pa.ArrowException, OSError) as error:
            raise WorkspaceError(
                f"{self.file(record)!r} cannot be read ({error}); delete "
                f"{storage.join(self.url, 'files.parquet')!r} and "
                f"{storage.join(self.url, 'commits', record.group)!r}, and run again"
            ) from error


_HELD_BYTES = 32 << 20  # of rows that wait for a row group to be full


class Attempt:
    """A Parquet file being written, with counts beside its rows."""

    def __init__(self, schema: pa.Schema, out: storage.Output, row_group_rows: int) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(
            pa.PythonFile(out, mode="w"),
            schema,
            compression="zstd",
            compression_level=1,
            # numbers without dictionaries: a third faster to write, and smaller
            use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
            write_page_checksum=True,
        )
        self._row_group_rows = row_group_rows
        # small row groups of many columns cost three times as much to write
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self.rows = 0
        self.counts: dict[str, int] = {}
        self.record: Record | None = None

    def write(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows; columns are cast to the schema, by name."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        table = table.select(self._schema.names).cast(self._schema)
        self._held.append(table)
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes
        self.rows += table.num_rows
        if self._held_rows >= self._row_group_rows or self._held_bytes >= _HELD_BYTES:
            self._write_held()

    def _write_held(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held), self._row_group_rows)
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def count(self, name: str, by: int) -> None:
        """Add to one of the file's counts."""
        if by:
            self.counts[name] = self.counts.get(name, 0) + int(by)

    def close(self) -> None:
        try:
            self._write_held()
        finally:
            self._writer.close()


_FILES = pa.schema(
    [
        ("group", pa.string()),
        ("path", pa.string()),
        ("rows", pa.int64()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("counts", pa.string()),
        ("about", pa.string()),
    ]
)


@dataclass(frozen=True)
class Workspace:
    """The folder that recipes share; `shards/NAME` and `report/NAME` are results of one recipe."""

    url: str

    def dataset(self, *parts: str) -> Dataset:
        """The dataset at `part/part/...`."""
        return Dataset(storage.join(self.url, *parts))

    def path(self, *parts: str) -> str:
        """A URL within the workspace."""
        return storage.join(self.url, *parts)
