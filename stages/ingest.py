"""Web archives become documents, once: a folder of Parquet files that a recipe then reads.

Tasks read their own files and write one Parquet file a group of them, found again after a kill (the commit protocol of
`pipeline.workspace`). What is known of each file lies beside them under names that begin with `_`. Of
pages with one normalised URL the first stays, by date and then id, as RefinedWeb has it between its parts (Penedo et
al. 2023, arXiv:2306.01116, 3.3).
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, SourceError, WorkspaceError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Source
from coursepack.pipeline.tasks import (
    check_balance,
    merge,
    missing,
    run_tasks,
    table_of,
    task_count,
    write_runs,
)
from coursepack.pipeline.workspace import Attempt, Dataset, Record
from coursepack.stages.blocklists import blocked, load_blocklists
from coursepack.stages.inventory import Found, group_name, source_files
from coursepack.stages.main_text import EXTRACTORS, Extractor, read_document
from coursepack.stages.urls import url_keys
from coursepack.stages.warc import PAGE_BYTES, Entry, read_entries

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

VERSION = 1  # raised only when what is written of a file changes
GROUP_BYTES = 256_000_000  # of files; one task reads them

# What becomes of the files: one row a document. `warc` and `offset` say where its record lies.
INGESTED = pa.schema(
    [
        pa.field("text", pa.string(), False),
        pa.field("id", pa.string()),  # WARC-Record-ID; the file's URL, of an HTML file
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("date", pa.string()),  # WARC-Date
        pa.field("language", pa.string()),  # as the crawler or the page says, unchecked
        pa.field("charset", pa.string(), False),  # what the page was decoded by
        pa.field("mime", pa.string()),
        pa.field("warc", pa.string(), False),
        pa.field("offset", pa.int64(), False),  # of the record, or of its compressed member
    ]
)

_READABLE = re.compile(r"\.((warc|wet)(\.(gz|zst))?|x?html?(\.gz)?)$", re.IGNORECASE)
_CHUNK_ENTRIES, _CHUNK_BYTES = 1000, 16_000_000  # pages that are held together
_WRITTEN_BYTES = 32_000_000  # of text in a row group
_PLAN = pa.schema(
    [
        ("group", pa.int32()),
        ("file", pa.int32()),  # its place in the group
        ("url", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),  # what the store says of its state
        ("run", pa.int32()),  # which ingest brought it; pages of earlier ones stay
    ]
)
_URLS = pa.schema(
    [
        ("key", pa.int64()),  # of the normalised URL
        ("date", pa.string()),
        ("id", pa.string()),
        ("file", pa.int32()),
        ("record", pa.int32()),  # its place among the file's records
    ]
)
_COPIES = pa.schema([("file", pa.int32()), ("record", pa.int32())])


@dataclass(frozen=True)
class IngestSettings:
    """What is read, where documents go, and how: all but `group_bytes` and `partitions` shapes the documents."""

    sources: tuple[str, ...]  # files, folders or globs, local, s3://, ...
    folder: str
    extractor: Extractor = "resiliparse"
    page_bytes: int = PAGE_BYTES  # a larger page is dropped, and counted
    block: tuple[str, ...] = ()  # blocklists, see `stages.blocklists`
    dedup_urls: bool = True
    group_bytes: int = GROUP_BYTES
    partitions: int = 0  # most tasks at a time; 0: one a group


@dataclass(frozen=True)
class Ingested:
    """The documents of a folder: its dataset, and a record per group."""

    dataset: Dataset
    records: dict[str, Record]

    def counts(self) -> dict[str, int]:
        """`in`, `out`, and `dropped:<reason>` of DROPS, over all files of the folder."""
        total = {"in": 0, "out": sum(record.rows for record in self.records.values())}
        for record in self.records.values():
            for name, count in record.counts.items():
                total[name] = total.get(name, 0) + count
        return {name: total[name] for name in ("in", "out", *sorted(total.keys() - {"in", "out"}))}


def ingest(spark: "SparkSession", settings: IngestSettings, progress: Progress) -> Ingested:
    """Write the documents of the sources' files that the folder does not hold yet; returns all that it holds.

    Raises what `check_ingest` raises, and WorkspaceError where the folder was written with other
    settings or a file changed since it was read.
    """
    files = check_ingest(settings)
    place = Place(settings.folder)
    print_ = _fingerprint(settings)
    place.claim(print_)
    plan = place.extend(files, settings.group_bytes)
    numbers = {group_name(group): group for group in sorted(set(plan["group"].to_pylist()))}
    found, todo = missing(place.documents, list(numbers))
    groups = [numbers[name] for name in todo]
    if settings.dedup_urls and todo:
        _find_copies(spark, settings, place, plan, numbers, todo, progress)
    size = sum(row["size"] for row in plan.to_pylist() if row["group"] in set(groups))
    tasks = task_count(groups, settings.partitions)
    with progress.step("ingest", total_bytes=size, total_tasks=tasks) as step:
        with step.spark(spark):
            made = run_tasks(spark, IngestTask(place, settings), groups, settings.partitions)
        found = merge(found, (record for _, record in made))
        check_balance("ingest", found.values())
        place.documents.publish(found.values(), {"step": "ingest", **print_})
        place.sweep()
        step.done(rows=sum(record.rows for record in found.values()))
    return Ingested(place.documents, found)


def check_ingest(settings: IngestSettings) -> list[Found]:
    """The files that would be read; raises RecipeError or SourceError for the first thing that is wrong."""
    if settings.extractor not in EXTRACTORS:
        raise RecipeError(
            f"no extractor is called {settings.extractor!r}; the extractors are {', '.join(EXTRACTORS)}"
        )
    for name in ("fastwarc", "resiliparse", settings.extractor):
        if not find_spec(name):
            raise RecipeError(f"ingest needs {name}; install it: pip install 'coursepack[web]'")
    if settings.block:
        load_blocklists(settings.block)
    return _files(settings)


def _fingerprint(settings: IngestSettings) -> dict[str, Any]:
    """What shapes the documents of a file."""
    return {
        "version": VERSION,
        "extractor": settings.extractor,
        "page_bytes": settings.page_bytes,
        "block": load_blocklists(settings.block).sha256 if settings.block else "",
        "dedup_urls": settings.dedup_urls,
    }


def _files(settings: IngestSettings) -> list[Found]:
    source = Source(name="ingest", layout="ingested", paths=settings.sources)
    found = source_files(source)
    readable = [file for file in found if _READABLE.search(file.url)]
    if not readable:
        raise SourceError(
            f"none of {len(found):,} files can be read, such as {found[0].url!r}; ingest reads .warc, "
            ".warc.wet and .html, plain or .gz (convert .arc with `warcio recompress`)"
        )
    return readable


@dataclass(frozen=True)
class Place:
    """The folder: documents in sight, and what else is known of its files under hidden names."""

    folder: str

    @property
    def documents(self) -> Dataset:
        return Dataset(self.folder)

    @property
    def urls(self) -> Dataset:
        return Dataset(storage.join(self.folder, "_urls"))

    @property
    def copies(self) -> Dataset:
        return Dataset(storage.join(self.folder, "_copies"))

    def claim(self, print_: Mapping[str, Any]) -> None:
        """Note the settings of the folder, or compare them; raises WorkspaceError."""
        url = storage.join(self.folder, "_settings.json")
        known = orjson.loads(storage.read_bytes(url)) if storage.exists(url) else None
        if known is None:
            storage.write_bytes(url, orjson.dumps(dict(print_), option=orjson.OPT_INDENT_2))
        elif known != print_:
            other = next(name for name in print_ if known.get(name) != print_[name])
            raise WorkspaceError(
                f"{self.folder!r} was ingested with {other} = {known.get(other)!r}, not {print_[other]!r}; "
                "give the same settings, or another folder"
            )

    def extend(self, files: list[Found], group_bytes: int) -> pa.Table:
        """The plan with the files that it did not hold, in groups of their own; raises WorkspaceError."""
        plan = self.plan()
        known = {row["url"]: row for row in plan.to_pylist()}
        fresh = []
        for file in files:
            row = known.get(file.url)
            if row is None:
                fresh.append(file)
            elif (row["size"], row["version"]) != (file.size, file.version):
                raise WorkspaceError(
                    f"{file.url!r} changed since it was ingested into {self.folder!r}; documents are written "
                    "once: give another folder, or another name to the file"
                )
        if not fresh:
            return plan
        run = max(plan["run"].to_pylist(), default=-1) + 1
        rows: list[list[Any]] = []
        group, filled, file_no = max(plan["group"].to_pylist(), default=-1), 0, 0
        for file in fresh:
            if not rows or filled + file.size > group_bytes:
                group, filled, file_no = group + 1, 0, 0
            rows.append([group, file_no, file.url, file.size, file.version, run])
            filled, file_no = filled + file.size, file_no + 1
        new = pa.table(list(map(list, zip(*rows, strict=True))), schema=_PLAN)
        plan = pa.concat_tables([plan, new])
        out = io.BytesIO()
        pq.write_table(plan, out, row_group_size=10_000)
        storage.write_bytes(self._plan_url, out.getvalue())
        return plan

    @property
    def _plan_url(self) -> str:
        return storage.join(self.folder, "_files.parquet")

    def plan(self, group: int | None = None) -> pa.Table:
        """The files of the folder, or of one group, in order."""
        if group is None and not storage.exists(self._plan_url):
            return _PLAN.empty_table()
        chosen = None if group is None else [("group", "=", group)]
        with storage.open_input(self._plan_url) as raw:
            return pq.read_table(raw, filters=chosen)

    def sweep(self) -> None:
        """Remove what killed or repeated tasks left among the documents: other tools read the whole folder."""
        listed = {self.documents.file(record) for record in self.documents.published()}
        for url in storage.listing(self.folder):
            name = url.removeprefix(storage.join(self.folder, ""))
            if re.fullmatch(r"g\d+-[0-9a-f]+\.parquet", name) and url not in listed:
                storage.remove(url)


@dataclass(frozen=True)
class IngestTask:
    """Writes the documents of one group; shipped to the executors."""

    place: Place
    settings: IngestSettings

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        name = group_name(group)
        if record := self.place.documents.find(name):
            yield "documents", record
            return
        with self.place.documents.attempt(name, INGESTED) as out:
            out.counts["in"] = 0
            copies = self._copies(name)
            waiting: list[tuple[Any, ...]] = []
            size = 0
            for file, url in _files_of(self.place, group):
                lost = copies[copies[:, 0] == file, 1]
                for row in _rows(url, set(lost.tolist()), self.settings, out):
                    waiting.append(row)
                    size += len(row[0])
                    if size > _WRITTEN_BYTES:
                        _write(out, waiting)
                        waiting, size = [], 0
            _write(out, waiting)
        assert out.record is not None
        yield "documents", out.record

    def _copies(self, name: str) -> np.ndarray:
        """(file, record) of the group's records whose URL another one has."""
        if not self.settings.dedup_urls:
            return np.zeros((0, 2), np.int32)
        record = self.place.copies.find(name)
        assert record is not None
        table = self.place.copies.read(record)
        return np.column_stack([table["file"].to_numpy(), table["record"].to_numpy()])


def _files_of(place: Place, group: int) -> list[tuple[int, str]]:
    plan = place.plan(group)
    return sorted(zip(plan["file"].to_pylist(), plan["url"].to_pylist(), strict=True))


def _rows(
    url: str, lost: set[int], settings: IngestSettings, out: Attempt
) -> Iterator[tuple[Any, ...]]:
    """The documents of a file as rows of INGESTED; what is dropped is counted in `out`."""
    for first, entries, reasons in _chunks(url, settings):
        for number, (entry, reason) in enumerate(zip(entries, reasons, strict=True), first):
            out.counts["in"] += 1
            if reason is None and number in lost:
                reason = "duplicate_url"
            found = reason or read_document(entry, settings.extractor)
            if isinstance(found, str):
                out.count(f"dropped:{found}", 1)
                continue
            yield (
                found.text,
                entry.id,
                found.url,
                found.title,
                entry.date,
                found.language,
                found.charset,
                entry.mime,
                url,
                entry.offset,
            )


def _chunks(
    url: str, settings: IngestSettings
) -> Iterator[tuple[int, list[Entry], list[str | None]]]:
    """The records of a file some at a time: the number of the first, the records, and why each is dropped."""
    lists = load_blocklists(settings.block) if settings.block else None

    def judged(entries: list[Entry]) -> list[str | None]:
        reasons = [entry.reason for entry in entries]
        if lists is None:
            return reasons
        on = blocked(pa.array([entry.url for entry in entries], pa.string()), lists).to_pylist()
        return [
            reason or ("blocked_url" if found else None)
            for reason, found in zip(reasons, on, strict=True)
        ]

    first, size = 0, 0
    entries: list[Entry] = []
    for entry in read_entries(url, settings.page_bytes):
        entries.append(entry)
        size += len(entry.body)
        if len(entries) == _CHUNK_ENTRIES or size > _CHUNK_BYTES:
            yield first, entries, judged(entries)
            first, size, entries = first + len(entries), 0, []
    if entries:
        yield first, entries, judged(entries)


def _write(out: Attempt, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        columns = zip(*rows, strict=True)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, INGESTED, strict=True)]
        out.write(pa.table(arrays, schema=INGESTED))


def _find_copies(
    spark: "SparkSession",
    settings: IngestSettings,
    place: Place,
    plan: pa.Table,
    numbers: Mapping[str, int],
    todo: list[str],
    progress: Progress,
) -> None:
    """Leave in `place.copies` which records of the groups `todo` are dropped for their URL.

    Pages count before their text is looked at: where the first one has no text, the URL is lost.
    """
    found, without = missing(place.urls, list(numbers))
    groups = [numbers[name] for name in without]
    size = sum(row["size"] for row in plan.to_pylist() if row["group"] in set(groups))
    tasks = task_count(groups, settings.partitions)
    with progress.step("urls", total_bytes=size, total_tasks=tasks) as step:
        with step.spark(spark):
            made = run_tasks(spark, UrlTask(place, settings), groups, settings.partitions)
            found = merge(found, (record for _, record in made))
            place.urls.publish(found.values(), {"step": "ingest", "table": "urls"})
            known, wanted = missing(place.copies, todo)
            if wanted:
                runs = dict(zip(plan["group"].to_pylist(), plan["run"].to_pylist(), strict=True))
                records = {numbers[name]: record.bare() for name, record in found.items()}
                frame = copies(_keys(spark, place, records, runs, settings.partitions))
                partitions = settings.partitions or min(len(wanted), 200)
                writer = CopyWriter(place.copies)
                known = merge(
                    known, write_runs(frame, "group", writer, partitions, ["file", "record"])
                )
            for name in set(wanted) - known.keys():  # groups without a copy
                known[name] = CopyWriter(place.copies)(name, iter(()))
        place.copies.publish(known.values(), {"step": "ingest", "table": "copies"})
        step.done(rows=sum(record.rows for record in found.values()))


def copies(keys: "DataFrame") -> "DataFrame":
    """Of the pages of one `key` all but the first, by run, date and id: (group, file, record).

    `keys` has those columns, one row a page; files and records decide between pages that are the same.
    """
    from pyspark.sql import functions as F

    order = "struct(run, date, id, group, file, record)"
    first = keys.groupBy("key").agg(F.expr(f"min({order})").alias("first"))
    return (
        keys.join(first, "key", how="inner")  # `first` has one row a key
        .where(f"first <> {order}")
        .select("group", "file", "record")
    )


def _keys(
    spark: "SparkSession",
    place: Place,
    records: Mapping[int, Record],
    runs: Mapping[int, int],
    partitions: int,
) -> "DataFrame":
    def read(group: int) -> Iterator[pa.RecordBatch]:
        table = place.urls.read(records[group])
        rows = table.num_rows
        table = table.append_column("group", pa.array([group_name(group)] * rows, pa.string()))
        table = table.append_column("run", pa.array([runs[group]] * rows, pa.int32()))
        yield from table.to_batches(1 << 16)

    schema = "key bigint, date string, id string, file int, record int, group string, run int"
    return table_of(spark, sorted(records), read, schema, partitions)


@dataclass(frozen=True)
class UrlTask:
    """Writes the keys of the URLs of one group's pages; no text is extracted."""

    place: Place
    settings: IngestSettings

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        name = group_name(group)
        if record := self.place.urls.find(name):
            yield "urls", record
            return
        with self.place.urls.attempt(name, _URLS) as out:
            for file, url in _files_of(self.place, group):
                for first, entries, reasons in _chunks(url, self.settings):
                    kept = [
                        (number, entry)
                        for number, (entry, reason) in enumerate(
                            zip(entries, reasons, strict=True), first
                        )
                        if reason is None and entry.url
                    ]
                    out.write(_url_rows(file, kept))
        assert out.record is not None
        yield "urls", out.record


def _url_rows(file: int, kept: Iterable[tuple[int, Entry]]) -> pa.Table:
    rows = list(kept)
    urls = pa.array([entry.url for _, entry in rows], pa.string())
    return pa.table(
        {
            "key": url_keys(urls),
            "date": pa.array([entry.date or "" for _, entry in rows], pa.string()),
            "id": pa.array([entry.id or "" for _, entry in rows], pa.string()),
            "file": pa.array([file] * len(rows), pa.int32()),
            "record": pa.array([number for number, _ in rows], pa.int32()),
        }
    )


@dataclass(frozen=True)
class CopyWriter:
    """Writes the copies of one group, sorted."""

    dataset: Dataset

    def __call__(self, group: str, batches: Iterator[pa.RecordBatch]) -> Record:
        if record := self.dataset.find(group):
            return record
        with self.dataset.attempt(group, _COPIES) as out:
            for batch in batches:
                out.write(batch)
        assert out.record is not None
        return out.record
