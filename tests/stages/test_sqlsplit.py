"""The splitter: tables of what ends a statement and what does not, and scripts put together from known statements."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.sqlfind import split_statements
from coursepack.stages.sqlsplit import escapes_quotes


def split(sql: str) -> list[tuple[str, str]]:
    data = sql.encode()
    return [(data[s.start : s.end].decode(), s.kind) for s in split_statements(data)]


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';', 'it''s;' from t; select 2", ["select ';', 'it''s;' from t", "select 2"]),
        ("select 'it\\'s; ok' from t; select 2", ["select 'it\\'s; ok' from t", "select 2"]),
        ("select 'C:\\' from t; select 2", ["select 'C:\\' from t", "select 2"]),
        ('select ";" from "a;b"; select 2', ['select ";" from "a;b"', "select 2"]),
        ("select `a;b` from t; select 2", ["select `a;b` from t", "select 2"]),
        ("select [a;b] from t; select 2", ["select [a;b] from t", "select 2"]),
        ("select a[1] from t; select 2", ["select a[1] from t", "select 2"]),
        ("select 1 -- a; b\n; select 2", ["select 1", "select 2"]),
        ("select 1 # a; b\n; select 2", ["select 1", "select 2"]),
        ("select 1 /* a; b */; select 2", ["select 1", "select 2"]),
        ("-- only; a comment\n;;", []),
        ("select {{ x; }} from t; select 2", ["select {{ x; }} from t", "select 2"]),
        ("select 1\nGO\nselect 2\ngo 3\n", ["select 1", "select 2"]),
        (
            "select 1 from dual\n/\nselect 2 from dual\n/\n",
            ["select 1 from dual", "select 2 from dual"],
        ),
        ("select 1\nselect 2", ["select 1", "select 2"]),
        (
            "select a from t\nunion all\nselect b from u",
            ["select a from t\nunion all\nselect b from u"],
        ),
        ("insert into t\nselect a from u", ["insert into t\nselect a from u"]),
        ("grant\nselect on t to u", ["grant\nselect on t to u"]),
        ("\\connect db\nselect 1;\n.mode csv\nselect 2", ["select 1", "select 2"]),
        (
            "create function f() returns int as $x$ begin; $$ end; $x$ language plpgsql; select 2",
            [
                "create function f() returns int as $x$ begin; $$ end; $x$ language plpgsql",
                "select 2",
            ],
        ),
        (
            "DELIMITER //\ncreate procedure p() begin select 1; select 2; end//\nDELIMITER ;\nselect 3;",
            ["create procedure p() begin select 1; select 2; end", "select 3"],
        ),
        (
            "create trigger a after insert on t for each row begin set x = case when 1 then 2 end;"
            " if a then delete from u; end if; end; select 2",
            [
                "create trigger a after insert on t for each row begin set x = case when 1 then 2 end;"
                " if a then delete from u; end if; end",
                "select 2",
            ],
        ),
        (
            "CREATE PROCEDURE p IS v NUMBER; BEGIN NULL; END;\n/\nSELECT 2 FROM t",
            ["CREATE PROCEDURE p IS v NUMBER; BEGIN NULL; END", "SELECT 2 FROM t"],
        ),
        ("begin; select 1; commit;", ["begin", "select 1", "commit"]),
        ("BEGIN TRAN; select 1; COMMIT", ["BEGIN TRAN", "select 1", "COMMIT"]),
        ("DECLARE @a int; select 1", ["DECLARE @a int", "select 1"]),
        (
            "DECLARE a int; BEGIN select 1; END; select 2",
            ["DECLARE a int; BEGIN select 1; END", "select 2"],
        ),
        ("copy t (a) from stdin;\n1\n2;3\n\\.\nselect 1;", ["copy t (a) from stdin", "select 1"]),
        ("select 'never closed from t; select 2", ["select 'never closed from t", "select 2"]),
        ("(select 1) union (select 2); select 3", ["(select 1) union (select 2)", "select 3"]),
    ],
)
def test_statements(sql: str, statements: list[str]) -> None:
    assert [text for text, _ in split(sql)] == statements


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("select 1", "query"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "query"),
        ("with a as (select 1) insert into t (x) select * from a", "dml"),
        ("values (1), (2)", "query"),
        ("show tables", "query"),
        ("explain select a from t", "query"),
        ("insert into t values (1)", "dml"),
        ("Update t set a = 1 where b = 2", "dml"),
        ("delete from t where a = 1", "dml"),
        ("merge into t using s on t.a = s.a when matched then update set b = 1", "dml"),
        ("copy t from 's3://x' csv", "dml"),
        ("replace into t values (1)", "dml"),
        ("load data infile 'x' into table t", "dml"),
        ("create table t (a int)", "ddl"),
        ("alter table t add column b int", "ddl"),
        ("drop table if exists t", "ddl"),
        ("truncate table t", "ddl"),
        ("grant select on t to u", "ddl"),
        ("comment on table t is 'x'", "ddl"),
        ("set x = 1", "other"),
        ("commit", "other"),
        ("call p(1)", "other"),
        ("pragma foreign_keys = on", "other"),
    ],
)
def test_kinds(sql: str, kind: str) -> None:
    assert split(sql + ";") == [(sql, kind)]


STATEMENT = st.sampled_from(
    [
        "SELECT a, 'x;y' FROM t WHERE b = 1",
        "INSERT INTO t (a) VALUES ('é;''漢'), ($$;$$)",
        "CREATE TABLE t (a int DEFAULT 1, b text)",
        'UPDATE t SET a = ";" WHERE b IN (1, 2)',
        "DELETE FROM `a;b` WHERE c = 1",
        "COMMIT",
        "CREATE PROCEDURE p() BEGIN UPDATE t SET a = 1; SELECT 1; END",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
    ]
)
GAP = st.sampled_from([" ", "\n", "\n\n", " -- a; b\n", " /* c; 'd */ ", "\n# e;'\n", "\t\r\n"])


@given(st.lists(st.tuples(GAP, STATEMENT, GAP), max_size=8))
def test_scripts_come_apart_as_they_were_put_together(parts: list[tuple[str, str, str]]) -> None:
    script = "".join(f"{before}{statement}{after};" for before, statement, after in parts)
    assert [text for text, _ in split(script)] == [statement for _, statement, _ in parts]


@given(st.binary(max_size=60) | st.text("';\"`$[]-/*#\\\nab 1().{}%", max_size=40).map(str.encode))
def test_any_bytes_give_spans_in_order(sql: bytes) -> None:
    for body in (sql, b"select " + sql, sql + b"; select 1"):
        found = split_statements(body)
        places = [place for s in found for place in (s.start, s.end)]
        assert places == sorted(places)
        assert all(0 <= s.start < s.end <= len(body) for s in found)


def test_quotes_that_never_close_cost_no_square() -> None:
    sql = b"select ' from t where a = `b and c = \" or $$ or /* \n;" * 20_000
    assert split_statements(sql)


@pytest.mark.parametrize("sign", ["\\'s", "`a", "\\'`b"])
@pytest.mark.parametrize("place", [0, 1, 62, 63, 64, 253, 254, 255, 256, 257, 600])
def test_quotes_are_escaped_wherever_a_sign_says_so(place: int, sign: str) -> None:
    for text, expected in (
        (" " * place + sign + ";", True),
        ("`" * place + sign + ";", True),
        (" " * place + sign[:-1] + ";", False),
        (" " * place + "\\n` ", False),
    ):
        data = np.frombuffer(text.encode(), np.uint8)
        assert escapes_quotes(data, 0, len(data)) == expected
        assert not escapes_quotes(data, len(data), len(data))
