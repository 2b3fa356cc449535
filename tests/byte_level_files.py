"""Small byte-level tokenizers, made on the spot: what the tests of several folders share."""

import base64
import functools
import pydoc_data.topics
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from coursepack.pipeline.arrow import text_buffers
from coursepack.tokenizers.byte_level import unspell
from coursepack.tokenizers.cache import DOCUMENT_END
from coursepack.tokenizers.patterns import CL100K, O200K, PATTERNS, Pattern
from coursepack.tokenizers.splitting import Cutter

FOREIGN = (
    "Die Würde des Menschen ist unantastbar. Straße, größer, Übermut! \u01c5 \u02b0 Ⅳ ½ ٣٤٥ １２３",
    "人人生而自由，在尊严和权利上一律平等。すべての人間は、生まれながらにして自由であり",
    "Все люди рождаются свободными. يولد جميع الناس أحرارًا. มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "e\u0301 a\u0308 \u1100\u1161\u11a8 👩‍👩‍👧 🏳️‍🌈 \U00020000 naïve ﬁ ſ'ſ K I'LL they're",
)


def topics() -> list[str]:
    """Real text that every Python has, with tables, code and lists in it."""
    return [text for _, text in sorted(pydoc_data.topics.topics.items())]


def byte_level_json(
    special: Sequence[str] = (),
    added: Sequence[AddedToken] = (),
    cut: pre_tokenizers.PreTokenizer | None = None,
    normalizer: normalizers.Normalizer | None = None,
    vocabulary: int = 256,
    ignore_merges: bool = False,
) -> bytes:
    """A `tokenizer.json` of byte-level BPE trained on `topics` and FOREIGN; the same bytes each time.

    `cut` defaults to GPT-2's pattern. The file has a truncation and a padding, as files on the hub have.
    """
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    made.pre_tokenizer = cut or pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    if normalizer:
        made.normalizer = normalizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([*topics()[:40], *FOREIGN * 3], trainer)
    made.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special]
    )
    made.add_tokens(list(added))
    made.enable_truncation(5)
    made.enable_padding()
    return str(made.to_str()).encode()


def by_regex(regex: str) -> pre_tokenizers.PreTokenizer:
    """The pre-tokeniser that cuts by a pattern of one's own."""
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), bytes_only])


def spelling(pattern: Pattern) -> str:
    """One way to write a pattern."""
    return next(regex for regex, known in PATTERNS.items() if known == pattern)


def cuts(
    texts: list[str], pattern: Pattern, digits: bool = False, room: int = 1 << 16
) -> list[list[str]]:
    """The pieces of each text, by the kernel, `room` ends at a time."""
    offsets, data = text_buffers(pa.array(texts, pa.string()))
    cutter = Cutter(pattern, digits)
    ends, found = np.empty(room, np.int64), []
    document, at = 0, int(offsets[0])
    while document < len(texts):
        document, at, n = cutter.cut(offsets, data, document, at, ends)
        found.extend(ends[:n].tolist())
    pieces: list[list[str]] = [[]]
    start = int(offsets[0])
    for end in found:
        if end == DOCUMENT_END:
            pieces.append([])
        else:
            pieces[-1].append(data[start:end].tobytes().decode())
            start = end
    assert pieces.pop() == []
    return pieces


CL100K_REGEX = spelling(Pattern(CL100K, any_case=True, digits=3))
O200K_REGEX = spelling(Pattern(O200K, any_case=True, digits=3, slash=True))


@functools.cache
def ranks_file(vocabulary: int = 700) -> bytes:
    """A tiktoken ranks file with the tokens of a trained vocabulary, in its order."""
    made = tokenizers.Tokenizer.from_buffer(byte_level_json(vocabulary=vocabulary))
    tokens = sorted(made.get_vocab().items(), key=lambda item: item[1])
    lines = []
    for piece, rank in tokens:
        token = unspell(piece)
        assert token is not None
        lines.append(base64.b64encode(token) + b" %d\n" % rank)
    return b"".join(lines)
