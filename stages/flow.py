"""From supply to demand: how many tokens each phase and selector draws from each atom's ring.

A minimum-cost flow on a network unrolled in time. Tokens flow from a demand into the rings it may draw
from, at the node of its phase; from there along the ring's chain of nodes, one a phase, to the end.
The arc that leaves a ring's node carries all that was drawn from it so far, so its capacity is
the cap on epochs. A share above an atom's natural one costs; so overlapping selectors give way to
each other only as far as they must. Integers throughout.
"""

import difflib
import math
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Generic, TypeVar

import networkx as nx

from coursepack.pipeline.errors import PlanError

A = TypeVar("A", bound=Hashable)  # an atom: anything that can be hashed and sorted

_SPREAD = 4  # steps of the price of a surplus: 1, 2 and 4 times the natural share, and beyond
_WEIGHT_UNITS = 10_000  # weights of a proposed mixture have four digits


@dataclass(frozen=True)
class Demand(Generic[A]):
    """What one phase wants from one selector."""

    phase: str
    selector: str
    tokens: int
    atoms: tuple[A, ...]  # that the selector matches
    max_epochs: float  # cap on all that was drawn from any of these atoms by the phase's end


@dataclass(frozen=True)
class Remedy(Generic[A]):
    """A change of the recipe that makes the plan possible, in words and as demands."""

    text: str
    demands: tuple[Demand[A], ...]


def allocate(supply: Mapping[A, int], demands: Sequence[Demand[A]]) -> list[dict[A, int]]:
    """Tokens that each demand draws from each atom; atoms that give nothing are left out.

    `supply` is in tokens of one pass; `demands` stand in phase order. Every demand is met exactly,
    and by the end of its phase no atom it lists has given more than floor(max_epochs * supply).
    A demand draws from its atoms in proportion to their supply; where caps forbid that, the tokens
    above those shares are as few as can be, and are spread. The result depends neither on the order
    of atoms nor on that of a phase's demands. Raises PlanError, which names the nearest plans.
    """
    _refuse_empty(supply, demands)
    drawn, missing = _solve(supply, demands)
    if any(missing):
        raise PlanError(_explanation(supply, demands, missing))
    return drawn


def remedies(supply: Mapping[A, int], demands: Sequence[Demand[A]]) -> list[Remedy[A]]:
    """The nearest possible plans to one that is not; each alone makes it possible."""
    _, missing = _solve(supply, demands)
    found = (
        *_more_epochs(supply, demands, missing),
        *_fewer_tokens(supply, demands, missing),
        *_other_mixture(supply, demands, missing),
    )
    return [remedy for remedy in found if _feasible(supply, remedy.demands)]


def _refuse_empty(supply: Mapping[A, int], demands: Sequence[Demand[A]]) -> None:
    filled = {d.selector for d in demands if _total(supply, d)}
    empty = [d for d in demands if d.tokens and not _total(supply, d)]
    if not empty:
        return
    lines = []
    for d in empty:
        near = difflib.get_close_matches(d.selector, sorted(filled - {d.selector}), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        lines.append(
            f"phase {d.phase!r} asks for {_amount(d.tokens)} tokens of {d.selector!r}, "
            f"which matches no kept document{hint}"
        )
    known = ", ".join(sorted(filled)) or "none"
    lines.append(
        f"selectors of this recipe that match something: {known}; "
        "correct the mixture, or see in the report which rule drops the rest"
    )
    raise PlanError("\n".join(lines))


def _total(supply: Mapping[A, int], demand: Demand[A]) -> int:
    return sum(supply.get(atom, 0) for atom in set(demand.atoms))


def _natural(supply: Mapping[A, int], demand: Demand[A]) -> dict[A, int]:
    """The demand's tokens split in proportion to supply, by largest remainder, ties by atom."""
    atoms = _sorted(demand.atoms)
    total = _total(supply, demand)
    shares = {atom: divmod(demand.tokens * supply.get(atom, 0), total or 1) for atom in atoms}
    left = demand.tokens - sum(whole for whole, _ in shares.values())
    first = set(sorted(atoms, key=lambda atom: -shares[atom][1])[:left])
    return {atom: shares[atom][0] + (atom in first) for atom in atoms}


def _sorted(atoms: Sequence[A]) -> list[A]:
    return sorted(set(atoms))  # type: ignore[type-var]


def _phases(demands: Sequence[Demand[A]]) -> list[str]:
    return list(dict.fromkeys(d.phase for d in demands))


def _caps(supply: Mapping[A, int], demands: Sequence[Demand[A]]) -> dict[tuple[A, int], float]:
    """The most tokens that may be drawn from (atom, through phase), where the phase lists the atom."""
    number = {phase: i for i, phase in enumerate(_phases(demands))}
    caps: dict[tuple[A, int], float] = {}
    for d in demands:
        for atom in d.atoms:
            key = (atom, number[d.phase])
            caps[key] = min(caps.get(key, math.inf), _cap(supply.get(atom, 0), d.max_epochs))
    return caps


def _cap(supply: int, max_epochs: float) -> float:
    """floor(max_epochs * supply) of the number as it is written: 2.3 epochs of 10 tokens are 23."""
    if math.isinf(max_epochs):
        return math.inf
    return math.floor(Fraction(str(max_epochs)) * supply)


def _chains(graph: Any, supply: Mapping[A, int], demands: Sequence[Demand[A]]) -> None:
    """Add every ring's chain of nodes (atom, phase), whose arcs carry what was drawn so far."""
    caps = _caps(supply, demands)
    phases_of: dict[A, list[int]] = defaultdict(list)
    for atom, phase in sorted(caps):
        phases_of[atom].append(phase)
    for atom, phases in phases_of.items():
        ends: list[Any] = [("ring", atom, phase) for phase in phases[1:]]
        for phase, end in zip(phases, [*ends, "end"], strict=True):
            cap = caps[atom, phase]
            limit = {} if math.isinf(cap) else {"capacity": int(cap)}
            graph.add_edge(("ring", atom, phase), end, **limit)


def _solve(
    supply: Mapping[A, int], demands: Sequence[Demand[A]]
) -> tuple[list[dict[A, int]], list[int]]:
    """What each demand draws, and what it misses; of an impossible plan, later phases miss first."""
    number = {phase: i for i, phase in enumerate(_phases(demands))}
    order = sorted(
        range(len(demands)), key=lambda i: (number[demands[i].phase], demands[i].selector)
    )
    graph: Any = nx.MultiDiGraph()
    graph.add_node("end", demand=sum(d.tokens for d in demands))
    _chains(graph, supply, demands)
    # A path in the residual network visits a node once. So these prices are lexicographic: nothing
    # missing, then the fewest tokens above natural shares, then those spread.
    nodes = len(graph) + len(demands)
    surplus = nodes * _SPREAD
    miss = nodes * (surplus + _SPREAD)
    for i in order:
        d = demands[i]
        graph.add_node(("demand", i), demand=-d.tokens)
        late = len(number) - number[d.phase]
        graph.add_edge(("demand", i), "end", weight=miss * (len(number) + late))
        for atom, share in _natural(supply, d).items():
            node = ("ring", atom, number[d.phase])
            graph.add_edge(("demand", i), node, capacity=share, weight=0)
            for step in range(_SPREAD - 1):
                width = max(share, 1) << step
                graph.add_edge(("demand", i), node, capacity=width, weight=surplus + step)
            graph.add_edge(("demand", i), node, weight=surplus + _SPREAD - 1)
    _, flows = nx.network_simplex(graph)
    drawn, missing = [], []
    for i, d in enumerate(demands):
        out = {node: sum(arcs.values()) for node, arcs in flows[("demand", i)].items()}
        given = {atom: out["ring", atom, number[d.phase]] for atom in _sorted(d.atoms)}
        drawn.append({atom: tokens for atom, tokens in given.items() if tokens})
        missing.append(out["end"])
    return drawn, missing


def _feasible(supply: Mapping[A, int], demands: Sequence[Demand[A]]) -> bool:
    """Whether the caps allow all demands together: a maximum flow, without prices."""
    number = {phase: i for i, phase in enumerate(_phases(demands))}
    graph: Any = nx.DiGraph()
    graph.add_nodes_from(["begin", "end"])
    _chains(graph, supply, demands)
    for i, d in enumerate(demands):
        graph.add_edge("begin", ("demand", i), capacity=d.tokens)
        for atom in _sorted(d.atoms):
            graph.add_edge(("demand", i), ("ring", atom, number[d.phase]))
    return bool(nx.maximum_flow_value(graph, "begin", "end") == sum(d.tokens for d in demands))


def _explanation(
    supply: Mapping[A, int], demands: Sequence[Demand[A]], missing: Sequence[int]
) -> str:
    lines = ["the curriculum asks for more than the corpus can supply"]
    met = [replace(d, tokens=d.tokens - less) for d, less in zip(demands, missing, strict=True)]
    for i, (d, less) in enumerate(zip(demands, missing, strict=True)):
        if less:
            asked, there = _amounts(d.tokens, d.tokens - less)
            alone = [*met[:i], d, *met[i + 1 :]]
            _, epochs = _least_epochs(supply, alone, [d.phase])
            lines.append(
                f"  phase {d.phase!r}, {d.selector!r}: asks for {asked} tokens; {there} are left at "
                f"max_epochs {d.max_epochs:g} (one pass is {_amount(_total(supply, d))}); "
                f"it would take {epochs} epochs"
            )
    found = [f"  {remedy.text}" for remedy in remedies(supply, demands)]
    return "\n".join([*lines, "nearest possible plans, any one of:", *found])


def _short_phases(demands: Sequence[Demand[A]], missing: Sequence[int]) -> list[str]:
    return _phases([d for d, less in zip(demands, missing, strict=True) if less])


def _more_epochs(
    supply: Mapping[A, int], demands: Sequence[Demand[A]], missing: Sequence[int]
) -> Iterator[Remedy[A]]:
    phases, epochs = _least_epochs(supply, demands, _short_phases(demands, missing))
    changed = _with_epochs(demands, phases, float(epochs))
    raised = _phases([new for new, old in zip(changed, demands, strict=True) if new != old])
    yield Remedy(
        "raise " + " and ".join(f"phase.{name}.max_epochs to {epochs}" for name in raised), changed
    )


def _least_epochs(
    supply: Mapping[A, int], demands: Sequence[Demand[A]], phases: Sequence[str]
) -> tuple[list[str], str]:
    """The least cap (in hundredths) of `phases` that makes the plan possible, as it is written.

    Where the caps of later phases forbid it, these are raised too; returns the phases.
    """
    smallest = min((s for d in demands for a in d.atoms if (s := supply.get(a, 0))), default=1)
    enough = 100 * -(-sum(d.tokens for d in demands) // smallest)

    def possible(hundredths: int) -> bool:
        return _feasible(supply, _with_epochs(demands, phases, hundredths / 100))

    if not possible(enough):
        named = _phases(demands)
        phases = named[named.index(phases[0]) :]
    high = 100
    while high < enough and not possible(high):
        high *= 2
    return list(phases), f"{_least(possible, high) / 100:.15g}"


def _with_epochs(
    demands: Sequence[Demand[A]], phases: Sequence[str], epochs: float
) -> tuple[Demand[A], ...]:
    return tuple(
        replace(d, max_epochs=epochs) if d.phase in phases and d.max_epochs < epochs else d
        for d in demands
    )


def _least(possible: Callable[[int], bool], high: int) -> int:
    """The least n in 0..high that is possible, where all above it are, and `high` is."""
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if possible(middle) else (middle, high)
    return high


def _fewer_tokens(
    supply: Mapping[A, int], demands: Sequence[Demand[A]], missing: Sequence[int]
) -> Iterator[Remedy[A]]:
    """Shrink the phases that are short, each as little as can be, the earliest first."""
    phases = _short_phases(demands, missing)
    current = tuple(replace(d, tokens=0) if d.phase in phases else d for d in demands)
    told = []
    for phase in phases:
        whole = sum(d.tokens for d in demands if d.phase == phase)
        budget = _largest_budget(supply, current, demands, phase, whole)
        if not budget:
            return
        current = _with_budget(current, demands, phase, whole, budget)
        if budget < whole:
            told.append(f"phase.{phase}.tokens to {_amount(budget)}")
    yield Remedy("lower " + " and ".join(told), current)


def _largest_budget(
    supply: Mapping[A, int],
    current: Sequence[Demand[A]],
    demands: Sequence[Demand[A]],
    phase: str,
    whole: int,
) -> int:
    """The most tokens, of three digits where it is not `whole`, that a phase can have."""
    unit = max(whole // 100_000, 1)  # finer than three digits

    def possible(units: int) -> bool:
        budget = max(whole - units * unit, 0)
        return _feasible(supply, _with_budget(current, demands, phase, whole, budget))

    less = _least(possible, -(-whole // unit)) * unit
    return _rounded(max(whole - less, 0)) if less else whole


def _with_budget(
    current: Sequence[Demand[A]],
    demands: Sequence[Demand[A]],
    phase: str,
    whole: int,
    budget: int,
) -> tuple[Demand[A], ...]:
    """`current` with a phase as in `demands`, scaled from `whole` to `budget`, rounded up."""
    return tuple(
        replace(d, tokens=-(-d.tokens * budget // whole)) if d.phase == phase else now
        for now, d in zip(current, demands, strict=True)
    )


def _other_mixture(
    supply: Mapping[A, int], demands: Sequence[Demand[A]], missing: Sequence[int]
) -> Iterator[Remedy[A]]:
    """Give each short selector what there is of it, and the rest to its phase's other selectors."""
    changed, told = list(demands), []
    for phase in _short_phases(demands, missing):
        rows = [i for i, d in enumerate(demands) if d.phase == phase]
        budget = sum(demands[i].tokens for i in rows)
        short = [i for i in rows if missing[i]]
        others = [i for i in rows if not missing[i] and demands[i].tokens]
        weights = {i: (demands[i].tokens - missing[i]) * _WEIGHT_UNITS // budget for i in short}
        if not others:
            return
        rest = Demand("", "", _WEIGHT_UNITS - sum(weights.values()), tuple(others), 1)
        weights |= _natural({i: demands[i].tokens for i in others}, rest)
        for i, weight in weights.items():
            changed[i] = replace(demands[i], tokens=-(-weight * budget // _WEIGHT_UNITS))
        told.append(_mixture_text(phase, demands, short, others, weights))
    yield Remedy(" and ".join(told), tuple(changed))


def _mixture_text(
    phase: str,
    demands: Sequence[Demand[A]],
    short: Sequence[int],
    others: Sequence[int],
    weights: Mapping[int, int],
) -> str:
    def weight(i: int) -> str:
        return f"{_key(demands[i].selector)} = {weights[i] / _WEIGHT_UNITS:g}"

    lowered = ", ".join(
        f"lower phase.{phase}.mixture.{_key(demands[i].selector)} to {weights[i] / _WEIGHT_UNITS:g}"
        if weights[i]
        else f"remove phase.{phase}.mixture.{_key(demands[i].selector)}"
        for i in short
    )
    listed = ", ".join(weight(i) for i in sorted([*short, *others]) if weights[i])
    return f"{lowered} (mixture = {{ {listed} }})"


def _key(selector: str) -> str:
    """The selector as a key of TOML."""
    return selector if re.fullmatch(r"[A-Za-z0-9_-]+", selector) else f'"{selector}"'


def _scale(tokens: int) -> tuple[int, str]:
    for power, letter in ((12, "T"), (9, "B"), (6, "M"), (3, "K")):
        if tokens >= 10**power:
            return 10**power, letter
    return 1, ""


def _rounded(tokens: int) -> int:
    """Down to three digits."""
    unit: int = 10 ** max(len(str(tokens)) - 3, 0)
    return tokens // unit * unit


def _amount(tokens: int) -> str:
    """Three digits, rounded down, as a recipe writes them: 1.23B."""
    scale, letter = _scale(tokens)
    return f"{_rounded(tokens) / scale:g}{letter}"


def _amounts(first: int, second: int) -> tuple[str, str]:
    """Two different amounts, in full where three digits do not tell them apart."""
    short = _amount(first), _amount(second)
    return short if short[0] != short[1] else (f"{first:,}", f"{second:,}")
