"""Counts of n successive words against a twin on tuples."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.copies import gram_scratch
from coursepack.stages.grams import COUNTS, LEAST, MOST, SIZES, count_grams


def twin(words: list[str]) -> list[list[int]]:
    found = []
    for n in range(LEAST, MOST + 1):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        if not grams:
            found.append([0] * COUNTS)
            continue
        times = Counter(grams)
        top, most = times.most_common(1)[0]
        covered = {i + k for i, gram in enumerate(grams) if times[gram] > 1 for k in range(n)}
        sizes = [sum(map(len, gram)) for gram in grams]
        copies = sum(size for gram, size in zip(grams, sizes, strict=True) if times[gram] > 1)
        letters = sum(len(words[i]) for i in covered)
        found.append([most, sum(map(len, top)), copies, sum(sizes), letters])
    return found


WORDS = st.one_of(
    st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=40),
    st.lists(
        st.sampled_from([["one", "two", "three", "four", "five", "six"], ["x"]]), max_size=12
    ).map(lambda lists: [word for words in lists for word in words]),
    st.text("abcdefghij", max_size=60).map(list),
)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_against_the_twin(texts: list[list[str]]) -> None:
    scratch = gram_scratch(max(map(len, texts)))
    for words in texts:  # the arrays are used again
        hashes = np.array([hash(word) for word in words], np.int64).view(np.uint64)
        ends = np.cumsum([len(word) for word in words]).astype(np.int32)
        found = np.zeros((SIZES, COUNTS), np.int64)
        count_grams(hashes, ends, *scratch, found)
        assert found.tolist() == twin(words)
