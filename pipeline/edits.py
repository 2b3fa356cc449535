"""The settings of `[edits]`: what changes a text before it is measured, in which order, and where."""

from importlib.metadata import version
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Line rules made for web pages would drop verse, code, tables and LaTeX.
PAGES = ("general", "web")


class EditSettings(BaseModel):
    """Of one edit; `scope` holds domains or sources, as a rule's does."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    edit: ClassVar[str]
    number: ClassVar[int] = 1  # raised when the same settings give other spans
    libraries: ClassVar[tuple[str, ...]] = ()  # packages that decide what is found

    scope: tuple[str, ...] | str = "*"

    @classmethod
    def finder(cls) -> list[str]:
        """What finds the spans: its own version, and those of its libraries."""
        return [str(cls.number), *map(version, cls.libraries)]

    @property
    def scopes(self) -> tuple[str, ...]:
        return (self.scope,) if isinstance(self.scope, str) else self.scope


class UnicodeRepair(EditSettings):
    """ftfy's fixes and NFC (Speer 2019, doi:10.5281/zenodo.2591652), datatrove's choice of them and line breaks.

    Off, as they change what people wrote: widths (it gives Chinese text Latin punctuation), ligatures, curly quotes.
    """

    edit: ClassVar[str] = "unicode"
    libraries: ClassVar[tuple[str, ...]] = ("ftfy",)

    mojibake: bool = True  # UTF-8 that was read as Latin-1 and the like
    entities: Literal["auto"] | bool = "auto"  # HTML's; auto: up to the first line that holds a `<`
    terminal_escapes: bool = True
    control_characters: bool = True
    line_breaks: bool = True  # CR LF, CR, U+2028, U+2029, U+0085 become LF
    ligatures: bool = False
    widths: bool = False
    quotes: bool = False
    nfc: bool = True


class Citations(EditSettings):
    """Wikipedia's marks `[1]`, `[]`, `[edit]`, `[citation needed]` are deleted (C4's pattern)."""

    edit: ClassVar[str] = "citations"

    scope: tuple[str, ...] | str = (*PAGES, "encyclopedia")


class C4Lines(EditSettings):
    """C4's rules on lines (Raffel et al. 2020, arXiv:1910.10683, 2.2), in datatrove's arithmetic.

    FineWeb keeps lines without end punctuation: `terminal_punctuation = false`.
    """

    edit: ClassVar[str] = "c4_lines"

    scope: tuple[str, ...] | str = PAGES
    citations: bool = True  # deleted in the lines that stay
    terminal_punctuation: bool = True
    min_words: Annotated[int, Field(ge=0)] = 3
    max_word_chars: Annotated[int, Field(ge=1)] | None = 1000
    javascript: bool = True
    policies: bool = True


class RefinedWebLines(EditSettings):
    """RefinedWeb's rules on lines (Penedo et al. 2023, arXiv:2306.01116, G.2), as DCLM's baseline wrote them.

    Thresholds of `dclm_baseline_refinedweb.yaml` (Li et al. 2024, arXiv:2406.11794).
    """

    edit: ClassVar[str] = "refinedweb_lines"

    scope: tuple[str, ...] | str = PAGES
    max_uppercase_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_digit_ratio: Annotated[float, Field(ge=0, le=1)] = 0.999999
    counters: bool = True  # "3 likes"
    min_words: Annotated[int, Field(ge=0)] = 2
    phrases: bool = True  # "items in cart", "Read more...", "Sign-in"
    phrase_line_words: Annotated[int, Field(ge=0)] = 10  # in lines of at most so many words


Action = Literal["keep", "redact", "replace", "drop"]


class Pii(EditSettings):
    """Personal data: kept, marked (`<EMAIL>`), replaced by a value that is nobody's, or the document dropped."""

    edit: ClassVar[str] = "pii"
    libraries: ClassVar[tuple[str, ...]] = ("phonenumbers", "python-stdnum")

    emails: Action = "replace"
    ips: Action = "replace"
    phones: Action = "redact"
    cards: Action = "redact"
    ibans: Action = "redact"
    ids: Action = "redact"
    regions: tuple[str, ...] = ()  # ISO 3166, of phone numbers in national form
    national_ids: tuple[str, ...] | None = (
        None  # python-stdnum's names; default: all that are known
    )


class Credentials(EditSettings):
    """API keys, tokens, passwords and private keys: marked, or the document dropped."""

    edit: ClassVar[str] = "credentials"
    libraries: ClassVar[tuple[str, ...]] = ("detect-secrets",)

    action: Literal["redact", "drop"] = "redact"


EditName = Literal["unicode", "citations", "c4_lines", "refinedweb_lines", "pii", "credentials"]


class Edits(BaseModel):
    """`order` names the edits that are made; the tables set them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: tuple[EditName, ...] = ()
    unicode: UnicodeRepair = UnicodeRepair()
    citations: Citations = Citations()
    c4_lines: C4Lines = C4Lines()
    refinedweb_lines: RefinedWebLines = RefinedWebLines()
    pii: Pii = Pii()
    credentials: Credentials = Credentials()

    @model_validator(mode="after")
    def _each_once(self) -> "Edits":
        if twice := sorted({name for name in self.order if self.order.count(name) > 1}):
            raise ValueError(f"the edit {twice[0]!r} stands twice in 'order'")
        return self

    @property
    def chain(self) -> tuple[EditSettings, ...]:
        """The settings of the edits that are made, in order."""
        return tuple(getattr(self, name) for name in self.order)
