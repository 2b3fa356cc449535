"""Layouts recognised by their fields, plain files by their longest strings, domains by paths."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coursepack.stages.guess import Guess, guess
from coursepack.stages.layouts import LAYOUTS

NATIVE = Path(__file__).parents[2].parent / "shared/data"

GITHUB = {"content_hash": "h", "alnum_prop": 0.6, "path": "a.c", "source": "github"}
WEB = {"timestamp": "t", "language": "en", "source": "c4", "url": "u"}
WIKI = {"title": "t", "url": "u", "language": "en", "timestamp": "20230320"}

# layout, file, record, domain
KNOWN: list[tuple[str, str, dict[str, Any], str]] = [
    ("slimpajama", "a", {"text": "T", "meta": {"redpajama_set_name": "RedPajamaGithub"}}, "code"),
    ("pile", "a", {"text": "T", "meta": {"pile_set_name": "FreeLaw"}}, "law"),
    ("redpajama-v1", "a", {"text": "T", "meta": "{}", "red_pajama_subset": "arxiv"}, "science"),
    ("redpajama-v1", "github/a", {"text": "T", "meta": GITHUB}, "code"),
    ("redpajama-v1", "c4/a", {"text": "T", "meta": WEB}, "web"),
    ("redpajama-v1", "wikipedia/a", {"text": "T", "meta": WIKI}, "encyclopedia"),
    (
        "redpajama-v1",
        "common_crawl/2019-30/a",
        {"text": "T", "pred_label": "l", "pred_label_prob": 0.5, "wiki_prob": 0.5, "source": "cc"},
        "web",
    ),
    (
        "redpajama-v2",
        "a",
        {"raw_content": "T", "digest": "d", "cc_segment": "s", "url": "u"},
        "web",
    ),
    (
        "the-stack",
        "a",
        {"content": "T", "hexsha": "h", "lang": "SQL", "max_stars_repo_path": "p"},
        "sql",
    ),
    ("starcoderdata", "sql/a", {"content": "T", "id": "1", "max_stars_repo_path": "p"}, "sql"),
    ("starcoderdata", "go/a", {"content": "T", "id": "1", "max_stars_repo_path": "p"}, "code"),
    ("refinedweb", "a", {"content": "T", "url": "u", "dump": "d", "segment": "s"}, "web"),
    (
        "fineweb",
        "a",
        {"text": "T", "id": "i", "dump": "d", "url": "u", "language_score": 1.0},
        "web",
    ),
    ("openwebmath", "a", {"text": "T", "url": "u", "date": "d", "metadata": "{}"}, "math"),
    ("dolma", "a", {"id": "i", "text": "T", "source": "reddit", "created": "c"}, "dialogue"),
    (
        "ingested",
        "a",
        {"text": "T", "id": "i", "url": "u", "title": "t", "warc": "w", "charset": "utf-8"},
        "web",
    ),
    ("wikipedia", "a", {"id": "1", "url": "u", "title": "t", "text": "T"}, "encyclopedia"),
    ("c4", "a", {"text": "T", "timestamp": "t", "url": "u"}, "web"),
]


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
@pytest.mark.parametrize("case", KNOWN, ids=lambda case: f"{case[0]}-{case[1]}".replace("/", "-"))
def test_known_layouts(tmp_path, case, container):
    name, where, record, domain = case
    path = tmp_path / "data" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if container == "jsonl":
        path.write_bytes(gzip.compress((json.dumps(record) + "\n").encode() * 30))
    else:
        pq.write_table(pa.Table.from_pylist([record] * 30), path)
    found = guess(str(path))
    assert (found.layout, found.fields, found.container) == (name, {}, container)
    assert found.compression == ("gz" if container == "jsonl" else "none")
    assert (found.sample, found.records_seen, found.rejected) == (("T",) * 3, 20, 0)
    assert found.domain == domain


def test_every_known_layout_is_recognised():
    plain = {"jsonl", "parquet", "text", "text-lines"}
    assert {case[0] for case in KNOWN} == set(LAYOUTS) - plain


def jsonl(path: Path, *records: Any) -> Guess:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return guess(str(path))


def test_plain_files(tmp_path):
    found = jsonl(
        tmp_path / "x", {"key": "k", "body": "long text " * 50}, {"key": "k", "body": "b"}
    )
    assert (found.layout, found.fields) == ("jsonl", {"text": "body"})
    assert found.sample == (("long text " * 50)[:300], "b")
    nested = jsonl(tmp_path / "x", {"key": "k", "doc": {"body": "long text", "n": 1}})
    assert (nested.fields, nested.sample) == ({"text": "doc.body"}, ("long text",))
    usual = jsonl(tmp_path / "x", {"content": "short", "summary": "much longer"})
    assert (usual.fields, usual.sample) == ({}, ("short",))
    pq.write_table(pa.table({"n": [1], "body": ["text"]}), tmp_path / "y")
    assert guess(str(tmp_path / "y")).fields == {"text": "body"}
    assert guess(str(tmp_path / "y")).layout == "parquet"


@pytest.mark.parametrize(
    ("path", "domain"),
    [
        ("sql/part.jsonl", "sql"),
        ("text_to_sql-1.jsonl.zst", "sql"),
        ("open-math/part.jsonl", "math"),
        ("my_code/part.jsonl", "code"),
        ("novels/part.jsonl", "books"),
        ("web_crawl.jsonl", "web"),
        ("part.jsonl", "general"),
        ("mysqlish/part.jsonl", "general"),
    ],
)
def test_domains_by_path(tmp_path, path, domain):
    assert jsonl(tmp_path / "one/two" / path, {"text": "a"}).domain == domain


def test_text_and_damaged_files(tmp_path):
    path = tmp_path / "x"
    path.write_text("Once upon a time\nthere was a file\n")
    found = guess(str(path))
    assert (found.layout, found.container, found.records_seen) == ("text", "text", 1)
    assert found.sample == ("Once upon a time\nthere was a file\n",)
    for data in (b"", b"\xff\xfe\xfd", b"PAR1 and no more", gzip.compress(b"x" * 99)[:-9]):
        path.write_bytes(data)
        found = guess(str(path))
        assert (found.sample, found.rejected) == ((), found.records_seen)
    with pytest.raises(FileNotFoundError):
        guess(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("native/dolma/provided/documents/000.json.gz", "dolma"),
        ("native/decon_fixtures/training/contaminated_mixed.jsonl.xz", "jsonl"),
    ],
)
def test_native_files(path, layout):
    if not (NATIVE / path).exists():
        pytest.skip("the native samples are not here")
    found = guess(str(NATIVE / path))
    assert found.layout == layout
    assert len(found.sample) == 3
