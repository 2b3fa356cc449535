"""The segment encoder against the library itself: ids must be equal for every document."""

import functools
import itertools

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece_models import FOREIGN, ODD, model, real_texts, trained

from coursepack.pipeline.arrow import text_buffers
from coursepack.tokenizers.segments import SegmentEncoder, is_exact
from coursepack.tokenizers.sentencepiece_proto import read_spec


@functools.cache
def encoder(proto: bytes, cache_bytes: int) -> SegmentEncoder:
    return SegmentEncoder(proto, cache_bytes)


def assert_same(proto: bytes, texts: list[str], cache_bytes: int = 8 << 20) -> None:
    offsets, ids = encoder(proto, cache_bytes).encode(*text_buffers(pa.array(texts, pa.string())))
    assert offsets.dtype == np.int64
    assert ids.dtype == np.int32
    assert len(offsets) == len(texts) + 1
    assert offsets[-1] == len(ids)
    library = sentencepiece.SentencePieceProcessor(model_proto=proto)
    for k, expected in enumerate(library.encode(texts, out_type=int) if texts else []):
        same = np.array_equal(ids[offsets[k] : offsets[k + 1]], expected)
        assert same, texts[k][:200]  # no list in the assertion: pytest takes minutes for the diff


# 1 KB: a table of 16 rows, emptied every few segments
@pytest.mark.parametrize("cache_bytes", [1 << 10, 40_000, 8 << 20])
@pytest.mark.parametrize("preset", ["gemma", "llama-2"])
def test_ids_of_real_text_are_the_librarys(preset: str, cache_bytes: int) -> None:
    texts = list(real_texts()[:6] if cache_bytes == 1 << 10 else real_texts())
    assert_same(model(preset), [*texts, *FOREIGN, *ODD], cache_bytes)
    assert_same(model(preset), [*ODD, *FOREIGN, *texts[:5]], cache_bytes)  # now warm


@pytest.mark.parametrize("preset", ["gemma", "llama-2"])
def test_presets_are_exact(preset: str) -> None:
    assert encoder(model(preset), 8 << 20).exact


PIECES = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(
        ["▁", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\x00", "<unused7>", "<unused", "</s>", "<td>"]
    ),
    st.sampled_from(
        [" " * 32, "\n" * 40, "the", " self", "def ", "():", "人人", "生而", "ßen", "12"]
    ),
)
TEXTS = st.lists(st.lists(PIECES, max_size=40).map("".join), max_size=8)


@given(TEXTS, st.sampled_from([1 << 10, 8 << 20]), st.sampled_from(["gemma", "llama-2"]))
def test_ids_of_any_unicode_are_the_librarys(
    texts: list[str], cache_bytes: int, preset: str
) -> None:
    assert_same(model(preset), texts, cache_bytes)


@given(TEXTS)
def test_overlapping_symbols(texts: list[str]) -> None:
    symbols = ("ab", "bc", "abcd", " d", "▁▁e", "the", "\n\n", "\n\n\n", "人生", "é")
    proto = trained(user_defined_symbols=symbols)
    assert encoder(proto, 1 << 12).exact
    mixed = ["abc", "abcabcd ab  e   e dd d", "xaabcdbc", "\n" * 9, *texts]
    assert_same(proto, [*mixed, *("".join(symbols) + t + t[::-1] + "abc" for t in texts)], 1 << 12)


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "unigram", "vocab_size": 900},
        {"byte_fallback": False, "character_coverage": 0.98},
    ],
    ids=str,
)
@pytest.mark.parametrize("cores", [1, 3])
def test_other_models_are_left_to_the_library(
    options: dict[str, object], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coursepack.tokenizers.segments.task_cores", lambda: cores)
    proto = trained(**options)
    assert not is_exact(read_spec(proto))
    assert_same(proto, [*real_texts()[:3], *FOREIGN, *ODD])


NORMALISING: list[dict[str, object]] = [
    {"normalization_rule_name": "nfkc"},
    {"normalization_rule_name": "nmt_nfkc_cf", "add_dummy_prefix": True},
    {"remove_extra_whitespaces": True, "add_dummy_prefix": True},
    {"treat_whitespace_as_suffix": True, "add_dummy_prefix": True},
    {"normalization_rule_name": "nfkc_cf", "user_defined_symbols": ("ﬁ", "１２", "A B", "\n\n")},
]


@pytest.mark.parametrize("options", NORMALISING, ids=str)
@given(texts=TEXTS)
def test_normalisers_go_first(options: dict[str, object], texts: list[str]) -> None:
    proto = trained(**options)
    assert encoder(proto, 1 << 12).exact
    mixed = ["ﬁ １２３ A B", " ﬁ  x ", "\u200b", "\u0344e\u0301", "\t\n \r", *texts]
    assert_same(proto, mixed, 1 << 12)


@pytest.mark.parametrize("options", NORMALISING, ids=str)
def test_normalised_real_text(options: dict[str, object]) -> None:
    assert_same(trained(**options), [*real_texts()[:5], *FOREIGN, *ODD, ""])
    assert_same(trained(**options), [])


def test_no_spaces_in_the_vocabulary() -> None:
    # a space is then three byte pieces: more ids than bytes
    proto = trained(split_by_whitespace=False, vocab_size=400, user_defined_symbols=("x",))
    assert_same(proto, ["a b  c   " * 100, " " * 5000, *FOREIGN])


def test_slices_nulls_and_empty_arrays() -> None:
    proto = model("gemma")
    array = pa.array(["first é", None, "", "second\n\n人人", "third", None], pa.large_string())
    work = encoder(proto, 8 << 20)
    library = sentencepiece.SentencePieceProcessor(model_proto=proto)
    for start in range(len(array) + 1):
        for length in range(len(array) - start + 1):
            part = array.slice(start, length)
            offsets, ids = work.encode(*text_buffers(part))
            expected = library.encode([t.as_py() or "" for t in part], out_type=int)
            assert ids.tolist() == list(itertools.chain(*expected))
            assert np.diff(offsets).tolist() == [len(e) for e in expected]


def test_rounds_that_end_inside_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coursepack.tokenizers.cache._ROUND", 7)
    assert_same(model("gemma"), ["", *FOREIGN, "", *ODD, real_texts()[0][:3000], ""])


def test_an_interrupted_batch_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    work = SegmentEncoder(model("gemma"), 1 << 20)
    batch = text_buffers(pa.array(["alpha beta gamma", *FOREIGN]))
    expected = SegmentEncoder(model("gemma"), 1 << 20).encode(*batch)[1]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SegmentEncoder, "ids", interrupt)
        with pytest.raises(KeyboardInterrupt):
            work.encode(*batch)
    assert np.array_equal(work.encode(*batch)[1], expected)
