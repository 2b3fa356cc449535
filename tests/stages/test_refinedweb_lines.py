"""RefinedWeb's line rules against a twin on str, and against what DCLM's own functions returned."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from short_texts import TEXTS

from coursepack.pipeline.edits import RefinedWebLines
from coursepack.stages.refinedweb_lines import COUNTERS, refinedweb_line_spans
from coursepack.stages.spans import apply, count_kinds

COUNTER = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+(?:{'|'.join(COUNTERS)})\W*")
PHRASES = (r"\s?items in cart", r"\s?read more...$", r"^sign-in\s?")


def share(count: int, line: str) -> float:
    return count / len(line) if line else 0.0


def twin(text: str | None, s: RefinedWebLines) -> str | None:
    """Step by step, with the text's ends stripped between most of them."""
    if text is None:
        return None

    def drop(lines: list[str], wrong: list[bool]) -> list[str]:
        kept = [line for line, is_wrong in zip(lines, wrong, strict=True) if not is_wrong]
        return "\n".join(kept).strip().split("\n")

    lines = text.split("\n")
    lines = drop(lines, [share(sum(map(str.isupper, x)), x) > s.max_uppercase_ratio for x in lines])
    lines = drop(lines, [share(sum(map(str.isdigit, x)), x) > s.max_digit_ratio for x in lines])
    if s.counters:
        lines = drop(lines, [bool(COUNTER.fullmatch(x.lower())) for x in lines])
    lines = [x for x in lines if not x or len(x.split()) >= s.min_words]
    for phrase in PHRASES if s.phrases else ():
        wrong = []
        for k, line in enumerate(lines):
            short = len(line.split()) <= s.phrase_line_words
            if short:
                lines[k] = re.sub(phrase, "", line, flags=re.IGNORECASE)
            wrong.append(short and line != "" and not lines[k].strip())
        lines = drop(lines, wrong)
    return "\n".join(lines)


SETTINGS = (
    RefinedWebLines(),
    RefinedWebLines(max_uppercase_ratio=0.2, max_digit_ratio=0.3, min_words=0, phrase_line_words=3),
    RefinedWebLines(counters=False, phrases=False, min_words=4),
)
PIECES = [
    *("items in cart", "Items In Cart", "Read more...", "read more…!?", "READ MORE...", "read mor"),
    *(
        "Sign-in",
        "sign-in ",
        "a",
        "word word",
        "3 likes",
        "1.2K views",
        "12,5 k shares!",
        "(7 Comments)",
    ),
    *(
        "3M followers",
        "_3 likes",
        "12",
        "²",
        "٣",
        "AB",
        "ABC x",
        "é",
        "É",
        "漢字",
        "\n",
        "\n",
        "\n",
        "\n\n",
    ),
    *(" ", "  ", "\t", "\xa0", "\r", "\x1c", "\u2028", "."),
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
ODD = st.text(st.characters(codec="utf-8", exclude_characters="İıſ\u212a"), max_size=12)


@given(st.lists(st.none() | TEXT | ODD, max_size=5), st.sampled_from(SETTINGS), st.integers(0, 5))
def test_against_the_twin(texts: list[str | None], settings: RefinedWebLines, cut: int) -> None:
    wanted = [twin(text, settings) for text in texts]
    column = pa.array(texts, pa.string())
    for kind in (pa.string(), pa.large_string()):
        part = column.cast(kind).slice(cut)
        found = apply(part, refinedweb_line_spans(part, settings))
        # Where nothing is left, DCLM drops the page.
        assert found.to_pylist() == wanted[cut:]


# What functions of DCLM's baselines/mappers/modifiers.py (commit 15af3ce5) left of these texts, in the order and
# with the settings of dclm_baseline_refinedweb.yaml.
DCLM = [
    ("TITLE IN CAPITALS\nA line with words.\nEnd of it.", "A line with words.\nEnd of it."),
    ("Ab\nABc\nab cd", "ab cd"),
    (
        "2 likes\n1.2K views!\n(3,000 Comments)\n3 likes it\nten likes\nfine words",
        "3 likes it\nten likes\nfine words",
    ),
    ("12\n 12\n12 ab\n34", "12 ab"),
    ("\n 12\nwords here\n 34 \nwords there\n", "words here\nwords there"),
    ("one\n\ntwo words\n \nthree words here", "two words\nthree words here"),
    (
        "Cart\nYou have 3 items in cart\nitems in cart\n12 Items In Cart and more words than ten in this line of text",
        "You have 3\n12 Items In Cart and more words than ten in this line of text",
    ),
    (
        "A teaser of a post. Read more...\nRead more…!?\nA long teaser that has more than ten words in it all. "
        "Read more...\nread more..",
        "A teaser of a post.\nA long teaser that has more than ten words in it all. Read more...\nread more..",
    ),
    ("Sign-in or register\nSIGN-IN\nPlease sign-in now", "or register\nPlease sign-in now"),
    ("Sign-in\tsign-in Read more... items in cart\nlast words", "sign-in\nlast words"),
    (" items in cart sign-in here \n two words", "here \n two words"),
    ("é²3\n٣٤\n²³\nwords 5", "words 5"),
    ("a b Read more... \nc d Read more... ", "a b Read more... \nc d"),
]
# Of each of TEXTS: characters and line feeds that were left.
LEFT = {
    "sonnet": (267, 6),
    "genesis": (338, 0),
    "jack": (725, 33),
    "row": (319, 13),
    "bottles": (522, 13),
    "gettysburg": (548, 4),
    "menu": (6, 0),
    "notice": (208, 2),
    "lorem": (84, 0),
    "log": (476, 8),
    "table": (0, 0),
    "ascii_art": (19, 1),
    "python": (245, 12),
    "javascript": (48, 1),
    "sql": (81, 0),
    "math": (85, 1),
    "german": (276, 2),
    "chinese": (0, 0),
    "hindi": (134, 1),
    "list": (46, 8),
    "spam": (239, 0),
    "one_word": (0, 0),
    "indented": (17, 2),
}


@pytest.mark.parametrize(("text", "wanted"), DCLM)
def test_what_dclm_leaves(text: str, wanted: str) -> None:
    column = pa.array([text])
    assert apply(column, refinedweb_line_spans(column, RefinedWebLines())).to_pylist() == [wanted]


def test_how_much_dclm_leaves() -> None:
    column = pa.array(TEXTS.values())
    found = apply(column, refinedweb_line_spans(column, RefinedWebLines())).to_pylist()
    assert {k: (len(t), t.count("\n")) for k, t in zip(TEXTS, found, strict=True)} == LEFT


def test_reasons() -> None:
    column = pa.array(["SHOUT OUT\n12\n3 likes\nword\n2 items in cart\ntwo words"])
    spans = refinedweb_line_spans(column, RefinedWebLines())
    assert dict(zip(spans.names, count_kinds(spans)[0].tolist(), strict=True)) == {
        "line:space": 0,
        "line:uppercase": 1,
        "line:digits": 1,
        "line:counter": 1,
        "line:few_words": 1,
        "line:phrase": 1,
    }


def test_bytes_that_are_no_utf8() -> None:
    column = pa.array(
        [b"\xff \xe2\x80\nread more\xe2\x80\xc2.\n\x80 items in cart\xa0"], pa.binary()
    )
    spans = refinedweb_line_spans(column, RefinedWebLines(min_words=0))
    assert apply(column, spans).to_pylist() == [b"\xff \xe2\x80\n\x80\xa0"]
