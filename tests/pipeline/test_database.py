"""The database: quiet, and as wide as asked."""

import pyarrow as pa
import pytest

from coursepack.pipeline.database import connect

SLOW = "select sum(hash(a.range * b.range) % 7) from range(4000) a, range(4000) b"


def test_the_bar_that_would_go_to_stdout_is_off(capfd: pytest.CaptureFixture[str]) -> None:
    with connect(1) as database:
        [[shown]] = database.execute("select current_setting('enable_progress_bar')").fetchall()
        assert shown is False
        database.execute("set progress_bar_time = 1")  # which turns it on
        database.execute(SLOW).fetchall()
        assert "%" in capfd.readouterr().out
        database.execute("set enable_progress_bar = false")
        database.execute(SLOW).fetchall()
        assert capfd.readouterr() == ("", "")


def test_threads() -> None:
    asked = "select current_setting('threads')"
    with connect(1) as one, connect(3) as three, connect() as other:
        found = [database.execute(asked).fetchall()[0][0] for database in (one, three, other)]
    assert found[:2] == [1, 3]
    assert found[2] >= 1


def test_tables_are_its_own() -> None:
    with connect() as one, connect() as other:
        one.register("rows", pa.table({"n": [1, 2]}))
        other.register("rows", pa.table({"n": [5]}))
        assert one.sql("select sum(n) from rows").fetchall() == [(3,)]
