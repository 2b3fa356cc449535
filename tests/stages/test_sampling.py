"""The vocabulary's sample: shares by selector, windows of long documents, the same text whatever the groups."""

import numpy as np
import pyarrow as pa
import pytest
from hand_made import decided_of, inventory_of, recipe, write_lines
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import Train
from coursepack.stages import sampling as module
from coursepack.stages.sampling import Windows, plan_sample, supply, windows

SUPPLY = {
    ("web", "crawl", "en"): 6000,
    ("web", "crawl", "de"): 2000,
    ("web", "wiki", ""): 1000,
    ("code", "git", "en"): 1000,
}


@pytest.mark.parametrize(
    ("weights", "rates"),
    [
        ({}, [0.1, 0.1, 0.1, 0.1]),
        ({"*": 5}, [0.1, 0.1, 0.1, 0.1]),
        ({"web": 1, "code": 1}, [500 / 9000, 500 / 9000, 500 / 9000, 0.5]),
        ({"web[lang=en]": 3, "web[lang=de]": 1}, [0.125, 0.125, 0, 0]),
        # of what two select, both take
        ({"web": 0.5, "web[lang=de]": 0.5}, [500 / 9000, 500 / 9000 + 0.25, 500 / 9000, 0]),
        ({"wiki": 0.5, "git": 0.5}, [0, 0, 0.5, 0.5]),
    ],
)
def test_rates(weights, rates):
    found, shares = plan_sample(Train(sample=1000, weights=weights), SUPPLY)
    assert [found.get(each, 0) for each in SUPPLY] == pytest.approx(rates)
    assert sum(share.given for share in shares) == pytest.approx(1000, abs=2)
    assert not any(share.is_short for share in shares)


def test_what_a_selector_cannot_supply_is_not_taken_from_others():
    found, shares = plan_sample(Train(sample=8000, weights={"web": 1, "code": 1}), SUPPLY)
    assert found["code", "git", "en"] == 1
    assert found["web", "crawl", "en"] == pytest.approx(4000 / 9000)
    web, code = shares
    assert (web.given, web.is_short) == (4000, False)
    assert (code.wanted, code.there, code.given, code.is_short) == (4000, 1000, 1000, True)
    # German gets all there is, for both that select it
    found, shares = plan_sample(Train(sample=4000, weights={"web": 1, "web[lang=de]": 1}), SUPPLY)
    assert found["web", "crawl", "de"] == 1
    assert [share.given for share in shares] == [
        round(2000 / 9000 * 7000 + 2000 * 2 / 11),
        round(2000 * 9 / 11),
    ]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("web[lang=fr]", r"'web\[lang=fr\]' selects no .*; its languages are \(unknown\), de, en$"),
        ("sql", "'sql' selects no kept document; there are .* code, crawl, git, web, wiki$"),
    ],
)
def test_a_selector_of_nothing_is_refused(selector, message):
    with pytest.raises(RecipeError, match=message):
        plan_sample(Train(weights={"web": 1, selector: 1}), SUPPLY)


def test_nothing_kept_is_no_sample():
    assert plan_sample(Train(), {}) == ({}, [])
    with pytest.raises(RecipeError, match=r"\(none\)$"):
        plan_sample(Train(weights={"web": 1}), {})


_piece = st.sampled_from(["a", "é", "漢", "\U0001f600", "\n", "line of text\n", "ü" * 20])
_text = st.lists(_piece, max_size=60).map("".join)


@given(st.lists(_text, min_size=1, max_size=6), st.integers(8, 80), st.integers(0, 2))
def test_windows_are_all_of_the_text(texts, window, skipped):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW_BYTES", window)
        found, row, number = windows(pa.array(texts, pa.string()).slice(skipped))
    found.validate(full=True)  # whole code points
    pieces: dict[int, list[str]] = {}
    for piece, at, which in zip(found.to_pylist(), row.tolist(), number.tolist(), strict=True):
        assert which == len(pieces.setdefault(at, []))
        pieces[at].append(piece)
    for at, text in enumerate(texts[skipped:]):
        size = len(text.encode())
        assert "".join(pieces[at]) == text
        assert len(pieces[at]) == max(-(-size // window), 1)
        assert all(len(piece.encode()) <= window + window // 2 + 4 for piece in pieces[at])


def test_windows_begin_at_lines_where_they_can(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BYTES", 40)
    found, _, number = windows(pa.array(["short", "0123456789\n" * 20]))
    assert found[0].as_py() == "short"
    assert number.tolist() == [0, *range(6)]
    assert all(piece.startswith("0123456789\n") for piece in found.to_pylist()[1:])


def _draw(folder, rates, name, choose=lambda *_: {}, **changes):
    made = recipe(folder, workspace=f"{folder}/{name}", **changes)
    inventory = inventory_of(made)
    task = Windows(
        inventory.workspace,
        decided_of(inventory, choose),
        {g: inventory.reader(g) for g in inventory.groups},
        made,
        {(domain, "s", ""): rate for domain, rate in rates.items()},
    )
    found = [t for g in inventory.groups for text in task.texts(g) for t in text.to_pylist()]
    return sorted(found), len(inventory.groups)


def test_the_sample_does_not_depend_on_groups(tmp_path):
    texts = [f"document {n} " + "è" * (n % 7) for n in range(60)]
    write_lines(tmp_path, "a.jsonl", [*texts[:20], b"broken", *texts[20:30]])
    write_lines(tmp_path, "b.jsonl", texts[30:])

    def choose(_: int, text: str) -> dict[str, object]:
        number = int(text.split()[1])
        return {"keep": number % 5 > 0, "domain": "code" if number % 2 else "web"}

    rates = {"web": 1.0, "code": 0.5}
    whole, one = _draw(tmp_path, rates, "whole", choose)
    pieces, many = _draw(tmp_path, rates, "pieces", choose, execution={"group_bytes": 300})
    assert one < many
    assert whole == pieces
    kept = {n: texts[n] for n in range(60) if n % 5}
    assert {t for n, t in kept.items() if n % 2 == 0} <= set(whole) < set(kept.values())
    assert len(whole) == len(set(whole))
    other, _ = _draw(tmp_path, rates, "seed", choose, seed=1)
    assert other != whole
    less, _ = _draw(tmp_path, {"code": 0.2}, "less", choose)
    assert set(less) < set(whole)  # a smaller sample is part of a larger one


def test_windows_of_a_long_document_are_drawn_from_all_of_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BYTES", 100)
    lines = [f"line {n:03d} of a long document\n" for n in range(1000)]
    write_lines(tmp_path, "a.jsonl", ["".join(lines), "short"])
    found, _ = _draw(tmp_path, {"web": 0.3}, "ws")
    drawn = np.array(
        [int(line[5:8]) for text in found for line in text.splitlines() if " " in line]
    )
    assert len(drawn) == pytest.approx(300, abs=90)
    for part in range(4):
        inside = np.count_nonzero(drawn // 250 == part)
        assert inside == pytest.approx(75, abs=45)
    assert len(_draw(tmp_path, {"web": 1.0}, "all")[0]) == -(-len("".join(lines)) // 100) + 1


def test_supply_counts_kept_bytes_by_class(spark, tmp_path):
    write_lines(tmp_path, "a.jsonl", ["four", "five5", "sixsix"])
    inventory = inventory_of(recipe(tmp_path, execution={"group_bytes": 20}))

    def choose(number: int, _: str) -> dict[str, object]:
        return [{"language": "de"}, {"keep": False, "reason": "short"}, {"domain": "code"}][number]

    decided = decided_of(inventory, choose)
    readers = {g: inventory.reader(g) for g in inventory.groups}
    assert supply(spark, decided, readers) == {("web", "s", "de"): 4, ("code", "s", ""): 6}
