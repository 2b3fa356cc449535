"""What a recipe asks for must exist before Spark starts: each thing that does not is named."""

from pathlib import Path
from typing import Any

import pytest
from byte_level_files import byte_level_json

from coursepack.pipeline.errors import RecipeError, SourceError, TokenizerError
from coursepack.pipeline.recipe import parse
from coursepack.stages.check import check


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    for name in ("pages/a.jsonl", "pages/b.jsonl", "pile.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "tokenizer.json").write_bytes(byte_level_json(["<end>"]))
    return {
        "name": "r",
        "workspace": str(tmp_path / "w"),
        "source": [
            {"name": "site", "layout": "jsonl", "paths": [f"{tmp_path}/pages"], "domain": "web"},
            {"name": "pile", "layout": "pile", "paths": [f"{tmp_path}/pile.jsonl"]}
            | {"domain": {"Github": "programs", "default": "rest"}},
        ],
        "rules": {
            "profiles": ["gopher", "code"],
            "one": {"scope": ["web[lang=de]", "pile", "*"], "drop": "words < 5"},
            "two": {"scope": "law", "keep": "chars > 5"},
        },
        "tokenizer": {"model": f"{tmp_path}/tokenizer.json", "eos": "<end>"},
        "phase": [
            {"name": "p", "tokens": 9, "length": {"law": 16, "programs": 32, "default": 8}}
            | {"mixture": {"site": 0.25, "web[lang=de]": 0.25, "*": 0.25, "rest": 0.25}},
        ],
    }


def test_a_right_recipe_gives_the_files_of_its_sources(
    table: dict[str, Any], tmp_path: Path
) -> None:
    found = check(parse(table))
    assert {name: [file.url for file in files] for name, files in found.items()} == {
        "site": [f"{tmp_path}/pages/a.jsonl", f"{tmp_path}/pages/b.jsonl"],
        "pile": [f"{tmp_path}/pile.jsonl"],
    }
    assert not (tmp_path / "w").exists()
    train = {"weights": {"law": 1, "programs": 0.5}}
    assert check(parse(table | {"tokenizer": {"train": train}})) == found


PART = {"drop": "words < 5"}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("source.0", {"layout": "jsonll"},
     "no layout is called 'jsonll' (did you mean 'jsonl'?); the layouts are "),
    ("source.0", {"fields": {"txt": "a"}}, "fields has 'txt' (did you mean 'text'?); it may place "),
    ("source.0", {"fields": {"text": "a..b"}}, "fields.text is 'a..b'; it must be a field name"),
    ("phase.0", {"mixture": {"wed": 1}},
     "phase 'p': mixture: no domain or source is called 'wed'; did you mean 'web'?"),
    ("phase.0", {"mixture": {"zzzzzz[lang=de]": 1}},
     "phase 'p': mixture: no domain or source is called 'zzzzzz'; there are "),
    ("phase.0", {"mixture": {"web [de]": 1}}, "'web [de]' selects nothing; write a domain or source"),
    # lengths go by domain: a selector there would never apply
    ("phase.0", {"length": {"site": 16, "default": 8}},
     "phase 'p': length: no domain is called 'site'; "),
    ("phase.0", {"length": {"web[lang=de]": 16, "default": 8}},
     "phase 'p': length: no domain is called 'web[lang=de]'; "),
    ("phase.0", {"length": {"*": 16, "default": 8}}, "phase 'p': length: no domain is called '*'; "),
    ("phase.0", {"length": {"lav": 16, "default": 8}},
     "phase 'p': length: no domain is called 'lav'; did you mean 'law'?"),
    ("rules", {"odd": PART | {"scope": "wed"}},
     "rule 'odd': scope: no domain or source is called 'wed'; did you mean 'web'?"),
    ("rules", {"odd": {"drop": "wordz < 5"}}, "rule 'odd': "),
    ("rules", {"odd": {"drop": "words"}}, "rule 'odd': 'words' is a number; a predicate is true or"),
    ("rules", {"Odd": PART}, "a rule is called 'Odd'; names of rules are snake case"),
    ("rules", {"profiles": ["gofer"]}, "there is no profile 'gofer'; the profiles are gopher, code"),
    ("tokenizer", {"model": "nowhere.model"},
     "tokenizer.model: there is no file 'nowhere.model'; give a SentencePiece .model file, a "
     'tokenizer.json or a tiktoken ranks file, or train one: [tokenizer] train = { preset = "gemma" }'),
    ("tokenizer", {"model": None, "train": {"weights": {"lav": 1}}},
     "tokenizer.train.weights: no domain or source is called 'lav'; did you mean 'law'?"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "update", "said"), WRONG, ids=[said[:40] for *_, said in WRONG])
def test_what_does_not_exist_is_named(
    table: dict[str, Any], place: str, update: dict[str, Any], said: str
) -> None:
    name, _, number = place.partition(".")
    part = table[name][int(number)] if number else table[name]
    part.update(update)
    with pytest.raises(RecipeError) as caught:
        check(parse({k: {a: b for a, b in v.items() if b is not None} if isinstance(v, dict) else v
                     for k, v in table.items()}))  # fmt: skip
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"eos": "<eos>"}, "tokenizer.eos: the tokenizer has no piece '<eos>'; its special tokens are '<end>'"),
        ({"eos": 999}, "tokenizer.eos: the tokenizer has no token 999; ids go from 0 to 256"),
        ({"pad": "<pad>"}, "tokenizer.pad: the tokenizer has no piece '<pad>'; its special tokens"),
        ({"eos": True}, "the tokenizer's file does not say which token is eos; name it in the recipe, "),
        ({"bos": True}, "the tokenizer's file does not say which token is bos; name it in the recipe, "),
        ({"pattern": "gpt2"}, "tokenizer.pattern is 'gpt2', but the tokenizer is no tiktoken ranks file"),
        ({"sha256": "0" * 64}, "the tokenizer at "),
    ],
)  # fmt: skip
def test_a_tokenizer_must_have_its_tokens(
    table: dict[str, Any], update: dict[str, Any], said: str
) -> None:
    table["tokenizer"] |= update
    with pytest.raises(TokenizerError) as caught:
        check(parse(table))
    assert str(caught.value).startswith(said)


def test_the_domains_are_the_layouts_and_ones_own(table: dict[str, Any]) -> None:
    table["phase"][0]["mixture"] = {"zzzzzz": 1}
    with pytest.raises(RecipeError) as caught:
        check(parse(table))
    there = str(caught.value).partition("there are ")[2].split(", ")
    assert there == sorted(there)
    assert {"site", "pile", "web", "programs", "rest", "law", "math", "books"} <= set(there)
    assert "general" not in there  # of the layout jsonl, whose documents are all `web` here


def test_missing_files_are_told_last(table: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "pile.jsonl").unlink()
    with pytest.raises(SourceError, match="source 'pile': no file matches "):
        check(parse(table))
    table["rules"]["one"]["drop"] = "wordz < 5"
    with pytest.raises(RecipeError, match="rule 'one'"):
        check(parse(table))
