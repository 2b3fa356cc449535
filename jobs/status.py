"""What a workspace holds: each dataset, whether it is finished, and which results use it.

Read from manifests and from the names of commit records: no dataset is opened.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from coursepack.pipeline import storage
from coursepack.pipeline.workspace import Dataset, Workspace
from coursepack.shards.manifest import MANIFEST, read_files, read_manifest

_TOKENIZER = "tokenizer."  # model, json or tiktoken: what a tokenizer's file is called
PUBLISHED, UNFINISHED, GROWING = "published", "unfinished", "unfinished, older published"


@dataclass(frozen=True)
class Entry:
    """One dataset of a workspace; what is not known is None."""

    step: str
    name: str  # path within the workspace
    state: str
    files: int | None = None
    rows: int | None = None
    bytes: int | None = None
    when: datetime | None = None
    seconds: float | None = None  # of the run that wrote the report
    used_by: tuple[str, ...] = ()


def workspace_status(workspace: Workspace) -> list[Entry]:
    """All datasets in the order of the steps; of one step, the oldest first."""
    used = _used(workspace)
    found = [
        *_inventory(workspace),
        *_datasets(workspace, "measure", "measurements", 2, used),
        *_datasets(workspace, "decide", "decisions", 1, used),
        *_datasets(workspace, "lineage", "lineage", 1, used),
        *_tokenizers(workspace, used),
        *_datasets(workspace, "compare", "comparisons", 1, used),
        *_datasets(workspace, "encode", "tokens", 1, used),
        *_shards(workspace),
        *_reports(workspace),
    ]
    return found


def _inventory(workspace: Workspace) -> Iterator[Entry]:
    url = workspace.path("inventory", "splits.parquet")
    if (size := storage.size(url)) is not None:
        yield Entry("inventory", "inventory", PUBLISHED, bytes=size, when=_modified(url))


def _datasets(
    workspace: Workspace, step: str, folder: str, depth: int, used: dict[str, list[str]]
) -> list[Entry]:
    """The datasets that lie `depth` folders below `folder`."""
    names = [folder]
    for _ in range(depth):
        names = [f"{name}/{inner}" for name in names for inner in _names(workspace.path(name))]
    return sorted(
        (_dataset(workspace, step, name, used) for name in names),
        key=lambda entry: (entry.name.split("/")[1:depth], entry.when is None, str(entry.when)),
    )


def _dataset(workspace: Workspace, step: str, name: str, used: dict[str, list[str]]) -> Entry:
    dataset = Dataset(workspace.path(name))
    committed = len(_names(storage.join(dataset.url, "commits")))
    manifest = dataset.manifest()
    users = tuple(used.get(name, ()))
    if manifest is None:
        return Entry(step, name, UNFINISHED, files=committed, used_by=users)
    return Entry(
        step,
        name,
        GROWING if committed > manifest["files"] else PUBLISHED,
        manifest["files"],
        manifest["rows"],
        manifest["bytes"],
        _modified(storage.join(dataset.url, MANIFEST)),
        used_by=users,
    )


def _tokenizers(workspace: Workspace, used: dict[str, list[str]]) -> Iterator[Entry]:
    for name in (f"tokenizers/{inner}" for inner in _names(workspace.path("tokenizers"))):
        urls = storage.listing(workspace.path(name))
        url = next((one for one in urls if one.rpartition("/")[2].startswith(_TOKENIZER)), "")
        size = storage.size(url) if url else None
        state = UNFINISHED if size is None else PUBLISHED
        when = None if size is None else _modified(url)
        files = None if size is None else 1
        yield Entry(
            "tokenizer", name, state, files, None, size, when, None, tuple(used.get(name, ()))
        )


def _shards(workspace: Workspace) -> Iterator[Entry]:
    for name in _names(workspace.path("shards")):
        url = workspace.path("shards", name)
        if not storage.exists(storage.join(url, MANIFEST)):
            committed = len(_names(storage.join(url, "commits")))
            yield Entry("pack", f"shards/{name}", UNFINISHED, files=committed)
            continue
        files = read_files(url, ["sequences", "bytes"])
        streams = [stream for phase in read_manifest(url).phases for stream in phase.streams]
        yield Entry(
            "pack",
            f"shards/{name}",
            PUBLISHED,
            sum(stream.shards for stream in streams),
            sum(stream.sequences for stream in streams),
            sum(files["bytes"].to_pylist()),
            _modified(storage.join(url, MANIFEST)),
        )


def _reports(workspace: Workspace) -> Iterator[Entry]:
    for name in _names(workspace.path("report")):
        url = workspace.path("report", name, "report.json")
        if (report := _json(url)) is None:
            yield Entry("report", f"report/{name}", UNFINISHED)
            continue
        seconds = sum(report["seconds"].values())
        yield Entry("report", f"report/{name}", PUBLISHED, when=_modified(url), seconds=seconds)


def _used(workspace: Workspace) -> dict[str, list[str]]:
    """Dataset -> the results made from it, as their `plan.json` says."""
    used: dict[str, list[str]] = {}
    for name in _names(workspace.path("shards")):
        plan = _json(workspace.path("shards", name, "plan.json")) or {}
        for key, folders in (("decisions", ("decisions", "lineage")), ("tokens", ("tokens",))):
            for folder in folders if key in plan else ():
                used.setdefault(f"{folder}/{plan[key]}", []).append(name)
        parts = str(plan.get("tokenizer_url", "")).split("/")
        if parts[-1].startswith(_TOKENIZER) and len(parts) > 2:
            used.setdefault(f"tokenizers/{parts[-2]}", []).append(name)
    return used


def _json(url: str) -> Any:
    return orjson.loads(storage.read_bytes(url)) if storage.exists(url) else None


def _names(url: str) -> list[str]:
    """Folders directly in a folder, sorted; none where it does not exist."""
    fs, path = storage.filesystem(url)
    if not fs.isdir(path):
        return []
    found = (e["name"] for e in fs.ls(path, detail=True) if e["type"] == "directory")
    return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)


def _modified(url: str) -> datetime | None:
    """When a file was written, in UTC; None where its store does not say."""
    fs, path = storage.filesystem(url)
    with contextlib.suppress(NotImplementedError, OSError):
        when: datetime = fs.modified(path)
        return when.astimezone(UTC)
    return None
