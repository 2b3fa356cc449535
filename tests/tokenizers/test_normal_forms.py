"""Rows that are passed over are in normal form already, as the library has it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from coursepack.pipeline.arrow import text_buffers
from coursepack.tokenizers.code_points import points
from coursepack.tokenizers.normal_forms import FORMS, restless, rows_to_normalise


def normalise(form: str, text: str) -> str:
    return str(getattr(normalizers, form)().normalize_str(text))


def passed(form: str, texts: list[str]) -> list[str]:
    offsets, data = text_buffers(pa.array(texts, pa.string()))
    return np.delete(np.array(texts, object), rows_to_normalise(form, offsets, data)).tolist()


MARKS = "\u0301\u0327\u0334\u0344\u1161\u11a8\u3099\u0f73\u094d\u0654\U0001d165\U00011127"
TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("ae가ᄀ" + MARKS))
)


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(TEXT, min_size=1, max_size=8))
def test_what_is_passed_over_is_normal(form: str, texts: list[str]) -> None:
    for text in passed(form, texts):
        assert normalise(form, text) == text


@pytest.mark.parametrize("form", FORMS)
def test_most_texts_are_passed_over(form: str) -> None:
    texts = ["", "plain\n", "Straße, größer", "Все люди", "人人生而自由", "가나다", "naïve"]
    assert passed(form, texts) == texts
    assert passed(form, ["e\u0301", "\u1100\u1161", "a\u0334", "\u212b"]) == []
    assert passed("NFKC", ["ﬁ", "²", "１"]) == []
    assert passed("NFC", ["ﬁ", "²", "１"]) == ["ﬁ", "²", "１"]


@pytest.mark.parametrize("form", FORMS)
def test_quiet_code_points_join_nothing(form: str) -> None:
    """No two of them, side by side, are changed: checked for each behind each of a few that take marks."""
    quiet = "".join(point for point in points() if not restless(form)[ord(point)])
    assert 1_500 < len(points()) - len(quiet) < 7_000
    for before in "aeoN가\u0391\u06d2\u0928\u304b":
        joined = before.join(quiet)
        assert normalise(form, joined) == joined
