"""Signals of mathematics against a twin on str, and what counts as a formula or a sum."""

import json
import re
import string
from pathlib import Path

import pyarrow as pa
import pytest
import regex
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages.mathematics import (
    BRACKETED,
    COMMANDS,
    ENTITIES,
    ENVIRONMENTS,
    FORMULAS,
    PREAMBLE,
    RENDERERS,
    TAGS,
    math_signals,
)

TOKEN = re.compile(
    r"\\(?P<name>[A-Za-z]{1,24})|\\(?P<sign>[!-\x7f])|\\|(?P<blank>\n[ \t\r]*(?=\n|\Z))"
    r"|(?P<dollars>\$+)|(?P<opener>[<&\[])(?P<word>[A-Za-z]{0,24})|(?P<x>[xX])"
    r"|(?P<number>[0-9](?:[0-9]|[,.](?=[0-9]))*%?)"
)
ENVIRONMENT = re.compile(r"\{([A-Za-z]{0,24})(\*?)\}")
NUMBER = r"[0-9](?:[0-9]|[,.](?=[0-9]))*+%?+"
GAP = r"[ $()<>]{0,4}+"
OPERATOR = r"(?:[+*=^/×÷−-]|(?<= )[xX](?= ))"
SUM = re.compile(rf"{NUMBER}(?:{GAP}{OPERATOR}{GAP}-?+{NUMBER})*+")
GREEK = regex.compile(r"[\p{Greek}&&\p{L}]+", regex.V1)
SYMBOL = regex.compile(r"[\p{Math}&&\P{ASCII}--[\p{Greek}&&\p{L}]]", regex.V1)


def is_formula(content: str, dollars: bool, letter_behind: bool = False) -> bool:
    index = r"_(?:[{0-9]|[A-Za-z](?![A-Za-z_]))"
    strong = re.search(rf"\\[A-Za-z]{{2}}|\^|{index}", content)
    weak = re.search("[=+<>]" if dollars else r"=|\+(?=[A-Za-z0-9 ])", content)
    white = re.search(r"(?<!,)[\x00-\x20]", content)
    if not dollars:
        return bool(strong or weak)
    if re.search('["`]', content) or (letter_behind and white):
        return False
    if re.match("[0-9]", content) and re.search("[A-Za-z]{3}", content) and not strong:
        return False
    short = len(content.encode()) <= (3 if letter_behind else 20)
    plain = not re.search("[A-Za-z]{4}|[:;@]", content)
    return bool(strong or weak or (short and plain and not white))


def sum_of(match: re.Match[str]) -> int:
    """Digits and operators of a sum; 0 where it is only a number, a date or a fraction."""
    found = match[0]
    if not re.search("[+*=^xX×÷]", found):
        return 0
    return len(re.sub(r"[ $()<>]", "", found))


class Twin:
    def __init__(self, text: str) -> None:
        self.text = text
        self.commands = self.environments = self.preambles = self.remnants = self.sums = 0
        self.formulas: list[tuple[int, int]] = []
        self.dollar: tuple[int, int] | None = None  # how many, where
        self.bracket: tuple[str, int] | None = None
        self.environment: tuple[str, int] | None = None
        self.sum_end = 0
        i = 0
        while match := TOKEN.search(text, i):
            i = self.read(match)

    def read(self, token: re.Match[str]) -> int:
        start, end, text = token.start(), token.end(), self.text
        if token["name"]:
            return self.command(token)
        if token["sign"]:
            self.escape(token["sign"], start)
        elif token["blank"]:
            self.dollar = self.bracket = None
        elif token["dollars"]:
            self.dollars(start, end)
        elif token["opener"] and token["word"]:
            names = {"<": TAGS, "&": ENTITIES, "[": BRACKETED}[token["opener"]]
            closes = {"<": "", "&": ";", "[": "]"}[token["opener"]]
            self.remnants += token["word"] in names and text[end:].startswith(closes)
        elif token["x"]:
            lower = text[:end].translate(
                str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
            )
            self.remnants += lower.endswith(RENDERERS)
        elif token["number"] and start >= self.sum_end:
            match = SUM.match(text, start)
            if match and not re.match("[A-Za-z_]", text[max(0, start - 1) : start]):
                self.sum_end = match.end()
                self.sums += sum_of(match)
        return end

    def command(self, token: re.Match[str]) -> int:
        start, end, name = token.start(), token.end(), token["name"]
        self.commands += name in COMMANDS
        self.preambles += name in PREAMBLE
        self.remnants += name == "displaystyle" or (
            name in COMMANDS and self.text[max(0, start - 2) : start] == '="'
        )
        named = ENVIRONMENT.match(self.text, end) if name in ("begin", "end") else None
        if named is None:
            return end
        if name == "begin":
            self.environments += named[1] in ENVIRONMENTS
            self.preambles += named[1] == "document"
        if named[1] not in FORMULAS:
            return end
        if name == "begin" and not self.environment:
            self.environment = named[0], start
            self.dollar = self.bracket = None
        elif name == "end" and self.environment and self.environment[0] == named[0]:
            self.counts(self.environment[1], named.end())
            self.environment = self.dollar = self.bracket = None
        return named.end()

    def escape(self, sign: str, start: int) -> None:
        if sign in "([":
            self.bracket, self.dollar = (sign, start), None
        elif sign in ")]":
            if self.bracket and self.bracket[0] == {")": "(", "]": "["}[sign]:
                content = self.text[self.bracket[1] + 2 : start]
                short = sign == ")" and len(content.encode()) <= 2
                if short or is_formula(content, dollars=False):
                    self.counts(self.bracket[1], start + 2)
            self.bracket = self.dollar = None

    def dollars(self, start: int, end: int) -> None:
        text = self.text
        if end - start > 2:
            self.dollar = None
        elif end - start == 2:
            opened = self.dollar[1] + 2 if self.dollar and self.dollar[0] == 2 else None
            if opened and is_formula(text[opened:start], dollars=True):
                self.counts(opened - 2, end)
                self.dollar = None
            else:
                self.dollar = 2, start
        elif not (self.dollar and self.dollar[0] == 2):
            behind = text[end : end + 2]
            opened = self.dollar[1] + 1 if self.dollar else start
            letter = bool(re.match("[A-Za-z]", behind))
            if (
                opened < start
                and text[start - 1] > " "
                and not re.match("[0-9({]|<<", behind)
                and is_formula(text[opened:start], dollars=True, letter_behind=letter)
            ):
                self.counts(opened - 1, end)
                self.dollar = None
            elif re.match("(?!<<)[^\x00-\x20)]", behind) and not re.match(
                "[A-Za-z0-9_]", text[max(0, start - 1) : start]
            ):
                self.dollar = 1, start
                self.remnants += text[end : end + 6] == "latex "
            else:
                self.dollar = None

    def counts(self, start: int, end: int) -> None:
        self.formulas = [span for span in self.formulas if span[0] < start] + [(start, end)]


def twin(text: str | None) -> dict[str, float | bool | None]:
    text = text or ""
    found = Twin(text)
    symbols = len(SYMBOL.findall(text)) + sum(len(run) == 1 for run in GREEK.findall(text))

    def share(count: int) -> float | None:
        return count / len(text) if text else None

    return {
        "latex_commands": found.commands,
        "latex_environments": found.environments,
        "has_latex_preamble": found.preambles > 0,
        "math_char_ratio": share(sum(end - start for start, end in found.formulas)),
        "math_symbol_ratio": share(symbols),
        "mathml_remnants": found.remnants,
        "arithmetic_ratio": share(found.sums),
    }


PIECES = [
    *("$", "$", "$", "$$", "$$$", "\\$", "\\(", "\\)", "\\[", "\\]", "\\\\", "\\", "\n\n", "\n \n"),
    *("\\begin{align}", "\\end{align}", "\\begin{align*}", "\\end{align*}", "\\begin{proof}", "{"),
    *("\\begin{document}", "\\begin{}", "\\end{x", "\\usepackage", "\\frac", "\\alphax", "\\n"),
    *(
        "x",
        "ab",
        "word ",
        "x^2",
        "a_1",
        "a_{i}",
        "my_var",
        "=",
        "+",
        "<",
        "<<",
        " ",
        ", ",
        '"',
        "`",
    ),
    *("5", "1,000.5", "10%", " x ", "*", "-", "/", "×", "−", "(", ")", ">>", ":", "é", "漢"),
    *("α", "π", "λx", "ϕ", "∑", "→", "𝛼", "<mi>", "<math", "&alpha;", "&sum", "[tex]", "[tex"),
    *("w" * 59, "no w " * 13, "é" * 31, "漢字" * 11),  # what fills blocks of 64 bytes
    *("MathJax", "katex", "KATEX", "\\displaystyle", '="\\frac', "$latex x^2$", "\\" + "a" * 30),
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=14).map("".join)


@given(st.lists(st.none() | TEXT, max_size=5), st.integers(0, 5))
@settings(max_examples=600, deadline=None)
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert math_signals(column).to_pylist() == wanted
        assert math_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert math_signals(chunks).to_pylist() == wanted


def test_the_kernel_passes_characters_without_bits_only() -> None:
    chars = [chr(code) for code in (*range(0x80, 0xD800), *range(0xE000, 0x110000))]
    found = math_signals(pa.array(chars)).column("math_symbol_ratio").to_pylist()
    assert found == [float(bool(SYMBOL.match(char) or GREEK.match(char))) for char in chars]


@given(st.lists(st.binary(max_size=40), max_size=4))
@settings(deadline=None)
def test_any_bytes_give_shares(rows: list[bytes]) -> None:
    for found in math_signals(pa.array(rows, pa.binary())).to_pylist():
        for name, value in found.items():
            assert value is None or value >= 0
            assert value is None or not name.endswith("_ratio") or value <= 1


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("It costs $5 and $10.", ""),
        ("US$5, $3 million, 7$ or $1,000 (or US$) now", ""),
        ("from $5 to 10$ each", ""),
        ("$100 = 100 dollars, i.e. not much$", ""),
        ("$x$ and $y$, the $n$th $f(x, y)$", "$x$$y$$n$$f(x, y)$"),
        ("$a_1 + b$ and $$\\int x$$", "$a_1 + b$$$\\int x$$"),
        ("$\nx^2\n$ and $x\n\n^2$", ""),
        ("echo $HOME/bin:$PATH; $foo = $bar.$baz", ""),
        ("a ${x}${y} $(CC)/$(LD) $$ $$", ""),
        ("`$_` and `$true`, $a:$b", ""),
        ("\\(x\\) \\(a + b\\) \\[\\frac{1}{2}\\]", "\\(x\\)\\(a + b\\)\\[\\frac{1}{2}\\]"),
        ("\\[link\\](url) \\(foo\\|bar\\) \\(\\d+\\)", ""),
        ("\\begin{align} a &= \\text{if $b$} \\end{align}", "-" * 44),
        ("\\begin{align} a", ""),
        ("\\$5 + \\$6 = \\$11", ""),
    ],
)
def test_formulas(text: str, formulas: str) -> None:
    share = math_signals(pa.array([text])).column("math_char_ratio")[0].as_py()
    assert round(share * len(text)) == len(formulas)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("48/2 = <<48/2=24>>24 clips", "48/2=48/2=24"),
        ("She pays 3 * $5 = $15.", "3*5=15"),
        ("5 x 3 + 2 = 17, 1920x1080", "5x3+2=17"),
        ("1,000 × 5% = 50", "1,000×5%=50"),
        ("4 - (-3) = 7", "4--3=7"),
        ("2024-01-05, 1/2, 10-20, 555-1234", ""),
        ("version 1.2.3, x1 = 2, 127.0.0.1", ""),
        ("one two 3 4 5", ""),
    ],
)
def test_sums(text: str, counted: str) -> None:
    share = math_signals(pa.array([text])).column("arithmetic_ratio")[0].as_py()
    assert round(share * len(text)) == len(counted)


def test_paths_and_escapes_are_no_commands() -> None:
    texts = ["C:\\Users\\new\\bin", "\\n\\t\\d+\\w", "\\frac12 \\alpha\\beta x\\cdot y"]
    assert math_signals(pa.array(texts))["latex_commands"].to_pylist() == [0, 0, 4]


def test_greek_words_are_no_mathematics() -> None:
    texts = ["Η γλώσσα μας", "2πr, Δx ∈ ℝ", "x -> y"]  # the article is one letter
    found = math_signals(pa.array(texts))["math_symbol_ratio"].to_pylist()
    assert found == [1 / 12, 4 / 11, 0]


def test_real_text_stands_apart(shared: Path) -> None:
    def middle(name: str, signal: str, share: float = 0.5) -> float:
        with zstandard.open(shared / "data" / f"{name}.jsonl.zst", "rt") as lines:
            texts = [json.loads(line)["text"] for line, _ in zip(lines, range(500), strict=False)]
        values = sorted(math_signals(pa.array(texts))[signal].to_pylist())
        return float(values[int(share * (len(values) - 1))])

    assert middle("math-openlogic", "math_char_ratio") > 0.1
    assert middle("math-gsm8k-train", "arithmetic_ratio") > 0.05
    for name in ("web_en-novels", "web_en-powershell-5-versions", "web_en-peps"):
        assert middle(name, "math_char_ratio", 0.95) < 0.01
        assert middle(name, "arithmetic_ratio", 0.95) < 0.005
