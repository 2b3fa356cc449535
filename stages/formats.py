"""Whether a text is XML, HTML, JSON or YAML, by its structure, and how much of HTML a reader sees.

bigcode's preprocessing for StarCoder (Li et al. 2023, arXiv:2305.06161) drops XML by its declaration, HTML by the share
of visible text, and JSON and YAML by size.
"""

from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.stages.characters import BYTES, INDEX

XML_CHARS = 100  # code points in which the declaration of XML stands
HTML_BYTES = 1000  # in which a page of HTML says so
YAML_BYTES = 1 << 12  # read of YAML
YAML_OUTER, YAML_ALL = (
    90,
    50,
)  # least per cent of lines that are YAML's, of those not indented and of all

_BLOCK = 128  # bytes looked at together
_MARKS = ("xml", "html", "json", "yaml")


def format_marks(offsets: np.ndarray, data: np.ndarray) -> dict[str, np.ndarray]:
    """Whether each row is `xml`, `html`, `json`, `yaml`; bool.

    xml: `<?xml version=` in the first XML_CHARS code points. html: the first sign is `<`, and a doctype of
    HTML, `<html`, `<head` or `<body` stands in the first HTML_BYTES, in any case.

    json: the first and last signs are `{` and `}`, or `[` and `]`; and the second is a quote or
    closes at once, or, in a list, starts a number, list or object. So lines of JSON are JSON, lists of bare words
    are none, and what stands between is not read.

    yaml: of the lines in the first YAML_BYTES that are neither blank nor comments, `key:`, `key: value` and
    `- item` are YAML_ALL per cent or more, and YAML_OUTER of those that are not indented; and either the text
    starts with `---`, or keys outnumber items there and a key without a value stands above an indented
    line or an item. Keys have no white space.
    """
    found = np.zeros((len(offsets) - 1, len(_MARKS)), np.bool_)
    _mark(offsets, data, found)
    return dict(zip(_MARKS, found.T, strict=True))


def visible_chars(offsets: np.ndarray, data: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Code points outside tags, comments, scripts and styles of the rows that are `wanted` (bool), 0 of the
    others; int64. White space counts, an entity is one, as in the text that BeautifulSoup gives."""
    found = np.zeros(len(wanted), np.int64)
    _count_visible(offsets, data, wanted, found)
    return found


@njit(nogil=True, cache=True)
def _is_at(data: np.ndarray, i: int, end: int, lower: Any) -> bool:
    """Whether `lower`, ASCII in small letters, stands at `i` in any case."""
    if i + len(lower) > end:
        return False
    for k in range(len(lower)):
        byte = data[i + k]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != lower[k]:
            return False
    return True


@njit(nogil=True, cache=True)
def _has_pair(data: np.ndarray, start: Any, end: Any, byte: int, least: int, most: int) -> Any:
    """Whether `byte` stands in data[start:end] before one from `least` to `most`. LLVM makes vectors of it."""
    found = False
    for i in range(uint64(start), uint64(max(start, end - 1))):
        after = data[i + uint64(1)]
        found |= (data[i] == byte) & (after >= least) & (after <= most)
    return found


@njit(nogil=True, cache=True)
def _starts_document(data: np.ndarray, i: Any, end: Any) -> bool:
    """Whether the first line that is neither blank nor a comment may be YAML's `---`."""
    while i < end:
        while i < end and data[i] <= 0x20:
            i += 1
        if i < end and data[i] != 0x23:
            return bool(data[i] == 0x2D)
        while i < end and data[i] != 0x0A:
            i += 1
    return False


@njit(nogil=True, cache=True)
def _has_open_key(data: np.ndarray, start: Any, end: Any) -> bool:
    """Whether a line ends in a colon, as keys without a value do."""
    for first in range(start, end, _BLOCK):
        last = min(first + _BLOCK, end)
        if last < end and not _has_pair(data, first, last + 1, 0x3A, 0, 0x20):
            continue
        for i in range(first, last):
            if data[i] == 0x3A:
                k = i + 1
                while k < end and data[k] <= 0x20 and data[k] != 0x0A:
                    k += 1
                if k == end or data[k] == 0x0A:
                    return True
    return False


@njit(nogil=True, cache=True)
def _chars_end(data: np.ndarray, i: int, end: int, chars: int) -> Any:
    """The byte after so many code points."""
    while i < end:
        if data[i] & 0xC0 != 0x80:
            if chars == 0:
                break
            chars -= 1
        i += 1
    return i


@njit(nogil=True, cache=True)
def _is_json(data: np.ndarray, first: int, last: int) -> bool:
    opens, closes = data[first], data[last]
    if not ((opens == 0x7B and closes == 0x7D) or (opens == 0x5B and closes == 0x5D)):
        return False
    i = first + 1
    while i < last and data[i] <= 0x20:
        i += 1
    second = data[i]
    if second == 0x22 or i == last:
        return True
    number = second == 0x2D or 0x30 <= second <= 0x39
    return bool(opens == 0x5B and (second == 0x7B or second == 0x5B or number))


@njit(nogil=True, cache=True)
def _key_end(data: np.ndarray, i: int, end: int) -> Any:
    """The byte after the colon of the key at `i`, or -1."""
    first = i
    while i < end:
        byte = data[i]
        if byte == 0x3A and (i + 1 == end or data[i + 1] <= 0x20):
            return i + 1 if i > first else -1
        letter_or_digit = 0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39 or byte >= 0x80
        # . _ - / : " ' $
        sign = byte == 0x2E or byte == 0x5F or byte == 0x2D or byte == 0x2F or byte == 0x3A
        quote = byte == 0x22 or byte == 0x27 or byte == 0x24
        if not (letter_or_digit or sign or quote):
            return -1
        i += 1
    return -1


@njit(nogil=True, cache=True)
def _is_yaml(data: np.ndarray, start: int, end: int) -> bool:
    """Whether data[start:end] looks like it, of which `_starts_document` or `_has_open_key` is true."""
    lines = fitting = outer = keys = items = 0
    nested = waiting = False  # the last key has no value
    above = 0  # its indentation
    starts_document = False
    i = start
    while i < end:
        first = i
        while i < end and (data[i] == 0x20 or data[i] == 0x0D):
            i += 1
        indent, content = i - first, i
        while i < end and data[i] != 0x0A:
            i += 1
        stop = i
        while stop > content and data[stop - 1] <= 0x20:
            stop -= 1
        i += 1
        if stop == content or data[content] == 0x23:
            continue
        dashes = stop - content >= 3 and data[content] == 0x2D and data[content + 1] == 0x2D
        if (
            dashes
            and data[content + 2] == 0x2D
            and (stop == content + 3 or data[content + 3] == 0x20)
        ):
            starts_document |= lines == 0
            if lines == 0:
                continue
            # What follows the head of a page of Markdown is no YAML.
        lines += 1
        item = data[content] == 0x2D and (stop == content + 1 or data[content + 1] == 0x20)
        key = _key_end(data, content, stop)
        fitting += item or key >= 0
        if indent == 0:
            outer += 1
            keys += key >= 0 and not item
            items += item
        nested |= waiting and (indent > above or item)
        waiting, above = key == stop, indent
    shares = 100 * (keys + items) >= YAML_OUTER * outer and 100 * fitting >= YAML_ALL * lines
    return lines >= 2 and shares and (starts_document or (nested and keys > items))


_XML = np.frombuffer(b"<?xml version=", np.uint8)
_PAGES = (
    np.frombuffer(b"<!doctype html", np.uint8),
    np.frombuffer(b"<html", np.uint8),
    np.frombuffer(b"<head", np.uint8),
    np.frombuffer(b"<body", np.uint8),
)
_SCRIPT, _END_SCRIPT = np.frombuffer(b"script", np.uint8), np.frombuffer(b"</script", np.uint8)
_STYLE, _END_STYLE = np.frombuffer(b"style", np.uint8), np.frombuffer(b"</style", np.uint8)


@njit(types.void(INDEX, BYTES, types.boolean[:, ::1]), nogil=True, cache=True)
def _mark(offsets: np.ndarray, data: np.ndarray, found: np.ndarray) -> None:
    for row in range(len(found)):
        start, end = offsets[row], offsets[row + 1]
        most = min(end, start + 4 * XML_CHARS)
        if _has_pair(data, start, most, 0x3C, 0x3F, 0x3F):  # <?
            stop = _chars_end(data, start, most, XML_CHARS)
            for i in range(start, stop):
                if data[i] == 0x3C and _is_at(data, i, stop, _XML):
                    found[row, 0] = True
        first, last = start, end - 1
        while first < end and data[first] <= 0x20:
            first += 1
        while last > first and data[last] <= 0x20:
            last -= 1
        if first >= end:
            continue
        if data[first] == 0x3C:
            for i in range(first, min(end, first + HTML_BYTES)):
                if data[i] == 0x3C:
                    found[row, 1] |= _is_at(data, i, end, _PAGES[0]) or _is_at(
                        data, i, end, _PAGES[1]
                    )
                    found[row, 1] |= _is_at(data, i, end, _PAGES[2]) or _is_at(
                        data, i, end, _PAGES[3]
                    )
        found[row, 2] = _is_json(data, first, last)
        stop = min(end, start + YAML_BYTES)
        if not found[row, 2] and (
            _starts_document(data, start, stop) or _has_open_key(data, start, stop)
        ):
            found[row, 3] = _is_yaml(data, start, stop)


@njit(nogil=True, cache=True)
def _tag_end(data: np.ndarray, i: int, end: int) -> Any:
    """The byte after the tag that starts at `i`; quotes hide what they hold."""
    quote = np.uint8(0)
    while i < end:
        byte = data[i]
        if quote != 0:
            if byte == quote:
                quote = np.uint8(0)
        elif byte == 0x3E:
            return i + 1
        elif (byte == 0x22 or byte == 0x27) and data[i - 1] == 0x3D:
            quote = byte
        i += 1
    return end


@njit(
    types.void(INDEX, BYTES, types.Array(types.boolean, 1, "C", readonly=True), types.int64[::1]),
    nogil=True,
    cache=True,
)
def _count_visible(
    offsets: np.ndarray, data: np.ndarray, wanted: np.ndarray, found: np.ndarray
) -> None:
    for row in range(len(found)):
        if not wanted[row]:
            continue
        i, end = offsets[row], offsets[row + 1]
        chars = 0
        while i < end:
            byte = data[i]
            after = data[i + 1] if i + 1 < end else np.uint8(0)
            if byte == 0x26:  # an entity is one character
                k = i + 1
                while (
                    k < end
                    and k < i + 10
                    and (
                        0x61 <= data[k] | 0x20 <= 0x7A or 0x30 <= data[k] <= 0x39 or data[k] == 0x23
                    )
                ):
                    k += 1
                chars += 1
                i = k + 1 if k > i + 1 and k < end and data[k] == 0x3B else i + 1
                continue
            letter = 0x61 <= after | 0x20 <= 0x7A
            if byte != 0x3C or not (letter or after == 0x2F or after == 0x21 or after == 0x3F):
                chars += byte & 0xC0 != 0x80
                i += 1
                continue
            if after == 0x21 and i + 3 < end and data[i + 2] == 0x2D and data[i + 3] == 0x2D:
                i += 4
                while i < end and not (
                    data[i] == 0x3E and data[i - 1] == 0x2D and data[i - 2] == 0x2D
                ):
                    i += 1
                i += 1
                continue
            script, style = _is_at(data, i + 1, end, _SCRIPT), _is_at(data, i + 1, end, _STYLE)
            i = _tag_end(data, i + 1, end)
            if script or style:
                while i < end and not (
                    data[i] == 0x3C
                    and (
                        (script and _is_at(data, i, end, _END_SCRIPT))
                        or (style and _is_at(data, i, end, _END_STYLE))
                    )
                ):
                    i += 1
        found[row] = chars
