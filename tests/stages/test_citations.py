"""Citations against the pattern of C4 and datatrove."""

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.citations import find_citations
from coursepack.stages.spans import apply

PATTERN = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
PIECES = (
    "[1]",
    "[]",
    "[edit]",
    "[citation needed]",
    "[Edit]",
    "[",
    "]",
    "12",
    "٣",
    "²",
    "edit",
    "é",
    "\n",
    " ",
)
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=10).map("".join)


@given(st.lists(st.none() | TEXT, max_size=5))
def test_against_the_pattern(texts: list[str | None]) -> None:
    wanted = [text if text is None else PATTERN.sub("", text) for text in texts]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(["[1]", *texts], pa.string()).cast(kind).slice(1)
        spans = find_citations(column)
        assert apply(column, spans).to_pylist() == wanted
        assert spans.offsets[-1] == sum(len(PATTERN.findall(text or "")) for text in texts)


def test_what_closes_up_is_left_for_a_second_edit() -> None:
    column = pa.array(["a[[1]2] b[ 1] c[1,2] d[x]"])
    once = apply(column, find_citations(column))
    assert once.to_pylist() == ["a[2] b[ 1] c[1,2] d[x]"]
    assert apply(once, find_citations(once)).to_pylist() == ["a b[ 1] c[1,2] d[x]"]


def test_bytes_that_are_no_utf8() -> None:
    column = pa.array([b"\xff[1]\xe2[\xd9]"], pa.binary())
    assert apply(column, find_citations(column)).to_pylist() == [b"\xff\xe2[\xd9]"]
