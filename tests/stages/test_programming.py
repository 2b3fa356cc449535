"""Programming languages by name, first line, cue and classifier."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages import programming
from coursepack.stages.linear import Classifier
from coursepack.stages.programming import (
    CODE_LINES,
    HEAD_BYTES,
    code_line_ratios,
    heads,
    programming_language,
    programming_signals,
)
from coursepack.stages.programming_names import AMBIGUOUS, EXTENSIONS


def named(path: str | None, text: str | None = "", url: str | None = None) -> str | None:
    columns = (pa.array([value], pa.string()) for value in (path, url, text))
    language: str | None = programming_language(*columns)[0].as_py()
    return language


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/a.py", "Python"),
        ("C:\\src\\A.CPP", "C++"),
        ("b.min.js", "JavaScript"),
        ("types.d.ts", "TypeScript"),
        ("x/Dockerfile", "Dockerfile"),
        ("x/CMakeLists.txt", "CMake"),
        ("x/requirements.txt", "Text"),
        ("README", "Text"),
        ("README.md", "Markdown"),
        (".bashrc", "Shell"),
        ("a.py/b", None),
        ("a.unknown", None),
        ("py", None),
        (".py", "Python"),
        ("", None),
        (None, None),
    ],
)
def test_names(path: str | None, language: str | None) -> None:
    assert named(path) == language


@pytest.mark.parametrize(
    ("url", "language"),
    [
        ("https://raw.githubusercontent.com/a/b/main/c.rs", "Rust"),
        ("https://x.org/a/b.go?raw=true#L1", "Go"),
        ("https://foo.pl", None),
        ("https://foo.pl/", None),
        ("https://foo.org/index.php", None),
        ("https://foo.org/page.html", None),
        ("a.py", None),
    ],
)
def test_urls(url: str, language: str | None) -> None:
    assert named(None, "", url) == language
    assert named("", "", url) == language
    assert named("x.lua", "", url) == "Lua"


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a.h", "#include <stdio.h>\nint f(void);\n", "C"),
        ("a.h", "#include <vector>\n", "C++"),
        ("a.h", "#ifdef X\nnamespace a {\n", "C++"),
        ("a.h", "@interface Foo : NSObject\n@end\n", "Objective-C"),
        ("a.m", "#import <Foundation/Foundation.h>\n", "Objective-C"),
        ("a.m", "% Area\nfunction a = area(r)\n  a = pi * r^2;\nend\n", "MATLAB"),
        ("a.m", "(* :Title: *)\nf[x_] := x^2\n", "Mathematica"),
        ("a.m", "?", None),
        ("a.pl", "use strict;\nmy $x = 1;\n", "Perl"),
        ("a.pl", ":- use_module(library(lists)).\nf(X) :- g(X).\n", "Prolog"),
        ("a.pl", "", "Perl"),
        ("a.v", "module top(input clk);\nendmodule\n", "Verilog"),
        ("a.v", "Theorem t : True.\nProof. trivial. Qed.\n", "Coq"),
        ("a.v", "module main\n\nfn main() {\n}\n", "V"),
        ("a.ts", "export const x: number = 1;\n", "TypeScript"),
        ("a.ts", '<?xml version="1.0"?>\n<!DOCTYPE TS>\n', "XML"),
        ("a.R", "x <- 1\n", "R"),
        ("a.r", "REBOL [Title: 1]\n", "Rebol"),
        ("a.d", "main.o: main.c main.h\n", "Makefile"),
        ("a.d", "module a;\nimport std.stdio;\n", "D"),
        ("a.cls", "\\NeedsTeXFormat{LaTeX2e}\n", "TeX"),
        ("a.sql", "select 1;\n", "SQL"),
        ("a.h", " " * HEAD_BYTES + "\nclass A {\n", "C"),
    ],
)
def test_shared_extensions(path: str, text: str, language: str | None) -> None:
    assert named(path, text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("#!/usr/bin/env python3\nprint(1)\n", "Python"),
        ("#!/usr/bin/env -S FOO=1 node --harmony\n", "JavaScript"),
        ("#! /bin/bash -e\n", "Shell"),
        ("#!/usr/local/bin/perl5.10\n", "Perl"),
        ("#!/opt/strange\n", None),
        ("#!", None),
        (" #!/bin/sh\n", None),
        ("// x.h -*- mode: C++; tab-width: 2 -*-\n", "C++"),
        (";; -*- emacs-lisp -*-", None),
        ("# -*- coding: utf-8 -*-\n", None),
        ("# -*- Python -*-\n", "Python"),
        ("# vim: set ts=4 ft=ruby:\n", "Ruby"),
        ("\n<?php echo 1;", "PHP"),
        ("<!DOCTYPE html>\n<html>", "HTML"),
        ("% notes\n\\documentclass{article}\n", "TeX"),
        ("Plain text about <?php and vim.", None),
        ("They survim: ft=ruby", None),
    ],
)
def test_first_lines(text: str, language: str | None) -> None:
    assert named(None, text) == language
    assert named("bin/tool", text) == language
    assert named("a.rs", text) == "Rust"


def test_signals_of_records() -> None:
    records = pa.RecordBatch.from_pydict({"path": ["a.go", None], "url": [None, "http://x/a.c"]})
    signals = programming_signals(records, pa.array(["", None], pa.string()))
    assert signals.to_pydict() == {"programming_language": ["Go", "C"]}


def test_tables_agree() -> None:
    names = [name for held in EXTENSIONS.values() for name in held.split()]
    assert len(names) == len(set(names))
    assert not set(names) & set(AMBIGUOUS)
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("", 0),
        ("\n \n", 0),
        ("int main() {\n  return 0;  \n}\n", 1),
        ("A line of prose,\nand its end.", 0),
        ("def f(x):\n    return x\n\n", 0.5),
        ("int x;\r\ny\r\n", 0.5),
    ],
)
def test_code_lines(text: str, ratio: float) -> None:
    assert code_line_ratios(pa.array([None, text]))[1] == ratio


def test_the_classifier_is_asked_of_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answer(text: pa.Array, model: Classifier) -> tuple[pa.Array, pa.Array]:
        asked.extend(text.to_pylist())
        sure = [b"sure" in value for value in text.to_pylist()]
        return pa.array(["Go"] * len(text)), pa.array([0.9 if s else 0.4 for s in sure])

    monkeypatch.setattr(programming, "classify", answer)
    texts = ["x;\nsure;", "x;\ny;", "Some prose.\nAnd more.", "x;", None]
    path = pa.array([None, None, None, "a.lua", None], pa.string())
    model: Any = object()
    found = programming_language(path, pa.nulls(5, pa.string()), pa.array(texts), model)
    assert found.to_pylist() == ["Go", None, None, "Lua", None]
    assert asked == [b"x;\nsure;", b"x;\ny;"]


NAMES = (
    st.none() | st.text(max_size=8) | st.sampled_from(["a.h", "b/c.m", "Makefile", "x.py", "é.d"])
)
URLS = (
    st.none()
    | st.text(max_size=8)
    | st.sampled_from(["https://a.b/c.py?d", "http://a.py", "ftp://"])
)
TEXTS = (
    st.none()
    | st.text(max_size=30)
    | st.sampled_from(["#!/bin/sh", "-*- C -*-", "class A", "{\n;"])
)


@given(st.lists(st.tuples(NAMES, URLS, TEXTS), max_size=6))
def test_any_columns(rows: list[tuple[str | None, str | None, str | None]]) -> None:
    """A row's answer is its own: it does not depend on the batch, the slice or the type of text."""
    columns = [pa.array([row[k] for row in rows], pa.string()) for k in range(3)]
    found = programming_language(*columns)
    assert found.type == pa.string()
    assert found.to_pylist() == [named(path, text, url) for path, url, text in rows]
    sliced: Callable[[pa.Array], pa.Array] = lambda column: column.slice(1)  # noqa: E731
    path, url, text = map(sliced, columns)
    again = programming_language(path, url, text.cast(pa.large_binary()))
    assert again.to_pylist() == found.to_pylist()[1:]
    chunked = (pa.chunked_array([column[:1], column[1:]]) for column in columns)
    assert programming_language(*chunked).equals(found)


@given(st.lists(st.none() | st.binary(max_size=20), max_size=5), st.integers(0, 12))
def test_heads_and_lines_of_any_bytes(texts: list[bytes | None], size: int) -> None:
    column = pa.array(texts, pa.binary())
    assert heads(column, size).to_pylist() == [(text or b"")[:size] for text in texts]
    ratios = code_line_ratios(column)
    wanted = []
    for text in texts:
        lines = [
            "".join(chr(b) if b > 32 else " " for b in line) for line in (text or b"").split(b"\n")
        ]
        lines = [line.rstrip(" ") for line in lines if line.strip(" ")]
        wanted.append(sum(line[-1] in ";{}()[]:\\" for line in lines) / max(len(lines), 1))
    assert ratios.tolist() == wanted
    assert ((ratios >= 0) & (ratios <= 1)).all()
    assert 0 < CODE_LINES < 1
    assert not np.isnan(ratios).any()
