"""Labels to learn: the domains that a recipe says of its sources, or `positive` and `negative` by selectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from coursepack.pipeline.arrow import row_classes
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import Recipe, Selector
from coursepack.stages.decide import Decided
from coursepack.stages.domains import AUTO, UNKNOWN, said_domains

POSITIVE, NEGATIVE = "positive", "negative"
_FUNNEL = pa.schema([("source", pa.string()), ("domain", pa.string()), ("documents", pa.int64())])


@dataclass(frozen=True)
class Labels:
    """Which label a kept document has, if any."""

    sources: tuple[str, ...]  # whose domain the recipe says; all where selectors choose
    positive: tuple[Selector, ...] = ()
    negative: tuple[Selector, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, positive: Sequence[str], negative: Sequence[str]) -> "Labels":
        """Raises RecipeError for one kind of selector without the other."""
        if bool(positive) != bool(negative):
            raise RecipeError(
                "a classifier of quality needs positive and negative documents; select both, such as "
                "--positive wiki --negative web"
            )
        said = tuple(
            source.name for source in recipe.source if positive or AUTO not in said_domains(source)
        )
        chosen = (tuple(map(Selector.parse, texts)) for texts in (positive, negative))
        return cls(said, *chosen)

    def sizes(self, decided: Decided) -> dict[str, int]:
        """Kept documents of each label, languages aside; raises RecipeError where a selector selects none."""
        kept = [row for row in decided.funnel() if not row["reason"]]
        table = pa.Table.from_pylist(kept, _FUNNEL)
        known = sorted({*table["source"].to_pylist(), *table["domain"].to_pylist()})
        for each in (*self.positive, *self.negative):
            if each.name != "*" and each.name not in known:
                raise RecipeError(
                    f"{str(each)!r} selects no kept document; there are the sources and domains "
                    f"{', '.join(known) or '(none)'}"
                )
        labels = self.column(table)
        counted = pa.table({"label": labels, "documents": table["documents"]}).drop_null()
        sums = counted.group_by("label").aggregate([("documents", "sum")])
        return dict(zip(sums["label"].to_pylist(), sums["documents_sum"].to_pylist(), strict=True))

    def column(self, table: pa.Table) -> pa.Array:
        """The label of each row of (source, domain, perhaps language), null where it has none."""
        names = [name for name in ("source", "domain", "language") if name in table.column_names]
        number, classes = row_classes(table.select(names))
        keys = zip(*(column.to_pylist() for column in classes.columns), strict=True)
        labels = [self._label(*key, any_language=len(names) < 3) for key in keys]
        return pa.array(labels, pa.string()).take(pa.array(number))

    def _label(
        self, source: str, domain: str, language: str | None = None, *, any_language: bool
    ) -> str | None:
        if source not in self.sources:
            return None
        if not self.positive:
            return None if domain == UNKNOWN else domain
        for label, selectors in ((POSITIVE, self.positive), (NEGATIVE, self.negative)):
            for each in selectors:
                named = each.name in ("*", source, domain)
                if named and (any_language or each.lang in (None, language)):
                    return label
        return None
