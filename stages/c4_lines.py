"""C4's rules on lines (Raffel et al. 2020, arXiv:1910.10683, 2.2), in the arithmetic of datatrove's `c4_filters.py`.

Its rules on documents (curly brackets, lorem ipsum, sentences) are signals of `stages/web.py`.
"""

from functools import cache

import numpy as np
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.edits import C4Lines
from coursepack.stages.characters import BYTES, INDEX, decode
from coursepack.stages.citations import find_citations
from coursepack.stages.line_edits import (
    INVISIBLE,
    KEPT,
    SPACE,
    Cuts,
    break_bytes,
    count_line_words,
    find_row_lines,
    line_spans,
    python_spaces,
    room_for_lines,
    skip_spaces,
    skip_spaces_back,
)
from coursepack.stages.spans import Spans, no_spans
from coursepack.stages.web import JAVASCRIPT, POLICY

_LONG_WORD, _NO_END, _FEW_WORDS, _JAVASCRIPT, _POLICY, _CITATION = range(1, 7)
_C4_KINDS = (
    "line:space",
    "line:long_word",
    "line:no_end_punctuation",
    "line:few_words",
    "line:javascript",
    "line:policy",
    "citation",
)
# Each phrase holds one of them; `_may_hold_phrase` has them in code.
_RARE = ("jav", "vac", "kie", "ms ")


def c4_line_spans(text: Text, settings: C4Lines) -> Spans:
    """Lines that C4 drops, white space at the ends of the others, and citations in them.

    Lines end where `str.splitlines` ends them and words are what `str.split` finds. The tests come in
    datatrove's order and the first that fails names the span. A citation is deleted before the tests on end
    punctuation and phrases, after white space was stripped: of "Foo bar. [1]" remains "Foo bar. ", which has no
    end punctuation. Phrases match in any case of ASCII letters. A second edit changes nothing, save in lines
    from which a citation was deleted: what is left may have fewer words, or close up to a new one.
    """
    offsets, data = text_buffers(text)
    rows = len(offsets) - 1
    lines = room_for_lines(offsets, data, True)
    count = len(lines.starts)
    marks = find_citations(text) if settings.citations else no_spans(rows)
    cuts = Cuts(
        np.zeros(count + 1, np.int64),
        np.empty(len(marks.starts), np.int64),
        np.empty(len(marks.starts), np.int64),
        np.full(len(marks.starts), _CITATION, np.int16),
    )
    phrases, lengths, kinds, places = _phrases(settings.javascript, settings.policies)
    longest = int(np.diff(offsets).max(initial=0)) if len(marks.starts) else 0
    most = settings.max_word_chars
    _judge(
        offsets,
        data,
        break_bytes(True),
        lines.offsets,
        lines.starts,
        lines.ends,
        lines.nexts,
        lines.lefts,
        lines.rights,
        lines.verdicts,
        marks.offsets,
        marks.starts,
        marks.ends,
        cuts.offsets,
        cuts.starts,
        cuts.ends,
        python_spaces(),
        phrases,
        lengths,
        kinds,
        places,
        np.empty(longest, np.uint8),
        settings.terminal_punctuation,
        settings.min_words,
        np.iinfo(np.int64).max if most is None else most,
    )
    return line_spans(offsets, data, lines, cuts, _C4_KINDS)


@cache
def _phrases(javascript: bool, policies: bool) -> tuple[np.ndarray, ...]:
    """Phrases as rows of bytes, their lengths and kinds, and the places of the rare letters that they hold."""
    wanted = [(JAVASCRIPT, _JAVASCRIPT)] * javascript + [(p, _POLICY) for p in POLICY] * policies
    rows = np.zeros((len(wanted), 16), np.uint8)
    for row, (phrase, _) in zip(rows, wanted, strict=True):
        row[: len(phrase)] = np.frombuffer(phrase.encode(), np.uint8)
    lengths = np.array([len(phrase) for phrase, _ in wanted], np.int64)
    kinds = np.array([kind for _, kind in wanted], np.int64)
    places = [
        next(phrase.index(piece) for piece in _RARE if piece in phrase) for phrase, _ in wanted
    ]
    return rows, lengths, kinds, np.array(places, np.int64)


@njit(nogil=True, cache=True)
def _has_long_word(
    data: np.ndarray, i: int, end: int, is_space: np.ndarray, max_chars: int
) -> bool:
    """Whether a word of data[i:end] has more code points than max_chars."""
    while end - i > max_chars:
        k = i + max_chars  # a long word from i has no space up to here
        while k > i and data[k] != 0x20:
            k -= 1
        if k == i:
            break
        i = k + 1
    chars = 0
    while i < end and chars <= max_chars and (chars > 0 or end - i > max_chars):
        code, width = decode(data, i, end)
        chars = 0 if is_space[code] else chars + 1
        i += width
    return chars > max_chars


@njit(nogil=True, cache=True)
def _may_hold_phrase(text: np.ndarray) -> bool:
    """Whether a text holds a piece of _RARE in any case; without branches, so for many bytes at a time."""
    one, two, three = text[:-2], text[1:-1], text[2:]
    found = np.uint8(0)
    for i in range(len(one)):
        a, b, c = one[i] | np.uint8(0x20), two[i] | np.uint8(0x20), three[i] | np.uint8(0x20)
        va = (a == 0x76) & (b == 0x61) & (c == 0x63)
        ja = (a == 0x6A) & (b == 0x61) & (c == 0x76)
        ki = (a == 0x6B) & (b == 0x69) & (c == 0x65)
        ms = (a == 0x6D) & (b == 0x73) & (c == 0x20)
        found |= np.uint8(va | ja | ki | ms)
    return bool(found != 0)


@njit(nogil=True, cache=True)
def _phrase_kind(
    text: np.ndarray,
    phrases: np.ndarray,
    lengths: np.ndarray,
    kinds: np.ndarray,
    places: np.ndarray,
) -> int:
    """The lowest kind of a phrase in the text, or 0."""
    found = 0
    if len(text) < 3 or not _may_hold_phrase(text):
        return found
    for i in range(len(text)):
        letter = text[i] | np.uint8(0x20)
        if not (letter == 0x6A or letter == 0x76 or letter == 0x6B or letter == 0x6D):
            continue
        for k in range(len(lengths)):
            first = i - places[k]
            if first < 0 or first + lengths[k] > len(text):
                continue
            j = 0
            while j < lengths[k]:
                byte = text[first + j]
                if 0x41 <= byte <= 0x5A:
                    byte |= 0x20
                if byte != phrases[k, j]:
                    break
                j += 1
            if j == lengths[k]:
                found = kinds[k] if found == 0 else min(found, kinds[k])
    return found


@njit(nogil=True, cache=True)
def _ends_sentence(data: np.ndarray, start: int, end: int) -> bool:
    if end == start:
        return False
    last = data[end - 1]
    if not (last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27):
        return False
    dots = last == 0x2E and end - start >= 3 and data[end - 2] == 0x2E and data[end - 3] == 0x2E
    return not dots


@njit(nogil=True, cache=True)
def _tail_verdict(
    text: np.ndarray,
    start: int,
    end: int,
    phrases: np.ndarray,
    lengths: np.ndarray,
    kinds: np.ndarray,
    places: np.ndarray,
    is_space: np.ndarray,
    terminal: bool,
    few_words: bool,
) -> int:
    """The verdict on a line without its citations, after the test on long words."""
    if terminal and not _ends_sentence(text, start, end):
        return _NO_END + 1
    if few_words:
        return _FEW_WORDS + 1
    kind = 0
    if len(lengths) > 0:
        kind = _phrase_kind(text[start:end], phrases, lengths, kinds, places)
    if kind > 0:
        return kind + 1
    return INVISIBLE if skip_spaces(text, start, end, is_space) == end else KEPT


@njit(
    types.void(
        INDEX,
        BYTES,
        BYTES,
        *(types.int64[::1],) * 6,
        types.uint8[::1],
        INDEX,
        INDEX,
        INDEX,
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        BYTES,
        types.uint8[:, ::1],
        INDEX,
        INDEX,
        INDEX,
        types.uint8[::1],
        types.boolean,
        types.int64,
        types.int64,
    ),
    nogil=True,
    cache=True,
)
def _judge(
    offsets: np.ndarray,
    data: np.ndarray,
    breaks: np.ndarray,
    line_offsets: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    nexts: np.ndarray,
    lefts: np.ndarray,
    rights: np.ndarray,
    verdicts: np.ndarray,
    mark_offsets: np.ndarray,
    mark_starts: np.ndarray,
    mark_ends: np.ndarray,
    cut_offsets: np.ndarray,
    cut_starts: np.ndarray,
    cut_ends: np.ndarray,
    is_space: np.ndarray,
    phrases: np.ndarray,
    lengths: np.ndarray,
    kinds: np.ndarray,
    places: np.ndarray,
    bare: np.ndarray,
    terminal: bool,
    min_words: int,
    max_chars: int,
) -> None:
    cuts = 0
    for row in range(len(offsets) - 1):
        mark, begin = mark_offsets[row], offsets[row]
        line_offsets[row + 1] = find_row_lines(
            data,
            begin,
            offsets[row + 1],
            breaks,
            line_offsets[row],
            line_starts,
            line_ends,
            nexts,
        )
        first, last = -1, -1  # lines of which something is seen
        for line in range(line_offsets[row], line_offsets[row + 1]):
            cut_offsets[line] = cuts
            end = skip_spaces_back(data, line_starts[line], line_ends[line], is_space)
            start = skip_spaces(data, line_starts[line], end, is_space)
            lefts[line], rights[line] = start, end
            line_cuts = cuts
            while mark < mark_offsets[row + 1] and begin + mark_starts[mark] < end:
                cut_starts[line_cuts] = begin + mark_starts[mark]
                cut_ends[line_cuts] = begin + mark_ends[mark]
                line_cuts += 1
                mark += 1
            words = min_words
            if min_words > 0:
                words = count_line_words(data, start, end, is_space, min_words)
            if _has_long_word(data, start, end, is_space, max_chars):
                verdict = _LONG_WORD + 1
            elif line_cuts == cuts:
                verdict = _tail_verdict(
                    data,
                    start,
                    end,
                    phrases,
                    lengths,
                    kinds,
                    places,
                    is_space,
                    terminal,
                    words < min_words,
                )
            else:  # what is left of the line is judged in a place of its own
                size, i = 0, start
                for k in range(cuts, line_cuts):
                    bare[size : size + cut_starts[k] - i] = data[i : cut_starts[k]]
                    size += cut_starts[k] - i
                    i = cut_ends[k]
                bare[size : size + end - i] = data[i:end]
                verdict = _tail_verdict(
                    bare,
                    0,
                    size + end - i,
                    phrases,
                    lengths,
                    kinds,
                    places,
                    is_space,
                    terminal,
                    words < min_words,
                )
            if verdict in (KEPT, INVISIBLE):
                cuts = line_cuts
            if verdict == KEPT:
                first, last = line if first < 0 else first, line
            verdicts[line] = verdict
            cut_offsets[line + 1] = cuts
        # Nothing but white space stands before the first line seen, or behind the last.
        for line in range(line_offsets[row], line_offsets[row + 1]):
            if verdicts[line] == INVISIBLE:
                verdicts[line] = KEPT if first < line < last else SPACE + 1
        if first >= 0:
            i = lefts[first]
            for k in range(cut_offsets[first], cut_offsets[first + 1]):
                if cut_starts[k] != i:
                    break
                until = rights[first]
                if k + 1 < cut_offsets[first + 1]:
                    until = cut_starts[k + 1]
                i = cut_ends[k] = skip_spaces(data, cut_ends[k], until, is_space)
            i = rights[last]
            for k in range(cut_offsets[last + 1] - 1, cut_offsets[last] - 1, -1):
                if cut_ends[k] != i:
                    break
                since = lefts[last]
                if k > cut_offsets[last]:
                    since = cut_ends[k - 1]
                i = cut_starts[k] = skip_spaces_back(data, since, cut_starts[k], is_space)
