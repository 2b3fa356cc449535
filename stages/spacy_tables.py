"""What spaCy's English tokenizer (3.8) knows of characters and strings, as tables for the kernels of `spacy_words`.

Its classes of characters are those of `spacy/lang/char_classes.py`, save that symbols are category So of the
`regex` library, which is newer. Two of its units have grown together for want of a space; so have ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from coursepack.stages.characters import CODE_POINTS, characters, class_table
from coursepack.stages.copies import hash_bytes
from coursepack.stages.line_edits import python_spaces
from coursepack.stages.spacy_exceptions import exceptions

# Bits of a character; SEPARABLE may be cut off or cut at, DOTTED stands before a full stop that is cut off,
# WORDY is no punctuation to datatrove.
PREFIX, SUFFIX, LOWER, UPPER, DIGIT, QUOTE, DOTTED, HYPHEN = (1 << k for k in range(8))
SYMBOL, CURRENCY, BETWEEN, BLANK, LETTER, WORDY, TAIL, SEPARABLE = (1 << k for k in range(8, 16))
ALPHA = LOWER | UPPER

# Scripts without case count as small and as capital, with all else in their blocks.
_UNCASED = (
    "\u0591-\u05f4\u0620-\u064a\u066e-\u06d5\u06e5-\u06ff\u0750-\u077f\u08a0-\u08bd\u0900-\u09ff\u0b80-\u0cff"
    "\u0d80-\u0dff\u1100-\u137f\u2e80-\u2fdf\u2ff0-\u30ff\u31c0-\u31ef\u3200-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\ufb1d-\ufbb1\ufbd3-\ufd3d\ufd50-\ufdc7\ufdf0-\ufdfb\ufe30-\ufe4f\ufe70-\ufefc"
    "\U0001ee00-\U0001eebb\U0001f200-\U0001f2ff\U00020000-\U0002a6df\U0002a700-\U0002ebef\U0002f800-\U0002fa1f"
)
_CASED = r"[\p{Latin}\p{Greek}\p{Cyrillic}]"
_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCIES = "$£€¥฿﷼"
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa "
    "mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч "
    "кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тбكم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ كم غرام جرام جم كغ ملغ "
    "كوب اكواب US$ C$ A$"
)
# datatrove/utils/text.py, PUNCTUATION; it adds control characters and the signs that end sentences.
_NOT_WORDY = (
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    + "".join(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
)


@dataclass(frozen=True)
class Strings:
    """Strings by hash: `slots` holds a number plus one, or 0, at `hash & mask` or the next free slot behind it.

    `sizes` is a mask a first byte: bit n says that a string of n + 1 bytes starts with it.
    """

    slots: np.ndarray  # int32, a power of two, at most half full
    hashes: np.ndarray  # uint64, one a string
    sizes: np.ndarray  # uint64, 256


@cache
def classes() -> np.ndarray:
    """The bits of each code point, uint16."""
    lower = _is(rf"[\p{{Ll}}&&{_CASED}]") | _is(f"[{_UNCASED}]")
    upper = _is(rf"[\p{{Lu}}\p{{Lt}}&&{_CASED}]") | _is(f"[{_UNCASED}]")
    marks, quotes, symbol = _among(_PUNCTUATION), _among(_QUOTES), _is(r"\p{So}")
    currency = _among(_CURRENCIES) | _is("[\u20a0-\u20bf]")
    digit, hyphen, between = _among("0123456789"), _among("-–—~"), _among(":<>=/")
    suffix = marks | quotes | symbol | _among("—–…")
    prefix = suffix | currency | _among("§%=")
    of = {
        PREFIX: prefix,
        SUFFIX: suffix,
        LOWER: lower,
        UPPER: upper,
        DIGIT: digit,
        QUOTE: quotes,
        DOTTED: digit | lower | marks | quotes | _among("%²-+|(?:)"),
        HYPHEN: hyphen,
        SYMBOL: symbol,
        CURRENCY: currency,
        BETWEEN: between,
        BLANK: python_spaces() == 1,
        LETTER: characters().is_letter == 1,
        WORDY: ~(_among(_NOT_WORDY) | (characters().is_terminal == 1)),
        SEPARABLE: prefix | digit | hyphen | between | _among(".+*^"),
    }
    table = np.zeros(CODE_POINTS, np.uint16)
    for bit, has in of.items():
        table |= np.where(has, bit, 0).astype(np.uint16)
    return table


def _among(characters_: str) -> np.ndarray:
    found = np.zeros(CODE_POINTS, np.bool_)
    found[[ord(c) for c in characters_]] = True
    return found


def _is(pattern: str) -> np.ndarray:
    return class_table(pattern).view(np.bool_)


@cache
def special_words() -> list[tuple[bytes, int]]:
    """The exceptions in UTF-8, and where the words of each start, a bit a byte."""
    found = []
    for text, words in exceptions().items():
        starts, at = 0, 0
        for word in words:
            starts |= 1 << at
            at += len(word.encode())
        found.append((text.encode(), starts))
    return found


def units() -> list[bytes]:
    """What is cut off behind a digit."""
    return [text.encode() for text in _UNITS.split()]


def strings(texts: Sequence[bytes]) -> Strings:
    """A table of texts, each at most 64 bytes."""
    slots = np.zeros(1 << (2 * len(texts)).bit_length(), np.int32)
    sizes, hashes = np.zeros(256, np.uint64), np.zeros(len(texts), np.uint64)
    for number, text in enumerate(texts):
        hashes[number] = hash_bytes(np.frombuffer(text, np.uint8), 0, len(text))
        slot = int(hashes[number]) & len(slots) - 1
        while slots[slot]:
            slot = slot + 1 & len(slots) - 1
        slots[slot] = number + 1
        sizes[text[0]] |= np.uint64(1 << len(text) - 1)
    return Strings(slots, hashes, sizes)
