"""The commit protocol: what counts is listed, whole and unique, whatever tasks were killed or ran twice."""

import gc
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coursepack.pipeline import storage
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.workspace import Dataset, Record, Workspace

SCHEMA = pa.schema([pa.field("n", pa.int64(), False), pa.field("text", pa.string())])


@pytest.fixture(params=["local", "memory"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    if request.param == "local":
        yield Workspace(str(tmp_path / "ws pace")).dataset("measurements", "f00")
    else:
        url = f"memory://{tmp_path.name}"
        yield Workspace(url).dataset("measurements", "f00")
        storage.remove(url)


def table(rows: int) -> pa.Table:
    return pa.table({"text": [f"é{n}" for n in range(rows)], "n": range(rows)})


def written(dataset: Dataset, group: str, rows: int = 3) -> Record:
    with dataset.attempt(group, SCHEMA) as out:
        out.write(table(rows))
        out.counts["in"] = rows
    assert out.record is not None
    return out.record


def test_an_attempt_is_a_file_and_its_record(dataset: Dataset) -> None:
    with dataset.attempt("g1", SCHEMA) as out:
        out.write(table(3))
        out.write(table(2).to_batches()[0])
        out.count("in", 7)
        out.count("in", 1)
        out.count("dropped:why", 0)  # a count of nothing is not noted
        assert dataset.find("g1") is None
    record = out.record
    assert record is not None
    assert (record.group, record.rows, record.counts) == ("g1", 5, {"in": 8})
    assert storage.size(dataset.file(record)) == record.size
    assert storage.sha256_of(dataset.file(record)) == record.sha256
    assert dataset.find("g1") == record
    found = dataset.read(record)
    assert found.schema == SCHEMA
    assert found["n"].to_pylist() == [0, 1, 2, 0, 1]
    assert dataset.read(record, ["text"]).column_names == ["text"]


def test_a_file_without_rows(dataset: Dataset) -> None:
    with dataset.attempt("g", SCHEMA) as out:
        pass
    assert out.record is not None
    assert out.record.counts == {}
    assert dataset.read(out.record) == SCHEMA.empty_table()


def test_row_groups(dataset: Dataset) -> None:
    with dataset.attempt("g", SCHEMA, suffix=".x", row_group_rows=2) as out:
        out.write(table(5))
    assert out.record is not None
    assert out.record.path.endswith(".x")
    with storage.open_input(dataset.file(out.record)) as raw:
        assert pq.ParquetFile(raw).metadata.num_row_groups == 3


def fail(dataset: Dataset, wrong: pa.Table | None) -> None:
    with dataset.attempt("g", SCHEMA) as out:
        out.write(table(2))
        if wrong is None:
            raise KeyError
        out.write(wrong)


@pytest.mark.parametrize(
    "wrong", [pa.table({"n": [1]}), pa.table({"n": [None], "text": ["x"]}), None]
)
def test_an_attempt_that_fails_leaves_nothing(
    dataset: Dataset, wrong: pa.Table | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing column, null where none may be, the task's own error: no record, no file, no noise."""
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    with pytest.raises((KeyError, ValueError)):
        fail(dataset, wrong)
    gc.collect()
    assert noise == []
    assert dataset.find("g") is None
    assert storage.listing(dataset.url) == []


def test_a_record_there_and_back() -> None:
    record = Record("g", "a b/ü.parquet", 3, 1 << 40, "00", {"in": 3, "dropped:é": 0}, {"x": "y"})
    assert Record.from_json(record.to_json()) == record
    assert Record.from_json(record.to_json().decode()) == record
    assert Record.from_json(Record("g", "p", 0, 0, "").to_json()) == Record("g", "p", 0, 0, "")


def test_a_file_without_a_record_is_garbage(dataset: Dataset) -> None:
    killed = written(dataset, "g")
    storage.remove(storage.join(dataset.url, "commits", "g"))
    assert dataset.find("g") is None
    assert dataset.records(["g"]) == {}
    again = written(dataset, "g")
    assert again.path != killed.path
    assert dataset.records(["g"]) == {"g": again}


def test_a_record_half_written_is_not_looked_at(dataset: Dataset) -> None:
    record = written(dataset, "g")
    storage.write_bytes(storage.join(dataset.url, "commits", "g", "0.json.12ab.part"), b'{"gro')
    assert dataset.find("g") == record


@pytest.mark.parametrize("damage", ["gone", "short", "long", "empty"])
def test_a_record_whose_file_is_not_whole_is_not_valid(dataset: Dataset, damage: str) -> None:
    one, two = sorted((written(dataset, "g") for _ in range(2)), key=lambda r: r.path)
    assert dataset.find("g") == one
    data = storage.read_bytes(dataset.file(one))
    storage.remove(dataset.file(one))
    if damage != "gone":
        kept = {"short": data[:-1], "long": data + b"0", "empty": b""}[damage]
        storage.write_bytes(dataset.file(one), kept)
    assert dataset.find("g") == two
    storage.remove(dataset.file(two))
    assert dataset.find("g") is None
    assert dataset.committed(["g"]) == {}


def test_of_two_attempts_one_counts_and_the_published_stays(dataset: Dataset) -> None:
    attempts = sorted((written(dataset, "g") for _ in range(3)), key=lambda r: r.path)
    assert dataset.committed(["g"]) == {"g": attempts[0]}
    dataset.publish([attempts[1]], {})
    assert dataset.committed(["g"]) == {"g": attempts[0]}
    assert dataset.records(["g"]) == {"g": attempts[1]}


def test_groups_are_told_apart(dataset: Dataset) -> None:
    made = {group: written(dataset, group) for group in ("g1", "g10", "g2-00ff")}
    assert all(dataset.find(group) == record for group, record in made.items())
    assert dataset.find("g") is None
    assert dataset.records(["g2-00ff", "g1", "never"]) == {
        "g1": made["g1"],
        "g2-00ff": made["g2-00ff"],
    }
    assert dataset.committed(iter(["g10"])) == {"g10": made["g10"]}


def test_publish_merges(dataset: Dataset) -> None:
    assert dataset.published() == []
    assert dataset.manifest() is None
    a, b, c = (written(dataset, group, rows) for group, rows in (("a", 1), ("b", 2), ("c", 3)))
    dataset.publish(iter([c, a]), {"step": "measure", "version": 1})
    assert dataset.published() == [a, c]
    dataset.publish([b], {"step": "measure", "version": 2})
    assert dataset.published() == [a, b, c]
    manifest = dataset.manifest()
    assert manifest is not None
    assert manifest | {"sha256": ""} == {
        "step": "measure",
        "version": 2,
        "files": 3,
        "rows": 6,
        "bytes": a.size + b.size + c.size,
        "sha256": "",
    }
    other = written(dataset, "b", 4)
    dataset.publish([other], {})
    assert dataset.published() == [a, other, c]
    assert dataset.manifest() != manifest


def test_records_keep_counts_and_about(dataset: Dataset) -> None:
    with storage.open_output(storage.join(dataset.url, "f.bin")) as out:
        out.write(b"abc")
    record = dataset.commit("g", "g-1", "f.bin", 9, out, {"in": 9}, {"docs": "d"})
    assert (
        dataset.find("g")
        == record
        == Record("g", "f.bin", 9, 3, out.sha256, {"in": 9}, {"docs": "d"})
    )
    dataset.publish([record], {})
    assert dataset.published() == [record]


def test_the_manifest_is_of_constant_size_and_comes_last(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write = storage.write_bytes

    def noted(url: str, data: bytes) -> None:
        order.append(url.rsplit("/", 1)[-1])
        write(url, data)

    monkeypatch.setattr(storage, "write_bytes", noted)
    few = [Record(f"g{n:03d}", f"p{n}", 1, 1, "ab" * 32, {"in": n}) for n in range(10)]
    many = [Record(f"g{n:03d}", f"p{n}", 1, 1, "ab" * 32, {"in": n}) for n in range(990)]
    sizes = []
    for records in (few, many):
        dataset.publish(records, {"step": "x"})
        sizes.append(storage.size(storage.join(dataset.url, "manifest.json")) or 0)
    assert order == ["files.parquet", "manifest.json"] * 2
    assert sizes[1] - sizes[0] <= 3  # digits of the counts


def test_publish_killed_before_the_manifest_is_done_again(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = written(dataset, "g")
    write = storage.write_bytes

    def killed(url: str, data: bytes) -> None:
        if url.endswith("manifest.json"):
            raise KeyboardInterrupt
        write(url, data)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            dataset.publish([record], {})
    assert dataset.manifest() is None
    assert dataset.published() == [record]
    dataset.publish(dataset.records(["g"]).values(), {})
    assert (dataset.manifest() or {})["files"] == 1


def test_a_damaged_file_is_named_and_the_way_out_works(dataset: Dataset) -> None:
    record, other = written(dataset, "g"), written(dataset, "h")
    dataset.publish([record, other], {})
    url = dataset.file(record)
    storage.write_bytes(url, b"PAR1" + bytes(record.size - 8) + b"PAR1")
    with pytest.raises(WorkspaceError) as caught:
        dataset.read(record)
    told = str(caught.value)
    listed, commits = (storage.join(dataset.url, part) for part in ("files.parquet", "commits/g"))
    assert told.startswith(f"{url!r} cannot be read (")
    assert told.endswith(f"); delete {listed!r} and {commits!r}, and run again")
    storage.remove(listed)
    storage.remove(commits)
    assert dataset.records(["g", "h"]) == {"h": other}

    storage.remove(url)
    with pytest.raises(WorkspaceError, match="cannot be read"):
        dataset.read(record)


def test_a_changed_byte_of_a_page_is_found_or_harmless(tmp_path: Path) -> None:
    """Pages have checksums: what is read is right or refused. The footer has none."""
    dataset = Dataset(str(tmp_path))
    numbers = random.Random(1)
    values = [numbers.getrandbits(63) for _ in range(500)]
    with dataset.attempt("g", SCHEMA) as out:
        out.write(pa.table({"n": values, "text": ["x"] * 500}))
    assert out.record is not None
    path = Path(dataset.file(out.record))
    data, whole = path.read_bytes(), dataset.read(out.record)
    pages = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    refused = 0
    for place in numbers.sample(range(4, pages), 200):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert dataset.read(out.record) == whole
        except WorkspaceError:
            refused += 1
    assert refused > 150


def test_urls_of_the_workspace() -> None:
    workspace = Workspace("s3://bucket/run/")
    assert workspace.path("shards", "x") == "s3://bucket/run/shards/x"
    assert workspace.dataset("tokens", "ab").url == "s3://bucket/run/tokens/ab"
