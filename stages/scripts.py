"""Scripts and kinds of characters: what a text is written in, and what in it is no writing.

Wrong encodings, control characters and invisible marks show as shares of their own; a text in many scripts,
or in one that its language does not use, shows in `script`, `script_ratio` and `scripts`. The kinds come from
Unicode's general categories and properties, by the `regex` library; `bidi_controls` after "Trojan
Source" (Boucher and Anderson 2021, arXiv:2111.00169), mojibake after ftfy.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import regex
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, int32s, ratio, text_buffers
from coursepack.stages.characters import (
    BYTES,
    CODE_POINTS,
    INDEX,
    UINT64S,
    code_point_runs,
    decode,
    every_code_point,
    load8,
)

# ISO 15924 codes of the scripts of Unicode 15.1 that have letters; letters of a later one are Zzzz.
_CODES = """
Adlm Aghb Ahom Arab Armi Armn Avst Bali Bamu Bass Batk Beng Bhks Bopo Brah Bugi Buhd
Cakm Cans Cari Cham Cher Chrs Copt Cpmn Cprt Cyrl Deva Diak Dogr Dsrt Dupl Egyp Elba
Elym Ethi Geor Glag Gong Gonm Goth Gran Grek Gujr Guru Hang Hani Hano Hatr Hebr Hira
Hluw Hmng Hmnp Hung Ital Java Kali Kana Kawi Khar Khmr Khoj Kits Knda Kthi Lana Laoo
Latn Lepc Limb Lina Linb Lisu Lyci Lydi Mahj Maka Mand Mani Marc Medf Mend Merc Mero
Mlym Modi Mong Mroo Mtei Mult Mymr Nagm Nand Narb Nbat Newa Nkoo Nshu Ogam Olck Orkh
Orya Osge Osma Ougr Palm Pauc Perm Phag Phli Phlp Phnx Plrd Prti Rjng Rohg Runr Samr
Sarb Saur Shaw Shrd Sidd Sind Sinh Sogd Sogo Sora Soyo Sund Sylo Syrc Tagb Takr Tale
Talu Taml Tang Tavt Telu Tfng Tglg Thaa Thai Tibt Tirh Tnsa Toto Ugar Vaii Vith Wara
Wcho Xpeo Xsux Yezi Yiii Zanb Zzzz
"""
SCRIPTS = tuple(_CODES.split())
_LATIN = SCRIPTS.index("Latn")
_NO_SCRIPT = 255  # of what is no letter, or a letter of many scripts
ONE_IN = 100  # letters of a script that counts

# Each code point is of one kind, the last of these that takes it.
_KINDS = (
    ("other", None),
    ("letter", r"\p{L}"),
    ("upper", r"\p{Lu}"),
    ("punct", r"\p{P}"),
    ("symbol", r"\p{S}"),
    (
        "emoji",
        r"[\p{S}&&[\p{Emoji_Presentation}"
        r"[\p{Extended_Pictographic}&&[\u2600-\u27bf\U0001F000-\U0001FAFF]]]]",
    ),
    ("control", r"[\p{Cc}&&\P{White_Space}]"),
    ("replacement", r"\ufffd"),
    ("private_use", r"\p{Co}"),
    # Without the joiners and variation selectors that spelling and emoji need.
    (
        "invisible",
        r"[[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}]&&"
        r"[^\u200c\u200d\p{Variation_Selector}]]",
    ),
    ("bidi", r"[\u202a-\u202e\u2066-\u2069]"),
)
_NAMES = (
    *(name for name, _ in _KINDS),
    "chars",
    "non_ascii",
    "mojibake",
    "script",
    "script_letters",
    "scripts",
    "all_letters",
)
_CHARS = len(_KINDS)

# Kinds of ASCII are counted in fields of one word: letter, upper, punct, symbol, control.
_FIELDS = (1, 2, 3, 4, 6)
_FIELD_BITS = 12
_FIELD_MOST = (1 << _FIELD_BITS) - 1
_FIELD = np.uint64(_FIELD_MOST)
_HIGH = np.uint64(0x8080808080808080)  # the bits that no ASCII has


def script_signals(text: Text) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    `script` is the ISO 15924 code of most letters (ties: the first in the alphabet), null where there are no
    letters; `script_ratio` its share of them, `scripts` (int32) the number of scripts with at least 1 % of
    them. Letters are Unicode's category L, less those that many scripts share. Japanese is a mixture of
    Hira, Kana and Hani; nothing here joins them.

    `upper_ratio` is capitals per letter. The other ratios are per code point: punctuation (P), symbols (S),
    emoji (among symbols), controls (Cc, but no white space), U+FFFD and bytes that are not UTF-8, private
    use, code points past ASCII, and mojibake. All float64, null where the divisor is 0.

    `invisible_chars` (int32) counts code points that show nothing: zero-width spaces, soft hyphens, tags,
    direction marks; not the joiners and variation selectors that scripts need, nor a byte order mark at
    the start. `bidi_controls` (int32), among them, embed, override or isolate a direction.

    Mojibake is UTF-8 that was read as Windows-1252 or Latin-1 ("Ã©", "â€™"): characters whose bytes there
    are one character of UTF-8. A pair that starts with another letter than Â or Ã ("É”" may end a quotation)
    counts next to another sequence alone.
    """
    offsets, data = text_buffers(text)
    kinds, scripts, fields, as_byte = _tables()
    found = np.zeros((len(offsets) - 1, len(_NAMES)), np.int64)
    _count(offsets, data, kinds, scripts, fields, as_byte, found)
    n = dict(zip(_NAMES, found.T, strict=True))
    chars = n["chars"]
    names = pa.DictionaryArray.from_arrays(
        pa.array(n["script"].astype(np.int16), mask=n["all_letters"] == 0), pa.array(SCRIPTS)
    )
    columns = {
        "script": names.cast(pa.string()),
        "script_ratio": ratio(n["script_letters"], n["all_letters"]),
        "scripts": int32s(n["scripts"]),
        "upper_ratio": ratio(n["upper"], n["letter"] + n["upper"]),
        "punct_ratio": ratio(n["punct"], chars),
        "symbol_ratio": ratio(n["symbol"] + n["emoji"], chars),
        "emoji_ratio": ratio(n["emoji"], chars),
        "control_ratio": ratio(n["control"], chars),
        "replacement_ratio": ratio(n["replacement"], chars),
        "private_use_ratio": ratio(n["private_use"], chars),
        "non_ascii_ratio": ratio(n["non_ascii"], chars),
        "mojibake_ratio": ratio(n["mojibake"], chars),
        "invisible_chars": int32s(n["invisible"] + n["bidi"]),
        "bidi_controls": int32s(n["bidi"]),
    }
    return pa.RecordBatch.from_pydict(columns)


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By code point, its kind and its script; by ASCII byte, what its kind adds to the word of fields; by
    code point below U+2200, the byte that reads as it, where UTF-8 may go on with that byte."""
    kinds = np.zeros(CODE_POINTS, np.uint8)
    for kind, (_, pattern) in enumerate(_KINDS):
        for run in code_point_runs(pattern) if pattern else ():
            kinds[run] = kind
    scripts = np.full(CODE_POINTS, _NO_SCRIPT, np.uint8)
    own = "|".join(rf"(?P<{name}>\p{{Script={name}}}+)" for name in SCRIPTS[:-1])
    shared = r"[\p{Script=Common}\p{Script=Inherited}]+"
    for letters in code_point_runs(r"\p{L}"):
        for run in regex.finditer(f"{own}|{shared}|(?P<Zzzz>.)", every_code_point()[letters]):
            if run.lastgroup:
                start = letters.start + run.start()
                scripts[start : start + len(run[0])] = SCRIPTS.index(run.lastgroup)
    scripts[(kinds != 1) & (kinds != 2)] = _NO_SCRIPT  # some letters show nothing
    fields = np.zeros(128, np.uint64)
    for field, kind in enumerate(_FIELDS):
        fields[kinds[:128] == kind] = 1 << field * _FIELD_BITS
    as_byte = np.zeros(0x2200, np.uint8)
    for byte in range(0x80, 0xC0):
        as_byte[byte] = byte
        as_byte[ord(bytes([byte]).decode("cp1252", "ignore") or chr(byte))] = byte
    return kinds, scripts, fields, as_byte


@njit(nogil=True, cache=True)
def _misread(data: np.ndarray, code: Any, i: int, end: int, as_byte: np.ndarray) -> tuple[Any, Any]:
    """Whether the character `code` and those from byte `i` on are one character of UTF-8, misread: how many
    they are, or 0, and the byte after them."""
    more = 1 + (code >= 0xE0) + (code >= 0xF0)
    for k in range(more):
        if i >= end or data[i] < 0xC2:
            return 0, i
        tail, width = decode(data, i, end)
        byte = as_byte[tail] if tail < len(as_byte) else np.uint8(0)
        if byte == 0:
            return 0, i
        if k == 0:  # no overlong form, no surrogate, nothing past 10FFFF
            if (code == 0xE0 and byte < 0xA0) or (code == 0xED and byte >= 0xA0):
                return 0, i
            if (code == 0xF0 and byte < 0x90) or (code == 0xF4 and byte >= 0x90):
                return 0, i
        i += width
    return more + 1, i


@njit(
    types.void(INDEX, BYTES, BYTES, BYTES, UINT64S, BYTES, types.int64[:, ::1]),
    nogil=True,
    cache=True,
)
def _count(
    offsets: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    scripts: np.ndarray,
    fields: np.ndarray,
    as_byte: np.ndarray,
    found: np.ndarray,
) -> None:
    tally = np.zeros(256, np.int64)  # letters of the row, by script
    for row in range(len(found)):
        counts = found[row]
        start, end = offsets[row], offsets[row + 1]
        i = start
        word, spilled = uint64(0), start  # the fields hold what stands from byte `spilled` on
        latin: Any = np.int64(0)
        tails = other = mojibake = 0
        mended, waiting = np.int64(-1), 0  # end of the last misread sequence; length of a lone pair
        while True:
            stop = min(end, spilled + _FIELD_MOST)
            while i + 8 <= stop:
                eight = load8(data, i)
                if eight & _HIGH:
                    break
                for k in range(8):
                    word += fields[eight >> uint64(8 * k) & uint64(0xFF)]
                i += 8
            while i < stop and data[i] < 0x80:
                word += fields[data[i]]
                i += 1
            if i >= stop:
                latin += (word & _FIELD) + ((word >> uint64(_FIELD_BITS)) & _FIELD)
                for field in range(len(_FIELDS)):
                    counts[_FIELDS[field]] += (word >> uint64(_FIELD_BITS * field)) & _FIELD
                word, spilled = uint64(0), i
                if i == end:
                    break
                continue
            code, width = decode(data, i, end)
            counts[kinds[code]] += code != 0xFEFF or i > start
            tally[scripts[code]] += 1
            other += 1
            tails += width - 1
            if 0xC2 <= code <= 0xF4:
                length, after = _misread(data, code, i + width, end, as_byte)
                if length > 0:
                    adjoins = i == mended
                    if adjoins:
                        mojibake += waiting
                    waiting = 0
                    if adjoins or length > 2 or code <= 0xC3:
                        mojibake += length
                    else:
                        waiting = length
                    mended = after
            i += width
        tally[_LATIN] += latin
        script: Any = _LATIN
        most, letters, used = tally[_LATIN], tally[_LATIN], np.int64(0)
        if other > 0:
            letters = tally[: len(SCRIPTS)].sum()
            script = tally[: len(SCRIPTS)].argmax()
            most = tally[script]
            for k in range(len(SCRIPTS)):
                used += tally[k] > 0 and ONE_IN * tally[k] >= letters
            tally[:] = 0
        else:
            used += latin > 0
            tally[_LATIN] = 0
        # In the order of _NAMES.
        counts[_CHARS], counts[_CHARS + 1] = end - start - tails, other
        counts[_CHARS + 2], counts[_CHARS + 3] = mojibake, script
        counts[_CHARS + 4], counts[_CHARS + 5], counts[_CHARS + 6] = most, used, letters
