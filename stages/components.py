"""Connected components of duplicate pairs, by union-find in one task.

Every edge is read once; memory is 24 bytes an edge and a few bytes a document. The label of a component
is its smallest document number: which label it is decides nothing.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numba
import numpy as np
import pyarrow as pa

from coursepack.pipeline.errors import WorkspaceError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# 200 M edges are about 5 GB in the one task that joins them.
MOST_EDGES = 200_000_000


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


def component_table(edges: "DataFrame") -> "DataFrame":
    """(doc, component) for every document of the `edges` (a, b: bigint); the others are alone.

    Raises WorkspaceError beyond `MOST_EDGES` edges.
    """

    def join(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pieces = [(batch.column(0).to_numpy(), batch.column(1).to_numpy()) for batch in batches]
        count = sum(len(a) for a, _ in pieces)
        if count > MOST_EDGES:
            raise WorkspaceError(
                f"{count:,} pairs of duplicates; one task joins up to {MOST_EDGES:,}: "
                "lower dedup.fuzzy.bands or raise dedup.fuzzy.rows"
            )
        if not pieces:
            return
        doc, component = components(
            np.concatenate([a for a, _ in pieces]), np.concatenate([b for _, b in pieces])
        )
        for start in range(0, len(doc), 1 << 16):
            piece = slice(start, start + (1 << 16))
            yield pa.record_batch(
                [pa.array(doc[piece]), pa.array(component[piece])], ["doc", "component"]
            )

    return edges.select("a", "b").repartition(1).mapInArrow(join, "doc bigint, component bigint")
