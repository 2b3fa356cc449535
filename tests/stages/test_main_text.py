"""The main text of pages: charsets, depth, and both extractors."""

import codecs
from typing import Any

import numpy as np
import pytest
from archives import PARAGRAPH, html
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages import main_text as tested
from coursepack.stages.main_text import (
    EXTRACTORS,
    MOST_DEPTH,
    Document,
    decode,
    is_deep,
    read_document,
)
from coursepack.stages.warc import DROPS, Entry

pytest.importorskip("resiliparse")


# --- charsets

GREETING = "größer — 日本語"


@pytest.mark.parametrize(
    ("body", "declared", "text", "charset"),
    [
        (GREETING.encode(), None, GREETING, "utf-8"),
        (GREETING.encode(), "latin1", GREETING, "utf-8"),  # what it is, not what it says
        (b"\xef\xbb\xbf" + GREETING.encode(), "latin1", GREETING, "utf-8"),
        (b"\xff\xfe" + GREETING.encode("utf-16-le"), None, GREETING, "utf-16-le"),
        (b"\xfe\xff" + GREETING.encode("utf-16-be"), None, GREETING, "utf-16-be"),
        (GREETING.encode("utf-16-le"), "utf-16", GREETING, "utf-16-le"),
        ("größer €".encode("cp1252"), "iso-8859-1", "größer €", "cp1252"),  # as browsers have it
        ("привет".encode("koi8-r"), "koi8-r", "привет", "koi8-r"),
        ("日本語".encode("shift_jis"), "x-sjis", "日本語", "shift_jis"),
        (b'<meta charset="koi8-r">' + "привет".encode("koi8-r"), None, '<meta charset="koi8-r">привет', "koi8-r"),
        ("größer".encode("cp1252"), "nonsense", "größer", "cp1252"),
        (b"a" * 5000 + b"\x81\xff", "shift_jis", None, None),
        (b"", None, "", "utf-8"),
    ],
)  # fmt: skip
def test_charsets(body: bytes, declared: str | None, text: str | None, charset: str | None) -> None:
    found = decode(body, declared)
    if text is None:  # read by whatever fits
        assert found is not None
        assert found[0].startswith("a" * 5000)
    else:
        assert found == (text, charset)


def test_bytes_that_are_lost_in_decoding() -> None:
    body = b"\xff" + b"a" * 999
    assert decode(b"\xef\xbb\xbf" + body, None) == ("\ufffd" + "a" * 999, "utf-8")
    assert decode(b"\xef\xbb\xbf" + body[:-1], None) is None
    # WET files are UTF-8, and what is not decodes as some other charset
    entry = Entry(0, body=b"\xef\xbb\xbf" + b"word \xff" * 99, is_text=True)
    assert read_document(entry) == "bad_charset"


@given(
    st.binary(max_size=200),
    st.sampled_from([None, "utf-8", "gb2312", "utf-16", "nonsense", "idna", "hex"]),
)
def test_any_bytes_have_a_text_or_none(body: bytes, declared: str | None) -> None:
    found = decode(body, declared)
    if found is not None:
        assert body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or codecs.lookup(
            found[1]
        )


# --- depth


@pytest.mark.parametrize(
    ("page", "deep"),
    [
        ("<div>" * 100_000 + "x", True),
        ("<div>" * (MOST_DEPTH - 9) + "x", False),
        ("<html><body>" + "<b>" * 600 + "x", True),
        ("<p>x" * 100_000, False),
        ("<ul>" + "<li>x" * 50_000, False),  # open tags, but no depth
        ("<br><img src=x>" * 9_000, False),
        ("<div></div>" * 9_000, False),
        ("</div>" * 900 + "<div>" * 600, True),
        ("<!-- " + "<div>" * 900 + " -->x", False),
        ("", False),
        ("<" * 9_000, False),
    ],
)
def test_deep_pages(page: str, deep: bool) -> None:
    assert is_deep(page) == deep
    found = read_document(Entry(0, mime="text/html", body=page.encode()))
    assert (found == "too_deep") == deep


@given(
    st.lists(
        st.sampled_from(
            ["<div>", "</div>", "<b>", "</b>", "<p>", "<br>", "<li>", "<td>", "x", "<", "<!--"]
        ),
        max_size=40,
    )
)
def test_open_tags_are_a_bound_of_the_depth(pieces: list[str]) -> None:
    from resiliparse.parse.html import HTMLTree, traverse_dom

    page = "".join(pieces)
    deepest = 0

    def enter(context: Any) -> None:
        nonlocal deepest
        deepest = max(deepest, context.depth)

    traverse_dom(HTMLTree.parse(page).document, enter)
    implied = 6  # html, head, body, what a table's cells need, and the text
    assert deepest <= tested._open_tags(np.frombuffer(page.encode(), np.uint8)) + implied


# --- extractors


@pytest.mark.parametrize("extractor", list(EXTRACTORS))
def test_extractors_keep_the_text_and_drop_the_rest(extractor: Any) -> None:
    pytest.importorskip(extractor)
    found = read_document(Entry(0, mime="text/html", body=html("Archives")), extractor)
    assert isinstance(found, Document)
    assert found.text.count(PARAGRAPH.strip()) == 6
    for word in ("Home", "About us", "Copyright", "<p>"):
        assert word not in found.text
    assert found.title == "Archives"


@pytest.mark.parametrize("extractor", list(EXTRACTORS))
@pytest.mark.parametrize(
    "body", [b"", b"   ", b"<html></html>", b"<script>x()</script>", b"<!--x-->"]
)
def test_pages_without_text(extractor: Any, body: bytes) -> None:
    pytest.importorskip(extractor)
    assert read_document(Entry(0, mime="text/html", body=body), extractor) == "no_text"


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError()])
def test_an_extractor_that_fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> str:
        raise error

    monkeypatch.setitem(tested.EXTRACTORS, "resiliparse", fail)  # type: ignore[arg-type]
    assert read_document(Entry(0, mime="text/html", body=html("x"))) == "extractor_failed"


@pytest.mark.parametrize("extractor", list(EXTRACTORS))
def test_no_page_decides_about_another(extractor: Any) -> None:
    pytest.importorskip(extractor)
    entry = Entry(0, mime="text/html", body=html("Again and again"))
    first = read_document(entry, extractor)
    assert [read_document(entry, extractor) for _ in range(5)] == [first] * 5
    assert isinstance(first, Document)


def test_an_extractor_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    trafilatura = pytest.importorskip("trafilatura")

    def spin(*_: object, **__: object) -> str:
        while True:
            pass

    monkeypatch.setattr(trafilatura, "extract", spin)
    monkeypatch.setattr(tested, "EXTRACTOR_SECONDS", 0.05)
    entry = Entry(0, mime="text/html", body=html("x"))
    assert read_document(entry, "trafilatura") == "extractor_failed"
    monkeypatch.setattr(trafilatura, "extract", lambda *_, **__: "text")
    assert isinstance(read_document(entry, "trafilatura"), Document)


@given(st.text(), st.sampled_from(list(EXTRACTORS)))
def test_any_page_is_a_document_or_not(page: str, extractor: Any) -> None:
    pytest.importorskip(extractor)
    found = read_document(Entry(0, body=page.encode("utf-8", "replace")), extractor)
    assert found in DROPS if isinstance(found, str) else found.text.strip() == found.text != ""
