"""Train a SentencePiece vocabulary, BPE or unigram, with the settings of known tokenizers.

Always from counted words, never from sentences: the corpus behind a vocabulary may be as large as one likes. The
trainer itself makes such counts of sentences, so BPE pieces and ids are the same; `words` says what a word is.

The same words with the same counts give the same bytes: they are sorted, nothing is shuffled or sampled, no path
is written into the model, and the trainer, whose thread count is recorded, has one thread.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.presets import Preset, preset_with
from coursepack.tokenizers.sentencepiece_proto import with_dummy_prefix
from coursepack.tokenizers.trainer import run_trainer
from coursepack.tokenizers.words import LONGEST_WORD, WordCounter

Algorithm = Literal["bpe", "unigram"]
Progress = Callable[[str, float | None], None]
"""Told what the trainer does, and how far it is: 0 to 1, or None."""
_ROWS = 1 << 16  # sent to the trainer at once
_BATCH_BYTES = 1 << 24


@dataclass(frozen=True)
class Vocabulary:
    """What is to be trained: so many pieces, the fixed ones of `preset`, `symbols` and `reserved` among them."""

    pieces: int
    preset: str = "gemma"
    algorithm: Algorithm = "bpe"
    symbols: tuple[str, ...] = ()
    reserved: int = 0

    def settings(self) -> Preset:
        """The preset with the symbols; raises TokenizerError where they are wrong, or leave nothing to learn."""
        settings = preset_with(self.preset, self.symbols, self.reserved)
        fixed = len(settings.fixed)
        if self.pieces <= fixed:
            raise TokenizerError(
                f"a vocabulary of {self.pieces} holds only fixed pieces: preset {self.preset!r} with the symbols "
                f"of the recipe has {fixed} (special, user-defined, bytes); ask for more than {fixed}"
            )
        return settings

    def counter(self) -> WordCounter:
        """A counter of the words that this vocabulary is trained from."""
        settings = self.settings()
        return WordCounter(settings.fixed, settings.add_dummy_prefix)


@dataclass(frozen=True)
class Trained:
    """A `.model` file's bytes, and the memory that the trainer took at its highest."""

    model: bytes
    peak_bytes: int


def train(
    sentences: Iterable[str],
    vocabulary: int,
    preset: str = "gemma",
    accept_fewer: bool = False,
    algorithm: Algorithm = "bpe",
) -> bytes:
    """A `.model` file's bytes with `vocabulary` pieces, learned from texts of any length.

    Raises `TokenizerError` for an unknown preset, and when the texts give fewer pieces (unless `accept_fewer`) or
    have more distinct characters than `vocabulary`.
    """
    wanted = Vocabulary(vocabulary, preset, algorithm)
    counter = wanted.counter()
    for batch in _batches(sentences):
        counter.add(batch)
    return train_words(counter.table(), wanted, accept_fewer).model


def _batches(sentences: Iterable[str]) -> Iterator[pa.Array]:
    held: list[str] = []
    size = 0
    for sentence in sentences:
        held.append(sentence)
        size += len(sentence)
        if size >= _BATCH_BYTES:
            yield pa.array(held, pa.large_string())
            held, size = [], 0
    yield pa.array(held, pa.large_string())


def train_words(
    words: pa.Table,
    wanted: Vocabulary,
    accept_fewer: bool = False,
    progress: Progress = lambda said, fraction: None,
) -> Trained:
    """A model learned from WORDS of `wanted.counter()`; each word may be there once.

    Raises `TokenizerError` as `train` does, and where the trainer is killed.
    """
    settings = wanted.settings()
    if not words.num_rows:
        raise TokenizerError("the sample has no text; give sentences that are not empty")
    ordered = words.sort_by([("count", "descending"), ("word", "ascending")])
    log = _Log(wanted, len(settings.fixed), progress)
    options = options_of(wanted, settings, accept_fewer)
    answer = run_trainer(options, _lines(ordered, wanted.algorithm, settings.names[3]), log)
    if answer.error is not None:
        raise _explained(answer.error, wanted.pieces)
    model = with_dummy_prefix(answer.model) if settings.add_dummy_prefix else answer.model
    return Trained(model, answer.peak_bytes)


def options_of(wanted: Vocabulary, settings: Preset, accept_fewer: bool) -> dict[str, Any]:
    """What the library's trainer is told."""
    names = ("pad", "eos", "bos", "unk")
    return {
        "model_type": wanted.algorithm,
        "vocab_size": wanted.pieces,
        "hard_vocab_limit": not accept_fewer,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,  # words have theirs; the model says so in the end
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "character_coverage": settings.character_coverage,
        "max_sentencepiece_length": settings.max_sentencepiece_length,
        "user_defined_symbols": list(settings.symbols),
        "input_format": "tsv",
        "input_sentence_size": 0,
        "shuffle_input_sentence": False,
        "max_sentence_length": 8 * LONGEST_WORD,  # in bytes: nothing is skipped
        "num_threads": 1,
        "minloglevel": 0,
        **{f"{name}_piece": piece for name, piece in zip(names, settings.names, strict=True)},
        **{f"{name}_id": token for name, token in zip(names, settings.ids, strict=True)},
    }


def _lines(words: pa.Table, algorithm: Algorithm, cut: str) -> Iterator[memoryview]:
    """Words as the trainer reads them: `word TAB count`.

    The empty word, which is what cuts lines, is written as `cut`, a meta piece, which the trainer takes out.

    Unigram's first pieces are strings which different characters follow. All that follows a counted word is its end,
    so whole words would be lost; one of each word's counts goes to the word with a cut behind it.
    """
    cuts = _scalar(cut.encode())
    for batch in words.to_batches(_ROWS):
        word, count = batch.column("word"), batch.column("count")
        word = pc.if_else(pc.equal(pc.binary_length(word), 0), cuts, word)
        if algorithm == "unigram":
            again = pc.and_(pc.greater(pc.binary_length(word), 1), pc.greater(count, 1))
            count = pc.subtract(count, again.cast(pa.int64()))
            yield _joined(word.filter(again), _scalar(cut.encode() + b"\t1\n"))
        number = count.cast(pa.string()).cast(pa.large_binary())
        yield _joined(word, _scalar(b"\t"), number, _scalar(b"\n"))


def _scalar(value: bytes) -> pa.Scalar:
    return pa.scalar(value, pa.large_binary())


def _joined(*columns: Any) -> memoryview:
    """The bytes of all columns, row by row."""
    offsets, data = text_buffers(pc.binary_join_element_wise(*columns, _scalar(b"")))
    return data[offsets[0] : offsets[-1]].data


class _Log:
    """Makes progress of the trainer's log."""

    def __init__(self, wanted: Vocabulary, fixed: int, progress: Progress) -> None:
        self._wanted, self._fixed, self._progress = wanted, fixed, progress
        self._characters = self._seeds = 0

    def __call__(self, line: str) -> None:
        if found := re.search(r"Alphabet size=(\d+)", line):
            self._characters = int(found[1])
        elif found := re.search(r"(?:Merged|Added): .*?(?:merges|size)=(\d+)", line):
            all_merges = self._wanted.pieces - self._fixed - self._characters
            self._progress("merging", int(found[1]) / max(all_merges, 1))
        elif found := re.search(r"Initialized (\d+) seed", line):
            self._seeds = int(found[1])
            self._progress("pruning", 0.0)
        elif (found := re.search(r"EM sub_iter=\d+ size=(\d+)", line)) and self._seeds:
            # each round keeps three quarters of the pieces
            target = math.log(self._seeds / (1.1 * self._wanted.pieces))
            done = math.log(self._seeds / int(found[1]))
            self._progress("pruning", done / target if target > 0 else None)
        else:
            for sign, said in _PHASES.items():
                if sign in line:
                    self._progress(said, None)


_PHASES = {
    "Normalizing sentences": "reading words",
    "Extracting seed": "looking for frequent strings",
    "Making suffix array": "looking for frequent strings",
    "Completed": "writing",
}


def _explained(message: str, vocabulary: int) -> Exception:
    """The library's failure as something the user can act on; any other stays as it is."""
    if found := re.search(r"Please set it to a value <= (\d+)", message):
        return TokenizerError(
            f"the sample gives {found[1]} pieces, fewer than the vocabulary of {vocabulary}; give more text, ask for "
            f"at most {found[1]}, or accept fewer"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return TokenizerError(
            f"the sample has so many distinct characters that they alone take {found[1]} pieces, "
            f"more than the vocabulary of {vocabulary}; ask for more pieces or sample fewer scripts"
        )
    return RuntimeError(f"SentencePiece could not train: {message}")
