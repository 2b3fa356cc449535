"""Which label a document has: the recipe's word for its source, or what selectors choose."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from hand_made import recipe

from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages.decide import Decided
from coursepack.stages.labels import NEGATIVE, POSITIVE, Labels


def decided(rows: Iterable[tuple[str, str, int]]) -> Decided:
    counts = {f"documents:{source}/{domain}/": number for source, domain, number in rows}
    counts["documents:web/web/short"] = 10**6  # dropped: does not count
    return Decided(Dataset(""), {"g": Record("g", "", 0, 0, "", counts)})


SOURCES = [
    {"name": name, "layout": "jsonl", "paths": ["x"], "domain": domain}
    for name, domain in (("wiki", "encyclopedia"), ("pages", "web"), ("mixed", "auto"), ("files", "general"))
]  # fmt: skip
KEPT = [
    ("wiki", "encyclopedia", 5),
    ("pages", "web", 7),
    ("mixed", "web", 11),
    ("files", "general", 13),
]


@pytest.mark.parametrize(
    ("positive", "negative", "sizes"),
    [
        ((), (), {"encyclopedia": 5, "web": 7}),  # not what a tag said, nor what nobody said
        (("wiki",), ("web",), {POSITIVE: 5, NEGATIVE: 18}),
        (("encyclopedia",), ("*",), {POSITIVE: 5, NEGATIVE: 31}),
        (("web", "wiki"), ("pages", "files"), {POSITIVE: 23, NEGATIVE: 13}),
        (("web[lang=de]",), ("wiki",), {POSITIVE: 18, NEGATIVE: 5}),  # languages are not counted
    ],
)
def test_labels(
    tmp_path: Path, positive: tuple[str, ...], negative: tuple[str, ...], sizes: dict[str, int]
) -> None:
    made = recipe(tmp_path, source=SOURCES)
    labels = Labels.of(made, positive, negative)
    assert labels.sizes(decided(KEPT)) == sizes


def test_languages_choose_rows(tmp_path: Path) -> None:
    labels = Labels.of(
        recipe(tmp_path, source=SOURCES),
        ("web[lang=de]",),
        ("web", "wiki[lang=de]"),
    )
    rows = [("pages", "web", "de"), ("pages", "web", None), ("wiki", "encyclopedia", "de"),
            ("wiki", "encyclopedia", "en"), ("pages", "web", "de")]  # fmt: skip
    names = ("source", "domain", "language")
    table = pa.table(
        {name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(names)}
    )
    wanted = [POSITIVE, NEGATIVE, NEGATIVE, None, POSITIVE]
    assert labels.column(table).to_pylist() == wanted
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert labels.column(chunked).to_pylist() == wanted
    assert labels.column(table.slice(0, 0)).to_pylist() == []


def test_selectors_are_checked(tmp_path: Path) -> None:
    made = recipe(tmp_path, source=SOURCES)
    with pytest.raises(RecipeError, match="needs positive and negative documents"):
        Labels.of(made, ("wiki",), ())
    labels = Labels.of(made, ("book",), ("*",))
    with pytest.raises(
        RecipeError, match=r"'book' selects no kept document; there are .* encyclopedia, files"
    ):
        labels.sizes(decided(KEPT))
