"""Signals of a package outside coursepack, as a user would write them."""

import functools
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from acme_types import Array, Score


def table_refs(text: str) -> int:
    return text.lower().count(" join ")


def shouting(text: str) -> float | None:
    return sum(c.isupper() for c in text) / len(text) if text else None


def halves(text: pa.Array) -> pa.RecordBatch:
    size = pc.utf8_length(text)
    return pa.RecordBatch.from_pydict({"half": pc.divide(size, 2), "odd": pc.bit_wise_and(size, 1)})


def length(text: pa.Array) -> pa.Array:
    return pc.utf8_length(text)


def picky(text: str) -> float:
    if "bad" in text:
        raise ValueError(f"cannot read {text}")
    return float("nan") if "nan" in text else 1.0


def picky_array(text: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring(text, "bad")).as_py():
        raise ValueError("cannot read one of them")
    return pc.utf8_length(text)


def broken(text: str) -> int:
    raise KeyError(text)


def empty_is_an_error(text: str) -> float:
    return text.count("a") / len(text)


def empty_is_an_error_array(text: pa.Array) -> pa.Array:
    if pc.any(pc.equal(pc.utf8_length(text), 0)).as_py():
        raise ValueError("one is empty")
    return pc.utf8_length(text)


@functools.lru_cache
def cached(text: str) -> int:
    return len(text)


class Counting:
    def __init__(self, what: str) -> None:
        self.what = what

    def __call__(self, text: str) -> int:
        return text.count(self.what)


joins = Counting("JOIN")
bads = functools.partial(Counting.__call__, Counting("bad"))


def words(text: "str") -> "int | None":
    return len(text.split()) or None


def with_option(text: str, score: "Score | None" = None) -> "int|None":
    return len(text)


def of_checkers(text: "Array") -> "Array":
    return pc.utf8_length(text)


def of_no_type(text: pa.Array) -> pa.Array:
    return pa.array([len(t) for t in text.to_pylist()])


def row(text: str) -> int:
    return 1


def short(text: pa.Array) -> pa.Array:
    return text.slice(1).cast(pa.string()) if len(text) else text


def unsaid(text: str):
    return 1


def nested(text: pa.Array) -> pa.Array:
    return pa.array([[1]] * len(text), pa.list_(pa.int64()))
