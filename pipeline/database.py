"""DuckDB in memory, for queries of tables that are in memory too."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(threads: int | None = None) -> "duckdb.DuckDBPyConnection":
    """A database of its own, of as many threads as there are cores unless told; it prints nothing.

    DuckDB draws the progress of queries over two seconds on stdout, where the data of a command goes.
    """
    import duckdb

    connection = duckdb.connect(config={"threads": threads} if threads else {})
    connection.execute("set enable_progress_bar = false")
    return connection
