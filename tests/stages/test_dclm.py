"""DCLM's signals against a twin on str, and against the values that DCLM itself computed."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from short_texts import TEXTS

from coursepack.stages import copies
from coursepack.stages.characters import characters
from coursepack.stages.dclm import COUNTED, STOP_WORDS, dclm_signals
from coursepack.stages.pieces import find_pieces

ROOT = Path(__file__).parents[2]
Values = dict[str, float | None]


def is_space(c: str) -> bool:
    return bool(characters().is_space[ord(c)])


def plain(text: str) -> str:
    """The text as `str.split` and `\\s` see it when white space is Unicode's: they know U+001C to U+001F too."""
    return text.translate(dict.fromkeys(range(0x1C, 0x20), "\ue000"))


def split(text: str) -> list[str]:
    return plain(text).split()


def fasttext_words(text: str) -> list[str]:
    return [word for word in re.split("[ \t\n\v\f\r]+", text) if word and word[0].isalnum()]


# `regex` has a rule that UAX #29 has not: no break between an apostrophe and one of these.
VOWELS = dict.fromkeys(map(ord, "AEIOUaeiouÀÁÂÈÉÊÌÍÎÒÓÔÙÚÛàáâèéêìíîòóôùúû"), "b")


def tokens(text: str) -> list[str]:
    found = []
    for word in split(text):
        breaks = regex.finditer(r"\b", word.translate(VOWELS), flags=regex.WORD | regex.V1)
        found += [word[i:j] for i, j in pairwise(at.start() for at in breaks)]
    return [token for token in found if token and token[0].isalnum()]


def ratio(count: int, of: int) -> float | None:
    return count / of if of else None


def repeated(pieces: list[str]) -> tuple[float | None, float | None]:
    times = Counter(pieces)
    again = [piece for piece in pieces if times[piece] > 1]
    return ratio(len(again), len(pieces)), ratio(sum(map(len, again)), sum(map(len, pieces)))


def gram_chars(words: list[str], n: int) -> int:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    times = Counter(grams)
    most = max(times.values(), default=0)
    if most < 2:
        return 0
    if n <= 4:
        return most * max(sum(map(len, gram)) for gram in grams if times[gram] == most)
    inside = {i + k for i, gram in enumerate(grams) if times[gram] > 1 for k in range(n)}
    return sum(len(words[i]) for i in inside)


COUNTER = re.compile(rf"\W*\d(?:,|\.|\d)*[kmb]?\s+(?:{'|'.join(COUNTED)})\W*", re.IGNORECASE)


def cut(lines: list[str], pattern: str) -> tuple[list[str], int]:
    left, changed = [], 0
    for line in lines:
        found = re.sub(pattern, "", line, flags=re.IGNORECASE) if len(split(line)) <= 10 else line
        changed += found != line
        if found.strip() or found == line:
            left.append(found)
    return left, changed


def edits(text: str) -> Values:
    """The lines that each edit takes, and the share of words that goes."""
    before = len(fasttext_words(text))
    counts = []

    def stripped(lines: list[str]) -> list[str]:
        return [line for line in "\n".join(lines).strip().split("\n") if line.strip()]

    lines = [line for line in text.split("\n") if line.strip()]
    for takes in (
        lambda line: sum(c.isupper() for c in line) > len(line) / 2,
        str.isdigit,
        lambda line: COUNTER.fullmatch(line) is not None,
        lambda line: len(line.split()) == 1,
    ):
        left = [line for line in lines if not takes(line)]
        counts.append(len(lines) - len(left))
        lines = stripped(left)
    for pattern in (r"\s?items in cart", r"\s?read more...$", r"^sign-in\s?"):
        lines, changed = cut(lines, pattern)
        counts.append(changed)
        lines = stripped(lines)
    names = ("uppercase", "numeric", "counter", "short", "cart", "read_more", "sign_in")
    removed = max(before - len(fasttext_words("\n".join(lines))), 0)
    found: Values = {f"dclm_{n}_lines": count for n, count in zip(names, counts, strict=True)}
    return found | {"dclm_removed_word_ratio": ratio(removed, before)}


def twin(text: str | None) -> Values:
    text = plain(text or "")
    words = split(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    symbols = sum(text.count(symbol) for symbol in ("#", "...", ". . .", "…"))
    found: Values = {
        "dclm_words": len(fasttext_words(text)),
        "dclm_mean_word_chars": ratio(sum(map(len, words)), len(words)),
        "dclm_symbol_word_ratio": ratio(symbols, len(words)),
        "dclm_nonalpha_word_ratio": ratio(
            sum(not any(c.isalpha() for c in word) for word in words), len(words)
        ),
        "dclm_stop_words": sum(word.lower() in STOP_WORDS for word in words),
        "dclm_bullet_line_ratio": ratio(sum(line[0] in "●•*-" for line in lines), len(lines)),
        "dclm_ellipsis_line_ratio": ratio(
            sum(line.endswith(("...", ". . .", "…")) for line in lines), len(lines)
        ),
    }
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        found[f"dclm_dup_{name}_ratio"], found[f"dclm_dup_{name}_char_ratio"] = repeated(pieces)
    parts = tokens(text)
    chars = sum(map(len, parts))
    for n in range(2, 11):
        kind = "top" if n <= 4 else "dup"
        found[f"dclm_{kind}_{n}gram_char_ratio"] = ratio(gram_chars(parts, n), chars)
    return found | edits(text)


PHRASES = (
    *(
        "items in cart",
        "Items In Cart",
        "3 items in cart",
        "Read more...",
        "read more >>",
        "Read more",
    ),
    *("Sign-in", "sign-in now", "Sign-inx", "3 likes", "(1,024 views)", "3.2K  followers!"),
    *("12k shares x", "5M downloads", "1 2 likes", "likes", "2024", "²³", "MENU", "HELLO World"),
    "one two three four five six seven eight nine ten eleven",
)
WORDS = (
    *("a", "the", "And of", "THAT", "é", "ÄÖÜ", "漢字", "カタカナ", "ไทย", 'א"ב', "א'", "א'ב"),
    *(
        "a.b",
        "3,5",
        "3.",
        "e-mail",
        "can't",
        "x_y",
        "_a",
        "3_",
        "a:b",
        "1.2.3",
        "a\u0301",
        "½",
        "①",
    ),
    *("a\u200d☺", "🇩🇪", "a\u00adb", "5٣", "👨\u200d👩"),
)
SIGNS = ("...", ". . .", "…", "#", "•", "● ", "* ", "-", '"', "'", ",", ".", ":", "(", "«")
SPACES = (" ", "  ", "\t", "\xa0", "\u3000", "\r", "\u2028", "\n", "\n", "\n\n", "\n\n\n")
# Not the letters beyond ASCII that `re` folds with i, k and s, NUL, which parts fastText's words, nor what this
# Python's Unicode does not have yet.
CHARACTER = st.characters(
    exclude_categories=["Cn", "Cs"], exclude_characters="\0\u0130\u0131\u017f\u212a"
)
PIECE = st.sampled_from([*PHRASES, *WORDS, *SIGNS, *SPACES, *SPACES])
LINE = st.lists(st.sampled_from([*PHRASES, *WORDS, *SIGNS, *SPACES[:6]]), max_size=6).map("".join)
TEXT = st.one_of(
    st.lists(PIECE | st.text(CHARACTER, max_size=2), max_size=20).map("".join),
    st.lists(LINE, max_size=8).map("\n".join),
    st.lists(LINE, min_size=1, max_size=2).flatmap(
        lambda lines: st.lists(st.sampled_from([*lines, ""]), max_size=8).map("\n".join)
    ),
    st.text("ab", max_size=40).map(" ".join),  # many copies of n words
)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6))
@settings(max_examples=150, deadline=None)
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert dclm_signals(column).to_pylist() == wanted
        assert dclm_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert dclm_signals(chunks).to_pylist() == wanted
    assert dclm_signals(find_pieces(column)).to_pylist() == wanted


@given(
    st.lists(st.binary(max_size=30) | st.text().map(str.encode) | TEXT.map(str.encode), max_size=5),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_ranges_of_any_bytes(texts: list[bytes], cut: int) -> None:
    rows = dclm_signals(pa.array(texts, pa.binary())).to_pylist()
    assert dclm_signals(pa.array(texts, pa.binary()).slice(cut)).to_pylist() == rows[cut:]
    for row in rows:
        for name, value in row.items():
            if name.endswith("_ratio") and not name.startswith(("dclm_top", "dclm_symbol")):
                assert value is None or 0 <= value <= 1, name
            else:
                assert value is None or value >= 0, name


def one(text: str) -> Values:
    row: Values = dclm_signals(pa.array([text])).to_pylist()[0]
    return row


def test_all_copies_count() -> None:
    """The text on which tools differ most: one sentence twice among words that differ."""
    sentence = [f"same{n}" for n in range(12)]
    filler = [f"w{n:03}" for n in range(120)]
    words = [*filler[:40], *sentence, *filler[40:80], *sentence, *filler[80:]]
    found = one(" ".join(words))
    inside = 2 * sum(map(len, sentence)) / sum(map(len, words))
    assert found["dclm_dup_5gram_char_ratio"] == found["dclm_dup_10gram_char_ratio"] == inside


@pytest.mark.parametrize(
    ("line", "edit", "words"),
    [
        ("HOME News", "uppercase", 2),
        ("ABC def", None, 0),  # half of seven would be more
        ("2024", "numeric", 1),
        ("3 likes", "counter", 2),
        ("(1,024 views!)", "counter", 1),  # fastText leaves out what starts with a bracket
        ("3 likes it", None, 0),
        ("word", "short", 1),
        ("3 items in cart", "cart", 3),
        ("all about it. Read more...", "read_more", 2),
        ("all about it. Read more", None, 0),
        ("Sign-in to see more", "sign_in", 1),
        ("a line of more than ten words with items in cart here", None, 0),
    ],
)
def test_edits(line: str, edit: str | None, words: int) -> None:
    found = one(f"a first line\n{line}\nand a last line")
    taken = {name: n for name, n in found.items() if name.endswith("_lines") and n}
    assert taken == ({f"dclm_{edit}_lines": 1} if edit else {})
    held = found["dclm_words"]
    assert held is not None
    assert found["dclm_removed_word_ratio"] == pytest.approx(words / held)


def test_the_head_of_a_very_long_text_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "HEAD_BYTES", 20)
    texts = ["é" * 30, "a b c d " * 9, "Short. Read more..."]
    heads = ["é" * 10, ("a b c d " * 9)[:20], texts[2]]
    assert dclm_signals(pa.array(["x", *texts]).slice(1)).to_pylist() == [twin(h) for h in heads]


def documents(names: list[str]) -> Iterator[tuple[str, str | None]]:
    for name in names:
        kind, key = name.split(":", 1)
        files = {path.name: path for path in (ROOT / "recipes/demo").rglob("*.*")}
        if kind == "texts":
            yield name, TEXTS.get(key)
        elif kind == "demo":
            yield name, files[key].read_text("utf-8") if key in files else None
        else:
            yield name, topics.get(key)


# The rules of dclm_baseline_refinedweb.yaml, from page_length_filter on: above these a document goes.
MOST = {
    **{"symbol_word": 0.1, "bullet_line": 0.9, "ellipsis_line": 0.3, "nonalpha_word": 0.2},
    **{"dup_line": 0.3, "dup_paragraph": 0.3, "dup_line_char": 0.2, "dup_paragraph_char": 0.2},
    **{"top_2gram_char": 0.2, "top_3gram_char": 0.18, "top_4gram_char": 0.16},
    **{"dup_5gram_char": 0.15, "dup_6gram_char": 0.14, "dup_7gram_char": 0.13},
    **{"dup_8gram_char": 0.12, "dup_9gram_char": 0.11, "dup_10gram_char": 0.1},
    "removed_word": 0.05,
}


def is_dropped(row: Values) -> bool:
    def value(name: str) -> float:
        return row[f"dclm_{name}"] or 0

    return (
        not 50 <= value("words") <= 100_000
        or not 3 <= value("mean_word_chars") <= 10
        or value("stop_words") < 2
        or any(value(f"{name}_ratio") > most for name, most in MOST.items())
    )


def test_dclms_own_values_and_verdicts() -> None:
    golden = json.loads((Path(__file__).parent / "golden/dclm.json").read_text("utf-8"))
    compared = 0
    for name, text in documents(list(golden["documents"])):
        digest, values, drops = golden["documents"][name]
        # another Python has other topics
        if text is None or hashlib.sha256(text.encode()).hexdigest()[:8] != digest:
            continue
        row = one(text)
        found = [row[column] for column in golden["columns"]]
        assert found == [None if v is None else pytest.approx(v, abs=6e-7) for v in values], name
        assert is_dropped(row) == drops, name
        compared += 1
    assert compared >= len(TEXTS) + 40
