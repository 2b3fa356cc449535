"""Cells of notebooks as text."""

import json

import pyarrow as pa
import pytest

from coursepack.stages.notebooks import cells, may_be_notebook
from coursepack.stages.sql import sql_parse_signals, sql_signals


def jupyter(*sources: str | list[str]) -> str:
    listed = [{"cell_type": "code", "source": source, "outputs": []} for source in sources]
    return json.dumps({"cells": listed, "nbformat": 4, "metadata": {}})


DATABRICKS = """# Databricks notebook source
x = spark.sql("SELECT a, b FROM t")

# COMMAND ----------

# MAGIC %sql
# MAGIC SELECT a,
# MAGIC   c
# MAGIC FROM u;
"""


def test_cells() -> None:
    assert cells(jupyter("a\nb", ["c\n", "d"], "%sql\nselect 1").encode()) == (
        "a\nb\n%%\nc\nd\n%%\n%%sql\nselect 1"
    )
    assert cells(DATABRICKS.encode()) == (
        '# Databricks notebook source\nx = spark.sql("SELECT a, b FROM t")'
        "\n%%\n%%sql\nSELECT a,\n  c\nFROM u;"
    )
    sheet = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x"]}]}], "nbformat": 3}
    assert cells(json.dumps(sheet).encode()) == "x"


@pytest.mark.parametrize(
    "text",
    [
        b'{"cell_type"',
        b'{"cells": 3, "x": "cell_type"}',
        b'{"cells": [3, null, {"source": [1, null]}, {"source": {}}], "worksheets": 4}',
        b"[" * 100_000,
        b'{"cells": [{"cell_type": "code", "source": "\\ud800"}]}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff{",
    ],
)
def test_what_is_no_notebook_is_contained(text: bytes) -> None:
    found = cells(text)
    assert found is None or found.encode() is not None


def test_may_be_notebook() -> None:
    assert may_be_notebook(DATABRICKS.encode())
    assert may_be_notebook(b'\n {"cells": [{"cell_type": "code"}]}')
    assert not may_be_notebook(b'{"a": "cell_types"}')
    assert not may_be_notebook(b'x "cell_type"')


def test_sql_in_notebooks() -> None:
    texts = [
        jupyter("%%sql\n", ["%%sql -o x\n", "select a\n", "from t"], "1 + 1"),
        jupyter("# Title", "x = 1\n%sql select a from t where b = 1\ny = 2"),
        jupyter("pd.read_sql(\"SELECT a, b FROM t WHERE c = 'd'\", db)"),
        jupyter("Read:\n\n```sql\nselect a from t;\nselect b from u\n```"),
        DATABRICKS,
        jupyter("Please select one from the list."),
    ]
    found = sql_signals(pa.array(texts)).to_pydict()
    assert found["sql_statements"] == [1, 1, 1, 2, 2, 0]
    assert found["sql_embedded"] == ["notebook"] * 5 + [None]
    assert all(0 < ratio < 0.6 for ratio in found["sql_char_ratio"][:5])
    parsed = sql_parse_signals(pa.array(texts)).column(0).to_pylist()
    assert parsed == [*[1.0] * 5, None]
