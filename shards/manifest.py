"""What a result holds: `manifest.json`, of constant size, and `files.parquet`, its shards."""

import json
from dataclasses import asdict, dataclass

import fsspec
import pyarrow as pa

from coursepack.shards.format import (
    FORMAT_VERSION,
    ShardError,
    Sink,
    read_parquet,
    row_width,
    write_parquet,
)

MANIFEST = "manifest.json"
FILES_NAME = "files.parquet"

# Phase of the hold-outs: packed like any other, iterated only when asked for by name.
VALIDATION = "validation"

# One row a shard, in the order of phases, lengths and shard numbers.
FILES = pa.schema(
    [
        pa.field("path", pa.string(), False),  # within the result's folder
        pa.field("phase", pa.string(), False),
        pa.field("length", pa.int32(), False),
        pa.field("shard", pa.int32(), False),  # from 0 within (phase, length)
        pa.field("sequences", pa.int64(), False),
        pa.field("tokens", pa.int64(), False),  # without padding
        pa.field("padding", pa.int64(), False),
        pa.field("documents", pa.int64(), False),
        pa.field("bytes", pa.int64(), False),
        pa.field("sha256", pa.string(), False),
        pa.field("docs_path", pa.string(), False),
        pa.field("docs_sha256", pa.string(), False),
    ]
)


@dataclass(frozen=True)
class Stream:
    """The sequences of one length in a phase."""

    length: int
    targets: str
    shards: int
    sequences: int
    tokens: int  # without padding
    batch: int  # sequences in a global step, as the recipe says

    @property
    def width(self) -> int:
        """Ids in a row."""
        return row_width(self.length, self.targets)


@dataclass(frozen=True)
class PhaseInfo:
    """A phase and its streams, in the recipe's order."""

    name: str
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class Manifest:
    """A result: what was packed, in which order, from which recipe."""

    name: str
    tokenizer: str  # sha256 of the tokenizer's file
    vocab_size: int
    seed: int
    recipe: str  # its fingerprint
    phases: tuple[PhaseInfo, ...]
    version: int = FORMAT_VERSION


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as JSON with sorted keys; the caller puts it in place at one go, last of all."""
    return (json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n").encode()


def parse_manifest(data: bytes) -> Manifest:
    """The inverse of `manifest_bytes`; raises ShardError when it is of another kind or too new."""
    try:
        found = json.loads(data)
        if found["version"] > FORMAT_VERSION:
            raise ShardError(
                f"the manifest has format version {found['version']}; this release reads up to "
                f"{FORMAT_VERSION}; install a newer coursepack"
            )
        phases = tuple(
            PhaseInfo(phase["name"], tuple(Stream(**stream) for stream in phase["streams"]))
            for phase in found.pop("phases")
        )
        return Manifest(phases=phases, **found)
    except (KeyError, TypeError, json.JSONDecodeError) as problem:
        raise ShardError(f"not a manifest of coursepack: {problem}") from problem


def read_manifest(folder: str) -> Manifest:
    """The manifest of a result; raises ShardError when there is none: it is not finished."""
    try:
        with fsspec.open(f"{folder.rstrip('/')}/{MANIFEST}", "rb") as raw:
            return parse_manifest(raw.read())
    except FileNotFoundError:
        raise ShardError(
            f"no {MANIFEST} in {folder!r}; a result has one as soon as it is packed"
        ) from None


def write_files(out: Sink, files: pa.Table) -> None:
    """Write `files.parquet` (schema FILES); same input, same bytes."""
    write_parquet(out, files, FILES)


def read_files(folder: str, columns: list[str] | None = None) -> pa.Table:
    """The shards of a result (schema FILES)."""
    return read_parquet(f"{folder.rstrip('/')}/{FILES_NAME}", columns)
