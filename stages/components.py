"""Connected components of duplicate pairs, by union-find in one task.

Edges stream by and are folded into the components known so far, so memory follows the documents that have
duplicates. The label of a component is its smallest document number: which label it is decides nothing.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numba
import numpy as np
import pyarrow as pa

from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.workspace import Dataset, Record

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COMPONENTS = pa.schema(
    [pa.field("doc", pa.int64(), False), pa.field("component", pa.int64(), False)]
)
GROUP = "all"
# 300 M documents are about 12 GB in the one task that joins them.
MOST_DOCUMENTS = 300_000_000
# Edges gathered before they are joined into what is known: memory follows documents, not edges.
_WAITING_EDGES = 10_000_000


@numba.njit(nogil=True, cache=True)
def _roots(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Union-find with path halving; the smaller index is always the root, so roots are minima."""
    parent = np.arange(count)
    for i in range(a.shape[0]):
        x, y = a[i], b[i]
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        while parent[y] != y:
            parent[y] = parent[parent[y]]
            y = parent[y]
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y
    for i in range(count):
        parent[i] = parent[parent[i]]
    return parent


def components(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (int64, ascending) of the edges (a, b), and for each the smallest node it is connected to."""
    nodes, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    roots = _roots(len(nodes), index[: len(a)], index[len(a) :])
    return nodes, nodes[roots]


def write_components(edges: "DataFrame", dataset: Dataset) -> Record:
    """Write (doc, component) of every document of the `edges` (a, b: bigint); the others are alone.

    One file, of the group `all`. Raises WorkspaceError where more than `MOST_DOCUMENTS` documents
    have duplicates.
    """

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        record = dataset.find(GROUP)
        if record is None:
            doc, component = streamed(batches)
            with dataset.attempt(GROUP, COMPONENTS) as out:
                out.write(pa.table([pa.array(doc), pa.array(component)], schema=COMPONENTS))
            record = out.record
        assert record is not None
        yield pa.record_batch([pa.array([record.to_json().decode()])], ["record"])

    rows = edges.select("a", "b").repartition(1).mapInArrow(write, "record string").collect()
    return Record.from_json(rows[0]["record"])


def streamed(batches: Iterator[pa.RecordBatch]) -> tuple[np.ndarray, np.ndarray]:
    """`components` of edges (a, b) that stream by; raises WorkspaceError above `MOST_DOCUMENTS`."""
    a = b = np.zeros(0, np.int64)
    pieces: list[tuple[np.ndarray, np.ndarray]] = []
    waiting = 0
    for batch in batches:
        pieces.append((batch.column(0).to_numpy(), batch.column(1).to_numpy()))
        waiting += batch.num_rows
        if waiting > max(_WAITING_EDGES, len(a)):
            a, b = _joined(a, b, pieces)
            pieces, waiting = [], 0
    return _joined(a, b, pieces)


def _joined(
    a: np.ndarray, b: np.ndarray, pieces: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """The components so far, as (document, component), with more edges joined in."""
    found = components(
        np.concatenate([a, *(piece for piece, _ in pieces)]),
        np.concatenate([b, *(piece for _, piece in pieces)]),
    )
    if len(found[0]) > MOST_DOCUMENTS:
        raise WorkspaceError(
            f"more than {MOST_DOCUMENTS:,} documents have duplicates, which is what one task joins: "
            "deduplicate in parts, or with fewer candidates (more dedup.fuzzy.rows, fewer bands)"
        )
    return found
