"""The chain of edits: order, masks, counts, and the way back to the source."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coursepack.pipeline.edits import (
    C4Lines,
    Citations,
    Credentials,
    Edits,
    EditSettings,
    Pii,
    RefinedWebLines,
)
from coursepack.stages.edits import FINDERS, Edited, edit, edit_signals

ALL = Edits(order=tuple(FINDERS)).chain  # type: ignore[arg-type]

PIECES = [
    *(
        "One two three.",
        "a b",
        "doesnâ€™t",
        "&amp;",
        "\r\n",
        "\n",
        "\n",
        "\0",
        "[1]",
        "[edit]",
        " ",
        "\t",
    ),
    *(
        "e\u0301",
        "漢字。",
        "SHOUT",
        "3 likes",
        "JavaScript is on.",
        "Read more...",
        "😀",
        "é",
        ".",
        "\x1b[0m",
    ),
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)
CHAINS = (ALL, ALL[::-1], ALL[:2], ALL[2:3], ())


def texts_of(edited: Edited) -> list[str | None]:
    found: list[str | None] = edited.text.to_pylist()
    return found


@given(st.lists(st.none() | TEXT, max_size=6), st.sampled_from(CHAINS), st.integers(0, 6))
def test_slicing_changes_nothing(
    texts: list[str | None], chain: tuple[EditSettings, ...], cut: int
) -> None:
    column = pa.array(texts, pa.string())
    whole = edit(column, chain)
    signals = edit_signals(whole).to_pylist()
    alone = [edit(pa.array([text], pa.string()), chain) for text in texts]
    assert texts_of(whole) == [text for each in alone for text in texts_of(each)]
    assert signals == [row for each in alone for row in edit_signals(each).to_pylist()]
    part = edit(column.cast(pa.large_string()).slice(cut), chain)
    assert texts_of(part) == texts_of(whole)[cut:]
    assert edit_signals(part).to_pylist() == signals[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert edit_signals(edit(chunks, chain)).to_pylist() == signals
    for row in signals:
        numbers = [value for value in row.values() if value is not None]
        assert not any(math.isnan(value) for value in numbers)
        assert row["edit_removed_ratio"] is None or 0 <= row["edit_removed_ratio"] <= 1
        assert row["edit_words_removed_ratio"] is None or row["edit_words_removed_ratio"] <= 1


@given(st.lists(st.none() | TEXT, max_size=4), st.sampled_from(CHAINS))
def test_bytes_lead_back_to_the_source(
    texts: list[str | None], chain: tuple[EditSettings, ...]
) -> None:
    edited = edit(pa.array(texts, pa.string()), chain)
    for row, (old, new) in enumerate(zip(texts, texts_of(edited), strict=True)):
        source, after = (old or "").encode(), (new or "").encode()
        there = edited.source_bytes(row, np.arange(len(after) + 1))
        assert ((there >= 0) & (there <= len(source))).all()
        assert (np.diff(there) >= 0).all()
        assert there.tolist() == carried(edited, row, len(source))
        back = edited.edited_bytes(row, np.arange(len(source) + 1))
        assert ((back >= 0) & (back <= len(after))).all()
        assert (np.diff(back) >= 0).all()


def carried(edited: Edited, row: int, size: int) -> list[int]:
    """Places of the source, carried along as each edit is made on a list of them."""
    places = list(range(size + 1))
    for spans in edited.spans:
        made, last = [], 0
        for k in range(spans.offsets[row], spans.offsets[row + 1]):
            width = len(spans.texts[spans.replacements[k]])
            made += places[last : spans.starts[k]] + [places[spans.starts[k]]] * width
            last = spans.ends[k]
        places = made + places[last:]
    return places


def test_untouched_texts_map_to_themselves_through_the_chain() -> None:
    source = "A line with three words[1].\nshort\nCafe\u0301 is a fine word.\n"
    edited = edit(pa.array([source]), ALL[:3])
    after = "A line with three words.\nCafé is a fine word."
    assert texts_of(edited) == [after]
    places = np.array([after.encode().index(word) for word in (b"three", b"Caf", b"fine")])
    there = edited.source_bytes(0, places).tolist()
    assert there == [source.encode().index(word) for word in (b"three", b"Caf", b"fine")]


def test_the_order_is_the_recipes() -> None:
    text = pa.array(["Two words and a mark. [1]\nA second line of it."])
    lines = C4Lines(citations=False)
    first = edit(text, (Citations(), lines))
    second = edit(text, (lines, Citations()))
    assert texts_of(first) == ["Two words and a mark.\nA second line of it."]
    assert texts_of(second) == ["A second line of it."]
    assert first.names == ("citations", "c4_lines")


def test_an_edit_is_made_on_the_rows_of_its_mask() -> None:
    text = pa.array(["no end[1]", "no end[1]", None, "no end[1]"])
    chain = (Citations(), C4Lines())
    masks = {
        "citations": np.array([True, False, True, True]),
        "c4_lines": np.array([False, False, True, True]),
    }
    edited = edit(text, chain, masks)
    assert texts_of(edited) == ["no end", "no end[1]", None, ""]
    assert edited.counts["citations"].tolist() == [1, 0, 0, 1]
    assert edited.counts["c4_lines"].tolist() == [0, 0, 0, 1]
    assert edited.emptied.tolist() == [False, False, False, True]
    nowhere = {"citations": np.zeros(4, bool), "c4_lines": np.zeros(4, bool)}
    assert texts_of(edit(text, chain, nowhere)) == text.to_pylist()


@pytest.mark.parametrize(
    ("texts", "chain", "emptied"),
    [
        (["[1] [2]", " ", "", "word", None], (Citations(),), [True, False, False, False, False]),
        (["no end\n\n", "An end is here."], (C4Lines(),), [True, False]),
        (["[1]"], (), [False]),
    ],
)
def test_what_is_emptied(
    texts: list[str | None], chain: Sequence[EditSettings], emptied: list[bool]
) -> None:
    assert edit(pa.array(texts, pa.string()), chain).emptied.tolist() == emptied


def test_personal_data_is_replaced_or_costs_the_document_its_place() -> None:
    token = "ghp_" + "".join(
        "aZ3kQ9xM7bTw"[k * k % 12] + "R4vC8nJ1yH5s"[k * 5 % 12] for k in range(18)
    )
    text = pa.array(["Write to jane.roe@some-company.com.", f"token {token}", "clean", None])
    edited = edit(text, (Pii(emails="redact"), Credentials()))
    assert texts_of(edited) == ["Write to <EMAIL>.", "token <KEY>", "clean", None]
    assert edited.refused.tolist() == [False] * 4
    found = edit_signals(edited).to_pydict()
    assert found["edit_pii"] == [1, 0, 0, 0]
    assert found["edit_credentials"] == [0, 1, 0, 0]
    strict = edit(text, (Pii(emails="drop", national_ids=()), Credentials(action="drop")))
    assert strict.refused.tolist() == [True, True, False, False]
    assert edit(text, (Pii(emails="keep"),)).refused.tolist() == [False] * 4


def test_signals() -> None:
    text = pa.array(["SHOUTED\nfour words stand here\n12", "plain words", "", None, "...\n!"])
    found = edit_signals(edit(text, (RefinedWebLines(), Citations()))).to_pydict()
    assert found["edited_bytes"] == [21, 11, 0, 0, 0]
    assert found["edit_spans"] == [3, 0, 0, 0, 2]
    assert found["edit_refinedweb_lines"] == found["edit_spans"]
    assert found["edit_citations"] == found["edit_unicode"] == [0] * 5
    assert found["edit_removed_ratio"] == [11 / 32, 0.0, None, None, 1.0]
    assert found["edit_words_removed_ratio"] == [2 / 6, 0.0, None, None, None]
    without = edit_signals(edit(text, (Citations(),)))
    assert without.schema == edit_signals(edit(text, ALL)).schema
    assert without.column("edit_words_removed_ratio").null_count == 5


def test_words_are_those_of_dclm() -> None:
    # fastText splits at ASCII white space alone, and what starts with punctuation is no word.
    text = pa.array(["a\xa0b “c d ٣ - e\nXX"])
    found = edit_signals(edit(text, (RefinedWebLines(),)))
    assert found.column("edit_words_removed_ratio").to_pylist() == [1 / 5]
    masked = edit(text, (RefinedWebLines(),), {"refinedweb_lines": np.array([False])})
    assert edit_signals(masked).column("edit_words_removed_ratio").to_pylist() == [None]


def test_settings() -> None:
    edits = Edits.model_validate({"order": ["c4_lines", "unicode"], "c4_lines": {"min_words": 5}})
    assert [each.edit for each in edits.chain] == ["c4_lines", "unicode"]
    assert edits.chain[0].scopes == ("general", "web")
    assert edits.chain[1].scopes == ("*",)
    assert edits.c4_lines.min_words == 5
    assert Edits().chain == ()
    with pytest.raises(ValidationError, match="'unicode' stands twice in 'order'"):
        Edits.model_validate({"order": ["unicode", "unicode"]})
    with pytest.raises(ValidationError, match="shout"):
        Edits.model_validate({"unicode": {"shout": True}})
