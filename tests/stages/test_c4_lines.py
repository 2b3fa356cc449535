"""C4's line rules against a twin on str, and against datatrove itself."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from short_texts import TEXTS

from coursepack.pipeline.edits import C4Lines
from coursepack.stages.c4_lines import c4_line_spans
from coursepack.stages.spans import apply, count_kinds
from coursepack.stages.web import POLICY

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
SETTINGS = (
    C4Lines(),
    C4Lines(terminal_punctuation=False),
    C4Lines(terminal_punctuation=False, min_words=0, max_word_chars=None),
    C4Lines(terminal_punctuation=False, min_words=1, max_word_chars=5, citations=False),
    C4Lines(javascript=False, policies=False, min_words=2),
)


def reason(line: str, s: C4Lines) -> str | None:
    words = line.split()
    if s.max_word_chars is not None and any(len(word) > s.max_word_chars for word in words):
        return "long_word"
    bare = CITATION.sub("", line) if s.citations else line
    if s.terminal_punctuation and (
        not bare.endswith((".", "?", "!", '"', "'")) or bare.endswith("...")
    ):
        return "no_end_punctuation"
    if len(words) < s.min_words:
        return "few_words"
    lower = "".join(c.lower() if c.isascii() else c for c in bare)
    if s.javascript and "javascript" in lower:
        return "javascript"
    return "policy" if s.policies and any(phrase in lower for phrase in POLICY) else None


def twin(text: str | None, s: C4Lines) -> tuple[str | None, dict[str, int]]:
    kept, reasons = [], dict.fromkeys(NAMES, 0)
    for line in map(str.strip, (text or "").splitlines()):
        if why := reason(line, s):
            reasons[f"line:{why}"] += 1
        else:
            kept.append(CITATION.sub("", line) if s.citations else line)
    return text if text is None else "\n".join(kept).strip(), reasons


NAMES = [
    "line:long_word",
    "line:no_end_punctuation",
    "line:few_words",
    "line:javascript",
    "line:policy",
]
PIECES = [
    *(
        "One two three.",
        "word",
        "a b c",
        ".",
        "!",
        '"',
        "...",
        "…",
        "。",
        "[1]",
        "[edit]",
        "[citation needed]",
    ),
    *(
        "[[1]2]",
        "JavaScript",
        "java[1]script",
        "uses cookies",
        "Terms of Use",
        "Privacy Policy!",
        "jav",
        "kie",
    ),
    *(
        "\n",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\x85",
        "\u2028",
        "\v",
        " ",
        "\t",
        "\xa0",
        "\x1f",
        "x" * 33,
        "é",
        "漢字",
    ),
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=20).map("".join)


@given(st.lists(st.none() | TEXT, max_size=5), st.sampled_from(SETTINGS), st.integers(0, 5))
def test_against_the_twin(texts: list[str | None], settings: C4Lines, cut: int) -> None:
    wanted = [twin(text, settings) for text in texts]
    column = pa.array(texts, pa.string())
    for part, kind in ((0, pa.string()), (cut, pa.large_string())):
        spans = c4_line_spans(column.cast(kind).slice(part), settings)
        found = apply(column.cast(kind).slice(part), spans)
        assert found.to_pylist() == [text for text, _ in wanted[part:]]
        for counts, (_, reasons) in zip(count_kinds(spans), wanted[part:], strict=True):
            by_name = dict(zip(spans.names, counts.tolist(), strict=True))
            assert {name: by_name[name] for name in NAMES} == reasons


@given(TEXT, st.sampled_from(SETTINGS))
def test_a_second_edit_changes_nothing_without_citations(text: str, settings: C4Lines) -> None:
    column = pa.array([CITATION.sub("", text).replace("[", "")])
    once = apply(column, c4_line_spans(column, settings))
    assert apply(once, c4_line_spans(once, settings)).to_pylist() == once.to_pylist()


@given(st.integers(0, 70), st.sampled_from(["javascript", *POLICY]), st.integers(0, 1 << 20))
def test_each_phrase_is_found_wherever_it_stands(before: int, phrase: str, case: int) -> None:
    mixed = "".join(c.upper() if case >> k & 1 else c for k, c in enumerate(phrase))
    column = pa.array([f"y{'y' * before} {mixed}.", f"y{'y' * before} {mixed[:-1]}."])
    spans = c4_line_spans(column, C4Lines(min_words=0))
    assert spans.offsets.tolist() == [0, 1, 1]
    assert spans.names[spans.kinds[0]] == (
        "line:javascript" if phrase == "javascript" else "line:policy"
    )


@pytest.mark.parametrize(("chars", "kept"), [(1000, True), (1001, False)])
@pytest.mark.parametrize("sign", ["x", "é", "漢"])
def test_words_that_are_too_long(chars: int, kept: bool, sign: str) -> None:
    line = f"many words before {sign * chars}. And some behind it, of {'usual length ' * 99}."
    line = line.replace(f"{sign}. ", f"{sign} ")
    column = pa.array([line])
    assert apply(column, c4_line_spans(column, C4Lines())).to_pylist() == [line if kept else ""]


def test_bytes_that_are_no_utf8() -> None:
    column = pa.array([b"\xff \xe2\x80 a b.\xc2\n\xe2\x80\n", b"\x85"], pa.binary())
    spans = c4_line_spans(column, C4Lines(terminal_punctuation=False, min_words=0))
    assert apply(column, spans).to_pylist() == [b"\xff \xe2\x80 a b.\xc2\n\xe2\x80", b"\x85"]


def datatroves(text: str, **settings: Any) -> str:
    filters = pytest.importorskip("datatrove.pipeline.filters.c4_filters")
    data = pytest.importorskip("datatrove.data")
    # Rules on documents are off; sentences would need a splitter's model.
    rules = dict.fromkeys(("filter_lorem_ipsum", "filter_curly_bracket"), False)
    document = data.Document(text=text, id="0")
    assert filters.C4QualityFilter(min_num_sentences=-1, **rules, **settings).filter(document)
    edited: str = document.text
    return edited


CASES: list[tuple[C4Lines, dict[str, Any]]] = [
    (C4Lines(), {}),
    (C4Lines(terminal_punctuation=False), {"filter_no_terminal_punct": False}),
    (
        C4Lines(citations=False, policies=False, javascript=False, min_words=5),
        {
            "remove_citations": False,
            "filter_policy": False,
            "filter_javascript": False,
            "min_words_per_line": 5,
        },
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), CASES)
def test_the_edited_text_is_datatroves(ours: C4Lines, theirs: dict[str, Any]) -> None:
    column = pa.array(TEXTS.values())
    found = apply(column, c4_line_spans(column, ours))
    assert found.to_pylist() == [datatroves(text, **theirs) for text in TEXTS.values()]


@pytest.mark.parametrize("name", ["web_en-novels", "web_en-peps", "multilingual-docs"])
def test_real_texts_are_edited_as_datatrove_does(shared: Path, name: str) -> None:
    with (
        open(shared / "data" / f"{name}.jsonl.zst", "rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
    ):
        lines = stream.read(3_000_000).decode(errors="ignore").split("\n")[:-1]
    texts = [json.loads(line)["text"][:20_000] for line in lines][:100]
    column = pa.array(texts)
    for ours, theirs in CASES[:2]:
        found = apply(column, c4_line_spans(column, ours)).to_pylist()
        assert found == [datatroves(text, **theirs) for text in texts]
