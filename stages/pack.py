"""Step 6, pack: one shuffle by shard, in waves, and best-fit packing into Arrow shards with lineage.

A task reads a tokens file's narrow columns, sees from the composition which documents go to which shards, and
sends their ids there; a binary column of int32 bytes is what Spark shuffles fastest. Whoever gets a shard's
documents packs and writes it. A shard's bytes depend on its documents alone, so it is written under its
final name, in one step, however often a task runs.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import fixed_rows, text_buffers, totals
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.tasks import table_of, write_runs
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.shards.format import (
    DOCS,
    ShardInfo,
    docs_path,
    row_width,
    shard_path,
    shard_schema,
    write_docs,
    write_shard,
)
from coursepack.shards.manifest import (
    FILES,
    FILES_NAME,
    MANIFEST,
    Manifest,
    PhaseInfo,
    manifest_bytes,
    write_files,
)
from coursepack.shards.manifest import Stream as StreamInfo
from coursepack.stages.compose import VALIDATION, Composition, Stream
from coursepack.stages.encode import Encoded
from coursepack.stages.packing import pack as pack_documents
from coursepack.tokenizers.model import Tokenizer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WAVE_SHARDS = 1000
# ids sent to Spark in one Arrow batch
_BATCH_BYTES = 16 << 20
# of a shard's documents; what follows the epoch matters only where copies of one text were kept
_ORDER = ["content", "epoch", "source", "domain", "place"]
_SHUFFLED = pa.schema(
    [
        ("shard", pa.string()),
        ("content", pa.binary()),
        ("epoch", pa.int32()),
        ("place", pa.int64()),
        ("source", pa.string()),
        ("domain", pa.string()),
        ("language", pa.string()),
        ("ids", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """One shard to be: the stream it belongs to, and its number there."""

    stream: int
    number: int
    group: str  # its name in commit records
    path: str
    docs: str


def shards_of(composition: Composition) -> dict[str, Shard]:
    """All shards of a composition, by path."""
    found = {}
    for index, stream in enumerate(composition.streams):
        for number in range(stream.shards):
            path = shard_path(stream.phase, stream.length, number)
            group = path.removesuffix(".arrow").replace("/", "-")
            docs = docs_path(stream.phase, stream.length, number)
            found[path] = Shard(index, number, group, path, docs)
    return found


def pack(
    spark: "SparkSession",
    recipe: Recipe,
    encoded: Encoded,
    composition: Composition,
    tokenizer: Tokenizer,
    result: str,
    about: Mapping[str, str],
    progress: Progress,
) -> dict[str, Record]:
    """Write the shards of `composition` into the folder `result`; returns their records by path.

    Shards of another plan that lie there are removed first. Finished shards are not packed again.
    `about` says, in `plan.json`, which datasets of the workspace the result was made from;
    `recipe.json` is the recipe itself.
    """
    dataset = Dataset(result)
    plan = plan_fingerprint(recipe, encoded, composition, tokenizer)
    clear_other_plan(result, {"plan": plan, **about})
    storage.write_bytes(
        storage.join(result, "recipe.json"), recipe.model_dump_json(indent=1).encode()
    )
    shards = shards_of(composition)
    found = dataset.committed(shard.group for shard in shards.values())
    todo = [path for path, shard in shards.items() if shard.group not in found]
    writer = ShardWriter(
        dataset, shards, composition.streams, tokenizer_info(tokenizer), recipe.seed
    )
    with progress.step("pack", total_tasks=len(todo)) as step:
        if not todo:
            step.nothing_new(len(shards))
        for start in range(0, len(todo), WAVE_SHARDS):
            wave = todo[start : start + WAVE_SHARDS]
            with step.spark(spark), _small_batches(spark):
                frame = shuffled(spark, recipe, encoded, composition, shards, wave)
                partitions = recipe.execution.partitions or min(len(wave), 2 * WAVE_SHARDS)
                made = write_runs(frame, "shard", writer, partitions, _ORDER)
            found |= {record.group: record for record in made}
        for path in todo:  # shards no document fell into
            if shards[path].group not in found:
                found[shards[path].group] = writer(path, iter(()))
        records = {path: found[shard.group] for path, shard in shards.items()}
        _publish(recipe, composition, tokenizer, result, records)
        step.done(rows=sum(record.counts["tokens"] for record in records.values()))
    return records


@contextmanager
def _small_batches(spark: "SparkSession") -> Iterator[None]:
    """Documents' ids come back from the shuffle few at a time: Spark 3.5 counts rows, not bytes."""
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key)
    spark.conf.set(key, "256")
    try:
        yield
    finally:
        spark.conf.set(key, str(before))


def plan_fingerprint(
    recipe: Recipe, encoded: Encoded, composition: Composition, tokenizer: Tokenizer
) -> str:
    """Of all that shapes the shards of a result."""
    return fingerprint(
        {
            "version": 1,
            "recipe": recipe.fingerprint(),
            "tokenizer": tokenizer.sha256,
            "tokens": sorted(record.sha256 for record in encoded.records.values()),
            "streams": [list(vars(stream).values()) for stream in composition.streams],
            "arcs": [list(vars(arc).values()) for arc in composition.arcs],
        }
    )


def clear_other_plan(result: str, plan: Mapping[str, str]) -> None:
    """Make the folder ready for `plan`: what another plan left there goes, its manifest first."""
    url = storage.join(result, "plan.json")
    if storage.exists(url) and orjson.loads(storage.read_bytes(url)) == plan:
        return
    storage.remove(storage.join(result, MANIFEST))
    storage.remove(url)  # before the rest: a run that ends here leaves no plan with half its shards
    storage.remove(result)
    storage.write_bytes(url, orjson.dumps(plan, option=orjson.OPT_INDENT_2))


def tokenizer_info(tokenizer: Tokenizer) -> tuple[str, int, int]:
    """(sha256, pad id, eos id); a tokenizer without a pad token pads with eos, or with 0."""
    eos = tokenizer.eos_id if tokenizer.eos_id is not None else -1
    pad = tokenizer.pad_id if tokenizer.pad_id is not None else max(eos, 0)
    return tokenizer.sha256, pad, eos


def shuffled(
    spark: "SparkSession",
    recipe: Recipe,
    encoded: Encoded,
    composition: Composition,
    shards: Mapping[str, Shard],
    wave: Sequence[str],
) -> Any:
    """The documents of a wave's shards, one row for each time one is packed."""
    dataset, records = encoded.dataset, list(encoded.records.values())
    numbers: dict[int, dict[int, str]] = {}
    for path in wave:
        numbers.setdefault(shards[path].stream, {})[shards[path].number] = path

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with storage.open_input(dataset.file(records[number])) as raw:
            file = pq.ParquetFile(raw)
            for row_group in range(file.num_row_groups):
                yield from placed(file, row_group, composition, numbers)

    from pyspark.sql.pandas.types import from_arrow_schema

    return table_of(
        spark, range(len(records)), read, from_arrow_schema(_SHUFFLED), recipe.execution.partitions
    )


def placed(
    file: pq.ParquetFile,
    row_group: int,
    composition: Composition,
    numbers: Mapping[int, Mapping[int, str]],
) -> Iterator[pa.RecordBatch]:
    """Rows of a row group that go to the shards `numbers` (stream -> shard number -> path).

    The ids are read only where the narrow columns say that some document is wanted.
    """
    narrow = file.read_row_group(row_group, columns=["domain", "source", "language", "ring"])
    atoms, rings = composition.atom_of(narrow), narrow["ring"].to_numpy()
    table: pa.Table | None = None
    for arc in composition.arcs:
        if arc.stream not in numbers:
            continue
        rows = np.flatnonzero((atoms == arc.atom) & (rings >= arc.low) & (rings < arc.high))
        shard, place = composition.shard_and_order(arc, rings[rows])
        paths = numbers[arc.stream]
        wanted = np.isin(shard, list(paths))
        rows, shard, place = rows[wanted], shard[wanted], place[wanted]
        if not len(rows):
            continue
        if table is None:
            table = file.read_row_group(
                row_group, columns=["content", "source", "domain", "language", "tokens", "ids"]
            )
        yield from _batches(table, rows, [paths[n] for n in shard.tolist()], arc.epoch, place)


def _batches(
    table: pa.Table, rows: np.ndarray, shards: list[str], epoch: int, place: np.ndarray
) -> Iterator[pa.RecordBatch]:
    """`rows` of a tokens table as batches of _SHUFFLED, each of bounded bytes."""
    sizes = np.cumsum(table["tokens"].to_numpy()[rows].astype(np.int64) * 4)
    cuts = np.unique(np.searchsorted(sizes, np.arange(0, max(sizes[-1], 1), _BATCH_BYTES)))
    for start, end in zip(cuts, [*cuts[1:], len(rows)], strict=True):
        piece = table.take(pa.array(rows[start:end]))
        columns = {name: piece[name] for name in ("content", "source", "domain", "language", "ids")}
        columns["shard"] = pa.array(shards[start:end], pa.string())
        columns["epoch"] = pa.array(np.full(end - start, epoch, np.int32))
        columns["place"] = pa.array(place[start:end])
        batch = pa.table(columns).select(_SHUFFLED.names).cast(_SHUFFLED).combine_chunks()
        yield from batch.to_batches()


@dataclass(frozen=True)
class ShardWriter:
    """Packs and writes one shard from its documents; shipped to the executors."""

    dataset: Dataset
    shards: Mapping[str, Shard]
    streams: tuple[Stream, ...]
    tokenizer: tuple[str, int, int]
    seed: int

    def __call__(self, path: str, batches: Iterator[pa.RecordBatch]) -> Record:
        shard = self.shards[path]
        if record := self.dataset.find(shard.group):
            return record
        stream = self.streams[shard.stream]
        sha256, pad_id, eos_id = self.tokenizer
        documents = pa.Table.from_batches(list(batches), _SHUFFLED)
        starts, data = text_buffers(documents["ids"].cast(pa.large_binary()))
        packed = pack_documents(
            fixed_rows(documents["content"].cast(pa.binary(16))),
            documents["epoch"].to_numpy(),
            (starts - starts[0]) // 4,
            data[starts[0] : starts[-1]].view(np.int32),
            row_width(stream.length, stream.targets),
            stream.packing,
            pad_id,
            documents["place"].to_numpy(),
            self.seed,
        )
        docs = _sidecar(documents, np.diff(starts) // 4, packed.documents)
        info = ShardInfo(stream.phase, stream.length, stream.targets, sha256, pad_id, eos_id)
        with storage.open_output(self.dataset.url + "/" + shard.docs) as side:
            write_docs(side, docs)
        with storage.open_output(self.dataset.url + "/" + path) as out:
            schema = shard_schema(stream.length, info.metadata())
            write_shard(out, schema, packed.input_ids, packed.lists())
        counts = {
            "tokens": packed.tokens,
            "padding": packed.padding,
            "documents": docs.num_rows,
            **_class_counts(docs),
        }
        about = {"docs_path": shard.docs, "docs_sha256": side.sha256}
        rows = len(packed.input_ids)
        return self.dataset.commit(shard.group, "shard", path, rows, out, counts, about)


def _sidecar(documents: pa.Table, tokens: np.ndarray, order: np.ndarray) -> pa.Table:
    table = documents.append_column("tokens", pa.array(tokens, pa.int32()))
    return table.take(pa.array(order)).select(DOCS.names).cast(DOCS)


def _class_counts(docs: pa.Table) -> dict[str, int]:
    """Documents and tokens by domain/source/language and whether it is a repeat."""
    repeated = pc.if_else(pc.greater(docs["epoch"], 0), "repeated", "first")
    keys = [docs["domain"], docs["source"], docs["language"], repeated]
    return totals(keys, "tokens", docs["tokens"])


def _publish(
    recipe: Recipe,
    composition: Composition,
    tokenizer: Tokenizer,
    result: str,
    records: Mapping[str, Record],
) -> None:
    """Check that nothing got lost, then list the shards; the manifest comes last."""
    rows = []
    for path, shard in shards_of(composition).items():
        record, stream = records[path], composition.streams[shard.stream]
        by_class = sum(n for key, n in record.counts.items() if key.startswith("tokens:"))
        if by_class != record.counts["tokens"]:
            raise WorkspaceError(
                f"{path}: {by_class:,} tokens came in, {record.counts['tokens']:,} were packed; "
                "this is a bug, nothing was published"
            )
        rows.append(
            {
                "path": path,
                "phase": stream.phase,
                "length": stream.length,
                "shard": shard.number,
                "sequences": record.rows,
                **{name: record.counts[name] for name in ("tokens", "padding", "documents")},
                "bytes": record.size,
                "sha256": record.sha256,
                **record.about,
            }
        )
    out = io.BytesIO()
    write_files(out, pa.Table.from_pylist(rows, FILES))
    storage.write_bytes(storage.join(result, FILES_NAME), out.getvalue())
    manifest = Manifest(
        name=recipe.name,
        tokenizer=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        seed=recipe.seed,
        recipe=recipe.fingerprint(),
        phases=tuple(_phases(composition, rows)),
    )
    storage.write_bytes(storage.join(result, MANIFEST), manifest_bytes(manifest))


def _phases(composition: Composition, rows: list[dict[str, Any]]) -> Iterator[PhaseInfo]:
    names = dict.fromkeys(stream.phase for stream in composition.streams)
    for name in sorted(names, key=lambda n: n == VALIDATION):  # stable: validation comes last
        streams = []
        for stream in composition.streams:
            if stream.phase == name:
                mine = [r for r in rows if (r["phase"], r["length"]) == (name, stream.length)]
                total = {k: sum(r[k] for r in mine) for k in ("sequences", "tokens")}
                streams.append(
                    StreamInfo(stream.length, stream.targets, stream.shards, **total, batch=1)
                )
        yield PhaseInfo(name, tuple(streams))
