"""Rules: typed predicates over signals, parsed once, compiled by sqlglot to Spark and DuckDB alike.

The grammar is small on purpose: only what both engines evaluate to the same true, false or null.
Numbers are doubles (no integer overflow, no decimals), `a / b` is null where b is 0, strings are
compared by their UTF-8 bytes, `lower` changes ASCII letters alone (the engines differ on others).
"""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from sqlglot import Dialect, exp
from sqlglot.errors import ParseError, SqlglotError

from coursepack.pipeline.documents import REJECTS
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import Recipe, RuleSettings, Selector
from coursepack.stages.own_signals import signals_of
from coursepack.stages.profiles import PROFILES

BYTES_PER_TOKEN = 4.5  # where nothing has been encoded yet
# why documents are dropped by others than rules
OWN_REASONS = {*REJECTS, "exact_duplicate", "near_duplicate", "duplicate_url"}
MAX_RULES = 62  # a document's failed rules are the bits of an int64
GRAMMAR = (
    "and, or, not, = != < <= > >=, in (...), between, like '...', is null, + - * /, numbers, "
    "'strings', true, false, and the functions "
    "abs, coalesce, contains, ends_with, greatest, least, length, lower, starts_with, within"
)


@dataclass(frozen=True)
class Predicate:
    """A boolean expression as SQL: true, false or null in both engines, which never throw."""

    text: str  # canonical: compiles to itself
    spark: str
    duckdb: str
    signals: tuple[str, ...]  # names used, sorted


@dataclass(frozen=True)
class Quota:
    """Keeps of the documents in `scope` with one value of the signal `by` at most so many, or so many bytes."""

    name: str
    scope: tuple[str, ...]
    by: str
    documents: int | None
    bytes: int | None


@dataclass(frozen=True)
class Rule:
    """Drops the documents of `scope` for which `fires` is true, or null where unknown is `drop`."""

    name: str
    reason: str  # in the data and the report
    scope: tuple[str, ...]  # texts of selectors; empty: all documents
    fires: Predicate
    unknown: Literal["keep", "drop"] = "keep"


def compile_predicate(text: str, signals: Mapping[str, pa.DataType]) -> Predicate:
    """Parse and check `text`, a boolean expression of GRAMMAR over the columns `signals`.

    Both results read columns of these names, quoted. Integer and floating columns are numbers,
    string columns strings, boolean columns booleans. Raises RecipeError.
    """
    try:
        term = _Reader(text, signals).term(_parsed(text))
        if term.type != "boolean":
            raise RecipeError(
                f"{text!r} is a {term.type}; a predicate is true or false, such as 'words < 50'"
            )
        return Predicate(
            text=term.text,
            spark=_as_spark(term.sql),
            duckdb=term.sql.sql("duckdb"),
            signals=tuple(sorted({column.name for column in term.sql.find_all(exp.Column)})),
        )
    except RecursionError:
        raise RecipeError(
            f"{text[:60]!r}... is nested too deeply; use in (...), or split it into several rules"
        ) from None


def expand(
    profiles: Sequence[str], rules: Mapping[str, RuleSettings], signals: Mapping[str, pa.DataType]
) -> tuple[Rule, ...]:
    """The rules of the profiles, then the recipe's own, in recipe order: rule i is bit i.

    A rule's reason is its name. Raises RecipeError: unknown or repeated profiles, repeated or
    unfit names, more than MAX_RULES rules, predicates that do not compile.
    """
    named = [*_profile_rules(profiles), *rules.items()]
    names = [name for name, _ in named]
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise RecipeError(
                f"a rule is called {name!r}; names of rules are snake case, such as 'too_few_words'"
            )
        if name in OWN_REASONS:
            raise RecipeError(
                f"a rule is called {name!r}, which is a reason of coursepack's own; call it otherwise"
            )
        if names.count(name) > 1:
            raise RecipeError(f"two rules are called {name!r}; names of rules are unique")
    named = [(name, rule) for name, rule in named if not rule.is_quota]
    if len(named) > MAX_RULES:
        raise RecipeError(
            f"{len(named)} rules; at most {MAX_RULES} are allowed; join some with 'or'"
        )
    return tuple(_rule(name, settings, signals) for name, settings in named)


def rules_of(recipe: Recipe) -> tuple[Rule, ...]:
    """The recipe's rules, checked against the catalogue of signals; raises RecipeError."""
    return expand(recipe.rules.profiles, recipe.rules.own, types_of(recipe))


def types_of(recipe: Recipe) -> dict[str, pa.DataType]:
    """The signals that the recipe's rules may name, with their types."""
    return {name: signal.type for name, signal in signals_of(recipe).items()}


def quotas_of(recipe: Recipe) -> tuple[Quota, ...]:
    """The recipe's quotas, in its order; raises RecipeError where `by` is no text signal."""
    return tuple(
        _quota(recipe, name, settings)
        for name, settings in recipe.rules.own.items()
        if settings.is_quota
    )


def _quota(recipe: Recipe, name: str, settings: RuleSettings) -> Quota:
    texts = {n: s.type for n, s in signals_of(recipe).items() if pa.types.is_string(s.type)}
    if settings.by not in texts:
        raise RecipeError(
            f"rule {name!r}: there is no text signal {settings.by!r} to count by; "
            f"{_hint(settings.by or '', texts)}"
        )
    size = settings.max_bytes
    if settings.max_tokens is not None:
        size = int(settings.max_tokens * BYTES_PER_TOKEN)
    return Quota(name, settings.scopes, settings.by, settings.max_documents, size)


def scope_sql(rule: Rule | Quota) -> Predicate:
    """Whether a document is in the scope of a rule or quota, over the string columns domain, source, language.

    Never null where domain and source are not; a null language is no language.
    """
    return compile_predicate(
        " or ".join(_selected(Selector.parse(text)) for text in rule.scope) or "true",
        {"domain": pa.string(), "source": pa.string(), "language": pa.string()},
    )


def verdict_sql(rule: Rule) -> Predicate:
    """Whether the rule fires on a document of its scope, over signals; never null."""
    fires, unknown = rule.fires, str(rule.unknown == "drop").lower()
    return Predicate(
        text=f"coalesce({fires.text}, {unknown})",
        spark=f"COALESCE({fires.spark}, {unknown.upper()})",
        duckdb=f"COALESCE({fires.duckdb}, {unknown.upper()})",
        signals=fires.signals,
    )


def _profile_rules(profiles: Sequence[str]) -> Iterator[tuple[str, RuleSettings]]:
    for name in profiles:
        if name not in PROFILES:
            raise RecipeError(
                f"there is no profile {name!r}; the profiles are {', '.join(PROFILES)}"
            )
        if profiles.count(name) > 1:
            raise RecipeError(f"the profile {name!r} is listed twice; list it once")
        yield from PROFILES[name].items()


def _rule(name: str, settings: RuleSettings, signals: Mapping[str, pa.DataType]) -> Rule:
    try:
        for text in settings.scopes:
            Selector.parse(text)
        given = settings.drop if settings.drop is not None else settings.keep or ""
        fires = compile_predicate(given, signals)
        if settings.drop is None:
            fires = compile_predicate(f"not ({fires.text})", signals)
    except RecipeError as error:
        raise RecipeError(f"rule {name!r}: {error}") from None
    return Rule(name, name, settings.scopes, fires, settings.unknown)


def _selected(selector: Selector) -> str:
    """The selector as a predicate."""
    name = _quoted(selector.name)
    named = "true" if selector.name == "*" else f"(domain = {name} or source = {name})"
    if selector.lang is None:
        return named
    return f"({named} and coalesce(language, '') = {_quoted(selector.lang)})"


def _parsed(text: str) -> exp.Expression:
    """The parse tree of exactly one expression."""
    try:
        found = Dialect.get_or_raise(None).parse_into(exp.Condition, text)
    except ParseError as error:
        place = next((e for e in error.errors if e.get("col")), None)
        where = f" near {place['highlight']!r} (column {place['col']})" if place else ""
        raise RecipeError(f"cannot read {text!r}{where}; allowed are {GRAMMAR}") from None
    except SqlglotError:
        raise RecipeError(
            f"cannot read {text!r}; is a quote left open? strings stand in single quotes"
        ) from None
    tree = found[0] if len(found) == 1 else None
    if not isinstance(tree, exp.Expression):
        raise RecipeError(f"{text!r} is not one expression; a predicate is, such as 'words < 50'")
    return tree


_Type = Literal["number", "string", "boolean"]

# How tightly a piece of canonical text binds; sqlglot's own precedence.
_OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _UNARY, _ATOM = range(8)

_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[exp.Expression], tuple[str, int]] = {
    exp.Add: ("+", _SUM),
    exp.Sub: ("-", _SUM),
    exp.Mul: ("*", _PRODUCT),
    exp.Div: ("/", _PRODUCT),
}
_CONNECTORS: dict[type[exp.Expression], tuple[str, int]] = {
    exp.And: ("and", _AND),
    exp.Or: ("or", _OR),
}
# Name -> types of the arguments, type of the result. Variadic functions take two or more.
_FUNCTIONS: dict[str, tuple[tuple[_Type, ...], _Type]] = {
    "abs": (("number",), "number"),
    "length": (("string",), "number"),
    "lower": (("string",), "string"),
    "contains": (("string", "string"), "boolean"),
    "ends_with": (("string", "string"), "boolean"),
    "starts_with": (("string", "string"), "boolean"),
    "within": (("string", "string"), "boolean"),
}
_SPARK_NAMES = {"ends_with": "endswith", "starts_with": "startswith"}
_VARIADIC = ("coalesce", "greatest", "least")
# What a node may carry; anything else sqlglot found (escape, over, distinct, ...) is refused.
_PARTS = {"this", "expression", "expressions", "low", "high", "negate", "is_string", "quoted"}
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class _Term:
    """A checked part of a predicate: its type, SQL tree, canonical text and how that binds."""

    type: _Type
    sql: exp.Expression
    text: str
    binds: int = _ATOM

    def operand(self, least: int) -> str:
        return self.text if self.binds >= least else f"({self.text})"

    @property
    def closed(self) -> exp.Expression:
        return self.sql if self.binds == _ATOM else exp.Paren(this=self.sql)


class _Reader:
    """Turns sqlglot's tree into terms, and refuses what is not of the grammar."""

    def __init__(self, text: str, signals: Mapping[str, pa.DataType]) -> None:
        self.text = text
        self.signals = signals

    def term(self, node: exp.Expression) -> _Term:
        kind = type(node)
        if not isinstance(node, exp.Func) or kind in _CONNECTORS:
            self._check_parts(node)
        if kind is exp.Paren:
            return self.term(node.this)
        if kind in _CONNECTORS:
            return self._connected(node, *_CONNECTORS[kind])
        if kind is exp.Not:
            return _negation(self._typed(node.this, "boolean", "not"))
        if kind in _COMPARISONS:
            return self._compared(node, _COMPARISONS[kind])
        if kind in _ARITHMETIC:
            return self._computed(node, *_ARITHMETIC[kind])
        if kind is exp.Neg:
            inner = self._typed(node.this, "number", "-")
            return _Term("number", exp.Neg(this=inner.closed), f"-{inner.operand(_ATOM)}", _UNARY)
        if kind in (exp.In, exp.Between, exp.Like):
            found = self._ranged(node)
            return _negation(found) if node.args.get("negate") else found
        if kind is exp.Is:
            return self._is_null(node)
        if kind is exp.Column:
            return self._column(node)
        if kind in (exp.Literal, exp.Boolean, exp.Null):
            return self._literal(node)
        if isinstance(node, exp.Func):
            return self._called(node, node.name if kind is exp.Anonymous else node.sql_name())
        raise self._refused(node)

    def _check_parts(self, node: exp.Expression) -> None:
        for part, value in node.args.items():
            if value and part not in _PARTS:
                raise self._refused(node)

    def _refused(self, node: exp.Expression) -> RecipeError:
        return RecipeError(
            f"{node.sql(comments=False)!r} is not allowed in {self.text!r}; allowed are {GRAMMAR}"
        )

    def _typed(self, node: exp.Expression, wanted: _Type, of: str) -> _Term:
        found = self.term(node)
        if found.type != wanted:
            raise RecipeError(
                f"{of!r} wants a {wanted}, but {found.text!r} is a {found.type}, in {self.text!r}"
            )
        return found

    def _alike(self, first: _Term, second: _Term, of: str) -> None:
        if first.type != second.type:
            raise RecipeError(
                f"{of!r} wants two of one type, but {first.text!r} is a {first.type} and "
                f"{second.text!r} is a {second.type}, in {self.text!r}"
            )

    def _connected(self, node: exp.Expression, word: str, binds: int) -> _Term:
        left = self._typed(node.this, "boolean", word)
        right = self._typed(node.expression, "boolean", word)
        return _Term(
            "boolean",
            type(node)(this=left.closed, expression=right.closed),
            f"{left.operand(binds)} {word} {right.operand(binds + 1)}",
            binds,
        )

    def _compared(self, node: exp.Expression, sign: str) -> _Term:
        left, right = self.term(node.this), self.term(node.expression)
        self._alike(left, right, sign)
        if left.type == "boolean" and sign not in ("=", "!="):
            raise RecipeError(
                f"{sign!r} does not order booleans such as {left.text!r}, in {self.text!r}"
            )
        return _Term(
            "boolean",
            type(node)(this=left.closed, expression=right.closed),
            f"{left.operand(_SUM)} {sign} {right.operand(_SUM)}",
            _COMPARISON,
        )

    def _computed(self, node: exp.Expression, sign: str, binds: int) -> _Term:
        left = self._typed(node.this, "number", sign)
        right = self._typed(node.expression, "number", sign)
        below = right.closed
        if sign == "/":
            below = exp.Nullif(this=right.sql, expression=exp.Literal.number("0e0"))
        return _Term(
            "number",
            type(node)(this=left.closed, expression=below),
            f"{left.operand(binds)} {sign} {right.operand(binds + 1)}",
            binds,
        )

    def _ranged(self, node: exp.Expression) -> _Term:
        value = self.term(node.this)
        shown = value.operand(_SUM)
        if isinstance(node, exp.Between):
            low, high = self.term(node.args["low"]), self.term(node.args["high"])
            self._alike(value, low, "between")
            self._alike(value, high, "between")
            if value.type == "boolean":
                raise RecipeError(f"'between' does not order booleans, in {self.text!r}")
            sql: exp.Expression = exp.Between(this=value.closed, low=low.closed, high=high.closed)
            text = f"{shown} between {low.operand(_SUM)} and {high.operand(_SUM)}"
        elif isinstance(node, exp.Like):
            pattern = node.expression
            if value.type != "string" or not _is_string(pattern) or "\\" in pattern.this:
                raise RecipeError(
                    "'like' compares a string with a string literal without backslashes, where % "
                    f"is any text and _ any character; found {node.sql(comments=False)!r}; "
                    "contains, starts_with and ends_with match text as it is"
                )
            sql = exp.Like(this=value.closed, expression=self._literal(pattern).sql)
            text = f"{shown} like {_quoted(pattern.this)}"
        else:
            sql, text = self._listed(node, value)
        return _Term("boolean", sql, text, _COMPARISON)

    def _listed(self, node: exp.Expression, value: _Term) -> tuple[exp.Expression, str]:
        if not node.expressions:
            raise RecipeError(f"'in' wants a list of one literal or more, in {self.text!r}")
        for item in node.expressions:
            plain = item.this if isinstance(item, exp.Neg) else item
            if not isinstance(plain, exp.Literal | exp.Boolean):
                raise RecipeError(
                    f"'in' lists literals, but {item.sql(comments=False)!r} is none, "
                    f"in {self.text!r}"
                )
        items = [self.term(item) for item in node.expressions]
        for item in items:
            self._alike(value, item, "in")
        found = value.closed
        if value.type == "number":
            # Spark looks a long list up by hash, where -0.0 is not 0.0; adding 0 makes it so
            zero = exp.Literal.number("0e0")
            found = exp.Paren(this=exp.Add(this=found, expression=zero))
            sqls = [exp.Literal.number("0e0") if i.text == "-0" else i.sql for i in items]
        else:
            sqls = [item.sql for item in items]
        listed = ", ".join(item.text for item in items)
        return exp.In(this=found, expressions=sqls), f"{value.operand(_SUM)} in ({listed})"

    def _is_null(self, node: exp.Expression) -> _Term:
        wanted, negative = node.expression, False
        if isinstance(wanted, exp.Not):
            wanted, negative = wanted.this, True
        if not isinstance(wanted, exp.Null):
            raise self._refused(node)
        value = self.term(node.this)
        sql = exp.Is(this=value.closed, expression=exp.Null())
        found = _Term("boolean", sql, f"{value.operand(_SUM)} is null", _COMPARISON)
        return _negation(found) if negative else found

    def _column(self, node: exp.Expression) -> _Term:
        name = node.name
        if name not in self.signals:
            quoted = "; strings stand in single quotes" if node.this.args.get("quoted") else ""
            hint = _hint(name, self.signals) + quoted
            raise RecipeError(f"there is no signal {name!r}, in {self.text!r}; {hint}")
        sql: exp.Expression = exp.column(name, quoted=True)
        kind = self.signals[name]
        text = node.this.sql()  # quoted where the recipe quotes it, as it must keywords
        if pa.types.is_boolean(kind):
            return _Term("boolean", sql, text)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _Term("string", sql, text)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return _Term("number", exp.cast(sql, "double"), text)
        raise RecipeError(
            f"the signal {name!r} is {kind}, in {self.text!r}; "
            "rules read numbers, strings and booleans"
        )

    def _literal(self, node: exp.Expression) -> _Term:
        if isinstance(node, exp.Null):
            raise RecipeError(
                f"'null' equals nothing, in {self.text!r}; write 'is null' or 'is not null'"
            )
        if isinstance(node, exp.Boolean):
            return _Term("boolean", exp.Boolean(this=node.this), str(bool(node.this)).lower())
        if _is_string(node):
            if "\0" in node.this or any("\ud800" <= c <= "\udfff" for c in node.this):
                raise RecipeError(f"{node.this!r} holds a character that no SQL string can")
            return _Term("string", exp.Literal.string(node.this), _quoted(node.this))
        value = float(node.this)
        if not math.isfinite(value):
            raise RecipeError(f"{node.this} is too large, in {self.text!r}; numbers are doubles")
        whole = value.is_integer() and value < 1e15
        text = str(int(value)) if whole else repr(value)
        # an exponent makes a literal a double in both engines; without it, it is a decimal
        sql = exp.Literal.number(text if "e" in text else f"{text}e0")
        return _Term("number", sql, text)

    def _called(self, node: exp.Expression, name: str) -> _Term:
        name = name.lower()
        if name not in _FUNCTIONS and name not in _VARIADIC:
            known = ", ".join(sorted([*_FUNCTIONS, *_VARIADIC]))
            raise RecipeError(
                f"there is no function {name!r}, in {self.text!r}; the functions are {known}"
            )
        given = list(_children(node))
        types = self._argument_types(name, given)
        terms = [self._typed(g, t, name) for g, t in zip(given, types, strict=True)]
        result = _FUNCTIONS[name][1] if name in _FUNCTIONS else types[0]
        text = f"{name}({', '.join(term.text for term in terms)})"
        return _Term(result, _call(name, [term.sql for term in terms]), text)

    def _argument_types(self, name: str, given: list[exp.Expression]) -> tuple[_Type, ...]:
        if name in _FUNCTIONS:
            types = _FUNCTIONS[name][0]
            if len(given) != len(types):
                raise RecipeError(
                    f"{name!r} takes {len(types)} ({', '.join(types)}), not {len(given)}, "
                    f"in {self.text!r}"
                )
            return types
        if len(given) < 2:
            raise RecipeError(f"{name!r} takes two or more, not {len(given)}, in {self.text!r}")
        first: _Type = self.term(given[0]).type if name == "coalesce" else "number"
        return (first,) * len(given)


def _negation(term: _Term) -> _Term:
    return _Term("boolean", exp.Not(this=term.closed), f"not {term.operand(_NOT)}", _NOT)


def _call(name: str, arguments: list[exp.Expression]) -> exp.Expression:
    """The function as DuckDB knows it."""
    if name == "lower":
        letters = [exp.Literal.string(_UPPER), exp.Literal.string(_LOWER)]
        return exp.Anonymous(this="translate", expressions=[*arguments, *letters])
    if name == "within":
        parts = [_split("string_split", argument) for argument in reversed(arguments)]
        return exp.Anonymous(this="list_has_all", expressions=parts)
    return exp.Anonymous(this=name, expressions=arguments)


def _split(function: str, text: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this=function, expressions=[text, exp.Literal.string(",")])


def _as_spark(sql: exp.Expression) -> str:
    renamed = sql.copy().transform(_all_listed)
    for call in renamed.find_all(exp.Anonymous):
        call.set("this", _SPARK_NAMES.get(call.this, call.this))
    # Spark replaces ${name} in SQL text even inside a string; the escape hides the dollar
    return renamed.sql("spark").replace("${", "\\u0024{")


def _all_listed(node: exp.Expression) -> exp.Expression:
    """Spark has no list_has_all: nothing is left when the list is taken away; null of a null, as there."""
    if not isinstance(node, exp.Anonymous) or node.this != "list_has_all":
        return node
    allowed, given = (_split("split", part.expressions[0]) for part in node.expressions)
    left = exp.Anonymous(this="array_except", expressions=[given, allowed])
    size = exp.Anonymous(this="array_size", expressions=[left])
    return exp.Paren(this=exp.EQ(this=size, expression=exp.Literal.number(0)))


def _children(node: exp.Expression) -> Iterator[exp.Expression]:
    for value in node.args.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expression):
                yield item


def _is_string(node: exp.Expression) -> bool:
    return isinstance(node, exp.Literal) and bool(node.args["is_string"])


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _hint(name: str, known: Mapping[str, pa.DataType]) -> str:
    near = difflib.get_close_matches(name.lower(), list(known), 3)
    if near:
        return f"did you mean {' or '.join(repr(found) for found in near)}?"
    return f"the signals are {', '.join(sorted(known))}"
