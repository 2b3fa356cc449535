"""Texts of many kinds, and small SentencePiece models trained on them, for tests."""

import functools
import io
import itertools
import sysconfig
from pathlib import Path

import sentencepiece

from coursepack.tokenizers.cache import LONGEST_CACHED_BYTES
from coursepack.tokenizers.train import train

FOREIGN = (
    "Die Würde des Menschen ist unantastbar. Straße, größer, Übermut!",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "e\u0301 a\u0308 👩‍👩‍👧 🏳️‍🌈 \U00020000\U0002a6d6 naïve ﬁ ½ ＡＢＣ １２３",
)
ODD = (
    "",
    " ",
    "\n",
    "\x00",
    "a\x00b\x00\x00",
    "▁",
    "a▁b ▁ c▁▁▁d  ▁",
    "▅▅ blocks ▅",
    "</s><s><unk><pad><eos><bos><unused5><unused999><start_of_turn>x<end_of_turn><0x0A>",
    "<unused1<unused12>><<table></table><tab",
    "x" * 5000,
    "-" * (LONGEST_CACHED_BYTES - 1) + " " + "-" * LONGEST_CACHED_BYTES + "\n" + "=" * 999,
    " " * 31 + "a" + " " * 32 + "b" + " " * 63 + "c" + " " * 1000,
    "\n" * 31 + "a" + "\n" * 32 + "b" + "\n" * 63 + "c" + "\n" * 1000 + "\r\n\r\n",
    "\t" * 31 + "a" + "\t" * 33 + " \t \t\n \n\t" * 50,
    "\ufeff\ufffd\u200b\u00a0\u3000\U0010ffff\U000e0001",
    "3.14159 12345678901234567890 １２３ ٣٤٥",
)


@functools.cache
def real_texts() -> tuple[str, ...]:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
    return tuple(f.read_text(encoding="utf-8", errors="replace") for f in files)


@functools.cache
def model(preset: str) -> bytes:
    sample = (*real_texts()[::3], *FOREIGN * 20)
    return train(iter(sample), 6_000, preset, accept_fewer=True)


@functools.cache
def trained(**options: object) -> bytes:
    """A small model with other settings than the presets'."""
    out = io.BytesIO()
    plain = {
        "model_type": "bpe",
        "vocab_size": 1_500,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "hard_vocab_limit": False,
        "minloglevel": 2,
    }
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    lines = itertools.chain.from_iterable(t.split("\n") for t in (*real_texts()[:12], *FOREIGN))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=out, **(plain | lists)
    )
    return out.getvalue()
