"""The patterns that byte-level tokenizers cut texts by, as files spell them.

Three families cover nearly all models: GPT-2's, cl100k's (GPT-4, Llama 3, Qwen) and o200k's (GPT-4o, gpt-oss,
Mistral's Tekken). The patterns look at nothing before a match, and match at every place of a text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

GPT2, CL100K, O200K = 0, 1, 2


@dataclass(frozen=True)
class Pattern:
    """One of the families, and in what its members differ."""

    family: int
    contractions: bool = True
    any_case: bool = False  # of contractions
    digits: int = 0  # most of a number in one piece; 0: no bound
    slash: bool = False  # behind signs, like newlines
    end_first: bool = False  # white space that ends a text is one piece, newlines or not


def _families() -> Iterator[tuple[str, Pattern]]:
    """Every spelling known, with what it means."""
    lower, folded = "'s|'t|'re|'ve|'m|'ll|'d", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    yield lower + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", Pattern(GPT2)
    yield (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
        Pattern(GPT2),
    )
    numbers = ((r"\p{N}{1,3}", 3), (r"\p{N}", 1), (r"\p{N}+", 0))
    spaces = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    for (contraction, cased), (number, digits) in product(
        ((lower, False), (folded, True)), numbers
    ):
        yield (
            contraction
            + r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
            + number
            + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
            + spaces,
            Pattern(CL100K, any_case=cased, digits=digits),
        )
    yield (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        Pattern(CL100K, any_case=True, digits=3, end_first=True),
    )
    before, capital, small = (
        r"[^\r\n\p{L}\p{N}]?",
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    )
    for after, (number, digits), slash in product((folded + "?", ""), numbers, (True, False)):
        signs = r"| ?[^\s\p{L}\p{N}]+" + (r"[\r\n/]*" if slash else r"[\r\n]*")
        yield (
            f"{before}{capital}*{small}+{after}|{before}{capital}+{small}*{after}|{number}{signs}{spaces}",
            Pattern(O200K, bool(after), any_case=True, digits=digits, slash=slash),
        )


PATTERNS = dict(_families())
