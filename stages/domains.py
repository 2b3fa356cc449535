"""A document's domain: what the recipe says of its source, else what the layout says of its part."""

import numpy as np
import pyarrow as pa

from coursepack.pipeline.recipe import Recipe, Source
from coursepack.stages.layouts import domain_of, layout_of, part_key


def source_domain(source: Source, subset: str | None) -> str:
    """The domain of a source's documents in `subset`: the recipe's word, else the layout's."""
    layout = layout_of(source.layout, source.fields)
    if isinstance(source.domain, str):
        return source.domain
    own = {part_key(name): domain for name, domain in (source.domain or {}).items()}
    known = own.get(part_key(subset or ""))
    if known is None and part_key(subset or "") not in layout.domains:
        known = own.get("default")
    return known or domain_of(layout, subset)


def source_domains(source: Source) -> set[str]:
    """All domains that documents of the source may have."""
    layout = layout_of(source.layout, source.fields)
    if isinstance(source.domain, str):
        return {source.domain}
    return {layout.domain, *layout.domains.values(), *(source.domain or {}).values()}


def domain_column(recipe: Recipe, source: np.ndarray, subset: pa.ChunkedArray) -> pa.Array:
    """The domain of each row, by its source (index in the recipe, int64) and subset."""
    codes = subset.combine_chunks().dictionary_encode()
    names = [*(value.as_py() for value in codes.dictionary), None]  # one a distinct subset
    index = codes.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    flat = [source_domain(s, name) for s in recipe.source for name in names]
    return pa.array(flat, pa.string()).take(pa.array(source * len(names) + index))
