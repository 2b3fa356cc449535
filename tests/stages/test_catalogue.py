"""The catalogue says what the column functions return and what the record holds."""

import pyarrow as pa
import pytest
from hand_made import batch

from coursepack.pipeline.documents import MEASURED_RECORD
from coursepack.stages.catalogue import SIGNALS, group_schema
from coursepack.stages.families import FAMILIES, asked


@pytest.mark.parametrize("group", FAMILIES)
@pytest.mark.parametrize("texts", [["some text"], [None], []])
def test_signals_of_texts_are_those_of_the_catalogue(texts: list[str | None], group: str) -> None:
    found = asked(batch(pa.array(texts, pa.string())), group)
    assert found.schema == group_schema(group)


def test_record_signals_are_columns_of_the_record() -> None:
    for field in group_schema("record"):
        assert MEASURED_RECORD.field(field.name).type == field.type


def test_each_signal_is_described_once() -> None:
    groups = {"record", "language", "domain", "perplexity", "bad_words", "blocklists", *FAMILIES}
    assert {signal.group for signal in SIGNALS.values()} == groups
    assert sum(len(group_schema(group)) for group in groups) == len(SIGNALS)
    for name, signal in SIGNALS.items():
        assert name == signal.name
        assert signal.unit
        assert signal.meaning
        assert signal.source
