"""Presets with a recipe's own symbols: their order, and what cannot be a symbol."""

import pytest

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.presets import PRESETS, preset_with


def test_symbols_and_reserved_pieces_follow_the_presets() -> None:
    found = preset_with("gemma", ("<|a|>", "<unused100>"), 3)
    own = PRESETS["gemma"].symbols
    assert found.symbols[: len(own)] == own
    # <unused0> to <unused98> are Gemma's
    assert found.symbols[len(own) :] == (
        *("<|a|>", "<unused100>"),
        *("<unused99>", "<unused101>", "<unused102>"),
    )
    assert preset_with("llama-2", reserved=2).symbols == ("<unused0>", "<unused1>")
    assert preset_with("llama-2") == PRESETS["llama-2"]
    assert len(preset_with("llama-2").fixed) == 3 + 256
    assert len(preset_with("gemma").fixed) == 4 + 244 + 256


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (("",), "a symbol is empty"),
        (("<x>", "<y>", "<x>"), "'<x>' is given twice"),
        (("<start_of_turn>",), "'<start_of_turn>' is the preset's own, with id 106"),
        (("<eos>",), "'<eos>' is the preset's own, with id 1;"),
        (("\n\n",), "is the preset's own, with id 109"),
        (("<0x0A>",), "'<0x0A>' is the name of a byte"),
        (("a b",), "holds a space"),
        (("a\u2585",), "holds U\\+2585"),
        (("a\0",), "holds U\\+2585, NUL"),
        (("\ud800",), "half of a surrogate pair"),
    ],
)
def test_what_is_no_symbol(symbols: tuple[str, ...], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        preset_with("gemma", symbols)


def test_an_unknown_preset() -> None:
    with pytest.raises(TokenizerError, match="no preset is called 'gpt'; the presets are gemma"):
        preset_with("gpt")
