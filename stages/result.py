"""A packed result as it lies there: its manifest, its list of shards, and their checked bytes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.errors import WorkspaceError
from coursepack.shards.format import ShardInfo, parse_info, shard_schema
from coursepack.shards.manifest import FILES, FILES_NAME, MANIFEST, Manifest, Stream, parse_manifest
from coursepack.stages.verdict import DAMAGE, Check, said

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """A folder of shards, and what is said of it."""

    url: str
    manifest: Manifest
    files: tuple[dict[str, Any], ...]  # rows of files.parquet
    streams: dict[tuple[str, int], Stream]  # of the manifest, by phase and length


def open_result(url: str) -> Result:
    """The manifest and the list of files of a result; raises WorkspaceError where one is damaged."""
    manifest = read_as(storage.join(url, MANIFEST), parse_manifest)
    files = read_as(storage.join(url, FILES_NAME), lambda data: read_table(data, FILES))
    streams = {(p.name, s.length): s for p in manifest.phases for s in p.streams}
    return Result(url, manifest, tuple(files.to_pylist()), streams)


def read_as(url: str, parse: Callable[[bytes], T]) -> T:
    """What `parse` makes of a small file; raises WorkspaceError, with its name, where it is damaged."""
    try:
        return parse(storage.read_bytes(url))
    except DAMAGE as error:
        raise WorkspaceError(f"{url} cannot be read: {said(error)}") from error


def hashed(url: str, sha256: str, check: Check) -> bytes | None:
    """The bytes of a listed file; None where it cannot be read. `check` learns what is wrong."""
    check.checked += 1
    with check.noting(f"{url} is in {FILES_NAME} and cannot be read"):
        data = storage.read_bytes(url)
        digest = hashlib.sha256(data).hexdigest()
        if digest != sha256:
            check.add([f"{url} has sha256 {digest}; {FILES_NAME} says {sha256}"])
        return data
    return None


def read_shard(data: bytes) -> tuple[ShardInfo, pa.Table]:
    """A shard's metadata and rows; raises ShardError, or what Arrow raises, where it is none."""
    table = pa.ipc.open_file(data).read_all()
    table.validate(full=True)  # before its offsets are followed
    info = parse_info(table.schema)
    schema = shard_schema(info.length, info.metadata(), "loss_spans" in table.column_names)
    return info, table.select(schema.names).cast(schema)


def read_table(data: bytes, schema: pa.Schema) -> pa.Table:
    """A Parquet file, one chunk a column; raises what Arrow raises where it has no such columns."""
    table = pq.read_table(pa.BufferReader(data))
    table.validate(full=True)
    return table.select(schema.names).cast(schema).combine_chunks()
