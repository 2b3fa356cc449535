"""What came of a recipe, counted over the narrow tables of its report: DuckDB, no Spark, no text."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.database import connect
from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.recipe import load
from coursepack.pipeline.workspace import Workspace

KEYS = ("phase", "domain", "source", "language", "length")
FUNNEL_KEYS = ("source", "domain", "reason")
KEPT = "kept"  # the reason of those that were not dropped
_CLASS = ("domain", "source", "language")  # what a document's supply is known by
_PLANNED = ("phase", "length", "domain")  # what the plan tells apart


@dataclass(frozen=True)
class Result:
    """One result of a workspace."""

    workspace: Workspace
    name: str

    @property
    def url(self) -> str:
        """The folder of its shards."""
        return self.workspace.path("shards", self.name)

    def table(self, table: str) -> pa.Table:
        """One of the report's tables: `funnel`, `mixture` or `plan`."""
        url = self.workspace.path("report", self.name, f"{table}.parquet")
        return pq.read_table(io.BytesIO(storage.read_bytes(url)))


def find_result(where: str, name: str | None = None) -> Result:
    """The result that a recipe file or a workspace's folder leads to; `name` picks one of several.

    Raises WorkspaceError where there is none yet, or several to choose from.
    """
    workspace, own = find_workspace(where)
    chosen = name or own
    if chosen and storage.exists(workspace.path("report", chosen, "report.json")):
        return Result(workspace, chosen)
    found = results_of(workspace)
    if chosen or not found:
        reports = f"; there are {', '.join(found)}" if found else ""
        called = f" called {chosen!r}" if chosen else ""
        raise WorkspaceError(
            f"{workspace.url!r} has no report{called}{reports}; `coursepack run` writes one{_samples(workspace)}"
        )
    if len(found) > 1:
        raise WorkspaceError(
            f"{workspace.url!r} has {len(found)} results: {', '.join(found)}; pick one with --name"
        )
    return Result(workspace, found[0])


def find_shards(where: str) -> str:
    """The folder of shards at `where`: that folder itself, or of the result that `find_result` finds."""
    folder = where.rstrip("/")
    if not folder.endswith(".toml") and storage.exists(storage.join(folder, "files.parquet")):
        return folder
    return find_result(where).url


def result_of(shards: str) -> Result:
    """The result whose shards are in the folder `shards`; raises WorkspaceError outside a workspace."""
    *above, folder, name = ["", *shards.split("/")]
    if folder != "shards":
        raise WorkspaceError(
            f"{shards!r} is not shards/NAME of a workspace, so its sources are not known; "
            "two results can be compared wherever they are"
        )
    return Result(Workspace("/".join(above[1:]) or "."), name)


def find_workspace(where: str) -> tuple[Workspace, str | None]:
    """The workspace at `where`, or that of the recipe file `where`, with the recipe's name."""
    if where.endswith(".toml") or (storage.is_local(where) and Path(where).is_file()):
        recipe = load(where)
        return Workspace(recipe.workspace), recipe.name
    if not storage.exists(where):
        raise WorkspaceError(f"there is no folder or recipe file {where!r}")
    return Workspace(where.rstrip("/")), None


def results_of(workspace: Workspace) -> list[str]:
    """Names of the results that have a report, sorted."""
    names = {url.split("/")[-2] for url in storage.listing(workspace.path("report"))}
    return sorted(
        name for name in names if storage.exists(workspace.path("report", name, "report.json"))
    )


def mixture_stats(result: Result, by: Sequence[str] = ("phase", "domain")) -> pa.Table:
    """`summarise` for a result; raises RecipeError for a key that does not exist."""
    return summarise(result.table("mixture"), result.table("plan"), by)


def summarise(mixture: pa.Table, plan: pa.Table, by: Sequence[str]) -> pa.Table:
    """One row for each combination of the keys `by`, phases in the order of the curriculum.

    Columns, beside the keys: `planned` tokens (null where the plan does not tell such rows apart),
    `tokens` packed, `unique` and `repeated` among them, `epochs` (tokens per token there is of these
    domains, sources and languages), `share` of the phase's tokens (of all, where `phase` is no
    key), and `documents`, counted once for each time one is packed.
    """
    keys = _check_keys(by, KEYS)
    classes = [key for key in keys if key in _CLASS]
    planned = set(keys) <= set(_PLANNED)
    order = {key: key for key in keys} | {"phase": "min(number) over (partition by phase)"}
    return _query(
        f"""
        with rows as (
            select * exclude (supply), null::bigint as planned from mixture
            union all by name
            select phase, length, domain, 0 as documents, 0 as tokens, 0 as repeated,
                   tokens as planned, 1000000000 + number as number from plan where {planned}
        ),
        groups as (
            select {", ".join(keys)}, sum(documents)::bigint as documents, min(number) as number,
                   sum(tokens)::bigint as tokens, sum(repeated)::bigint as repeated,
                   sum(planned)::bigint as planned from rows group by all
        ),
        supplies as (
            select {", ".join([*classes, "sum(supply) as supply"])}
            from (select distinct {", ".join(_CLASS)}, supply from mixture) group by all
        )
        select {", ".join(f"groups.{key}" for key in keys)}, planned, tokens,
               tokens - repeated as unique, repeated, tokens / supply as epochs,
               tokens / nullif(sum(tokens) over ({"partition by phase" * ("phase" in keys)}), 0) as share,
               documents
        from groups left join supplies on {" and ".join(f"groups.{key} = supplies.{key}" for key in classes) or "true"}
        order by {", ".join(order[key] for key in keys)}
        """,
        mixture=_numbered(mixture),
        plan=_numbered(plan),
    )


def funnel_stats(result: Result, by: Sequence[str] = FUNNEL_KEYS) -> pa.Table:
    """Where the documents went: `documents`, `megabytes` (10^6 bytes of text) and their `share` of
    all documents read, by source, domain and reason (`kept` where not dropped)."""
    keys = ", ".join(_check_keys(by, FUNNEL_KEYS))
    return _query(
        f"""
        select {keys}, sum(documents)::bigint as documents, sum(bytes) / 1e6 as megabytes,
               sum(documents) / nullif(sum(sum(documents)) over (), 0) as share
        from (select * replace (if(reason = '', '{KEPT}', reason) as reason) from funnel)
        group by all order by {keys}
        """,
        funnel=result.table("funnel"),
    )


def _query(sql: str, **tables: pa.Table) -> pa.Table:
    with connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("number", pa.array(range(table.num_rows), pa.int64()))


def _check_keys(by: Sequence[str], known: Sequence[str]) -> list[str]:
    keys = list(dict.fromkeys(by))
    if wrong := [key for key in keys if key not in known]:
        raise RecipeError(f"cannot count by {wrong[0]!r}; the keys are {', '.join(known)}")
    if not keys:
        raise RecipeError(f"nothing to count by; the keys are {', '.join(known)}")
    return keys


def _samples(workspace: Workspace) -> str:
    fs, path = storage.filesystem(workspace.path("samples"))
    if not fs.exists(path):
        return ""
    found = sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))
    urls = ", ".join(workspace.path("samples", name) for name in found)
    return f" (samples have workspaces of their own: {urls})"
