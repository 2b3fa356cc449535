"""Recipes: each wrong one is told where, what and what to do; each right one has a fingerprint that sees all."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import (
    Phase,
    Recipe,
    RuleSettings,
    Selector,
    load,
    parse,
    quantity,
)

RECIPE: dict[str, Any] = {
    "name": "r",
    "workspace": "w",
    "source": [{"name": "web", "layout": "jsonl", "paths": ["x"]}],
    "tokenizer": {"model": "m"},
    "phase": [{"name": "p", "tokens": "1M", "length": 2048, "mixture": {"web": 1.0}}],
}
# all that can be said, each thing away from its default
FULL: dict[str, Any] = {
    **RECIPE,
    "seed": 5,
    "source": [
        {
            "name": "web",
            "layout": "jsonl",
            "paths": ["x", "y/*"],
            "domain": {"a": "b", "default": "c"},
            "priority": 2,
            "fields": {"text": "body"},
        },
        {"name": "law", "layout": "text", "paths": ["z"], "domain": "law"},
    ],
    "limits": {"record_bytes": "9M", "rejected": 0.5},
    "edits": {"order": ["unicode", "pii"], "pii": {"regions": ["US"], "national_ids": ["us.ssn"]}},
    "urls": {"block": ["l"]},
    "signals": {
        "families": ["dolma"],
        "python": ["a:b"],
        "datatrove": ["X", {"name": "Y", "args": {"a": 1}}],
        "attach": [{"table": "t", "on": "id", "key": "k", "columns": ["c"]}],
        "programming": {"model": "m", "sha256": "ef"},
        "perplexity": {"model": "m", "sentencepiece": "s"},
        "bad_words": ["w"],
        "tagger": {"model": "m", "sha256": "ab", "least": 0.75},
        "classifiers": [
            {"name": "q", "model": "m", "label": "l", "sha256": "cd", "form": "normalised"}
        ],
    },
    "rules": {
        "profiles": ["gopher"],
        "tiny": {"scope": ["web", "law[lang=de]"], "drop": "words < 9", "unknown": "drop"},
        "fine": {"keep": "chars > 9"},
    },
    "dedup": {
        "exact": False,
        "url": True,
        "fuzzy": {"ngram": 4, "bands": 9, "rows": 13, "seed": 2},
        "alarm": 0.5,
    },
    "language": {"model": "lid", "sha256": "ab"},
    "tokenizer": {
        "train": {"preset": "llama-2", "vocabulary": 999, "sample": "1M", "weights": {"web": 1}}
        | {"algorithm": "unigram", "symbols": ["<x>"], "reserved": 3, "least_count": 2},
        "sha256": "cd",
        "bos": True,
        "eos": False,
    },
    "holdout": {"tokens": "1K", "length": 64},
    "phase": [
        {
            "name": "one",
            "tokens": "2M",
            "length": {"law": 512, "default": 256},
            "mixture": {"web": 0.75, "*": 0.25},
            "max_epochs": 2.5,
            "packing": "concat",
            "targets": "next",
        },
        {"name": "two", "tokens": 10, "length": 8, "mixture": {"web": 1}},
    ],
    "shards": {"tokens": "1K"},
    "execution": {"group_bytes": "1M", "partitions": 3},
    "sample": 0.5,
}


def changed(table: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with `value` at a place such as `phase.0.length`."""
    new = copy.deepcopy(table)
    parts: list[Any] = [int(part) if part.isdigit() else part for part in place.split(".")]
    *path, last = parts
    at: Any = new
    for part in path:
        at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
    at[last] = value
    return new


def refusal(table: Any) -> list[str]:
    """The lines that say what is wrong, without the first."""
    with pytest.raises(RecipeError) as caught:
        parse(table, "r.toml")
    first, *lines = str(caught.value).split("\n")
    count = "one thing" if len(lines) == 1 else f"{len(lines)} things"
    assert first == f"r.toml has {count} wrong:"
    assert all(line.startswith("  ") for line in lines)
    return [line[2:] for line in lines]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("7", 7),
        ("900B", 900 * 10**9),
        ("1.5M", 1_500_000),
        ("1.5T", 15 * 10**11),
        ("256MB", 256_000_000),
        ("2k", 2000),
        ("3 gb", 3 * 10**9),
        (" 1_000 K ", 1_000_000),
        ("0.1K", 100),
        ("4503599627370497.5T", 4503599627370497500000000000),  # exact beyond a double
        (7, 7),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_quantity(text: Any, number: Any) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "K",
        "-5",
        "+5",
        "1.5",
        "1.0001K",
        "1e6",
        "5X",
        "5MM",
        ".5M",
        "1,000",
        "_1",
        "5\u212a",
        "٣",
    ],
)
def test_no_quantity(text: str) -> None:
    said = f'is not a whole number, nor text such as "900B", "1.5M" or "256MB" (found {text!r})'
    assert refusal(changed(RECIPE, "phase.0.tokens", text)) == [f"phase[0].tokens: {said}"]


ONE_KIND = (
    "a rule has either 'drop' or 'keep', or is a quota: 'by' and one of 'max_documents', "
    "'max_bytes' and 'max_tokens'"
)
WRONG: list[tuple[str, Any, str]] = [
    ("name", "a b", "name: may hold letters, digits, '_', '.' and '-', and begins with a letter or"
     " digit (found 'a b')"),
    ("name", "../x", "name: may hold letters, digits, '_', '.' and '-', and begins with a letter or"
     " digit (found '../x')"),
    ("name", 5, "name: is not text (found 5)"),
    ("seed", "1K", "seed: is not a whole number (found '1K')"),
    ("seed", 1 << 63, "seed: should be less than or equal to 9223372036854775807"
     " (found 9223372036854775808)"),
    ("source", [], "source: is empty; at least one is needed"),
    ("source", {"name": "x"}, "source: is not a list"),
    ("source.0.paths", "x", "source[0].paths: is not a list (found 'x')"),
    ("source.0.paths", [], "source[0].paths: is empty; at least one is needed"),
    ("source.0.domain", 5, "source[0].domain: is not text and is not a table (found 5)"),
    ("source.0.domain", {"a": 1}, "source[0].domain.a: is not text (found 1)"),
    ("source.0.priority", "high", "source[0].priority: is not a whole number (found 'high')"),
    ("limits.rejected", 1.5, "limits.rejected: should be less than or equal to 1 (found 1.5)"),
    ("limits.record_bytes", 0, "limits.record_bytes: should be greater than 0 (found 0)"),
    ("rules.profiles", "gopher", "rules.profiles: is not a list (found 'gopher')"),
    ("rules.x", ["a"], "rules.x: is not a table (found ['a'])"),
    ("rules.x", {}, f"rules.x: {ONE_KIND}"),
    ("rules.x", {"drop": "a", "keep": "b"}, f"rules.x: {ONE_KIND}"),
    ("rules.x", {"drop": "a", "scope": 5}, "rules.x.scope: is not a list and is not text (found 5)"),
    ("rules.x", {"drop": "a", "unknown": "?"},
     "rules.x.unknown: should be 'keep' or 'drop' (found '?')"),
    ("dedup.fuzzy", True, "dedup.fuzzy: is not a table and is not false (found True)"),
    ("dedup.fuzzy.bands", 0, "dedup.fuzzy.bands: should be greater than or equal to 1 (found 0)"),
    ("dedup.alarm", 0, "dedup.alarm: should be greater than 0 (found 0)"),
    ("dedup.exact", "maybe", "dedup.exact: is neither true nor false (found 'maybe')"),
    ("tokenizer", {}, "tokenizer: a tokenizer has either 'model' or 'train'"),
    ("tokenizer.train", {}, "tokenizer: a tokenizer has either 'model' or 'train'"),
    ("tokenizer", {"train": {"preset": "bert"}},
     "tokenizer.train.preset: should be 'gemma' or 'llama-2' (found 'bert')"),
    ("tokenizer", {"train": {"weights": {"a": 0}}},
     "tokenizer.train.weights: the weight of 'a' is 0.0; weights are finite and above 0"),
    ("tokenizer.eos", -1, "tokenizer.eos: is below 0; a token's id is not (found -1)"),
    ("tokenizer.eos", "", "tokenizer.eos: is neither a token's id nor its piece (found '')"),
    ("tokenizer.bos", 1.5, "tokenizer.bos: is neither a token's id nor its piece (found 1.5)"),
    ("tokenizer.pad", True, "tokenizer.pad: is neither a token's id nor its piece (found True)"),
    ("tokenizer.pattern", "gpt4",
     "tokenizer.pattern: should be 'gpt2', 'cl100k' or 'o200k' (found 'gpt4')"),
    ("tokenizer", {"train": {}, "pattern": "gpt2"},
     "tokenizer: 'pattern' is of tiktoken ranks files; a trained vocabulary has none"),
    ("tokenizer", {"train": {"weights": {"a b": 1}}},
     "tokenizer.train.weights: 'a b' selects nothing; write a domain or source, such as "
     "'web', 'web[lang=de]' or '*'"),
    ("tokenizer", {"train": {"algorithm": "word"}},
     "tokenizer.train.algorithm: should be 'bpe' or 'unigram' (found 'word')"),
    ("holdout", {}, "holdout.tokens: is missing"),
    ("holdout", {"tokens": 9, "length": 7},
     "holdout.length: should be greater than or equal to 8 (found 7)"),
    ("phase", [], "phase: is empty; at least one is needed"),
    ("phase.0.name", "validation",
     "recipe: a phase cannot be called 'validation'; that name is the hold-out's"),
    ("phase.0.tokens", 1.5, "phase[0].tokens: is not a whole number (found 1.5)"),
    ("phase.0.tokens", -1, "phase[0].tokens: should be greater than 0 (found -1)"),
    ("phase.0.tokens", "10000000T",
     "phase[0].tokens: should be less than or equal to 9223372036854775807 (found '10000000T')"),
    ("phase.0.length", "2K",
     "phase[0].length: is not a whole number and is not a table (found '2K')"),
    ("phase.0.length", 7,
     "phase[0].length: a length of 7; lengths lie between 8 and 16,777,216 (found 7)"),
    ("phase.0.length", {"default": (1 << 24) + 1},
     "phase[0].length: a length of 16777217; lengths lie between 8 and 16,777,216"),
    ("phase.0.length", {"code": 512}, "phase[0].length: a table of lengths needs a 'default'"),
    ("phase.0.length", {"default": "x"},
     "phase[0].length.default: is not a whole number (found 'x')"),
    ("phase.0.mixture", {}, "phase[0].mixture: is empty; at least one is needed"),
    ("phase.0.mixture", {"a": 0.5, "b": 0.25}, "phase[0].mixture: the weights add up to 0.75, not 1"),
    ("phase.0.mixture", {"a": 2, "b": -1},
     "phase[0].mixture: the weight of 'b' is -1.0; weights are finite and above 0"),
    ("phase.0.mixture", {"a": float("nan")},
     "phase[0].mixture: the weight of 'a' is nan; weights are finite and above 0"),
    ("phase.0.mixture", {"a": "x"}, "phase[0].mixture.a: is not a number (found 'x')"),
    ("phase.0.max_epochs", float("inf"),
     "phase[0].max_epochs: should be a finite number (found inf)"),
    ("phase.0.packing", "bestfit",
     "phase[0].packing: should be 'best_fit' or 'concat' (found 'bestfit')"),
    ("execution.partitions", -1,
     "execution.partitions: should be greater than or equal to 0 (found -1)"),
    ("sample", 0, "sample: should be greater than 0 (found 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "said"), WRONG, ids=[f"{p}={v}" for p, v, _ in WRONG])
def test_a_wrong_value_is_one_line(place: str, value: Any, said: str) -> None:
    assert refusal(changed(RECIPE, place, value)) == [said]


@pytest.mark.parametrize("field", ["name", "workspace", "source", "tokenizer", "phase"])
def test_a_missing_field(field: str) -> None:
    assert refusal({k: v for k, v in RECIPE.items() if k != field}) == [f"{field}: is missing"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    table = changed(changed(RECIPE, "seed", "x"), "phase.0.lenght", 5)
    del table["source"][0]["layout"]
    assert refusal(table) == [
        "seed: is not a whole number (found 'x')",
        "source[0].layout: is missing",
        "phase[0].lenght: there is no such field; did you mean 'length'?",
    ]
    assert len(refusal({})) == 5
    assert refusal([]) == ["recipe: is not a table (found [])"]


@pytest.mark.parametrize("kind", ["source", "phase"])
def test_names_are_unique(kind: str) -> None:
    table = changed(RECIPE, kind, RECIPE[kind] * 2)
    name = RECIPE[kind][0]["name"]
    assert refusal(table) == [f"recipe: two {kind}s are called {name!r}; names are unique"]


FIELDS = [  # a table, one of its fields misspelt, all of them
    ("", "worksapce", "workspace", Recipe),
    ("source.1.", "piority", "priority", None),
    ("limits.", "rejectd", "rejected", None),
    ("rules.tiny.", "scpe", "scope", RuleSettings),
    ("rules.language.", "drp", "drop", RuleSettings),  # a rule called as a section is
    ("dedup.", "fuzy", "fuzzy", None),
    ("dedup.fuzzy.", "band", "bands", None),
    ("language.", "modle", "model", None),
    ("tokenizer.", "models", "model", None),
    ("tokenizer.train.", "vocab_ulary", "vocabulary", None),
    ("holdout.", "token", "tokens", None),
    ("phase.1.", "mix_ture", "mixture", Phase),
    ("shards.", "token", "tokens", None),
    ("execution.", "group_byte", "group_bytes", None),
]


@pytest.mark.parametrize(("table", "wrong", "right", "model"), FIELDS)
def test_unknown_fields(table: str, wrong: str, right: str, model: type[BaseModel] | None) -> None:
    base = changed(FULL, "rules.language", {"drop": "words < 2"})
    where = table.replace(".0.", "[0].").replace(".1.", "[1].")
    assert refusal(changed(base, table + wrong, 1)) == [
        f"{where}{wrong}: there is no such field; did you mean {right!r}?"
    ]
    (far,) = refusal(changed(base, table + "qqqqqq", 1))
    assert far.startswith(f"{where}qqqqqq: there is no such field; known are ")
    known = far.rsplit(" are ")[1].split(", ")
    assert right in known
    assert model is None or known == list(model.model_fields)


@pytest.mark.parametrize(
    ("text", "name", "lang"),
    [
        ("web", "web", None),
        (" * ", "*", None),
        ("web[lang=de]", "web", "de"),
        ("a/b.c", "a/b.c", None),
    ],
)
def test_selectors(text: str, name: str, lang: str | None) -> None:
    found = Selector.parse(text)
    assert (found.name, found.lang) == (name, lang)
    assert str(found) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", " ", "[lang=de]", "web[lang=]", "web[lng=de]", "a b", "web[lang=de]x", "web[lang=d1]"],
)
def test_no_selectors(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Selector.parse(text)
    assert str(caught.value) == (
        f"{text!r} selects nothing; write a domain or source, such as 'web', 'web[lang=de]' or '*'"
    )


def test_lengths() -> None:
    one, two = parse(FULL).phase
    assert one.lengths == (256, 512)
    assert (one.length_of("law"), one.length_of("web")) == (512, 256)
    assert two.lengths == (8,)
    assert two.length_of("law") == 8


def test_weights_may_be_thirds() -> None:
    mixture = {"a": 0.333333, "b": 0.333333, "c": 0.333334}
    assert parse(changed(RECIPE, "phase.0.mixture", mixture)).phase[0].mixture == mixture


def test_rules_of_ones_own_keep_their_order() -> None:
    rules = parse(FULL).rules
    assert list(rules.own) == ["tiny", "fine"]
    assert rules.own["tiny"].scopes == ("web", "law[lang=de]")
    assert rules.own["fine"].scopes == ("*",)
    assert parse(RECIPE).rules.own == {}


def test_a_recipe_is_frozen() -> None:
    recipe = parse(FULL)
    for model in (recipe, recipe.phase[0], recipe.rules, recipe.dedup):
        with pytest.raises(ValidationError):
            model.seed = 1  # type: ignore[union-attr]


def test_tokens_that_frame_a_document() -> None:
    for eos, adds in ((True, True), (False, False), (0, True), ("<|end|>", True)):
        found = parse(RECIPE | {"tokenizer": {"model": "m", "eos": eos, "bos": eos}}).tokenizer
        assert (found.eos, type(found.eos)) == (eos, type(eos))
        assert (found.adds_eos, found.adds_bos) == (adds, adds)


# Raised knowingly: results of older versions get another fingerprint.
def test_fingerprints_are_pinned() -> None:
    assert parse(RECIPE).fingerprint() == "93e9df07c9bd91a4a1d7"
    assert parse(FULL).fingerprint() == "5942e6ff70577d0a9476"


def test_fingerprint_of_defaults_is_that_of_their_values() -> None:
    spelt = json.loads(parse(RECIPE).model_dump_json())
    assert spelt["dedup"]["fuzzy"]["bands"] == 14
    assert parse(spelt).fingerprint() == parse(RECIPE).fingerprint()
    assert parse(changed(RECIPE, "phase.0.tokens", 10**6)).fingerprint() == (
        parse(RECIPE).fingerprint()
    )


def test_fingerprint_ignores_where_and_how_and_the_order_of_keys() -> None:
    mark = parse(FULL).fingerprint()
    for place, value in (
        ("workspace", "elsewhere"),
        ("execution.partitions", 0),
        ("execution.group_bytes", 1),
        ("signals.families", ["nemo"]),  # what of them decides is in the decisions
    ):
        assert parse(changed(FULL, place, value)).fingerprint() == mark
    turned = dict(reversed(FULL.items()))
    turned["phase"][0]["mixture"] = dict(reversed(FULL["phase"][0]["mixture"].items()))
    assert parse(turned).fingerprint() == mark


def other_values(annotation: Any, value: Any) -> Iterator[Any]:
    """Other values for a field, by its type: what the type allows, and each part of it in turn."""
    if isinstance(value, BaseModel):
        yield from (value.model_copy(update=update) for update in updates(value))
        return
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value / 2 if isinstance(value, float) else value + 1
    elif isinstance(value, str):
        known = get_args(annotation) if get_origin(annotation) is Literal else (value + "x",)
        yield from (v for v in known if v != value)
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            for new in other_values(None, item):
                yield (*value[:place], new, *value[place + 1 :])
        yield (*value, *value[:1])
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (value | {key: new} for new in other_values(None, item))
            yield {k: v for k, v in value.items() if k != key}
    if get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation):
        yield "x" if value is None else None


def updates(model: BaseModel) -> Iterator[dict[str, Any]]:
    """All changes of one field of a model, those of models within it among them."""
    extra = model.__pydantic_extra__ or {}
    for name, item in {**dict(model), **extra}.items():
        field = type(model).model_fields.get(name)
        for new in other_values(field and field.annotation, item):
            yield {name: new}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_fingerprint_sees_every_field() -> None:
    recipe = parse(FULL)
    seen: dict[str, str] = {}
    for update in updates(recipe):
        (field,) = update
        if field not in ("workspace", "execution", "signals"):
            other = recipe.model_copy(update=update)
            assert seen.setdefault(other.fingerprint(), str(update)) == str(update)
            assert other.fingerprint() != recipe.fingerprint(), update
    assert len(seen) > 60


def test_sampled() -> None:
    recipe = parse(FULL)
    less = recipe.sampled(0.001)
    assert less.sample == 0.001
    assert less.workspace == "w/samples/0.001"
    assert [phase.tokens for phase in less.phase] == [2000, 1]
    assert less.holdout is not None
    assert less.holdout.tokens == 1
    assert less.fingerprint() != recipe.fingerprint()
    kept = {"sample", "workspace", "phase", "holdout"}
    assert less.model_dump(exclude=kept) == recipe.model_dump(exclude=kept)
    assert [p.model_dump(exclude={"tokens"}) for p in less.phase] == [
        p.model_dump(exclude={"tokens"}) for p in recipe.phase
    ]
    assert parse(json.loads(less.model_dump_json())) == less
    assert parse(RECIPE).sampled(0.5).holdout is None
    assert parse(changed(RECIPE, "workspace", "s3://b/w/")).sampled(0.25).workspace == (
        "s3://b/w/samples/0.25"
    )


@pytest.mark.parametrize("table", [RECIPE, FULL, changed(FULL, "dedup.fuzzy", False)])
def test_there_and_back_as_json(table: dict[str, Any]) -> None:
    recipe = parse(table)
    again = parse(json.loads(recipe.model_dump_json()))
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()
    assert list(again.rules.own) == list(recipe.rules.own)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_the_schema_for_editors_is_as_strict() -> None:
    schema = Recipe.model_json_schema()
    parts = schema["$defs"]
    assert parts["Rules"]["additionalProperties"] == {"$ref": "#/$defs/RuleSettings"}
    assert schema["additionalProperties"] is False
    loose = {name for name, part in parts.items() if part.get("additionalProperties") is not False}
    assert loose == {"Rules"}
    tokens = parts["Phase"]["properties"]["tokens"]
    assert {choice["type"] for choice in tokens["anyOf"]} == {"integer", "string"}
    assert parts["RuleSettings"]["properties"]["unknown"]["enum"] == ["keep", "drop"]


TOML = """
name = "r"
workspace = "w"
[[source]]
name = "ü"
layout = "jsonl"
paths = ["x"]
"""


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    with pytest.raises(RecipeError) as caught:
        load(path)
    assert str(caught.value) == f"there is no recipe {str(path)!r}; `coursepack init` writes one"
    for broken in (b"name = ", b'name = "\xff"'):
        path.write_bytes(broken)
        with pytest.raises(RecipeError, match="is not TOML: "):
            load(path)
    path.write_text(TOML, "utf-8")
    with pytest.raises(RecipeError) as caught:
        load(str(path))
    assert str(caught.value).split("\n") == [
        f"{path} has 3 things wrong:",
        "  source[0].name: may hold letters, digits, '_', '.' and '-', and begins with a letter or "
        "digit (found 'ü')",
        "  tokenizer: is missing",
        "  phase: is missing",
    ]
    path.write_text(
        TOML.replace("ü", "u")
        + '[tokenizer]\nmodel = "m"\n[[phase]]\nname = "p"\ntokens = "1M"\nlength = 9\nmixture = {u = 1}\n',
        "utf-8",
    )
    assert load(path).phase[0].tokens == 1_000_000
