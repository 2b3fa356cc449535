"""Signals that code outside coursepack makes: functions of the user's own, and datatrove's filters by name.

They become signals like any other: typed, measured once, usable in rules, mixtures and `whatif`. A function
takes one string and returns a number, a string or a boolean (both annotated); or a string array of Arrow and
returns an array as long, or a record batch of several columns. What it cannot say of a text is null: a text on which
it fails is null and counted, one that makes NaN is null. A rejected record is given as the empty text, and is no
failure. The code must be installed where tasks run.
"""

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec
from typing import Any, get_type_hints

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.recipe import DatatroveStep, Recipe
from coursepack.stages.attach import attached, without_nan
from coursepack.stages.catalogue import SIGNALS, Signal, check_name

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
_FORMS = "one text and a return type (def f(text: str) -> float), or an Arrow array in and out"
_DATATROVE = ("datatrove.pipeline.filters", "datatrove.pipeline.formatters")
FAILED = "failed"  # a column of own groups: texts on which the code raised an error
_ERRORS = b"errors"  # in the metadata of a batch: how many of them, by class of the error


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
    for one in recipe.signals.classifiers:
        check_name("signals.classifiers", one.name)
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
    groups = [*map(_function_group, settings.python), *map(_datatrove_group, steps)]
    by_name: dict[str, OwnGroup] = {}
    for group in groups:
        if other := by_name.get(group.name):
            raise RecipeError(
                f"signals: {other.signals[0].source!r} and {group.signals[0].source!r} would both be measured as "
                f"{group.name!r}; name each function once, rename one of two alike, and give one of two steps of "
                "datatrove a `signal` of its own"
            )
        by_name[group.name] = group
    return groups


def errors_of(columns: pa.RecordBatch) -> dict[str, int]:
    """How many texts of a batch the code failed on, by class of the error; of the columns of an OwnGroup."""
    found: dict[str, int] = orjson.loads((columns.schema.metadata or {}).get(_ERRORS, b"{}"))
    return found


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
    columns = partial(_function_columns, spec, pa.schema(fields))
    return OwnGroup(f"own_{_plain(spec)}", signals, columns, {"code": _code(spec, function)})


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


def _code(spec: str, function: Callable[..., Any]) -> dict[str, str]:
    """sha256 of the code that decides: the packages of the module that is named, and of the one that defines it.

    What these import of other packages does not count.
    """
    modules = {spec.partition(":")[0], getattr(inspect.unwrap(function), "__module__", None)}
    return {
        spec.name: hashlib.sha256(_source(spec)).hexdigest()
        for module in sorted(filter(None, modules))
        for spec in _package(module)
    }


def _package(module: str) -> Iterator[ModuleSpec]:
    """The modules of the outermost package around a module; nothing is imported but the packages above it."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:end]))
        except (ImportError, ValueError):  # a name that is no module's, as compiled code may bear
            return
        if spec and spec.has_location:  # a namespace has none, and may hold what is not theirs
            yield from _inside(spec)
            return


def _inside(spec: ModuleSpec) -> Iterator[ModuleSpec]:
    yield spec
    for info in pkgutil.iter_modules(spec.submodule_search_locations or []):
        name = f"{spec.name}.{info.name}"
        if found := info.module_finder.find_spec(name, None):
            yield from _inside(found)


def _source(spec: ModuleSpec) -> bytes:
    """A module's file, in a folder or a zip; empty where it has none."""
    read = getattr(spec.loader, "get_data", None)
    found: bytes = read(spec.origin) if read and spec.has_location else b""
    return found


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, of what it wraps, or of an object that is called."""
    called: Any = function
    while isinstance(called, partial):
        called = called.func
    if not inspect.isroutine(called) and not hasattr(called, "__wrapped__"):
        called = called.__call__
    try:
        return get_type_hints(called)
    except NameError:  # some name is there for type checkers alone
        plain = {kind.__name__: kind for kind in _TYPES}
        said = inspect.unwrap(called).__annotations__
        return {
            name: plain.get(str(hint).replace(" ", "").removesuffix("|None"), hint)
            for name, hint in said.items()
        }


def _row_type(function: Callable[..., Any]) -> pa.DataType | None:
    """The Arrow type of a function of one string; None of one that takes an array."""
    hints = _hints(function)
    first = next(iter(inspect.signature(function).parameters), None)
    if first is None or hints.get(first) is not str:
        return None
    # float | None, say: a null is no answer
    kinds = [
        t for t in getattr(hints.get("return"), "__args__", (hints.get("return"),)) if t in _TYPES
    ]
    if len(kinds) != 1:
        name = getattr(function, "__name__", str(function))
        raise RecipeError(
            f"signals.python: {name!r} does not say what it returns; it takes {_FORMS}"
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
    check_name(where, entry.name)
    kind = entry.type
    if pa.types.is_null(kind):
        raise RecipeError(
            f"{where}: {entry.name!r} has no type for an array without rows; give it one: pa.array(..., pa.int64())"
        )
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


def _function_columns(
    spec: str, schema: pa.Schema, records: pa.RecordBatch, text: pa.Array
) -> pa.RecordBatch:
    function = _loaded(spec)
    if _row_type(function) is not None:
        return _row_by_row(lambda row: (function(text[row].as_py() or ""),), text, schema)
    return _careful(function, spec, text, schema)


def _careful(
    function: Callable[..., Any], spec: str, text: pa.Array, schema: pa.Schema
) -> pa.RecordBatch:
    """The columns of a function of arrays; where it fails on all at once, row by row."""
    # of the type it was asked about: the same function returns others for text that was edited
    filled = pc.fill_null(text.cast(pa.string()), "")

    def called(piece: pa.Array) -> list[pa.Array]:
        found = function(piece)
        columns = found.columns if isinstance(found, pa.RecordBatch) else [found]
        if [(len(c), c.type) for c in columns] != [(len(piece), t) for t in schema.types]:
            raise SourceError(
                f"signals.python: {spec!r} returned "
                f"{', '.join(f'{len(c)} of {c.type}' for c in columns)} for {len(piece)} texts; it must return "
                f"as many of {', '.join(map(str, schema.types))}, as for an array without rows"
            )
        return list(columns)

    try:
        return _batch(called(filled), schema, [None] * len(text))
    except SourceError:
        raise
    except Exception:  # whatever the user's code raises
        return _row_by_row(
            lambda row: tuple(c[0].as_py() for c in called(filled.slice(row, 1))), text, schema
        )


def _row_by_row(
    call: Callable[[int], tuple[Any, ...]], text: pa.Array, schema: pa.Schema
) -> pa.RecordBatch:
    """A call a row; one that raises, or returns another type, is null, and has failed where there is a text."""
    errors: list[str | None] = [None] * len(text)
    values: list[tuple[Any, ...]] = []
    for row, is_text in enumerate(text.is_valid().to_pylist()):
        try:
            found = call(row)
            for value, kind in zip(found, schema.types, strict=True):
                pa.scalar(value, kind)
        except SourceError:
            raise
        except Exception as error:  # whatever the user's code raises
            # its message may quote the text
            errors[row] = type(error).__name__ if is_text else None
            found = (None,) * len(schema)
        values.append(found)
    columns = [
        pa.array([value[n] for value in values], kind) for n, kind in enumerate(schema.types)
    ]
    return _batch(columns, schema, errors)


def _batch(
    columns: list[pa.Array], schema: pa.Schema, errors: Sequence[str | None]
) -> pa.RecordBatch:
    clean = [without_nan(column) for column in columns]
    failed = pa.array([error is not None for error in errors], pa.bool_())
    found = pa.RecordBatch.from_arrays([*clean, failed], [*schema.names, FAILED])
    return found.replace_schema_metadata({_ERRORS: orjson.dumps(Counter(filter(None, errors)))})


# datatrove


def _datatrove_group(step: DatatroveStep) -> OwnGroup:
    kind = _datatrove_class(step.name)
    made = _datatrove_object(step.model_dump_json())  # arguments are checked before anything runs
    # C4's filter of words has a generator, and uses it only to keep a fraction
    if hasattr(made, "uniform") and getattr(made, "keep_fraction", 1) > 0:
        raise RecipeError(
            f"signals.datatrove: {step.name!r} draws random numbers, which another run would draw otherwise; limit "
            "documents by a quota, or set `keep_fraction` to 0"
        )
    usual = "datatrove_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    name = step.signal or usual
    check_name(f"signals.datatrove: {step.name!r}", name)
    types = {"filters": pa.string(), "formatters": pa.bool_()}
    part = kind.__module__.split(".")[2]
    meaning = {"filters": "why it drops; null: kept", "formatters": "whether it changes the text"}
    unit = {"filters": "text", "formatters": "true or false"}
    signal = Signal(name, f"own_{name}", types[part], unit[part], meaning[part], kind.__name__)
    said = step.model_dump(mode="json", exclude={"signal"})
    settings = {"step": said, "version": _version("datatrove")}
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
    if found.__name__ == "LambdaFilter":
        raise RecipeError(
            f"{where} wants a function, which a recipe cannot hold; name the function in signals.python"
        )
    return found


def _datatrove_step(step: DatatroveStep) -> Any:
    try:
        return _datatrove_class(step.name)(**step.args)
    except (TypeError, ValueError, ImportError, OSError) as error:  # some download what they need
        raise RecipeError(f"signals.datatrove: {step.name!r}: {error}") from error


@cache
def _datatrove_object(step: str) -> Any:
    """Made once a process, from a DatatroveStep as JSON: some load a model."""
    return _datatrove_step(DatatroveStep.model_validate_json(step))


def _datatrove_columns(
    step: DatatroveStep, name: str, records: pa.RecordBatch, text: pa.Array
) -> pa.RecordBatch:
    from datatrove.data import Document

    made = _datatrove_object(step.model_dump_json())
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
    return _row_by_row(call, text, schema)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _signal(group: str, entry: pa.Field, source: str) -> Signal:
    return Signal(entry.name, group, entry.type, "its own", "of the recipe's own code", source)


def _plain(spec: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", spec.lower())
