"""Ratios of a matrix of labels and guesses."""

import pytest

from coursepack.stages.evaluation import Evaluation


def test_an_evaluation_counts() -> None:
    found = Evaluation(("a", "b", "c"), ((8, 1, 0, 1), (2, 6, 0, 0), (0, 0, 0, 0)))
    assert [found.documents(label) for label in "abc"] == [10, 8, 0]
    assert found.recall("a") == 0.8
    assert found.precision("a") == 0.8
    assert found.f1("a") == pytest.approx(0.8)
    assert found.recall("b") == 0.75
    assert found.precision("b") == pytest.approx(6 / 7)
    assert found.f1("b") == pytest.approx(2 * 0.75 * (6 / 7) / (0.75 + 6 / 7))
    assert (found.recall("c"), found.precision("c"), found.f1("c")) == (None, None, None)
    assert found.macro_f1 == pytest.approx((0.8 + 12 / 15) / 2)
    assert Evaluation((), ()).macro_f1 is None
