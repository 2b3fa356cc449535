"""Unicode repair against ftfy on whole texts: the kernel that flags lines must miss none."""

import itertools
import json
import unicodedata
from pathlib import Path

import ftfy
import pyarrow as pa
import pytest
import regex
import zstandard
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.edits import UnicodeRepair
from coursepack.stages.spans import apply, count_kinds
from coursepack.stages.unicode_repair import _YOUNG_CHARACTERS, differences, unicode_spans

DEFAULT = UnicodeRepair()
ALL = UnicodeRepair(entities=True, ligatures=True, widths=True, quotes=True)
NONE = UnicodeRepair(
    mojibake=False,
    entities=False,
    terminal_escapes=False,
    control_characters=False,
    line_breaks=False,
    nfc=False,
)


def fixed(text: str, settings: UnicodeRepair) -> str:
    return ftfy.fix_text(
        text,
        unescape_html=settings.entities,
        remove_terminal_escapes=settings.terminal_escapes,
        fix_encoding=settings.mojibake,
        fix_c1_controls=settings.mojibake,
        fix_latin_ligatures=settings.ligatures,
        fix_character_width=settings.widths,
        uncurl_quotes=settings.quotes,
        fix_line_breaks=settings.line_breaks,
        remove_control_chars=settings.control_characters,
        normalization="NFC" if settings.nfc else None,
        explain=False,
    )


def edited(texts: list[str | None], settings: UnicodeRepair = DEFAULT) -> list[str | None]:
    column = pa.array(texts, pa.string())
    found: list[str | None] = apply(column, unicode_spans(column, settings)).to_pylist()
    return found


PIECES = [
    *(
        "schÃ¶n",
        "â€œ",
        "â€",
        "â€™s",
        "Ã ",
        "Ã",
        "Â ",
        "Â",
        "ï»¿",
        "à¤•",
        "œ",
        "Œ",
        "é",
        "É",
        "ß",
        "°",
        "«",
        "»",
    ),
    *(
        "“",
        "”",
        "’",
        "—",
        "€",
        "£",
        "²",
        "½",
        "¨",
        "\x80",
        "\x85",
        "\x92",
        "\u2028",
        "\xa0",
        "\xad",
    ),
    *("&amp;", "&lt;", "&#x2019;", "&#8217;", "&nosuch;", "&EACUTE;", "&", ";", "<", "<b>", "amp;"),
    *(
        "\r\n",
        "\r",
        "\n",
        "\n",
        "\n",
        "\t",
        "\f",
        "\0",
        "\x1b[31m",
        "\x1b",
        "\x7f",
        "\ufeff",
        "\ufffc",
    ),
    *(
        "e\u0301",
        "\u0301",
        "\u0323",
        "\u0958",
        "\u09c7\u09be",
        "\u1100\u1161",
        "가",
        "\u212b",
        "\u1d15e",
    ),
    *(
        "ﬁ",
        "ĳ",
        "Ａ",
        "，",
        "\u3000",
        "ﾊﾞ",
        "漢",
        "Привет",
        "вЂ",
        "Ђ",
        "Γ",
        "ΒΓ",
        "×",
        "Ø§",
        "plain",
        " ",
        "a",
    ),
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=14).map("".join)
OLD = TEXT.filter(lambda text: not regex.search(_YOUNG_CHARACTERS, text))


@given(st.lists(st.none() | OLD, max_size=5), st.sampled_from([DEFAULT, ALL, NONE]))
def test_the_text_is_ftfys(texts: list[str | None], settings: UnicodeRepair) -> None:
    wanted = [text if text is None else fixed(text, settings) for text in texts]
    assert edited(texts, settings) == wanted
    column = pa.array(["x", *texts], pa.string()).slice(1)
    assert apply(column, unicode_spans(column, settings)).to_pylist() == wanted


@given(OLD, st.sampled_from([UnicodeRepair(entities=False), ALL]))
def test_a_second_repair_changes_nothing(text: str, settings: UnicodeRepair) -> None:
    once = edited([regex.sub("[\r\x85\u2028\u2029]", "", text)], settings)
    assert edited(once, settings) == once


def test_all_neighbours_that_may_be_mojibake_are_flagged() -> None:
    # One character of each category, and all that ftfy's pattern names by themselves, in texts of four.
    some = {
        regex.findall(f"[{c}]", "".join(map(chr, range(0x80, 0x2600))))[0]
        for c in MOJIBAKE_CATEGORIES.values()
    }
    some |= set("œÂÃÎÐØÙ×²à√≈‚ÄвЂВРГўΒΞβ€ā™°£®»–") | set("a Z,\xa0")
    texts = ["".join(four) for four in itertools.product(sorted(some), repeat=2)]
    around = ("{}", "a{}", " {}a", "Ø{}", "{}В", "{}ØŸ", "{} ", "é{}2", "”{}a")
    texts = [frame.format(pair) for pair in texts for frame in around]
    bad = [text for text in texts if is_bad(text)]
    assert len(bad) > 3000
    reached: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "coursepack.stages.unicode_repair.is_bad", lambda line: bool(reached.append(line))
        )
        unicode_spans(pa.array(bad), UnicodeRepair(nfc=False))
    missed = {text for text in bad if not regex.search("[\x80-\x9f]", text)} - set(reached)
    assert not missed


def test_normalization_does_not_depend_on_the_interpreter() -> None:
    """Whatever takes part in NFC is known to this Python, or is on the list of what came later."""
    every = "".join(map(chr, itertools.chain(range(0xD800), range(0xE000, 0x110000))))
    part = regex.findall(r"[\p{NFC_QC=N}\p{NFC_QC=M}\P{ccc=0}\p{DT=can}]", every)
    unknown = [c for c in part if unicodedata.category(c) == "Cn"]
    assert [c for c in unknown if not regex.match(_YOUNG_CHARACTERS, c)] == []
    young = regex.findall(_YOUNG_CHARACTERS, every)
    assert all(c in part for c in young)
    texts: list[str | None] = [f"e\u0301 {c}\u0301 \r\nﬁe\u0301\r\n" for c in young]
    assert edited(texts) == [f"e\u0301 {c}\u0301 \nﬁé\n" for c in young]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Mona Lisa doesnâ€™t have eyebrows.", "The Mona Lisa doesn’t have eyebrows."),
        ("“curly” ‘quotes’ ﬁnd，全角", "“curly” ‘quotes’ ﬁnd，全角"),
        ("Tom &amp; Jerry\n<b>\nTom &amp; Jerry", "Tom & Jerry\n<b>\nTom &amp; Jerry"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("\x1b[1mbold\x1b[0m\0", "bold"),
        ("Ame\u0301lie", "Amélie"),
    ],
)
def test_defaults(text: str, wanted: str) -> None:
    assert edited([text]) == [wanted]


def test_spans_are_small_and_named() -> None:
    text = "A long line with doesnâ€™t in it, and Tom &amp; Jerry behind.\nAnother line.\r\n"
    column = pa.array([text])
    spans = unicode_spans(column, DEFAULT)
    raw = text.encode()
    found = [
        (raw[start:end].decode(), spans.texts[k].decode())
        for start, end, k in zip(spans.starts, spans.ends, spans.replacements, strict=True)
    ]
    assert found == [("â€™", "’"), ("amp;", ""), ("\r\n", "\n")]
    assert dict(zip(spans.names, count_kinds(spans)[0].tolist(), strict=True)) == {
        "line_break": 1,
        "unicode": 2,
    }


@given(st.text("abcé", max_size=60), st.text("abcé", max_size=60))
def test_differences_make_the_new_text(old: str, new: str) -> None:
    made, last = "", 0
    for start, end, text in differences(old, new):
        assert last <= start <= end
        made, last = made + old[last:start] + text, end
    assert made + old[last:] == new
    assert differences(old, old) == []


def test_bytes_that_are_no_utf8_stay() -> None:
    column = pa.array([b"\xff\x00\r\nfine\x00\r\n", b"\xe2\x80"], pa.binary())
    found = apply(column, unicode_spans(column, DEFAULT)).to_pylist()
    assert found == [b"\xff\x00\r\nfine\n", b"\xe2\x80"]


@pytest.mark.parametrize("name", ["multilingual-docs", "multilingual-udhr-bible", "web_en-peps"])
def test_real_texts(shared: Path, name: str) -> None:
    with (
        open(shared / "data" / f"{name}.jsonl.zst", "rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
    ):
        lines = stream.read(3_000_000).decode(errors="ignore").split("\n")[:-1]
    texts = [json.loads(line)["text"][:3000] for line in lines][:150]
    assert edited(texts) == [fixed(text, DEFAULT) for text in texts]
