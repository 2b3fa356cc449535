"""spaCy's classes of characters, and tables of strings."""

import numpy as np
import pytest

from coursepack.stages.copies import hash_bytes
from coursepack.stages.spacy_tables import (
    ALPHA,
    BETWEEN,
    BLANK,
    CURRENCY,
    DIGIT,
    DOTTED,
    HYPHEN,
    LETTER,
    LOWER,
    PREFIX,
    QUOTE,
    SEPARABLE,
    SUFFIX,
    SYMBOL,
    UPPER,
    WORDY,
    classes,
    special_words,
    strings,
    units,
)


@pytest.mark.parametrize(
    ("character", "bits"),
    [
        ("a", LOWER | LETTER | WORDY | DOTTED),
        ("Z", UPPER | LETTER | WORDY),
        ("中", ALPHA | LETTER | WORDY | DOTTED),
        ("ա", LETTER | WORDY),  # Armenian is no alphabet to spaCy
        ("7", DIGIT | DOTTED | SEPARABLE | WORDY),
        ("०", WORDY | ALPHA | DOTTED),  # in a block of letters without case
        (" ", BLANK | WORDY),
        ("\x1c", BLANK),
        (".", SEPARABLE),
        (",", PREFIX | SUFFIX | QUOTE | DOTTED | SEPARABLE),
        ("$", PREFIX | CURRENCY | SEPARABLE),
        ("°", PREFIX | SUFFIX | SYMBOL | SEPARABLE | WORDY),
        ("-", HYPHEN | DOTTED | SEPARABLE),
        ("—", PREFIX | SUFFIX | HYPHEN | SEPARABLE),
        ("/", BETWEEN | SEPARABLE),
        ("@", 0),
    ],
)
def test_classes(character: str, bits: int) -> None:
    assert classes()[ord(character)] == bits


def test_what_can_be_cut_is_separable() -> None:
    cut = PREFIX | SUFFIX | DIGIT | HYPHEN | SYMBOL | CURRENCY | BETWEEN
    assert np.all(classes()[classes() & cut != 0] & SEPARABLE)


@pytest.mark.parametrize(
    "texts", [[], [b"a"], [text for text, _ in special_words()], units()], ids=len
)
def test_strings(texts: list[bytes]) -> None:
    found = strings(texts)
    assert 2 * np.count_nonzero(found.slots) <= len(found.slots)
    for number, text in enumerate(texts):
        wanted = hash_bytes(np.frombuffer(text, np.uint8), 0, len(text))
        slot = int(wanted) & len(found.slots) - 1
        while found.hashes[found.slots[slot] - 1] != wanted:
            slot = slot + 1 & len(found.slots) - 1
        assert texts[found.slots[slot] - 1] == texts[number]
        assert int(found.sizes[text[0]]) >> len(text) - 1 & 1


def test_special_words_start_where_their_words_do() -> None:
    found = dict(special_words())
    assert found[b"can't"] == 0b101
    assert found["°C.".encode()] == 0b1101
    assert found[b"Mr."] == 1
    assert max(map(len, found)) < 64
