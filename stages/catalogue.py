"""The signals a rule may name: one line each, with type, unit, meaning and source.

A rule is a predicate over these names; a name that is not here is an error before anything runs.
"""

from dataclasses import dataclass

import pyarrow as pa

from coursepack.pipeline.documents import MEASURED_RECORD

_GOPHER = "Gopher, arXiv:2112.11446, A1.1"
_CODE = "bigcode-dataset, preprocessing/filtering.py"
_C4 = "C4, arXiv:1910.10683, 2.2"
_FINEWEB = "FineWeb, arXiv:2406.17557, 3.6"


@dataclass(frozen=True)
class Signal:
    """A column of the measurements; `group` is the column group whose files hold it."""

    name: str
    group: str
    type: pa.DataType
    unit: str
    meaning: str
    source: str


def _record(name: str, unit: str, meaning: str) -> Signal:
    return Signal(name, "record", MEASURED_RECORD.field(name).type, unit, meaning, "the record")


def _repetition(name: str, unit: str, meaning: str) -> Signal:
    return Signal(name, "repetition", pa.float64(), unit, meaning, f"{_GOPHER}, as datatrove")


def _web(
    name: str, unit: str, meaning: str, source: str, kind: pa.DataType | None = None
) -> Signal:
    return Signal(name, "web", kind or pa.float64(), unit, meaning, source)


_ALL = (
    _record("bytes", "bytes", "length of the text in UTF-8"),
    _record("id", "text", "the corpus' own name of the document"),
    _record("url", "text", "where the document was found"),
    _record("path", "text", "path of the file in its repository"),
    _record("subset", "text", "the corpus' own name of a part"),
    _record("license", "text", "licence, as the corpus names it"),
    Signal("words", "gopher", pa.int32(), "words", "words between white space", _GOPHER),
    Signal("mean_word_chars", "gopher", pa.float64(), "code points", "mean word length", _GOPHER),
    Signal("hash_word_ratio", "gopher", pa.float64(), "per word", "# signs", _GOPHER),
    Signal("ellipsis_word_ratio", "gopher", pa.float64(), "per word", "... and …", _GOPHER),
    Signal("alpha_word_ratio", "gopher", pa.float64(), "0 to 1", "words with a letter", _GOPHER),
    Signal("stop_words", "gopher", pa.int32(), "0 to 8", "different stop words present", _GOPHER),
    Signal("lines", "gopher", pa.int32(), "lines", "lines that are not blank", _GOPHER),
    Signal("bullet_line_ratio", "gopher", pa.float64(), "0 to 1", "lines led by • - *", _GOPHER),
    Signal("ellipsis_line_ratio", "gopher", pa.float64(), "0 to 1", "lines to ... or …", _GOPHER),
    Signal("mean_line_chars", "gopher", pa.float64(), "code points", "mean line length", _CODE),
    Signal("max_line_chars", "gopher", pa.int64(), "code points", "longest line; 0: none", _CODE),
    Signal("chars", "gopher", pa.int64(), "code points", "length of the text", "the text"),
    Signal("alnum_ratio", "gopher", pa.float64(), "0 to 1", "letters and numbers", _CODE),
    Signal("alpha_ratio", "gopher", pa.float64(), "0 to 1", "letters", _CODE),
    Signal("digit_ratio", "gopher", pa.float64(), "0 to 1", "decimal digits", "NeMo Curator"),
    Signal("space_ratio", "gopher", pa.float64(), "0 to 1", "white space", "NeMo Curator"),
    _repetition("dup_line_ratio", "0 to 1", "lines that repeat an earlier one"),
    _repetition("dup_paragraph_ratio", "0 to 1", "paragraphs that repeat an earlier one"),
    _repetition("dup_line_char_ratio", "0 to 1", "code points in such lines"),
    _repetition("dup_paragraph_char_ratio", "0 to 1", "code points in such paragraphs"),
    *(
        _repetition(
            f"top_{n}gram_char_ratio", "0 up", f"code points in the most frequent {n} words"
        )
        for n in (2, 3, 4)
    ),
    *(
        _repetition(f"dup_{n}gram_char_ratio", "0 to 1", f"code points in {n} words met before")
        for n in (5, 6, 7, 8, 9, 10)
    ),
    _web("terminal_punct_line_ratio", "0 to 1", "lines that end in . ? ! or the like", _FINEWEB),
    _web("short_line_ratio", "0 to 1", "lines of at most 30 code points", _FINEWEB),
    _web("char_dup_ratio", "0 to 1", "code points in lines that repeat one", _FINEWEB),
    _web("newline_word_ratio", "per word", "newlines", _FINEWEB),
    _web("sentences", "sentences", "ends of sentences, approximately", _C4, pa.int32()),
    _web("longest_word_chars", "code points", "longest word; 0: none", _C4, pa.int64()),
    _web("has_lorem_ipsum", "true or false", "holds lorem ipsum", _C4, pa.bool_()),
    _web("curly_braces", "signs", "{ signs", _C4, pa.int32()),
    _web("javascript_lines", "lines", "lines that hold javascript", _C4, pa.int32()),
    _web("policy_lines", "lines", "lines on cookies, privacy or terms", _C4, pa.int32()),
    _web("bare_chars", "code points", "length without punctuation", "SlimPajama", pa.int64()),
    Signal("language", "language", pa.string(), "ISO code", "most likely language", "fastText"),
    Signal("language_score", "language", pa.float64(), "0 to 1", "its probability", "fastText"),
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _ALL}


def group_schema(group: str) -> pa.Schema:
    """The columns of one group's signals, in order."""
    return pa.schema([(s.name, s.type) for s in _ALL if s.group == group])
