"""What a classifier says of documents that it was not trained on: a matrix of labels and guesses, and its ratios."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.stages.linear import Classifier, classify

NONE = "(none)"  # the guess where the model knows no word of a text


@dataclass(frozen=True)
class Evaluation:
    """What a model says of documents that it was not trained on: `matrix[truth][guess]`, in the order of
    `labels`, with NONE as the last guess. Precision, recall and F1 are None where they divide by 0."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]

    def documents(self, label: str) -> int:
        """Documents of the label."""
        return sum(self.matrix[self.labels.index(label)])

    def guesses(self, label: str) -> int:
        """Documents said to be of the label."""
        place = self.labels.index(label)
        return sum(row[place] for row in self.matrix)

    def right(self, label: str) -> int:
        """Documents of the label that are said to be of it."""
        place = self.labels.index(label)
        return self.matrix[place][place]

    def recall(self, label: str) -> float | None:
        return _ratio(self.right(label), self.documents(label))

    def precision(self, label: str) -> float | None:
        return _ratio(self.right(label), self.guesses(label))

    def f1(self, label: str) -> float | None:
        return _ratio(2 * self.right(label), self.documents(label) + self.guesses(label))

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the labels that have one."""
        found = [f1 for f1 in map(self.f1, self.labels) if f1 is not None]
        return sum(found) / len(found) if found else None


def judge(labels: np.ndarray, texts: pa.Array, model: Classifier) -> Evaluation:
    """What a model says of labelled texts (normalised); labels are those of both, in alphabetical order."""
    guesses = pc.fill_null(classify(texts, model)[0], NONE).to_pylist()
    counts = Counter(zip(labels.tolist(), guesses, strict=True))
    known = tuple(sorted({*model.labels, *labels.tolist()}))
    matrix = tuple(tuple(counts[truth, guess] for guess in (*known, NONE)) for truth in known)
    return Evaluation(known, matrix)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
