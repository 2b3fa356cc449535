import re
from collections.abc import Callable

import dedup
import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

DOCUMENTS = "abcdefgh"
PAIRS = [("a", "b", 0.95), ("b", "c", 0.85), ("a", "c", 0.6), ("d", "e", 0.9), ("f", "g", 0.5)]


def test_a_judgement_by_hand() -> None:
    # at 0.8: clusters abc and de, so three are redundant; b is gone for a, d for e, h for nothing
    found = dedup.judge(DOCUMENTS, "acefg", PAIRS, 0.8)
    assert found == dedup.Judgement(3, 1.0, 2 / 3, 2 / 3)
    # all of a cluster gone: each resembles another document, none resembles a kept one
    found = dedup.judge(DOCUMENTS, "defgh", PAIRS, 0.8)
    assert found == dedup.Judgement(3, 1 - 1 / 3, 1.0, 0.0)


def test_what_nothing_can_be_said_of_is_null() -> None:
    assert dedup.judge(DOCUMENTS, DOCUMENTS, [], 0.8) == dedup.Judgement(0, None, None, None)
    assert dedup.expected_recall(PAIRS, 0.99, 14, 8) is None


names = st.sampled_from(DOCUMENTS)
pairs = st.lists(
    st.tuples(names, names, st.sampled_from([0.5, 0.7, 0.8, 0.9, 1.0])).filter(
        lambda p: p[0] != p[1]
    )
)


@given(st.sets(names), st.sets(names), pairs, st.sampled_from([0.7, 0.8, 0.9]))
def test_judge_against_its_definition(
    documents: set[str], kept: set[str], edges: list[dedup.Pair], threshold: float
) -> None:
    def clusters(nodes: set[str]) -> int:
        graph = nx.Graph()
        graph.add_nodes_from(nodes)
        graph.add_edges_from((a, b) for a, b, j in edges if j >= threshold and {a, b} <= nodes)
        return int(nx.number_connected_components(graph))

    def share(resembles: Callable[[str, str], bool]) -> float | None:
        near = [{a, b} for a, b, j in edges if j >= threshold and {a, b} <= documents]
        hit = [d for d in gone if any(resembles(d, o) for o in documents if {d, o} in near)]
        return len(hit) / len(gone) if gone else None

    left, gone = documents & kept, documents - kept
    ideal = len(documents) - clusters(documents)
    found = dedup.judge(documents, kept, edges, threshold)
    assert found.ideal_removed == ideal
    assert found.recall == (1 - (len(left) - clusters(left)) / ideal if ideal else None)
    assert found.precision == share(lambda d, o: True)
    assert found.strict_precision == share(lambda d, o: o in left)


def test_the_expected_recall_is_the_mean_over_pairs() -> None:
    expected = [1 - (1 - j**8) ** 14 for _, _, j in PAIRS if j >= 0.85]
    assert dedup.expected_recall(PAIRS, 0.85, 14, 8) == pytest.approx(sum(expected) / 3)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("", False),
        ("one two three four five six seven eight", False),  # four shingles
        ("one two three four five six seven eight nine", True),
        ("One-two, three! four five SIX_SEVEN eight \u00e9t\u00e9 nine ten", True),
        ("again " * 50, False),  # one shingle, many times
    ],
)
def test_short_documents_are_outside_the_truth(text: str, inside: bool) -> None:
    assert dedup.in_truth(text) == inside
    assert bool(re.search(r"\w", text)) or not inside
