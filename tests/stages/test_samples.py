"""The sample that people see: chosen by hash, cut at a character, redacted, never restricted."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.hashing import choice, content_hash
from coursepack.stages.samples import HEAD_BYTES, OF_A_BATCH, heads_of, redacted, sample_columns


def sampled(texts, access=None, urls=None):
    text = pa.array(texts, pa.string())
    nothing = pa.nulls(len(texts), pa.string())
    records = pa.RecordBatch.from_pydict(
        {
            "access": pa.array(access or nothing, pa.string()),
            "url": pa.array(urls or nothing, pa.string()),
            "path": nothing,
            "id": pa.array([f"i{n}" for n in range(len(texts))], pa.string()),
        }
    )
    return sample_columns(records, content_hash(text), text).to_pydict()


def test_the_least_by_hash_are_chosen():
    texts = [f"text {n}" for n in range(100)]
    lots = choice(0, "samples", content_hash(pa.array(texts)))
    rows = np.sort(np.argsort(lots)[:OF_A_BATCH]).tolist()
    found = sampled(texts)
    assert found["row"] == rows
    assert found["lot"] == lots[rows].tolist()
    assert found["head"] == [texts[row] for row in rows]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_restricted_and_rejected_records_are_never_shown(size):
    texts = ["open", None, "closed", "own word"][: size + 1]
    found = sampled(texts, [None, None, "restricted", "internal"][: size + 1])
    assert found["head"] == [t for t in texts if t in ("open", "own word")]
    assert sampled([])["row"] == []


def test_personal_data_and_credentials_are_replaced():
    mail, key = "jo.doe@gmail.com", "AKIA" + "QYLPMN5HHHFPZAM2"
    [head] = sampled([f"Write to {mail}, or use {key} for it."])["head"]
    assert mail not in head
    assert key not in head
    assert head.startswith("Write to <EMAIL>, or use <")


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=12)), max_size=5),
    st.integers(0, 9),
    st.integers(0, 2),
)
def test_heads_end_at_characters(texts, size, skipped):
    array = pa.array(texts, pa.string()).slice(skipped)
    found = heads_of(array, size).to_pylist()
    for head, text in zip(found, array.to_pylist(), strict=True):
        whole = (text or "").encode()
        assert whole.startswith(head.encode())
        assert len(head.encode()) <= size
        rest = whole[len(head.encode()) :].decode()
        assert not rest or len(head.encode()) + len(rest[0].encode()) > size


def test_a_head_is_long_enough_to_read():
    [head] = sampled(["人" * 5000])["head"]
    assert HEAD_BYTES - 3 < len(head.encode()) <= HEAD_BYTES
    assert redacted(pa.array(["plain"])).to_pylist() == ["plain"]


def test_what_the_cut_splits_is_redacted_before_it():
    key, mail = "AKIA" + "QYLPMN5HHHFPZAM2", "jo.doe.longname@gmail.com"
    for secret in (key, mail):
        for before in range(HEAD_BYTES - len(secret) - 2, HEAD_BYTES, 5):
            [head] = sampled(["word " * (before // 5) + " " + secret + " and more " * 50])["head"]
            assert not any(secret[k : k + 8] in head for k in range(len(secret) - 7))
            assert len(head.encode()) <= HEAD_BYTES


def test_names_are_redacted_too():
    found = sampled(["a", "b"], urls=["http://x.org/u?mail=jo.doe@gmail.com", None])
    assert found["name"][1] == "i1"
    assert "jo.doe" not in found["name"][0]


@pytest.mark.parametrize("said", ["restricted", "Restricted"])
def test_records_may_say_that_they_are_restricted(said):
    assert sampled(["a", "b"], access=[said, "internal"])["head"] == ["b"]
