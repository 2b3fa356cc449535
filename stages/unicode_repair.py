"""Unicode repaired: ftfy (Speer 2019, doi:10.5281/zenodo.2591652) and NFC, on the lines that may need them.

A kernel flags lines that ftfy might change; it may flag too many, never too few (a test compares with ftfy itself).
So clean text costs one pass over its bytes, and the result is that of `ftfy.fix_text` on the whole text.
"""

import unicodedata
from functools import cache
from typing import Any

import ftfy
import numpy as np
import regex
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from ftfy.chardata import CONTROL_CHARS, LIGATURES, WIDTH_MAP
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.edits import UnicodeRepair
from coursepack.stages.characters import BYTES, CODE_POINTS, INDEX, decode, every_code_point
from coursepack.stages.spans import Spans, collect, count_byte, no_spans

_NEVER, _ALWAYS, _AUTO = range(3)
_NAMES = ("line_break", "unicode")
_LINE_BREAK, _REPAIR = range(2)

# Why a line was flagged, as bits: CR LF at its end; something that ftfy changes for sure, or perhaps; and
# what the choice of fixes depends on.
_CRLF, _FIX, _MOJIBAKE, _NFC, _YOUNG, _MARKUP = (1 << k for k in range(6))

# Characters that take part in normalization and came after Unicode 14, the oldest that a supported Python
# knows: a line that holds one is not normalized, so that the result is the same under every Python.
_YOUNG_CHARACTERS = (
    "[\u05c8\u05c9\u0897\u1acf-\u1af0\U000105c9\U000105e4\U00010d69-\U00010d6d\U00010ecb-\U00010ecf"
    "\U00010ef0-\U00010efb\U00010efd-\U00010eff\U00011383\U00011385\U0001138e\U00011391\U000113b8"
    "\U000113bb\U000113c2\U000113c5\U000113c7-\U000113c9\U000113ce-\U000113d0\U00011f41\U00011f42"
    "\U0001611e-\U00016129\U0001612f\U00016d67-\U00016d6a\U0001d127\U0001d128\U0001d250-\U0001d252"
    "\U0001d25b\U0001d25c\U0001d25f\U0001d280\U0001d281\U0001e08f\U0001e4ec-\U0001e4ef\U0001e5ee"
    "\U0001e5ef\U0001e6e3\U0001e6e6\U0001e6ee\U0001e6ef\U0001e6f5]"
)
# The kernel's classes of combination: a combining class (Unicode's, 1 to 240), or one of these.
_YOUNG_ORDER, _UNSTABLE = 254, 255
_COMBINING_CLASSES = (
    1,
    *range(6, 37),
    84,
    91,
    103,
    107,
    118,
    122,
    129,
    130,
    132,
    202,
    214,
    216,
    218,
)
_COMBINING_CLASSES += (220, 222, 224, 226, 228, 230, 232, 233, 234, 240)
_BLOCK = 32  # bytes that are passed over at once
_REACH, _AGREE = 24, 8  # how far differing texts may drift, and for how long they then agree

# Pairs of neighbours of which ftfy's pattern of mojibake (ftfy.badness) needs at least one.
_ACCENTED = "{lower_accented}{upper_accented}"
_OTHERS = "{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}"
_PAIRS = (
    (_ACCENTED + _OTHERS + "{bad}{lower_common}{upper_common}", "{bad}"),
    ("{bad}", _ACCENTED + _OTHERS),
    ("{lower_accented}{lower_common}{box}{end_punctuation}{currency}{numeric}", "{upper_accented}"),
    ("{box}{end_punctuation}{currency}{numeric}", "{lower_accented}"),
    (_ACCENTED + "{box}{end_punctuation}", "{currency}"),
    ("{upper_accented}{box}", "{numeric}{law}"),
    (_ACCENTED + "{box}{currency}{numeric}{end_punctuation}", "{start_punctuation}"),
    (_ACCENTED + "{currency}{numeric}{box}{law}", "{end_punctuation}"),
    ("{box}", "{kaomoji}"),
    (_ACCENTED + "{currency}{numeric}{start_punctuation}{end_punctuation}{law}", "{box}"),
    ("{upper_accented}", "°"),
    ("Œœ", "\x00-@\\[-`{{-\U0010ffff"),
    ("ÂÃÎÐ", " ¡€œŠš¢£Ÿž\xa0\xad®©°·»–—´{start_punctuation}{end_punctuation}"),
    ("×", "²³"),
    ("ØÙ", "ŸŠ®°µ»{common}{currency}{bad}{numeric}{start_punctuation}"),
    ("à", "²µ¹¼½¾"),
    ("√", "±∂†≠®™´≤≥¥µø"),
    ("≈", "°¢"),
    ("‚", "Äâó"),
    ("вВГРСΒΓΞΟ", "Ђ°µў{bad}{start_punctuation}{end_punctuation}{currency}"),
    ("β", "€"),
    ("ā", "€"),
)


def unicode_spans(text: Text, settings: UnicodeRepair) -> Spans:
    """What ftfy would change, in the smallest ranges that a look-ahead finds, never larger than a line.

    The edited text is that of `ftfy.fix_text` with the same fixes, which goes line by line and repeats them until
    nothing changes. A second edit changes nothing, save where a line was broken in two, or where
    `entities = "auto"` finds markup in the new text. Lines that are not UTF-8 stay as they are.
    """
    offsets, data = text_buffers(text)
    count = len(offsets) - 1
    most = count_byte(data[offsets[0] : offsets[-1]], 0x0A) + count
    rows, starts, ends = (np.empty(most, np.int64) for _ in range(3))
    reasons = np.empty(most, np.uint8)
    changed, order, classes, pairs = _tables(settings)
    entities = {False: _NEVER, True: _ALWAYS, "auto": _AUTO}[settings.entities]
    found = np.zeros(1, np.int64)
    _flag(
        offsets,
        data,
        changed,
        order,
        classes,
        pairs,
        entities,
        settings.line_breaks,
        rows,
        starts,
        ends,
        reasons,
        found,
    )
    if found[0] == 0:
        return no_spans(count, _NAMES)
    rows, starts, ends = rows[: found[0]], starts[: found[0]], ends[: found[0]]
    reasons = reasons[: found[0]]
    plain = (reasons & _CRLF != 0) & (reasons & (_FIX | _MOJIBAKE | _NFC) == 0)
    # CR LF goes by arrays alone; the other lines go to ftfy, one by one.
    texts: dict[bytes, int] = {b"\n": 0}
    finds: list[tuple[int, int, int, int]] = []
    for k in np.flatnonzero(~plain).tolist():
        row, first = int(rows[k]), int(offsets[rows[k]])
        for start, end, new in _repair(data[starts[k] : ends[k]].tobytes(), reasons[k], settings):
            at = int(starts[k]) - first
            finds.append((row, at + start, at + end, texts.setdefault(new, len(texts))))
    mended = np.array(finds, np.int64).reshape(-1, 4).T
    last = ends[plain] - offsets[rows[plain]]
    kinds = np.repeat(np.array([_LINE_BREAK, _REPAIR], np.int16), [len(last), len(finds)])
    return collect(
        count,
        np.concatenate([rows[plain], mended[0]]),
        np.concatenate([last - 2, mended[1]]),
        np.concatenate([last, mended[2]]),
        kinds,
        _NAMES,
        tuple(texts),
        np.concatenate([np.zeros(len(last), np.int64), mended[3]]),
    )


def _repair(raw: bytes, reasons: int, settings: UnicodeRepair) -> list[tuple[int, int, bytes]]:
    """What changes in a flagged line: first byte, byte behind the last, bytes in place."""
    try:
        line = raw.decode()
    except UnicodeDecodeError:
        return []
    may_normalize = settings.nfc and not reasons & _YOUNG
    if not (
        reasons & (_FIX | _CRLF)
        or (reasons & _MOJIBAKE and is_bad(line))
        or (may_normalize and reasons & _NFC and not unicodedata.is_normalized("NFC", line))
    ):
        return []
    fixed = ftfy.fix_text(line, _fixes(settings, bool(reasons & _MARKUP), may_normalize))
    found, done, byte = [], 0, 0
    for start, end, new in differences(line, fixed):
        first = byte + len(line[done:start].encode())
        done, byte = end, first + len(line[start:end].encode())
        found.append((first, byte, new.encode()))
    return found


@cache
def _fixes(settings: UnicodeRepair, markup: bool, normalize: bool) -> ftfy.TextFixerConfig:
    entities = False if markup and settings.entities == "auto" else settings.entities
    return ftfy.TextFixerConfig(
        unescape_html=entities,
        remove_terminal_escapes=settings.terminal_escapes,
        fix_encoding=settings.mojibake,
        fix_c1_controls=settings.mojibake,
        fix_latin_ligatures=settings.ligatures,
        fix_character_width=settings.widths,
        uncurl_quotes=settings.quotes,
        fix_line_breaks=settings.line_breaks,
        remove_control_chars=settings.control_characters,
        normalization="NFC" if normalize else None,
        explain=False,
    )


def differences(old: str, new: str) -> list[tuple[int, int, str]]:
    """Ranges of `old` and what stands there in `new`, so that all else is the same in both.

    Where the texts part, they meet again at the nearest place from which eight characters agree, or both end;
    without one within 24 characters, all up to their common end is one range.
    """
    found: list[tuple[int, int, str]] = []
    i = j = 0
    while True:
        same = _common_start(old, i, new, j)
        i, j = i + same, j + same
        if i == len(old) and j == len(new):
            return found
        a, b = _meeting(old, i, new, j)
        found.append((i, i + a, new[j : j + b]))
        i, j = i + a, j + b


def _common_start(old: str, i: int, new: str, j: int) -> int:
    size, step = 0, 1
    while step:
        piece = old[i + size : i + size + step]
        if len(piece) == step and piece == new[j + size : j + size + step]:
            size, step = size + step, step * 2
        else:
            step //= 2
    return size


def _meeting(old: str, i: int, new: str, j: int) -> tuple[int, int]:
    """How far to go on in both texts."""
    for total in range(1, 2 * _REACH + 1):
        for a in range(max(0, total - _REACH), min(total, _REACH) + 1):
            b = total - a
            if i + a > len(old) or j + b > len(new):
                continue
            if old[i + a : i + a + _AGREE] == new[j + b : j + b + _AGREE]:
                return a, b
    a, b = len(old) - i, len(new) - j
    while a and b and old[i + a - 1] == new[j + b - 1]:
        a, b = a - 1, b - 1
    return a, b


@cache
def _tables(settings: UnicodeRepair) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By code point: uint8 whether a fix always changes it, its class of combination, its class among
    neighbours; and bool by two of these classes, whether such neighbours may be mojibake."""
    changed = np.zeros(CODE_POINTS, np.uint8)
    order = np.zeros(CODE_POINTS, np.uint8)
    classes, pairs = np.zeros(CODE_POINTS, np.uint8), np.zeros((1, 1), np.bool_)
    if settings.control_characters:
        changed[list(CONTROL_CHARS)] = 1
    if settings.terminal_escapes:
        changed[0x1B] = 1
    if settings.line_breaks:
        changed[[0x0D, 0x85, 0x2028, 0x2029]] = 1
    if settings.ligatures:
        changed[list(LIGATURES)] = 1
    if settings.widths:
        changed[list(WIDTH_MAP)] = 1
    if settings.quotes:
        changed[[0x2BC, *range(0x2018, 0x2020)]] = 1
    if settings.mojibake:
        changed[0x80:0xA0] = 1
        classes, pairs = _neighbours()
    if settings.nfc:
        order = _combination()
    return changed, order, classes, pairs


def _neighbours() -> tuple[np.ndarray, np.ndarray]:
    """Characters that are in the same sides of the same pairs are one class; 0 is in none."""
    plane = every_code_point()[:0x10000]  # no pattern names a character beyond
    sides = [side.format(**MOJIBAKE_CATEGORIES) for pair in _PAIRS for side in pair]
    packed = np.zeros(len(plane), np.uint64)
    for k, side in enumerate(sides):
        for run in regex.finditer(f"[{side}]+", plane):
            packed[run.start() : run.end()] |= np.uint64(1 << k)
    kinds, found = np.unique(packed, return_inverse=True)
    classes = np.full(CODE_POINTS, found[-1], np.uint8)
    classes[: len(plane)] = found
    first = (kinds[:, None] >> np.arange(0, len(sides), 2, dtype=np.uint64)) & np.uint64(1)
    second = (kinds[:, None] >> np.arange(1, len(sides), 2, dtype=np.uint64)) & np.uint64(1)
    return classes, (first @ second.T) > 0


def _combination() -> np.ndarray:
    """0 for what stands alone in NFC, the combining class of a mark, _UNSTABLE for what NFC may change."""
    order = np.zeros(CODE_POINTS, np.uint8)
    marks = "".join(regex.findall(r"\P{ccc=0}", every_code_point()))
    order[[ord(c) for c in marks]] = _UNSTABLE
    known = [(rf"\p{{ccc={number}}}", number) for number in _COMBINING_CLASSES]
    unstable = (r"[\p{NFC_QC=N}\p{NFC_QC=M}]", _UNSTABLE)
    for pattern, kind in (*known, unstable, (_YOUNG_CHARACTERS, _YOUNG_ORDER)):
        where = every_code_point() if kind == _YOUNG_ORDER or pattern == unstable[0] else marks
        order[[ord(c) for c in regex.findall(pattern, where)]] = kind
    return order


@njit(nogil=True, cache=True)
def _is_plain(block: np.ndarray) -> bool:
    """Whether a block holds ASCII without `&` and control characters but tab and line feed."""
    found = np.uint8(0)
    for i in range(len(block)):
        byte = block[i]
        control = (byte < 0x20) & (byte != 0x0A) & (byte != 0x09)
        found |= np.uint8((byte >= 0x7F) | control | (byte == 0x26))
    return bool(found == 0)


@njit(nogil=True, cache=True)
def _is_entity(data: np.ndarray, i: int, end: int) -> bool:
    """Whether `&`, perhaps `#`, 1 to 24 ASCII letters or digits and `;` start at i."""
    i += 1
    if i < end and data[i] == 0x23:
        i += 1
    size = 0
    while i < end and size < 25:
        byte = data[i]
        if not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A):
            break
        size += 1
        i += 1
    return 1 <= size <= 24 and i < end and data[i] == 0x3B


@njit(
    types.void(
        INDEX,
        BYTES,
        BYTES,
        BYTES,
        BYTES,
        types.Array(types.boolean, 2, "C", readonly=True),
        types.int64,
        types.boolean,
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.uint8[::1],
        types.int64[::1],
    ),
    nogil=True,
    cache=True,
)
def _flag(
    offsets: np.ndarray,
    data: np.ndarray,
    changed: np.ndarray,
    order: np.ndarray,
    classes: np.ndarray,
    pairs: np.ndarray,
    entities: int,
    line_breaks: bool,
    rows: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    reasons: np.ndarray,
    found: np.ndarray,
) -> None:
    count = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        i = begin
        line_end = begin  # of the line flagged last
        markup, seen = False, begin  # whether a `<` stands before `seen`
        slow_until = begin
        last_class: Any = np.int64(0)  # 0 behind ASCII, as is the order
        last_order: Any = np.int64(0)
        while i < end:
            if i >= slow_until and last_class == 0 and last_order == 0:
                if i + _BLOCK <= end and _is_plain(data[i : i + _BLOCK]):
                    i += _BLOCK
                    continue
                slow_until = i + _BLOCK
            code: Any = np.int64(data[i])
            width: Any = np.int64(1)
            reason = 0
            if code < 0x80:
                if last_class > 0 and pairs[last_class, classes[code]]:
                    reason = _MOJIBAKE
                if code == 0x26:
                    if entities != _NEVER and _is_entity(data, i, end):
                        reason |= _FIX
                elif changed[code]:
                    reason |= _FIX
                    if code == 0x0D and i + 1 < end and data[i + 1] == 0x0A:
                        reason = (reason ^ _FIX) | _CRLF
                last_class, last_order = np.int64(0), np.int64(0)
            else:
                code, width = decode(data, i, end)
                kind, rank = classes[code], order[code]
                if changed[code]:
                    reason = _FIX
                if last_class > 0 and pairs[last_class, kind]:
                    reason |= _MOJIBAKE
                if rank == _YOUNG_ORDER:
                    reason |= _YOUNG
                elif rank == _UNSTABLE or (rank != 0 and rank < last_order):
                    reason |= _NFC
                last_class, last_order = np.int64(kind), np.int64(rank)
            if reason != 0:
                if i >= line_end:
                    start = i
                    while start > max(begin, line_end) and data[start - 1] != 0x0A:
                        start -= 1
                    line_end = i
                    while line_end < end and data[line_end] != 0x0A:
                        line_end += 1
                    line_end = min(line_end + 1, end)
                    while seen < line_end and not markup:
                        markup = data[seen] == 0x3C
                        seen += 1
                    rows[count], starts[count], ends[count] = row, start, line_end
                    reasons[count] = _MARKUP if markup else 0
                    count += 1
                if code == 0x26 and markup and entities == _AUTO:
                    reason ^= _FIX
                reasons[count - 1] |= reason
            i += width
    found[0] = count
