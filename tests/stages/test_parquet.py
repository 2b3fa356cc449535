"""Parquet: types of columns, rows rejected one by one, damage, ranges of rows, only needed columns."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursepack.pipeline.documents import RECORDS
from coursepack.stages.layouts import Layout, layout_of
from coursepack.stages.records import Split, read_places, read_records

PARQUET = layout_of("parquet")


def rows_of(split: Split, layout: Layout = PARQUET, **limits: int) -> list[dict[str, Any]]:
    batches = list(read_records(split, layout, **limits))
    for batch in batches:
        assert batch.schema == RECORDS
        assert batch.num_rows
        batch.validate(full=True)
    return [row for batch in batches for row in batch.to_pylist()]


def written(folder: Path, columns: dict[str, Any], **options: Any) -> Split:
    path = folder / "x.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return Split(str(path))


TEXTS = ["one", None, "", " \n\u3000", "ä\u4e2d", "x" * 50]
REJECTED = [None, "no_text", "empty", "empty", None, "too_large"]
KINDS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_bytes", [1, 8, 1 << 20])
def test_types_of_text(tmp_path, kind, batch_bytes):
    column = pa.array(TEXTS, pa.string()).cast(KINDS[kind])
    rows = rows_of(written(tmp_path, {"text": column}), record_bytes=40, batch_bytes=batch_bytes)
    assert [row["place"] for row in rows] == list(range(6))
    assert [row["reject"] for row in rows] == REJECTED
    assert [row["text"] for row in rows] == ["one", None, None, None, "ä\u4e2d", None]
    assert all((row["detail"] is None) == (row["reject"] is None) for row in rows)


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.large_string()])
def test_bytes_that_are_not_utf8(tmp_path, kind):
    raw = pa.array([b"good", b"b\xffd", None, b"\xed\xa0\x80", b"", "ä".encode()], pa.binary())
    column = raw if kind == pa.binary() else raw.view(pa.string()).cast(kind)
    rows = rows_of(written(tmp_path, {"text": column, "url": column}))
    assert [row["reject"] for row in rows] == [
        None,
        "invalid_utf8",
        "no_text",
        "invalid_utf8",
        "empty",
        None,
    ]
    assert [row["url"] for row in rows] == ["good", "b\ufffdd", None, "\ufffd" * 3, "", "ä"]


def test_metadata_of_odd_types(tmp_path):
    columns = {
        "text": ["a", "b"],
        "id": [1, None],
        "url": [True, False],
        "path": [{"a": [1]}, None],
        "subset": pa.array(["s", None]).dictionary_encode(),
        "license": pa.array([["mit", "bsd"], []], pa.list_(pa.string())),
    }
    first, second = rows_of(written(tmp_path, columns))
    assert [first[name] for name in ("id", "url", "path", "subset", "license")] == [
        "1",
        "true",
        '{"a":[1]}',
        "s",
        "mit,bsd",
    ]
    assert [second[name] for name in ("id", "url", "path", "subset", "license")] == [
        None,
        "false",
        None,
        None,
        None,
    ]


def test_licences_with_a_null_in_the_list(tmp_path):
    licenses = pa.array([["mit", None], None, ["bsd"]], pa.list_(pa.string()))
    rows = rows_of(written(tmp_path, {"text": ["a", "b", "c"], "license": licenses}))
    assert [row["license"] for row in rows] == ['["mit",null]', None, "bsd"]


def test_nested_and_json_metadata(tmp_path):
    layout = layout_of("redpajama-v1")
    meta = ['{"url": "u", "arxiv_id": 7}', "no json", None, "[1]"]
    columns = {"text": list("abcd"), "meta": meta, "red_pajama_subset": ["arxiv", None, "c4", None]}
    rows = rows_of(written(tmp_path, columns), layout)
    assert [(row["id"], row["url"], row["subset"]) for row in rows] == [
        ("7", "u", "arxiv"),
        (None, None, None),
        (None, None, "c4"),
        (None, None, None),
    ]
    structs = {"text": list("ab"), "meta": [{"url": "u", "arxiv_id": "7"}, None], "url": ["x", "y"]}
    rows = rows_of(written(tmp_path, structs), layout)
    assert [(row["id"], row["url"]) for row in rows] == [("7", "u"), (None, "y")]


def test_candidates_of_the_text_row_by_row(tmp_path):
    columns = {"text": ["a", None, None], "content": pa.array([None, b"b", None], pa.binary())}
    rows = rows_of(written(tmp_path, columns))
    assert [(row["text"], row["reject"]) for row in rows] == [
        ("a", None),
        ("b", None),
        (None, "no_text"),
    ]


@pytest.mark.parametrize(
    ("columns", "reject", "detail"),
    [
        (
            {"body": list("abc"), "n": [1, 2, 3]},
            "no_text",
            "no column 'text' or 'content' or 'raw_content'",
        ),
        ({"text": [1, 2, 3]}, "wrong_type", "column 'text' is int64"),
        ({"text": [["a"], ["b"], ["c"]]}, "wrong_type", "column 'text' is list<"),
        ({"text": pa.nulls(3)}, "no_text", "the text is null"),
    ],
)
def test_files_without_text(tmp_path, columns, reject, detail):
    rows = rows_of(written(tmp_path, columns))
    assert [(row["place"], row["reject"]) for row in rows] == [(i, reject) for i in range(3)]
    assert rows[0]["detail"].startswith(detail)
    if "body" in columns:
        assert rows[0]["detail"].endswith("the columns are 'body', 'n'")


def test_only_needed_columns_are_read(tmp_path):
    """The bytes of a column that no field names are destroyed, and nobody notices."""
    noise = [os.urandom(1000).hex() for _ in range(100)]
    split = written(
        tmp_path, {"text": [str(i) for i in range(100)], "noise": noise}, compression="none"
    )
    path = Path(split.url)
    column = pq.read_metadata(path).row_group(0).column(1)
    data = bytearray(path.read_bytes())
    offset = column.dictionary_page_offset or column.data_page_offset
    data[offset : offset + 5000] = b"\xff" * 5000
    path.write_bytes(data)
    assert [row["text"] for row in rows_of(split)] == [str(i) for i in range(100)]


@pytest.mark.parametrize("keep", [0, 3, 4, 10, 500, -1])
def test_a_file_without_a_footer_is_one_record(tmp_path, keep):
    split = written(tmp_path, {"text": ["a" * 1000] * 10}, compression="none", use_dictionary=False)
    path = Path(split.url)
    path.write_bytes(path.read_bytes()[:keep])
    (row,) = rows_of(split)
    assert (row["place"], row["reject"]) == (0, "broken_record")
    assert row["detail"].startswith("damaged Parquet file: ")
    assert rows_of(Split(split.url, 5, 9)) == []
    assert [found[:2] for found in read_places(split.url, PARQUET, [0, 3])] == [
        (0, None),
        (3, None),
    ]


def test_a_damaged_row_group_rejects_its_rows_alone(tmp_path):
    texts = [os.urandom(200).hex() for _ in range(300)]
    split = written(
        tmp_path, {"text": texts}, row_group_size=100, compression="zstd", use_dictionary=False
    )
    path = Path(split.url)
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + 500 : column.data_page_offset + 4000] = bytes(3500)
    path.write_bytes(data)
    rows = rows_of(split)
    assert [row["place"] for row in rows] == list(range(300))
    assert [row["text"] for row in rows] == [*texts[:100], *[None] * 100, *texts[200:]]
    assert {row["reject"] for row in rows[100:200]} == {"broken_record"}
    assert rows[150]["detail"].startswith("damaged row group 1: ")
    assert rows_of(Split(split.url, 150, 250)) == rows[150:250]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=60),
    group=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 70), max_size=5),
    batch_bytes=st.sampled_from([1, 30, 1000]),
)
def test_any_partition_is_the_whole(tmp_path_factory, texts, group, cuts, batch_bytes):
    column = pa.array(texts, pa.string())
    folder = tmp_path_factory.mktemp("parquet")
    split = written(folder, {"text": column}, row_group_size=group)
    whole = rows_of(split, batch_bytes=batch_bytes)
    good = [text if text and not text.isspace() else None for text in texts]
    assert [row["text"] for row in whole] == good
    assert [row["place"] for row in whole] == list(range(len(texts)))
    edges = [0, *sorted(cuts), None]
    parts = [
        rows_of(Split(split.url, a, b), batch_bytes=batch_bytes)
        for a, b in itertools.pairwise(edges)
    ]
    assert [row for part in parts for row in part] == whole
    places = sorted({min(cut, 65) for cut in cuts})
    assert [found[:2] for found in read_places(split.url, PARQUET, places)] == [
        (place, good[place] if place < len(good) else None) for place in places
    ]


def test_batches_are_bounded_in_bytes(tmp_path):
    texts = ["s" * 100] * 500 + ["h" * 100_000] + ["s" * 100] * 500
    split = written(tmp_path, {"text": texts})
    batches = list(read_records(split, PARQUET, batch_bytes=10_000))
    sizes = [pc.sum(pc.binary_length(batch["text"])).as_py() for batch in batches]
    assert sum(sizes) == 200_000
    assert [
        batch.num_rows for batch, size in zip(batches, sizes, strict=True) if size > 10_000
    ] == [1]


def test_blank_is_what_python_calls_white_space():
    """JSON lines ask Python, Parquet asks Arrow."""
    every = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    found = pc.utf8_is_space(pa.array(every)).to_numpy(zero_copy_only=False)
    assert np.array_equal(found, [character.isspace() for character in every])
