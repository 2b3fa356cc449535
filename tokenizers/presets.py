"""The pieces and settings of known SentencePiece tokenizers, and what a recipe adds to them.

gemma: ids of google-deepmind/gemma `_Gemma2SpecialTokens`, trainer settings of transformers' GemmaConverter.
Ids 0 to 216 are Gemma's. Its tab runs stand at 255969 and up, where the trainer puts no symbol; ours follow at 217
to 247, with the single tab that Gemma lacks, then a recipe's own symbols and reserved pieces, then the bytes.
character_coverage and the sample are not published. llama-2: the settings in its tokenizer.model as listed in
karpathy/llama2.c; newlines and tabs are byte pieces.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.sentencepiece_proto import SPACE_MARK

# Gemma's HTML symbols, in the order of its ids 169 to 216.
_BLOCKS = ("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6", "blockquote")
_INLINE = ("strong", "em", "b", "i", "u", "s", "sub", "sup", "code")
_LONGEST_RUN = 31
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


@dataclass(frozen=True)
class Preset:
    """Where published SentencePiece tokenizers differ.

    All have byte fallback, single digits, pieces of spaces alone, and no normalisation.
    """

    symbols: tuple[str, ...] = field(
        default=(), repr=False
    )  # user-defined, in the order of their ids
    names: tuple[str, str, str, str] = ("<pad>", "</s>", "<s>", "<unk>")  # pad, eos, bos, unk
    ids: tuple[int, int, int, int] = (-1, 2, 1, 0)  # pad, eos, bos, unk
    add_dummy_prefix: bool = False
    character_coverage: float = 0.99995
    max_sentencepiece_length: int = 16

    @property
    def special(self) -> tuple[str, ...]:
        """The pieces that pad, end, begin and stand for the unknown, of those that there are."""
        return tuple(n for n, token in zip(self.names, self.ids, strict=True) if token >= 0)

    @property
    def fixed(self) -> tuple[str, ...]:
        """All pieces that are not learned."""
        return (*self.special, *self.symbols, *BYTES)


def _gemma_symbols() -> tuple[str, ...]:
    unused = tuple(f"<unused{i}>" for i in range(99))
    tags = [
        *(f"<{tag}>" for tag in _BLOCKS),
        *(f"</{tag}>" for tag in _BLOCKS),
        *(f"<{tag}>" for tag in _HEADINGS),
        *(f"</{tag}>" for tag in _HEADINGS),
        *(f"<{tag}>" for tag in _INLINE),
        *(f"</{tag}>" for tag in _INLINE),
    ]
    return (
        *("<mask>", "<2mass>", "[@BOS@]", *unused, "<start_of_turn>", "<end_of_turn>"),
        *("\n" * n for n in range(1, _LONGEST_RUN + 1)),
        *(SPACE_MARK * n for n in range(2, _LONGEST_RUN + 1)),
        *tags,
        *("\t" * n for n in range(1, _LONGEST_RUN + 1)),
    )


PRESETS = {
    "gemma": Preset(_gemma_symbols(), ("<pad>", "<eos>", "<bos>", "<unk>"), ids=(0, 1, 2, 3)),
    "llama-2": Preset(add_dummy_prefix=True),
}


def preset_with(name: str, symbols: Sequence[str] = (), reserved: int = 0) -> Preset:
    """The preset of that name with a recipe's own symbols after its own, then `reserved` pieces for later use.

    Reserved pieces are called `<unusedN>`, from the first N that is free. Raises TokenizerError for an unknown preset
    and for a symbol that cannot be one.
    """
    if name not in PRESETS:
        raise TokenizerError(f"no preset is called {name!r}; the presets are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if twice := [symbol for symbol, times in Counter(symbols).items() if times > 1]:
        raise TokenizerError(f"the symbol {twice[0]!r} is given twice; once is enough")
    ids = dict(zip(preset.names, preset.ids, strict=True))
    first = sum(token >= 0 for token in preset.ids)
    ids |= {symbol: first + n for n, symbol in enumerate(preset.symbols)}
    for symbol in symbols:
        _check_symbol(symbol)
        if symbol in ids:
            raise TokenizerError(
                f"the symbol {symbol!r} is the preset's own, with id {ids[symbol]}; leave it out of the recipe"
            )
    taken = {*preset.symbols, *symbols}
    names: list[str] = []
    number = 0
    while len(names) < reserved:
        if (unused := f"<unused{number}>") not in taken:
            names.append(unused)
        number += 1
    return replace(preset, symbols=(*preset.symbols, *symbols, *names))


def _check_symbol(symbol: str) -> None:
    if not symbol:
        raise TokenizerError("a symbol is empty; give it a character at least, or leave it out")
    if symbol in BYTES:
        raise TokenizerError(f"the symbol {symbol!r} is the name of a byte; choose another")
    if " " in symbol:
        raise TokenizerError(
            f"the symbol {symbol!r} holds a space, which is U+2581 to the tokenizer; write \\u2581 in its place"
        )
    if "\u2585" in symbol or any(unicodedata.category(c) == "Cs" or not ord(c) for c in symbol):
        raise TokenizerError(
            f"the symbol {symbol!r} holds U+2585, NUL or half of a surrogate pair, which no piece may; choose another"
        )
