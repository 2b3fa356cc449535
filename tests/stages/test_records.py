"""Records of every layout, container and kind of damage; splits that lose and double nothing."""

import bz2
import gzip
import io
import itertools
import json
import lzma
import os
from pathlib import Path
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursepack.pipeline.documents import METADATA, RECORDS, REJECTS
from coursepack.stages import records
from coursepack.stages.layouts import Layout, layout_of
from coursepack.stages.records import Split, read_places, read_records
from coursepack.stages.streams import zst_frames

NATIVE = Path(__file__).parents[2].parent / "shared/data/native"
JSONL = layout_of("jsonl")


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


CODECS = {"none": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zst}


def rows_of(split: Split, layout: Layout = JSONL, **limits: int) -> list[dict[str, Any]]:
    batches = list(read_records(split, layout, **limits))
    for batch in batches:
        assert batch.schema == RECORDS
        assert batch.num_rows
        batch.validate(full=True)
    rows = [row for batch in batches for row in batch.to_pylist()]
    for row in rows:
        assert (row["text"] is None) == (row["reject"] is not None)
        assert (row["detail"] is None) == (row["reject"] is None)
        assert row["reject"] in {None, *REJECTS}
        assert len(row["detail"] or "") <= 200
    places = [row["place"] for row in rows]
    assert places == sorted(set(places))
    return rows


def written(path: Path, data: bytes) -> Split:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Split(str(path))


def lines_of(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def metadata(**found: str) -> dict[str, str | None]:
    return {name: found.get(name) for name in METADATA}


HUB_META = json.dumps({"url": "u", "timestamp": "t", "language": "en", "source": "c4"})
ROWS: dict[str, tuple[str, str, dict[str, Any], dict[str, str | None]]] = {
    # name: layout, path, record, metadata expected
    "rp1-cc": (
        "redpajama-v1",
        "common_crawl/2019-30/en_head_0000.jsonl.zst",
        {
            "text": "T",
            "pred_label": "__label__cc",
            "pred_label_prob": 0.7,
            "wiki_prob": 0.3,
            "source": "cc/2019-30/en_head_0000.json.gz/line7",
        },
        metadata(id="cc/2019-30/en_head_0000.json.gz/line7", subset="common_crawl"),
    ),
    "rp1-arxiv": (
        "redpajama-v1",
        "arxiv/arxiv_01.jsonl",
        {
            "text": "T",
            "meta": {"timestamp": "t", "yymm": "2203", "arxiv_id": "2203.1", "url": "a"},
        },
        metadata(id="2203.1", url="a", subset="arxiv"),
    ),
    "rp1-github": (
        "redpajama-v1",
        "github/filtered_0.jsonl",
        {
            "text": "T",
            "meta": {
                "content_hash": "h",
                "path": "src/a.c",
                "license": "mit",
                "alnum_prop": 0.6,
                "source": "github",
            },
        },
        metadata(id="h", path="src/a.c", subset="github", license="mit"),
    ),
    "rp1-stackexchange": (
        "redpajama-v1",
        "stackexchange/se.jsonl",
        {"text": "T", "meta": {"url": "q", "question_score": "3", "source": "stackexchange"}},
        metadata(url="q", subset="stackexchange"),
    ),
    "rp1-book-without-meta": (
        "redpajama-v1",
        "book/b.jsonl",
        {"text": "T"},
        metadata(subset="book"),
    ),
    "rp1-hub": (
        "redpajama-v1",
        "data/train-00000.jsonl",
        {"text": "T", "meta": HUB_META, "red_pajama_subset": "c4"},
        metadata(url="u", subset="c4"),
    ),
    "rp2": (
        "redpajama-v2",
        "documents/2018-43/0000/en_head.json.gz",
        {"raw_content": "T", "url": "u", "digest": "sha1:X", "bucket": "head", "cc_segment": "s"},
        metadata(id="sha1:X", url="u", subset="head"),
    ),
    "slimpajama": (
        "slimpajama",
        "train/chunk1/example_0.jsonl.zst",
        {"text": "T", "meta": {"redpajama_set_name": "RedPajamaC4"}},
        metadata(subset="RedPajamaC4"),
    ),
    "dolma": (
        "dolma",
        "documents/000.json.gz",
        {"id": "i", "text": "T", "source": "c4", "added": "d", "metadata": {"url": "u"}},
        metadata(id="i", url="u", subset="c4"),
    ),
    "pile": (
        "pile",
        "00.jsonl.zst",
        {"text": "T", "meta": {"pile_set_name": "Pile-CC"}},
        metadata(subset="Pile-CC"),
    ),
    "c4": ("c4", "c4.json.gz", {"text": "T", "timestamp": "t", "url": "u"}, metadata(url="u")),
    "refinedweb": (
        "refinedweb",
        "data/train-0.parquet",
        {"content": "T", "url": "u", "dump": "CC-1", "segment": "s", "image_urls": [["a", "b"]]},
        metadata(url="u", subset="CC-1"),
    ),
    "fineweb": (
        "fineweb",
        "data/000.parquet",
        {"text": "T", "id": "i", "dump": "CC-2", "url": "u", "file_path": "s3", "token_count": 1},
        metadata(id="i", url="u", subset="CC-2"),
    ),
    "starcoderdata": (
        "starcoderdata",
        "sql/train-0.parquet",
        {"max_stars_repo_path": "a.sql", "max_stars_count": 3.0, "id": "7", "content": "T"},
        metadata(id="7", path="a.sql", subset="sql"),
    ),
    "the-stack": (
        "the-stack",
        "data/python/train-0.parquet",
        {
            "hexsha": "h",
            "lang": "Python",
            "max_stars_repo_path": "a.py",
            "max_stars_repo_licenses": ["MIT", "BSD-3-Clause"],
            "content": "T",
        },
        metadata(id="h", path="a.py", subset="Python", license="MIT,BSD-3-Clause"),
    ),
    "the-stack-bigquery": (
        "the-stack",
        "data/python/train-1.parquet",
        {
            "hexsha": "h",
            "max_stars_repo_licenses": {"list": [{"item": "MIT"}, {"item": "Apache-2.0"}]},
            "content": "T",
        },
        metadata(id="h", subset="python", license="MIT,Apache-2.0"),
    ),
    "openwebmath": (
        "openwebmath",
        "data/train-0.parquet",
        {"text": "T", "url": "u", "date": "d", "metadata": '{"extraction_info": {}}'},
        metadata(url="u"),
    ),
    "wikipedia": (
        "wikipedia",
        "data/train-0.parquet",
        {"id": "1", "url": "u", "title": "t", "text": "T"},
        metadata(id="1", url="u"),
    ),
}


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_layouts(tmp_path, case, container):
    name, where, record, expected = ROWS[case]
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if container == "jsonl":
        path.write_bytes(lines_of(record))
    else:
        pq.write_table(pa.Table.from_pylist([record]), path)
    (row,) = rows_of(Split(str(path)), layout_of(name))
    assert row == {"place": 0, "text": "T", **expected, "reject": None, "detail": None}


def test_the_same_file_with_and_without_meta(tmp_path):
    split = written(
        tmp_path / "book/book.jsonl",
        lines_of({"text": "a"}, {"text": "b", "meta": {"url": "u"}}, {"text": "c", "meta": None}),
    )
    rows = rows_of(split, layout_of("redpajama-v1"))
    assert [(row["text"], row["url"], row["subset"]) for row in rows] == [
        ("a", None, "book"),
        ("b", "u", "book"),
        ("c", None, "book"),
    ]


@pytest.mark.parametrize("kind", CODECS)
def test_compressed(tmp_path, kind):
    data = lines_of(*({"text": f"text {i}", "id": i} for i in range(500)))
    split = written(tmp_path / "x.jsonl", CODECS[kind](data))
    rows = rows_of(split)
    assert [row["text"] for row in rows] == [f"text {i}" for i in range(500)]
    assert [row["id"] for row in rows] == [str(i) for i in range(500)]
    lines = data.splitlines(keepends=True)
    assert [row["place"] for row in rows] == [sum(map(len, lines[:i])) for i in range(500)]


@pytest.mark.parametrize(
    ("line", "reject", "detail"),
    [
        (b'{"text": "cut', "broken_record", "not JSON: Unterminated string"),
        (b"not json at all \xff\xfe", "broken_record", "not JSON: Expecting value"),
        (b'{"text": "a"} {"text": "b"}', "broken_record", "not JSON: Extra data"),
        (b'["text"]', "broken_record", "a list, not a JSON object"),
        (b'"text"', "broken_record", "a string, not a JSON object"),
        (b"null", "broken_record", "null, not a JSON object"),
        (b"[" * 200_000, "broken_record", "not JSON: "),
        (b'{"body": "a", "id": 3}', "no_text", "'text' or 'content' or 'raw_content' is missing"),
        (b"{}", "no_text", "the fields are none"),
        (b'{"text": null}', "no_text", "missing or null; the fields are 'text'"),
        (b'{"text": 3}', "wrong_type", "the text is a number"),
        (b'{"text": true}', "wrong_type", "the text is true or false"),
        (b'{"text": ["a"]}', "wrong_type", "the text is a list"),
        (b'{"text": {"a": "b"}}', "wrong_type", "the text is an object"),
        (b'{"text": ""}', "empty", "0 characters of white space"),
        (b'{"text": " \\n\\t\\u3000\\u00a0"}', "empty", "5 characters of white space"),
        (b'{"text": "a\xffb"}', "invalid_utf8", "character 1 of the text is not Unicode"),
        (b'{"text": "\xed\xa0\x80"}', "invalid_utf8", "character 0"),
        (b'{"text": "ab\\ud800"}', "invalid_utf8", "character 2"),
        (b'{"text": "\\udc00\\ud800"}', "invalid_utf8", "character 0"),
        (b'{"text": "' + b"x" * 2000 + b'"}', "too_large", "2012 bytes; at most 1000 are read"),
    ],
)
def test_rejects(tmp_path, line, reject, detail):
    good = b'{"text": "good", "id": "1"}\n'
    split = written(tmp_path / "x.jsonl", good + line + b"\n" + good)
    limit = 1000 if reject == "too_large" else 1 << 20
    first, row, last = rows_of(split, record_bytes=limit)
    assert (first["text"], last["text"]) == ("good", "good")
    assert last["place"] == len(good) + len(line) + 1
    assert (row["place"], row["reject"]) == (len(good), reject)
    assert detail in row["detail"]


@pytest.mark.parametrize(
    ("line", "text", "metadata"),
    [
        (b'{"text": "a\\ud83d\\ude00"}', "a\U0001f600", {}),
        (b'{"text": "a", "score": NaN}', "a", {}),
        (b'{"text": "\xc3\xa4", "score": -Infinity}', "ä", {}),
        (b'{"text": "a", "url": "x\xffy"}', "a", {"url": "x\ufffdy"}),
        (b'{"text": "a", "url": "\\ud800"}', "a", {"url": "\ufffd"}),
        (b'{"text": "a", "url": ["\\ud800"]}', "a", {"url": '["\ufffd"]'}),
        (b'{"text": "a", "id": 7}', "a", {"id": "7"}),
        (b'{"text": "a", "id": 1.5}', "a", {"id": "1.5"}),
        (b'{"text": "a", "id": true}', "a", {"id": "true"}),
        (b'{"text": "a", "id": {"b": [1, "\xc3\xa4"]}}', "a", {"id": '{"b":[1,"ä"]}'}),
        (b'{"text": "a", "id": null}', "a", {"id": None}),
        (b'{"text": "a", "license": []}', "a", {"license": None}),
        (b'{"text": "a", "license": ["mit", 3]}', "a", {"license": '["mit",3]'}),
        (b'{"text": "a", "license": {"list": [{"element": "mit"}]}}', "a", {"license": "mit"}),
        (b'{"text": "a", "meta": "no json"}', "a", {"url": None}),
        (b'{"text": "a", "meta": "[1]"}', "a", {"url": None}),
        (b'{"text": "a", "meta": 3}', "a", {"url": None}),
        (b'{"content": "a"}', "a", {}),
        (b'{"text": null, "content": "a"}', "a", {}),
        (b'{"text": "a\\u0000b"}', "a\0b", {}),
        (b'   {"text": "a"}\t', "a", {}),
    ],
)
def test_accepted(tmp_path, line, text, metadata):
    (row,) = rows_of(written(tmp_path / "x.jsonl", line))
    assert row["text"] == text
    assert {name: row[name] for name in metadata} == metadata


def test_line_ends_blank_lines_and_bom(tmp_path):
    data = b'\xef\xbb\xbf{"text": "a"}\r\n\r\n\n  \t\n{"text": "b"}\n{"text": "c"}'
    rows = rows_of(written(tmp_path / "x.jsonl", data))
    assert [(row["place"], row["text"]) for row in rows] == [
        (0, "a"),
        (data.index(b'{"text": "b"'), "b"),
        (data.index(b'{"text": "c"'), "c"),
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_no_records(tmp_path, data):
    assert rows_of(written(tmp_path / "x.jsonl", data)) == []


def test_an_override_with_dots_through_a_json_string(tmp_path):
    layout = layout_of("jsonl", {"text": "doc.body", "id": "doc.key.number", "license": "l"})
    doc = json.dumps({"body": "a", "key": {"number": 4}})
    (row,) = rows_of(written(tmp_path / "x", lines_of({"doc": doc, "l": "mit"})), layout)
    assert (row["text"], row["id"], row["license"]) == ("a", "4", "mit")


def test_a_huge_record_is_alone_and_a_larger_one_passed_over(tmp_path):
    texts = ["s" * 100] * 50 + ["h" * 3_000_000] + ["s" * 100] * 50
    data = lines_of(*({"text": text} for text in texts), {"text": "x" * 5_000_000}, {"text": "z"})
    split = written(tmp_path / "x.jsonl.zst", zst(data))
    batches = list(read_records(split, JSONL, record_bytes=4_000_000, batch_bytes=10_000))
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["text"] for row in rows] == [*texts, None, "z"]
    assert rows[-2]["reject"] == "too_large"
    assert [batch.num_rows for batch in batches if batch["text"].nbytes > 1_000_000] == [1]
    assert max(batch["text"].nbytes for batch in batches if batch.num_rows > 1) < 20_000


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_a_stream_cut_short_is_one_broken_record(tmp_path, kind):
    rows = [{"text": os.urandom(20_000).hex()} for _ in range(60)]
    data = lines_of(*rows)
    packed = CODECS[kind](data)
    split = written(tmp_path / "x", packed[: len(packed) // 2 + 10])
    *good, last = rows_of(split)
    assert len(good) > 5
    assert [row["text"] for row in good] == [row["text"] for row in rows[: len(good)]]
    assert (last["reject"], last["detail"]) == ("broken_record", f"the {kind} stream is cut short")
    assert last["place"] == len(data) // 60 * len(good)


def test_a_corrupt_stream_is_one_broken_record(tmp_path):
    data = lines_of(*({"text": os.urandom(20_000).hex()} for _ in range(60)))
    packed = bytearray(gzip.compress(data))
    packed[len(packed) // 2 : len(packed) // 2 + 8] = b"\xff" * 8
    rows = rows_of(written(tmp_path / "x", bytes(packed)))
    assert rows[-1]["reject"] in ("broken_record", "invalid_utf8")
    assert sum(row["detail"].startswith("damaged gz") for row in rows if row["detail"]) == 1


def test_a_missing_file_is_the_storages_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(read_records(Split(str(tmp_path / "none.jsonl")), JSONL))


LINE = st.one_of(
    st.just(b""),
    st.just(b"\r"),
    st.just(b"broken"),
    st.just(b'{"text": "\xff"}'),
    st.just(b'{"text": "' + b"y" * 300 + b'"}'),
    st.text("aä\u4e2d \U0001f600", max_size=12).map(lambda text: orjson.dumps({"text": text})),
)
FILES = st.tuples(st.lists(LINE, max_size=25), st.booleans()).map(
    lambda found: b"\n".join(found[0]) + (b"\n" if found[1] else b"")
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=FILES,
    cuts=st.lists(st.integers(0, 1500), max_size=6),
    frames=st.lists(st.integers(0, 1500), max_size=5),
    kind=st.sampled_from(["none", "zst", "gz"]),
)
def test_any_partition_is_the_whole(tmp_path_factory, data, cuts, frames, kind):
    bounds = [0, *sorted(min(cut, len(data)) for cut in frames), len(data)]
    packed = b"".join(CODECS[kind](data[a:b]) for a, b in itertools.pairwise(bounds))
    url = written(tmp_path_factory.mktemp("split") / "x", packed).url
    whole = rows_of(Split(url), record_bytes=200)
    twin, place = [], 0
    for line in data.split(b"\n"):
        if line.strip():
            twin.append(place)
        place += len(line) + 1
    assert [row["place"] for row in whole] == twin
    edges = [0, *sorted(cuts), None]
    parts = [rows_of(Split(url, a, b), record_bytes=200) for a, b in itertools.pairwise(edges)]
    assert [row for part in parts for row in part] == whole
    found = read_places(url, JSONL, [row["place"] for row in whole], record_bytes=200)
    assert [(place, text) for place, text, _ in found] == [
        (row["place"], row["text"]) for row in whole
    ]


def test_splits_at_every_frame(tmp_path):
    data = lines_of(*({"text": f"text {i} " + "x" * (i % 50)} for i in range(400)))
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(b"".join(zst(data[a : a + 1000]) for a in range(0, len(data), 1000)))
    frames = zst_frames(str(path))
    assert frames is not None
    assert len(frames) == -(-len(data) // 1000)
    whole = rows_of(Split(str(path)))
    starts = [frame.decompressed for frame in frames]
    for given_frames in (frames, [None] * len(frames)):
        splits = [
            Split(str(path), a, b, frame=frame)
            for a, b, frame in zip(starts, [*starts[1:], None], given_frames, strict=True)
        ]
        assert [row for split in splits for row in rows_of(split)] == whole


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_strides(tmp_path, stride, monkeypatch):
    monkeypatch.setattr(records, "SPAN_BYTES", 500)
    data = lines_of(*({"text": "x" * (i % 90)} for i in range(300)))
    url = written(tmp_path / "x.gz", gzip.compress(data)).url
    whole = rows_of(Split(url))
    parts = [rows_of(Split(url, stride=stride, index=index)) for index in range(stride)]
    assert sorted((row for part in parts for row in part), key=lambda row: row["place"]) == whole
    assert stride == 1 or all(part != whole for part in parts)


def test_whole_files(tmp_path):
    layout = layout_of("text")
    text = "\ufeffone\r\n\ntwo ä\n"
    assert [row["text"] for row in rows_of(written(tmp_path / "a", text.encode()), layout)] == [
        "one\r\n\ntwo ä\n"
    ]
    assert rows_of(written(tmp_path / "a.gz", gzip.compress(text.encode())), layout)[0]["text"]
    for data, reject in (
        (b"a\xff", "invalid_utf8"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b"x" * 2000, "too_large"),
        (gzip.compress(os.urandom(500))[:-9], "broken_record"),
    ):
        (row,) = rows_of(written(tmp_path / "b", data), layout, record_bytes=1000)
        assert (row["place"], row["reject"]) == (0, reject)
    split = written(tmp_path / "c", b"x")
    assert rows_of(Split(split.url, 1, 2), layout) == []
    assert rows_of(Split(split.url, stride=2, index=1), layout) == []
    assert [found[:2] for found in read_places(split.url, layout, [0, 5])] == [(0, "x"), (5, None)]


def test_lines_of_text(tmp_path):
    data = b"\xef\xbb\xbfone\r\n\n two \n\xff\nthree"
    rows = rows_of(written(tmp_path / "x.txt.bz2", bz2.compress(data)), layout_of("text-lines"))
    assert [(row["place"], row["text"], row["reject"]) for row in rows] == [
        (0, "one", None),
        (9, " two ", None),
        (15, None, "invalid_utf8"),
        (17, "three", None),
    ]


def test_parquet_where_lines_are_expected(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.jsonl")
    (row,) = rows_of(Split(str(tmp_path / "x.jsonl")))
    assert (row["reject"], row["detail"]) == (
        "broken_record",
        "a Parquet file where lines are expected",
    )


@pytest.mark.parametrize("kind", ["none", "gz", "zst", "zst-frames"])
def test_places(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(records, "_NEAR", 100)
    texts = [f"text {i} " + "x" * (i % 90) for i in range(300)]
    data = lines_of(*({"text": text} for text in texts[:-1]), {"nothing": 1})
    if kind == "zst-frames":
        packed = b"".join(zst(data[a : a + 3000]) for a in range(0, len(data), 3000))
    else:
        packed = CODECS[kind](data)
    url = written(tmp_path / "x", packed).url
    place_of = [row["place"] for row in rows_of(Split(url))]
    chosen = [0, 1, 2, 50, 51, 200, 298, 299]
    wanted = sorted([*(place_of[i] for i in chosen), place_of[7] + 3, len(data) + 50])
    found = {place: text for place, text, _ in read_places(url, JSONL, wanted)}
    assert list(found) == wanted
    assert [found[place_of[i]] for i in chosen] == [*(texts[i] for i in chosen[:-1]), None]
    assert found[place_of[7] + 3] is None
    assert [found[:2] for found in read_places(url, JSONL, [])] == []


@pytest.mark.parametrize(
    "path", sorted((NATIVE / "dolma").rglob("*.json*")), ids=lambda path: path.name
)
def test_native_dolma(path):
    opened = gzip.open if path.suffix == ".gz" else open
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    else:
        with opened(path, "rb") as raw:
            data = raw.read()
    expected = [json.loads(line) for line in data.splitlines() if line.strip()]
    rows = rows_of(Split(str(path)), layout_of("dolma"))
    assert len(rows) == len(expected)
    for row, record in zip(rows, expected, strict=True):
        if isinstance(record.get("text"), str) and record["text"].strip():
            assert (row["text"], row["subset"]) == (record["text"], record.get("source"))
        else:
            assert row["reject"] in ("no_text", "empty")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_native_compressed(suffix):
    folder = NATIVE / "decon_fixtures/training"
    if not folder.exists():
        pytest.skip("the native samples are not here")
    rows = rows_of(Split(str(folder / f"contaminated_mixed.jsonl{suffix}")))
    plain = (folder / "contaminated_mixed.jsonl").read_text().splitlines()
    assert [row["text"] for row in rows] == [json.loads(line)["text"] for line in plain]


def test_files_that_are_not_local():
    store = fsspec.filesystem("memory")
    data = lines_of(*({"text": f"text {i}"} for i in range(100)))
    store.pipe_file("/raw/x.jsonl", data)
    store.pipe_file("/raw/x.zst", zst(data[:1000]) + zst(data[1000:]))
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(100)]}), sink)
    store.pipe_file("/raw/x.parquet", sink.getvalue())
    try:
        for name in ("x.jsonl", "x.zst", "x.parquet"):
            url = f"memory://raw/{name}"
            layout = layout_of("c4")
            whole = rows_of(Split(url), layout)
            assert [row["text"] for row in whole] == [f"text {i}" for i in range(100)]
            middle = whole[50]["place"]
            parts = rows_of(Split(url, 0, middle), layout) + rows_of(Split(url, middle), layout)
            assert parts == whole
            assert [found[:2] for found in read_places(url, layout, [middle])] == [
                (middle, "text 50")
            ]
    finally:
        store.rm("/raw", recursive=True)
