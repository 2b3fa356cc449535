"""The table against the engine: every code point, and how many of each class there are."""

import numpy as np
import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, Split

from coursepack.tokenizers.code_points import (
    ALONE,
    LETTER,
    LOWER,
    NUMBER,
    SPACE,
    UPPER,
    code_point_classes,
)

EVERY = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
CLASSES = {
    LETTER: r"\p{L}",
    NUMBER: r"\p{N}",
    SPACE: r"\s",
    UPPER: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    LOWER: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
}


@pytest.mark.parametrize("bit", CLASSES)
def test_every_code_point_has_the_engines_class(bit: int) -> None:
    found = np.zeros(0x110000, np.bool_)
    cutter = Split(Regex(CLASSES[bit]), "removed", invert=True)
    for base in range(0, len(EVERY), 4096):
        for piece, _ in cutter.pre_tokenize_str("".join(EVERY[base : base + 4096])):
            found[ord(piece)] = True
    table = code_point_classes()
    assert np.array_equal(found, table[:0x110000] & bit > 0)
    assert not table[0x110000:].any()


# tiktoken 0.14 has the same: another library's Unicode would cut other texts
def test_the_engine_is_the_one_that_results_were_made_with() -> None:
    table = code_point_classes()
    counts = {bit: int(np.count_nonzero(table & bit)) for bit in CLASSES}
    assert counts == {LETTER: 141_028, NUMBER: 1_911, SPACE: 25, UPPER: 141_271, LOWER: 141_640}


def test_digits_that_are_cut_off() -> None:
    table, plain = code_point_classes(digits=True), code_point_classes()
    cutter = Digits(individual_digits=True)
    for text in ("a1", "a٣", "aⅣ", "a½", "a一", "a²", "a."):
        alone = len(cutter.pre_tokenize_str(text)) == 2
        assert table[ord(text[1])] == (ALONE if alone else plain[ord(text[1])])
    assert set(np.unique(table[table != plain])) == {ALONE}
