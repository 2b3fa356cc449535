"""Attach: a table's columns beside the documents they belong to, by id, URL and content."""

from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_made import inventory_of, recipe, records_of

from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.hashing import content_hash
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Attach
from coursepack.stages.attach import attached, rows_of
from coursepack.stages.inventory import group_name
from coursepack.stages.measure import Measured, measure
from coursepack.stages.own_signals import signals_of

TEXTS = [f"This is text number {n}, and no other." for n in range(6)]


def corpus(folder) -> None:
    for name, numbers in (("a", range(4)), ("b", range(4, 6))):
        (folder / "in").mkdir(exist_ok=True)
        lines = [{"text": TEXTS[n], "id": f"i{n}", "url": f"http://x/{n}"} for n in numbers]
        data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        (folder / "in" / f"{name}.jsonl").write_bytes(data + b"broken\n")


def run(spark, folder, **table: Any) -> tuple[Measured, list[dict[str, Any]]]:
    settings = {"table": f"{folder}/scores", "columns": ["edu", "label"]} | table
    made = recipe(folder, signals={"attach": [settings]}, execution={"group_bytes": 400})
    inventory = inventory_of(made)
    found = measure(spark, made, inventory, Progress.silent())
    rows = []
    for group in inventory.groups:
        docs = pa.concat_tables(records_of(inventory, group))
        columns = found.read("attach_edu", group)
        assert columns["doc"].equals(docs["doc"])
        rows += [d | c for d, c in zip(docs.to_pylist(), columns.to_pylist(), strict=True)]
    return found, rows


@pytest.mark.parametrize("on", ["id", "url", "content"])
def test_columns_stand_beside_their_documents(spark, tmp_path, on):
    corpus(tmp_path)
    contents = content_hash(pa.array(TEXTS)).to_pylist()
    keys = {
        "id": [f"i{n}" for n in range(5)],
        "url": [f"http://x/{n}" for n in range(5)],
        "content": [
            contents[0].hex(),
            contents[1].hex().upper(),
            *(c.hex() for c in contents[2:5]),
        ],
    }[on]
    (tmp_path / "scores").mkdir()
    table = {"key": [*keys, keys[1], "gone", None], "edu": [0.0, 3, 2, None, 4, 1, 9, 9],
             "label": ["a", "b", "c", "d", None, "z", "y", "x"]}  # fmt: skip
    scores = pa.table(table)
    pq.write_table(scores.slice(0, 3), tmp_path / "scores" / "0.parquet")
    pq.write_table(scores.slice(3), tmp_path / "scores" / "1.parquet")
    found, rows = run(spark, tmp_path, on=on, key="key")
    by_text = {row["text"]: (row["edu"], row["label"]) for row in rows if row["text"]}
    assert by_text == {
        TEXTS[0]: (0.0, "a"),
        TEXTS[1]: (1.0, "z"),  # the least of two rows with one key
        TEXTS[2]: (2.0, "c"),
        TEXTS[3]: (None, "d"),
        TEXTS[4]: (4.0, None),
        TEXTS[5]: (None, None),
    }
    counts = [record.counts for record in found.records["attach_edu"].values()]
    assert sum(count["in"] for count in counts) == 8
    assert (
        sum(count.get("unmatched", 0) for count in counts) == 1
    )  # broken records are no documents
    again, _ = run(spark, tmp_path, on=on, key="key")
    assert again.records["attach_edu"] == found.records["attach_edu"]
    assert all(name.startswith("g") for name in again.records["attach_edu"])
    assert group_name(0) in again.records["attach_edu"]


def test_nan_is_null_and_the_least_of_two_rows(spark, tmp_path):
    corpus(tmp_path)
    (tmp_path / "scores").mkdir()
    table = {"id": ["i0", "i1", "i1", "i2"], "edu": [float("nan"), float("nan"), 2.0, None],
             "label": ["a", "b", "c", "d"]}  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "scores" / "0.parquet")
    found, rows = run(spark, tmp_path, on="id")
    by_text = {row["text"]: (row["edu"], row["label"]) for row in rows if row["text"]}
    assert [by_text[text] for text in TEXTS[:4]] == [
        (None, "a"), (None, "b"), (None, "d"), (None, None),
    ]  # fmt: skip
    counts = [record.counts for record in found.records["attach_edu"].values()]
    assert sum(count["unmatched"] for count in counts) == 3


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"id": ["b"]}, "1.parquet' has no column 'edu', as .*0.parquet' has"),
        ({"edu": [1.0]}, "1.parquet' has no column 'id'"),
        ({"id": ["b"], "edu": ["x"]}, "'edu' is string, and double in .*0.parquet'; all files"),
        ({"id": ["b"], "edu": pa.array([2.0], pa.float32())}, None),
    ],
)
def test_all_files_of_a_table_have_its_columns(tmp_path, second, message):
    (tmp_path / "scores").mkdir()
    first = {"id": ["a"], "edu": [1.0]}
    for number, columns in enumerate((first, second)):
        pq.write_table(pa.table(columns), tmp_path / "scores" / f"{number}.parquet")
    table = attached(Attach(table=f"{tmp_path}/scores", on="id", columns=("edu",)))
    read = rows_of(table, pa.schema([("key", pa.string()), ("edu", pa.float64())]))
    assert [batch.to_pydict() for batch in read(0)] == [{"key": ["a"], "edu": [1.0]}]
    if message is None:
        assert [batch.to_pydict() for batch in read(1)] == [{"key": ["b"], "edu": [2.0]}]
        return
    with pytest.raises(SourceError, match=message):
        list(read(1))


def test_a_table_is_looked_at_before_the_run(tmp_path):
    (tmp_path / "scores").mkdir()
    lists = pa.array([[1]], pa.list_(pa.int64()))
    pq.write_table(
        pa.table({"id": ["a"], "edu": [1], "l": lists}), tmp_path / "scores" / "0.parquet"
    )
    (tmp_path / "scores" / "text").write_text("no table")
    table = {"table": f"{tmp_path}/scores/*.parquet", "on": "id"}

    def signals(**changes: Any) -> dict[str, pa.DataType]:
        made = recipe(tmp_path, signals={"attach": [table | changes]})
        found = {s.name: s.type for s in attached(made.signals.attach[0]).signals}
        assert set(found) <= set(signals_of(made))
        return found

    assert signals(columns=["edu"]) == {"edu": pa.int64()}
    for changes, message in (
        ({"columns": ["ed"]}, "has no column 'ed'; its columns are id, edu, l"),
        ({"columns": ["edu"], "key": "k"}, "has no column 'k'"),
        ({"columns": ["l"]}, "the column 'l' is list"),
        (
            {"columns": ["edu"], "table": f"{tmp_path}/none"},
            r"^signals\.attach: '.*/none': no file matches '.*/none'; paths are files",
        ),
        ({"columns": ["edu"], "table": f"{tmp_path}/scores/text"}, "is no Parquet table"),
    ):
        with pytest.raises(RecipeError, match=message):
            signals(**changes)
