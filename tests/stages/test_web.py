"""The web's signals against a twin on str, and against datatrove's own numbers."""

import re
import string

import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from short_texts import TEXTS, reasons

from coursepack.stages import copies
from coursepack.stages.characters import OWN_UNIT, characters
from coursepack.stages.web import POLICY, web_signals

TERMINAL = regex.compile("[\\p{Sentence_Terminal}\u17d6\u17d9\u17da]", regex.V1)
SENTENCE = regex.compile(
    "(?:{t}|[?!.])(?:{t}|[?!.]|{c})*".format(
        t=r"[\p{Sentence_Terminal}\u17d6\u17d9\u17da]", c=r"""[\p{Pe}\p{Pf}"']"""
    ),
    regex.V1,
)


def is_space(c: str) -> bool:
    return bool(characters().is_space[ord(c)])


def own_unit(c: str) -> bool:
    return bool(characters().word_class[ord(c)] == OWN_UNIT)


def sentences(text: str) -> int:
    """Runs that hold a sign of another script, or stand before white space or the end."""
    count = 0
    for match in SENTENCE.finditer(text):
        foreign = any(ord(c) >= 0x80 and TERMINAL.fullmatch(c) for c in match[0])
        count += foreign or match.end() == len(text) or is_space(text[match.end()])
    return count


def ratio(count: int, of: int) -> float | None:
    return count / of if of else None


def ascii_lower(text: str) -> str:
    return "".join(c.lower() if c in string.ascii_uppercase else c for c in text)


def twin(text: str | None) -> dict[str, float | bool | None]:
    text = text or ""
    lines = [line for line in text.split("\n") if not all(map(is_space, line))]
    lower = [ascii_lower(line) for line in lines]
    words = "".join(" " if is_space(c) else f" {c} " if own_unit(c) else c for c in text).split(" ")
    runs = "".join(" " if is_space(c) else c for c in text).split(" ")
    bare = ["".join(c for c in run if c not in string.punctuation) for run in runs]
    copied = sum(len(line) for n, line in enumerate(lines) if line in lines[:n])
    return {
        "terminal_punct_line_ratio": ratio(
            sum(TERMINAL.fullmatch(line[-1]) is not None for line in lines), len(lines)
        ),
        "short_line_ratio": ratio(sum(len(line) <= 30 for line in lines), len(lines)),
        "char_dup_ratio": ratio(copied, len(text.replace("\n", ""))),
        "newline_word_ratio": ratio(text.count("\n"), sum(map(bool, words))),
        "sentences": sentences(text),
        "longest_word_chars": max(map(len, words)),
        "has_lorem_ipsum": any("lorem ipsum" in line for line in lower),
        "curly_braces": text.count("{"),
        "javascript_lines": sum("javascript" in line for line in lower),
        "policy_lines": sum(any(phrase in line for phrase in POLICY) for line in lower),
        "bare_chars": len(" ".join(word for word in bare if word)),
    }


SIGNS = ".", "...", "?!", "。", "…", "।", "」", '"', "'", ")", "”", ",", "{", "}", "\0", "\x1d"
SPACES = "\n", "\n", " ", "\t", "\xa0", "\u2028", "\r\n"
PHRASES = (
    "Lorem\nIpsum",
    "JavaScript",
    "javascrip",
    "java",
    "USE COOKIES",
    "use of Cookies",
    *POLICY,
)
PIECE = st.sampled_from(
    [*SIGNS, *SPACES, *PHRASES, "lorem ipsum", "script", "a", "Be", "é", "漢", "İ", "x" * 30]
)
TEXT = st.one_of(
    st.lists(PIECE | st.text(max_size=2), max_size=20).map("".join),
    st.lists(st.sampled_from(["one line\n", "x\n", "x", "\n", "two. three!\n"]), max_size=12).map(
        "".join
    ),
)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6))
@settings(max_examples=500, deadline=None)
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert web_signals(column).to_pylist() == wanted
        assert web_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert web_signals(chunks).to_pylist() == wanted


@given(TEXT)
@settings(deadline=None)
def test_shares_are_shares(text: str) -> None:
    found = web_signals(pa.array([text])).to_pylist()[0]
    for name in ("terminal_punct_line_ratio", "short_line_ratio", "char_dup_ratio"):
        assert found[name] is None or 0 <= found[name] <= 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("He said “no.” Then (yes!) left...", 3),
        ("Version 1.2.3 of e.g. this", 1),
        ("我来。我见！我胜？", 3),
        ("他说：“我来。”我见！！", 2),
        ("""He (said "no!').") So?" .) ." x.)y )" end.""", 5),
        ("no end", 0),
        ("", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert web_signals(pa.array([text])).column("sentences").to_pylist() == [count]


def test_phrases_inside_words_and_across_lines() -> None:
    texts = [
        "houses cookies\nNOJAVASCRIPTS javascript\nterms of\nuse",
        "Lorem  ipsum",
        "LOREM IPSUM",
    ]
    found = web_signals(pa.array(texts)).to_pydict()
    assert found["policy_lines"] == [1, 0, 0]
    assert found["javascript_lines"] == [1, 0, 0]
    assert found["has_lorem_ipsum"] == [False, False, True]


@pytest.mark.parametrize("phrase", ["lorem ipsum", "JavaScript", *POLICY])
def test_a_phrase_is_found_wherever_it_stands(phrase: str) -> None:
    texts = ["x" * before + phrase + "\n" * (before % 3) + "x" * 70 for before in range(140)]
    texts += [text[:-1] for text in texts[:70]] + ["y" * before + phrase for before in range(140)]
    assert web_signals(pa.array(texts)).to_pylist() == [twin(text) for text in texts]
    broken = [text.replace(phrase[-2:], "\n" + phrase[-2:]) for text in texts]
    assert web_signals(pa.array(broken)).to_pylist() == [twin(text) for text in broken]


@pytest.mark.parametrize("text", ["İstanbul, 2 x", "  a - b\n\t(c)  ", "...", "--a--"])
def test_bare_chars_are_slimpajamas_length(text: str) -> None:
    kept = text.replace("İ", "I").lower().translate(str.maketrans("", "", string.punctuation))
    cleaned = re.sub(r"\s+", " ", kept.strip())
    assert web_signals(pa.array([text])).column("bare_chars").to_pylist() == [len(cleaned)]


def test_the_head_of_a_very_long_text_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "HEAD_BYTES", 20)
    texts = ["é{" * 30, "a. b\n" * 9, "short."]
    heads = ["é{" * 6 + "é", "a. b\n" * 4, "short."]
    assert web_signals(pa.array(["x", *texts]).slice(1)).to_pylist() == [twin(h) for h in heads]


# datatrove 0.10.1: what FineWebQualityFilter returned, in our names, and the four ratios it compares, to
# six places; its word tokenizer was replaced by `str.split`, and by our words for the Chinese text.
DATATROVE: dict[str, tuple[str | None, tuple[float, ...]]] = {
    "sonnet": (None, (0.333333, 0, 0, 0.132075)),
    "genesis": (None, (1.0, 0, 0, 0)),
    "jack": ("fineweb_short_lines", (0.25, 0.857143, 0.456647, 0.221477)),
    "row": ("fineweb_short_lines", (0.5, 0.75, 0.666667, 0.277778)),
    "bottles": ("fineweb_char_dup", (0.25, 0, 0.40668, 0.150538)),
    "gettysburg": (None, (1.0, 0, 0, 0.039604)),
    "menu": ("fineweb_line_punct", (0, 1.0, 0.354167, 1.090909)),
    "notice": ("fineweb_char_dup", (1.0, 0, 0.398058, 0.076923)),
    "lorem": (None, (1.0, 0, 0, 0)),
    "log": ("fineweb_line_punct", (0, 0, 0, 0.1)),
    "table": ("fineweb_line_punct", (0, 1.0, 0, 1.0)),
    "ascii_art": ("fineweb_line_punct", (0, 1.0, 0.4, 0.454545)),
    "python": ("fineweb_line_punct", (0, 1.0, 0.103004, 0.382353)),
    "javascript": ("fineweb_line_punct", (0, 1.0, 0, 0.555556)),
    "sql": ("fineweb_line_punct", (0, 0, 0, 0)),
    "math": (None, (1.0, 0, 0, 0.166667)),
    "german": (None, (1.0, 0, 0, 0.04878)),
    "chinese": (None, (1.0, 0.5, 0, 0.032258)),
    "hindi": (None, (1.0, 0, 0, 0.043478)),
    "list": ("fineweb_line_punct", (0, 1.0, 0.292683, 0.75)),
    "spam": ("fineweb_line_punct", (0, 0, 0, 0)),
    "one_word": ("fineweb_line_punct", (0, 1.0, 0, 0)),
    "indented": ("fineweb_line_punct", (0, 1.0, 0, 1.75)),
}


def test_datatroves_numbers_and_verdicts() -> None:
    found = web_signals(pa.array(TEXTS.values()))
    for name, row in zip(TEXTS, found.to_pylist(), strict=True):
        assert list(row.values())[:4] == pytest.approx(DATATROVE[name][1], abs=1e-6), name
    assert reasons("fineweb", found) == [DATATROVE[name][0] for name in TEXTS]


def test_where_datatrove_differs() -> None:
    # Signs that became ends of sentences in later versions of Unicode are not in its list.
    found = web_signals(pa.array(["\u2e60\n\U000113d4\n\u17d6\nx"])).to_pydict()
    assert found["terminal_punct_line_ratio"] == [0.75]


def test_c4_and_slimpajama_verdicts() -> None:
    five = "One. Two! Three? Four. Five."
    texts = [five, five[:-1], five + "{", five + " Lorem Ipsum"]
    texts += [f"{five} {'x' * length}" for length in (1000, 1001)]
    wanted = [None, "c4_few_sentences", None, None, None, "c4_long_word"]
    wanted[2:4] = ["c4_curly_brace", "c4_lorem_ipsum"]
    assert reasons("c4", web_signals(pa.array(texts))) == wanted
    texts = ["ab, " * 66 + "cd", "ab, " * 66 + "c"]  # 67 words and the spaces between: 200 and 199
    assert reasons("slimpajama", web_signals(pa.array(texts))) == [None, "slimpajama_short"]
