"""Measure: what identifies a record, nested samples, fingerprints, and the columns of a tiny group."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hand_made import batch, inventory_of, recipe, records_of, write_lines
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.documents import MEASURED_RECORD, METADATA, RECORDS
from coursepack.pipeline.hashing import content_hash
from coursepack.pipeline.tasks import check_balance
from coursepack.stages.families import FAMILIES, Family, column_groups
from coursepack.stages.identity import hosts, record_columns
from coursepack.stages.inventory import group_name
from coursepack.stages.measure import Measured, MeasureTask, in_sample
from coursepack.stages.minhash import band_hashes
from coursepack.stages.words import find_words

DEFAULT = [name for name, family in FAMILIES.items() if family.default]


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    full = [{"place": n} | row for n, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(full, RECORDS)


def _columns(records: pa.RecordBatch) -> dict[str, pa.Array]:
    text = records.column("text")
    found = record_columns(records, content_hash(text), text, records.column("reject"), False)
    return dict(zip(found.schema.names, found.columns, strict=True))


def test_the_metadata_hash_differs_where_any_field_differs():
    rows: list[dict[str, Any]] = [dict.fromkeys(METADATA, "x")]
    rows += [rows[0] | {name: other} for name in METADATA for other in ("y", None, "xx")]
    rows += [{name: "x"} for name in METADATA]  # the same value in another field
    hashes = _columns(_batch(rows))["metadata"].to_pylist()
    assert len(set(hashes)) == len(rows)
    assert all(0 <= h < 1 << 63 for h in hashes)


def test_an_absent_field_is_an_empty_one():
    rows = [{"text": "t"}, {"text": "t"} | dict.fromkeys(METADATA, "")]
    first, second = _columns(_batch(rows))["metadata"].to_pylist()
    assert first == second


@given(
    st.lists(st.fixed_dictionaries({
        "text": st.one_of(st.none(), st.text(max_size=5)),
        **{name: st.one_of(st.none(), st.text(max_size=2)) for name in METADATA},
    }), max_size=5),
    st.integers(0, 2),
)  # fmt: skip
def test_slices_and_nulls(rows, skipped):
    whole = _batch(rows)
    found = _columns(whole.slice(skipped))
    expected = {name: column.slice(skipped) for name, column in _columns(whole).items()}
    assert all(found[name].equals(column) for name, column in expected.items())
    sizes = [len((row["text"] or "").encode()) for row in rows]
    assert found["bytes"].to_pylist() == sizes[skipped:]
    assert sorted([*found, "doc"]) == sorted(MEASURED_RECORD.names)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://WWW.Example.org/", "example.org"),
        ("https://me:pw@www.example.org:8080?q", "example.org"),
        ("http://example.org.", "example.org"),
        ("ftp://a.b.c/d", "a.b.c"),
        ("example.org/a", None),
        ("", None),
        (None, None),
    ],
)
def test_the_host_of_a_url(url, host):
    assert hosts(pa.array([url], pa.string())).to_pylist() == [host]


@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_larger_sample_holds_every_smaller_one(one, other):
    content = content_hash(pa.array([f"text {n}" for n in range(3000)]))
    small, large = in_sample(content, min(one, other)), in_sample(content, max(one, other))
    assert not (small & ~large).any()
    for share, found in ((min(one, other), small), (max(one, other), large)):
        assert abs(found.mean() - share) < 0.05
    assert in_sample(content, 1.0).all()


def _groups(folder, **changes):
    model = folder / "lid.bin"
    if not model.exists():
        model.write_bytes(b"a model")
    changes = {"language": {"model": str(model)}} | changes
    made = recipe(folder, **changes)
    return {name: group.fingerprint() for name, group in column_groups(made).items()}


@pytest.mark.parametrize(
    ("change", "affected"),
    [
        ({"seed": 9, "name": "other"}, set()),
        ({"dedup": {"exact": False}}, set()),
        ({"dedup": {"fuzzy": {"bands": 9}}}, {"bands"}),
        ({"dedup": {"fuzzy": {"seed": 9}}}, {"bands"}),
        ({"sample": 0.5}, {"record", "samples", "language", "domain", "bands", *DEFAULT}),
        ({"rules": {"profiles": ["gopher"]}, "execution": {"partitions": 3}}, set()),
    ],
)
def test_a_fingerprint_changes_with_its_own_settings_alone(tmp_path, change, affected):
    before, after = _groups(tmp_path), _groups(tmp_path, **change)
    assert {name for name in before if before[name] != after[name]} == affected


def test_the_language_model_counts_by_its_bytes(tmp_path):
    before = _groups(tmp_path)
    (tmp_path / "other.bin").write_bytes(b"a model")
    assert _groups(tmp_path, language={"model": str(tmp_path / "other.bin")}) == before
    (tmp_path / "other.bin").write_bytes(b"another")
    after = _groups(tmp_path, language={"model": str(tmp_path / "other.bin")})
    assert {name for name in before if before[name] != after[name]} == {"language"}
    assert "bands" not in _groups(tmp_path, dedup={"fuzzy": False})


TEXTS = ["The quick brown fox jumps over the lazy dog. " * 3, "größer als 人\n", "- a\n- b\n", "x"]
NAMES = ("record", "bands", *DEFAULT)  # language is a model that may not be installed


def _measured(folder, names=NAMES, **changes):
    made = recipe(folder, **changes)
    inventory = inventory_of(made)
    [group] = inventory.groups
    wanted = {name: group for name, group in column_groups(made).items() if name in names}
    readers = {g: inventory.reader(g) for g in inventory.groups}
    task = MeasureTask(inventory.workspace, wanted, readers, made)
    found = list(task(group))
    datasets = {
        name: inventory.workspace.dataset("measurements", name, group.fingerprint())
        for name, group in wanted.items()
    }
    records = {name: {group_name(group): record} for name, record in found}
    return task, Measured(datasets, records), inventory


def _settings(folder):
    (folder / "lid.bin").write_bytes(b"a model")
    return {"language": {"model": str(folder / "lid.bin")}, "dedup": {"fuzzy": {"bands": 3}}}


def test_a_tiny_group(tmp_path):
    write_lines(tmp_path, "a.jsonl", TEXTS[:2])
    write_lines(tmp_path, "b.jsonl", [*TEXTS[2:], b"broken", ""])
    _, measured, inventory = _measured(tmp_path, **_settings(tmp_path))
    source = pa.concat_tables(records_of(inventory, 0))
    text = source["text"].combine_chunks()
    record = measured.read("record", 0)
    assert record.schema.equals(MEASURED_RECORD)
    assert record["reject"].to_pylist() == [*[None] * 4, "broken_record", "empty"]
    assert record["content"].combine_chunks() == content_hash(text)
    for name in NAMES:
        assert measured.read(name, 0, ["doc"])["doc"].equals(source["doc"])
        counts = measured.records[name][group_name(0)].counts
        assert counts == {"in": 6, "file:0": 2, "file:1": 4}
        check_balance(name, measured.records[name].values())
    for name, group in column_groups(recipe(tmp_path, **_settings(tmp_path))).items():
        if name in FAMILIES:
            found = measured.read(name, 0).drop_columns(["doc"]).combine_chunks()
            assert found == pa.Table.from_batches([group.measure(batch(text))])
    bands = measured.read("bands", 0)["bands"].combine_chunks()
    assert bands == band_hashes(find_words(text), 3, 8, 5, 1).cast(bands.type)


def test_only_what_is_missing_is_measured(tmp_path):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    settings = _settings(tmp_path)
    _, first, _ = _measured(tmp_path, ("record", "bands"), **settings)
    _, again, _ = _measured(tmp_path, **settings)
    assert all(again.records[name] == first.records[name] for name in ("record", "bands"))
    assert set(again.records) == set(NAMES)
    _, other, _ = _measured(tmp_path, **settings | {"dedup": {"fuzzy": {"bands": 2}}})
    assert [n for n in NAMES if other.records[n] != again.records[n]] == ["bands"]


def test_a_family_that_is_added_reads_text_for_itself_alone(tmp_path, monkeypatch):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    settings = _settings(tmp_path)
    _, first, _ = _measured(tmp_path, **settings)
    paths = {name: first.datasets[name].file(first.records[name][group_name(0)]) for name in NAMES}
    stamps = {name: Path(path).stat().st_mtime_ns for name, path in paths.items()}
    asked = []
    real = Family.columns
    monkeypatch.setattr(Family, "columns", lambda self, *a: (asked.append(self), real(self, *a))[1])
    names = (*NAMES, "dolma")
    _, again, _ = _measured(tmp_path, names, signals={"families": ["dolma"]}, **settings)
    assert {family.where for family in asked} == {"dolma:dolma_signals"}
    assert {name: again.records[name] for name in NAMES} == first.records
    assert {name: Path(path).stat().st_mtime_ns for name, path in paths.items()} == stamps
    assert again.read("dolma", 0)["dolma_words"].to_pylist()[0] == 27
    asked.clear()
    _measured(tmp_path, names, rules={"profiles": ["dolma"]}, **settings)  # a rule asks for it too
    assert asked == []


def test_edits_change_what_is_measured_and_are_counted(tmp_path):
    mail = "Write to jo.doe@gmail.com about the fox. " * 2
    write_lines(tmp_path, "a.jsonl", [mail, "plain text here", "too short"])
    settings = _settings(tmp_path)
    edits = {"order": ["c4_lines", "pii"], "c4_lines": {"terminal_punctuation": False}}
    _, before, _ = _measured(tmp_path, ("record",), **settings)
    _, after, _ = _measured(tmp_path, ("record", "gopher", "edits"), edits=edits, **settings)
    record, plain = after.read("record", 1), before.read("record", 0)  # read otherwise: a new group
    assert record["content"].equals(plain["content"])
    assert record["reject"].to_pylist() == [None, None, "emptied"]
    changed = [a != b for a, b in zip(record["edited"], plain["content"], strict=True)]
    assert changed == [True, False, True]
    assert record["bytes"][1].as_py() == len("plain text here")
    assert after.read("gopher", 1)["words"].to_pylist() == [12, 3, 0]
    assert after.read("edits", 1)["edit_pii"].to_pylist() == [2, 0, 0]
    counts = after.records["record"][group_name(1)].counts
    assert counts["edit:pii/email"] == 2
    assert counts["edit:c4_lines/line:few_words"] == 1
    check_balance("measure", after.records["record"].values())


def test_a_document_with_what_is_to_be_dropped_is_rejected(tmp_path):
    write_lines(tmp_path, "a.jsonl", ["Write to jo.doe@gmail.com now.", "plain text here"])
    edits = {"order": ["pii"], "pii": {"emails": "drop"}}
    _, found, _ = _measured(tmp_path, ("record",), edits=edits, **_settings(tmp_path))
    assert found.read("record", 0)["reject"].to_pylist() == ["personal_data", None]


def test_an_edit_is_made_of_the_parts_in_its_scope(tmp_path):
    lines = [{"text": "No end here", "subset": s} for s in ("page", "poem", None)]
    write_lines(tmp_path, "a.jsonl", [orjson.dumps(line) for line in lines])
    source = {"name": "s", "layout": "jsonl", "paths": [f"{tmp_path}/in"]}
    domain = {"page": "web", "poem": "books", "default": "web"}
    made = {"source": [source | {"domain": domain}], "edits": {"order": ["c4_lines"]}}
    _, found, _ = _measured(tmp_path, ("record",), **made, **_settings(tmp_path))
    assert found.read("record", 0)["reject"].to_pylist() == ["emptied", None, "emptied"]


def test_a_sample_keeps_whole_contents(tmp_path):
    texts = [f"text {n}" for n in range(200)]
    write_lines(tmp_path, "a.jsonl", texts * 2)
    _, measured, _ = _measured(tmp_path, sample=0.25, **_settings(tmp_path))
    chosen = in_sample(content_hash(pa.array(texts)), 0.25)
    found = measured.read("record", 0)["content"].combine_chunks()
    assert found == content_hash(pa.array(texts * 2)).filter(pa.array(np.tile(chosen, 2)))
    record = measured.records["record"][group_name(0)]
    assert record.rows == 2 * chosen.sum()
    assert record.counts["dropped:not_sampled"] == 400 - record.rows
    check_balance("measure", [record])
