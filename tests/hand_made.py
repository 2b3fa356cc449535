"""A tiny workspace made by hand: files, their inventory, and decisions on their records; no Spark."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from coursepack.pipeline.documents import DECISIONS, METADATA, PLACE_BITS
from coursepack.pipeline.hashing import content_hash
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.batch import Batch
from coursepack.stages.decide import Decided, SliceWriter
from coursepack.stages.inventory import Inventory, group_name, group_splits, take_inventory
from coursepack.stages.records import read_records

Choose = Callable[[int, str], dict[str, Any]]
"""From the number of a record and its text to columns of its decision, `keep` among them."""


def recipe(folder: Path, **changes: Any) -> Recipe:
    """A recipe that reads the JSON lines in `folder/in` into the workspace `folder/ws`."""
    table: dict[str, Any] = {
        "name": "small",
        "workspace": f"{folder}/ws",
        "source": [{"name": "s", "layout": "jsonl", "paths": [f"{folder}/in"], "domain": "web"}],
        "tokenizer": {"model": "none"},
        "phase": [{"name": "p", "tokens": 1, "length": 8, "mixture": {"*": 1}}],
    }
    return parse(table | changes)


def batch(text: pa.Array, **metadata: pa.Array) -> Batch:
    """Documents as they are measured, of which nothing is known but the texts and what is given."""
    nothing = pa.nulls(len(text), pa.string())
    columns = {name: metadata.get(name, nothing) for name in METADATA}
    given = {"text": text, **columns, "reject": nothing}
    return Batch(pa.RecordBatch.from_pydict(given), content_hash(text), text, nothing)


def write_lines(folder: Path, name: str, texts: list[Any]) -> None:
    """A file of JSON lines in `folder/in`; what is no string becomes the line itself."""
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [t if isinstance(t, bytes) else orjson.dumps({"text": t}) for t in texts]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def inventory_of(made: Recipe) -> Inventory:
    return take_inventory(made, Workspace(made.workspace))


def records_of(inventory: Inventory, group: int) -> Iterator[pa.Table]:
    """(doc, text, reject) of the records of a group."""
    layout = inventory.reader(group).layout
    for file_no, split in group_splits(inventory.workspace, group):
        for batch in read_records(split, layout):
            doc = (file_no << PLACE_BITS) + batch.column("place").to_numpy()
            yield pa.table({"doc": doc, "text": batch["text"], "reject": batch["reject"]})


def decided_of(inventory: Inventory, choose: Choose, dataset: str = "hand") -> Decided:
    """Decisions on all records; rejected ones are dropped, `choose` says what becomes of the others."""
    made = inventory.workspace.dataset("decisions", dataset)
    records = {}
    number = 0
    for group in inventory.groups:
        rows = []
        for table in records_of(inventory, group):
            contents = content_hash(table["text"])
            for row, content in zip(table.to_pylist(), contents.to_pylist(), strict=True):
                text = row["text"] or ""
                reject = {"keep": False, "reason": row["reject"]}
                rows.append(
                    {
                        "doc": row["doc"],
                        "content": content,
                        "bytes": len(text.encode()),
                        "failed": 0,
                    }
                    | {"source": "s", "domain": "web", "language": None, "keep": True}
                    | {"reason": None, "survivor": None, "group": ""}
                    | (reject if row["reject"] else choose(number, text))
                )
                number += 1
        table = pa.Table.from_pylist(rows, pa.schema([*DECISIONS, ("group", pa.string())]))
        name = group_name(group)
        records[name] = SliceWriter(made)(name, iter(table.to_batches()))
    return Decided(made, records)


def ids_of(table: pa.Table) -> list[list[int]]:
    """The token ids of each row of a tokens table."""
    return [np.frombuffer(row, np.int32).tolist() for row in table["ids"].to_pylist()]
