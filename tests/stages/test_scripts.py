"""Scripts and kinds of characters against a twin on str, and what single texts must give."""

import collections

import pyarrow as pa
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coursepack.stages import scripts
from coursepack.stages.scripts import SCRIPTS, script_signals

LETTER = regex.compile(r"\p{L}")
SHARED = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}]")
INVISIBLE = regex.compile(
    r"[[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}]&&[^\u200c\u200d\p{Variation_Selector}]]",
    regex.V1,
)
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
PATTERNS = {
    "upper": r"\p{Lu}",
    "punct": r"\p{P}",
    "symbol": r"[\p{S}--\ufffd]",
    "control": r"[\p{Cc}--\p{White_Space}]",
    "private_use": r"\p{Co}",
}


def ratio(count: int, of: int) -> float | None:
    return count / of if of else None


def script_of(c: str) -> str | None:
    if INVISIBLE.match(c) or not LETTER.match(c) or SHARED.match(c):
        return None
    codes = [s for s in SCRIPTS[:-1] if regex.match(rf"\p{{Script={s}}}", c)]
    return codes[0] if codes else "Zzzz"


def is_emoji(c: str) -> bool:
    """By default, or a pictograph in one of the blocks that hold little else."""
    block = 0x2600 <= ord(c) <= 0x27BF or 0x1F000 <= ord(c) <= 0x1FAFF
    kinds = (
        r"\p{Emoji_Presentation}|\p{Extended_Pictographic}" if block else r"\p{Emoji_Presentation}"
    )
    return bool(regex.match(kinds, c) and regex.match(r"\p{S}", c))


def as_bytes(c: str) -> bytes:
    """How Windows-1252, or Latin-1 where that has none, writes a character; b"" where neither can."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return c.encode(encoding)
        except UnicodeEncodeError:
            continue
    return b""


def misread(text: str, i: int) -> int:
    """Characters from i on that are one of UTF-8's, or 0."""
    for length in (2, 3, 4):
        raw = b"".join(as_bytes(c) for c in text[i : i + length])
        if len(raw) != length or not 0xC2 <= ord(text[i]) <= 0xF4:
            continue
        try:
            return length * (len(raw.decode()) == 1)
        except UnicodeDecodeError:
            continue
    return 0


def mojibake(text: str) -> int:
    runs: list[list[int]] = []  # of sequences next to one another: lengths, lead letters
    i, end = 0, -1
    count = 0
    while i < len(text):
        length = misread(text, i)
        if length:
            if i != end:
                runs.append([])
            runs[-1].append(length if length > 2 or text[i] in "ÂÃ" else -2)
            end = i + length
        i += length or 1
    for run in runs:
        count += 0 if run == [-2] else sum(map(abs, run))
    return count


def twin(text: str | None) -> dict[str, object]:
    text = text or ""
    tally = collections.Counter(s for s in map(script_of, text) if s)
    letters = sum(tally.values())
    main = min(tally, key=lambda s: (-tally[s], s), default=None)
    visible = "".join(c for c in text if not INVISIBLE.match(c))
    n = {name: len(regex.findall(p, visible, regex.V1)) for name, p in PATTERNS.items()}
    emoji = sum(map(is_emoji, text))
    return {
        "script": main,
        "script_ratio": ratio(tally[main], letters) if main else None,
        "scripts": sum(100 * count >= letters for count in tally.values()),
        "upper_ratio": ratio(n["upper"], len(LETTER.findall(visible))),
        "punct_ratio": ratio(n["punct"], len(text)),
        "symbol_ratio": ratio(n["symbol"], len(text)),
        "emoji_ratio": ratio(emoji, len(text)),
        "control_ratio": ratio(n["control"], len(text)),
        "replacement_ratio": ratio(text.count("\ufffd"), len(text)),
        "private_use_ratio": ratio(n["private_use"], len(text)),
        "non_ascii_ratio": ratio(sum(ord(c) >= 0x80 for c in text), len(text)),
        "mojibake_ratio": ratio(mojibake(text), len(text)),
        "invisible_chars": len(INVISIBLE.findall(text.removeprefix("\ufeff"))),
        "bidi_controls": sum(c in BIDI for c in text),
    }


CHARACTERS = [
    *("aB", "é", "ß", "Ж", "д", "λ", "漢", "字", "か", "ナ", "ー", "ª", "ん", "ق", "ש", "ก", "한"),
    *(
        ".",
        "!?",
        "—",
        "«",
        "+",
        "€",
        "©",
        "😀",
        "✔",
        "❤\ufe0f",
        "🇩🇪",
        "👩\u200d🔬",
        "7",
        "_",
        " ",
        "\n",
    ),
    *("\0", "\x1b", "\x85", "\x80", "\ufffd", "\ue000", "\U0010fffd", "\u0301", "\u3164"),
    *("\u200b", "\u200d", "\ufeff", "\u202e", "\u2066", "\u00ad", "\u061c", "\U000e0041"),
    *(
        "Ã©",
        "Ã",
        "©",
        "Â\xa0",
        "â€™",
        "â€\x9d",
        "ðŸ˜€",
        "Ð¿",
        "Ñ€",
        "É”",
        "à»",
        "í\xa0\x80",
        "ô\x90",
    ),
    *("Plain + text.\x01", "eight, 8"),  # more than the kernel reads at once, and just as many
]
TEXT = st.lists(st.sampled_from(CHARACTERS) | st.text(max_size=2), max_size=12).map("".join)


@example(["\u00c4\x80aB\u00c3\u00a9\u00c3\u00a9"], 0)
@given(st.lists(st.none() | TEXT, max_size=5), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert script_signals(column).to_pylist() == wanted
        assert script_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert script_signals(chunks).to_pylist() == wanted


@given(st.lists(st.binary(max_size=40), max_size=4))
@settings(deadline=None)
def test_any_bytes_give_shares(rows: list[bytes]) -> None:
    for found in script_signals(pa.array(rows, pa.binary())).to_pylist():
        for name, value in found.items():
            if name.endswith("_ratio"):
                assert value is None or 0 <= value <= 1, name


@pytest.mark.parametrize(
    ("text", "script", "used"),
    [
        ("Hello, world", "Latn", 1),
        ("Привет, мир", "Cyrl", 1),
        ("Γειά σου Κόσμε", "Grek", 1),
        ("我们的世界 OK", "Hani", 2),
        ("hello pаypal", "Latn", 2),  # the first a is Cyrillic
        ("a" * 199 + "д", "Latn", 1),
        ("a" * 99 + "д", "Latn", 2),
        ("123 ...", None, 0),
        ("\U00010d4a", "Zzzz", 1),  # a script younger than the list
    ],
)
def test_scripts(text: str, script: str | None, used: int) -> None:
    found = script_signals(pa.array([text])).to_pylist()[0]
    assert (found["script"], found["scripts"]) == (script, used)


@pytest.mark.parametrize(
    "text",
    ["naïve café — “quoted” it’s", "Grüße, 100 €", "Привет", "日本語", "😀", "ÅÄÖ", "à» «É” Ü»"],
)
def test_mojibake_is_what_misreading_makes(text: str) -> None:
    def share(text: str) -> float:
        found: float = script_signals(pa.array([text])).column("mojibake_ratio")[0].as_py()
        return found

    # Windows-1252 leaves five bytes out, which programs read as Latin-1 does.
    wrong = "".join(
        bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode() if b >= 0x80
    )
    assert share(text) == 0
    assert share(wrong) == 1


def test_bytes_that_are_not_utf8_are_replaced_characters() -> None:
    found = script_signals(pa.array([b"a\xff\xe6\xbc"], pa.binary())).to_pylist()[0]
    assert found["replacement_ratio"] == 3 / 4
    assert found["non_ascii_ratio"] == 3 / 4


def test_long_texts_do_not_overflow_the_fields() -> None:
    text = "aA!+\x01" * 5000
    found = script_signals(pa.array([text, text + "é", "é" + text])).to_pylist()
    for row, letters, chars in zip(
        found, (10000, 10001, 10001), (25000, 25001, 25001), strict=True
    ):
        assert row["upper_ratio"] == 5000 / letters
        for name in ("punct_ratio", "symbol_ratio", "control_ratio"):
            assert row[name] == 5000 / chars


def test_every_letter_has_a_script_or_is_shared() -> None:
    kinds, table, _, _ = scripts._tables()
    letters = (kinds == 1) | (kinds == 2)
    every = "".join(chr(code) for code in letters.nonzero()[0])
    shared = {ord(c) for c in SHARED.findall(every)}
    assert set((letters & (table == 255)).nonzero()[0].tolist()) == shared
