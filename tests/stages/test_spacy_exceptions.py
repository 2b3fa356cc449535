"""spaCy's exceptions: how many, and that words spell what they are of."""

import pytest

from coursepack.stages.spacy_exceptions import exceptions


def test_words_spell_their_string() -> None:
    found = exceptions()
    assert len(found) == 1343  # spaCy 3.8 has four more, of white space
    assert all("".join(words) == text for text, words in found.items())
    assert all(word for words in found.values() for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("can't've", ("ca", "n't", "'ve")),
        ("Cant", ("Ca", "nt")),
        ("they’re", ("they", "’re")),
        ("wed", ("we", "d")),
        ("how'd'y", ("how", "'d", "'y")),
        ("12p.m.", ("12", "p.m.")),
        ("°F.", ("°", "F", ".")),
        ("Mrs.", ("Mrs.",)),
        (":’(", (":’(",)),
    ],
)
def test_exceptions(text: str, words: tuple[str, ...]) -> None:
    assert exceptions()[text] == words


@pytest.mark.parametrize("text", ["well", "Were", "ill", "its", "shell", "shed", "hell", "isn"])
def test_words_that_are_none(text: str) -> None:
    assert text not in exceptions()
