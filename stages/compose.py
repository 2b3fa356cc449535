"""Step 5, compose: which stretch of which documents goes to which phase, length and shard.

Documents of one domain that the same selectors match are an *atom*. Its *ring* is its documents in the order of
a hash; a phase takes the next *arc* of it, so nothing repeats before the ring is exhausted. An arc is an
interval of hash values and an epoch, so what a phase holds is said in a few numbers, and a task that
reads a tokens file knows alone where each document goes. Positions on the ring come from a histogram of
tokens by leading hash bits; borders of arcs are exact to the document.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.errors import PlanError
from coursepack.pipeline.hashing import CHOICE_BITS
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe, Selector
from coursepack.pipeline.tasks import table_of
from coursepack.pipeline.workspace import Record
from coursepack.stages.encode import Encoded
from coursepack.stages.flow import Demand, allocate

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

VALIDATION = "validation"
_END = 1 << CHOICE_BITS
_BUCKET_DOCUMENTS = 64  # wanted in a bucket of the histogram
_NARROW = ["domain", "source", "language", "ring", "tokens"]
_FRACTION_BITS = 20  # of a bucket, to place a document inside it


@dataclass(frozen=True)
class Atom:
    """Documents of one domain that the same selectors match.

    A source that others derive from, and each of these, has atoms of its own, so that each has a ring: else
    one pass over a ring could show a text and its paraphrase both.
    """

    domain: str
    selectors: tuple[str, ...]
    source: str = ""  # where it is of one source alone

    def __str__(self) -> str:
        of = f" of {self.source}" if self.source else ""
        return f"{self.domain}{of} ({', '.join(self.selectors) or 'unused'})"


@dataclass(frozen=True)
class Stream:
    """The sequences of one length in a phase: the unit that is cut into shards."""

    phase: str
    length: int
    targets: str
    packing: str
    shards: int
    tokens: int  # planned


@dataclass(frozen=True)
class Stretch:
    """What a stream takes of an atom: [start, start + tokens) of its unrolled ring."""

    stream: int
    atom: int
    start: int
    tokens: int


@dataclass(frozen=True)
class Arc:
    """Documents of `atom` with low <= ring < high, in their pass number `epoch`, go to `stream`.

    `start` is where the phase's whole arc begins on the unrolled ring, `tokens` its length: a document's
    place in the phase is its position along it.
    """

    stream: int
    atom: int
    epoch: int
    low: int
    high: int
    start: int
    tokens: int


@dataclass(frozen=True)
class Composition:
    """Where every document goes. Small: it travels to the executors in a closure."""

    atoms: tuple[Atom, ...]
    classes: dict[tuple[str, str, str], int]  # (domain, source, language) -> atom
    before: np.ndarray  # int64 (atoms, 2^bits): tokens of the ring before each bucket
    inside: np.ndarray  # int64 (atoms, 2^bits): tokens of each bucket
    held: np.ndarray  # int64 (atoms,): tokens of the hold-out, the beginning of each ring
    streams: tuple[Stream, ...]
    arcs: tuple[Arc, ...]
    planned: tuple[tuple[str, str, int], ...]  # (phase, selector, tokens)

    @property
    def bits(self) -> int:
        """Leading bits of the hash that name a bucket."""
        return int(self.before.shape[1]).bit_length() - 1

    def atom_of(self, table: pa.Table) -> np.ndarray:
        """The atom of each row of a tokens file (int64); -1 for documents no phase wants."""
        return atom_column(self.classes, table)

    def position(self, atom: int, ring: np.ndarray) -> np.ndarray:
        """Tokens of the atom's ring before each hash value, hold-out excluded: exact at a bucket's
        border, in proportion inside."""
        shift = CHOICE_BITS - self.bits
        bucket = ring >> shift
        part = (ring & ((1 << shift) - 1)) >> (shift - _FRACTION_BITS)
        inside = (self.inside[atom][bucket] * part) >> _FRACTION_BITS
        found: np.ndarray = self.before[atom][bucket] + inside - self.held[atom]
        return found

    def shard_and_order(self, arc: Arc, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For documents of an arc: the shard within its stream, and their place in the phase, both int64."""
        supply = int(self.before[arc.atom][-1] + self.inside[arc.atom][-1] - self.held[arc.atom])
        along = self.position(arc.atom, ring) + arc.epoch * supply - arc.start
        along = np.clip(along, 0, max(arc.tokens - 1, 0))
        shards = self.streams[arc.stream].shards
        place = along.astype(np.float64) / max(arc.tokens, 1)
        shard = np.minimum((along * shards) // max(arc.tokens, 1), shards - 1)
        return shard, (place * float(1 << 52)).astype(np.int64)


def atom_column(classes: Mapping[tuple[str, str, str], int], table: pa.Table) -> np.ndarray:
    """The atom of each row by its (domain, source, language); -1 where `classes` has no entry."""
    keys = pc.binary_join_element_wise(
        table["domain"], table["source"], pc.fill_null(table["language"], ""), "/"
    )
    codes = (
        keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    ).dictionary_encode()
    named = {"/".join(key): atom for key, atom in classes.items()}
    lookup = np.array([named.get(k.as_py(), -1) for k in codes.dictionary] or [-1], np.int64)
    found: np.ndarray = lookup[codes.indices.to_numpy()]
    return found


def matches(selector: Selector, domain: str, source: str, language: str) -> bool:
    """Whether a selector takes documents of this class."""
    return selector.name in ("*", domain, source) and selector.lang in (None, language)


def make_atoms(
    recipe: Recipe, classes: Sequence[tuple[str, str, str]]
) -> tuple[tuple[Atom, ...], dict[tuple[str, str, str], int]]:
    """The atoms of a recipe, sorted, and the atom of each (domain, source, language)."""
    texts = sorted({text for phase in recipe.phase for text in phase.mixture})
    parsed = {text: Selector.parse(text) for text in texts}
    related = set().union(*({parent, *derived} for parent, derived in families(recipe).items()))
    of_class = {
        key: Atom(
            key[0],
            tuple(text for text in texts if matches(parsed[text], *key)),
            key[1] if key[1] in related else "",
        )
        for key in classes
    }
    atoms = tuple(sorted(set(of_class.values()), key=lambda a: (a.domain, a.selectors, a.source)))
    index = {atom: number for number, atom in enumerate(atoms)}
    return atoms, {key: index[atom] for key, atom in of_class.items()}


def families(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """The sources of the recipe that others are derived from, and those, directly or not, by `origin.derived_from`."""
    names = {source.name for source in recipe.source}
    parents = {
        source.name: source.origin.derived_from
        for source in recipe.source
        if source.origin and source.origin.derived_from in names
    }
    found: dict[str, tuple[str, ...]] = {}
    for name in parents:
        above, seen = parents.get(name), {name}
        while above is not None and above not in seen:
            found[above] = (*found.get(above, ()), name)
            seen.add(above)
            above = parents.get(above)
    return found


def check_families(
    recipe: Recipe,
    atoms: Sequence[Atom],
    supply: Mapping[int, int],
    taken: Mapping[tuple[str, int], int],
) -> None:
    """Raises PlanError where a source and what derives from it are together passed over too often.

    A text may have a paraphrase in each derived source, so its exposures are the sum of the passes over
    all of them; by the end of a phase that draws on any of them, that sum is within its `max_epochs`.
    """
    for parent, derived in families(recipe).items():
        members = (parent, *derived)
        drawn = dict.fromkeys(range(len(atoms)), 0)
        for phase in recipe.phase:
            for atom in drawn:
                drawn[atom] += taken.get((phase.name, atom), 0)
            if not any(atoms[a].source in members for p, a in taken if p == phase.name):
                continue
            passes = {
                name: max(
                    (
                        Fraction(drawn[a], supply[a])
                        for a in drawn
                        if atoms[a].source == name and supply[a]
                    ),
                    default=Fraction(0),
                )
                for name in members
            }
            total = sum(passes.values())
            if total > Fraction(str(phase.max_epochs)):
                said = " + ".join(f"{float(n):.3g} of {name!r}" for name, n in passes.items() if n)
                raise PlanError(
                    f"phase {phase.name!r}: passes over {parent!r} and what derives from it add up to "
                    f"{float(total):.3g} ({said}), but max_epochs is {phase.max_epochs:g}; derived text counts "
                    f"towards its parent's cap: raise phase.{phase.name}.max_epochs to "
                    f"{math.ceil(total * 100) / 100:g}, or lower the tokens or weights of these sources"
                )


def demands(recipe: Recipe, atoms: Sequence[Atom]) -> list[Demand[int]]:
    """What each phase asks of each selector, in whole tokens that add up to the phase's budget."""
    wanted = []
    for phase in recipe.phase:
        # as they are written, and to their sum: 0.3333333 three times leaves no token out
        weights = {name: Fraction(str(weight)) for name, weight in phase.mixture.items()}
        whole = sum(weights.values())
        exact = {name: phase.tokens * weight / whole for name, weight in weights.items()}
        tokens = {name: math.floor(amount) for name, amount in exact.items()}
        rest = phase.tokens - sum(tokens.values())
        for name in sorted(exact, key=lambda n: (tokens[n] - exact[n], n))[:rest]:
            tokens[name] += 1
        for name, amount in tokens.items():
            drawn = tuple(number for number, atom in enumerate(atoms) if name in atom.selectors)
            wanted.append(Demand(phase.name, name, amount, drawn, phase.max_epochs))
    return wanted


def compose(
    spark: "SparkSession", recipe: Recipe, encoded: Encoded, progress: Progress
) -> Composition:
    """Plan the whole curriculum; raises PlanError where the corpus cannot supply it."""
    sizes = encoded.classes()
    atoms, classes = make_atoms(recipe, list(sizes))
    with progress.step("compose", total_tasks=len(encoded.records)) as step:
        with step.spark(spark):
            files = _TokenFiles(spark, encoded, classes, recipe.execution.partitions)
            composition = plan(recipe, atoms, classes, files.rings(len(atoms)))
        step.done(rows=sum(documents for documents, _ in sizes.values()))
    return composition


def plan(
    recipe: Recipe,
    atoms: tuple[Atom, ...],
    classes: dict[tuple[str, str, str], int],
    rings: "Rings",
) -> Composition:
    """The curriculum on these rings; raises PlanError where they cannot supply it."""
    thresholds, held = _holdout(recipe, atoms, rings)
    wanted = demands(recipe, atoms)
    supply = {number: rings.tokens([number]) - int(held[number]) for number in range(len(atoms))}
    taken: dict[tuple[str, int], int] = {}
    for demand, parts in zip(wanted, allocate(supply, wanted), strict=True):
        for atom, tokens in parts.items():
            taken[demand.phase, atom] = taken.get((demand.phase, atom), 0) + tokens
    check_families(recipe, atoms, supply, taken)
    streams, stretches = _streams(recipe, atoms, taken)
    first = [thresholds.get(atom.domain, 0) for atom in atoms]
    arcs = _arcs(stretches, held, first, rings)
    if recipe.holdout:
        streams, arcs = _add_validation(recipe, atoms, streams, arcs, thresholds, held)
    planned = tuple((d.phase, d.selector, d.tokens) for d in wanted)
    return Composition(
        atoms, classes, rings.before, rings.inside, held, tuple(streams), tuple(arcs), planned
    )


def bucket_bits(documents: int) -> int:
    """How many leading bits of the hash name a bucket; from the number of documents alone."""
    return min(16, max(4, (documents // _BUCKET_DOCUMENTS).bit_length()))


def _holdout(
    recipe: Recipe, atoms: Sequence[Atom], rings: "Rings"
) -> tuple[dict[str, int], np.ndarray]:
    """For each domain in use, the hash value below which its documents are held out; tokens by atom."""
    members: dict[str, list[int]] = {}
    for number, atom in enumerate(atoms):
        if recipe.holdout and atom.selectors:
            members.setdefault(atom.domain, []).append(number)
    if not recipe.holdout or not members:
        return {}, np.zeros(len(atoms), np.int64)
    asked = recipe.holdout.tokens
    for domain, numbers in members.items():
        if (total := rings.tokens(numbers)) <= 2 * asked:
            raise PlanError(
                f"holdout.tokens asks for {asked:,} tokens of each domain, but {domain!r} has {total:,} in all; "
                "hold out less than half of the smallest domain"
            )
    rings.fetch([(numbers, asked) for numbers in members.values()])
    thresholds = {domain: rings.border(numbers, asked) for domain, numbers in members.items()}
    held = [
        rings.tokens_below(number, thresholds.get(atom.domain, 0)) if atom.selectors else 0
        for number, atom in enumerate(atoms)
    ]
    for domain, numbers in members.items():
        if sum(held[number] for number in numbers) == rings.tokens(numbers):
            raise PlanError(
                f"the hold-out of {domain!r} would take all of it, as whole documents are held out; "
                f"lower holdout.tokens ({asked:,})"
            )
    return thresholds, np.array(held, np.int64)


def _streams(
    recipe: Recipe, atoms: Sequence[Atom], taken: Mapping[tuple[str, int], int]
) -> tuple[list[Stream], list[Stretch]]:
    """The streams of all phases, and what each takes of each atom's ring, one after the other."""
    streams: list[Stream] = []
    stretches: list[Stretch] = []
    consumed = [0] * len(atoms)
    for phase in recipe.phase:
        for length in phase.lengths:
            drawn = {
                atom: tokens
                for (name, atom), tokens in sorted(taken.items())
                if name == phase.name and phase.length_of(atoms[atom].domain) == length
            }
            total = sum(drawn.values())
            if not total:
                continue
            count = max(1, round(total / recipe.shards.tokens))
            streams.append(Stream(phase.name, length, phase.targets, phase.packing, count, total))
            for atom, tokens in drawn.items():
                stretches.append(Stretch(len(streams) - 1, atom, consumed[atom], tokens))
                consumed[atom] += tokens
    return streams, stretches


def _arcs(
    stretches: Sequence[Stretch], held: np.ndarray, first: Sequence[int], rings: "Rings"
) -> list[Arc]:
    """Stretches of the unrolled rings as intervals of hash values, one for each pass.

    A document is in the arc that holds its first token. A pass goes from `first`, where the hold-out
    of the atom ends, to the end of the ring, so documents without tokens are in it too.
    """
    passes = [
        (stretch, epoch, low, high, rings.tokens([stretch.atom]) - int(held[stretch.atom]))
        for stretch in stretches
        for epoch, low, high in _passes(stretch, rings, held)
    ]
    edges = [
        ([s.atom], int(held[s.atom]) + at) for s, _, low, high, _ in passes for at in (low, high)
    ]
    rings.fetch(edges)
    arcs = []
    for stretch, epoch, low, high, supply in passes:
        begin, end = (
            rings.border([stretch.atom], int(held[stretch.atom]) + at) for at in (low, high)
        )
        begin = first[stretch.atom] if low == 0 else begin
        end = _END if high == supply else end
        arcs.append(
            Arc(stretch.stream, stretch.atom, epoch, begin, end, stretch.start, stretch.tokens)
        )
    return arcs


def _passes(stretch: Stretch, rings: "Rings", held: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(epoch, low, high): the passes over the ring that a stretch makes, in tokens from its beginning."""
    supply = rings.tokens([stretch.atom]) - int(held[stretch.atom])
    start, end = stretch.start, stretch.start + stretch.tokens
    for epoch in range(start // supply, -(-end // supply)):
        yield epoch, max(start - epoch * supply, 0), min(end - epoch * supply, supply)


def _add_validation(
    recipe: Recipe,
    atoms: Sequence[Atom],
    streams: Sequence[Stream],
    arcs: Sequence[Arc],
    thresholds: Mapping[str, int],
    held: np.ndarray,
) -> tuple[list[Stream], list[Arc]]:
    """The hold-out as a phase called `validation`: the beginning of each ring."""
    assert recipe.holdout
    tokens = int(held.sum())
    count = max(1, round(tokens / recipe.shards.tokens))
    stream = Stream(VALIDATION, recipe.holdout.length, "shifted", "best_fit", count, tokens)
    number = len(streams)
    more = [
        Arc(number, atom, 0, 0, thresholds[atoms[atom].domain], -int(held[atom]), int(held[atom]))
        for atom in range(len(atoms))
        if held[atom]
    ]
    return [*streams, stream], [*arcs, *more]


class _TokenFiles:
    """Reads the narrow columns of the tokens files, inside Spark's tasks."""

    def __init__(
        self,
        spark: "SparkSession",
        encoded: Encoded,
        classes: Mapping[tuple[str, str, str], int],
        partitions: int,
    ) -> None:
        self._spark, self._encoded, self._classes = spark, encoded, dict(classes)
        self._records: list[Record] = list(encoded.records.values())
        self._partitions = partitions

    def rings(self, atoms: int) -> "Rings":
        bits = bucket_bits(sum(record.rows for record in self._records))
        return Rings(self._histogram(max(atoms, 1), bits), self._documents)

    def _histogram(self, atoms: int, bits: int) -> np.ndarray:
        """Tokens by (atom, bucket), int64."""

        def sums(atom: np.ndarray, ring: np.ndarray, tokens: np.ndarray) -> list[np.ndarray]:
            return list(bucket_sums(atom, ring, tokens, bits))

        frame = self._frame(sums, "cell bigint, tokens bigint")
        flat = np.zeros(atoms << bits, np.int64)
        for cell, tokens in frame.groupBy("cell").sum("tokens").collect():
            flat[cell] = tokens
        return flat.reshape(-1, 1 << bits)

    def _documents(self, buckets: np.ndarray, shift: int) -> np.ndarray:
        def pick(atom: np.ndarray, ring: np.ndarray, tokens: np.ndarray) -> list[np.ndarray]:
            hit = np.isin(ring >> shift, buckets)
            return [atom[hit], ring[hit], tokens[hit]]

        rows = self._frame(pick, "atom bigint, ring bigint, tokens bigint").collect()
        return np.array([tuple(row) for row in rows], np.int64).reshape(-1, 3)

    def _frame(self, select: Any, schema: str) -> "DataFrame":
        """What `select(atom, ring, tokens)` gives for each tokens file; all int64."""
        dataset, records, classes = self._encoded.dataset, self._records, self._classes
        names = [part.split()[0] for part in schema.split(",")]

        def read(number: int) -> Iterator[pa.RecordBatch]:
            table = dataset.read(records[number], _NARROW)
            atom = atom_column(classes, table)
            columns = select(atom, table["ring"].to_numpy(), table["tokens"].to_numpy())
            yield pa.record_batch([pa.array(c.astype(np.int64)) for c in columns], names)

        return table_of(self._spark, range(len(records)), read, schema, self._partitions)


def bucket_sums(
    atom: np.ndarray, ring: np.ndarray, tokens: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells (`atom << bits | bucket`, ascending) and the tokens in each, int64."""
    cell, index = np.unique((atom << bits) + (ring >> (CHOICE_BITS - bits)), return_inverse=True)
    total = np.zeros(len(cell), np.int64)
    np.add.at(total, index, tokens)
    return cell, total


class Rings:
    """What compose must know of the rings: sums by bucket, and the documents of single buckets.

    `inside` is int64 (atoms, 2^bits); `read(buckets, shift)` gives (atom, ring, tokens) of the documents
    with `ring >> shift` among `buckets`, int64 (n, 3), in any order.
    """

    def __init__(self, inside: np.ndarray, read: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self.inside = inside
        self.before = np.cumsum(inside, axis=1) - inside
        self._read = read
        self._shift = CHOICE_BITS - (int(inside.shape[1]).bit_length() - 1)
        self._rows: dict[int, np.ndarray] = {}

    def tokens(self, members: Sequence[int]) -> int:
        """All tokens of the members' rings, hold-out included."""
        return int(self.inside[list(members)].sum())

    def _bucket_at(self, members: Sequence[int], tokens: int) -> int:
        """The bucket in which the members' tokens reach `tokens`; one past the last if they do not."""
        inside, before = self.inside[list(members)].sum(0), self.before[list(members)].sum(0)
        return int(np.searchsorted(before + inside, tokens))

    def fetch(self, edges: Sequence[tuple[Sequence[int], int]]) -> None:
        """Read the documents of the buckets in which borders lie, all in one job."""
        buckets = {self._bucket_at(members, tokens) for members, tokens in edges if tokens > 0}
        wanted = np.array(sorted(buckets - self._rows.keys() - {self.inside.shape[1]}), np.int64)
        if not len(wanted):
            return
        found = self._read(wanted, self._shift)
        found = found[np.lexsort((found[:, 2], found[:, 0], found[:, 1]))]
        for bucket in wanted.tolist():
            self._rows[bucket] = found[found[:, 1] >> self._shift == bucket]

    def border(self, members: Sequence[int], tokens: int) -> int:
        """The smallest hash value with at least `tokens` of the members' tokens before it."""
        if tokens <= 0:
            return 0
        bucket = self._bucket_at(members, tokens)
        if bucket == self.inside.shape[1]:
            return _END
        rows = self._rows[bucket]
        rows = rows[np.isin(rows[:, 0], list(members))]
        ends = self.before[list(members), bucket].sum() + np.cumsum(rows[:, 2])
        return int(rows[np.searchsorted(ends, tokens), 1]) + 1

    def tokens_below(self, atom: int, value: int) -> int:
        """Tokens of the atom's documents with a hash below `value`, a border found before."""
        if value <= 0:
            return 0
        bucket = (value - 1) >> self._shift
        rows = self._rows[bucket]
        mine = rows[(rows[:, 0] == atom) & (rows[:, 1] < value)]
        return int(self.before[atom, bucket] + mine[:, 2].sum())
