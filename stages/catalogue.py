"""The signals a rule may name: one line each, with type, unit, meaning and source.

A rule is a predicate over these names; a name that is not here is an error before anything runs.
"""

from dataclasses import dataclass

import pyarrow as pa

from coursepack.pipeline.documents import MEASURED_RECORD

_GOPHER = "Gopher, arXiv:2112.11446, A1.1"
_CODE = "bigcode-dataset, preprocessing/filtering.py"


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
    Signal("language", "language", pa.string(), "ISO code", "most likely language", "fastText"),
    Signal("language_score", "language", pa.float64(), "0 to 1", "its probability", "fastText"),
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _ALL}


def group_schema(group: str) -> pa.Schema:
    """The columns of one group's signals, in order."""
    return pa.schema([(s.name, s.type) for s in _ALL if s.group == group])
