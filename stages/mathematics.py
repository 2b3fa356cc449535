"""Mathematics in a text: LaTeX, formulas between delimiters, Unicode's signs, what web pages leave of formulas,
and sums with numbers.

OpenWebMath (Paster et al. 2023, arXiv:2310.06786) finds pages by LaTeX commands, MathJax and MathML; FineMath
(Allal et al. 2025, arXiv:2502.02737) and Proof-Pile-2 (Azerbayev et al. 2023, arXiv:2310.10631) keep what has many
formulas. Delimiters are Pandoc's, made stricter: see `math_signals`.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, int32s, ratio, text_buffers
from coursepack.stages.characters import (
    AROUND,
    BYTES,
    CODE_POINTS,
    INDEX,
    UINT64S,
    bits_of,
    chars_of,
    code_point_runs,
    copy_around,
    decode,
    has_around,
    lowest_bit,
)

_GREEK = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau
upsilon phi chi psi omega
"""
_MATHEMATICS = """
frac dfrac tfrac sqrt sum prod int iint oint lim limsup liminf sup inf min max log ln exp sin
cos tan cot sec csc arcsin arccos arctan sinh cosh tanh det dim ker gcd deg arg mod bmod pmod
cdot cdots ldots dots vdots ddots times div pm mp ast star circ bullet oplus otimes wedge vee
cap cup setminus subset subseteq supset supseteq in notin ni emptyset varnothing forall exists
nexists neg lnot land lor to mapsto rightarrow leftarrow Rightarrow Leftarrow leftrightarrow
Leftrightarrow longrightarrow implies iff le leq ge geq ne neq equiv approx sim simeq cong
propto ll gg prec succ mid nmid parallel perp infty partial nabla hbar ell Re Im aleph angle
triangle square Box Diamond top bot vdash models left right big Big bigg Bigg bigl bigr langle
rangle lfloor rfloor lceil rceil lvert rvert Vert hat bar vec tilde dot ddot overline underline
widehat widetilde overrightarrow overbrace underbrace mathbb mathbf mathrm mathcal mathfrak
mathsf mathit mathscr boldsymbol operatorname binom choose stackrel overset underset limits
nolimits quad qquad text mbox hfill prime dagger colon varepsilon vartheta varpi varrho varsigma
varphi bigcup bigcap bigoplus bigotimes
"""
_WRITING = """
begin end documentclass usepackage newcommand renewcommand def section subsection subsubsection
chapter paragraph title author maketitle label ref eqref cite citep citet item footnote caption
includegraphics emph textbf textit texttt textrm textsc textsf centering hline input include
bibliography displaystyle textstyle scriptstyle tag nonumber noindent newtheorem
"""
COMMANDS = tuple(f"{_GREEK} {_GREEK.title()} {_MATHEMATICS} {_WRITING}".split())
PREAMBLE = ("documentclass", "usepackage")
# Environments whose text is a formula, and others of mathematics; each may end in a star.
_FORMULAS = "equation align gather multline eqnarray flalign alignat math displaymath dmath"
_ENVIRONMENTS = """
array matrix pmatrix bmatrix vmatrix Vmatrix smallmatrix cases split aligned gathered theorem
lemma proof definition corollary proposition remark example exercise problem solution conjecture
claim thm lem prop cor defn rem
"""
FORMULAS = tuple(_FORMULAS.split())
ENVIRONMENTS = (*FORMULAS, *_ENVIRONMENTS.split())
# What an extractor leaves of a page's formulas: entities, tags of MathML, tags of forums, programs.
_ENTITIES = """
sum prod int radic infin ne le ge plusmn minus part nabla isin notin forall exist cap cup sub
sup sube supe and or equiv asymp cong prop empty rarr rArr hArr
"""
_TAGS = "math mi mo mn mrow msup msub mfrac msqrt msubsup mtable mtext munder mover"
ENTITIES = tuple(f"{_GREEK} {_GREEK.title()} {_ENTITIES}".split())
TAGS = tuple(_TAGS.split())
BRACKETED = ("tex", "latex", "itex")
RENDERERS = ("mathjax", "mimetex", "katex")

INLINE_BYTES = 20  # of a formula without any sign of one

# What a name may be.
_COMMAND, _PREAMBLE, _BEGIN, _END, _DISPLAYSTYLE, _FORMULA, _OTHER, _DOCUMENT, _REMNANT = range(
    1, 10
)
_SLOTS = 2048
_STEP = np.uint64(0x9E3779B97F4A7C15)
_NAME_BYTES = 24

# Kinds of bytes that the kernel stops at.
_BACKSLASH, _DOLLAR, _DIGIT, _OPENER, _LETTER_X, _WIDE = range(1, 7)
# Bits of a code point.
_SYMBOL, _GREEK_LETTER = 1, 2

# What the kernel counts of a row, in this order.
_COUNTS = (
    "chars",
    "latex_commands",
    "latex_environments",
    "preambles",
    "math_chars",
    "symbols",
    "remnants",
    "arithmetic_chars",
)


def math_signals(text: Text) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32, ratios float64, per code point, null for an empty text; `has_latex_preamble` is bool.

    `latex_commands`: a backslash and a name of COMMANDS, so paths of Windows, escapes and macros of
    one's own do not count. `latex_environments`: `\\begin` of one of ENVIRONMENTS, perhaps starred.
    `has_latex_preamble`: `\\documentclass`, `\\usepackage` or `\\begin{document}`.

    `math_char_ratio`: code points of formulas with their delimiters. These are the environments FORMULAS,
    and `$...$`, `$$...$$`, `\\(...\\)` and `\\[...\\]` without a blank line inside. As dollars are also money and
    variables, and brackets are escaped elsewhere too,
    - an inline formula has no white space at its ends, no letter, digit or `_` before it, no digit, `(`, `{`
      or `<<` behind it ("$5 and $10" is none); and no letter, if it has white space in it;
    - between dollars stands a sign of mathematics (a command, a power, an index, `= + < >`) or what is
      short: at most INLINE_BYTES, or 3 before a letter, without `: ; @`, four letters in a row, or white
      space except after commas; no quotes or backquotes; and digits with words of three letters need more
      than `= + < >`;
    - between brackets stands a command, a power, an index, `=` or `+`, or at most two bytes in round ones.

    `math_symbol_ratio`: code points past ASCII with Unicode's property Math, and Greek letters with
    no Greek letter beside them.

    `mathml_remnants`: tags of MathML, entities of ENTITIES, `[tex]` and the like, MathJax, KaTeX, mimeTeX,
    `$latex `, `\\displaystyle`, and commands that start an attribute's value (`alt="\\frac`).

    `arithmetic_ratio`: digits and operators of sums: numbers joined by `+ - * / ^ = × ÷ −` (or an x between
    spaces), with at most four spaces, dollars, round or angle brackets on either side of an operator. A sum that
    has only `-` or `/` is a date, a range or a fraction, and does not count.
    """
    offsets, data = text_buffers(text)
    found = np.zeros((len(offsets) - 1, len(_COUNTS)), np.int64)
    _count(offsets, data, _stops(), _code_points(), *_names(), _renderers(), found)
    n = dict(zip(_COUNTS, found.T, strict=True))
    columns = {
        "latex_commands": int32s(n["latex_commands"]),
        "latex_environments": int32s(n["latex_environments"]),
        "has_latex_preamble": pa.array(n["preambles"] > 0),
        "math_char_ratio": ratio(n["math_chars"], n["chars"]),
        "math_symbol_ratio": ratio(n["symbols"], n["chars"]),
        "mathml_remnants": int32s(n["remnants"]),
        "arithmetic_ratio": ratio(n["arithmetic_chars"], n["chars"]),
    }
    return pa.RecordBatch.from_pydict(columns)


@cache
def _stops() -> np.ndarray:
    stops = np.zeros(256, np.uint8)
    stops[0x80:] = _WIDE
    for signs, kind in (
        ("\\", _BACKSLASH),
        ("$", _DOLLAR),
        ("0123456789", _DIGIT),
        ("<&[", _OPENER),
        ("xX", _LETTER_X),
    ):
        stops[[ord(sign) for sign in signs]] = kind
    return stops


@cache
def _code_points() -> np.ndarray:
    bits = np.zeros(CODE_POINTS, np.uint8)
    greek = r"[\p{Greek}&&\p{L}]"
    for pattern, bit in (
        (rf"[\p{{Math}}&&\P{{ASCII}}&&[^{greek}]]", _SYMBOL),
        (greek, _GREEK_LETTER),
    ):
        for run in code_point_runs(pattern):
            bits[run] = bit
    return bits


@cache
def _names() -> tuple[np.ndarray, np.ndarray]:
    """A hash table of names, each behind the sign that it must follow: hashes, and what the name is."""
    hashes, kinds = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.uint8)
    special = {"begin": _BEGIN, "end": _END, "displaystyle": _DISPLAYSTYLE}
    special |= dict.fromkeys(PREAMBLE, _PREAMBLE)
    listed = {f"\\{name}": special.get(name, _COMMAND) for name in COMMANDS}
    listed |= {f"{{{name}": _FORMULA if name in FORMULAS else _OTHER for name in ENVIRONMENTS}
    listed["{document"] = _DOCUMENT
    for sign, names in (("&", ENTITIES), ("<", TAGS), ("[", BRACKETED)):
        listed |= {sign + name: _REMNANT for name in names}
    for name, kind in listed.items():
        text = np.frombuffer(name.encode(), np.uint8)
        found = _hash(text, 0, len(text))
        slot = int(found) & (_SLOTS - 1)
        while hashes[slot]:
            slot = (slot + 1) % _SLOTS
        hashes[slot], kinds[slot] = found, kind
    return hashes, kinds


@cache
def _renderers() -> np.ndarray:
    rows = np.zeros((len(RENDERERS), 16), np.uint8)
    for row, name in zip(rows, RENDERERS, strict=True):
        row[: len(name)] = np.frombuffer(name[::-1].encode(), np.uint8)
    return rows


@njit(nogil=True, cache=True)
def _hash(data: np.ndarray, start: int, end: int) -> Any:
    found = uint64(0)
    for i in range(start, end):
        found = (found ^ uint64(data[i])) * _STEP
    return found ^ (found >> uint64(32))


@njit(nogil=True, cache=True, forceinline=True)
def _kind(data: np.ndarray, start: int, end: int, hashes: np.ndarray, kinds: np.ndarray) -> Any:
    """What the name data[start:end], with the sign before it, is; 0 where it is unknown."""
    wanted = _hash(data, start, end)
    slot = np.int64(wanted & uint64(_SLOTS - 1))
    while hashes[slot] != 0:
        if hashes[slot] == wanted:
            return kinds[slot]
        slot = (slot + 1) & (_SLOTS - 1)
    return np.uint8(0)


@njit(nogil=True, cache=True, forceinline=True)
def _is_letter(byte: Any) -> bool:
    return bool(0x61 <= byte | 0x20 <= 0x7A)


@njit(nogil=True, cache=True, forceinline=True)
def _is_digit(byte: Any) -> bool:
    return bool(0x30 <= byte <= 0x39)


@njit(nogil=True, cache=True, forceinline=True)
def _letters_end(data: np.ndarray, i: int, end: int) -> Any:
    """The byte after the letters from `i` on, of which the first _NAME_BYTES are read."""
    stop = min(end, i + _NAME_BYTES)
    while i < stop and _is_letter(data[i]):
        i += 1
    return i


@njit(nogil=True, cache=True)
def _can_open(data: np.ndarray, i: int, start: int, end: int) -> bool:
    """Whether the dollar at `i` may start an inline formula."""
    if i + 1 >= end or data[i + 1] <= 0x20 or data[i + 1] == 0x29:
        return False
    if i + 2 < end and data[i + 1] == 0x3C and data[i + 2] == 0x3C:
        return False
    if i == start:
        return True
    before = data[i - 1]
    return not (_is_letter(before) or _is_digit(before) or before == 0x5F)


@njit(nogil=True, cache=True)
def _can_close(data: np.ndarray, i: int, end: int) -> bool:
    """Whether the dollar at `i` may end an inline formula, letters behind it left aside."""
    if data[i - 1] <= 0x20:
        return False
    if i + 1 >= end:
        return True
    after = data[i + 1]
    if after == 0x3C:
        return not (i + 2 < end and data[i + 2] == 0x3C)
    return not (_is_digit(after) or after == 0x28 or after == 0x7B)


@njit(nogil=True, cache=True)
def _is_formula(data: np.ndarray, start: int, end: int, dollars: bool, letter_behind: bool) -> bool:
    """Whether what stands between delimiters, data[start:end], reads as mathematics."""
    strong = weak = words = white = foreign = False
    letters = 0
    for i in range(start, end):
        byte = data[i]
        after = data[i + 1] if i + 1 < end else np.uint8(0)
        if _is_letter(byte):
            letters += 1
            words |= letters == 3
            foreign |= letters == 4
            continue
        letters = 0
        if byte == 0x5C:  # \
            if i + 2 < end and _is_letter(after) and _is_letter(data[i + 2]):
                strong = True
        elif byte == 0x5E:  # ^
            strong = True
        elif byte == 0x5F:  # _
            lone = i + 2 >= end or not (_is_letter(data[i + 2]) or data[i + 2] == 0x5F)
            strong |= after == 0x7B or _is_digit(after) or (_is_letter(after) and lone)
        elif byte == 0x3D:  # =
            weak = True
        elif byte == 0x2B:  # +
            weak |= dollars or after == 0x20 or _is_letter(after) or _is_digit(after)
        elif byte == 0x3C or byte == 0x3E:  # < >
            weak |= dollars
        elif byte <= 0x20:
            white |= i == start or data[i - 1] != 0x2C
        elif byte == 0x22 or byte == 0x60:  # " `
            if dollars:
                return False
        else:
            foreign |= byte == 0x3A or byte == 0x3B or byte == 0x40  # : ; @
    if dollars and letter_behind and white:
        return False
    if dollars and words and not strong and start < end and _is_digit(data[start]):
        return False
    if strong or weak:
        return True
    most = 3 if letter_behind else INLINE_BYTES
    return dollars and not (white or foreign) and end - start <= most


@njit(nogil=True, cache=True, forceinline=True)
def _number_end(data: np.ndarray, i: int, end: int) -> Any:
    """The byte after the number that starts with the digit at `i`: 1,000.50 and 5% are numbers."""
    while i < end:
        byte = data[uint64(i)]
        if not _is_digit(byte):
            point = byte == 0x2C or byte == 0x2E
            if not (point and i + 1 < end and _is_digit(data[uint64(i + 1)])):
                break
        i += 1
    return i + 1 if i < end and data[i] == 0x25 else i


@njit(nogil=True, cache=True, forceinline=True)
def _gap_end(data: np.ndarray, i: int, end: int) -> Any:
    stop = min(end, i + 4)
    while i < stop:
        byte = data[i]
        bracket = byte == 0x28 or byte == 0x29 or byte == 0x3C or byte == 0x3E
        if not (bracket or byte == 0x20 or byte == 0x24):
            break
        i += 1
    return i


@njit(nogil=True, cache=True, forceinline=True)
def _operator(data: np.ndarray, i: int, end: int) -> tuple[Any, Any]:
    """The width in bytes of the operator at `i`, 0 if there is none, and whether it makes a sum."""
    byte = data[i]
    if byte == 0x2B or byte == 0x2A or byte == 0x3D or byte == 0x5E:
        return 1, True
    if byte == 0x2D or byte == 0x2F:
        return 1, False
    if byte | 0x20 == 0x78:
        spaced = data[i - 1] == 0x20 and i + 1 < end and data[i + 1] == 0x20
        return np.int64(spaced), True
    if byte == 0xC3 and i + 1 < end and (data[i + 1] == 0x97 or data[i + 1] == 0xB7):
        return 2, True
    if byte == 0xE2 and i + 2 < end and data[i + 1] == 0x88 and data[i + 2] == 0x92:
        return 3, False
    return 0, False


@njit(nogil=True, cache=True)
def _sum(data: np.ndarray, i: Any, after: Any, end: int) -> tuple[Any, Any]:
    """The byte after the sum that starts with the number data[i:after], and its digits and operators."""
    chars, counts = after - i, False
    while True:
        j = _gap_end(data, after, end)
        if j >= end:
            break
        width, makes_sum = _operator(data, j, end)
        if width == 0:
            break
        j = _gap_end(data, j + width, end)
        negative = j < end and data[j] == 0x2D
        j += negative
        if j >= end or not _is_digit(data[j]):
            break
        after = _number_end(data, j, end)
        chars += after - j + 1 + negative
        counts |= makes_sum
    return after, chars if counts else 0


@njit(nogil=True, cache=True)
def _renderer_ends(data: np.ndarray, start: int, i: int, renderers: np.ndarray) -> bool:
    """Whether one of `renderers`, rows of bytes written backwards, ends with the letter at `i`."""
    for name in renderers:
        k = 0
        while name[k] != 0 and i - k >= start and data[i - k] | 0x20 == name[k]:
            k += 1
        if name[k] == 0:
            return True
    return False


@njit(nogil=True, cache=True)
def _starts_latex(data: np.ndarray, i: int, end: int) -> bool:
    """Whether `latex ` stands at `i`: a dollar and it start a formula of WordPress."""
    if i + 6 > end:
        return False
    a, b, c = data[i], data[i + 1], data[i + 2]
    d, e, f = data[i + 3], data[i + 4], data[i + 5]
    return bool(a == 0x6C and b == 0x61 and c == 0x74 and d == 0x65 and e == 0x78 and f == 0x20)


@njit(nogil=True, cache=True)
def _is_blank(data: np.ndarray, i: int, end: int) -> bool:
    """Whether the line that starts at `i` is."""
    while i < end and (data[i] == 0x20 or data[i] == 0x09 or data[i] == 0x0D):
        i += 1
    return i >= end or data[i] == 0x0A


@njit(nogil=True, cache=True)
def _has_blank_line(data: np.ndarray, i: Any, stop: Any, end: int) -> bool:
    """Whether a line that begins in data[i:stop] is blank."""
    while i < stop and not (data[i] == 0x0A and _is_blank(data, i + 1, end)):
        i += 1
    return bool(i < stop)


@njit(nogil=True, cache=True, forceinline=True)
def _mark(data: np.ndarray, i: Any, marks: np.ndarray) -> None:
    """Sets `marks` for the 64 bytes from byte i: 1 where the kernel stops. A letter follows what may open a name, `jax`
    or `tex` ends, a character past ASCII may have bits in `_code_points`."""
    at, one, two = uint64(i), uint64(1), uint64(2)
    for k in range(uint64(64)):  # no branches: LLVM makes it a few instructions on 64 bytes
        byte, after = data[at + k], data[at + k + one]
        before, second = np.uint8(data[at + k - one] | 0x20), np.uint8(data[at + k - two] | 0x20)
        stop = (byte == 0x5C) | (byte == 0x24) | (np.uint8(byte - 0x30) < 10)
        opener = (byte == 0x3C) | (byte == 0x26) | (byte == 0x5B)
        stop |= opener & (np.uint8(np.uint8(after | 0x20) - 0x61) < 26)
        ends = ((before == 0x61) & (second == 0x6A)) | ((before == 0x65) & (second == 0x74))
        stop |= (np.uint8(byte | 0x20) == 0x78) & ends
        plain = (np.uint8(byte - 0xC4) < 9) | (np.uint8(byte - 0xD0) < 8)
        plain |= (np.uint8(byte - 0xE3) < 12) & ((byte != 0xEA) | (after != 0xAD))
        plain |= (byte == 0xC3) & (after != 0x97) & (after != 0xB7)
        marks[k] = stop | ((byte >= 0xC0) & (plain == False))  # noqa: E712


@njit(
    types.void(
        INDEX,
        BYTES,
        BYTES,
        BYTES,
        UINT64S,
        BYTES,
        types.uint8[:, ::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _count(
    offsets: np.ndarray,
    data: np.ndarray,
    stops: np.ndarray,
    code_points: np.ndarray,
    hashes: np.ndarray,
    kinds: np.ndarray,
    renderers: np.ndarray,
    found: np.ndarray,
) -> None:
    marks, border = np.zeros(64, np.uint8), np.zeros(64 + 2 * AROUND, np.uint8)
    for row in range(len(found)):
        start, end = offsets[row], offsets[row + 1]
        commands = environments = preambles = remnants = symbols = sums = 0
        # Code points of formulas; and what they were where each kind of formula starts.
        formulas = np.int64(0)
        dollars, dollar_at = 0, start  # how many stand open
        bracket: Any = np.int64(0)
        bracket_at, bracket_before = start, np.int64(0)  # the round or square one
        environment, environment_at, environment_before = uint64(0), start, np.int64(0)
        lines_from = start  # lines before this byte have been looked at
        greek_end, greek_letters = np.int64(-1), 0
        sum_end = start
        block, left = start - 64, uint64(0)
        i = start
        while i < end:
            if i >= block + 64:
                block = i
                if has_around(data, i):
                    _mark(data, i, marks)
                else:
                    copy_around(data, i, border)
                    _mark(border, AROUND, marks)
                left = bits_of(marks, 0, 0)
            held = left >> uint64(i - block)
            if held == 0:
                i = block + 64
                continue
            i += np.int64(lowest_bit(held))
            if i >= end:
                break
            stop = stops[data[i]]
            if stop in (_BACKSLASH, _DOLLAR):
                if (dollars or bracket) and _has_blank_line(data, lines_from, i, end):
                    dollars = bracket = 0
                lines_from = i
            if stop == _WIDE:
                code, width = decode(data, i, end)
                kind = code_points[code]
                symbols += kind & _SYMBOL
                if kind & _GREEK_LETTER:
                    if i == greek_end:
                        greek_letters += 1
                        symbols -= greek_letters == 2
                    else:
                        greek_letters = 1
                        symbols += 1
                    greek_end = i + width
                i += width
            elif stop == _DIGIT:
                after = _number_end(data, i, end)
                if i >= sum_end and not (
                    i > start and (_is_letter(data[i - 1]) or data[i - 1] == 0x5F)
                ):
                    sum_end, digits = _sum(data, i, after, end)
                    sums += digits
                i = after
            elif stop == _LETTER_X:
                remnants += _renderer_ends(data, start, i, renderers)
                i += 1
            elif stop == _OPENER:
                after = _letters_end(data, i + 1, end)
                if after > i + 1:
                    closes = data[i] == 0x3C
                    if data[i] == 0x26:
                        closes = after < end and data[after] == 0x3B
                    elif data[i] == 0x5B:
                        closes = after < end and data[after] == 0x5D
                    remnants += closes and _kind(data, i, after, hashes, kinds) == _REMNANT
                i = after
            elif stop == _DOLLAR:
                run = i + 1
                while run < end and data[run] == 0x24:
                    run += 1
                if run - i > 2:
                    dollars = 0
                elif run - i == 2:
                    if dollars == 2 and _is_formula(data, dollar_at + 2, i, True, False):
                        formulas += chars_of(data, dollar_at, run)
                        dollars = 0
                    else:
                        dollars, dollar_at = 2, i
                elif dollars < 2:
                    letter_behind = run < end and _is_letter(data[run])
                    if (
                        dollars == 1
                        and i > dollar_at + 1
                        and _can_close(data, i, end)
                        and _is_formula(data, dollar_at + 1, i, True, letter_behind)
                    ):
                        formulas += chars_of(data, dollar_at, run)
                        dollars = 0
                    elif _can_open(data, i, start, end):
                        dollars, dollar_at = 1, i
                        remnants += _starts_latex(data, run, end)
                    else:
                        dollars = 0
                i = run
            else:
                after = _letters_end(data, i + 1, end)
                sign = data[i + 1] if i + 1 < end else np.uint8(0x0A)
                if after > i + 1:
                    kind = _kind(data, i, after, hashes, kinds)
                    commands += kind != 0
                    preambles += kind == _PREAMBLE
                    remnants += kind == _DISPLAYSTYLE or (
                        kind != 0 and i - 2 >= start and data[i - 1] == 0x22 and data[i - 2] == 0x3D
                    )
                    i = after
                    if kind in (_BEGIN, _END) and i < end and data[i] == 0x7B:
                        after = _letters_end(data, i + 1, end)
                        named = _kind(data, i, after, hashes, kinds)
                        name = _hash(data, i, after)
                        if after < end and data[after] == 0x2A:
                            after += 1
                            name ^= uint64(1)
                        if not (after < end and data[after] == 0x7D):
                            continue
                        after += 1
                        preambles += named == _DOCUMENT and kind == _BEGIN
                        if kind == _BEGIN:
                            environments += named in (_FORMULA, _OTHER)
                        if named != _FORMULA:
                            continue
                        if kind == _BEGIN and environment == 0:
                            environment = name
                            # Its start is the backslash before the name of the command.
                            environment_at = i - 6
                            environment_before = formulas
                            dollars = bracket = 0
                        elif kind == _END and environment == name:
                            formulas = environment_before + chars_of(data, environment_at, after)
                            environment = uint64(0)
                            dollars = bracket = 0
                        i = after
                elif sign == 0x28 or sign == 0x5B:
                    bracket = np.int64(sign)
                    bracket_at, bracket_before = i, formulas
                    dollars = 0
                    i += 2
                elif sign == 0x29 or sign == 0x5D:
                    short = sign == 0x29 and i - bracket_at <= 4
                    if bracket == sign - 1 - (sign == 0x5D) and (
                        short or _is_formula(data, bracket_at + 2, i, False, False)
                    ):
                        formulas = bracket_before + chars_of(data, bracket_at, i + 2)
                    bracket = dollars = 0
                    i += 2
                else:
                    # An escape, of a dollar or of a backslash, say; not of what is no ASCII sign.
                    i += 2 if 0x20 < sign < 0x80 else 1
        # In the order of _COUNTS.
        counts = found[row]
        counts[0], counts[1], counts[2] = chars_of(data, start, end), commands, environments
        counts[3], counts[4], counts[5] = preambles, formulas, symbols
        counts[6], counts[7] = remnants, sums
