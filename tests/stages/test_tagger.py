"""The tagger on real text of this installation: what it learns, from which documents, and what it reports."""

import pydoc_data.topics
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hand_made import decided_of, inventory_of, recipe, write_lines

import coursepack
from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.progress import Progress
from coursepack.stages import drawing
from coursepack.stages import tagger as module
from coursepack.stages.decide import Decided
from coursepack.stages.evaluation import Evaluation
from coursepack.stages.fasttext_training import Training
from coursepack.stages.inventory import group_name
from coursepack.stages.labels import Labels
from coursepack.stages.linear import load_classifier
from coursepack.stages.tagger import (
    TaggerSample,
    TaggerSettings,
    Trained,
    evaluate,
    train,
    train_tagger,
)

DEMO = Path(coursepack.__file__).parent / "recipes" / "demo"
QUICK = Training(dim=8, buckets=5000, least_count=2)


def real_text() -> list[tuple[str, str]]:
    """Labelled texts: modules, help topics, SQL and mathematics; long ones in pieces of 1,000 characters."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    modules = [p for p in sorted(stdlib.glob("*.py")) if 2_000 < p.stat().st_size < 20_000][:60]
    files = {
        "code": [path.read_text("utf-8") for path in modules],
        "web": [text for _, text in sorted(pydoc_data.topics.topics.items())][:40],
        "sql": [path.read_text("utf-8") for path in sorted(DEMO.glob("sql/*"))],
        "math": [path.read_text("utf-8") for path in sorted(DEMO.glob("math/*"))],
    }
    return [
        (label, text[at : at + 1000])
        for label, texts in files.items()
        for text in texts
        for at in range(0, min(len(text), 6000), 1000)
    ]


def test_real_text_is_told_apart(tmp_path: Path) -> None:
    rows = real_text()
    model = train(rows[::2], QUICK)
    assert train(reversed(rows[::2]), QUICK) == model
    path = tmp_path / "m.bin"
    path.write_bytes(model)
    found = evaluate(rows[1::2], load_classifier(str(path)))
    assert found.labels == ("code", "math", "sql", "web")
    assert sum(map(sum, found.matrix)) == len(rows[1::2])
    assert found.macro_f1 is not None
    assert found.macro_f1 >= 0.95


def test_many_texts_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*real_text()[::20], ("math", ""), ("none", " ")]
    whole = train(rows, QUICK)
    monkeypatch.setattr(module, "_BATCH", 3)
    assert train(iter(rows), QUICK) == whole
    assert b"__label__none" not in whole


def test_a_label_of_empty_texts_alone_is_none() -> None:
    with pytest.raises(RecipeError, match="there is 1: 'a'"):
        train([("a", "x"), ("b", ""), ("b", "\x00")], QUICK)


def test_a_report_is_read_as_it_was_written() -> None:
    judged = Evaluation(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    trained = Trained("u", "s", 9, {"a": 1, "b": 2}, judged, {"c": 3})
    assert Trained.from_json(trained.to_json()) == trained


def choose(number: int, text: str) -> dict[str, Any]:
    """Every second text is code; a few are dropped, a few have a source whose domain is their tag."""
    more = {"keep": False, "reason": "short"} if number % 11 == 0 else {}
    source = "t" if number % 7 == 0 else "s"
    return {"domain": "code" if "def " in text else "web", "source": source} | more


def corpus(folder: Path) -> list[str]:
    texts = [
        f"def f{chr(97 + n % 20)}(x):\n    return x + {n}\n" * 3 if n % 2
        else f"The report of the {chr(97 + n % 20)} committee, number {n}, was ready.\n" * 3
        for n in range(300)
    ]  # fmt: skip
    write_lines(folder, "a.jsonl", [*texts[:100], b"broken", *texts[100:130]])
    write_lines(folder, "b.jsonl", texts[130:])
    return texts


def made_of(folder: Path, name: str, **changes: Any) -> tuple[Any, Any, Decided]:
    sources = [
        {"name": "s", "layout": "jsonl", "paths": [f"{folder}/in"], "domain": "web"},
        {"name": "t", "layout": "jsonl", "paths": [f"{folder}/none"], "domain": "auto"},
    ]
    both = recipe(folder, workspace=f"{folder}/{name}", source=sources, **changes)
    one = recipe(folder, workspace=f"{folder}/{name}", source=sources[:1], **changes)
    inventory = inventory_of(one)
    return both, inventory, decided_of(inventory, choose)


def local(_: Any, task: Callable[[int], Any], numbers: list[int], __: int) -> list[Any]:
    return [pair for number in reversed(numbers) for pair in task(number)]


def test_the_sample_does_not_depend_on_groups(tmp_path: Path) -> None:
    corpus(tmp_path)
    drawn, groups = [], []
    for name, changes in (("whole", {}), ("pieces", {"execution": {"group_bytes": 2000}})):
        made, inventory, decisions = made_of(tmp_path, name, **changes)
        labels = Labels.of(made, (), ())
        task = TaggerSample(
            inventory.workspace,
            inventory.workspace.dataset("sample"),
            decisions,
            {group: inventory.reader(group) for group in inventory.groups},
            made,
            {"web": 1.0, "code": 0.5},
            labels,
        )
        rows = []
        for group in inventory.groups:
            [(_, record)] = list(task(group))
            assert list(task(group)) == [("sample", record)]  # found again
            assert record.group == group_name(group)
            rows += task.dataset.read(record).to_pylist()
        drawn.append(sorted(rows, key=lambda row: row["order"]))
        groups.append(len(inventory.groups))
    assert groups[0] < groups[1]
    assert drawn[0] == drawn[1]
    labels_ = [row["label"] for row in drawn[0]]
    kept = [n for n in range(300) if n % 11 and n % 7]
    assert labels_.count("web") == sum(n % 2 == 0 for n in kept)
    assert 0.3 < labels_.count("code") / sum(n % 2 for n in kept) < 0.7
    assert all(("def" in row["text"].split()) == (row["label"] == "code") for row in drawn[0])


def test_train_tagger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "run_tasks", local)
    corpus(tmp_path)
    settings = TaggerSettings(documents=90, training=QUICK)
    results = []
    for name, changes in (("whole", {}), ("pieces", {"execution": {"group_bytes": 2000}})):
        made, inventory, decisions = made_of(tmp_path, name, **changes)
        trained = train_tagger(None, made, inventory, decisions, settings, Progress.silent())  # type: ignore[arg-type]
        again = train_tagger(None, made, inventory, decisions, settings, Progress.silent())  # type: ignore[arg-type]
        assert again == trained
        results.append(trained)
    first, second = results
    assert first.sha256 == second.sha256  # however the work was cut
    assert first.evaluation == second.evaluation
    assert first.evaluation.labels == ("code", "web")
    assert first.evaluation.macro_f1 == 1.0
    for label in ("code", "web"):
        held = first.evaluation.documents(label)
        assert 5 <= held <= 35  # 0.2 of about 90
        assert 60 <= held + first.documents[label] <= 120
    assert storage.size(first.url) == first.size
    assert storage.sha256_of(first.url) == first.sha256
    assert set(load_classifier(first.url).labels) == {"code", "web"}


def test_texts_held_out_are_not_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "run_tasks", local)
    corpus(tmp_path)
    made, inventory, decisions = made_of(tmp_path, "ws")
    seen: list[list[str]] = []
    learn, judge = module.train_model, module.judge

    def learning(labels: Any, texts: pa.Array, settings: Training) -> bytes:
        seen.append(texts.to_pylist())
        return learn(labels, texts, settings)

    def judging(labels: np.ndarray, texts: pa.Array, model: Any) -> Evaluation:
        seen.append(texts.to_pylist())
        return judge(labels, texts, model)

    monkeypatch.setattr(module, "train_model", learning)
    monkeypatch.setattr(module, "judge", judging)
    settings = TaggerSettings(training=QUICK)
    train_tagger(None, made, inventory, decisions, settings, Progress.silent())  # type: ignore[arg-type]
    learnt, judged = seen
    assert judged
    assert not set(learnt) & set(judged)


def test_too_few_documents_are_refused_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "run_tasks", local)
    corpus(tmp_path)
    made, inventory, _ = made_of(tmp_path, "ws")
    quick = TaggerSettings(training=QUICK)

    def few(number: int, text: str) -> dict[str, Any]:
        return {"domain": "law"} if number < 4 else choose(number, text)

    rare = decided_of(inventory, few, "few")
    trained = train_tagger(None, made, inventory, rare, quick, Progress.silent())  # type: ignore[arg-type]
    assert trained.left_out == {"law": 4}
    assert set(trained.documents) == {"code", "web"}

    alone = decided_of(inventory, lambda *_: {"domain": "web"}, "one")
    with pytest.raises(
        RecipeError, match=r"two labels or more with 20 kept documents each; there are: web 300;"
    ):
        train_tagger(None, made, inventory, alone, quick, Progress.silent())  # type: ignore[arg-type]

    none = decided_of(inventory, lambda *_: {"keep": False, "reason": "short"}, "none")
    with pytest.raises(RecipeError, match="each; there are: none;"):
        train_tagger(None, made, inventory, none, quick, Progress.silent())  # type: ignore[arg-type]
