"""A few records of a file, read as a source says: whether the layout fits, and what the texts are like."""

from collections.abc import Mapping
from dataclasses import dataclass

from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.recipe import Recipe, Source
from coursepack.stages.check import check
from coursepack.stages.domains import source_domain
from coursepack.stages.inventory import Found
from coursepack.stages.layouts import source_layout
from coursepack.stages.records import Split, read_records

RECORDS = 200  # of a file
_BATCH_BYTES = 1 << 20


@dataclass(frozen=True)
class Look:
    """What the first records of one file are."""

    url: str
    texts: tuple[str, ...]  # of the documents, in the file's order
    domains: tuple[str, ...]  # of the same documents
    rejects: Mapping[str, int]  # reason -> records that are no documents
    detail: str = ""  # of the first of those

    @property
    def records(self) -> int:
        return len(self.texts) + sum(self.rejects.values())


@dataclass(frozen=True)
class Checked:
    """A source of a checked recipe: its files, and a look into one of them."""

    source: Source
    files: int
    bytes: int
    look: Look


def look(source: Source, url: str, records: int = RECORDS, record_bytes: int = 256 << 20) -> Look:
    """The first `records` of one file of `source`; raises SourceError where it cannot be read."""
    layout = source_layout(source)
    texts: list[str] = []
    domains: list[str] = []
    rejects: dict[str, int] = {}
    detail = ""
    try:
        for batch in read_records(Split(url), layout, record_bytes, _BATCH_BYTES):
            head = batch.slice(0, records - len(texts) - sum(rejects.values()))
            for row in head.select(["text", "subset", "reject", "detail"]).to_pylist():
                if row["reject"]:
                    rejects[row["reject"]] = rejects.get(row["reject"], 0) + 1
                    detail = detail or row["detail"] or ""
                else:
                    texts.append(row["text"])
                    domains.append(source_domain(source, row["subset"]))
            if len(texts) + sum(rejects.values()) >= records:
                break
    except OSError as error:
        raise SourceError(f"source {source.name!r}: {url!r} cannot be read: {error}") from error
    return Look(url, tuple(texts), tuple(domains), rejects, detail)


def check_sources(recipe: Recipe) -> list[Checked]:
    """All that `check` looks at, and the first records of one file a source.

    Raises RecipeError and SourceError; also where not one record looked at is a document.
    """
    found = check(recipe)
    checked = [_checked(recipe, source, found[source.name]) for source in recipe.source]
    for entry in checked:
        if entry.look.records and not entry.look.texts:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in entry.look.rejects.items())
            raise SourceError(
                f"source {entry.source.name!r}: none of the first {entry.look.records:,} records of "
                f"{entry.look.url!r} is a document ({reasons}; {entry.look.detail}); is "
                f"{entry.source.layout!r} its layout? `coursepack init` guesses, and `fields` names the fields"
            )
    return checked


def _checked(recipe: Recipe, source: Source, files: list[Found]) -> Checked:
    # the largest file is most like the corpus; small ones are leftovers
    largest = max(files, key=lambda file: (file.size, file.url))
    seen = look(source, largest.url, record_bytes=recipe.limits.record_bytes)
    return Checked(source, len(files), sum(file.size for file in files), seen)
