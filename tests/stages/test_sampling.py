"""The vocabulary's sample: rates by domain, windows of long documents, one order whatever the groups."""

import numpy as np
import pyarrow as pa
import pytest
from hand_made import decided_of, inventory_of, recipe, write_lines
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.errors import RecipeError, TokenizerError
from coursepack.pipeline.recipe import Train
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages import sampling as module
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import group_name
from coursepack.stages.sampling import SampleTask, sample_rates, sample_texts, windows


def decided(**sizes: int) -> Decided:
    counts = {f"bytes:s/{domain}/": size for domain, size in sizes.items()}
    counts["bytes:s/web/short"] = 10**9  # dropped: does not count
    return Decided(Dataset(""), {"g": Record("g", "", 0, 0, "", counts)})


@pytest.mark.parametrize(
    ("sizes", "weights", "rates"),
    [
        ({"web": 3000, "code": 1000}, {}, {"web": 0.25, "code": 0.25}),
        ({"web": 3000, "code": 1000}, {"web": 1, "code": 1}, {"web": 1 / 6, "code": 0.5}),
        ({"web": 3000, "code": 1000}, {"code": 0.1}, {"code": 1.0}),
        ({"web": 3000, "code": 100}, {"web": 1, "code": 1}, {"web": 1 / 6, "code": 1.0}),
        ({"web": 10}, {}, {"web": 1.0}),
        ({}, {}, {}),
    ],
)
def test_rates(sizes, weights, rates):
    found = sample_rates(Train(sample=1000, weights=weights), decided(**sizes))
    assert found == pytest.approx(rates)


def test_a_weight_of_a_domain_that_keeps_nothing_is_refused():
    with pytest.raises(
        RecipeError, match=r"names 'sql', a domain without .*; there are code, web$"
    ):
        sample_rates(Train(weights={"web": 1, "sql": 1}), decided(web=1, code=2))
    with pytest.raises(RecipeError, match="there are none"):
        sample_rates(Train(weights={"web": 1}), decided())


_piece = st.sampled_from(["a", "é", "漢", "\U0001f600", "\n", "line of text\n", "ü" * 20])
_text = st.lists(_piece, max_size=60).map("".join)


@given(
    st.lists(st.tuples(_text, st.integers(0, 2**62 - 1)), min_size=1, max_size=6),
    st.integers(8, 80),
    st.integers(0, 2),
)
def test_windows_are_whole_code_points_of_the_text(documents, window, skipped):
    texts = [text for text, _ in documents]
    order = np.array([chance for _, chance in documents])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW_BYTES", window)
        column = pa.array(texts, pa.string()).slice(skipped)
        found = windows(column, order[skipped:]).to_pylist()
        alone = [windows(pa.array([t]), np.array([c])).to_pylist()[0] for t, c in documents]
    assert found == alone[skipped:]  # whatever else is in the batch
    for text, cut in zip(texts[skipped:], found, strict=True):
        size = len(cut.encode())
        if len(text.encode()) <= window:
            assert cut == text
            continue
        assert cut in text
        assert window - window // 2 - 6 <= size <= window


def test_a_window_begins_at_a_line_where_one_begins_in_its_first_half(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BYTES", 40)
    text = "0123456789\n" * 20
    for chance in range(100):
        [cut] = windows(pa.array([text]), np.array([chance])).to_pylist()
        assert cut.startswith("\n0123456789\n0")
        assert 30 <= len(cut) <= 40


def test_a_text_of_just_the_window_is_whole_beside_longer_ones(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BYTES", 12)
    texts = pa.array(["line\nline 2\n", "x" * 13])
    assert windows(texts, np.zeros(2, np.int64)).to_pylist()[0] == "line\nline 2\n"
    assert text_buffers(texts)[0].tolist() == [0, 12, 25]


def _draw(folder, rates, name, choose=lambda *_: {}, **changes):
    made = recipe(folder, workspace=f"{folder}/{name}", **changes)
    inventory = inventory_of(made)
    task = SampleTask(
        inventory.workspace,
        inventory.workspace.dataset("sample"),
        decided_of(inventory, choose),
        {g: inventory.reader(g) for g in inventory.groups},
        made,
        rates,
    )
    records = {}
    for group in reversed(inventory.groups):
        [(_, records[group_name(group)])] = list(task(group))
        assert list(task(group)) == [("sample", records[group_name(group)])]  # found again
    return list(sample_texts(task.dataset, records)), len(inventory.groups)


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
    assert whole != sorted(whole)
    other, _ = _draw(tmp_path, rates, "seed", choose, seed=1)
    assert other != whole
    less, _ = _draw(tmp_path, {"code": 0.2}, "less", choose)
    assert set(less) < set(whole)  # a smaller sample is part of a larger one


def test_no_document_is_no_sample(tmp_path):
    write_lines(tmp_path, "a.jsonl", ["text"])
    with pytest.raises(TokenizerError, match="no document was kept"):
        _draw(tmp_path, {"web": 1.0}, "ws", lambda *_: {"keep": False})
    with pytest.raises(TokenizerError, match="no text to train a vocabulary on"):
        list(sample_texts(Dataset(str(tmp_path)), {}))
