"""The lexer of comments against regular expressions and Python's own parser; families by path and by cues."""

import ast
import io
import re
import tokenize
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.arrow import text_buffers
from coursepack.stages.comments import (
    FAMILIES,
    NO_FAMILY,
    NOTICES,
    Syntax,
    count_comments,
    guess_families,
    path_families,
)

NAMES = (*FAMILIES, None)


def counted(texts: list[str | None], family: str) -> list[tuple[int, int]]:
    offsets, data = text_buffers(pa.array(texts, pa.string()))
    families = np.full(len(texts), NAMES.index(family), np.uint8)
    return [(int(c), int(n)) for c, n in zip(*count_comments(offsets, data, families), strict=True)]


def token_pattern(name: str, syntax: Syntax) -> re.Pattern[str]:
    parts = []
    if syntax.block[0]:
        opens, closes = map(re.escape, syntax.block)
        parts.append(rf"(?P<block>{opens}(?:.*?{closes}|.*\Z))")
    if syntax.lines:
        before = r"(?<![^\x00-\x20])" if syntax.after_space else r"(?<!\\)" if name == "tex" else ""
        signs = "|".join(map(re.escape, syntax.lines))
        parts.append(rf"(?P<line>{before}(?:{signs})[^\n]*)")
    if syntax.triple:
        parts += [
            rf"(?P<triple{n}>{q * 3}(?:\\.|(?!{q * 3}).)*?{q * 3})" for n, q in enumerate("\"'")
        ]
    for quote in syntax.quotes:
        over_lines = "" if quote == "`" else r"\n"
        parts.append(
            rf"{quote}(?:\\[^{over_lines}]|[^{quote}\\{over_lines}])*{quote}".replace("[^]", ".")
        )
    return re.compile("|".join(parts) or r"(?!)", re.DOTALL)


def is_statement(text: str, i: int) -> bool:
    line = text[:i].rpartition("\n")[2]
    before = text[: len(text[:i]) - len(line)].rstrip("".join(map(chr, range(33))))
    return bool(re.fullmatch(r"[ \t]*[A-Za-z]{0,2}", line)) and before[-1:] not in list("([{,=+%\\")


def twin(text: str | None, name: str) -> tuple[int, int]:
    text, chars, i = text or "", 0, 0
    pattern = token_pattern(name, FAMILIES[name])
    in_header, goes_on, notice_end, last_end = True, False, 0, 0
    while i < len(text):
        if in_header and text[i] <= " ":
            i += 1
            continue
        match = pattern.match(text, i)
        groups = [k for k, found in match.groupdict().items() if found] if match else []
        comment = bool(
            match and groups and (groups[0] in ("block", "line") or is_statement(text, i))
        )
        if match and comment:
            chars += len(match[0])
            if in_header:
                if any(notice in match[0].lower() for notice in NOTICES):
                    goes_on, notice_end = True, match.end()
                elif goes_on and i and text.count("\n", last_end, i) == 1:
                    notice_end = match.end()
                else:
                    goes_on = False
                last_end = match.end()
        else:
            in_header = False
        i = match.end() if match else i + 1
    return chars, text.count("\n", 0, notice_end) + 1 if notice_end else 0


PIECES = [
    *("//", "/*", "*/", "#", "--", "--[[", "]]", "%", "\\%", "<!--", "-->", ";", "{-", "-}", "!"),
    *(
        '"',
        "'",
        "`",
        '"""',
        "'''",
        "\\",
        "\\\n",
        "\n",
        "\n",
        "\n\n",
        " ",
        "    ",
        "x",
        "é",
        "漢",
        "=(",
    ),
    *("Copyright (c) me", "licensed under", "r", "/", "*", "-", ":\n", "code"),
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=20).map("".join)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "data"])
def test_against_the_twin(family: str) -> None:
    @given(st.lists(st.none() | TEXT, max_size=6))
    @settings(max_examples=60, deadline=None)
    def check(texts: list[str | None]) -> None:
        assert counted(texts, family) == [twin(text, family) for text in texts]

    check()


def test_python_as_its_parser_sees_it() -> None:
    files = [path for path in sorted(Path(ast.__file__).parent.glob("*.py"))[::4] if path.is_file()]
    for path in files:
        text = path.read_text(errors="replace")
        tree, lines = ast.parse(text), text.split("\n")
        chars = sum(
            len(token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        )
        for node in ast.walk(tree):
            kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            if isinstance(node, kinds) and ast.get_docstring(node) is not None:
                string = node.body[0]
                assert string.end_lineno
                chars += len("\n".join(lines[string.lineno - 1 : string.end_lineno]).strip())
        found = counted([text], "python")[0][0]
        assert abs(found - chars) <= 0.05 * len(text), path.name


@pytest.mark.parametrize(
    ("family", "text", "comments"),
    [
        ("c", 'url = "http://x"; // real', "// real"),
        ("c", "a = '//'; /* b // */ c", "/* b // */"),
        ("c", "let s = `//\n//`; //é", "//é"),
        ("c", "fn f<'a>(x: &'a T) // why", "// why"),
        ("c", "/* never ends", "/* never ends"),
        ("python", 'x = """\n# no\n"""  # yes', "# yes"),
        ("python", 'def f():\n    """Doc."""\n    return "#"', '"""Doc."""'),
        ("python", 'f(\n    """no doc"""\n)', ""),
        ("hash", "echo ${x#y} $# # yes", "# yes"),
        ("sql", "SELECT '--' -- all\nFROM t /* x */", "-- all/* x */"),
        ("lua", "--[[ a\nb ]] c", "--[[ a\nb ]]"),
        ("tex", "50\\% of % this", "% this"),
        ("markup", "<p><!-- a -->b</p>", "<!-- a -->"),
    ],
)
def test_comments(family: str, text: str, comments: str) -> None:
    assert counted([text], family)[0][0] == len(comments)


@pytest.mark.parametrize(
    ("family", "text", "lines"),
    [
        ("c", "/*\n * Copyright 2020 me.\n */\nint x;", 3),
        ("python", "#!/usr/bin/env python\n# Copyright me\n# more\n\n# Other\nx", 3),
        ("c", "// What it does.\n\n// SPDX-License-Identifier: MIT\nint x;", 3),
        ("php", "<?php\n// All Rights Reserved\n", 2),
        ("markup", '<?xml version="1.0"?>\n<!-- Copyright me -->\n<a/>', 2),
        ("c", "int x;\n// Copyright me", 0),
        ("c", "// What it does.\nint x;", 0),
    ],
)
def test_notices(family: str, text: str, lines: int) -> None:
    assert counted([text], family)[0][1] == lines


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("src/main.c", "c"),
        ("a.b/App.TSX", "c"),
        ("x/Makefile", "hash"),
        ("Dockerfile", "hash"),
        ("q.sql", "sql"),
        ("README.md", "markup"),
        ("data.json", "data"),
        ("a.tar.gz", None),
        ("c/README", None),
        ("notes.mathematica", None),
        ("", None),
        (None, None),
    ],
)
def test_families_by_path(path: str | None, family: str | None) -> None:
    found = path_families(*text_buffers(pa.array([path], pa.string())))
    assert NAMES[found[0]] == family


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("#include <a.h>\nint main() {\n  return 0;\n}\n", "c"),
        ("import os\n\ndef f(x):\n    return x\n", "python"),
        ("SELECT a\nFROM b\nWHERE c = 1", "sql"),
        ("\\section{A}\nLet $x$.\n\\begin{proof}\n", "tex"),
        ("<html>\n<body>\n<p>Hello</p>\n", "markup"),
        ("It was the best of times;\nit was the worst;\n", None),
        ("Select a book from the list.\nThen read it.\n", None),
        ('{"a": {\n"b": 1\n}\n}', None),
        ("one line", None),
        ("", None),
    ],
)
def test_families_by_cues(text: str, family: str | None) -> None:
    families = np.full(2, NO_FAMILY, np.uint8)
    guess_families(*text_buffers(pa.array([text, "/" * 5000])), families)
    assert NAMES[families[0]] == family
    known = np.zeros(1, np.uint8)
    guess_families(*text_buffers(pa.array([text])), known)
    assert known[0] == 0


def test_texts_of_no_family_have_no_comments() -> None:
    offsets, data = text_buffers(pa.array(["# a // b", "# a"]))
    families = np.array([NO_FAMILY, NAMES.index("data")], np.uint8)
    assert [column.tolist() for column in count_comments(offsets, data, families)] == [
        [0, 0],
        [0, 0],
    ]
