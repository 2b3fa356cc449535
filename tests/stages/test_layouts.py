"""The table of layouts: every entry usable, names refused with a hint, parts and domains."""

import pickle

import orjson
import pytest

from coursepack.pipeline.errors import RecipeError
from coursepack.stages.layouts import (
    CONTAINERS,
    LAYOUTS,
    NAMES,
    domain_of,
    layout_of,
    part_key,
    subset_of_path,
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_usable(name):
    found = layout_of(name)
    assert found.name == name
    assert found.container in CONTAINERS
    assert found.text or found.container.startswith("text")
    assert all(part_key(key) == key for key in found.domains)
    assert pickle.loads(pickle.dumps(found)) == found
    assert isinstance(hash(found), int)
    assert orjson.loads(orjson.dumps(found.settings()))["container"] == found.container


def test_fields_replace_the_layouts_own():
    found = layout_of("dolma", {"text": "body.plain", "license": "spdx"})
    assert found.text == ("body.plain",)
    assert found.license == ("spdx",)
    assert found.id == layout_of("dolma").id
    assert found.settings() != layout_of("dolma").settings()
    assert LAYOUTS["dolma"].text == ("text",)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("slim-pajama", {}, "no layout is called 'slim-pajama' (did you mean 'slimpajama'?)"),
        ("zzz", {}, "no layout is called 'zzz'; the layouts are redpajama-v1, "),
        (
            "dolma",
            {"licence": "x"},
            "fields has 'licence' (did you mean 'license'?); it may place text",
        ),
        ("dolma", {"text": "a..b"}, "fields.text is 'a..b'; it must be a field name"),
        ("dolma", {"text": ""}, "fields.text is ''"),
    ],
)
def test_refusals(name, fields, message):
    with pytest.raises(RecipeError) as error:
        layout_of(name, fields)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "url", "subset"),
    [
        ("redpajama-v1", "/d/common_crawl/2019-30/en_head_0000.json.gz.jsonl.zst", "common_crawl"),
        ("redpajama-v1", "s3://b/github/arxiv/arxiv_0001.jsonl", "arxiv"),
        ("redpajama-v1", "/d/c4/c4-train.00000-of-01024.jsonl", "c4"),
        ("redpajama-v1", "/d/book/book.jsonl", "book"),
        ("redpajama-v1", "/d/sample/stackexchange_sample.jsonl", "stackexchange"),
        ("redpajama-v1", "/d/bookish/part.jsonl", None),
        (
            "starcoderdata",
            "hf://datasets/bigcode/starcoderdata/sql/train-00000-of-00001.parquet",
            "sql",
        ),
        ("the-stack", "data/c-sharp/train-0.parquet", "c-sharp"),
        ("dolma", "/d/c4/x.json.gz", None),
    ],
)
def test_subset_of_path(name, url, subset):
    assert subset_of_path(layout_of(name), url) == subset


@pytest.mark.parametrize(
    ("name", "subset", "domain"),
    [
        ("redpajama-v1", "github", "code"),
        ("redpajama-v1", "common_crawl", "web"),
        ("slimpajama", "RedPajamaCommonCrawl", "web"),
        ("slimpajama", "RedPajamaStackExchange", "dialogue"),
        ("slimpajama", "RedPajamaArXiv", "science"),
        ("slimpajama", "RedPajamaBook", "books"),
        ("pile", "DM Mathematics", "math"),
        ("pile", "Wikipedia (en)", "encyclopedia"),
        ("pile", "Pile-CC", "web"),
        ("starcoderdata", "sql", "sql"),
        ("starcoderdata", "python", "code"),
        ("the-stack", "SQL", "sql"),
        ("the-stack", None, "code"),
        ("openwebmath", None, "math"),
        ("wikipedia", None, "encyclopedia"),
        ("fineweb", "CC-MAIN-2013-20", "web"),
        ("jsonl", None, "general"),
    ],
)
def test_domains(name, subset, domain):
    assert domain_of(layout_of(name), subset) == domain


def test_the_pile_has_22_sets():
    assert len(LAYOUTS["pile"].domains) == 22


def test_names_are_those_of_the_contract():
    assert NAMES[:6] == ("text", "id", "url", "path", "subset", "license")
    assert NAMES[6:] == ("repository", "access", "origin", "parent", "generator")
