"""SQL's signals: what is found, what is left alone, and what is said of it."""

import json
import math
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sql_statements import DIALECT_STATEMENTS

from coursepack.pipeline.arrow import text_buffers
from coursepack.stages.sql import LOOKS_LIKE_SQL, sql_parse_signals, sql_signals
from coursepack.stages.sqlfind import ANCHORS, may_hold_sql, word_starts
from coursepack.stages.sqlparse import judge
from coursepack.stages.sqlwords import DIALECTS, FENCES, HEADS

ROOT = Path(__file__).parents[2]
RATIOS = (
    "sql_char_ratio",
    "sql_query_ratio",
    "sql_dml_ratio",
    "sql_ddl_ratio",
    "sql_join_ratio",
    "sql_insert_char_ratio",
    "sql_comment_ratio",
    "sql_parse_ratio",
)


def one(text: str) -> dict[str, object]:
    array = pa.array([text])
    found: dict[str, object] = sql_signals(array).to_pylist()[0]
    found |= sql_parse_signals(array).to_pylist()[0]
    return found


def flags(texts: list[str]) -> list[bool]:
    offsets, data = text_buffers(pa.array(texts, pa.large_string()))
    found: list[bool] = may_hold_sql(offsets, offsets[1:], data).tolist()
    return found


FORMS = [
    "SELECT id, name FROM person WHERE age > 21",
    "select p.id, p.name from person p where p.age > 21",
    "Select Id, [Name] From Person Where Age > 21",
    "SELECT * FROM person",
    "SELECT\n    a.id,\n    b.total\nFROM a\nJOIN b ON b.a_id = a.id\nORDER BY 2",
    "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "INSERT INTO person (id, name) VALUES (1, 'Ann')",
    "INSERT INTO person SELECT id, name FROM old_person",
    "INSERT OVERWRITE TABLE t SELECT a, b FROM u",
    "UPDATE person SET name = 'Eve', age = 3 WHERE id = 1",
    "UPDATE a SET x = b.y FROM b WHERE a.id = b.id",
    "DELETE FROM person WHERE id = 1",
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET x = s.x",
    "COPY person (id, name) FROM 's3://bucket/key' CSV",
    "REPLACE INTO person (id) VALUES (1)",
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(50))",
    "CREATE OR REPLACE VIEW adult AS SELECT id FROM person",
    "CREATE UNIQUE INDEX i ON person (name)",
    "CREATE TEMPORARY TABLE t AS SELECT 1 AS a",
    "ALTER TABLE person ADD COLUMN age INTEGER",
    "DROP TABLE IF EXISTS person",
    "TRUNCATE TABLE person",
    "GRANT SELECT ON person TO reader",
    "REVOKE ALL ON person FROM reader",
    "COMMENT ON TABLE person IS 'people'",
    "EXPLAIN ANALYZE SELECT a, b FROM t",
]
PLACES = {
    "file": "{sql};\n",
    "markdown": "# How\n\nRun this:\n\n```sql\n{sql}\n```\n\nand look at the result.\n",
    "code": 'def run(db):\n    db.execute("""\n{sql}\n""")\n    return db\n',
    "text": "The answer to the question is below.\n\n{sql};\n\nThat is all of it, my friend.\n",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sql", FORMS)
def test_each_form_is_found_in_each_place(sql: str, place: str) -> None:
    text = PLACES[place].format(sql=sql)
    assert flags([text]) == [True]
    found = one(text)
    assert found["sql_statements"] == 1
    assert found["sql_embedded"] == place
    assert found["sql_char_ratio"] == pytest.approx(len(sql) / len(text), abs=0.15)


@pytest.mark.parametrize(
    ("text", "place", "statements"),
    [
        ("```python\ndf = spark.sql('SELECT a, b FROM t')\n```", "markdown", 1),
        ("```\nSELECT a, b FROM t;\nSELECT c FROM u;\n```", "markdown", 2),
        ("~~~ {.sql}\nshow tables;\n~~~", "markdown", 1),
        ("Use `SELECT a, b FROM t` here.\n\n```\nx\n```\nOr `SELECT c, dd FROM t`.", "markdown", 2),
        (".. code-block:: sql\n\n   select a from t;\n\nEnd", "markdown", 1),
        ("%%sql\nselect a\nfrom t\n", "notebook", 1),
        ("x = 1\n%sql select a from t where b = 1\ny = 2", "notebook", 1),
        ('String q = "SELECT a, b " +\n    "FROM t WHERE c = ?";', "code", 1),
        ("q = ('SELECT a, b '\n     'FROM t')", "code", 1),
        ('$q = "SELECT a, b " . "FROM t";', "code", 1),
        ("const q = `\n  select a.id, b.x\n  from ${table} a\n`;", "code", 1),
        ('{"question": "how many?", "query": "SELECT count(*) FROM singer"}', "code", 1),
        ('x = "\\nSELECT a, b\\nFROM t"', "code", 1),
        ('cur.executescript("""create table a (b int);\ninsert into a values (1);""")', "code", 2),
        ("How many singers?\nSELECT count(*) FROM singer", "text", 1),
        ("mysql> SELECT a, b FROM t;\n+---+\n| a |\n", "text", 1),
        ("Question: who?\nSQL: SELECT name FROM person WHERE id = 1", "text", 1),
        ("-- a comment\n/* and one */\nselect a from t;\n", "file", 1),
        (
            "{{ config(materialized='table') }}\nwith a as (select 1 as b)\nselect b from a\n",
            "file",
            1,
        ),
        ("\ufeffselect a from t;", "file", 1),
    ],
)
def test_where_sql_stands(text: str, place: str, statements: int) -> None:
    found = one(text)
    assert (found["sql_embedded"], found["sql_statements"]) == (place, statements)
    assert flags([text]) == [True]


NO_SQL = [
    "Please select one from the list of options below.",
    "Select items from the menu; then press Enter.",
    "select name from users",
    "We select the best, most recent papers from each year.",
    "You can select apples, pears, and plums from our store.",
    "Select File > Open from the toolbar.",
    '"select the one you like from these," she said.',
    "To select cards, take them from a deck. Update your set, then delete from it what you want.",
    "Create a table from the data, and insert into it what you have.",
    "# Create table of contents\n\nDrop table views here.",
    "Create Table Statements and Alter Table Commands",
    "Insert into the slot, update the firmware, and set = on.",
    "With love (as always), we begin. With a heart as (big) as this.",
    "Delete from your mind what hurts.",
    "Copy files from here to there; copy that from me to you.",
    "The grant of land to the people on the river was revoked.",
    "Values (of the old kind) are rare; explain this.",
    "Show tables and chairs.",
    "DROP THE TABLE AND RUN FROM THE VIEW",
    "import { select, insert, update } from 'd3';\nselect('#a').insert('b');",
    "from sqlalchemy import select, update, delete\nq = select(User).where(User.id == 1)",
    "with open(path) as (f):\n    copy(f)\n    update(set)\n",
    "int n = select(fd + 1, &r, NULL, NULL, &tv);\nif (n < 0) return;",
    "# Create index.html from template\n# Copy a file from one repo to another\n",
    "[x](https://a.b/create-table-from-view.html) and /drop-database-now/",
    "Select ``no limit`` under \"Who can vote?\".",
    "commit; rollback; begin; end; set x = 1;",
    "#!/bin/sh\nset -e\nuse strict;\nexec \"$@\"\n",
    "创建表 select 从 这里",
    "",
]  # fmt: skip


def test_what_is_no_sql() -> None:
    found = sql_signals(pa.array(NO_SQL)).to_pylist()
    wrong = [text for text, row in zip(NO_SQL, found, strict=True) if row["sql_statements"]]
    assert wrong == []
    assert {row["sql_char_ratio"] for row in found[:-1]} == {0.0}
    nothing = {name for name, value in found[0].items() if value is None}
    assert {"sql_dialect", "sql_embedded", "sql_query_ratio"} <= nothing
    assert found[-1]["sql_char_ratio"] is None


def test_kinds_shares_and_lengths() -> None:
    found = one(
        "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n-- note\nSELECT a FROM t JOIN u USING (a);\n"
        "SELECT a FROM t;\nCOMMIT;"
    )
    assert found["sql_statements"] == 5
    shares = [found[f"sql_{kind}_ratio"] for kind in ("query", "dml", "ddl", "join")]
    assert shares == [2 / 5, 1 / 5, 1 / 5, 1 / 2]
    assert found["sql_mean_statement_chars"] == (22 + 24 + 32 + 15 + 6) / 5
    assert found["sql_char_ratio"] == 1
    assert found["sql_comment_ratio"] == 7 / (22 + 24 + 32 + 15 + 6 + 5 + 4 + 8)
    assert not found["is_insert_dump"]
    assert not found["is_schema_only"]


ROWS = ",\n".join(f"({n},'Zürich {n}','x;y''z',NULL)" for n in range(200))


@pytest.mark.parametrize(
    "dump",
    [
        f"CREATE TABLE `c` (`id` int);\nINSERT INTO `c` VALUES {ROWS};\n",
        "\n".join(f"INSERT INTO c (id, n) VALUES ({n}, 'a');" for n in range(99)),
        "COPY c (id, name) FROM stdin;\n"
        + "".join(f"{n}\tname;{n}\n" for n in range(99))
        + "\\.\n",
    ],
)
def test_dumps(dump: str) -> None:
    found = one(dump)
    assert found["is_insert_dump"]
    share = found["sql_insert_char_ratio"]
    assert isinstance(share, float)
    assert 0.8 < share <= 1
    assert found["sql_char_ratio"] == 1


def test_schemas_and_inserted_queries() -> None:
    schema = "CREATE TABLE a (b int);\nALTER TABLE a ADD c int;\nGRANT SELECT ON a TO x;\nCOMMIT;"
    assert one(schema)["is_schema_only"]
    assert not one(schema + "SELECT b FROM a;")["is_schema_only"]
    assert one("INSERT INTO a (b) SELECT c FROM d WHERE c > 1;")["sql_insert_char_ratio"] == 0


def test_parse_ratio() -> None:
    good, bad = "SELECT a, b FROM t WHERE c = 1;", "SELECT a, FROM FROM t WHERE ((;"
    assert one(good * 4)["sql_parse_ratio"] == 1
    assert one(bad * 4)["sql_parse_ratio"] == 0
    assert one((good + "\n" + bad + "\n") * 4)["sql_parse_ratio"] == 0.5
    assert one('q = f"SELECT {cols} FROM {t} WHERE a = %s"')["sql_parse_ratio"] == 1
    assert one("GRANT SELECT ON a TO b;")["sql_parse_ratio"] is None  # not tried


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT " + "(" * 900 + "1" + ")" * 900 + " FROM t",
        "SELECT " + "(" * 1900 + " FROM t",
        "SELECT a FROM t WHERE " + " AND ".join(["a IN (1, 2)"] * 100),
        "SELECT " + "CASE WHEN a THEN " * 80 + "1" + " END" * 80 + " FROM t",
        "SELECT " + "f(" * 200 + "1" + ")" * 200 + " FROM t",
        "SELECT '\x00\ufffd' FROM \x00",
    ],
)
def test_the_parser_is_contained(statement: str) -> None:
    dialect, parsed, failed = judge([statement], [0] * len(DIALECTS))
    assert dialect == "ansi"
    assert parsed + failed <= 1


def test_dialects() -> None:
    """Precision and recall of each dialect, a text a statement; the marks were not drawn from the statements,
    but one author wrote both."""
    wanted = [dialect for dialect, texts in DIALECT_STATEMENTS.items() for _ in texts]
    texts = pa.array([f"{text};" for texts in DIALECT_STATEMENTS.values() for text in texts])
    found = sql_signals(texts).column("sql_dialect").to_pylist()
    hits = Counter(a for a, b in zip(wanted, found, strict=True) if a == b)
    for dialect in (*DIALECTS, "ansi"):
        assert hits[dialect] >= 0.8 * wanted.count(dialect), dialect
        assert hits[dialect] >= 0.8 * found.count(dialect), dialect
    assert sum(hits.values()) >= 0.9 * len(wanted)


SIGNS = [
    "'",
    '"',
    ";",
    "`",
    "\\",
    "\n",
    "(",
    "{",
    "[",
    "```",
    "```sql\n",
    "%%sql\n",
    "$$",
    "/*",
    "--",
    "é漢",
]
IN_PLACES = [place.format(sql="SELECT a FROM t") for place in PLACES.values()]
PIECE = st.sampled_from([*FORMS, *IN_PLACES, *NO_SQL, *SIGNS, "\nGO\n", " FROM ", "\\n", "\ufeff"])
TEXT = st.lists(PIECE | st.text(max_size=4), max_size=8).map("".join)


@given(st.lists(st.none() | TEXT, max_size=5), st.integers(0, 5))
def test_slices_nulls_and_types_change_nothing(texts: list[str | None], cut: int) -> None:
    whole = sql_signals(pa.array(texts, pa.large_string()))
    for kind in (pa.string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert sql_signals(column).equals(whole)
        assert sql_signals(column.slice(cut)).to_pylist() == whole.to_pylist()[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert sql_signals(chunks).equals(whole)
    assert sql_signals(pc.fill_null(column, b"")).equals(whole)
    parsed = sql_parse_signals(column)
    assert sql_parse_signals(column.slice(cut)).equals(parsed.slice(cut))


@given(st.lists(TEXT.map(str.encode) | st.binary(max_size=50), max_size=4))
def test_any_bytes_give_shares_from_0_to_1(texts: list[bytes]) -> None:
    array = pa.array(texts, pa.binary())
    rows = zip(sql_signals(array).to_pylist(), sql_parse_signals(array).to_pylist(), strict=True)
    for text, row in zip(texts, (one | more for one, more in rows), strict=True):
        for name in RATIOS:
            assert row[name] is None or 0 <= row[name] <= 1
        numbers = [value for value in row.values() if isinstance(value, float)]
        assert not any(math.isnan(value) for value in numbers)
        kinds = [row[f"sql_{kind}_ratio"] for kind in ("query", "dml", "ddl")]
        assert (kinds[0] is None) == (row["sql_statements"] == 0)
        assert row["sql_char_ratio"] is not None or not text


@pytest.mark.parametrize("place", PLACES)
def test_where_blocks_of_bytes_begin_changes_nothing(place: str) -> None:
    text = PLACES[place].format(sql="SELECT a, b FROM t WHERE c > 1")
    pasts = [("é" * (k % 3) + "ab " * k)[:k] + "\n" for k in range(140)]
    if place == "file":
        pasts = [f"-- {past}" for past in pasts]
    column = pa.array([part for past in pasts for part in ("select", past + text)])
    assert flags(column.to_pylist()) == [False, True] * len(pasts)
    found = sql_signals(column).to_pylist()
    assert {row["sql_statements"] for row in found[::2]} == {0}
    assert {(row["sql_statements"], row["sql_embedded"]) for row in found[1::2]} == {(1, place)}


def test_a_filter_of_four_letters_takes_anchors_alone() -> None:
    starts = {word[:4] for word in ANCHORS.split()}
    heads = {word for listed in HEADS.values() for word in listed.split()}
    assert {word for word in heads if word[:4] in starts} == set(ANCHORS.split())
    kept = {int(four) for four in word_starts() if four}
    fences = {word[:4] for word in FENCES.split()} - {"sql"}
    assert kept == {int.from_bytes(four.encode(), "little") for four in starts | fences}
    assert not {word for word in heads if word[:4] in fences | {"sql"}}


def test_demo_files_are_sql() -> None:
    texts = [path.read_text() for path in sorted((ROOT / "recipes/demo/sql").glob("*.sql"))]
    found = sql_signals(pa.array(texts))
    assert LOOKS_LIKE_SQL == "sql_statements >= 1 and sql_char_ratio >= 0.5"
    assert set(found.column("sql_embedded").to_pylist()) == {"file"}
    assert pc.min(found.column("sql_char_ratio")).as_py() > 0.9
    assert pc.min(sql_parse_signals(pa.array(texts)).column(0)).as_py() >= 0.75
    assert not pc.any(found.column("is_insert_dump")).as_py()
    texts = [path.read_text() for path in sorted((ROOT / "recipes/demo/math").glob("*.md"))]
    assert pc.max(sql_signals(pa.array(texts)).column("sql_statements")).as_py() == 0


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("sql-text-to-sql", 0.99, 1), ("web_en-novels", 0, 0), ("math-openlogic", 0, 0)],
)
def test_real_text(shared: Path, name: str, least: float, most: float) -> None:
    with zstandard.open(f"{shared}/data/{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        texts = pa.array(
            [json.loads(line)["text"] for _, line in zip(range(600), lines, strict=False)]
        )
    found = sql_signals(texts)
    sql = pc.and_(
        pc.greater_equal(found.column("sql_statements"), 1),
        pc.greater_equal(found.column("sql_char_ratio"), 0.4),
    )
    assert least <= pc.mean(sql.cast(pa.int8())).as_py() <= most
