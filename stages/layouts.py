"""How each known corpus writes a record: from our names to its fields, from its parts to domains.

A field path has dots (`meta.pile_set_name`); of several, the first that is present and not null
wins. A path may lead through a string that holds JSON, as `meta` is in the RedPajama hub loader.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from coursepack.pipeline.documents import METADATA
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import Origin, Source

NAMES = ("text", *METADATA)  # what a layout, and a recipe's `fields`, may place

CONTAINERS = {
    "jsonl": "one JSON object a line",
    "parquet": "one row a record",
    "text": "one document a file",
    "text-lines": "one document a line",
    "any": "JSON lines or Parquet, told apart by the file's first bytes",
}

Paths = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Where a corpus keeps text and metadata, and what its parts are about.

    `subset_from_path` is a pattern over the file's path whose last match (group 1) names the part
    where the record does not. `domains` has its keys as `part_key` writes them.
    """

    name: str
    container: str
    text: Paths = ()
    id: Paths = ()
    url: Paths = ()
    path: Paths = ()
    subset: Paths = ()
    license: Paths = ()
    repository: Paths = ()
    access: Paths = ()
    origin: Paths = ()
    parent: Paths = ()
    generator: Paths = ()
    constants: Mapping[str, str] = field(
        default_factory=dict, hash=False
    )  # where a record is silent
    subset_from_path: str | None = None
    domains: Mapping[str, str] = field(default_factory=dict, hash=False)
    domain: str = "web"

    def paths(self, name: str) -> Paths:
        """The candidate field paths of one of `NAMES`."""
        found: Paths = getattr(self, name)
        return found

    def settings(self) -> dict[str, Any]:
        """What decides the records read from a file, as plain JSON; domains do not."""
        return {
            "container": self.container,
            "fields": {name: list(self.paths(name)) for name in NAMES},
            "constants": dict(self.constants),
            "subset_from_path": self.subset_from_path,
        }


def layout_of(
    name: str,
    fields: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
) -> Layout:
    """The layout called `name`; `fields` (our name -> field path) replace its own.

    `constants` (our name -> value) are metadata of the records that do not say.

    Raises RecipeError for a layout or a name that does not exist.
    """
    if name not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        raise RecipeError(
            f"no layout is called {name!r}{_hint(name, LAYOUTS)}; the layouts are {known}"
        )
    for ours, theirs in (fields or {}).items():
        if ours not in NAMES:
            raise RecipeError(
                f"fields has {ours!r}{_hint(ours, NAMES)}; it may place {', '.join(NAMES)}"
            )
        if not theirs or not all(theirs.split(".")):
            raise RecipeError(
                f"fields.{ours} is {theirs!r}; it must be a field name, with dots where nested"
            )
    own: dict[str, Any] = {ours: (theirs,) for ours, theirs in (fields or {}).items()}
    return replace(LAYOUTS[name], constants=dict(constants or {}), **own)


def source_layout(source: Source) -> Layout:
    """The layout of a recipe's source, with the fields and the constants that it gives."""
    origin = source.origin or Origin()
    constants = {
        "license": source.license,
        "access": source.access,
        "origin": origin.derived_from,
        "generator": origin.generator,
    }
    said = {name: value for name, value in constants.items() if value is not None}
    made = layout_of(source.layout, source.fields, said)
    return (
        replace(made, access=()) if source.access else made
    )  # a person's word that it is restricted holds


def part_key(subset: str) -> str:
    """A part's name as the keys of `Layout.domains`: lower case, `-` for blanks and `_`."""
    return re.sub("[ _]+", "-", subset.lower())


def subset_of_path(chosen: Layout, url: str) -> str | None:
    """The part that the path of a file names, or None."""
    if chosen.subset_from_path is None:
        return None
    matches = re.findall(chosen.subset_from_path, url)
    return matches[-1] if matches else None


def domain_of(chosen: Layout, subset: str | None) -> str:
    """The domain of a part; the layout's own where the part is unknown."""
    return chosen.domains.get(part_key(subset or ""), chosen.domain)


def _hint(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


# RedPajama's seven parts, as folders (raw) and `red_pajama_subset` (hub) name them
_REDPAJAMA = {
    "common-crawl": "web",
    "cc": "web",
    "c4": "web",
    "github": "code",
    "arxiv": "science",
    "book": "books",
    "books": "books",
    "wikipedia": "encyclopedia",
    "stackexchange": "dialogue",
}
_SLIMPAJAMA = {f"redpajama{part.replace('-', '')}": domain for part, domain in _REDPAJAMA.items()}

# the 22 sets of Gao et al. 2020, table 1, as their files spell them
_PILE = {
    "Pile-CC": "web",
    "PubMed Central": "science",
    "Books3": "books",
    "OpenWebText2": "web",
    "ArXiv": "science",
    "Github": "code",
    "FreeLaw": "law",
    "StackExchange": "dialogue",
    "USPTO Backgrounds": "law",
    "PubMed Abstracts": "science",
    "Gutenberg (PG-19)": "books",
    "OpenSubtitles": "dialogue",
    "Wikipedia (en)": "encyclopedia",
    "DM Mathematics": "math",
    "Ubuntu IRC": "dialogue",
    "BookCorpus2": "books",
    "EuroParl": "law",
    "HackerNews": "dialogue",
    "YoutubeSubtitles": "dialogue",
    "PhilPapers": "science",
    "NIH ExPorter": "science",
    "Enron Emails": "dialogue",
}

# `source` in Dolma 1.5 to 1.7; spellings differ between versions
_DOLMA = {
    "common-crawl": "web",
    "c4": "web",
    "refinedweb": "web",
    "cc-news": "web",
    "stack-dedup": "code",
    "stack": "code",
    "starcoder": "code",
    "reddit": "dialogue",
    "stackexchange": "dialogue",
    "tulu-flan": "dialogue",
    "pes2o": "science",
    "s2": "science",
    "arxiv": "science",
    "redpajama/arxiv": "science",
    "books": "books",
    "gutenberg": "books",
    "wiki": "encyclopedia",
    "wikipedia": "encyclopedia",
    "wikibooks": "encyclopedia",
    "megawika": "encyclopedia",
    "algebraic-stack": "math",
    "open-web-math": "math",
    "proof-pile-2": "math",
}

_FOLDER = r"([^/]+)/[^/]+$"  # The Stack and StarCoderData: a folder a language

_PLAIN_TEXT = ("text", "content", "raw_content")
_UNKNOWN = "general"  # a plain file does not say what it is about; no rule for web pages may apply

_TABLE = (
    Layout(
        "redpajama-v1",
        "any",
        text=("text",),
        # Common Crawl rows are flat; their `source` is "cc/2019-30/.../lineN"
        id=("meta.arxiv_id", "meta.content_hash", "meta.id", "source"),
        url=("meta.url", "url"),
        path=("meta.path",),
        repository=("meta.repo_name",),
        subset=("red_pajama_subset", "meta.source"),
        license=("meta.license",),
        subset_from_path=r"(?:^|/)(common_crawl|cc|c4|github|arxiv|books?|wikipedia|stackexchange)(?=[/_.\-])",
        domains=_REDPAJAMA,
    ),
    Layout(
        "redpajama-v2",
        "any",
        text=("raw_content",),
        id=("doc_id", "id", "digest"),
        url=("url",),
        subset=("bucket",),
    ),
    Layout(
        "slimpajama",
        "any",
        text=("text",),
        subset=("meta.redpajama_set_name",),
        domains=_SLIMPAJAMA,
    ),
    Layout(
        "dolma",
        "any",
        text=("text",),
        id=("id",),
        url=("metadata.url", "url"),
        path=("metadata.max_stars_repo_path", "metadata.path"),
        repository=("metadata.max_stars_repo_name", "metadata.repo_name"),
        subset=("source",),
        license=("metadata.license", "metadata.max_stars_repo_licenses"),
        domains=_DOLMA,
    ),
    Layout(
        "pile",
        "any",
        text=("text",),
        subset=("meta.pile_set_name",),
        domains={part_key(part): domain for part, domain in _PILE.items()},
    ),
    Layout("c4", "any", text=("text",), url=("url",)),
    Layout("refinedweb", "any", text=("content",), url=("url",), subset=("dump",)),
    Layout("fineweb", "any", text=("text",), id=("id",), url=("url",), subset=("dump",)),
    Layout(
        "starcoderdata",
        "any",
        text=("content",),
        id=("id",),
        path=("max_stars_repo_path", "path"),
        repository=("max_stars_repo_name", "repo_name"),
        license=("max_stars_repo_licenses", "license"),
        subset_from_path=_FOLDER,
        domains={"sql": "sql"},
        domain="code",
    ),
    Layout(
        "the-stack",
        "any",
        text=("content",),
        id=("hexsha",),
        path=("max_stars_repo_path",),
        repository=("max_stars_repo_name",),
        subset=("lang",),
        license=("max_stars_repo_licenses",),
        subset_from_path=_FOLDER,
        domains={"sql": "sql", "plsql": "sql", "plpgsql": "sql", "sqlpl": "sql"},
        domain="code",
    ),
    Layout("ingested", "any", text=("text",), id=("id",), url=("url",)),  # `coursepack ingest`
    Layout("openwebmath", "any", text=("text",), url=("url",), domain="math"),
    Layout("wikipedia", "any", text=("text",), id=("id",), url=("url",), domain="encyclopedia"),
    *(
        Layout(
            container,
            container,
            text=_PLAIN_TEXT,
            id=("id",),
            url=("url", "meta.url", "metadata.url"),
            path=("path",),
            subset=("subset",),
            license=("license",),
            repository=("repository", "repo"),
            access=("access",),
            origin=("origin",),
            parent=("parent",),
            generator=("generator",),
            domain=_UNKNOWN,
        )
        for container in ("jsonl", "parquet")
    ),
    Layout("text", "text", domain=_UNKNOWN),
    Layout("text-lines", "text-lines", domain=_UNKNOWN),
)

LAYOUTS: Mapping[str, Layout] = {entry.name: entry for entry in _TABLE}
