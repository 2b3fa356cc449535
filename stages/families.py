"""The column groups of a recipe: what is measured together, in files of its own.

A family is a technique's column function, what it asks of a batch, and its version. A new family, or a
raised version, reads text for that family alone. Default families are measured for every recipe, so that any
rule over them can be tried afterwards; the others where a rule of the recipe names one of their signals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import zstandard

from coursepack.pipeline.documents import MEASURED_RECORD, SAMPLES
from coursepack.pipeline.edits import Credentials, Pii
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.recipe import (
    ClassifierSettings,
    Fuzzy,
    Language,
    Perplexity,
    ProgrammingModel,
    Recipe,
    Tagger,
    Urls,
)
from coursepack.pipeline.storage import sha256_of
from coursepack.stages.catalogue import group_schema
from coursepack.stages.model_files import model_path, model_sha256
from coursepack.stages.own_signals import FAILED, OwnGroup, own_groups, signals_of
from coursepack.stages.rules import quotas_of, rules_of

if TYPE_CHECKING:
    from coursepack.stages.batch import Batch
    from coursepack.stages.pieces import Pieces
    from coursepack.stages.words import Words

ROW = "row"  # a column that says which rows of a batch a group is about, where it is not about all
_DOC = pa.field("doc", pa.int64(), False)


@dataclass(frozen=True)
class Family:
    """A technique that needs no settings: its column function, called with `asks` of a Batch.

    `where` is "module:function", loaded when first called: what is not measured compiles no kernel.
    """

    where: str
    asks: tuple[str, ...]
    version: int = 1  # raised only when the output changes
    default: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    def columns(self, *asked: Any) -> pa.RecordBatch:
        """The family's columns of a batch."""
        return _loaded(self.where)(*asked)


FAMILIES: dict[str, Family] = {
    "code": Family("code:code_signals", ("text", "path")),
    "compression": Family(
        "compression:compression_signals",
        ("text",),
        settings={"zstandard": ".".join(map(str, zstandard.ZSTD_VERSION))},
    ),
    "datatrove": Family("datatrove:datatrove_signals", ("pieces",), default=False),
    "dclm": Family("dclm:dclm_signals", ("pieces",), default=False),
    "dolma": Family("dolma:dolma_signals", ("pieces",), default=False),
    "edits": Family("edits:edit_signals", ("edit",), default=False),
    "gopher": Family("gopher:gopher_signals", ("pieces",), version=2),
    "math": Family("mathematics:math_signals", ("text",)),
    "nemo": Family("nemo:nemo_signals", ("pieces",), default=False),
    "pii": Family(
        "pii:pii_signals", ("text",), settings={"finders": [Pii.finder(), Credentials.finder()]}
    ),
    "programming": Family("programming:programming_signals", ("records", "text")),
    "redpajama": Family("redpajama:redpajama_signals", ("pieces",), default=False),
    "repetition": Family("repetition:repetition_signals", ("pieces",), version=2),
    "scripts": Family("scripts:script_signals", ("text",), version=2),
    "sql": Family("sql:sql_signals", ("text",)),
    "sql_parse": Family(
        "sql:sql_parse_signals", ("text",), default=False, settings={"sqlglot": version("sqlglot")}
    ),
    "urls": Family("urls:url_signals", ("url",), default=False),
    "web": Family("web:web_signals", ("pieces",), version=2),
}


@cache
def _loaded(where: str) -> Callable[..., pa.RecordBatch]:
    module, _, function = where.partition(":")
    found: Callable[..., pa.RecordBatch] = getattr(
        import_module(f"coursepack.stages.{module}"), function
    )
    return found


@dataclass(frozen=True)
class ColumnGroup:
    """Columns measured together: their schema, how, and the settings that shape their values."""

    name: str
    version: int
    schema: pa.Schema
    columns: Callable[..., pa.RecordBatch] = field(compare=False)
    asks: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        return fingerprint(
            {"name": self.name, "version": self.version, "settings": dict(self.settings)}
        )

    def measure(self, batch: "Batch") -> pa.RecordBatch:
        """The columns of a batch, without `doc`."""
        return self.columns(*(asked(batch, name) for name in self.asks))


def asked(batch: "Batch", name: str) -> Any:
    """What a family asks of a batch by name: the columns of another family, measured once, or an attribute."""
    if name not in FAMILIES:
        return getattr(batch, name)
    if name not in batch.measured:
        family = FAMILIES[name]
        batch.measured[name] = family.columns(*(asked(batch, more) for more in family.asks))
    return batch.measured[name]


def column_groups(recipe: Recipe) -> dict[str, ColumnGroup]:
    """All that this recipe wants measured."""
    sample = {"sample": recipe.sample}
    programming = recipe.signals.programming
    named = (
        _named(recipe)
        | ({"urls"} if recipe.dedup.url else set())
        | ({"edits"} if recipe.edits.order else set())
    )
    groups = [
        ColumnGroup(
            "record",
            3,
            MEASURED_RECORD,
            _record_columns,
            ("records", "content", "text", "reject", "is_edited"),
            sample,
        ),
        *(
            ColumnGroup(
                name,
                f.version,
                _schema(name),
                _as_is,
                (name,),
                sample | dict(f.settings),
            )
            for name, f in FAMILIES.items()
            if (f.default or name in named) and not (name == "programming" and programming)
        ),
        *([_programming(programming, sample)] if programming else []),
        ColumnGroup("samples", 2, SAMPLES, _sample_columns, ("records", "content", "text"), sample),
        _domain(recipe.signals.tagger, programming, sample),
        *(_classifier(one, sample) for one in recipe.signals.classifiers),
        *([_perplexity(recipe.signals.perplexity, sample)] if recipe.signals.perplexity else []),
        *([_blocklists(recipe.urls, sample)] if recipe.urls.block else []),
        *([_bad_words(recipe.signals.bad_words, sample)] if recipe.signals.bad_words else []),
        _language(recipe.language, sample),
        *(_own(group, sample) for group in own_groups(recipe)),
    ]
    if recipe.dedup.fuzzy:
        groups.append(_bands(recipe.dedup.fuzzy, sample))
    return {group.name: group for group in groups}


def _record_columns(*asked: Any) -> pa.RecordBatch:
    return _loaded("identity:record_columns")(*asked)


def _sample_columns(*asked: Any) -> pa.RecordBatch:
    return _loaded("samples:sample_columns")(*asked)


def _as_is(columns: pa.RecordBatch) -> pa.RecordBatch:
    return columns


def _named(recipe: Recipe) -> set[str]:
    """The families of the signals that the recipe's rules name."""
    signals = {name for rule in rules_of(recipe) for name in rule.fires.signals}
    signals |= {quota.by for quota in quotas_of(recipe)}
    known = signals_of(recipe)
    return {known[name].group for name in signals}.union(recipe.signals.families)


def _schema(group: str) -> pa.Schema:
    return pa.schema([_DOC, *group_schema(group)])


def _language(settings: Language, sample: dict[str, Any]) -> ColumnGroup:
    model = model_sha256(model_path(settings.model, settings.sha256))
    columns = partial(_language_columns, settings)
    return ColumnGroup(
        "language", 2, _schema("language"), columns, ("text",), sample | {"model": model}
    )


def _language_columns(settings: Language, text: pa.Array) -> pa.RecordBatch:
    # the path is looked up where the task runs
    from coursepack.stages.language import language_signals

    return language_signals(text, model_path(settings.model, settings.sha256))


_DOMAIN_ASKS = ("path", "url", "text", "programming", "sql", "math")


def _domain(
    settings: Tagger | None, programming: ProgrammingModel | None, sample: dict[str, Any]
) -> ColumnGroup:
    shaped: dict[str, Any] = {
        f"{name} family": FAMILIES[name].version for name in _DOMAIN_ASKS if name in FAMILIES
    }
    if settings:
        model = model_sha256(model_path(settings.model, settings.sha256))
        shaped |= {"model": model, "least": settings.least}
    if programming:
        shaped["programming"] = model_sha256(model_path(programming.model, programming.sha256))
    columns = partial(_domain_columns, settings, programming)
    asks = ("records", *_DOMAIN_ASKS)
    return ColumnGroup("domain", 1, _schema("domain"), columns, asks, sample | shaped)


def _domain_columns(
    settings: Tagger | None,
    model_of_code: ProgrammingModel | None,
    records: pa.RecordBatch,
    path: pa.Array,
    url: pa.Array,
    text: pa.Array,
    programming: pa.RecordBatch,
    sql: pa.RecordBatch,
    math: pa.RecordBatch,
) -> pa.RecordBatch:
    from coursepack.stages.linear import load_classifier
    from coursepack.stages.tags import tag_signals

    if model_of_code:  # the family's own columns know no model
        programming = _programming_columns(model_of_code, records, text)
    if settings is None:
        return tag_signals(path, url, text, programming, sql, math)
    model = load_classifier(model_path(settings.model, settings.sha256))
    return tag_signals(path, url, text, programming, sql, math, model, settings.least)


def _programming(settings: ProgrammingModel, sample: dict[str, Any]) -> ColumnGroup:
    shaped = sample | {"model": model_sha256(model_path(settings.model, settings.sha256))}
    columns = partial(_programming_columns, settings)
    schema, asks = _schema("programming"), ("records", "text")
    return ColumnGroup(
        "programming", FAMILIES["programming"].version, schema, columns, asks, shaped
    )


def _programming_columns(
    settings: ProgrammingModel, records: pa.RecordBatch, text: pa.Array
) -> pa.RecordBatch:
    from coursepack.stages.linear import load_classifier
    from coursepack.stages.programming import programming_language

    model = load_classifier(model_path(settings.model, settings.sha256))
    found = programming_language(records.column("path"), records.column("url"), text, model)
    return pa.RecordBatch.from_arrays([found], ["programming_language"])


def _classifier(settings: ClassifierSettings, sample: dict[str, Any]) -> ColumnGroup:
    model = model_sha256(model_path(settings.model, settings.sha256))
    shaped = {"model": model, "label": settings.label, "form": settings.form}
    names = [settings.name, *([f"{settings.name}_sentence"] if settings.sentences else [])]
    schema = pa.schema([_DOC, *(pa.field(name, pa.float64()) for name in names)])
    columns = partial(_sentence_columns if settings.sentences else _quality_columns, settings)
    asks = ("pieces",) if settings.sentences else ("text",)
    more = {"sentences": True} if settings.sentences else {}
    return ColumnGroup(
        f"classifier_{settings.name}", 1, schema, columns, asks, sample | shaped | more
    )


def _sentence_columns(settings: ClassifierSettings, pieces: "Pieces") -> pa.RecordBatch:
    from coursepack.stages.linear import load_classifier
    from coursepack.stages.toxicity import label_signals

    model = load_classifier(model_path(settings.model, settings.sha256))
    return label_signals(pieces, model, settings.label, settings.name)


def _quality_columns(settings: ClassifierSettings, text: pa.Array) -> pa.RecordBatch:
    from coursepack.stages.classifiers import quality
    from coursepack.stages.linear import load_classifier

    model = load_classifier(model_path(settings.model, settings.sha256))
    found = quality(text, model, settings.label, settings.form)
    return pa.RecordBatch.from_arrays([found], [settings.name])


def _perplexity(settings: Perplexity, sample: dict[str, Any]) -> ColumnGroup:
    files = [path and sha256_of(path) for path in (settings.model, settings.sentencepiece)]
    columns = partial(_perplexity_columns, settings)
    return ColumnGroup(
        "perplexity", 1, _schema("perplexity"), columns, ("text",), sample | {"models": files}
    )


def _perplexity_columns(settings: Perplexity, text: pa.Array) -> pa.RecordBatch:
    from coursepack.stages.perplexity import load_language_model, perplexity_signals

    return perplexity_signals(text, load_language_model(settings.model, settings.sentencepiece))


def _bad_words(paths: tuple[str, ...], sample: dict[str, Any]) -> ColumnGroup:
    lists = sorted(map(sha256_of, paths))
    return ColumnGroup(
        "bad_words",
        1,
        _schema("bad_words"),
        partial(_bad_word_columns, paths),
        ("text",),
        sample | {"lists": lists},
    )


def _bad_word_columns(paths: tuple[str, ...], text: pa.Array) -> pa.RecordBatch:
    from coursepack.stages.bad_words import bad_word_signals, load_terms

    return bad_word_signals(text, load_terms(paths))


def _blocklists(settings: Urls, sample: dict[str, Any]) -> ColumnGroup:
    from coursepack.stages.blocklists import load_blocklists

    shaped = sample | {"lists": load_blocklists(settings.block).sha256}
    columns = partial(_blocked_columns, settings.block)
    return ColumnGroup("blocklists", 1, _schema("blocklists"), columns, ("url",), shaped)


def _blocked_columns(paths: tuple[str, ...], url: pa.Array) -> pa.RecordBatch:
    from coursepack.stages.blocklists import blocklist_signals

    return blocklist_signals(url, paths)


def _own(group: OwnGroup, sample: dict[str, Any]) -> ColumnGroup:
    columns = [pa.field(signal.name, signal.type) for signal in group.signals]
    schema = pa.schema([_DOC, *columns, pa.field(FAILED, pa.bool_())])
    settings = sample | group.settings
    return ColumnGroup(group.name, 1, schema, group.columns, ("records", "text"), settings)


def _bands(settings: Fuzzy, sample: dict[str, Any]) -> ColumnGroup:
    schema = pa.schema([_DOC, pa.field("bands", pa.list_(pa.int64(), settings.bands))])
    columns = partial(_band_columns, settings)
    return ColumnGroup("bands", 1, schema, columns, ("words",), sample | settings.model_dump())


def _band_columns(settings: Fuzzy, words: "Words") -> pa.RecordBatch:
    from coursepack.stages.minhash import band_hashes

    bands = band_hashes(words, settings.bands, settings.rows, settings.ngram, settings.seed)
    return pa.RecordBatch.from_arrays([bands], ["bands"])
