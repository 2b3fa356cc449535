"""Profiles: thresholds of their papers, scopes that spare code and mathematics, and no rule that cannot be read."""

import re

import duckdb
import pyarrow as pa
import pytest

from coursepack.stages.catalogue import SIGNALS
from coursepack.stages.profiles import PROFILES
from coursepack.stages.rules import MAX_RULES, expand, verdict_sql

KNOWN = {name: signal.type for name, signal in SIGNALS.items()}
_COMPARISON = re.compile(r"(\w+) (<|<=|>|>=) ([0-9.]+)(?: and .*)?")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_rule_compiles_and_names_what_is_measured(profile: str) -> None:
    rules = expand((profile,), {}, KNOWN)
    assert 0 < len(rules) <= MAX_RULES
    assert all(set(rule.fires.signals) <= set(SIGNALS) for rule in rules)
    assert all(rule.reason == rule.name for rule in rules)


def test_names_of_rules_are_unique_over_all_profiles() -> None:
    names = [name for rules in PROFILES.values() for name in rules]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_rule_fires_past_its_threshold_and_not_at_it(profile: str) -> None:
    tried = 0
    for rule in expand((profile,), {}, KNOWN):
        compared = _COMPARISON.fullmatch(rule.fires.text)
        if not compared or "or" in rule.fires.text.split():
            continue
        signal, sign, text = compared.groups()
        threshold = float(text)
        kind = SIGNALS[signal].type
        beyond = {"<": -0.001, ">": 0.001}.get(sign, 0.0)
        if pa.types.is_integer(kind):
            beyond = {"<": -1, ">": 1}.get(sign, 0)
        values = [
            threshold + beyond,
            threshold + (0 if beyond else {"<=": 1, ">=": -1}[sign]),
            None,
        ]
        others = {name: [_fine(name)] * 3 for name in rule.fires.signals if name != signal}
        arrays = {signal: values} | others
        table = pa.table({name: pa.array(v).cast(KNOWN[name]) for name, v in arrays.items()})
        with duckdb.connect() as connection:
            connection.register("rows", table)
            found = connection.sql(f"select {verdict_sql(rule).duckdb} from rows").fetchall()
        assert [row[0] for row in found] == [True, False, False], rule
        tried += 1
    assert tried or profile in ("sql", "math")


def _fine(name: str) -> object:
    """What lets the comparison decide, in a rule that asks for more."""
    return {"language": "en", "bytes": 10_000}.get(name, 0)


def test_profiles_have_the_thresholds_of_their_papers() -> None:
    known = ("gopher", "gopher_repetition", "c4", "fineweb", "slimpajama")
    rules = {rule.name: rule for rule in expand((*known,), {}, KNOWN)}
    good = {
        "words": 50,
        "mean_word_chars": 10.0,
        "hash_word_ratio": 0.1,
        "ellipsis_word_ratio": 0.1,
    }
    good |= {"bullet_line_ratio": 0.9, "ellipsis_line_ratio": 0.3, "alpha_word_ratio": 0.8}
    good |= {"stop_words": 2, "language": "en", "max_line_chars": 1000, "mean_line_chars": 100.0}
    good |= {"alnum_ratio": 0.25}
    good |= {"dup_line_ratio": 0.3, "dup_paragraph_ratio": 0.3, "dup_line_char_ratio": 0.2}
    good |= {"dup_paragraph_char_ratio": 0.2, "top_2gram_char_ratio": 0.2}
    good |= {"top_3gram_char_ratio": 0.18, "top_4gram_char_ratio": 0.16}
    good |= {f"dup_{n}gram_char_ratio": round(0.2 - n / 100, 2) for n in range(5, 11)}
    good |= {"has_lorem_ipsum": False, "curly_braces": 0, "sentences": 5}
    good |= {"longest_word_chars": 1000, "terminal_punct_line_ratio": 0.12}
    good |= {"short_line_ratio": 0.67, "char_dup_ratio": 0.01, "newline_word_ratio": 0.3}
    good |= {"bare_chars": 200, "unspaced_ratio": 0.0}
    worse = {
        "gopher_too_few_words": {"words": 49},
        "gopher_too_many_words": {"words": 100_001},
        "gopher_short_words": {"mean_word_chars": 2.99},
        "gopher_long_words": {"mean_word_chars": 10.01},
        "gopher_hashes": {"hash_word_ratio": 0.11},
        "gopher_ellipses": {"ellipsis_word_ratio": 0.11},
        "gopher_bullet_lines": {"bullet_line_ratio": 0.91},
        "gopher_ellipsis_lines": {"ellipsis_line_ratio": 0.31},
        "gopher_few_alpha_words": {"alpha_word_ratio": 0.79},
        "gopher_few_stop_words": {"stop_words": 1},
        "c4_lorem_ipsum": {"has_lorem_ipsum": True},
        "c4_curly_brace": {"curly_braces": 1},
        "c4_few_sentences": {"sentences": 4},
        "c4_long_word": {"longest_word_chars": 1001},
        "fineweb_line_punct": {"terminal_punct_line_ratio": 0.119},
        "fineweb_short_lines": {"short_line_ratio": 0.671},
        "fineweb_char_dup": {"char_dup_ratio": 0.011},
        "fineweb_list": {"newline_word_ratio": 0.301},
        "slimpajama_short": {"bare_chars": 199},
    }
    repetition = [name for name in good if name.startswith(("dup_", "top_"))]
    worse |= {
        f"gopher_{name.removesuffix('_ratio')}": {name: good[name] + 0.001} for name in repetition
    }
    assert set(worse) == set(rules)
    rows = [good, good | {"words": 100_000, "mean_word_chars": 3.0}]
    rows += [good | change for change in worse.values()]
    rows += [good | {"stop_words": 0, "language": "de"}, dict.fromkeys(good)]
    with duckdb.connect() as connection:
        connection.register(
            "rows",
            pa.Table.from_pylist(rows, schema=pa.schema([(name, KNOWN[name]) for name in good])),
        )
        listed = ", ".join(f"{verdict_sql(rule).duckdb}" for rule in rules.values())
        found = connection.sql(f"select {listed} from rows").fetchall()
    fired = [{name for name, fires in zip(rules, row, strict=True) if fires} for row in found]
    assert fired == [set(), set(), *({name} for name in worse), set(), set()]
    assert all(rule.reason == rule.name for rule in rules.values())


@pytest.mark.parametrize(
    ("signals", "fires"),
    [
        ({"mean_word_chars": 1.0, "unspaced_ratio": 0.9}, set()),  # Chinese
        ({"mean_word_chars": 1.0, "unspaced_ratio": 0.0}, {"gopher_short_words"}),
        ({"mean_word_chars": 1.0, "unspaced_ratio": None}, {"gopher_short_words"}),  # no letters
        ({"dup_7gram_char_ratio": 0.5, "unspaced_ratio": 0.5}, set()),
        ({"top_2gram_char_ratio": 0.5, "unspaced_ratio": 0.5}, {"gopher_top_2gram_char"}),
        ({"sentences": 0, "language": "th"}, set()),
        ({"sentences": 0, "language": "zh"}, {"c4_few_sentences"}),
        ({"sentences": 0, "language": None}, {"c4_few_sentences"}),
    ],
)
def test_scripts_without_spaces_are_spared(signals: dict[str, object], fires: set[str]) -> None:
    rules = expand(("gopher", "gopher_repetition", "c4"), {}, KNOWN)
    names = sorted({name for rule in rules for name in rule.fires.signals})
    table = pa.table({name: pa.array([signals.get(name)], KNOWN[name]) for name in names})
    with duckdb.connect() as connection:
        connection.register("rows", table)
        listed = ", ".join(verdict_sql(rule).duckdb for rule in rules)
        [found] = connection.sql(f"select {listed} from rows").fetchall()
    assert {rule.name for rule, fired in zip(rules, found, strict=True) if fired} == fires
