"""Records made by columns, against the same lines row by row."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages import json_records as module
from coursepack.stages.fields import fields_of, json_row
from coursepack.stages.json_lines import find_lines
from coursepack.stages.json_records import is_columnar, json_records, of_rows
from coursepack.stages.layouts import layout_of

LAYOUTS = (
    layout_of("jsonl"),
    layout_of("redpajama-v1"),
    layout_of("starcoderdata"),
    layout_of("jsonl", {"text": "text", "url": "meta.url", "license": "meta.license"}, {"license": "MIT"}),
)  # fmt: skip
SPACES = st.text(" \u2003\u3000\u3042\x85\u1680\xe9\x1c\u200b", max_size=3)
STRINGS = (
    st.text(max_size=6)
    | SPACES
    | st.sampled_from(["", " \u3000", "\ud800", '{"url": "u"}', "a\nb"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), STRINGS),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["url", "license", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = ("text", "content", "id", "url", "meta", "license", "max_stars_repo_path", "other")
RECORDS = st.dictionaries(st.sampled_from(NAMES), VALUES | STRINGS, max_size=6)
LINES = RECORDS.flatmap(
    lambda record: st.booleans().map(lambda ascii: json.dumps(record, ensure_ascii=ascii))
).map(lambda line: line.encode("utf-8", "surrogatepass")) | st.sampled_from(
    [b"{", b"[]", b'{"text": "a\xff"}', b'{"text": "a", "url": "\xff"}', b"null"]
)


@given(st.lists(LINES, min_size=1, max_size=5), st.sampled_from(LAYOUTS))
def test_against_rows(lines: list[bytes], layout: Any) -> None:
    fields = fields_of(layout, "data/part.jsonl")
    assert is_columnar(fields)
    data = np.frombuffer(b"\n".join(lines), np.uint8)
    starts, ends = find_lines(data)
    places = starts + 100
    wanted = of_rows(places.tolist(), [json_row(line, fields) for line in lines])
    assert json_records(data, starts, ends, places, fields).to_pylist() == wanted.to_pylist()


def test_a_text_within_an_object_is_read_row_by_row() -> None:
    assert not is_columnar(fields_of(layout_of("jsonl", {"text": "doc.body"}), "x.jsonl"))


def test_good_lines_are_never_parsed_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "json_row", None)
    data = np.frombuffer('{"text": "ä\\n", "id": 7, "url": null, "score": 0.5}'.encode(), np.uint8)
    fields = fields_of(layout_of("jsonl"), "x.jsonl")
    (row,) = json_records(data, *find_lines(data), np.array([0]), fields).to_pylist()
    assert (row["text"], row["id"], row["url"], row["reject"]) == ("ä\n", "7", None, None)
