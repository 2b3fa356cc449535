"""Components of duplicate pairs: a plain union-find says the same, however the edges come."""

import itertools

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import WorkspaceError
from coursepack.stages import components as module
from coursepack.stages.components import components, streamed

_nodes = st.one_of(st.integers(0, 12), st.integers(0, 2**63 - 1))
_edges = st.lists(st.tuples(_nodes, _nodes), max_size=60)


def _expected(edges: list[tuple[int, int]]) -> dict[int, int]:
    graph = nx.Graph(edges)
    return {node: min(part) for part in nx.connected_components(graph) for node in part}


def _columns(edges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _as_dict(found: tuple[np.ndarray, np.ndarray]) -> dict[int, int]:
    assert np.array_equal(found[0], np.unique(found[0]))
    assert found[0].dtype == found[1].dtype == np.int64
    return dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


@given(_edges)
def test_components_are_those_of_a_graph_library(edges):
    assert _as_dict(components(*_columns(edges))) == _expected(edges)


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_chain_is_one_component(order):
    chain = np.arange(5000)[::order]
    nodes, label = components(chain[:-1], chain[1:])
    assert len(nodes) == 5000
    assert not label.any()


@given(_edges, st.lists(st.integers(0, 60), max_size=6), st.integers(0, 20))
def test_the_cut_of_the_stream_does_not_matter(edges, cuts, waiting):
    a, b = _columns(edges)
    bounds = [0, *sorted(min(cut, len(a)) for cut in cuts), len(a)]
    batches = [
        pa.record_batch([pa.array(a[i:j], pa.int64()), pa.array(b[i:j], pa.int64())], ["a", "b"])
        for i, j in itertools.pairwise(bounds)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WAITING_EDGES", waiting)
        assert _as_dict(streamed(iter(batches))) == _expected(edges)


def test_too_many_documents_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 1000)
    a = np.arange(0, 1002, 2)
    streamed(iter([pa.record_batch([a[:500], a[:500] + 1], ["a", "b"])]))  # as many as allowed
    batch = pa.record_batch([a, a + 1], ["a", "b"])
    with pytest.raises(WorkspaceError, match=r"^more than 1,000 documents .* deduplicate in parts"):
        streamed(iter([batch]))
