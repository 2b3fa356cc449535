"""What `coursepack tagger train` shows of a model, and what it tells to write into the recipe."""

import io
import tomllib

import pytest

from coursepack.jobs.tables import show
from coursepack.jobs.tagger import recipe_lines, tagger_parts
from coursepack.stages.evaluation import Evaluation
from coursepack.stages.tagger import Trained

JUDGED = Evaluation(("code", "web"), ((90, 10, 0), (5, 194, 1)))


def shown(trained: Trained) -> list[str]:
    out = io.StringIO()
    show(tagger_parts(trained), out)
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]


def test_scores_and_matrix() -> None:
    lines = shown(Trained("u", "s", 9, {"code": 400, "web": 12345}, JUDGED, {"law": 3}))
    assert lines[0] == "macro-F1 0.9417 on 300 held-out documents"
    assert "code 400 100 0.9474 0.9000 0.9231" in lines
    assert "web 12,345 200 0.9510 0.9700 0.9604" in lines
    assert "label code web (none)" in lines
    assert "code 90 10 0" in lines
    assert "web 5 194 1" in lines
    assert lines[-1] == "! left out, too few documents: law 3"


def test_of_many_labels_the_worst_confusions_are_shown() -> None:
    labels = tuple(f"label-{n}" for n in range(12))
    rows = [[100 if n == m else (n * m) % 7 for m in range(12)] + [0] for n in range(12)]
    lines = shown(Trained("u", "s", 9, {}, Evaluation(labels, tuple(map(tuple, rows)))))
    at = lines.index("most often wrong")
    assert len(lines) == at + 3 + 12
    assert all(line.endswith(" 6") for line in lines[at + 3 :])


def test_nothing_held_out_has_no_score() -> None:
    lines = shown(Trained("u", "s", 9, {"a": 1}, Evaluation(("a",), ((0, 0),))))
    assert lines[0].startswith("macro-F1 - on 0 held-out documents")
    assert "a 1 0 - - -" in lines


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ({"code": 1, "web": 2}, {"tagger": {"model": "ws/m.bin", "sha256": "ab"}}),
        (
            {"positive": 1, "negative": 2},
            {
                "classifiers": [
                    {"name": "quality", "model": "ws/m.bin", "sha256": "ab"}
                    | {"label": "positive", "form": "normalised"}
                ]
            },
        ),
    ],
)
def test_recipe_lines_are_toml(documents: dict[str, int], expected: dict[str, object]) -> None:
    trained = Trained("ws/m.bin", "ab", 9, documents, JUDGED)
    assert tomllib.loads(recipe_lines(trained)) == {"signals": expected}
