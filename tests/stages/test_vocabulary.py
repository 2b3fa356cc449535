"""A recipe's vocabulary: words counted by Spark, memory known beforehand, one model whatever the groups."""

import io
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hand_made import decided_of, inventory_of, recipe, write_lines

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, TokenizerError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Train
from coursepack.stages.check import check
from coursepack.stages.sampling import Windows
from coursepack.stages.vocabulary import (
    Counted,
    CountTask,
    count_words,
    get_tokenizer,
    wanted_vocabulary,
)
from coursepack.tokenizers.model import load
from coursepack.tokenizers.train import train

TEXTS = [
    f"def function_{n}(value):\n\treturn value + {n} # größer 人人 {'xyz'[n % 3] * (n % 7)}"
    for n in range(300)
]
SMALL = {"preset": "gemma", "vocabulary": 600}


def made(folder, name: str, train: dict[str, Any], **changes: Any):
    return recipe(
        folder,
        workspace=f"{folder}/{name}",
        tokenizer={"train": SMALL | train},
        execution={"group_bytes": 9000} | changes,
    )


def trained(
    spark, folder, name: str, train: dict[str, Any], **changes: Any
) -> tuple[str, str, str]:
    """URL, sha256, and what was said."""
    chosen = made(folder, name, train, **changes)
    inventory = inventory_of(chosen)
    said = io.StringIO()

    def choose(number: int, _: str) -> dict[str, object]:
        return {"keep": number % 10 > 0, "domain": "code" if number % 2 else "web"}

    decided = decided_of(inventory, choose)
    progress = Progress.console(said)
    found = get_tokenizer(spark, chosen, inventory, decided, progress)
    assert get_tokenizer(spark, chosen, inventory, decided, Progress.silent()) == found
    return *found, said.getvalue()


def test_one_model_whatever_the_groups(spark, tmp_path):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    url, sha256, said = trained(spark, tmp_path, "many", {})
    kept = [text for number, text in enumerate(TEXTS) if number % 10]
    assert storage.read_bytes(url) == train(kept, 600)
    other, _, _ = trained(spark, tmp_path, "one", {}, group_bytes=10**9, partitions=1)
    assert other != url
    assert load(other).sha256 == sha256
    assert "different words will take about 0." in said
    assert "600 pieces, 0." in said
    # words, of restricted text too, are gone
    assert not [u for u in storage.listing(f"{tmp_path}/many/words") if u.endswith(".parquet")]


def test_words_are_counted_once_and_added_up(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("coursepack.stages.vocabulary._BUCKET_ROWS", 20)
    write_lines(tmp_path, "a.jsonl", TEXTS)
    chosen = made(tmp_path, "ws", {})
    inventory = inventory_of(chosen)
    readers = {g: inventory.reader(g) for g in inventory.groups}
    decided = decided_of(inventory, lambda *_: {})
    sample = Windows(inventory.workspace, decided, readers, chosen, {("web", "s", ""): 1.0})
    parts = inventory.workspace.dataset("parts")
    task = CountTask(sample, parts, wanted_vocabulary(Train(vocabulary=600)))
    [(_, record)] = list(task(0))
    assert list(task(0)) == [("words", record)]  # found again
    assert len(readers) > 1
    counted = count_words(spark, task, inventory.workspace.dataset("all"))
    again = count_words(spark, task, inventory.workspace.dataset("all"))
    assert again == counted
    assert len(counted.records) > 2
    assert counted.text_bytes == sum(len(text.encode()) for text in TEXTS)
    counter = task.vocabulary.counter()
    counter.add(pa.array(TEXTS))
    expected = counter.table().sort_by("word")
    assert counted.table(1).sort_by("word") == expected
    counts = Counter(dict(zip(*(expected[n].to_pylist() for n in ("word", "count")), strict=True)))
    for least in (1, 2, 100):
        frequent = {word: count for word, count in counts.items() if count >= least}
        size = counted.size(least)
        assert size.words == len(frequent) == counted.table(least).num_rows
        assert size.characters == sum(len(word.decode()) for word in frequent)
        assert size.covered == sum(len(word) * count for word, count in frequent.items())
    assert counted.size(120) == counted.size(100)


def test_a_weight_that_cannot_be_met_is_said(spark, tmp_path):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    weights = {"weights": {"code": 1, "web": 3}, "sample": 16_000}
    _, _, said = trained(spark, tmp_path, "ws", weights)
    assert (
        "sample has 0.0 MB of web, not 0.0 MB: of the 0.0 MB there are, some or all are taken"
        in said
    )
    assert "of code, not" not in said


def test_rare_words_can_be_left_out(spark, tmp_path):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    all_words = trained(spark, tmp_path, "ws", {"vocabulary": 560})
    frequent = trained(spark, tmp_path, "ws", {"vocabulary": 560, "least_count": 50})
    assert all_words[1] != frequent[1]


def test_more_memory_than_there_is_is_refused_before_training(spark, tmp_path):
    write_lines(tmp_path, "a.jsonl", TEXTS)
    with pytest.raises(
        TokenizerError, match=r"would take about 0.*, and there are 1e-09 GB; sample"
    ):
        trained(spark, tmp_path, "ws", {}, memory=1)


def test_what_would_fit_is_said(monkeypatch):
    from coursepack.stages import vocabulary as module

    counts = {
        f"{n}:{k}": 10**7 // k for k in module._LEAST for n in ("words", "characters", "covered")
    }
    counted = Counted(*[None] * 2, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(
        Counted, "size", lambda _, least=1: module.WordsSize(*[counts[f"words:{least}"]] * 3)
    )
    monkeypatch.setattr(module, "estimate", lambda size, *_: size.words * 100)
    wanted = wanted_vocabulary(Train())
    said = module._too_large(counted, Train(), wanted, 10**9, 3 * 10**8)
    assert (
        "set tokenizer.train.least_count = 4 (0.25 GB, 75 % of the text left out), sample less"
        in said
    )


def test_nothing_kept_is_no_vocabulary(spark, tmp_path):
    write_lines(tmp_path, "a.jsonl", ["text"])
    chosen = made(tmp_path, "ws", {})
    inventory = inventory_of(chosen)
    decided = decided_of(inventory, lambda *_: {"keep": False})
    with pytest.raises(TokenizerError, match="no document was kept"):
        get_tokenizer(spark, chosen, inventory, decided, Progress.silent())


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"symbols": ["<mask>"]}, "'<mask>' is the preset's own, with id 4"),
        ({"weights": {"sql": 1}}, "no domain or source is called 'sql'"),
        ({"vocabulary": 512, "reserved": 9}, "ask for more than 513"),
    ],
)
def test_mistakes_are_found_without_spark(tmp_path, train, message):
    write_lines(tmp_path, "a.jsonl", ["text"])
    with pytest.raises(RecipeError, match=rf"tokenizer\.train.*{message}"):
        check(made(tmp_path, "ws", train))
