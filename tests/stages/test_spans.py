"""Spans against a twin that splices bytes, and the maps between both texts."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.spans import (
    Spans,
    apply,
    collect,
    count_byte,
    count_kinds,
    edited_bytes,
    no_spans,
    source_bytes,
    spread,
)

TEXTS = (b"", b"<EMAIL>", "…".encode(), b"a")
NAMES = ("email", "line")

Find = tuple[int, int, int, int, int]


def spans_of(rows: int, finds: list[Find]) -> Spans:
    columns = np.array(finds, np.int64).reshape(-1, 5).T
    row, start, end, kind, replacement = columns
    return collect(rows, row, start, end, kind, NAMES, TEXTS, replacement)


def borders(text: str) -> list[int]:
    return [len(text[:k].encode()) for k in range(len(text) + 1)]


def without_overlaps(finds: list[Find]) -> list[Find]:
    kept: list[Find] = []
    for find in sorted(finds, key=lambda f: (f[0], f[1], -f[2], f[3], f[4])):
        if not kept or kept[-1][0] != find[0] or find[1] >= kept[-1][2]:
            kept.append(find)
    return kept


def spliced(raw: bytes, finds: list[Find]) -> bytes:
    for _, start, end, _, replacement in reversed(finds):
        raw = raw[:start] + TEXTS[replacement] + raw[end:]
    return raw


TEXT = st.text(st.sampled_from("ab \n@é漢😀\u0301"), max_size=12)


@st.composite
def edits(draw: st.DrawFn) -> tuple[list[str | None], list[Find]]:
    texts = draw(st.lists(st.none() | TEXT, max_size=5))
    finds = []
    for row, text in enumerate(texts):
        places = borders(text or "")
        for _ in range(draw(st.integers(0, 4)) if text else 0):
            start, end = sorted(draw(st.tuples(st.sampled_from(places), st.sampled_from(places))))
            finds.append((row, start, end, draw(st.integers(0, 1)), draw(st.integers(0, 3))))
    return texts, finds


@given(edits(), st.sampled_from([pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]))
def test_against_the_twin(case: tuple[list[str | None], list[Find]], kind: pa.DataType) -> None:
    texts, finds = case
    kept = without_overlaps(finds)
    spans = spans_of(len(texts), finds)
    assert list(zip(spans.starts, spans.ends, strict=True)) == [find[1:3] for find in kept]
    before = [None if text is None else text.encode() for text in texts]
    after = [
        raw and spliced(raw, [find for find in kept if find[0] == row])
        for row, raw in enumerate(before)
    ]
    padded = pa.array([None, "x", *texts], pa.string()).cast(kind)
    edited = apply(padded.slice(2), spans)
    wide = pa.large_binary() if "binary" in str(kind) else pa.large_string()
    assert edited.type == wide
    assert edited.cast(pa.large_binary()).to_pylist() == after
    assert count_kinds(spans).sum() == len(kept)

    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        mine = [find for find in kept if find[0] == row]
        there = source_bytes(spans, row, np.arange(len(new or b"") + 1))
        back = edited_bytes(spans, row, np.arange(len(old or b"") + 1))
        same = np.ones(len(old or b""), bool)
        for _, start, end, _, _ in mine:
            same[start:end] = False
        for place in np.flatnonzero(same):  # each unchanged byte is found in both directions
            assert old is not None
            assert new is not None
            assert new[back[place]] == old[place]
            assert there[back[place]] == place
        assert (np.diff(there) >= 0).all()
        assert (np.diff(back) >= 0).all()
        assert there[-1] >= (len(old or b"") if not mine or mine[-1][2] < len(old or b"") else 0)


def test_a_replacement_maps_to_the_start_of_its_span() -> None:
    spans = spans_of(1, [(0, 3, 8, 0, 1)])
    assert apply(pa.array(["to a@b.c now"]), spans).to_pylist() == ["to <EMAIL> now"]
    assert source_bytes(spans, 0, np.array([2, 3, 9, 10, 14])).tolist() == [2, 3, 3, 8, 12]
    assert edited_bytes(spans, 0, np.array([2, 3, 7, 8, 12])).tolist() == [2, 3, 3, 10, 14]


def test_of_overlapping_finds_the_first_and_longest_stays() -> None:
    spans = spans_of(2, [(1, 2, 4, 0, 0), (1, 0, 3, 1, 0), (1, 0, 2, 0, 0), (0, 1, 2, 0, 0)])
    assert spans.offsets.tolist() == [0, 1, 2]
    assert spans.starts.tolist() == [1, 0]
    assert spans.ends.tolist() == [2, 3]
    assert count_kinds(spans).tolist() == [[1, 0], [0, 1]]


def test_rows_that_were_not_looked_at_have_no_spans() -> None:
    spans = spread(spans_of(2, [(0, 0, 1, 0, 0), (1, 0, 1, 0, 0)]), np.array([True, False, True]))
    assert spans.offsets.tolist() == [0, 1, 1, 2]
    assert apply(pa.array(["ab", "ab", "ab"]), spans).to_pylist() == ["b", "ab", "b"]


def test_nothing_is_copied_without_a_span() -> None:
    text = pa.array(["one", None, "three"])
    same = apply(text, no_spans(3))
    assert same.to_pylist() == text.to_pylist()
    assert same.buffers()[2].address == text.buffers()[2].address


@pytest.mark.parametrize(
    ("starts", "ends", "message"),
    [
        ([3, 1], [4, 3], "span 1:3 of row 0 starts before the span ahead of it ends"),
        ([3], [2], "span 3:2 of row 0 starts before"),
        ([0], [9], "span 0:9 of row 0 ends behind its text"),
        ([2], [3], "span 2:3 of row 0 cuts a UTF-8 character"),
        ([0], [2], "span 0:2 of row 0 cuts a UTF-8 character"),
    ],
)
def test_wrong_spans(starts: list[int], ends: list[int], message: str) -> None:
    count = len(starts)
    spans = Spans(
        np.array([0, count]),
        np.array(starts),
        np.array(ends),
        np.zeros(count, np.int16),
        NAMES,
        TEXTS,
        np.zeros(count, np.int32),
    )
    with pytest.raises(ValueError, match=message):
        apply(pa.array(["aé b"]), spans)


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match="3 rows of spans for 1 texts"):
        apply(pa.array(["a"]), no_spans(3))


def test_count_byte() -> None:
    assert count_byte(np.frombuffer(b"[[a]", np.uint8), ord("[")) == 2
