"""Figures of tokenizers, on documents that their training sample does not hold."""

import functools
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hand_made import decided_of, inventory_of, recipe, write_lines

from coursepack.pipeline.errors import TokenizerError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import Inventory
from coursepack.stages.sampling import Class, Windows, plan_sample
from coursepack.stages.token_counts import CLASSES, COUNTS, SUMS
from coursepack.stages.tokenizer_compare import (
    ALL,
    Candidate,
    CompareTask,
    compare_kept,
    figures,
    find_candidates,
    held_out,
)
from coursepack.tokenizers.model import load
from coursepack.tokenizers.train import train

TEXTS = [
    f"document {n} of the corpus, with words {'and more words ' * (n % 9)}" for n in range(400)
]


@functools.cache
def model(preset: str) -> bytes:
    return train(TEXTS[:40], 600, preset, accept_fewer=True)


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    for preset in ("gemma", "llama-2"):
        (tmp_path / f"{preset}.model").write_bytes(model(preset))
    return [f"{tmp_path}/gemma.model", f"{tmp_path}/llama-2.model"]


def choose(number: int, text: str) -> dict[str, Any]:
    about = {
        "domain": "code" if number % 4 == 0 else "web",
        "language": "en" if number % 3 else None,
    }
    return {"keep": number % 10 > 0, **about}


def with_training(folder: Path, sample: int, **changes: Any) -> Recipe:
    return recipe(folder, tokenizer={"train": {"sample": sample, "vocabulary": 600}}, **changes)


def supplied(decided: Decided) -> dict[Class, int]:
    """Bytes of the kept documents by class, as `supply` finds them."""
    found: Counter[Class] = Counter()
    for record in decided.records.values():
        for row in decided.dataset.read(record).to_pylist():
            if row["keep"]:
                found[row["domain"], row["source"], row["language"] or ""] += row["bytes"]
    return dict(found)


def trained_on(made: Recipe, inventory: Inventory, decided: Decided) -> set[str]:
    """The texts that the recipe's vocabulary is trained on."""
    assert made.tokenizer.train is not None
    rates, _ = plan_sample(made.tokenizer.train, supplied(decided))
    readers = {g: inventory.reader(g) for g in inventory.groups}
    task = Windows(inventory.workspace, decided, readers, made, rates)
    parts = [part for group in inventory.groups for part in task.texts(group)]
    return {text for part in parts for text in part.to_pylist()}


class Seen(CompareTask):
    """Tells which texts were drawn."""

    texts: ClassVar[list[str]] = []

    def rows(self, chosen: pa.Table, batch: pa.RecordBatch, reader: Any) -> pa.Table:
        self.texts.extend(reader.texts(batch).to_pylist())
        return super().rows(chosen, batch, reader)


def drawn(
    made: Recipe, inventory: Inventory, decided: Decided, models: list[str], sample: int, at: str
) -> tuple[list[str], pa.Table]:
    held = held_out([made], supplied(decided), sample, made.seed)
    task = Seen(
        inventory.workspace,
        inventory.workspace.dataset(at),
        decided,
        {g: inventory.reader(g) for g in inventory.groups},
        made,
        held.rates,
        {load(url).sha256: url for url in models},
    )
    Seen.texts.clear()
    records = [dict(task(group))["sample"] for group in inventory.groups]
    return sorted(Seen.texts), pa.concat_tables([task.dataset.read(one) for one in records])


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_no_document_is_in_both_samples(tmp_path: Path, models: list[str], share: float) -> None:
    write_lines(tmp_path, "a.jsonl", TEXTS)
    size = sum(len(t) for n, t in enumerate(TEXTS) if n % 10)
    made = with_training(tmp_path, int(size * share))
    inventory = inventory_of(made)
    decided = decided_of(inventory, choose)
    learnt = trained_on(made, inventory, decided)
    all_else, _ = drawn(made, inventory, decided, models, size, "all")
    kept = {text for n, text in enumerate(TEXTS) if n % 10}
    assert learnt
    assert not learnt & set(all_else)
    assert learnt | set(all_else) == kept  # what is left, all of it
    some, counts = drawn(made, inventory, decided, models, size // 5, "some")
    assert set(some) < set(all_else)
    assert sum(counts["documents"].to_pylist()) == 2 * len(some)
    assert sum(counts["bytes"].to_pylist()) == 2 * sum(map(len, some))


def test_counts_do_not_depend_on_groups(tmp_path: Path, models: list[str]) -> None:
    write_lines(tmp_path, "a.jsonl", TEXTS)
    results = []
    for name, group_bytes in (("whole", 10**9), ("pieces", 5_000)):
        made = with_training(
            tmp_path, 5_000, workspace=f"{tmp_path}/{name}", execution={"group_bytes": group_bytes}
        )
        inventory = inventory_of(made)
        decided = decided_of(inventory, choose)
        _, counts = drawn(made, inventory, decided, models, 8_000, "one")
        results.append((len(inventory.groups), figures(counts, find_candidates(models))))
    assert results[0][0] < results[1][0]
    assert results[0][1] == results[1][1]


def test_the_largest_sample_of_any_recipe_of_the_seed_is_held_out(tmp_path: Path) -> None:
    kept = {("web", "s", "en"): 600, ("web", "s", ""): 400, ("code", "s", "en"): 500}
    small, large = with_training(tmp_path, 150), with_training(tmp_path, 600)
    other = with_training(tmp_path, 1500, seed=5)
    names = ("web/s/en", "web/s/", "code/s/en")
    assert held_out([], kept, 150, 0).rates == pytest.approx(dict.fromkeys(names, 0.1))
    most = held_out([small, large, other], kept, 1500, 0)
    assert most.rates == pytest.approx(dict.fromkeys(names, 0.6))
    everything = held_out([small, other], kept, 150, 5)
    assert (everything.seen, everything.all_seen) == (("code", "web"), True)
    assert everything.rates == pytest.approx(dict.fromkeys(names, 0.1))  # drawn all the same
    weights = {"code": 1, "web[lang=en]": 2, "web": 0.001}
    train = {"train": {"sample": 1200, "vocabulary": 600, "weights": weights}}
    uneven = held_out([recipe(tmp_path, tokenizer=train)], kept, 1500, 0)
    assert uneven.rates["code/s/en"] == pytest.approx(0.2, abs=0.01)
    assert uneven.rates["web/s/"] == pytest.approx(1, abs=0.01)
    assert (uneven.seen, uneven.all_seen) == (("web",), False)  # its English is taken whole
    strange = {"train": {"sample": 400, "vocabulary": 600, "weights": {"books": 1}}}
    foreign = recipe(tmp_path, tokenizer=strange)  # of other sources: no sample of these documents
    assert held_out([foreign], kept, 150, 0).seen == ()


def test_windows_of_one_document_are_in_one_sample_each(tmp_path: Path, models: list[str]) -> None:
    long = "".join(f"line {n} of a long document\n" for n in range(20_000))
    write_lines(tmp_path, "a.jsonl", [long, *TEXTS[:20]])
    made = with_training(tmp_path, len(long) // 2)
    inventory = inventory_of(made)
    decided = decided_of(inventory, lambda number, text: {"keep": True})
    learnt = trained_on(made, inventory, decided)
    _, counts = drawn(made, inventory, decided, models, 10**9, "all")
    windows = [text for text in learnt if len(text) > 1000]
    assert 1 < len(windows) < 8  # of nine
    found = sum(counts["bytes"].to_pylist()) / 2
    assert found == len(long) + sum(map(len, TEXTS[:20])) - sum(map(len, learnt))


def test_names(tmp_path: Path, models: list[str]) -> None:
    for folder in ("4ab1c2d3e4f5", "gemma"):
        (tmp_path / folder).mkdir()
    (tmp_path / "4ab1c2d3e4f5" / "tokenizer.model").write_bytes(
        train(TEXTS[:9], 560, "gemma", True)
    )
    (tmp_path / "gemma" / "gemma.model").write_bytes(train(TEXTS[:9], 550, "gemma", True))
    urls = [*models, f"{tmp_path}/4ab1c2d3e4f5/tokenizer.model", f"{tmp_path}/gemma/gemma.model"]
    found = find_candidates(urls)
    assert [one.name for one in found] == ["gemma", "llama-2", "4ab1c2d3", "gemma-2"]
    assert [one.url for one in found] == urls
    with pytest.raises(TokenizerError, match="is the same tokenizer as"):
        find_candidates([models[0], models[1], models[0]])


def test_which_were_trained_here(tmp_path: Path, models: list[str]) -> None:
    workspace = Workspace(f"{tmp_path}/ws")
    given = load(models[1]).sha256[:20]
    for folder, url in (("0123456789", models[0]), (given, models[1])):
        (tmp_path / "ws" / "tokenizers" / folder).mkdir(parents=True)
        path = tmp_path / "ws" / "tokenizers" / folder / "tokenizer.model"
        path.write_bytes(Path(url).read_bytes())
    assert [one.trained_here for one in find_candidates(models, workspace)] == [True, False]


def counted(tokenizer: str, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(CLASSES) | dict.fromkeys(SUMS, 0) | {"pieces": [], "times": []}
    return {**row, "tokenizer": tokenizer, **more}


def test_figures() -> None:
    sums = {"bytes": 12, "characters": 9, "words": 4, "tokens": 6, "told_words": 4}
    rows = [
        counted("x", domain="web", documents=1, **sums, split_words=1, pieces=[1, 4], times=[5, 1]),
        counted("x", domain="web", language="en", documents=1, bytes=8, characters=8, words=2)
        | {"tokens": 4, "byte_tokens": 3, "unknown_tokens": 1, "pieces": [0, 4], "times": [1, 3]},
        counted("x", domain="code", programming_language="C", documents=2, bytes=40)
        | {"tokens": 10, "pieces": [4], "times": [10]},
        counted("y", domain="web", documents=1, bytes=12, tokens=3, pieces=[9], times=[3]),
    ]
    tokenizers = [Candidate("X", "", "x", 5), Candidate("Y", "", "y", 10)]
    found = figures(pa.Table.from_pylist(rows, COUNTS), tokenizers)
    assert [(f.tokenizer, f.by, f.value) for f in found] == [
        *((name, by, value) for by, value in ((ALL, ""), ("domain", "code"), ("domain", "web"))
          for name in "XY"),
        *((name, "language", value) for value in ("", "en") for name in "XY"),
        *((name, "programming_language", "C") for name in "XY"),
    ]  # fmt: skip
    whole = found[0]
    assert (whole.documents, whole.bytes, whole.tokens) == (4, 60, 20)
    assert (whole.bytes_per_token, whole.characters_per_token) == (3.0, 17 / 20)
    assert (whole.tokens_per_word, whole.split_words, whole.told_words) == (20 / 6, 1 / 4, 4 / 6)
    assert (whole.byte_tokens, whole.unknown_tokens) == (3 / 20, 1 / 20)
    assert (whole.used_pieces, whole.dead_pieces) == (3, pytest.approx(0.4))
    assert whole.top == {1: 14 / 20, 2: 19 / 20, 5: 1.0}
    nothing = next(f for f in found if (f.tokenizer, f.value) == ("Y", "code"))
    assert (nothing.bytes_per_token, nothing.split_words, nothing.top) == (None, None, {})
    with pytest.raises(TokenizerError, match="no documents to compare on"):
        figures(COUNTS.empty_table(), tokenizers)


def test_a_comparison_in_spark(spark: Any, tmp_path: Path, models: list[str]) -> None:
    write_lines(tmp_path, "a.jsonl", TEXTS)
    made = with_training(tmp_path, 5_000)
    inventory = inventory_of(made)
    decided = decided_of(inventory, choose)
    candidates = find_candidates(models)
    held = held_out([made], supplied(decided), 4_000, made.seed)
    given = (spark, made, inventory, decided, candidates, held, Progress.silent())
    found = compare_kept(*given)
    assert [row.tokenizer for row in found.figures if row.by == ALL] == ["gemma", "llama-2"]
    assert 2_000 < found.figures[0].bytes < 6_000
    assert f"{found.figures[0].documents:,} documents" in found.notes[0]
    assert "no vocabulary trained here with seed 0 holds" in found.notes[0]
    assert "training of gemma, llama-2" in found.notes[1]
    (tmp_path / "in" / "a.jsonl").unlink()  # a second time nothing is read
    assert compare_kept(*given) == found
    seen = held_out(
        [parse(made.model_dump() | {"tokenizer": {"train": {"sample": 10**9}}})],
        supplied(decided),
        4_000,
        0,
    )
    write_lines(tmp_path, "a.jsonl", TEXTS)
    other = compare_kept(spark, made, inventory, decided, candidates, seen, Progress.silent())
    assert "none held out" in other.notes[0]
    assert other.seen == ()
