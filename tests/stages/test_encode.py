"""Encode: the kept documents of a group and no others, sorted, counted, and checked against the source."""

import functools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_made import decided_of, ids_of, inventory_of, recipe, write_lines

from coursepack.pipeline.documents import TOKENS
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.hashing import choice, content_hash
from coursepack.pipeline.tasks import check_balance
from coursepack.pipeline.workspace import Attempt, Dataset, Record
from coursepack.stages import encode as module
from coursepack.stages.encode import Encoded, EncodeTask, count_classes
from coursepack.stages.inventory import group_name
from coursepack.stages.records import read_records
from coursepack.tokenizers.model import load
from coursepack.tokenizers.train import train

TEXTS = [f"text number {n}: größer als 人 {'x' * n}" for n in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    path.write_bytes(train(TEXTS * 5, 600, accept_fewer=True))
    return str(path)


def task_of(folder: Path, model: str, choose: Any, **settings: Any) -> EncodeTask:
    made = recipe(folder, tokenizer={"model": model, **settings}, seed=7)
    inventory = inventory_of(made)
    decided = decided_of(inventory, choose)
    return EncodeTask(
        inventory.workspace,
        inventory.workspace.dataset("tokens", "t"),
        decided.dataset,
        {g: decided.records[group_name(g)] for g in inventory.groups},
        {g: f"{group_name(g)}-key" for g in inventory.groups},
        {g: inventory.reader(g) for g in inventory.groups},
        made,
        model,
        load(model).sha256,
    )


def encoded(task: EncodeTask) -> tuple[Record, pa.Table]:
    [(name, record)] = list(task(0))
    assert name == "tokens"
    return record, task.dataset.read(record)


def _choose(number: int, _: str) -> dict[str, Any]:
    domain = "code" if number % 2 else "web"
    return {"domain": domain, "language": "en" if number % 4 else None, "keep": number % 3 > 0}


@pytest.mark.parametrize("batch_bytes", [1, 200, 8 << 20])
def test_kept_documents_sorted(tmp_path, model, monkeypatch, batch_bytes):
    read = functools.partial(read_records, batch_bytes=batch_bytes)
    monkeypatch.setattr(module, "read_records", read)
    write_lines(tmp_path, "a.jsonl", [*TEXTS[:5], b'{"text": 3}', "", b"{broken"])
    write_lines(tmp_path, "b.jsonl", TEXTS[5:])
    # the numbers of rejected records count too
    numbers = [*range(5), *range(8, 15)]
    task = task_of(tmp_path, model, _choose)
    record, table = encoded(task)
    assert table.schema.equals(TOKENS)
    tokenizer = load(model)
    assert {tokenizer.decode(ids) for ids in ids_of(table)} == {
        text for n, text in zip(numbers, TEXTS, strict=True) if n % 3
    }
    assert all(ids[-1] == tokenizer.eos_id for ids in ids_of(table))
    assert [len(ids) for ids in ids_of(table)] == table["tokens"].to_pylist()
    keys = [tuple(row.values()) for row in table.select(["domain", "source", "ring"]).to_pylist()]
    assert keys == sorted(keys)
    texts = pa.array([tokenizer.decode(ids) for ids in ids_of(table)])
    assert table["content"].combine_chunks() == content_hash(texts)
    assert table["ring"].to_pylist() == choice(7, "ring", content_hash(texts)).tolist()
    check_balance("encode", [record])
    assert list(task(0)) == [("tokens", record)]  # found, not made again


def test_framing(tmp_path, model):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    _, table = encoded(task_of(tmp_path, model, lambda *_: {}, bos=True, eos=False))
    tokenizer = load(model)
    assert all(ids[0] == tokenizer.bos_id for ids in ids_of(table))
    assert not any(tokenizer.eos_id in ids for ids in ids_of(table))


def test_a_group_that_keeps_nothing(tmp_path, model):
    write_lines(tmp_path, "a.jsonl", [*TEXTS, b"[]"])
    record, table = encoded(task_of(tmp_path, model, lambda *_: {"keep": False, "reason": "r"}))
    assert (record.rows, record.counts) == (0, {"in": 0})
    assert table.schema.equals(TOKENS)


def test_a_group_without_records(tmp_path, model):
    write_lines(tmp_path, "a.jsonl", [])
    record, _ = encoded(task_of(tmp_path, model, lambda *_: {}))
    assert (record.rows, record.counts) == (0, {"in": 0})


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (["b" * 9, *TEXTS[1:]], "file number 0 changed while the run was under way"),
        ([b"{" + b" " * 18, *TEXTS[1:]], "file number 0 changed"),  # now a reject
        (["a" * 9, *TEXTS[1:-2]], r"2 of 12 kept records are no longer in their files"),
        ([], r"12 of 12 kept records are no longer"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, model, after, message):
    before = ["a" * 9, *TEXTS[1:]]
    write_lines(tmp_path, "a.jsonl", before)
    task = task_of(tmp_path, model, lambda *_: {})
    write_lines(tmp_path, "a.jsonl", after)
    with pytest.raises(SourceError, match=message):
        list(task(0))
    assert task.dataset.find(task.keys[0]) is None  # nothing was committed
    write_lines(tmp_path, "a.jsonl", before)
    assert encoded(task)[0].rows == len(before)


def test_what_comes_after_the_measured_records_is_left_out(tmp_path, model):
    write_lines(tmp_path, "a.jsonl", TEXTS[:3])
    task = task_of(tmp_path, model, lambda *_: {})
    write_lines(tmp_path, "a.jsonl", TEXTS)
    assert encoded(task)[0].rows == 3


def test_classes(tmp_path):
    table = pa.table(
        {
            "domain": ["web", "web", "code", "web"],
            "source": ["a", "a", "b", "a"],
            "language": ["en", "en", None, None],
            "tokens": pa.array([2**31 - 1, 1, 5, 0], pa.int32()),
        }
    )
    with Dataset(str(tmp_path)).attempt("g", pa.schema([])) as out:
        assert isinstance(out, Attempt)
        count_classes(out, table)
        count_classes(out, table.slice(0, 0))
    records = {
        "g": Record("g", "", 4, 0, "", out.counts),
        "h": Record("h", "", 0, 0, "", {"in": 0}),
    }
    assert Encoded(Dataset(""), records).classes() == {
        ("code", "b", ""): (1, 5),
        ("web", "a", ""): (1, 0),
        ("web", "a", "en"): (2, 2**31),
    }
