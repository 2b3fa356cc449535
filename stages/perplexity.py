"""Perplexity of a text under a KenLM model, in CCNet's arithmetic (Wenzek et al. 2020, arXiv:1911.00359;
facebookresearch/cc_net, `perplexity.py` and `text_normalizer.py`), which RedPajama-V2 took over.

KenLM takes one Python string a call, so of a long text some windows are read.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import pyarrow as pa

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.errors import SourceError

# Of a text longer than WINDOWS of WINDOW_BYTES so many windows are read, from its start to its end.
WINDOW_BYTES = 4096
WINDOWS = 4

# CCNet's replacements, the other way round. It has a full-width 1 for a quotation mark too, but digits go first.
_PUNCTUATION = {
    '"': "„”“«»」「《》", "'": "´’", ",": "，、", ".": "。", ". ": "．", "...": "…", "-": "–━►", " - ": "—",
    ":": "∶：", ";": "；", "?": "？", "!": "！", "(": "（", ")": "）", "[": "【", "]": "】", "<": "〈",
    ">": "〉", "~": "～", "%": "％",
}  # fmt: skip
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))


@dataclass(frozen=True)
class LanguageModel:
    """What scores a line, ready to be called."""

    score: Callable[
        [str], float
    ]  # log10 of the probability of words between spaces and of the line's end
    pieces: Callable[[str], list[str]] | None = (
        None  # a text's words; None: what stands between spaces
    )


def perplexity_signals(text: Text, model: LanguageModel) -> pa.RecordBatch:
    """`perplexity` (float64, one decimal, as CCNet rounds): 10^(-score / words), where the end of a line is a word.

    With `pieces` (SentencePiece) a text is one line, as in CCNet's pipeline: normalising it deletes its newlines,
    and the last word of a line becomes one with the first of the next. Without, the score is the sum over the
    lines that are not blank. Null where nothing but white space was read, as of a null text.
    """
    found = [_perplexity(sample, model) for sample in _samples(text)]
    return pa.RecordBatch.from_arrays([pa.array(found, pa.float64())], ["perplexity"])


def load_language_model(path: str, sentencepiece: str | None = None) -> LanguageModel:
    """The KenLM model (binary or ARPA) and SentencePiece model of local files, read once a process.

    Raises SourceError where the package or a file is missing, or where a file is no such model.
    """
    for name, kind in ((path, "KenLM"), (sentencepiece, "SentencePiece")):
        if name is not None and not os.path.isfile(name):
            raise SourceError(f"there is no {kind} model at {name!r}; give a file")
    return _load(path, sentencepiece)


def normalised(line: str) -> str:
    """A line as CCNet's models know it: lower case, no accents, digits as 0, ASCII punctuation, no control signs."""
    line = line.strip().lower()
    return (line if line.isascii() else unicodedata.normalize("NFD", line)).translate(_TABLE)


class _Replacements(dict[int, str | int | None]):
    """What becomes of a code point of decomposed text, found when it is first met."""

    def __missing__(self, code: int) -> str | int | None:
        character = chr(code)
        found: str | int | None = code
        if character.isdecimal():
            found = "0"
        elif unicodedata.category(character) == "Mn":
            found = None
        self[code] = found
        return found


_TABLE = _Replacements(
    {ord(sign): ascii_sign for ascii_sign, signs in _PUNCTUATION.items() for sign in signs}
    | dict.fromkeys(_CONTROLS)
)


def _perplexity(sample: str, model: LanguageModel) -> float | None:
    if model.pieces is not None:
        lines = [" ".join(model.pieces(normalised(sample)))] if sample.strip() else []
    else:
        lines = [normalised(line) for line in sample.split("\n") if line.strip()]
    if not lines:
        return None
    score: float = sum(map(model.score, lines))
    words = sum(len(line.split()) + 1 for line in lines)
    # 300: what float64 holds, whatever the model says
    found: float = 10.0 ** min(-score / words, 300.0)
    return round(found, 1)


def _samples(text: Text) -> Iterator[str]:
    """What is read of each text: a code point that a window cuts is left out."""
    offsets, data = text_buffers(text)
    for start, end in pairwise(offsets.tolist()):
        size = end - start
        if size <= WINDOWS * WINDOW_BYTES:
            yield data[start:end].tobytes().decode()
            continue
        firsts = (start + (size - WINDOW_BYTES) * n // (WINDOWS - 1) for n in range(WINDOWS))
        parts = (data[first : first + WINDOW_BYTES].tobytes() for first in firsts)
        yield "\n".join(part.decode(errors="ignore") for part in parts)


@cache
def _load(path: str, sentencepiece: str | None) -> LanguageModel:
    try:
        import kenlm
    except ImportError:
        raise SourceError(
            "signals.perplexity needs the package kenlm here and where tasks run; run: pip install "
            "'coursepack[perplexity]' (it builds from source, with a C++ compiler)"
        ) from None
    try:
        score = kenlm.Model(path).score
    except OSError as error:
        raise SourceError(f"{path!r} is no KenLM model: {error}") from None
    if sentencepiece is None:
        return LanguageModel(score)
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=sentencepiece)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{sentencepiece!r} is no SentencePiece model: {error}") from None

    def pieces(text: str) -> list[str]:
        found: list[str] = processor.encode(text, out_type=str)
        return found

    return LanguageModel(score, pieces)
