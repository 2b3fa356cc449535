import math
import random
import re
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import RuleSettings
from coursepack.stages.catalogue import SIGNALS as SIGNAL_CATALOGUE
from coursepack.stages.rules import (
    MAX_RULES,
    PROFILES,
    Predicate,
    compile_predicate,
    expand,
    scope_sql,
    verdict_sql,
)

SIGNALS = {
    "words": pa.int64(),
    "lines": pa.int32(),
    "ratio": pa.float64(),
    "url": pa.string(),
    "language": pa.string(),
    "flag": pa.bool_(),
}
TYPES = {
    "number": ("words", "lines", "ratio"),
    "string": ("url", "language"),
    "boolean": ("flag",),
}
STRINGS = (
    "",
    "a",
    "A",
    "en",
    "it's",
    'say "x"',
    "a\\b",
    "${a}",
    "line\nbreak",
    "é",
    "É",
    "ΑΣ",
    "İ",
)
STRINGS += ("mit", "mit,bsd", "bsd,mit", ",", "mit,")
STRINGS += ("😀", "\uffff", "%", "_", "a%b", "aXb", "\\u0041", "--", "/* */", "zß")
NUMBERS = (0.0, 1.0, 2.0, 0.1, 0.5, 3.0, 50.0, 1e5, 1e-5, 1e16, 1e300, 5e-324, 2.0**53 + 2)
PATTERNS = ("", "%", "a%", "%b", "_", "__", "a_b", "%'%", "%é%", "a%b", "${a}", "%\n%")
IDS = (-(2**63), -(2**53) - 1, -3, -1, 0, 1, 2, 3, 50, 2**53 + 1, 2**63 - 1)


# Expressions are nested tuples; `text` writes one, `value` is the plain-Python twin of the engines.


def expression(pick: random.Random, kind: str, depth: int) -> tuple[Any, ...]:
    def inner(wanted: str) -> tuple[Any, ...]:
        return expression(pick, wanted, depth - 1)

    if depth <= 0 or pick.random() < 0.15:
        if pick.random() < 0.7:
            return ("signal", pick.choice(TYPES[kind]))
        return ("literal", literal(pick, kind))
    if kind == "string":
        return pick.choice((("lower", inner("string")), coalesce(inner, kind)))
    if kind == "number":
        return pick.choice(
            (
                (pick.choice("+-*/"), inner("number"), inner("number")),
                ("neg", inner("number")),
                ("abs", inner("number")),
                ("length", inner("string")),
                (pick.choice(("least", "greatest")), inner("number"), inner("number")),
                coalesce(inner, kind),
            )
        )
    some = pick.choice(("number", "string"))
    return pick.choice(
        (
            (pick.choice(("and", "or")), inner("boolean"), inner("boolean")),
            ("not", inner("boolean")),
            (pick.choice(("=", "!=", "<", "<=", ">", ">=")), inner(some), inner(some)),
            (pick.choice(("=", "!=")), inner("boolean"), inner("boolean")),
            ("between", inner(some), inner(some), inner(some)),
            ("in", inner(some), *(literal(pick, some) for _ in range(pick.choice((1, 3, 15))))),
            ("null", inner(pick.choice(("number", "string", "boolean")))),
            ("like", inner("string"), pick.choice(PATTERNS)),
            (
                pick.choice(("contains", "starts_with", "ends_with", "within")),
                inner("string"),
                inner("string"),
            ),
            coalesce(inner, kind),
        )
    )


def coalesce(inner: Any, kind: str) -> tuple[Any, ...]:
    return ("coalesce", inner(kind), inner(kind))


def literal(pick: random.Random, kind: str) -> Any:
    if kind == "boolean":
        return pick.random() < 0.5
    if kind == "string":
        return pick.choice(STRINGS)
    return pick.choice(NUMBERS) * pick.choice((1, 1, -1))


def text(node: tuple[Any, ...]) -> str:
    kind, *rest = node
    if kind == "signal":
        return str(rest[0])
    if kind == "literal":
        return written(rest[0])
    if kind == "in":
        return f"({text(rest[0])} in ({', '.join(map(written, rest[1:]))}))"
    if kind == "like":
        return f"({text(rest[0])} like {written(rest[1])})"
    parts = [text(part) for part in rest]
    if kind == "not":
        return f"(not {parts[0]})"
    if kind == "neg":
        return f"(- {parts[0]})"
    if kind == "null":
        return f"({parts[0]} is null)"
    if kind == "between":
        return f"({parts[0]} between {parts[1]} and {parts[2]})"
    if kind[0].isalpha() and kind not in ("and", "or"):
        return f"{kind}({', '.join(parts)})"
    return f"({parts[0]} {kind} {parts[1]})"


def written(found: Any) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    return repr(found) if isinstance(found, float) else "'" + found.replace("'", "''") + "'"


def value(node: tuple[Any, ...], row: dict[str, Any]) -> Any:
    kind, *rest = node
    if kind == "signal":
        found = row[rest[0]]
        return float(found) if rest[0] in TYPES["number"] and found is not None else found
    if kind == "literal":
        return rest[0]
    if kind in ("in", "like"):
        found = value(rest[0], row)
        if found is None:
            return None
        if kind == "like":
            pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in rest[1])
            return re.fullmatch(pattern, found, re.DOTALL) is not None
        return any(order(found, item) == 0 for item in rest[1:])
    parts = [value(part, row) for part in rest]
    if kind in ("and", "or"):
        decisive = kind == "or"
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    if kind == "between":
        low, high = compared(">=", parts[0], parts[1]), compared("<=", parts[0], parts[2])
        return False if False in (low, high) else None if None in (low, high) else True
    if kind == "null":
        return parts[0] is None
    if kind == "coalesce":
        return parts[0] if parts[0] is not None else parts[1]
    if kind in ("least", "greatest"):
        there = [part for part in parts if part is not None]
        ranked = sorted(there, key=lambda x: (math.isnan(x), x))
        return None if not ranked else ranked[0] if kind == "least" else ranked[-1]
    if None in parts:
        return None
    return applied(kind, *parts)


def applied(kind: str, first: Any, second: Any = None) -> Any:
    if kind in ("=", "!=", "<", "<=", ">", ">="):
        return compared(kind, first, second)
    if kind == "/":
        return first / second if second != 0 else None
    return {
        "not": lambda: not first,
        "neg": lambda: -first,
        "abs": lambda: abs(first),
        "length": lambda: float(len(first)),
        "lower": lambda: re.sub("[A-Z]", lambda found: found[0].lower(), first),
        "contains": lambda: second in first,
        "starts_with": lambda: first.startswith(second),
        "within": lambda: set(first.split(",")) <= set(second.split(",")),
        "ends_with": lambda: first.endswith(second),
        "+": lambda: first + second,
        "-": lambda: first - second,
        "*": lambda: first * second,
    }[kind]()


def compared(sign: str, first: Any, second: Any) -> bool | None:
    if first is None or second is None:
        return None
    found = order(first, second)
    return {
        "=": found == 0,
        "!=": found != 0,
        "<": found < 0,
        "<=": found <= 0,
        ">": found > 0,
        ">=": found >= 0,
    }[sign]


def order(first: Any, second: Any) -> int:
    """Strings by UTF-8 bytes; NaN (infinity less infinity) equals itself, above all numbers."""
    if isinstance(first, str):
        first, second = first.encode(), second.encode()
    elif isinstance(first, float):
        first, second = (math.isnan(first), first), (math.isnan(second), second)
        if first[0] and second[0]:
            return 0
    return int(first > second) - int(first < second)


def some_row(pick: random.Random) -> dict[str, Any]:
    row = {
        "words": pick.choice(IDS),
        "lines": pick.choice((-1, 0, 1, 2, 2**31 - 1, -(2**31))),
        "ratio": pick.choice((*NUMBERS, -0.0, -0.5, pick.uniform(-2, 2))),
        "url": pick.choice(STRINGS),
        "language": pick.choice(("en", "de", "EN", "é")),
        "flag": pick.random() < 0.5,
    }
    return {name: None if pick.random() < 0.15 else found for name, found in row.items()}


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema(list(SIGNALS.items())))


def duckdb_values(rows: pa.Table, predicates: list[Predicate]) -> list[list[bool | None]]:
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        listed = ", ".join(f"({p.duckdb}) as p{i}" for i, p in enumerate(predicates))
        found = connection.sql(f"select {listed} from rows").fetchall()
    return [list(column) for column in zip(*found, strict=True)]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64))
def test_duckdb_agrees_with_plain_python(seed: int) -> None:
    pick = random.Random(seed)
    nodes = [expression(pick, "boolean", pick.randint(1, 4)) for _ in range(5)]
    rows = [some_row(pick) for _ in range(8)]
    predicates = [compile_predicate(text(node), SIGNALS) for node in nodes]
    got = duckdb_values(table_of(rows), predicates)
    for node, predicate, column in zip(nodes, predicates, got, strict=True):
        assert column == [value(node, row) for row in rows], predicate.duckdb


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64))
def test_canonical_text_compiles_to_itself(seed: int) -> None:
    pick = random.Random(seed)
    node = expression(pick, "boolean", pick.randint(1, 5))
    found = compile_predicate(text(node), SIGNALS)
    assert compile_predicate(found.text, SIGNALS) == found


@pytest.mark.spark
@pytest.mark.parametrize("ansi", ["true", "false"])
def test_spark_agrees_with_duckdb(spark: Any, ansi: str) -> None:
    pick = random.Random(11)
    rows = [some_row(pick) for _ in range(40)]
    nodes = [expression(pick, "boolean", pick.randint(1, 3)) for _ in range(200)]
    predicates = [compile_predicate(text(node), SIGNALS) for node in nodes]
    expected = duckdb_values(table_of(rows), predicates)
    assert {None, True, False} <= {cell for column in expected for cell in column}
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        frame = spark.createDataFrame(
            [tuple(row[name] for name in SIGNALS) for row in rows],
            "words bigint, lines int, ratio double, url string, language string, flag boolean",
        )
        listed = [f"({p.spark}) as p{i}" for i, p in enumerate(predicates)]
        found = frame.coalesce(1).selectExpr(*listed).collect()
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before)
    for i, predicate in enumerate(predicates):
        assert [row[i] for row in found] == expected[i], predicate.spark


@pytest.mark.parametrize(
    ("loose", "strict"),
    [
        ("words < 1 or lines < 2 and not flag", "(words < 1) or ((lines < 2) and (not flag))"),
        ("not words = 1", "not (words = 1)"),
        ("words - lines - 1 > 0", "((words - lines) - 1) > 0"),
        ("words - (lines - 1) > 0", "(words - (lines - 1)) > 0"),
        ("words + lines * -2 / 3 > 0", "(words + ((lines * (-2)) / 3)) > 0"),
        ("words == 1 and lines <> 2", "words = 1 and lines != 2"),
        ("words not in (1, 2)", "not (words in (1, 2))"),
        ("words not between 1 and 2", "not (words between 1 and 2)"),
        ("url not like 'a%'", "not (url like 'a%')"),
        (
            "url IS NOT NULL AND words > 1",
            "not (url is null) and words > 1",
        ),
        ("words between 1 and 2 and flag", "(words between 1 and 2) and flag"),
        ("words > 1 -- at least two", "words > 1"),
        ("words > 1.50", "words > 15e-1"),
        ("- -words > 1", "(-(-words)) > 1"),
    ],
)
def test_precedence_and_spellings(loose: str, strict: str) -> None:
    assert compile_predicate(loose, SIGNALS) == compile_predicate(strict, SIGNALS)


def test_sql_is_as_expected() -> None:
    found = compile_predicate("words / lines < .5 and ends_with(url, '${a}''')", SIGNALS)
    assert found.duckdb == (
        '((CAST("words" AS DOUBLE) / NULLIF(CAST("lines" AS DOUBLE), 0e0)) < 0.5e0)'
        " AND ENDS_WITH(\"url\", '${a}''')"
    )
    assert found.spark == (
        "((CAST(`words` AS DOUBLE) / NULLIF(CAST(`lines` AS DOUBLE), 0e0)) < 0.5e0)"
        " AND ENDSWITH(`url`, '\\u0024{a}\\'')"
    )
    assert found.signals == ("lines", "url", "words")
    assert found.text == "words / lines < 0.5 and ends_with(url, '${a}''')"


def test_names_are_quoted_in_both_engines() -> None:
    odd = {"two words": pa.int64(), "select": pa.int64()}
    found = compile_predicate('"two words" > 1 and "select" > 1', odd)
    assert found.text == '"two words" > 1 and "select" > 1'
    assert found.spark == "(CAST(`two words` AS DOUBLE) > 1e0) AND (CAST(`select` AS DOUBLE) > 1e0)"
    assert '"two words"' in found.duckdb
    assert compile_predicate(found.text, odd) == found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("wrods < 50", "there is no signal 'wrods', in 'wrods < 50'; did you mean 'words'?"),
        ("zzz < 50", "the signals are flag, language, lines, ratio, url, words"),
        ("WORDS < 50", "did you mean 'words'?"),
        ('language = "en"', "strings stand in single quotes"),
        ("words", "'words' is a number; a predicate is true or false, such as 'words < 50'"),
        ("language = 5", "'language' is a string and '5' is a number"),
        ("words < 'x'", "'<' wants two of one type"),
        ("1 < words < 3", "'1 < words' is a boolean and '3' is a number"),
        ("flag < flag", "'<' does not order booleans"),
        ("flag between flag and flag", "'between' does not order booleans"),
        ("words and flag", "'and' wants a boolean, but 'words' is a number"),
        ("not url", "'not' wants a boolean, but 'url' is a string"),
        ("url + 1 > 0", "'+' wants a number, but 'url' is a string"),
        ("-url = 'x'", "'-' wants a number"),
        ("words = null", "write 'is null' or 'is not null'"),
        ("words in (1, null)", "'in' lists literals, but 'NULL' is none"),
        ("words in (1, 'a')", "'in' wants two of one type"),
        ("words in (lines)", "'in' lists literals, but 'lines' is none"),
        ("words in ()", "'in' wants a list of one literal or more"),
        ("words in (select 1)", "is not allowed in 'words in (select 1)'; allowed are and, or"),
        ("cast(words as int) = 1", "there is no function 'cast'"),
        ("words::int = 1", "there is no function 'cast'"),
        ("upper(url) = 'A'", "there is no function 'upper'"),
        ("count(*) > 1", "there is no function 'count'"),
        ("sum(words) over () > 1", "is not allowed"),
        ("lower(distinct url) = 'a'", "'DISTINCT url' is not allowed"),
        ("case when flag then flag end", "there is no function 'case'"),
        ("words % 2 = 0", "'words % 2' is not allowed"),
        ("url || 'a' = 'b'", "\"url || 'a'\" is not allowed"),
        ("url ilike 'a'", "is not allowed"),
        ("url like language", "'like' compares a string with a string literal"),
        ("url like 'a\\_b'", "without backslashes"),
        ("url like 'a' escape 'b'", "is not allowed"),
        ("words like 'a'", "'like' compares a string"),
        ("flag is true", "is not allowed"),
        ("t.words > 1", "'t.words' is not allowed"),
        ("words > 1 as big", "cannot read 'words > 1 as big' near 'as' (column 12)"),
        ("words >", "cannot read 'words >'"),
        ("select 1", "cannot read 'select 1'"),
        ("drop table words", "cannot read 'drop table words'"),
        ("flag; flag", "is not one expression"),
        ("", "is not one expression"),
        ("language = 'en", "is a quote left open?"),
        ("words > 1e999", "1e999 is too large"),
        ("url = 'a\0b'", "holds a character that no SQL string can"),
        ("lower(words) = 'a'", "'lower' wants a string, but 'words' is a number"),
        ("length(url, url) > 1", "length"),
        ("starts_with(url) = flag", "starts_with"),
        ("coalesce(words) > 1", "'coalesce' takes two or more, not 1"),
        ("coalesce(words, 'a') > 1", "'coalesce' wants a number, but \"'a'\" is a string"),
        ("(" * 4000 + "flag" + ")" * 4000, "is nested too deeply"),
    ],
)
def test_errors_say_what_was_found_and_what_is_allowed(wrong: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        compile_predicate(wrong, SIGNALS)
    assert said in str(caught.value)


def test_signals_of_other_types_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"'content' is binary.*numbers, strings and booleans"):
        compile_predicate("content = 'x'", {"content": pa.binary()})


GOPHER = {
    name: pa.float64() for name in ("mean_word_chars", "hash_word_ratio", "ellipsis_word_ratio")
}
GOPHER |= {
    name: pa.float64() for name in ("bullet_line_ratio", "ellipsis_line_ratio", "alpha_word_ratio")
}
GOPHER |= {"words": pa.int64(), "stop_words": pa.int64(), "language": pa.string()}
CODE = {"max_line_chars": pa.int64(), "mean_line_chars": pa.float64(), "alnum_ratio": pa.float64()}
ALL = GOPHER | CODE
KNOWN = {name: signal.type for name, signal in SIGNAL_CATALOGUE.items()}


def test_curly_braces_are_asked_of_pages_alone() -> None:
    for profile in ("c4", "fineweb", "gopher_repetition"):
        for rule in PROFILES[profile].values():
            assert not {"code", "math", "sql"} & set(rule.scopes)
    assert set(PROFILES["c4"]["c4_curly_brace"].scopes) == {"general", "web"}


def test_expand_keeps_recipe_order_and_negates_keep() -> None:
    own = {
        "licence": RuleSettings(scope="code", keep="language in ('mit')", unknown="drop"),
        "short": RuleSettings(drop="words < 5"),
    }
    rules = expand(("code",), own, KNOWN)
    of_code = len(PROFILES["code"])
    assert [rule.name for rule in rules] == [*PROFILES["code"], "licence", "short"]
    assert rules[of_code].fires.text == "not language in ('mit')"
    assert rules[of_code].scope == ("code",)
    assert verdict_sql(rules[of_code]).duckdb == "COALESCE(NOT (\"language\" IN ('mit')), TRUE)"
    assert verdict_sql(rules[of_code + 1]).text == "coalesce(words < 5, false)"
    assert compile_predicate(verdict_sql(rules[of_code + 1]).text, KNOWN) == verdict_sql(
        rules[of_code + 1]
    )


@pytest.mark.parametrize(
    ("profiles", "own", "said"),
    [
        (
            ("gopherr",),
            {},
            "there is no profile 'gopherr'; the profiles are gopher, code, gopher_rep",
        ),
        (("code", "code"), {}, "the profile 'code' is listed twice"),
        (("code",), {"code_long_line": RuleSettings(drop="words < 1")}, "two rules are called"),
        ((), {"Bad-Name": RuleSettings(drop="words < 1")}, "names of rules are snake case"),
        ((), {"bad": RuleSettings(drop="wrds < 1")}, "rule 'bad': there is no signal 'wrds'"),
        ((), {"bad": RuleSettings(keep="words")}, "rule 'bad': 'words' is a number"),
        ((), {"bad": RuleSettings(scope="web[x=1]", drop="words < 1")}, "rule 'bad': 'web[x=1]'"),
        (
            (),
            {f"r{i}": RuleSettings(drop="words < 1") for i in range(MAX_RULES + 1)},
            "63 rules; at most 62 are allowed",
        ),
    ],
)
def test_expand_refuses(profiles: tuple[str, ...], own: Any, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        expand(profiles, own, ALL)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("*", [1, 1, 1, 1]),
        ((), [1, 1, 1, 1]),
        ("web", [1, 1, 0, 0]),
        ("fineweb", [1, 0, 0, 0]),
        ("web[lang=de]", [0, 1, 0, 0]),
        ("*[lang=de]", [0, 1, 1, 0]),
        (("fineweb", "code[lang=de]"), [1, 0, 1, 0]),
        ("o'brien", [0, 0, 0, 1]),
    ],
)
def test_scope(scope: Any, expected: list[int]) -> None:
    rule = expand((), {"one": RuleSettings(scope=scope, drop="words < 1")}, ALL)[0]
    rows = pa.table(
        {
            "domain": ["web", "web", "code", "math"],
            "source": ["fineweb", "mc4", "stack", "o'brien"],
            "language": pa.array(["en", "de", "de", None], pa.string()),
        }
    )
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        found = connection.sql(f"select {scope_sql(rule).duckdb} from rows").fetchall()
    assert [row[0] for row in found] == [bool(e) for e in expected]
