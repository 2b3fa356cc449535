"""The column groups of a recipe: what is measured together, in files of its own.

A family is a technique's column function, what it asks of a batch, and its version. A new family, or a
raised version, reads text for that family alone. Default families are measured for every recipe, so that any
rule over them can be tried afterwards; the others where a rule of the recipe names one of their signals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import sqlglot

from coursepack.pipeline.documents import MEASURED_RECORD
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.recipe import Fuzzy, Language, Recipe
from coursepack.pipeline.storage import sha256_of
from coursepack.stages.batch import Batch
from coursepack.stages.catalogue import group_schema
from coursepack.stages.code import code_signals
from coursepack.stages.compression import LIBRARY, compression_signals
from coursepack.stages.dclm import dclm_signals
from coursepack.stages.dolma import dolma_signals
from coursepack.stages.edits import edit_signals
from coursepack.stages.gopher import gopher_signals
from coursepack.stages.identity import record_columns
from coursepack.stages.language import language_signals, model_path
from coursepack.stages.mathematics import math_signals
from coursepack.stages.minhash import band_hashes
from coursepack.stages.nemo import nemo_signals
from coursepack.stages.own_signals import FAILED, OwnGroup, own_groups, signals_of
from coursepack.stages.pii import pii_signals
from coursepack.stages.programming import programming_signals
from coursepack.stages.redpajama import redpajama_signals
from coursepack.stages.repetition import repetition_signals
from coursepack.stages.rules import quotas_of, rules_of
from coursepack.stages.samples import SAMPLES, sample_columns
from coursepack.stages.scripts import script_signals
from coursepack.stages.sql import sql_parse_signals, sql_signals
from coursepack.stages.web import web_signals
from coursepack.stages.words import Words

_DOC = pa.field("doc", pa.int64(), False)
_SAMPLES = pa.schema([_DOC, *SAMPLES])


@dataclass(frozen=True)
class Family:
    """A technique that needs no settings: its column function, called with `asks` of a Batch."""

    columns: Callable[..., pa.RecordBatch]
    asks: tuple[str, ...]
    version: int = 1  # raised only when the output changes
    default: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {
    "compression": Family(compression_signals, ("text",), settings={"zstandard": LIBRARY}),
    "code": Family(code_signals, ("text", "path")),
    "edits": Family(edit_signals, ("edit",), default=False),
    "math": Family(math_signals, ("text",)),
    "scripts": Family(script_signals, ("text",)),
    "gopher": Family(gopher_signals, ("pieces",), version=2),
    "repetition": Family(repetition_signals, ("pieces",), version=2),
    "dclm": Family(dclm_signals, ("pieces",), default=False),
    "dolma": Family(dolma_signals, ("pieces",), default=False),
    "nemo": Family(nemo_signals, ("pieces",), default=False),
    "pii": Family(pii_signals, ("text",)),
    "programming": Family(programming_signals, ("records", "text")),
    "redpajama": Family(redpajama_signals, ("pieces",), default=False),
    "sql": Family(sql_signals, ("text",)),
    "sql_parse": Family(
        sql_parse_signals, ("text",), default=False, settings={"sqlglot": sqlglot.__version__}
    ),
    "web": Family(web_signals, ("pieces",), version=2),
}


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

    def measure(self, batch: Batch) -> pa.RecordBatch:
        """The columns of a batch, without `doc`."""
        return self.columns(*(asked(batch, name) for name in self.asks))


def asked(batch: Batch, name: str) -> Any:
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
    named = _named(recipe) | ({"edits"} if recipe.edits.order else set())
    groups = [
        ColumnGroup(
            "record",
            2,
            MEASURED_RECORD,
            record_columns,
            ("records", "content", "text", "reject"),
            sample,
        ),
        *(
            ColumnGroup(
                name, f.version, _schema(name), _as_is, (name,), sample | f.settings | _versions(f)
            )
            for name, f in FAMILIES.items()
            if f.default or name in named
        ),
        ColumnGroup("samples", 1, _SAMPLES, sample_columns, ("records", "content", "text"), sample),
        _language(recipe.language, sample),
        *(_own(group, sample) for group in own_groups(recipe)),
    ]
    if recipe.dedup.fuzzy:
        groups.append(_bands(recipe.dedup.fuzzy, sample))
    return {group.name: group for group in groups}


def _as_is(columns: pa.RecordBatch) -> pa.RecordBatch:
    return columns


def _versions(family: Family) -> dict[str, Any]:
    """The versions of the families that a family asks."""
    return {f"{name} family": FAMILIES[name].version for name in family.asks if name in FAMILIES}


def _named(recipe: Recipe) -> set[str]:
    """The families of the signals that the recipe's rules name."""
    signals = {name for rule in rules_of(recipe) for name in rule.fires.signals}
    signals |= {quota.by for quota in quotas_of(recipe)}
    known = signals_of(recipe)
    return {known[name].group for name in signals}.union(recipe.signals.families)


def _schema(group: str) -> pa.Schema:
    return pa.schema([_DOC, *group_schema(group)])


def _language(settings: Language, sample: dict[str, Any]) -> ColumnGroup:
    model = sha256_of(model_path(settings.model, settings.sha256))
    columns = partial(_language_columns, settings)
    return ColumnGroup(
        "language", 2, _schema("language"), columns, ("text",), sample | {"model": model}
    )


def _language_columns(settings: Language, text: pa.Array) -> pa.RecordBatch:
    # the path is looked up where the task runs
    return language_signals(text, model_path(settings.model, settings.sha256))


def _own(group: OwnGroup, sample: dict[str, Any]) -> ColumnGroup:
    columns = [pa.field(signal.name, signal.type) for signal in group.signals]
    schema = pa.schema([_DOC, *columns, pa.field(FAILED, pa.bool_())])
    settings = sample | group.settings
    return ColumnGroup(group.name, 1, schema, group.columns, ("records", "text"), settings)


def _bands(settings: Fuzzy, sample: dict[str, Any]) -> ColumnGroup:
    schema = pa.schema([_DOC, pa.field("bands", pa.list_(pa.int64(), settings.bands))])
    columns = partial(_band_columns, settings)
    return ColumnGroup("bands", 1, schema, columns, ("words",), sample | settings.model_dump())


def _band_columns(settings: Fuzzy, words: Words) -> pa.RecordBatch:
    bands = band_hashes(words, settings.bands, settings.rows, settings.ngram, settings.seed)
    return pa.RecordBatch.from_arrays([bands], ["bands"])
