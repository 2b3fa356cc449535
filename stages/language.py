"""The language of a text by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759).

The model sees a bounded sample of each text, so that speed does not depend on the length of documents:
windows from all over it, of its prose only, for code and mark-up are half English. The windows' own
answers tell mixed texts. The model files are licensed CC BY-SA 3.0 and are not part of coursepack.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, int32s, ratio, text_buffers
from coursepack.stages.characters import BYTES, INDEX, characters, decode, load8, store8, without
from coursepack.stages.linear import best_labels, load_classifier, sum_lines

# Of 9,648 labelled texts in 30 languages (documentation, novels, Bible, Wikipedia), 5 windows of 200 bytes
# give 99.6 % of the labels, as 3 of 300 and 6 of 150 do; with code and mark-up left in, 96.8 %.
WINDOW_BYTES = 200
WINDOWS = 5
SAMPLE_BYTES = WINDOWS * WINDOW_BYTES
# A window that is less sure has no say in `languages`: at 0.7, 0.03 % of pure paragraphs and novels
# are called mixed, and 99.7 % of texts made of two languages, one fifth of the text or more each.
SURE = 0.7

# A text with less prose than this is measured as a whole, code and all.
_LEAST_PROSE = 100
# A window's bounds move up to so many bytes to the next space; mark-up ends within so many.
_WORD, _TAG, _CODE_SPAN = 40, 300, 100
# Of each byte: 1 of an ASCII letter; 0 of what else stands in a sample as it is; _OTHER of what may not.
_OTHER = 16
_PLAIN = np.array(
    [
        chr(byte).isalpha() if 0x20 <= byte < 0x7F and chr(byte) not in "`<]" else _OTHER
        for byte in range(256)
    ],
    np.uint8,
)
_LOW = np.uint64(0x0101010101010101)
_BACKTICKS, _TILDES = np.uint64(0x6060606060606060), np.uint64(0x7E7E7E7E7E7E7E7E)


def identify(text: Text, model: str) -> tuple[pa.Array, pa.Array]:
    """`language` and `language_score` of `language_signals`."""
    signals = language_signals(text, model)
    return signals.column("language"), signals.column("language_score")


def language_signals(text: Text, model: str) -> pa.RecordBatch:
    """One column a signal, one row a text. `model` is a file from `model_path`, read once a process.

    `language` (string: the model's ISO code, such as "en"; Chinese of all kinds is "zh") and
    `language_score` (float64, its probability rounded to 3 decimals) are those of the whole sample. Both are
    null where the sample holds no letter, as of a null text.

    `languages` (int32) counts the different languages of the windows that are sure of theirs.
    `second_language` (string) is the one of them with most letters that is not `language`, null where there
    is none, and `second_language_share` (float64) its share of the letters in sure windows: 0 without a
    second language, null without a sure window.

    The sample is up to WINDOWS windows of about WINDOW_BYTES from start to end of the text without fenced code
    blocks; in them, tags, URLs, targets of links and code between backticks count as spaces.
    """
    samples, starts, letters = _samples(text)
    rows = len(letters)
    classifier = load_classifier(model)
    row, window = np.nonzero(letters)
    sums, counts = sum_lines(starts[row, window], starts[row, window + 1], samples, classifier)
    labels = np.full(letters.shape, -1, np.int32)
    found, probabilities = best_labels(sums, counts, classifier)
    labels[row, window] = np.where(np.round(probabilities, 3) >= SURE, found, -1)

    # The whole sample: the sums of its windows, added.
    first = np.flatnonzero(np.diff(row, prepend=-1))
    language, score = np.full(rows, -1, np.int32), np.zeros(rows)
    if len(first):
        language[row[first]], score[row[first]] = best_labels(
            np.add.reduceat(sums, first), np.add.reduceat(counts, first), classifier
        )
    names = pa.array(classifier.labels, pa.string())
    unknown = language < 0
    several, second, share = _mixture(labels, letters, language)
    return pa.RecordBatch.from_pydict(
        {
            "language": names.take(pa.array(language, mask=unknown)),
            "language_score": pa.array(np.round(score, 3), mask=unknown),
            "languages": int32s(several),
            "second_language": names.take(pa.array(second, mask=second < 0)),
            "second_language_share": share,
        }
    )


def _mixture(
    labels: np.ndarray, letters: np.ndarray, language: np.ndarray
) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """How many languages, the second one (-1: none) and its share, from (rows, windows) matrices."""
    sure = labels >= 0
    same = (labels[:, :, None] == labels[:, None, :]) & sure[:, :, None]
    earlier = np.tril(np.ones((WINDOWS, WINDOWS), bool), -1)
    several = (sure & ~(same & earlier).any(axis=2)).sum(axis=1)
    weights = (same * letters[:, None, :]).sum(axis=2)
    weights[labels == language[:, None]] = 0
    most = weights.argmax(axis=1)[:, None]
    weight = np.take_along_axis(weights, most, 1)[:, 0]
    second = np.where(weight > 0, np.take_along_axis(labels, most, 1)[:, 0], -1)
    return several, second, ratio(weight, (letters * sure).sum(axis=1))


def _samples(text: Text) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The windows of all texts in one uint8 buffer, their bounds (int64, (rows, WINDOWS + 1)) and how many
    letters each holds (int64, (rows, WINDOWS)); windows that a text has not are empty."""
    offsets, data = text_buffers(text)
    rows = len(offsets) - 1
    longest = int(np.diff(offsets).max(initial=0))
    room = np.minimum(np.diff(offsets), SAMPLE_BYTES) + WINDOWS * (_WORD + 4)
    samples = np.empty(room.sum(), np.uint8)
    starts = np.zeros((rows, WINDOWS + 1), np.int64)
    letters = np.zeros((rows, WINDOWS), np.int64)
    spans = np.empty((longest // 8 + 2, 2), np.int64)  # the shortest fenced block takes 8 bytes
    _sample(offsets, data, characters().is_letter, spans, samples, starts, letters)
    return samples, starts, letters


@njit(nogil=True, cache=True)
def _fence(data: np.ndarray, i: int, start: int, end: int) -> int:
    """The mark (` or ~) of which three or more at byte i begin a line, after spaces and `>`; else 0."""
    mark = data[i]
    if (mark != 0x60 and mark != 0x7E) or i + 2 >= end:
        return 0
    if data[i + 1] != mark or data[i + 2] != mark:
        return 0
    while i > start and (data[i - 1] == 0x20 or data[i - 1] == 0x09 or data[i - 1] == 0x3E):
        i -= 1
    return mark if i == start or data[i - 1] == 0x0A else 0


@njit(nogil=True, cache=True)
def _prose(data: np.ndarray, start: int, end: int, spans: np.ndarray) -> tuple[int, int]:
    """Fills `spans` with the parts of data[start:end] outside fenced blocks: their number, and their bytes."""
    count = size = 0
    mark = 0  # of the block we are in
    a = i = start
    while i < end:
        while i + 8 <= end:
            held = load8(data, i)
            if not (without(held, _BACKTICKS) and without(held, _TILDES)):
                break
            i += 8
        while i < end and data[i] != 0x60 and data[i] != 0x7E:
            i += 1
        if i == end:
            break
        found = _fence(data, i, start, end)
        if found == 0 or (mark != 0 and found != mark):
            i += 1
            continue
        if mark == 0 and i > a:
            spans[count, 0], spans[count, 1] = a, i
            count += 1
            size += i - a
        while i < end and data[i] != 0x0A:
            i += 1
        mark = found if mark == 0 else 0
        a = i
    if mark == 0 and end > a:
        spans[count, 0], spans[count, 1] = a, end
        count += 1
        size += end - a
    return count, size


@njit(nogil=True, cache=True)
def _cut(data: np.ndarray, spans: np.ndarray, count: int, at: Any) -> Any:
    """Where the prose's byte number `at` stands in `data`, moved to the next space or character."""
    for k in range(count):
        size = spans[k, 1] - spans[k, 0]
        if at < size:
            i, end = spans[k, 0] + at, spans[k, 1]
            if at == 0:
                return i
            for j in range(i, min(i + _WORD, end)):
                if data[j] == 0x20 or data[j] == 0x0A:
                    return j
            for _ in range(3):
                if i < end and data[i] & 0xC0 == 0x80:
                    i += 1
            return i
        at -= size
    return spans[count - 1, 1]


@njit(nogil=True, cache=True)
def _find(data: np.ndarray, i: int, end: int, wanted: int, other: int) -> int:
    """The first byte `wanted` in data[i:end], on this line and before `other`, or -1."""
    while i < end and data[i] != 0x0A:
        if data[i] == wanted:
            return i
        if data[i] == other:
            return -1
        i += 1
    return -1


@njit(nogil=True, cache=True)
def _may_hold_url(eight: Any, following: Any) -> Any:
    """Whether `ht` or `ww` may start in eight bytes; `following` are those from the next byte on."""
    h, t = eight ^ uint64(0x6868686868686868), following ^ uint64(0x7474747474747474)
    w, w_1 = eight ^ uint64(0x7777777777777777), following ^ uint64(0x7777777777777777)
    # A high bit in both of a pair where both were met; elsewhere seldom, which costs a look.
    found = (h - _LOW) & (t - _LOW) | (w - _LOW) & (w_1 - _LOW)
    return found & uint64(0x8080808080808080) != 0


@njit(nogil=True, cache=True)
def _markup_end(data: np.ndarray, i: int, end: int) -> int:
    """The end of what begins at byte i and is not prose (a tag, URL, link target or code), or i."""
    byte = data[i]
    if byte == 0x60:  # `code`
        found = _find(data, i + 1, min(end, i + _CODE_SPAN), 0x60, 0)
        return found + 1 if found >= 0 else i
    if i + 4 >= end:
        return i
    following = data[i + 1]
    if byte == 0x3C:  # <tag>, </tag>, <!...>
        lower = following | 0x20
        if not (0x61 <= lower <= 0x7A or following == 0x2F or following == 0x21):
            return i
        found = _find(data, i + 1, min(end, i + _TAG), 0x3E, 0x3C)
        return found + 1 if found >= 0 else i
    if byte == 0x5D and following == 0x28:  # ](target)
        found = _find(data, i + 2, min(end, i + _TAG), 0x29, 0x20)
        return found + 1 if found >= 0 else i
    url = byte == 0x77 and following == 0x77 and data[i + 2] == 0x77 and data[i + 3] == 0x2E
    if byte == 0x68 and following == 0x74 and data[i + 2] == 0x74 and data[i + 3] == 0x70:
        j = i + 5 if data[i + 4] == 0x73 else i + 4
        url = j + 2 < end and data[j] == 0x3A and data[j + 1] == 0x2F and data[j + 2] == 0x2F
    if (
        url
    ):  # to a space, quote, bracket or a byte that is not ASCII: no Chinese follows into the URL
        while i < end and 0x20 < data[i] < 0x80 and data[i] != 0x22 and data[i] != 0x29:
            if data[i] == 0x3C or data[i] == 0x3E:
                break
            i += 1
    return i


@njit(
    types.void(
        INDEX,
        BYTES,
        BYTES,
        types.int64[:, ::1],
        types.uint8[::1],
        types.int64[:, ::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _sample(
    offsets: np.ndarray,
    data: np.ndarray,
    is_letter: np.ndarray,
    spans: np.ndarray,
    samples: np.ndarray,
    starts: np.ndarray,
    letters: np.ndarray,
) -> None:
    n = 0
    for row in range(len(letters)):
        start, end = offsets[row], offsets[row + 1]
        starts[row, :] = n
        count, size = _prose(data, start, end, spans)
        if size < _LEAST_PROSE and start < end:
            spans[0, 0], spans[0, 1] = start, end
            count, size = 1, end - start
        if count == 0:
            continue
        windows = min(max(size // WINDOW_BYTES, 1), WINDOWS)
        for w in range(windows):
            # Up to SAMPLE_BYTES all of the text, else windows at equal distances.
            a, b = size * w // windows, size * (w + 1) // windows
            if size > SAMPLE_BYTES:
                a = (size - WINDOW_BYTES) * w // (WINDOWS - 1)
                b = a + WINDOW_BYTES
            a, b = _cut(data, spans, count, a), _cut(data, spans, count, b)
            for k in range(count):
                i, last = max(a, spans[k, 0]), min(b, spans[k, 1])
                while i < last:
                    while i + 8 < last:
                        eight = load8(data, i)
                        found = uint64(0)
                        for j in range(8):
                            found += _PLAIN[eight >> uint64(8 * j) & uint64(0xFF)]
                        if found >= _OTHER or _may_hold_url(eight, load8(data, i + 1)):
                            break
                        store8(eight, samples, n)
                        letters[row, w] += found
                        n += 8
                        i += 8
                    byte = data[i]
                    if _PLAIN[byte] < _OTHER and byte != 0x68 and byte != 0x77:  # h and w: URLs
                        samples[n] = byte
                        n += 1
                        letters[row, w] += _PLAIN[byte]
                        i += 1
                        continue
                    after = _markup_end(data, i, spans[k, 1])
                    if after > i:
                        i = after
                        samples[n] = 0x20
                        n += 1
                        continue
                    code, width = decode(data, i, spans[k, 1])
                    # Invalid bytes and control characters, newlines among them, become spaces.
                    bad = code < 0x20 or code == 0x7F or (code == 0xFFFD and width == 1)
                    for j in range(i, i + width):
                        samples[n] = 0x20 if bad else data[j]
                        n += 1
                    letters[row, w] += is_letter[code]
                    i += width
            starts[row, w + 1 :] = n
