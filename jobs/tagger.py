"""`coursepack tagger train`: a classifier of the corpus' own labels, and a table of what it gets wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from coursepack.jobs.run import started
from coursepack.jobs.tables import count, new_table
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.stages.evaluation import NONE
from coursepack.stages.labels import POSITIVE
from coursepack.stages.tagger import TaggerSettings, Trained
from coursepack.stages.tagger import train_tagger as train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MATRIX_LABELS, _WRONG = 8, 12  # of a whole matrix at 100 columns; lines where it is larger


def train_tagger(
    recipe: Recipe | str | Path,
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
) -> Trained:
    """Train on the kept documents of `recipe`; sources not yet curated are curated first.

    Labels are the domains that the recipe says of its sources, or, with selectors, `positive` and `negative`.
    Raises RecipeError where there is too little to tell apart.
    """
    settings = TaggerSettings(tuple(positive), tuple(negative))
    with started(recipe, spark, progress, allow_code) as work:
        inventory, decided = work.curate()
        with work.timed("tagger"):
            return train(work.spark, work.recipe, inventory, decided, settings, work.progress)


def recipe_lines(trained: Trained) -> str:
    """What a recipe says to use the model."""
    model = f'model = "{trained.url}", sha256 = "{trained.sha256}"'
    if POSITIVE not in trained.documents:
        return f"[signals]\ntagger = {{ {model} }}"
    more = f'label = "{POSITIVE}", form = "normalised"'
    return f'[signals]\nclassifiers = [{{ name = "quality", {model}, {more} }}]'


def tagger_parts(trained: Trained) -> list[RenderableType]:
    """How well labels are told apart, and which are taken for which."""
    judged, macro = trained.evaluation, trained.evaluation.macro_f1
    total = sum(map(sum, judged.matrix))
    title = f"macro-F1 {_shown(macro)} on {total:,} held-out documents"
    scores = new_table(title, "label", "trained on", "held out", "precision", "recall", "F1")
    for label in judged.labels:
        found = (judged.precision(label), judged.recall(label), judged.f1(label))
        sizes = (trained.documents.get(label, 0), judged.documents(label))
        scores.add_row(label, *map(count, sizes), *map(_shown, found))
    parts: list[RenderableType] = [scores]
    guesses = (*judged.labels, NONE)
    if len(judged.labels) <= _MATRIX_LABELS:
        matrix = new_table("which are taken for which", "label", *guesses)
        for label, row in zip(judged.labels, judged.matrix, strict=True):
            matrix.add_row(label, *map(count, row))
        parts.append(matrix)
    else:
        wrong = [
            (-number, label, guess)
            for label, row in zip(judged.labels, judged.matrix, strict=True)
            for guess, number in zip(guesses, row, strict=True)
            if number and guess != label
        ]
        table = new_table("most often wrong", "label", "*taken for", "documents")
        for number, label, guess in sorted(wrong)[:_WRONG]:
            table.add_row(label, guess, count(-number))
        parts.append(table)
    if trained.left_out:
        few = ", ".join(f"{label} {size}" for label, size in trained.left_out.items())
        parts.append(Text(f"! left out, too few documents: {few}", style="yellow"))
    return parts


def _shown(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.4f}"
