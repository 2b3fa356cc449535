"""Fields of one parsed JSON record: found by path, and written as the strings of `RECORDS`.

Metadata never rejects a document: what is not a string becomes its JSON text, and what is not
Unicode becomes U+FFFD.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from coursepack.pipeline.documents import METADATA
from coursepack.stages.layouts import Layout, subset_of_path

DETAIL_CHARACTERS = 200

Keys = tuple[str, ...]
Row = tuple[str | None, ...]  # text, then METADATA, then reject and detail

_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {list: "a list", dict: "an object", bool: "true or false", str: "a string"}


class Reject(NamedTuple):
    """Why a record cannot be a document: one of REJECTS, and what was found instead."""

    reason: str
    detail: str

    def row(self) -> Row:
        """The row of a record of which nothing else is known."""
        return (None, *(None for _ in METADATA), self.reason, self.detail[:DETAIL_CHARACTERS])


class Asked(NamedTuple):
    """A field of METADATA that the layout places: its number, where it may be, and how it is written."""

    place: int
    keys: Keys  # where all of its paths are one key long, those; find() takes ten times as long
    paths: tuple[Keys, ...]
    write: Callable[[Any], str | None]


class Fields(NamedTuple):
    """A layout for one file: the candidate paths of the text and of METADATA, as keys to follow."""

    text: tuple[Keys, ...]
    metadata: tuple[Asked, ...]
    defaults: tuple[str | None, ...]  # of METADATA, where the record is silent


def fields_of(layout: Layout, url: str) -> Fields:
    """The fields of the records in the file at `url`."""
    asked = (
        Asked(
            place,
            tuple(path[0] for path in paths) if all(len(path) == 1 for path in paths) else (),
            paths,
            license_text if name == "license" else metadata_text,
        )
        for place, name in enumerate(METADATA)
        if (paths := split_paths(layout, name))
    )
    return Fields(split_paths(layout, "text"), tuple(asked), metadata_defaults(layout, url))


def metadata_defaults(layout: Layout, url: str) -> tuple[str | None, ...]:
    """What METADATA is where the records of the file at `url` do not say."""
    known = {"subset": subset_of_path(layout, url), **layout.constants}
    return tuple(known.get(name) for name in METADATA)


def split_paths(layout: Layout, name: str) -> tuple[Keys, ...]:
    """The candidate paths of one of our names, as keys to follow."""
    return tuple(tuple(path.split(".")) for path in layout.paths(name))


def json_row(line: bytes, fields: Fields) -> Row:
    """One line of JSON as a row: a text, or a reject.

    orjson parses it; what that refuses is tried once more with the standard library, which lets
    through NaN, and lone surrogates and bytes that are not UTF-8 where they are not in the text.
    """
    exact = True
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        exact = False
        try:
            record = json.loads(line.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            return Reject("broken_record", f"not JSON: {error}").row()
    if type(record) is not dict:
        return Reject("broken_record", f"{_kind(record)}, not a JSON object").row()
    text = find(record, fields.text)
    metadata = list(fields.defaults)
    for place, keys, paths, write in fields.metadata:
        value = None if keys else find(record, paths)
        for key in keys:
            value = record.get(key)
            if value is not None:
                break
        if value is not None and (said := write(value)) is not None:
            metadata[place] = said
    reject = _text_reject(text, exact) or (_missing(record, fields) if text is None else None)
    if reject is None:
        return (text, *metadata, None, None)
    return (None, *metadata, reject.reason, _unicode(reject.detail)[:DETAIL_CHARACTERS])


def plain_row(text: bytes, metadata: tuple[str | None, ...] = (None,) * len(METADATA)) -> Row:
    """Bytes that are a document as they stand, and what is known of it."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        return Reject("invalid_utf8", f"byte {error.start} of the record: {error.reason}").row()
    reject = _text_reject(decoded, True)
    return reject.row() if reject else (decoded, *metadata, None, None)


def find(record: dict[str, Any], paths: tuple[Keys, ...]) -> Any:
    """The first value that is present and not null, or None.

    A string on the way is parsed as JSON, once: its value replaces it in `record`.
    """
    for keys in paths:
        value: Any = record
        for depth, key in enumerate(keys):
            value = value.get(key)
            if depth + 1 == len(keys):
                if value is not None:
                    return value
            elif type(value) is str:
                value = _replace(record, keys[: depth + 1], _parsed(value))
            if type(value) is not dict:
                break
    return None


def metadata_text(value: Any) -> str | None:
    """A metadata value as a string; its JSON text where it is none, null where absent."""
    if value is None or (type(value) is str and value.isascii()):
        return value
    if type(value) is str:
        return _unicode(value)
    return _unicode(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def license_text(value: Any) -> str | None:
    """Names of licences joined by commas; lists may be wrapped as BigQuery and Parquet do.

    `["MIT"]`, `{"list": [{"item": "MIT"}]}` and `"MIT"` are all "MIT"; none at all is null.
    """
    if type(value) is dict and type(value.get("list")) is list:
        value = value["list"]
    if type(value) is list:
        names = [_only(item) for item in value]
        if all(type(name) is str for name in names):
            return _unicode(",".join(names)) or None
    return metadata_text(value)


def _text_reject(text: Any, exact: bool) -> Reject | None:
    if text is None:
        return None
    if type(text) is not str:
        return Reject("wrong_type", f"the text is {_kind(text)}")
    if not text or text.isspace():
        return Reject("empty", f"{len(text)} characters of white space")
    if not exact and (found := _SURROGATE.search(text)):
        return Reject("invalid_utf8", f"character {found.start()} of the text is not Unicode")
    return None


def _missing(record: dict[str, Any], fields: Fields) -> Reject:
    wanted = " or ".join(repr(".".join(keys)) for keys in fields.text)
    present = ", ".join(repr(name) for name in list(record)[:20])
    return Reject("no_text", f"{wanted} is missing or null; the fields are {present or 'none'}")


def _replace(record: dict[str, Any], keys: Keys, value: Any) -> Any:
    parent = record
    for key in keys[:-1]:
        parent = parent[key]
    parent[keys[-1]] = value
    return value


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _only(item: Any) -> Any:
    return next(iter(item.values())) if type(item) is dict and len(item) == 1 else item


def _unicode(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), "a number")
