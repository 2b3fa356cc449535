"""The main text of a page, without menus and footers, and what the page says of itself.

resiliparse (Bevendorff et al. 2018) or trafilatura (Barbaresi 2021) find it. What a page costs is bounded by its
size, which the reader limits, and by its depth.
"""

import codecs
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit, types

from coursepack.stages.warc import Entry

Extractor = Literal["resiliparse", "trafilatura"]

# Blink's limit of a tree (`kMaximumHTMLParserDOMTreeDepth`). resiliparse takes time with the square of the
# depth: 2 s at 10,000, 10 s at 20,000.
MOST_DEPTH = 512
EXTRACTOR_SECONDS = 60  # of CPU, so that no busy machine decides; trafilatura alone can be stopped
_BAD_SHARE = 1000  # characters for each that may be lost in decoding

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class Document:
    """What is kept of a page."""

    text: str
    title: str | None
    url: str | None
    language: str | None
    charset: str


def read_document(entry: Entry, extractor: Extractor = "resiliparse") -> Document | str:
    """The document that a good entry is, or why it is none (of DROPS)."""
    decoded = decode(entry.body, entry.charset if not entry.is_text else "utf-8")
    if decoded is None:
        return "bad_charset"
    text, charset = decoded
    if entry.is_text:
        text = text.strip()
        return Document(text, None, entry.url, entry.language, charset) if text else "no_text"
    from resiliparse.parse.html import HTMLTree

    if is_deep(text):
        return "too_deep"
    try:
        tree = HTMLTree.parse(text)
        root = tree.document and tree.document.document_element
        language = entry.language or (root and root.getattr("lang")) or None
        url = entry.url or _canonical(tree)
        title = tree.title or None
        main = EXTRACTORS[extractor](text, tree)
    except Exception:  # a parser that fails on a page must not fail the run
        return "extractor_failed"
    main = main.replace("\0", "").strip()
    return Document(main, title, url, language, charset) if main else "no_text"


def _canonical(tree: Any) -> str | None:
    """The URL that a page gives itself."""
    found = tree.document.query_selector('link[rel="canonical"]') if tree.document else None
    address = ((found and found.getattr("href")) or "").strip()
    return address if address.lower().startswith(("http://", "https://")) else None


def _resiliparse(_: str, tree: Any) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    found: str = extract_plain_text(tree, main_content=True, alt_texts=False, comments=False)
    return found


def _trafilatura(html: str, _: Any) -> str:
    """As FineWeb has it (datatrove's `extractors/trafilatura.py`); raises TimeoutError after EXTRACTOR_SECONDS.

    Segments are compared within the page alone: trafilatura's own memory of them is the process', and would let the
    pages before decide.
    """
    from trafilatura import extract
    from trafilatura.deduplication import LRUCache
    from trafilatura.settings import LRU_SIZE

    own = LRUCache(maxsize=LRU_SIZE)
    with _cpu_limit(EXTRACTOR_SECONDS):
        return extract(html, favor_precision=True, include_comments=False, deduplicate=own) or ""


EXTRACTORS: Mapping[str, Callable[[str, Any], str]] = {
    "resiliparse": _resiliparse,
    "trafilatura": _trafilatura,
}


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after so many seconds of this process' CPU; no limit outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds:g} seconds of CPU")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def decode(body: bytes, declared: str | None) -> tuple[str, str] | None:
    """The text of a page and the charset it was read by (a codec of Python); None where that is hopeless.

    By its byte order mark, else UTF-8 where it is that, whatever it declares; then as declared by HTTP or in the page,
    then as detected, both without a fault. Else as the first of them that is known, with U+FFFD for at most
    one character in 1,000.
    """
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    for mark, charset in _BOMS:
        if body.startswith(mark):
            return _replaced(body[len(mark) :], charset)
    # UTF-16 and ISO 2022 are UTF-8 by their bytes, and are not
    if b"\0" not in body and b"\x1b" not in body and (text := _exactly(body, "utf-8")) is not None:
        return text, "utf-8"
    named = [map_encoding_to_html5(name, False) for name in [declared] if name]
    named.append(detect_encoding(body, from_html_meta=True))
    named.append(detect_encoding(body))
    known = [name for name in dict.fromkeys(named) if name and _is_codec(name)]
    for charset in known:
        if (text := _exactly(body, charset)) is not None:
            return text, charset
    return _replaced(body, known[0] if known else "utf-8")


def _exactly(body: bytes, charset: str) -> str | None:
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        return None


def _replaced(body: bytes, charset: str) -> tuple[str, str] | None:
    text = body.decode(charset, "replace")
    return (text, charset) if text.count("\ufffd") * _BAD_SHARE <= len(text) else None


def _is_codec(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False


def is_deep(html: str) -> bool:
    """Whether the tree of a page is deeper than MOST_DEPTH.

    Open tags less closed ones are a bound of the depth, found by a kernel; the few pages above it are walked.
    """
    data = np.frombuffer(html.encode("utf-8", "surrogatepass"), np.uint8)
    return _open_tags(data) > MOST_DEPTH and _depth(html) > MOST_DEPTH


def _depth(html: str) -> int:
    from resiliparse.parse.html import HTMLTree, traverse_dom

    class TooDeep(Exception):
        pass

    deepest = 0

    def enter(context: Any) -> None:
        nonlocal deepest
        deepest = max(deepest, context.depth)
        if deepest > MOST_DEPTH:
            raise TooDeep

    with suppress(TooDeep):
        if root := HTMLTree.parse(html).document:
            traverse_dom(root, enter)
    return deepest


# Elements without an end, and `p`, which another one closes: nothing is nested in them. Packed by `_name`.
_FLAT = tuple(
    sum(ord(letter) << 8 * place for place, letter in enumerate(name))
    for name in ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param",
                 "source", "track", "wbr", "p")
)  # fmt: skip


@njit(types.int64(types.Array(types.uint8, 1, "C", readonly=True)), nogil=True, cache=True)
def _open_tags(data: np.ndarray) -> int:
    """The most open tags less closed ones anywhere: no less than the tree is deep."""
    most = depth = 0
    end = len(data)
    for i in range(end - 1):
        if data[i] != 0x3C:
            continue
        closes = data[i + 1] == 0x2F
        at = i + 1 + closes
        name = np.int64(0)
        length = 0
        while at < end and length < 7:
            byte = data[at] | 0x20
            if not 0x61 <= byte <= 0x7A:
                break
            name |= np.int64(byte) << (8 * length)
            length += 1
            at += 1
        if length == 0:
            continue
        flat = False
        for other in _FLAT:
            flat |= name == other
        if closes:
            depth = max(depth - (not flat), 0)
        elif not flat:
            depth += 1
            most = max(most, depth)
    return most
