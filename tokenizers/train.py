"""Train a SentencePiece BPE vocabulary from a sample of text, with the settings of known
tokenizers.

The same sentences in the same order give the same bytes: nothing is shuffled or sampled, no path is
written into the model, and the trainer's thread count, which it records, is fixed (it parallelises
only the normalisation; all else runs on one thread).
"""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sentencepiece

from coursepack.pipeline.errors import TokenizerError

# Gemma's HTML symbols, in the order of its ids 169 to 216.
_BLOCKS = ("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6", "blockquote")
_INLINE = ("strong", "em", "b", "i", "u", "s", "sub", "sup", "code")

_LONGEST_RUN = 31
# The trainer counts positions in 16 bits and ends the process beyond them.
_LONGEST_LINE = 1 << 15
# The trainer keeps U+2585 for itself and silently drops sentences that hold it; a tab is where it
# ends words.
_RESERVED, _BOUNDARY = "\u2585", "\t"


@dataclass(frozen=True)
class Preset:
    """Where published SentencePiece BPE tokenizers differ.

    All have byte fallback, single digits, pieces of spaces alone, and no normalisation.
    """

    pieces: int  # of the published model
    symbols: tuple[str, ...] = field(
        default=(), repr=False
    )  # user-defined, in the order of their ids
    names: tuple[str, str, str, str] = ("<pad>", "</s>", "<s>", "<unk>")  # pad, eos, bos, unk
    ids: tuple[int, int, int, int] = (-1, 2, 1, 0)  # pad, eos, bos, unk
    add_dummy_prefix: bool = False
    character_coverage: float = 0.99995
    max_sentencepiece_length: int = 16


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
        *("\u2581" * n for n in range(2, _LONGEST_RUN + 1)),
        *tags,
        *("\t" * n for n in range(1, _LONGEST_RUN + 1)),
    )


# gemma: ids of google-deepmind/gemma `_Gemma2SpecialTokens`, trainer settings of transformers'
# GemmaConverter. Ids 0 to 216 are Gemma's. Its tab runs stand at 255969 and up, where the trainer
# puts no symbol; ours follow at 217 to 247, with the single tab that Gemma lacks, and the bytes at
# 248. character_coverage and the sample are not published. llama-2: the settings in its
# tokenizer.model as listed in karpathy/llama2.c; newlines and tabs are byte pieces.
PRESETS = {
    "gemma": Preset(
        256_000, _gemma_symbols(), ("<pad>", "<eos>", "<bos>", "<unk>"), ids=(0, 1, 2, 3)
    ),
    "llama-2": Preset(32_000, add_dummy_prefix=True),
}


def train(
    sentences: Iterable[str],
    vocabulary: int,
    preset: str = "gemma",
    accept_fewer: bool = False,
) -> bytes:
    """A `.model` file's bytes with `vocabulary` pieces, learned from `sentences`.

    A sentence is a text of any length; pieces never cross its lines, as when the trainer reads
    files. All are held in memory, about 12 times their size at the peak. The interpreter lock is
    free during training, so other threads go on; an exception of the iterator passes through.
    `accept_fewer` takes what a small sample gives instead of raising.

    Raises `TokenizerError` for an unknown preset, and when the sample gives fewer pieces or has
    more distinct characters than `vocabulary`.
    """
    if preset not in PRESETS:
        raise TokenizerError(
            f"no preset is called {preset!r}; the presets are {', '.join(PRESETS)}"
        )
    settings = PRESETS[preset]
    fixed = len(settings.symbols) + 256 + sum(i >= 0 for i in settings.ids)
    if vocabulary <= fixed:
        raise TokenizerError(
            f"a vocabulary of {vocabulary} holds only fixed pieces: preset {preset!r} has {fixed} "
            f"(special, user-defined, bytes); ask for more than {fixed}"
        )
    lines = _Lines(sentences)
    try:
        return _run(lines, settings, vocabulary, accept_fewer)
    except RuntimeError as error:
        if lines.error is not None:
            raise lines.error from None
        raise _explained(str(error), lines, vocabulary) from error


def _run(lines: "_Lines", settings: Preset, vocabulary: int, accept_fewer: bool) -> bytes:
    names = ("pad", "eos", "bos", "unk")
    options: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": vocabulary,
        "hard_vocab_limit": not accept_fewer,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": settings.add_dummy_prefix,
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "character_coverage": settings.character_coverage,
        "max_sentencepiece_length": settings.max_sentencepiece_length,
        "user_defined_symbols": list(settings.symbols),
        "input_sentence_size": 0,
        "shuffle_input_sentence": False,
        "max_sentence_length": 4 * _LONGEST_LINE,  # in bytes: nothing is skipped
        "num_threads": 1,
        "minloglevel": 2,
        **{f"{name}_piece": piece for name, piece in zip(names, settings.names, strict=True)},
        **{f"{name}_id": token for name, token in zip(names, settings.ids, strict=True)},
    }
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, **options
    )
    return out.getvalue()


class _Lines:
    """The lines of all sentences, none empty or too long, their bytes counted.

    The library turns exceptions of an iterator into text, so the first is kept.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self._sentences = sentences
        self.bytes = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for sentence in self._sentences:
                for line in sentence.replace(_RESERVED, _BOUNDARY).split("\n"):
                    for start in range(0, len(line), _LONGEST_LINE):
                        encoded = line[start : start + _LONGEST_LINE].encode()
                        self.bytes += len(encoded)
                        yield encoded
        except BaseException as error:
            self.error = error
            raise


def _explained(message: str, lines: _Lines, vocabulary: int) -> Exception:
    """The library's failure as something the user can act on; any other stays as it is."""
    if not lines.bytes:
        return TokenizerError("the sample has no text; give sentences that are not empty")
    if found := re.search(r"Please set it to a value <= (\d+)", message):
        return TokenizerError(
            f"the sample of {lines.bytes} bytes gives {found[1]} pieces, fewer than the vocabulary "
            f"of {vocabulary}; give more text, ask for at most {found[1]}, or accept fewer"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return TokenizerError(
            f"the sample has so many distinct characters that they alone take {found[1]} pieces, "
            f"more than the vocabulary of {vocabulary}; ask for more pieces or sample fewer scripts"
        )
    return RuntimeError(f"SentencePiece could not train: {message}")
