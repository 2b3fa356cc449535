"""The recipe that `whatif` asks its questions of: a recipe file, or the one that a workspace keeps."""

from pathlib import Path

from coursepack.jobs.stats import find_workspace
from coursepack.pipeline import storage
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.recipe import Recipe, load
from coursepack.pipeline.workspace import Workspace


def find_recipe(where: str, name: str | None = None, allow_code: bool = False) -> Recipe:
    """The recipe in the file `where`, or the one last run in the workspace there.

    `where` may also be the folder of a result's shards, shards/NAME of a workspace. `name` picks one of
    several. Raises WorkspaceError where there is none, or several to choose from.
    """
    if where.endswith(".toml") or (storage.is_local(where) and Path(where).is_file()):
        return load(where, allow_code)
    *above, folder, last = ["", "", *where.rstrip("/").split("/")]
    if folder == "shards" and storage.exists(storage.join(where, "files.parquet")):
        where, name = "/".join(above[2:]) or ("/" if where.startswith("/") else "."), name or last
    workspace, _ = find_workspace(where)
    recipe = _kept(workspace, name)
    recipe = recipe.allowing_code() if allow_code else recipe
    return recipe.model_copy(update={"workspace": workspace.url})


def _kept(workspace: Workspace, name: str | None) -> Recipe:
    urls = [u for u in storage.listing(workspace.path("recipes")) if u.endswith(".json")]
    found = {url.rsplit("/", 1)[-1].removesuffix(".json"): url for url in urls}
    chosen = name or next(iter(found), None)
    if chosen not in found:
        called = f" called {name!r}" if name else ""
        others = f"; there are {', '.join(found)}" if found else ""
        raise WorkspaceError(
            f"{workspace.url!r} keeps no recipe{called}{others}; `coursepack curate` leaves one"
        )
    if name is None and len(found) > 1:
        raise WorkspaceError(
            f"{workspace.url!r} has {len(found)} recipes: {', '.join(found)}; pick one with --name"
        )
    return Recipe.model_validate_json(storage.read_bytes(found[chosen]))
