"""How the records of a source become the texts that are measured and encoded: its layout, and its local edits.

Files of sources that are read alike share input groups; those that are edited otherwise do not, for all that
is measured of them differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from coursepack.pipeline.edits import EditSettings
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.recipe import Recipe, Selector, Source
from coursepack.stages.domains import AUTO, said_domains, source_domain
from coursepack.stages.layouts import Layout, source_layout

if TYPE_CHECKING:
    from coursepack.stages.edits import Edited


@dataclass(frozen=True)
class Reader:
    """A layout, and the edits of its texts in order.

    `parts` says of an edit in whose scope some of the source's parts are, and others not, which domains it is
    for; `source` tells the domain of a part, where that is asked.
    """

    layout: Layout
    edits: tuple[EditSettings, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Source | None = None

    def edited(self, records: pa.RecordBatch) -> "Edited":
        """The edited texts of records (of RECORDS)."""
        from coursepack.stages.edits import edit  # kernels: only where texts are

        masks = {
            name: self._mask(records.column("subset"), found) for name, found in self.parts.items()
        }
        return edit(records.column("text"), self.edits, masks)

    def texts(self, records: pa.RecordBatch) -> pa.Array:
        """The edited texts; those of the records themselves where nothing is edited."""
        return self.edited(records).text if self.edits else records.column("text")

    def may_be(self, domain: str, subset: str | None) -> bool:
        """Whether a document of `domain` may be of this part, where parts are edited differently."""
        return self.source is None or source_domain(self.source, subset) in (domain, AUTO)

    def _mask(self, subset: pa.Array, domains: tuple[str, ...]) -> np.ndarray:
        assert self.source
        codes = subset.dictionary_encode()
        names = [*codes.dictionary.to_pylist(), None]  # one a distinct part
        wanted = np.array([source_domain(self.source, name) in domains for name in names])
        found: np.ndarray = wanted[
            codes.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        ]
        return found


def reader_of(source: Source, recipe: Recipe) -> tuple[str, Reader]:
    """How a source's files are read, and the fingerprint of that."""
    layout = source_layout(source)
    chain, parts = _edits_of(source, recipe)
    reader = Reader(layout, chain, parts, source if parts else None)
    settings: dict[str, Any] = {
        "layout": layout.settings(),
        "record_bytes": recipe.limits.record_bytes,
    }
    if chain:
        settings["edits"] = [
            each.model_dump(mode="json", exclude={"scope"})
            | {"edit": each.edit, "finder": each.finder(), "parts": parts.get(each.edit)}
            for each in chain
        ]
    if parts:
        settings["domain"] = [source.domain, dict(layout.domains), layout.domain]
    return fingerprint(settings), reader


def _edits_of(
    source: Source, recipe: Recipe
) -> tuple[tuple[EditSettings, ...], dict[str, tuple[str, ...]]]:
    """The edits in whose scope the source, or some of its parts, are; and the domains of the latter."""
    # what an `auto` document is about is not known yet: code must not be edited as pages are
    known = said_domains(source) - {AUTO}
    chain: list[EditSettings] = []
    parts: dict[str, tuple[str, ...]] = {}
    for each in recipe.edits.chain:
        names = {Selector.parse(text).name for text in each.scopes} - {AUTO}
        within = known & names
        if not within and not {"*", source.name} & names:
            continue
        chain.append(each)
        if not {"*", source.name} & names and within != said_domains(source):
            parts[each.edit] = tuple(sorted(within))
    return tuple(chain), parts
