"""Annotations: the lines and columns that other tools read, against the measurements and the documents themselves."""

import gzip
import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.recipe import Recipe
from coursepack.stages import annotate as module
from coursepack.stages import published
from coursepack.stages.annotate import annotate
from coursepack.stages.catalogue import SIGNALS
from coursepack.stages.decide import Reading
from coursepack.stages.dolma_names import NAMES
from coursepack.stages.inventory import file_urls
from coursepack.stages.measure import Measured
from coursepack.stages.rules import rules_of
from tests.hand_made import decided_of, inventory_of, recipe, write_lines
from tests.stages.test_whatif import measure_by_hand

TEXTS = ["Two words here. {", "- one\n- one\n\nmore", "été … {", "# symbols # and #"]


def line(number: int) -> bytes:
    """A record with an id, save each third; of seven one is empty, and one broken."""
    if number % 7 == 6:
        return b'{"text": "broken'
    record: dict[str, Any] = {"text": TEXTS[number % 4] * (1 + number % 3)}
    if number % 3:
        record["id"] = f'n"{number}é'
    if number % 2:
        record["url"] = f"https://www.host{number % 5}.org/{number}"
    return orjson.dumps(record | ({"text": ""} if number % 7 == 5 else {}))


def corpus(folder: Path, rows: int = 20, **changes: Any) -> Recipe:
    """Four files of `rows` lines and an empty one; dolma's and redpajama's signals are measured too."""
    root = folder / "in" / "documents"
    (root / "sub").mkdir(parents=True)
    lines = b"".join(line(number) + b"\n" for number in range(rows))
    (root / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (root / "sub" / "b.json.zst").write_bytes(zstandard.compress(lines[:-1]))
    (root / "c.jsonl").write_bytes(lines)
    (root / "d.json.gz").write_bytes(gzip.compress(b""))
    pq.write_table(
        pa.table({"text": TEXTS, "id": list("wxyz"), "url": ["u"] * 4}), root / "e.parquet"
    )
    families = {"families": ["dolma", "redpajama"]}
    layout = {"name": "s", "layout": "jsonl", "domain": "web"}
    table = {"name": "t", "layout": "parquet", "domain": "books", "paths": [f"{root}/*.parquet"]}
    paths = [f"{root}/*.json*", f"{root}/sub"]
    made = recipe(
        folder, source=[layout | {"paths": paths}, table], signals=families,
        dedup={"exact": False, "fuzzy": False}, **changes,
    )  # fmt: skip
    measure_by_hand(made, inventory_of(made))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return corpus(tmp_path_factory.mktemp("annotate"))


def measured_rows(made: Recipe) -> list[dict[str, Any]]:
    """All columns of each record, in the order of `doc`, joined by hand."""
    inventory = published.inventory_of(made)
    measured: Measured = measure_by_hand(made, inventory)
    rows: dict[int, dict[str, Any]] = {}
    for columns in set(measured.datasets) - {"samples", "bands"}:
        for group in inventory.groups:
            for row in measured.read(columns, group).to_pylist():
                rows.setdefault(row["doc"], {}).update(row)
    return [rows[doc] for doc in sorted(rows)]


def read_lines(path: Path) -> list[Any]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    elif path.suffix == ".gz":
        data = gzip.decompress(data)
    return [json.loads(line) for line in data.splitlines()]


def read_all(folder: Path) -> dict[str, list[Any]]:
    return {
        path.relative_to(folder).as_posix(): read_lines(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_dolma_has_a_line_a_record_beside_each_file(made: Recipe, tmp_path: Path) -> None:
    written = annotate(made, "dolma", str(tmp_path))
    files = read_all(tmp_path)
    beside = "attributes/coursepack/"
    assert sorted(files) == [
        beside + name
        for name in ("a.jsonl.gz", "c.jsonl", "d.json.gz", "e.parquet.json.gz", "sub/b.json.zst")
    ]
    for name in ("a.jsonl.gz", "c.jsonl", "sub/b.json.zst"):
        lines = files[beside + name]
        assert len(lines) == 20
        for number, found in enumerate(lines):
            assert list(found) == ["source", "id", "attributes"]
            assert found["source"] == "s"
            if number % 7 == 6:
                assert found == {"source": "s", "id": None, "attributes": {}}
            else:  # as Dolma's mixer compares them
                assert found["id"] == json.loads(line(number)).get("id")
                assert (found["attributes"] == {}) == (number % 7 == 5)
    assert files[beside + "d.json.gz"] == []
    assert [found["id"] for found in files[beside + "e.parquet.json.gz"]] == list("wxyz")
    assert (written.files, written.documents, written.rejected) == (5, 3 * 15 + 4, 3 * 5)


def test_dolma_values_are_those_measured(made: Recipe, tmp_path: Path) -> None:
    annotate(made, "dolma", str(tmp_path))
    by_file = read_all(tmp_path / "attributes" / "coursepack")
    urls = file_urls(published.inventory_of(made).workspace)
    names = [url.split("/documents/")[1] for _, url in sorted(urls.items())]
    names = [f"{name}.json.gz" if name.endswith("parquet") else name for name in names]
    lines = [found for name in names for found in by_file[name]]
    rows = measured_rows(made)
    assert len(lines) == len(rows)
    tools: dict[str, list[str]] = {}
    for attribute, signal in NAMES.items():
        tools.setdefault(signal, []).append("coursepack__" + attribute.replace(".", "__"))
    for found, row in zip(lines, rows, strict=True):
        wanted = {}
        for signal in SIGNALS.values():
            value = row.get(signal.name)
            if row["reject"] is None and value is not None and not isinstance(value, str):
                own = [f"coursepack__{signal.group}__{signal.name}"]
                for attribute in tools.get(signal.name, own):
                    wanted[attribute] = [[0, row["chars"], value]]
        assert found["attributes"] == wanted
        assert all(type(v[0][2]) in (int, float) for v in found["attributes"].values())


def test_a_text_signal_that_is_named_is_one_hot(made: Recipe, tmp_path: Path) -> None:
    annotate(made, "dolma", str(tmp_path), ["host", "words", "words", "dolma_dup_line_char_ratio"])
    found = read_all(tmp_path)["attributes/coursepack/a.jsonl.gz"]
    row = next(r for r in measured_rows(made) if r["id"] == 'n"1é')
    assert found[1]["attributes"] == {
        "coursepack__record__host_host1_org": [[0, row["chars"], 1]],
        "coursepack__gopher__words": [[0, row["chars"], row["words"]]],
        **{
            f"coursepack__gopher_v{n}__fraction_of_characters_in_duplicate_lines": [
                [0, row["chars"], row["dolma_dup_line_char_ratio"]]
            ]
            for n in (1, 2)
        },
    }
    assert list(found[2]["attributes"]) == list(found[1]["attributes"])[:-1]  # it has no URL


def test_redpajama(made: Recipe, tmp_path: Path) -> None:
    written = annotate(made, "redpajama", str(tmp_path))
    files = read_all(tmp_path / "quality_signals")
    assert sorted(files) == [f"{name}.signals.json.gz" for name in
                             ("a", "c", "d", "e.parquet", "sub/b")]  # fmt: skip
    found = {found["id"]: found for lines in files.values() for found in lines}
    rows = [row for row in measured_rows(made) if row["reject"] is None]
    assert written.documents == len(rows) == sum(map(len, files.values()))
    for row in rows:
        name = row["id"] or row["content"].hex()
        line = found[name]
        digest = hashlib.sha1(name.encode()).digest()[:8]
        assert line["id_int"] == int.from_bytes(digest, "little")
        assert line["metadata"] | {"url": "", "source": "", "source_domain": ""} == {
            "url": "", "source_domain": "", "source": "", "language": row["language"],
            "domain": "books" if name in "wxyz" else "web",
        }  # fmt: skip
        signals = {}
        for signal in SIGNALS.values():
            value = row.get(signal.name)
            known = {"chars": "ccnet_length", "rps_lines": "ccnet_nlines"}
            own = signal.name.startswith("rps_doc_")
            key = signal.name if own else known.get(signal.name, f"coursepack_{signal.name}")
            if signal.name in row and signal.type != pa.string():
                wanted = None if value is None else round(float(value), 8)
                signals[key] = [[0, row["chars"], wanted]]
        assert line["quality_signals"] == signals


def decide_by_hand(made: Recipe) -> None:
    inventory = published.inventory_of(made)
    reading = Reading(made, inventory, measure_by_hand(made, inventory))

    def choose(number: int, _text: str) -> dict[str, Any]:
        keep = number % 3 > 0
        return {"keep": keep, "reason": None if keep else "some_rule"}

    decided = decided_of(inventory, choose, reading.fingerprint(rules_of(made)))
    decided.dataset.publish(decided.records.values(), {})


@pytest.mark.parametrize("signals", [(), ("words", "language", "id")])
def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: tuple[str, ...]) -> None:
    made = corpus(tmp_path)
    monkeypatch.setattr(module, "FILE_ROWS", 10)
    before = annotate(made, "parquet", str(tmp_path / "before"), signals)
    assert not before.decided
    table = pq.read_table(tmp_path / "before")
    assert table["keep"].null_count == table["reason"].null_count == table.num_rows
    decide_by_hand(made)
    written = annotate(made, "parquet", str(tmp_path / "out"), signals)
    files = sorted((tmp_path / "out").iterdir())
    tables = [pq.read_table(path) for path in files]
    assert [t.num_rows for t in tables[:-1]] == [10] * (len(files) - 1)
    rows = [row for row in measured_rows(made) if row["reject"] is None]
    found = pa.concat_tables(tables).to_pylist()
    assert written.documents == len(found) == len(rows)
    assert written.files == len(files)
    for mine, row in zip(found, rows, strict=True):
        assert mine["content"] == row["content"].hex()
        for name in {*mine} - {"content", "source", "domain", "keep", "reason"}:
            assert mine[name] == row[name], name
        assert mine["keep"] == (mine["reason"] is None)
        assert mine["source"] == ("t" if mine["domain"] == "books" else "s")
    assert {mine["reason"] for mine in found} == {None, "some_rule"}
    if signals:
        assert tables[0].schema.names == [
            *("doc", "content", "id", "url", "source", "domain", "keep", "reason"), "words", "language"
        ]  # fmt: skip
    with pytest.raises(WorkspaceError, match="holds Parquet files already; give an empty folder"):
        annotate(made, "parquet", str(tmp_path / "out"))


@pytest.mark.parametrize("form", module.FORMS)
def test_a_file_in_many_groups_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """However the input is cut, and however few rows are read at a time, the files are the same."""
    whole = corpus(tmp_path / "whole")
    monkeypatch.setattr("coursepack.stages.inventory.UNSPLITTABLE_BYTES", 200)
    monkeypatch.setattr("coursepack.stages.records.SPAN_BYTES", 100)
    cut = corpus(tmp_path / "cut", execution={"group_bytes": 150})
    assert len(published.inventory_of(cut).groups) > 3 * len(published.inventory_of(whole).groups)
    annotate(whole, form, str(tmp_path / "a"), ["words", "chars"])
    monkeypatch.setattr(published, "BATCH_ROWS", 3)
    annotate(cut, form, str(tmp_path / "b"), ["words", "chars"])
    if form == "parquet":
        one, other = (pq.read_table(tmp_path / name).drop_columns(["doc"]) for name in "ab")
        assert one.equals(other)
    else:
        assert read_all(tmp_path / "a") == read_all(tmp_path / "b")


@given(st.lists(st.lists(st.integers(0, 60), max_size=9), max_size=6), st.data())
def test_runs_are_merged_in_order(runs: list[list[int]], data: st.DataObject) -> None:
    seen: set[int] = set()
    opened: list[int] = []
    streams, least = {}, {}
    for number, run in enumerate(runs):
        docs = sorted(set(run) - seen)
        seen.update(docs)
        least[number] = data.draw(st.integers(-1, docs[0] if docs else 60))
        size = data.draw(st.integers(1, 4))
        parts = [pa.table({"doc": pa.array(docs[i : i + size], pa.int64())})
                 for i in range(0, len(docs), size)]  # fmt: skip

        def stream(number: int = number, parts: list[pa.Table] = parts) -> Any:
            opened.append(number)
            yield from parts

        streams[number] = stream()
    found = [doc for table in published._merged(streams, least) for doc in table["doc"].to_pylist()]
    assert found == sorted(seen)
    assert opened == sorted(opened, key=lambda number: least[number])


@pytest.mark.parametrize(
    ("urls", "paths"),
    [
        (["/d/documents/a.gz", "/d/documents/x/b.gz"], ["documents/a.gz", "documents/x/b.gz"]),
        (["s3://b/p/documents/a.gz", "s3://b/q/documents/a.gz"],
         ["p/documents/a.gz", "q/documents/a.gz"]),
        (["/d/x/a.gz", "/d/x/b/a.gz"], ["a.gz", "b/a.gz"]),
        (["/d/x/a.gz"], ["a.gz"]),
        (["/a.gz", "s3://b/a.gz"], ["a.gz", "s3:/b/a.gz"]),
        (["/d/documents/a.gz", "/d/b.gz"], ["documents/a.gz", "b.gz"]),
    ],
)  # fmt: skip
def test_paths(urls: list[str], paths: list[str]) -> None:
    assert list(module._paths(dict(enumerate(urls))).values()) == paths


def test_files_that_differ_in_their_endings_alone() -> None:
    urls = {0: "/d/a.jsonl", 1: "/d/a.json.gz", 2: "/d/b.json.gz", 3: "/d/x/a.json"}
    assert list(module._places(urls, module._redpajama_path).values()) == [
        f"quality_signals/{name}.signals.json.gz" for name in ("a.jsonl", "a.json.gz", "b", "x/a")
    ]


def test_paths_that_dolma_looks_for() -> None:
    made = module._dolma_path
    assert module._redpajama_path("p/documents/a.jsonl") == "p/quality_signals/a.signals.json.gz"
    assert made("documents/x/a.jsonl.gz") == "attributes/coursepack/x/a.jsonl.gz"
    assert made("p/documents/a.json.zst") == "p/attributes/coursepack/a.json.zst"
    assert made("x/a.warc.gz") == "attributes/coursepack/x/a.warc.gz.json.gz"


def wrong(made: Recipe, tmp_path: Path) -> dict[str, tuple[Callable[[], Any], type, str]]:
    out = str(tmp_path)
    sample = made.model_copy(update={"sample": 0.01})
    empty = recipe(tmp_path)
    return {
        "form": (lambda: annotate(made, "csv", out), RecipeError, "the forms are dolma, redpajama"),
        "name": (lambda: annotate(made, "dolma", out, ["wrds"]), RecipeError, "did you mean 'words'"),
        "text": (lambda: annotate(made, "redpajama", out, ["url"]), RecipeError, "'url' is text"),
        "family": (lambda: annotate(made, "dolma", out, ["nemo_words"]), RecipeError,
                   "'nemo_words' is a signal of 'nemo', which the recipe does not measure; add 'nemo'"),
        "sample": (lambda: annotate(sample, "dolma", out), RecipeError, "of a sample of 0.01 most lines"),
        "nothing": (lambda: annotate(empty, "dolma", out), WorkspaceError, "holds no measurements"),
    }  # fmt: skip


@pytest.mark.parametrize("case", ["form", "name", "text", "family", "sample", "nothing"])
def test_what_cannot_be_had(made: Recipe, tmp_path: Path, case: str) -> None:
    call, kind, message = wrong(made, tmp_path)[case]
    with pytest.raises(kind, match=message):
        call()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_domains_that_documents_say_themselves(tmp_path: Path) -> None:
    write_lines(tmp_path, "a.jsonl", ["select 1;", "words"])
    source = {"name": "s", "layout": "jsonl", "paths": [f"{tmp_path}/in"], "domain": "auto"}
    made = recipe(tmp_path, source=[source], dedup={"exact": False, "fuzzy": False})
    measure_by_hand(made, inventory_of(made))
    annotate(made, "parquet", str(tmp_path / "out"), ["words", "tag"])
    found = pq.read_table(tmp_path / "out").to_pylist()
    assert [row["domain"] for row in found] == [row["tag"] or "general" for row in found]


def test_records_that_were_not_measured_are_missed(tmp_path: Path) -> None:
    made = corpus(tmp_path)
    table = tmp_path / "in" / "documents" / "c.jsonl"
    table.write_bytes(table.read_bytes() + line(1) + b"\n")
    with pytest.raises(WorkspaceError, match="groups have no 'record' measurements"):
        annotate(made, "parquet", str(tmp_path / "out"))


def test_columns_of_other_documents_are_an_error() -> None:
    def stream(*docs: int) -> Any:
        return iter([pa.table({"doc": docs})])

    assert sum(t.num_rows for t in published._beside([stream(1, 2), stream(1, 2)], "g")) == 2
    for other in (stream(1, 3), stream(1), stream(1, 2, 3)):
        with pytest.raises(WorkspaceError, match="input group 'g' are not of the same documents"):
            list(published._beside([stream(1, 2), other], "g"))
    counted = module._Counted(iter([pa.table({"reject": [None, "empty"]})]))
    assert len(list(itertools.chain(counted))) == 1
    with pytest.raises(WorkspaceError, match="3 records were measured, 2 were read"):
        counted.check(3)
