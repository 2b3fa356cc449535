"""Compose: every document is in exactly the arcs that its place on the unrolled ring says."""

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from coursepack.pipeline.errors import PlanError
from coursepack.pipeline.hashing import CHOICE_BITS
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.stages.compose import (
    VALIDATION,
    Arc,
    Composition,
    Rings,
    atom_column,
    bucket_bits,
    bucket_sums,
    check_families,
    demands,
    families,
    make_atoms,
    plan,
)
from coursepack.stages.flow import allocate

END = 1 << CHOICE_BITS
CLASSES = [
    ("web", "a", "en"),
    ("web", "a", "de"),
    ("web", "b", ""),
    ("code", "c", ""),
]
Doc = tuple[int, int, int]  # atom, ring, tokens


def recipe(phases: list[dict[str, Any]], **more: Any) -> Recipe:
    table = {
        "name": "r",
        "workspace": "ws",
        "source": [{"name": "a", "layout": "jsonl", "paths": ["x"]}],
        "tokenizer": {"model": "m"},
        "phase": [
            {"name": f"p{n}", "length": 8, "mixture": {"*": 1.0}} | p for n, p in enumerate(phases)
        ],
    }
    return parse(table | more)


def rings_of(docs: list[Doc], atoms: int, bits: int = 4) -> Rings:
    """Rings that read from memory, rows in any order."""
    rows = np.array(docs, np.int64).reshape(-1, 3)
    cell, tokens = bucket_sums(rows[:, 0], rows[:, 1], rows[:, 2], bits)
    inside = np.zeros(max(atoms, 1) << bits, np.int64)
    inside[cell] = tokens

    def read(buckets: np.ndarray, shift: int) -> np.ndarray:
        return rows[np.isin(rows[:, 1] >> shift, buckets)][::-1]

    return Rings(inside.reshape(-1, 1 << bits), read)


def composed(made: Recipe, documents: list[Doc], bits: int = 4) -> tuple[Composition, list[Doc]]:
    """The plan for documents (class, ring, tokens), and the documents with their atoms."""
    atoms, index = make_atoms(made, CLASSES)
    docs = [(index[CLASSES[kind]], ring, tokens) for kind, ring, tokens in documents]
    return plan(made, atoms, index, rings_of(docs, len(atoms), bits)), docs


def taken(arc: Arc, docs: list[Doc]) -> list[int]:
    """The documents (by number) of an arc."""
    return [n for n, (atom, ring, _) in enumerate(docs) if atom == arc.atom
            and arc.low <= ring < arc.high]  # fmt: skip


def found_passes(made: Composition, docs: list[Doc]) -> dict[int, list[tuple[int, int]]]:
    """(stream, epoch) of each document wherever it is, the hold-out's stream too."""
    found = defaultdict(list)
    for arc in made.arcs:
        for n in taken(arc, docs):
            found[n].append((arc.stream, arc.epoch))
    return {n: sorted(where) for n, where in found.items()}


def expected_passes(
    made: Composition, docs: list[Doc], held_below: Mapping[str, int]
) -> dict[int, list[tuple[int, int]]]:
    """The same from the definition: a document goes where its first token lies on the unrolled ring.

    Documents of one hash value go together; one without tokens goes with the last token before the
    end of the ring, where it stands there.
    """
    stretches = {(arc.stream, arc.atom, arc.start, arc.tokens) for arc in made.arcs}
    found: dict[int, list[tuple[int, int]]] = {}
    for n, (atom, ring, _) in enumerate(docs):
        border = held_below.get(made.atoms[atom].domain, 0)
        if ring < border:
            if made.held[atom]:
                found[n] = [(len(made.streams) - 1, 0)]
            continue
        free = [(r, t) for a, r, t in docs if a == atom and r >= border]
        supply = sum(t for _, t in free)
        if not supply:
            continue
        start = min(sum(t for r, t in free if r < ring), supply - 1)
        where = []
        for stream, of, begin, tokens in stretches:
            if of != atom or made.streams[stream].phase == VALIDATION:
                continue
            first = -(-(begin - start) // supply)
            last = -(-(begin + tokens - start) // supply)
            where += [(stream, epoch) for epoch in range(first, last)]
        if where:
            found[n] = sorted(where)
    return found


def holdout_border(made: Composition) -> dict[str, int]:
    return {
        made.atoms[arc.atom].domain: arc.high
        for arc in made.arcs
        if made.streams[arc.stream].phase == VALIDATION
    }


_ring = st.one_of(
    st.integers(0, END - 1),
    st.integers(0, 3),  # equal ones, and the very beginning
    st.integers(END - 3, END - 1),
    st.sampled_from([k << (CHOICE_BITS - 4) for k in (1, 2, 7, 15)]),  # borders of buckets
    st.sampled_from([(k << (CHOICE_BITS - 4)) - 1 for k in (1, 2, 7, 15)]),
)
_tokens = st.one_of(st.integers(0, 4), st.integers(0, 60))
_documents = st.lists(st.tuples(st.integers(0, 3), _ring, _tokens), min_size=1, max_size=25)
_mixture = st.sampled_from(
    [
        {"*": 1.0},
        {"web": 1.0},
        {"web": 0.5, "web[lang=de]": 0.5},
        {"web": 0.7, "code": 0.3},
        {"b": 0.25, "web[lang=en]": 0.25, "*": 0.5},
    ]
)
_phase = st.fixed_dictionaries(
    {
        "tokens": st.one_of(st.integers(1, 30), st.integers(1, 400)),
        "mixture": _mixture,
        "max_epochs": st.sampled_from([1000.0, 1000.0, 1000.0, 30.4]),
        "length": st.sampled_from([8, {"code": 16, "default": 8}]),
    }
)


_of_each_class = st.tuples(
    *(st.tuples(st.just(kind), _ring, st.integers(1, 9)) for kind in range(4))
)


@given(
    st.lists(_phase, min_size=1, max_size=4),
    st.builds(lambda some, others: [*some, *others], _of_each_class, _documents),
    st.one_of(st.none(), st.integers(1, 6)),
    st.integers(4, 7),
    st.integers(1, 100),
)
def test_every_document_is_where_its_first_token_lies(phases, documents, holdout, bits, shard):
    more: dict[str, Any] = {"shards": {"tokens": shard}}
    if holdout:
        more["holdout"] = {"tokens": holdout, "length": 8}
    wanted = recipe(phases, **more)
    try:
        made, docs = composed(wanted, documents, bits)
    except PlanError:
        assume(False)
    borders = holdout_border(made)
    found = found_passes(made, docs)
    assert found == expected_passes(made, docs, borders)
    _check_no_repeats(made, docs, found)
    _check_amounts(wanted, made, docs)
    _check_shards(made, docs)
    if holdout:
        _check_holdout(made, docs, found, holdout)


def _check_no_repeats(made, docs, found):
    """No document twice in an epoch; none begins epoch n + 1 before all have been in epoch n."""
    validation = {n for n, s in enumerate(made.streams) if s.phase == VALIDATION}
    least, most = defaultdict(lambda: 1 << 60), defaultdict(int)
    for n, (atom, ring, tokens) in enumerate(docs):
        where = [(stream, epoch) for stream, epoch in found.get(n, []) if stream not in validation]
        epochs = [epoch for _, epoch in where]
        assert sorted(epochs) == list(range(len(epochs)))
        assert [epoch for _, epoch in sorted(where)] == sorted(epochs)  # phases follow each other
        held = ring < holdout_border(made).get(made.atoms[atom].domain, 0)
        assert not (held and epochs)
        if tokens and not held:
            least[atom], most[atom] = (
                min(least[atom], len(epochs)),
                max(most[atom], len(epochs)),
            )
    assert all(most[atom] - least[atom] <= 1 for atom in least)


def _check_amounts(wanted, made, docs):
    supply = made.inside.sum(1) - made.held
    planned, real, group = defaultdict(int), defaultdict(int), defaultdict(int)
    for atom, ring, tokens in docs:
        group[atom, ring] += tokens
    for arc in made.arcs:
        planned[arc.stream, arc.atom, arc.start] = arc.tokens
        real[arc.stream, arc.atom, arc.start] += sum(docs[n][2] for n in taken(arc, docs))
    for (stream, atom, start), tokens in planned.items():
        longest = max(t for (a, _), t in group.items() if a == atom)
        assert abs(real[stream, atom, start] - tokens) <= longest
    for number, stream in enumerate(made.streams):
        assert stream.tokens == sum(t for (s, _, _), t in planned.items() if s == number)
    consumed = defaultdict(int)
    for phase in wanted.phase:
        streams = [n for n, s in enumerate(made.streams) if s.phase == phase.name]
        assert sum(made.streams[n].tokens for n in streams) == phase.tokens
        for (stream, atom, start), tokens in sorted(planned.items()):
            if stream in streams:
                assert start == consumed[atom]
                consumed[atom] += tokens
                assert consumed[atom] <= floor(Fraction(str(phase.max_epochs)) * int(supply[atom]))


def _check_shards(made, docs):
    supply = made.inside.sum(1) - made.held
    for arc in made.arcs:
        rings = np.sort(np.array([docs[n][1] for n in taken(arc, docs)], np.int64))
        before = np.array(
            [sum(t for a, r, t in docs if a == arc.atom and r < ring) for ring in rings]
        )
        exact = before - made.held[arc.atom] + arc.epoch * supply[arc.atom] - arc.start
        off = made.inside[arc.atom][rings >> (CHOICE_BITS - made.bits)]  # exact to one bucket
        shards = made.streams[arc.stream].shards
        shard, place = made.shard_and_order(arc, rings)
        assert shard.dtype == place.dtype == np.int64
        assert ((place >= 0) & (place < 1 << 52)).all()
        exact = np.clip(exact, 0, max(arc.tokens - 1, 0))
        assert (np.abs(place * (arc.tokens / (1 << 52)) - exact) <= off + 1e-6).all()
        assert ((shard >= 0) & (shard < shards)).all()
        assert (np.abs(shard - place * (shards / (1 << 52))) <= 1).all()
        assert (np.diff(shard) >= 0).all()
        assert (np.diff(place) >= 0).all()


def _check_holdout(made, docs, found, asked):
    held, there = defaultdict(int), defaultdict(list)
    for n, (atom, _, tokens) in enumerate(docs):
        there[made.atoms[atom].domain].append(tokens)
        if any(made.streams[stream].phase == VALIDATION for stream, _ in found.get(n, [])):
            held[made.atoms[atom].domain] += tokens
    for domain in {atom.domain for atom in made.atoms if atom.selectors}:
        assert asked <= held[domain]
    assert sum(held.values()) == made.held.sum() == made.streams[-1].tokens


@given(_documents, st.integers(4, 8))
def test_positions_are_exact_at_buckets_and_never_turn_back(documents, bits):
    docs = [(0, ring, tokens) for _, ring, tokens in documents]
    rings = rings_of(docs, 1, bits)
    made = Composition((), {}, rings.before, rings.inside, np.zeros(1, np.int64), (), (), ())
    assert made.bits == bits
    shift = CHOICE_BITS - bits
    values = sorted({ring for _, ring, _ in docs} | {k << shift for k in range(1 << bits)})
    exact = np.array([sum(t for _, r, t in docs if r < value) for value in values])
    found = made.position(0, np.array(values))
    inside = rings.inside[0][np.array(values) >> shift]
    assert (np.abs(found - exact) <= inside).all()
    assert (np.diff(found) >= 0).all()
    at_border = np.array(values) % (1 << shift) == 0
    assert np.array_equal(found[at_border], exact[at_border])


@example([(0, 0, 3), (0, 1, 4), (1, 1, 5)], 2)  # neighbours: the border is the next one's value
@given(_documents, st.integers(-1, 1600))
def test_a_border_has_the_tokens_before_it_and_no_more_than_it_must(documents, tokens):
    docs = [(kind % 2, ring, size) for kind, ring, size in documents]
    rings = rings_of(docs, 2)
    for members in ([0], [1], [0, 1]):
        mine = [(ring, size) for atom, ring, size in docs if atom in members]
        rings.fetch([(members, tokens)])
        border = rings.border(members, tokens)
        below = sum(size for ring, size in mine if ring < border)
        if tokens > sum(size for _, size in mine):
            assert border == END
            continue
        assert below >= max(tokens, 0)
        assert border == 0 or sum(size for ring, size in mine if ring < border - 1) < tokens
        for atom in members:
            expected = sum(size for a, ring, size in docs if a == atom and ring < border)
            assert rings.tokens_below(atom, border) == expected


def _ring(*tokens: int) -> list[Doc]:
    """Documents of code, evenly spaced."""
    step = END // len(tokens)
    return [(3, n * step + 5, size) for n, size in enumerate(tokens)]


@pytest.mark.parametrize(
    ("tokens", "budgets", "expected"),
    [
        # one document: it comes again each time its first token does
        ([10], [3, 3, 3, 3, 9], [[0], [], [], [0], [0]]),
        ([10], [25], [[0, 0, 0]]),
        # arcs shorter than a document
        ([10, 10], [4, 4, 4, 4, 4], [[0], [], [1], [], []]),
        # the end of the ring, met exactly
        ([10, 10, 10], [30, 30], [[0, 1, 2], [0, 1, 2]]),
        ([10, 10, 10], [10, 20, 10, 20], [[0], [1, 2], [0], [1, 2]]),
        ([10, 10, 10], [29, 1, 1], [[0, 1, 2], [], [0]]),
        ([10, 10, 10], [21, 9, 30], [[0, 1, 2], [], [0, 1, 2]]),
        ([10, 10, 10], [20, 11], [[0, 1], [2, 0]]),
        # no tokens: at the beginning, in the middle and at the end
        ([0, 10, 0, 10, 0], [10, 10], [[0, 1], [2, 3, 4]]),
        ([0, 10, 0, 10, 0], [11, 9, 20], [[0, 1, 2, 3], [4], [0, 1, 2, 3, 4]]),
    ],
)
def test_tiny_rings(tokens, budgets, expected):
    phases = [{"tokens": b, "mixture": {"code": 1.0}, "max_epochs": 5} for b in budgets]
    made, docs = composed(recipe(phases), _ring(*tokens))
    found = [[n for arc in made.arcs if arc.stream == s for n in taken(arc, docs)]
             for s in range(len(budgets))]  # fmt: skip
    assert found == expected


def test_documents_without_tokens_are_not_on_both_sides_of_the_holdout():
    # the domain's border is set by the second atom, beyond documents of the first that weigh nothing
    docs = [(0, 1, 10), (0, 2, 0), (1, 3, 10), (0, 4, 0), (0, 5, 30), (1, 6, 30)]
    phase = {"tokens": 40, "mixture": {"web": 0.5, "web[lang=de]": 0.5}}
    made, docs = composed(recipe([phase], holdout={"tokens": 20, "length": 8}), docs)
    found = found_passes(made, docs)
    assert {n: stream for n, [(stream, _)] in found.items()} == {0: 1, 1: 1, 2: 1, 3: 0, 4: 0, 5: 0}


def test_fractional_epochs_stop_in_the_middle_of_the_ring():
    phase = {"tokens": 23, "mixture": {"code": 1.0}, "max_epochs": 2.3}
    made, docs = composed(recipe([phase]), _ring(*[1] * 10))
    assert [(arc.epoch, len(taken(arc, docs))) for arc in made.arcs] == [(0, 10), (1, 10), (2, 3)]
    with pytest.raises(PlanError, match="asks for more than the corpus can supply"):
        composed(recipe([phase | {"tokens": 24}]), _ring(*[1] * 10))


def test_a_holdout_of_half_a_domain_is_refused():
    wanted = recipe([{"tokens": 1}], holdout={"tokens": 15, "length": 8})
    with pytest.raises(PlanError, match=r"asks for 15 tokens of each domain, but 'code' has 30"):
        composed(wanted, _ring(10, 10, 10))


def test_an_earlier_phase_does_not_depend_on_a_later_one():
    phases = [{"tokens": 20, "max_epochs": 9}, {"tokens": 30, "max_epochs": 9}]
    docs = [(0, 5, 7), (0, END // 2, 30), (3, 9, 5), (3, END - 1, 8)]
    alone, _ = composed(recipe(phases[:1]), docs)
    both, _ = composed(recipe(phases), docs)
    assert both.arcs[: len(alone.arcs)] == alone.arcs


def test_atoms_are_domains_cut_by_what_selectors_tell_apart():
    wanted = recipe([{"tokens": 1, "mixture": {"web": 0.5, "web[lang=de]": 0.25, "c": 0.25}}])
    classes = [*CLASSES, ("web", "c", "de"), ("math", "a", "en")]
    atoms, index = make_atoms(wanted, classes)
    assert [str(atom) for atom in atoms] == [
        "code (c)",
        "math (unused)",
        "web (c, web, web[lang=de])",
        "web (web)",
        "web (web, web[lang=de])",
    ]
    assert index["web", "a", "en"] == index["web", "b", ""] == 3
    assert make_atoms(wanted, classes[::-1]) == (atoms, index)
    assert [d.atoms for d in demands(wanted, atoms)] == [(2, 3, 4), (2, 4), (0, 2)]


def test_the_atom_of_each_row():
    table = pa.table(
        {
            "domain": ["web", "web", "web", "code"],
            "source": ["a", "a", "b", "zzz"],
            "language": pa.array(["de", "en", None, None]),
        }
    )
    classes = {key: number for number, key in enumerate(CLASSES)}
    assert atom_column(classes, table).tolist() == [1, 0, 2, -1]
    assert atom_column(classes, table.slice(1, 2)).tolist() == [0, 2]
    assert atom_column(classes, table.slice(0, 0)).tolist() == []
    assert atom_column(classes, pa.table(table.schema.empty_table())).dtype == np.int64


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    st.integers(1, 10**13),
    st.integers(7, 16),
)
def test_demands_add_up_to_the_budget(shares, tokens, digits):
    weights = [round(share / sum(shares), digits) for share in shares]
    assume(min(weights) > 0 and abs(sum(weights) - 1) < 9e-7)
    mixture = {f"s{n}": weight for n, weight in enumerate(weights)}
    found = demands(recipe([{"tokens": tokens, "mixture": mixture}]), [])
    assert sum(d.tokens for d in found) == tokens
    for demand, weight in zip(found, weights, strict=True):
        exact = tokens * Fraction(str(weight)) / sum(Fraction(str(w)) for w in weights)
        assert floor(exact) <= demand.tokens <= floor(exact) + 1


@pytest.mark.parametrize(
    ("tokens", "mixture", "expected"),
    [
        (100, {"a": 0.29, "b": 0.71}, [29, 71]),
        (10, {"b": 0.25, "a": 0.25, "c": 0.5}, [2, 3, 5]),  # of equal remainders, the first by name
        (1, {"b": 0.5, "a": 0.5}, [0, 1]),
        (900_000_000_000, {"a": 0.3333333, "b": 0.3333333, "c": 0.3333333}, [300_000_000_000] * 3),
    ],
)
def test_largest_remainders(tokens, mixture, expected):
    wanted = recipe([{"tokens": tokens, "mixture": mixture}])
    assert [d.tokens for d in demands(wanted, [])] == expected


@pytest.mark.parametrize(
    ("documents", "bits"),
    [(0, 4), (1023, 4), (1024, 5), (64 << 10, 11), (64 << 16, 16), (10**11, 16)],
)
def test_bits_of_a_bucket(documents, bits):
    assert bucket_bits(documents) == bits


def _family(max_epochs: float, tokens: int, mixture: dict[str, float]) -> None:
    """Plan 100 tokens each of a source and of two that derive from it, and 100 of another."""
    origin = {"derived_from": "books", "generator": "m"}
    names = ("books", "rephrased", "questions", "news")
    made = recipe(
        [{"tokens": tokens, "mixture": mixture, "max_epochs": max_epochs}],
        source=[
            {"name": name, "layout": "jsonl", "paths": ["x"], "domain": "web"}
            | ({"origin": origin} if name in ("rephrased", "questions") else {})
            for name in names
        ],
    )
    classes = [("web", name, "en") for name in names]
    atoms, index = make_atoms(made, classes)
    assert sorted(a.source for a in atoms) == ["", "books", "questions", "rephrased"]
    supply = dict.fromkeys(range(len(atoms)), 100)
    taken = {}
    for demand, parts in zip(wanted := demands(made, atoms), allocate(supply, wanted), strict=True):
        for atom, count in parts.items():
            taken[demand.phase, atom] = taken.get((demand.phase, atom), 0) + count
    check_families(made, atoms, supply, taken)
    assert len(set(index.values())) == 4


def test_derived_text_counts_towards_its_parents_epochs():
    _family(1, 100, {"web": 1})  # a quarter of each
    _family(1, 100, {"books": 0.5, "rephrased": 0.5})
    _family(2, 200, {"books": 0.5, "rephrased": 0.5})
    _family(1, 100, {"news": 1})  # no relation
    message = (
        r"passes over 'books' and what derives from it add up to 1\.2 \(0\.6 of 'books' \+ 0\.6 of "
        r"'rephrased'\), but max_epochs is 1; .* raise phase\.p0?\.max_epochs to 1\.2"
    )
    with pytest.raises(PlanError, match=message):
        _family(1, 120, {"books": 0.5, "rephrased": 0.5})
    with pytest.raises(PlanError, match=r"0\.5 of 'rephrased' \+ 0\.6 of 'questions'"):
        _family(1, 110, {"rephrased": 50 / 110, "questions": 60 / 110})


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({"b": "a", "c": "b"}, {"a": ("b", "c"), "b": ("c",)}),
        ({"a": "a"}, {}),
        ({"a": "b", "b": "a"}, {"b": ("a",), "a": ("b",)}),
        ({"b": "a", "c": "a"}, {"a": ("b", "c")}),
        ({"b": "elsewhere"}, {}),
    ],
)
def test_families_reach_over_generations(parents, expected):
    made = recipe(
        [{"tokens": 1}],
        source=[
            {"name": name, "layout": "jsonl", "paths": ["x"]}
            | ({"origin": {"derived_from": parents[name]}} if name in parents else {})
            for name in "abc"
        ],
    )
    assert families(made) == expected
