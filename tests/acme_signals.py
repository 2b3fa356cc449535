"""Signals of a package outside coursepack, as a user would write them."""

import pyarrow as pa
import pyarrow.compute as pc


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


def short(text: pa.Array) -> pa.Array:
    return text.slice(1).cast(pa.string()) if len(text) else text


def unsaid(text: str):
    return 1


def nested(text: pa.Array) -> pa.Array:
    return pa.array([[1]] * len(text), pa.list_(pa.int64()))
