"""Lineage: which bucket a content is in, and every place that holds it."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.workspace import Dataset
from coursepack.stages.lineage import LINEAGE, Lineage, bucket_name, bucket_of

_content = st.binary(min_size=16, max_size=16)


@given(st.lists(_content, max_size=8), st.integers(0, 16), st.integers(0, 2))
def test_a_bucket_is_the_leading_bits(contents, bits, skipped):
    column = pa.array(contents, pa.binary(16)).slice(skipped)
    expected = [int.from_bytes(c) >> (128 - bits) for c in contents[skipped:]]
    assert bucket_of(column, bits).tolist() == expected
    assert (
        bucket_of(pa.chunked_array([column.slice(0, 1), column.slice(1)]), bits).tolist()
        == expected
    )
    assert all(number < 1 << bits for number in expected)


PLACES = {
    bytes(16): [3],
    b"\x3f" + b"\xff" * 15: [1, 8],
    b"\x40" + bytes(15): [2],
    b"\xff" * 16: [5, 6, 1 << 62],
}


@pytest.mark.parametrize("bits", [0, 1, 2, 5])
def test_docs_of_contents(tmp_path, bits):
    dataset = Dataset(str(tmp_path))
    rows = [(content, doc) for content, docs in PLACES.items() for doc in docs]
    records = []
    for number in range(1 << bits):
        mine = [(c, d) for c, d in rows if int.from_bytes(c) >> (128 - bits) == number]
        with dataset.attempt(bucket_name(number), LINEAGE) as out:
            columns = list(zip(*mine, strict=True)) or [[], []]
            out.write(pa.table(columns, schema=LINEAGE))
        records.append(out.record)
    dataset.publish(records, {"bits": bits})
    lineage = Lineage.open(str(tmp_path))
    nowhere = b"\x3f" * 16
    for wanted in itertools.product([0, 1], repeat=len(PLACES)):
        asked = [content for content, take in zip(PLACES, wanted, strict=True) if take]
        assert lineage.docs([*asked, nowhere, *asked]) == {c: PLACES[c] for c in asked}
    assert lineage.docs([]) == {}


def test_there_is_no_lineage(tmp_path):
    with pytest.raises(
        WorkspaceError, match=r"there is no lineage at .*; run `coursepack run` first"
    ):
        Lineage.open(str(tmp_path))
