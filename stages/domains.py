"""A document's domain: what the recipe says of its source, else what the layout says of its part.

Where that is `auto`, it is the document's own tag: from its path, its markers, or a classifier (stages/tags.py).
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.recipe import Recipe, Source
from coursepack.stages.layouts import domain_of, part_key, source_layout

AUTO = "auto"
UNKNOWN = "general"  # a document that nothing tags
# what paths and markers can say; a classifier has labels of its own
TAGS = (
    "books", "code", "dialogue", "encyclopedia", "instruction", "math", "science", "sql", "web",
)  # fmt: skip


def source_domain(source: Source, subset: str | None) -> str:
    """The domain of a source's documents in `subset`: the recipe's word, else the layout's."""
    layout = source_layout(source)
    if isinstance(source.domain, str):
        return source.domain
    own = {part_key(name): domain for name, domain in (source.domain or {}).items()}
    known = own.get(part_key(subset or ""))
    if known is None and part_key(subset or "") not in layout.domains:
        known = own.get("default")
    return known or domain_of(layout, subset)


def source_domains(source: Source, labels: Iterable[str] = ()) -> set[str]:
    """All domains that documents of the source may have; `labels` are those of the recipe's classifier."""
    found = said_domains(source)
    return found - {AUTO} | {*TAGS, UNKNOWN, *labels} if AUTO in found else found


def said_domains(source: Source) -> set[str]:
    """The domains that the recipe or the layout names for the source, `auto` as it is."""
    if isinstance(source.domain, str):
        return {source.domain}
    layout = source_layout(source)
    return {layout.domain, *layout.domains.values(), *(source.domain or {}).values()}


def uses_tags(recipe: Recipe) -> bool:
    """Whether the domain of some of the recipe's documents is their own tag."""
    return any(AUTO in said_domains(source) for source in recipe.source)


def domain_column(
    recipe: Recipe,
    source: np.ndarray,
    subset: pa.ChunkedArray,
    tag: pa.ChunkedArray | None = None,
) -> pa.Array:
    """The domain of each row, by its source (index in the recipe, int64) and subset; where that is `auto`, its tag."""
    codes = subset.combine_chunks().dictionary_encode()
    names = [*(value.as_py() for value in codes.dictionary), None]  # one a distinct subset
    index = codes.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    flat = [source_domain(s, name) for s in recipe.source for name in names]
    found = pa.array(flat, pa.string()).take(pa.array(source * len(names) + index))
    if tag is None:
        return found
    tagged = pc.fill_null(tag.combine_chunks().cast(pa.string()), UNKNOWN)
    return pc.if_else(pc.equal(found, AUTO), tagged, found)
