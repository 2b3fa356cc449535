"""The shard format: an Arrow IPC file of sequences of one length, a Parquet sidecar of documents.

Files are uncompressed, so a trainer maps them into memory and copies nothing. The same input gives
the same bytes: record batches have a fixed number of rows and schema metadata is sorted.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FORMAT_VERSION = 1

# `shifted`: rows hold L ids and the trainer shifts; `next`: they hold L + 1 (TinyLlama's 2049).
TARGETS = ("shifted", "next")

# Bytes of ids in a record batch: large enough for long reads, small enough to stream.
BATCH_BYTES = 4 << 20

# One row a document of the shard; `doc_ids` of the shard are row numbers here.
DOCS = pa.schema(
    [
        pa.field("content", pa.binary(16), False),  # XXH3-128 of the source text
        pa.field("source", pa.string(), False),
        pa.field("domain", pa.string(), False),
        pa.field("language", pa.string()),
        pa.field("epoch", pa.int32(), False),
        pa.field("tokens", pa.int32(), False),  # of the document's encoded stream
    ]
)

Lists = tuple[np.ndarray, np.ndarray]
"""A list column: offsets (n + 1) and int32 values; row i is `values[offsets[i]:offsets[i + 1]]`."""


class Sink(Protocol):
    """A binary file being written: local, remote, or one that hashes what passes."""

    def write(self, data: Any, /) -> int: ...


class ShardError(ValueError):
    """A shard, or what describes it, is not as the format says."""


@dataclass(frozen=True)
class ShardInfo:
    """What shapes the tokens of a shard: its schema metadata."""

    phase: str
    length: int  # L, the model's sequence length
    targets: str  # one of TARGETS
    tokenizer: str  # sha256 of the tokenizer's file
    pad_id: int
    eos_id: int
    version: int = FORMAT_VERSION

    @property
    def width(self) -> int:
        """Ids in a row: L, or L + 1 where targets are `next`."""
        return row_width(self.length, self.targets)

    def metadata(self) -> dict[str, str]:
        """The strings that `shard_schema` wants."""
        return {
            "format_version": str(self.version),
            "phase": self.phase,
            "targets": self.targets,
            "tokenizer": self.tokenizer,
            "pad_id": str(self.pad_id),
            "eos_id": str(self.eos_id),
        }


def row_width(length: int, targets: str) -> int:
    """Ids in a row of a shard of sequence length `length`; raises ShardError on unknown targets."""
    if targets not in TARGETS:
        raise ShardError(f"targets are {targets!r}; they must be one of {', '.join(TARGETS)}")
    return length + (targets == "next")


def shard_schema(length: int, metadata: Mapping[str, str], loss_spans: bool = False) -> pa.Schema:
    """The Arrow schema of a shard of sequence length `length`, from `ShardInfo.metadata()`.

    `input_ids` is fixed_size_list<int32> of L ids (L + 1 where targets are `next`); the others are
    list<int32>; `loss_spans` ([start, end) pairs) is there when asked for. No column has nulls.
    """
    found = {**metadata, "length": str(length)}
    width = row_width(length, found.get("targets", ""))
    lists = ["seq_lens", "run_lens", "doc_ids", "doc_starts", *["loss_spans"] * loss_spans]
    fields = [pa.field("input_ids", pa.list_(pa.int32(), width), False)]
    fields += [pa.field(name, pa.list_(pa.int32()), False) for name in lists]
    schema = pa.schema(fields, {key: found[key] for key in sorted(found)})
    parse_info(schema)
    return schema


def parse_info(schema: pa.Schema) -> ShardInfo:
    """The metadata of a shard's schema; raises ShardError when keys are missing or too new."""
    found = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    try:
        info = ShardInfo(
            phase=found["phase"],
            length=int(found["length"]),
            targets=found["targets"],
            tokenizer=found["tokenizer"],
            pad_id=int(found["pad_id"]),
            eos_id=int(found["eos_id"]),
            version=int(found["format_version"]),
        )
    except KeyError as missing:
        raise ShardError(
            f"the schema metadata has no {missing.args[0]!r}; this is not a shard of coursepack"
        ) from None
    if info.version > FORMAT_VERSION:
        raise ShardError(
            f"the shard has format version {info.version}; this release reads up to "
            f"{FORMAT_VERSION}; install a newer coursepack"
        )
    return info


def write_shard(
    out: Sink, schema: pa.Schema, input_ids: np.ndarray, lists: Mapping[str, Lists]
) -> None:
    """Write sequences as an uncompressed Arrow IPC file of `shard_schema`; same input, same bytes.

    `input_ids` is int32 (sequences, width); `lists` holds each list column as offsets and values.
    `out` needs only `write`, so it may be a hash-counting or remote file.
    """
    batch = _shard_rows(schema, input_ids, lists)
    rows = max(1, BATCH_BYTES // (4 * max(1, input_ids.shape[1])))
    options = pa.ipc.IpcWriteOptions(compression=None)
    with pa.ipc.new_file(out, schema, options=options) as writer:
        for start in range(0, len(batch), rows):
            writer.write_batch(batch.slice(start, rows))


def _shard_rows(
    schema: pa.Schema, input_ids: np.ndarray, lists: Mapping[str, Lists]
) -> pa.RecordBatch:
    names = [name for name in schema.names if name != "input_ids"]
    width = schema.field("input_ids").type.list_size
    if sorted(names) != sorted(lists):
        raise ShardError(f"list columns are {sorted(lists)}; the schema has {sorted(names)}")
    if input_ids.dtype != np.int32 or input_ids.ndim != 2 or input_ids.shape[1] != width:
        raise ShardError(
            f"input_ids are {input_ids.dtype} of shape {input_ids.shape}; "
            f"they must be int32 of shape (sequences, {width})"
        )
    columns = [pa.FixedSizeListArray.from_arrays(pa.array(input_ids.reshape(-1)), width)]
    for name in names:
        offsets, values = lists[name]
        if len(offsets) != len(input_ids) + 1:
            raise ShardError(f"{name} has {len(offsets) - 1} rows; input_ids has {len(input_ids)}")
        columns.append(
            pa.ListArray.from_arrays(
                pa.array(offsets, pa.int32()), pa.array(np.ascontiguousarray(values, np.int32))
            )
        )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def open_shard(path: str) -> pa.Table:
    """A shard as a table, one chunk a record batch; memory-mapped where local, else read whole."""
    parsed, local = _locate(path)
    if local:
        return pa.ipc.open_file(pa.memory_map(parsed)).read_all()
    with fsspec.open(path, "rb") as raw:
        return pa.ipc.open_file(pa.py_buffer(raw.read())).read_all()


def read_info(path: str) -> ShardInfo:
    """The metadata of a shard, from its footer alone."""
    with fsspec.open(path, "rb") as raw:
        return parse_info(pa.ipc.open_file(raw).schema)


def write_docs(out: Sink, docs: pa.Table) -> None:
    """Write a sidecar, rows in the order that `doc_ids` count; same input, same bytes."""
    write_parquet(out, docs, DOCS)


def read_docs(path: str, columns: list[str] | None = None) -> pa.Table:
    """The documents of a shard (schema DOCS)."""
    return read_parquet(path, columns)


def shard_path(phase: str, length: int, number: int) -> str:
    """Where a shard lies in its result's folder."""
    return f"{phase}/{length}/{number:05d}.arrow"


def docs_path(phase: str, length: int, number: int) -> str:
    """Where the sidecar of a shard lies in its result's folder."""
    return f"{phase}/{length}/{number:05d}.docs.parquet"


def write_parquet(out: Sink, table: pa.Table, schema: pa.Schema) -> None:
    """Write `table` as Parquet of exactly `schema`; raises ShardError when its columns differ."""
    if table.schema.names != schema.names:
        raise ShardError(f"columns are {table.schema.names}; they must be {schema.names}")
    for field, column in zip(schema, table.columns, strict=True):
        if column.null_count and not field.nullable:
            raise ShardError(f"{field.name} has {column.null_count} nulls; it must have none")
    # one chunk a column: pages then depend on the rows alone, not on how they were gathered
    plain = table.replace_schema_metadata(None).cast(schema).combine_chunks()
    pq.write_table(plain, out, compression="zstd", row_group_size=1 << 20)


def read_parquet(path: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file anywhere fsspec reaches."""
    with fsspec.open(path, "rb") as raw:
        return pq.ParquetFile(raw).read(columns)


def _locate(path: str) -> tuple[str, bool]:
    """The path without its scheme, and whether it is a local file."""
    fs, parsed = fsspec.core.url_to_fs(path)
    protocols: Any = fs.protocol
    names = (protocols,) if isinstance(protocols, str) else tuple(protocols)
    return os.fspath(parsed), "file" in names
