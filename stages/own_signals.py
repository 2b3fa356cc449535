"""Signals that code outside coursepack makes: functions of the user's own, and datatrove's filters by name.

They become signals like any other: typed, measured once, usable in rules, mixtures and `whatif`. A function
takes one string and returns a number, a string or a boolean (both annotated); or a string array of Arrow and
returns an array as long, or a record batch of several columns. What it cannot say of a text is null: a text on which
it fails is null and counted, one that makes NaN is null. The code must be installed where tasks run.
"""

import hashlib
import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.recipe import DatatroveStep, Recipe
from coursepack.stages.attach import attached
from coursepack.stages.catalogue import SIGNALS, Signal

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
_FORMS = "one text and a return type (def f(text: str) -> float), or an Arrow array in and out"
_DATATROVE = ("datatrove.pipeline.filters", "datatrove.pipeline.formatters")
FAILED = "failed"  # a column of own groups: texts on which the code raised an error


@dataclass(frozen=True)
class OwnGroup:
    """A column group made by such code; `columns` is called with the records and their texts."""

    name: str
    signals: tuple[Signal, ...]
    columns: Callable[[pa.RecordBatch, pa.Array], pa.RecordBatch]
    settings: dict[str, Any]


def signals_of(recipe: Recipe) -> dict[str, Signal]:
    """The catalogue with the recipe's own signals; raises RecipeError where one cannot be had."""
    own = [signal for group in own_groups(recipe) for signal in group.signals]
    own += [
        Signal(
            c.name,
            f"classifier_{c.name}",
            pa.float64(),
            "0 to 1",
            f"probability of {c.label}",
            c.model,
        )
        for c in recipe.signals.classifiers
    ]
    own += [
        Signal(f"{c.name}_sentence", f"classifier_{c.name}", pa.float64(), "0 to 1",
               f"highest {c.label} of a sentence", c.model)
        for c in recipe.signals.classifiers
        if c.sentences
    ]  # fmt: skip
    tables = [signal for table in recipe.signals.attach for signal in attached(table).signals]
    if not own and not tables:
        return SIGNALS
    known = dict(SIGNALS)
    for signal in (*own, *tables):
        if signal.name in known:
            raise RecipeError(
                f"there are two signals {signal.name!r}: one from {known[signal.name].source}, one from "
                f"{signal.source}; rename yours"
            )
        known[signal.name] = signal
    return known


def own_groups(recipe: Recipe) -> list[OwnGroup]:
    """The groups that the recipe's code makes; loads that code, which `--allow-code` must have allowed."""
    settings = recipe.signals
    if settings.python and not recipe.allows_code:
        raise RecipeError(
            f"signals.python: the recipe runs code of its own ({', '.join(settings.python)}); "
            "pass --allow-code if you trust it"
        )
    steps = [DatatroveStep(name=s) if isinstance(s, str) else s for s in settings.datatrove]
    return [*map(_function_group, settings.python), *map(_datatrove_group, steps)]


# Functions of one's own


@cache
def _function_group(spec: str) -> OwnGroup:
    function = _loaded(spec)
    where = f"signals.python: {spec!r}"
    form = _row_type(function)
    name = spec.rpartition(":")[2]
    fields = _fields(function, spec) if form is None else [pa.field(name, form)]
    for entry in fields:
        _check_field(where, entry)
    signals = tuple(_signal(f"own_{_plain(spec)}", f, spec) for f in fields)
    source = inspect.getsourcefile(function)
    settings = {"code": hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else spec}
    columns = partial(_function_columns, spec)
    return OwnGroup(f"own_{_plain(spec)}", signals, columns, settings)


def _loaded(spec: str) -> Callable[..., Any]:
    module, colon, name = spec.partition(":")
    where = f"signals.python: {spec!r}"
    if not colon or not module or not name.isidentifier():
        raise RecipeError(f"{where} names no function; write 'package.module:function'")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise RecipeError(
            f"{where}: {error}; install the package here and where tasks run, or ship it with --py-files"
        ) from None
    if not callable(found):
        raise RecipeError(f"{where}: the module {module!r} has no function {name!r}")
    function: Callable[..., Any] = found
    return function


def _row_type(function: Callable[..., Any]) -> pa.DataType | None:
    """The Arrow type of a function of one string; None of one that takes an array."""
    hints = get_type_hints(function)
    first = next(iter(inspect.signature(function).parameters), None)
    if first is None or hints.get(first) is not str:
        return None
    # float | None, say: a null is no answer
    kinds = [
        t for t in getattr(hints.get("return"), "__args__", (hints.get("return"),)) if t in _TYPES
    ]
    if len(kinds) != 1:
        raise RecipeError(
            f"signals.python: {function.__name__!r} does not say what it returns; it takes {_FORMS}"
        )
    return _TYPES[kinds[0]]


def _fields(function: Callable[..., Any], spec: str) -> list[pa.Field]:
    """What a function of arrays returns, learnt from an empty one."""
    try:
        found = function(pa.array([], pa.string()))
    except Exception as error:
        raise RecipeError(
            f"signals.python: {spec!r} fails on an array without rows: {type(error).__name__}: {error}"
        ) from error
    if isinstance(found, pa.RecordBatch):
        return list(found.schema)
    if isinstance(found, pa.Array):
        return [pa.field(spec.rpartition(":")[2], found.type)]
    raise RecipeError(f"signals.python: {spec!r} returns {type(found).__name__}; it takes {_FORMS}")


def _check_field(where: str, entry: pa.Field) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", entry.name):
        raise RecipeError(f"{where}: {entry.name!r} is no name of a signal; those are snake case")
    kind = entry.type
    if not any(
        test(kind)
        for test in (
            pa.types.is_boolean,
            pa.types.is_string,
            pa.types.is_integer,
            pa.types.is_floating,
        )
    ):
        raise RecipeError(
            f"{where}: {entry.name!r} is {kind}; signals are numbers, strings and booleans"
        )


def _function_columns(spec: str, records: pa.RecordBatch, text: pa.Array) -> pa.RecordBatch:
    group = _function_group(spec)
    function = _loaded(spec)
    if _row_type(function) is not None:
        schema = pa.schema([(signal.name, signal.type) for signal in group.signals])
        return _row_by_row(lambda row: (function(text[row].as_py() or ""),), len(text), schema)
    return _careful(function, text, group)


def _careful(function: Callable[..., Any], text: pa.Array, group: OwnGroup) -> pa.RecordBatch:
    """The columns of a function of arrays; where it fails on all at once, row by row."""
    text = pc.fill_null(text, "")
    schema = pa.schema([(signal.name, signal.type) for signal in group.signals])

    def called(piece: pa.Array) -> list[pa.Array]:
        found = function(piece)
        columns = found.columns if isinstance(found, pa.RecordBatch) else [found]
        if [(len(c), c.type) for c in columns] != [(len(piece), t) for t in schema.types]:
            raise SourceError(
                f"signals.python: {group.signals[0].source!r} returned "
                f"{', '.join(f'{len(c)} of {c.type}' for c in columns)} for {len(piece)} texts; it must return "
                f"as many of {', '.join(map(str, schema.types))}, as for an array without rows"
            )
        return list(columns)

    try:
        return _batch(called(text), schema, np.zeros(len(text), np.bool_))
    except SourceError:
        raise
    except Exception:  # whatever the user's code raises
        return _row_by_row(
            lambda row: tuple(c[0].as_py() for c in called(text.slice(row, 1))), len(text), schema
        )


def _row_by_row(
    call: Callable[[int], tuple[Any, ...]], rows: int, schema: pa.Schema
) -> pa.RecordBatch:
    """A call a row; a row on which it raises, or returns another type, is null and has failed."""
    failed = np.zeros(rows, np.bool_)
    values: list[tuple[Any, ...]] = []
    for row in range(rows):
        try:
            found = call(row)
            for value, kind in zip(found, schema.types, strict=True):
                pa.scalar(value, kind)
        except SourceError:
            raise
        except Exception:  # whatever the user's code raises; its message may quote the text
            failed[row] = True
            found = (None,) * len(schema)
        values.append(found)
    columns = [
        pa.array([value[n] for value in values], kind) for n, kind in enumerate(schema.types)
    ]
    return _batch(columns, schema, failed)


def _batch(columns: list[pa.Array], schema: pa.Schema, failed: np.ndarray) -> pa.RecordBatch:
    clean = [_without_nan(column) for column in columns]
    return pa.RecordBatch.from_arrays([*clean, pa.array(failed)], [*schema.names, FAILED])


def _without_nan(column: pa.Array) -> pa.Array:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


# datatrove


def _datatrove_group(step: DatatroveStep) -> OwnGroup:
    kind = _datatrove_class(step.name)
    _datatrove_step(step)  # arguments are checked before anything runs
    name = "datatrove_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    types = {"filters": pa.string(), "formatters": pa.bool_()}
    part = kind.__module__.split(".")[2]
    meaning = {"filters": "why it drops; null: kept", "formatters": "whether it changes the text"}
    unit = {"filters": "text", "formatters": "true or false"}
    signal = Signal(name, f"own_{name}", types[part], unit[part], meaning[part], kind.__name__)
    settings = {"step": step.model_dump(mode="json"), "version": _version("datatrove")}
    return OwnGroup(f"own_{name}", (signal,), partial(_datatrove_columns, step, name), settings)


def _datatrove_class(name: str) -> Any:
    where = f"signals.datatrove: {name!r}"
    try:
        modules = [importlib.import_module(module) for module in _DATATROVE]
    except ImportError:
        raise RecipeError(
            f"{where}: datatrove is not installed; run: pip install 'coursepack[datatrove]'"
        ) from None
    known = {
        entry: getattr(module, entry)
        for module in modules
        for entry in dir(module)
        if inspect.isclass(getattr(module, entry))
    }
    found = known.get(name.rpartition(".")[2])
    if found is None:
        raise RecipeError(
            f"{where}: datatrove has no such class; it has {', '.join(sorted(known))}"
        )
    return found


def _datatrove_step(step: DatatroveStep) -> Any:
    try:
        return _datatrove_class(step.name)(**step.args)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"signals.datatrove: {step.name!r}: {error}") from None


@cache
def _datatrove_object(name: str, args: str) -> Any:
    """Made once a process: some load a model."""
    return _datatrove_step(DatatroveStep.model_validate_json(args))


def _datatrove_columns(
    step: DatatroveStep, name: str, records: pa.RecordBatch, text: pa.Array
) -> pa.RecordBatch:
    from datatrove.data import Document

    made = _datatrove_object(step.name, step.model_dump_json())
    filters = hasattr(made, "filter")
    ids, urls = records.column("id"), records.column("url")

    def call(row: int) -> tuple[Any, ...]:
        given = text[row].as_py() or ""
        if not filters:
            return (made.format(given) != given,)
        metadata = {"url": urls[row].as_py()} if urls[row].is_valid else {}
        found = made.filter(Document(given, ids[row].as_py() or "", metadata=metadata))
        kept, reason = found if isinstance(found, tuple) else (found, "dropped")
        return (None if kept else str(reason),)

    schema = pa.schema([(name, pa.string() if filters else pa.bool_())])
    return _row_by_row(call, len(text), schema)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _signal(group: str, entry: pa.Field, source: str) -> Signal:
    return Signal(entry.name, group, entry.type, "its own", "of the recipe's own code", source)


def _plain(spec: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", spec.lower())
