"""`coursepack tokenizer compare`: tokenizers side by side, on held-out documents or on files.

Documents of a workspace are drawn and encoded by Spark, where they are. Files that are in no workspace are read in
this process: layouts are guessed as by `init`, and nothing but counts is kept. Both come to the same counts.

Also an entry point: `spark-submit --py-files coursepack.zip jobs/compare_tokenizers.py A B --on recipe.toml`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.jobs.init import Draft, find_sources
from coursepack.jobs.run import started
from coursepack.jobs.whatif import find_recipe
from coursepack.pipeline import storage
from coursepack.pipeline.errors import SourceError, TokenizerError
from coursepack.pipeline.hashing import CHOICE_BITS, choice, content_hash
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.domains import AUTO, UNKNOWN, source_domain
from coursepack.stages.inventory import source_files
from coursepack.stages.language import identify
from coursepack.stages.layouts import source_layout
from coursepack.stages.model_files import model_path
from coursepack.stages.records import Split, read_records
from coursepack.stages.sampling import SALT, supply, windows_from
from coursepack.stages.token_counts import count_tokens
from coursepack.stages.tokenizer_compare import (
    Candidate,
    Comparison,
    compare_kept,
    figures,
    find_candidates,
    held_out,
    programming_of,
    sum_counts,
)
from coursepack.tokenizers.cost import Shape, costs
from coursepack.tokenizers.model import load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SAMPLE_BYTES = 20_000_000


def compare_tokenizers(
    tokenizers: Sequence[str],
    on: Sequence[str],
    sample: int = SAMPLE_BYTES,
    shape: Shape | None = None,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
    name: str | None = None,
) -> Comparison:
    """Compare `tokenizers` (paths or URLs) on about `sample` bytes of text.

    `on` is one recipe file or workspace, whose kept documents are drawn from (`name` picks one of several
    recipes), or any number of files, folders and globs of documents. With `shape` also what each vocabulary
    costs in such a model. Raises TokenizerError, and what the reading of either raises.
    """
    progress = progress or Progress.silent()
    recipe = _recipe_at(on, name, allow_code)
    if recipe is None:
        found = _on_files(tokenizers, on, sample, progress)
    else:
        workspace = Workspace(recipe.workspace)
        candidates = find_candidates(tokenizers, workspace)
        with started(recipe, spark, progress) as work:
            inventory, decided = work.curate()
            readers = {group: inventory.reader(group) for group in inventory.groups}
            supplied = supply(work.spark, decided, readers)
            held = held_out(_kept_recipes(workspace), supplied, sample, recipe.seed)
            found = compare_kept(work.spark, recipe, inventory, decided, candidates, held, progress)
    if shape is None:
        return found
    sizes = [one.pieces for one in found.tokenizers]
    whole = [one.bytes_per_token for one in found.figures[: len(sizes)]]
    ratios = [ratio for ratio in whole if ratio is not None]
    if len(ratios) < len(sizes):
        raise TokenizerError(
            "the documents have no text, so there is nothing that vocabularies cost"
        )
    return replace(found, cost=tuple(costs(shape, sizes, ratios)))


def _recipe_at(on: Sequence[str], name: str | None, allow_code: bool) -> Recipe | None:
    """The recipe at a recipe file, a workspace or a result; None where `on` is documents."""
    if len(on) != 1:
        return None
    where = on[0].rstrip("/")
    is_result = storage.exists(storage.join(where, "files.parquet")) and "/shards/" in where
    if where.endswith(".toml") or is_result or storage.exists(storage.join(where, "inventory")):
        return find_recipe(where, name, allow_code)
    return None


def _kept_recipes(workspace: Workspace) -> list[Recipe]:
    """All recipes that were run in a workspace."""
    urls = [u for u in storage.listing(workspace.path("recipes")) if u.endswith(".json")]
    return [Recipe.model_validate_json(storage.read_bytes(url)) for url in urls]


def _on_files(
    tokenizers: Sequence[str], on: Sequence[str], sample: int, progress: Progress
) -> Comparison:
    candidates = find_candidates(tokenizers)
    drafts, skipped = find_sources(on)
    size = sum(draft.text_bytes for draft in drafts)
    rate = min(1.0, sample / max(size, 1))
    with progress.step("compare", total_tasks=len(drafts)) as step:
        parts = (part for draft in drafts for part in _counts(draft, candidates, rate))
        found = figures(sum_counts(parts), candidates)
        step.done(rows=found[0].documents)
    notes = [
        f"{found[0].documents:,} documents, {found[0].bytes:,} bytes"
        + ("" if rate == 1 else ": a hash sample")
        + "; whether they were in the training of these tokenizers is not known",
        *(f"skipped: {message}" for message in skipped),
    ]
    return Comparison(", ".join(on), tuple(candidates), tuple(found), tuple(notes))


def _counts(draft: Draft, candidates: Sequence[Candidate], rate: float) -> Iterator[pa.Table]:
    """COUNTS of a sample of the documents of a source, batch by batch."""
    models = {one.sha256: load(one.url) for one in candidates}
    least = (1 << CHOICE_BITS) - int(rate * (1 << CHOICE_BITS))
    for records, order in _documents(draft, least):
        whole = records.column("text")
        text, row = windows_from(whole, order, np.full(len(order), least))
        classes = pa.table(
            {
                "domain": _domains(draft, records.column("subset")),
                "language": _languages(whole),
                "programming_language": programming_of(None, records, whole),
            }
        )
        yield count_tokens(models, text, classes.take(pa.array(row)))


def _documents(draft: Draft, least: int) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Records of a source that are documents of the sample, and their places in the order of hashes."""
    layout = source_layout(draft.source)
    for file in source_files(draft.source):
        for batch in read_records(Split(file.url), layout):
            good = batch.filter(pc.is_valid(batch.column("text")))
            order = choice(0, SALT, content_hash(good.column("text")))
            taken = order >= least
            if taken.any():
                yield good.filter(pa.array(taken)), order[taken]


def _domains(draft: Draft, subset: pa.Array) -> pa.Array:
    codes = subset.dictionary_encode(null_encoding="encode")
    names = [source_domain(draft.source, name) for name in codes.dictionary.to_pylist()]
    known = [UNKNOWN if name == AUTO else name for name in names]
    return pa.array(known, pa.string()).take(codes.indices)


def _languages(text: pa.Array) -> pa.Array:
    """The language of each text; null where no language model is installed."""
    try:
        return identify(text, model_path())[0]
    except SourceError:
        return pa.nulls(len(text), pa.string())


def main() -> None:
    """The command `tokenizer compare`, for spark-submit."""
    from coursepack.jobs.command import submit

    submit("tokenizer", "compare")


if __name__ == "__main__":
    main()
