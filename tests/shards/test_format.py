"""Shards, sidecars and manifests: the same bytes each time, and others can read them."""

import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from coursepack.shards import format as shard_format
from coursepack.shards.format import (
    DOCS,
    Lists,
    ShardError,
    ShardInfo,
    docs_path,
    open_shard,
    read_docs,
    read_info,
    shard_path,
    shard_schema,
    write_docs,
    write_shard,
)
from coursepack.shards.manifest import (
    FILES,
    Manifest,
    PhaseInfo,
    Stream,
    manifest_bytes,
    parse_manifest,
    read_files,
    read_manifest,
    write_files,
)

INFO = ShardInfo("code", 6, "shifted", "ab" * 32, 0, 2)


def rows(count: int, width: int = 6) -> tuple[np.ndarray, dict[str, Lists]]:
    """Sequences of a run of 1 and one of width - 2 tokens, then one of padding."""
    ids = np.arange(1, count * width + 1, dtype=np.int32).reshape(count, width)
    ids[:, -1] = 0
    offsets = np.arange(0, 2 * count + 1, 2)
    lens = np.tile(np.array([1, width - 2], np.int32), count)
    zeros = np.zeros(2 * count, np.int32)
    docs = np.arange(2 * count, dtype=np.int32)
    values = {"seq_lens": lens, "run_lens": lens, "doc_ids": docs, "doc_starts": zeros}
    return ids, {name: (offsets, column) for name, column in values.items()}


def shard_bytes(count: int, info: ShardInfo = INFO) -> bytes:
    out = io.BytesIO()
    ids, lists = rows(count, info.width)
    write_shard(out, shard_schema(info.length, info.metadata()), ids, lists)
    return out.getvalue()


def docs_table(count: int) -> pa.Table:
    return pa.table(
        {
            "content": pa.array([bytes([i]) * 16 for i in range(count)], pa.binary(16)),
            "source": ["web"] * count,
            "domain": pa.array(["code"] * count).dictionary_encode(),
            "language": pa.array(["en", None] * (count // 2), pa.string()),
            "epoch": pa.array([0] * count, pa.int32()),
            "tokens": pa.array(range(count), pa.int64()),
        }
    )


@pytest.mark.parametrize(("targets", "width"), [("shifted", 6), ("next", 7)])
def test_schema_is_as_promised(targets: str, width: int) -> None:
    schema = shard_schema(6, ShardInfo("code", 6, targets, "ab", 0, 2).metadata())
    assert schema.names == ["input_ids", "seq_lens", "run_lens", "doc_ids", "doc_starts"]
    assert schema.field("input_ids").type == pa.list_(pa.int32(), width)
    assert {field.type for field in schema if field.name != "input_ids"} == {pa.list_(pa.int32())}
    assert not any(field.nullable for field in schema)
    assert schema.metadata == {
        b"eos_id": b"2",
        b"format_version": b"1",
        b"length": b"6",
        b"pad_id": b"0",
        b"phase": b"code",
        b"targets": targets.encode(),
        b"tokenizer": b"ab",
    }


def test_written_shard_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_format, "BATCH_BYTES", 4 * 6 * 4)
    path = tmp_path / "00000.arrow"
    path.write_bytes(shard_bytes(10))
    table = open_shard(str(path))
    assert [len(chunk) for chunk in table.column("input_ids").chunks] == [4, 4, 2]
    ids, lists = rows(10)
    assert table.column("input_ids").to_pylist() == ids.tolist()
    for name, (offsets, values) in lists.items():
        expected = [values[a:b].tolist() for a, b in pairwise(offsets)]
        assert table.column(name).to_pylist() == expected
    assert read_info(str(path)) == INFO


def test_local_shards_are_mapped_and_remote_ones_read(tmp_path: Path) -> None:
    data = shard_bytes(500)
    path = tmp_path / "00000.arrow"
    path.write_bytes(data)
    with fsspec.open("memory://bucket/00000.arrow", "wb") as out:
        out.write(data)
    before = pa.total_allocated_bytes()
    local = open_shard(str(path))
    assert pa.total_allocated_bytes() == before
    assert open_shard(f"file://{path}").equals(local)
    assert open_shard("memory://bucket/00000.arrow").equals(local)
    assert read_info("memory://bucket/00000.arrow") == INFO


def test_same_rows_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_format, "BATCH_BYTES", 4 * 6 * 4)
    whole = shard_bytes(10)
    assert whole == shard_bytes(10)
    out = io.BytesIO()
    ids, lists = rows(14)
    cut = {
        name: (offsets[2:13] - offsets[2], values[offsets[2] : offsets[12]])
        for name, (offsets, values) in lists.items()
    }
    ids = np.asfortranarray(rows(10)[0])
    cut["doc_ids"] = (cut["doc_ids"][0], cut["doc_ids"][1] - 4)
    metadata = dict(reversed(INFO.metadata().items()))
    write_shard(out, shard_schema(6, metadata), ids, dict(reversed(cut.items())))
    assert out.getvalue() == whole


def test_an_empty_shard_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "00000.arrow"
    path.write_bytes(shard_bytes(0))
    assert open_shard(str(path)).num_rows == 0


def test_loss_spans_are_a_column_when_asked_for() -> None:
    schema = shard_schema(6, INFO.metadata(), loss_spans=True)
    assert schema.names[-1] == "loss_spans"
    ids, lists = rows(3)
    with pytest.raises(ShardError, match=r"the schema has .*'loss_spans'"):
        write_shard(io.BytesIO(), schema, ids, lists)


@pytest.mark.parametrize(
    "ids", [np.zeros((3, 5), np.int32), np.zeros((3, 6), np.int64), np.zeros(18, np.int32)]
)
def test_wrong_ids_are_refused(ids: np.ndarray) -> None:
    with pytest.raises(ShardError, match=r"must be int32 of shape \(sequences, 6\)"):
        write_shard(io.BytesIO(), shard_schema(6, INFO.metadata()), ids, rows(3)[1])


def test_lists_of_other_rows_are_refused() -> None:
    with pytest.raises(ShardError, match="4 rows; input_ids has 3"):
        write_shard(io.BytesIO(), shard_schema(6, INFO.metadata()), rows(3)[0], rows(4)[1])


def test_wrong_metadata_is_refused() -> None:
    with pytest.raises(ShardError, match="'both'; they must be one of shifted, next"):
        shard_schema(6, {**INFO.metadata(), "targets": "both"})
    with pytest.raises(ShardError, match="has no 'phase'"):
        shard_schema(6, {"targets": "next"})
    with pytest.raises(ShardError, match=r"format version 9.*newer coursepack"):
        shard_schema(6, {**INFO.metadata(), "format_version": "9"})


def test_sidecar_is_exact_and_deterministic(tmp_path: Path) -> None:
    table = docs_table(40)
    pieces = pa.concat_tables([table.slice(0, 13), table.slice(13)])
    one, two = io.BytesIO(), io.BytesIO()
    write_docs(one, table)
    write_docs(two, pieces)
    assert one.getvalue() == two.getvalue()
    path = tmp_path / "00000.docs.parquet"
    path.write_bytes(one.getvalue())
    assert read_docs(str(path)).schema.equals(DOCS)
    assert read_docs(str(path)).to_pylist() == table.to_pylist()
    assert read_docs(str(path), ["source"]).column_names == ["source"]


def test_sidecar_bytes_do_not_depend_on_chunks() -> None:
    count = 150_000  # several pages a column
    contents = np.random.default_rng(0).bytes(16 * count)
    table = pa.table(
        {
            "content": pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(contents)]),
            "source": pa.repeat("web", count),
            "domain": pa.repeat("code", count),
            "language": pa.nulls(count, pa.string()),
            "epoch": np.zeros(count, np.int32),
            "tokens": np.arange(count, dtype=np.int32),
        }
    )
    pieces = pa.concat_tables([table.slice(a, 997) for a in range(0, count, 997)])
    one, two = io.BytesIO(), io.BytesIO()
    write_docs(one, table)
    write_docs(two, pieces)
    assert one.getvalue() == two.getvalue()


def test_sidecar_refuses_other_columns_and_nulls() -> None:
    with pytest.raises(ShardError, match="they must be"):
        write_docs(io.BytesIO(), docs_table(4).drop_columns(["epoch"]))
    nulls = docs_table(4).set_column(1, "source", pa.nulls(4, pa.string()))
    with pytest.raises(ShardError, match="source has 4 nulls"):
        write_docs(io.BytesIO(), nulls)


def test_names() -> None:
    assert shard_path("code", 2048, 7) == "code/2048/00007.arrow"
    assert docs_path("code", 2048, 123456) == "code/2048/123456.docs.parquet"


def test_manifest_is_read_back_and_its_bytes_are_stable(tmp_path: Path) -> None:
    stream = Stream(2048, "next", 3, 100, 204_000, 8)
    manifest = Manifest("mix", "ab", 256_000, 1, "cd", (PhaseInfo("web", (stream,)),))
    data = manifest_bytes(manifest)
    assert data == manifest_bytes(parse_manifest(data))
    (tmp_path / "manifest.json").write_bytes(data)
    assert read_manifest(f"{tmp_path}/") == manifest
    assert stream.width == 2049


@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", b'{"version": 1, "phases": []}'])
def test_other_json_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ShardError, match="not a manifest"):
        parse_manifest(data)


def test_missing_and_newer_manifests_are_named(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no manifest\.json in"):
        read_manifest(str(tmp_path))
    with pytest.raises(ShardError, match="newer coursepack"):
        parse_manifest(b'{"version": 99}')


def test_files_are_read_back(tmp_path: Path) -> None:
    values = {
        field.name: pa.array(["x"] if field.type == pa.string() else [4], field.type)
        for field in FILES
    }
    with open(tmp_path / "files.parquet", "wb") as out:
        write_files(out, pa.table(values))
    assert read_files(str(tmp_path)).schema.equals(FILES)
    assert read_files(str(tmp_path), ["path"]).to_pylist() == [{"path": "x"}]


@pytest.mark.parametrize("targets", ["shifted", "next"])
def test_hugging_face_datasets_opens_a_shard(tmp_path: Path, targets: str) -> None:
    datasets = pytest.importorskip("datasets")
    info = ShardInfo("code", 6, targets, "ab", 0, 2)
    path = tmp_path / "00000.arrow"
    path.write_bytes(shard_bytes(9, info))
    found = datasets.load_dataset(
        "arrow", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    ids, lists = rows(9, info.width)
    assert found[4]["input_ids"] == ids[4].tolist()
    assert found[4]["seq_lens"] == lists["seq_lens"][1][8:10].tolist()
    assert len(found) == 9


def test_import_is_light() -> None:
    code = (
        "import sys, coursepack.shards\n"
        "heavy = {'pyspark', 'pandas', 'numba', 'pydantic', 'typer', 'duckdb', 'py4j', 'torch'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
