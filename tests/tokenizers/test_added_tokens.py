"""Added tokens in texts, against a search in plain Python; and rows that are replaced."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.arrow import binary_array, text_buffers
from coursepack.tokenizers.added_tokens import TEXT, Added, Finder, Pieces, replace_rows

CONTENT = st.text("ab<é", min_size=1, max_size=4)
TEXTS = st.lists(st.text("ab<é ", max_size=20), max_size=6)


def found(text: bytes, added: list[Added]) -> list[tuple[bytes, int]]:
    """Pieces of a text with the tokens they are: the longest at each place, special ones passed over."""
    pieces, rest, at = [], 0, 0
    while at < len(text):
        here = [one for one in added if text.startswith(one.content, at)]
        if not here:
            at += 1
            continue
        best = max(here, key=lambda one: len(one.content))
        if not best.special:
            pieces += [(text[rest:at], TEXT), (best.content, best.token)]
            rest = at + len(best.content)
        at += len(best.content)
    return [*pieces, (text[rest:], TEXT)]


@given(TEXTS, st.dictionaries(CONTENT, st.booleans(), max_size=6))
def test_pieces(texts: list[str], contents: dict[str, bool]) -> None:
    added = [
        Added(content.encode(), token, special)
        for token, (content, special) in enumerate(contents.items())
    ]
    array = pa.array(["skipped", *texts]).slice(1)
    offsets, data = text_buffers(array)
    rows = Pieces.of_rows(offsets)
    matches, odd = Finder(added).matches(rows.offsets, data, rows.tokens)
    cut = rows.cut(matches)
    assert not odd.any()
    assert Finder(added).finds == (not all(contents.values()))
    for row, text in enumerate(texts):
        numbers = range(cut.first[row], cut.first[row + 1])
        mine = [
            (data[cut.offsets[i] : cut.offsets[i + 1]].tobytes(), int(cut.tokens[i]))
            for i in numbers
        ]
        assert mine == found(text.encode(), added)


def test_a_second_search_leaves_tokens_alone() -> None:
    offsets, data = text_buffers(pa.array(["a<x>b<", "<", ""]))
    pieces = Pieces.of_rows(offsets)
    pieces = pieces.cut(Finder([Added(b"<x>", 5, False)]).matches(offsets, data, pieces.tokens)[0])
    second = Finder([Added(b"<", 6, False), Added(b"b", 7, False)])
    pieces = pieces.cut(second.matches(pieces.offsets, data, pieces.tokens)[0])
    texts = [data[a:b].tobytes() for a, b in zip(pieces.offsets, pieces.offsets[1:], strict=False)]
    kept = [(text, token) for text, token in zip(texts, pieces.tokens, strict=True) if text]
    assert kept == [(b"a", TEXT), (b"<x>", 5), (b"b", 7), (b"<", 6), (b"<", 6)]
    assert pieces.first.tolist() == [0, 7, 10, 11]


def test_odd_tokens_mark_their_piece() -> None:
    offsets, data = text_buffers(pa.array(["a", "xox", "o"]))
    finder = Finder([Added(b"o", 1, False, odd=True), Added(b"x", 2, True, odd=True)])
    _, odd = finder.matches(offsets, data, Pieces.of_rows(offsets).tokens)
    assert odd.tolist() == [False, True, True]


@given(st.lists(st.binary(max_size=5), max_size=8), st.data())
def test_replaced_rows(rows: list[bytes], data: st.DataObject) -> None:
    chosen = [i for i in range(len(rows)) if data.draw(st.booleans())]
    new = [data.draw(st.binary(max_size=7)) for _ in chosen]
    offsets, values = text_buffers(pa.array([b"before", *rows], pa.binary()).slice(1))
    new_offsets, new_values = text_buffers(pa.array(new, pa.binary()))
    replaced = replace_rows(offsets, values, np.array(chosen, np.int64), new_offsets, new_values)
    for number, text in zip(chosen, new, strict=True):
        rows[number] = text
    assert binary_array(*replaced).to_pylist() == rows
