"""A document's number: 25 bits of file and 38 of place fill an int64, and no more."""

import numpy as np
import pytest

from coursepack.pipeline.documents import (
    DECISIONS,
    MAX_FILES,
    MAX_PLACE,
    MEASURED_RECORD,
    METADATA,
    PLACE_BITS,
    RECORDS,
    TOKENS,
)


@pytest.mark.parametrize("file_no", [0, 1, 12345, MAX_FILES - 1])
@pytest.mark.parametrize("place", [0, 1, 1 << 37, MAX_PLACE])
def test_doc_there_and_back(file_no: int, place: int) -> None:
    doc = (file_no << PLACE_BITS) + np.array([place])
    assert doc.dtype == np.int64
    assert doc[0] >= 0
    assert doc[0] >> PLACE_BITS == file_no
    assert doc[0] & MAX_PLACE == place


def test_the_limits_are_those_of_an_int64() -> None:
    assert np.iinfo(np.int64).max == ((MAX_FILES - 1) << PLACE_BITS | MAX_PLACE)


def test_what_tells_records_apart_goes_through_unchanged() -> None:
    for name in (*METADATA, "reject", "detail"):
        assert MEASURED_RECORD.field(name).equals(RECORDS.field(name))
    for schema in (MEASURED_RECORD, DECISIONS, TOKENS):
        assert not schema.field("doc").nullable
        assert not schema.field("content").nullable
