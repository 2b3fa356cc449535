"""The signals a rule may name: one line each, with type, unit, meaning and source.

A rule is a predicate over these names; a name that is not here is an error before anything runs.
"""

import re
from dataclasses import dataclass

import pyarrow as pa

from coursepack.pipeline.documents import DECISIONS, MEASURED_RECORD, SAMPLES, TOKENS
from coursepack.pipeline.errors import RecipeError

_GOPHER = "Gopher, arXiv:2112.11446, A1.1"
_CODE = "bigcode-dataset, preprocessing/filtering.py"
_C4 = "C4, arXiv:1910.10683, 2.2"
_DCLM = "DCLM, arXiv:2406.11794, baselines/mappers"
_NEMO = "NeMo Curator 1.4.0, filters/heuristic"
_BIGCODE = "StarCoder, arXiv:2305.06161"
_STARCODER2 = "StarCoder 2, arXiv:2402.19173, 2.1"
_REDPAJAMA = "RedPajama-V1, GitHub"
_OPENWEBMATH = "OpenWebMath, arXiv:2310.06786"
_TROJAN = "Trojan Source, arXiv:2111.00169"
_UNICODE = "Unicode, by regex"
_EDITS = "the recipe's edits"
_SQL = "coursepack, stages/sql.py"
_TAGS = "coursepack, stages/tags.py"
_DATATROVE = "datatrove 0.10, pipeline/filters"
_FINEWEB = "FineWeb, arXiv:2406.17557, 3.6"
_DOLMA = "Dolma, arXiv:2402.00159; taggers gopher, c4"
_RPS = "RedPajama-V2, arXiv:2411.12372"


@dataclass(frozen=True)
class Signal:
    """A column of the measurements; `group` is the column group whose files hold it."""

    name: str
    group: str
    type: pa.DataType
    unit: str
    meaning: str
    source: str


# columns of the steps' own tables, beside which a signal of the recipe's own stands
_TAKEN = frozenset(
    {
        *MEASURED_RECORD.names, *SAMPLES.names, *DECISIONS.names, *TOKENS.names,
        "best", "class", "component", "document", "first", "group", "key", "matched", "place", "priority", "row",
        "step", "text", "url_survivor",
    }
)  # fmt: skip


def check_name(where: str, name: str) -> None:
    """Raises RecipeError where a signal of the recipe's own cannot be called `name`; `where` begins the message."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise RecipeError(
            f"{where}: {name!r} is no name of a signal; those are snake case; rename it"
        )
    if name in _TAKEN:
        raise RecipeError(
            f"{where}: {name!r} is a column of coursepack's own tables, and cannot be a signal's name; rename it"
        )


def _record(name: str, unit: str, meaning: str) -> Signal:
    return Signal(name, "record", MEASURED_RECORD.field(name).type, unit, meaning, "the record")


def _repetition(name: str, unit: str, meaning: str) -> Signal:
    return Signal(name, "repetition", pa.float64(), unit, meaning, f"{_GOPHER}, as datatrove")


def _web(
    name: str, unit: str, meaning: str, source: str, kind: pa.DataType | None = None
) -> Signal:
    return Signal(name, "web", kind or pa.float64(), unit, meaning, source)


def _dolma(name: str, unit: str, meaning: str, kind: pa.DataType | None = None) -> Signal:
    return Signal(f"dolma_{name}", "dolma", kind or pa.float64(), unit, meaning, _DOLMA)


def _rps(name: str, unit: str, meaning: str, kind: pa.DataType | None = None) -> Signal:
    return Signal(f"rps_{name}", "redpajama", kind or pa.float64(), unit, meaning, _RPS)


def _datatrove(name: str, unit: str, meaning: str, kind: pa.DataType | None = None) -> Signal:
    return Signal(f"dt_{name}", "datatrove", kind or pa.float64(), unit, meaning, _DATATROVE)


# fmt: off
_ALL = (
    _record("bytes", "bytes", "length of the text in UTF-8"),
    _record("id", "text", "the corpus' own name of the document"),
    _record("url", "text", "where the document was found"),
    _record("path", "text", "path of the file in its repository"),
    _record("subset", "text", "the corpus' own name of a part"),
    _record("license", "text", "licence, as the corpus names it"),
    _record("license_id", "text", "SPDX ids of the licences, joined by commas"),
    _record("repository", "text", "repository of the file"),
    _record("host", "text", "host of the URL, without www."),
    _record("access", "text", "'restricted', or the corpus' own word"),
    _record("origin", "text", "source or corpus the text derives from"),
    _record("parent", "text", "id there of the document it derives from"),
    _record("generator", "text", "what wrote it, such as a model"),
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
    Signal("unspaced_ratio", "gopher", pa.float64(), "0 to 1", "letters of scripts without spaces, of all",
        "Unicode, Line_Break=SA and Script"),
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
    _dolma("chars", "code points", "length of the text", pa.int64()),
    _dolma("words", "words", "words between white space", pa.int32()),
    _dolma("median_word_chars", "code points", "median word length"),
    _dolma("symbol_word_ratio", "0 to 1", "words that hold # or …"),
    _dolma("alpha_word_ratio", "0 to 1", "words with a letter"),
    _dolma("required_words", "words", "the, be, to, ...: all occurrences", pa.int32()),
    _dolma("bullet_line_ratio", "0 to 1", "lines that start with - or *"),
    _dolma("ellipsis_line_ratio", "0 to 1", "lines that end in …"),
    _dolma("dup_line_ratio", "0 to 1", "lines that occur again, blank ones too"),
    _dolma("dup_line_char_ratio", "0 up", "characters in such lines"),
    _dolma("v2_bullet_line_ratio", "0 to 1", "the same without blank lines"),
    _dolma("v2_ellipsis_line_ratio", "0 to 1", "the same without blank lines"),
    _dolma("v2_dup_line_ratio", "0 to 1", "the same without blank lines"),
    *(
        _dolma(f"top_{n}gram_char_ratio", "0 up", f"characters in the most frequent {n} words")
        for n in (2, 3, 4)
    ),
    *(
        _dolma(f"dup_{n}gram_char_ratio", "0 to 1", f"characters in {n} words that occur again")
        for n in (5, 6, 7, 8, 9, 10)
    ),
    _dolma("lines", "lines", "lines, blank ones too", pa.int32()),
    _dolma("unpunctuated_lines", "lines", 'lines not to . ? ! or "', pa.int32()),
    _dolma("short_lines", "lines", "lines of fewer than three words", pa.int32()),
    _dolma("has_lorem_ipsum", "true or false", "holds lorem ipsum", pa.bool_()),
    _dolma("has_curly_brace", "true or false", "holds {", pa.bool_()),
    _dolma("has_javascript", "true or false", "holds javascript", pa.bool_()),
    _dolma("has_javascript_word", "true or false", "holds the word javascript", pa.bool_()),
    _dolma("repeats", "times", "1 to 13 words in a row", pa.int32()),
    _rps("doc_word_count", "words", "words without ASCII punctuation", pa.int32()),
    _rps("doc_mean_word_length", "code points", "mean word length, decomposed"),
    _rps("doc_frac_unique_words", "0 to 1", "different words"),
    _rps("doc_unigram_entropy", "nats", "entropy of the words"),
    _rps("doc_num_sentences", "sentences", "parts between . ! ? with a letter", pa.int32()),
    _rps("doc_symbol_to_word_ratio", "per raw word", "# ... and …"),
    _rps("doc_frac_no_alph_words", "0 to 1", "raw words without a to z"),
    _rps("doc_frac_all_caps_words", "0 to 1", "raw words in capitals"),
    _rps("doc_frac_lines_end_with_ellipsis", "0 to 1", "lines to ... or …"),
    _rps("doc_lorem_ipsum", "per character", "lorem ipsum"),
    _rps("doc_curly_bracket", "0 to 1", "{ and }"),
    *(
        _rps(f"doc_frac_chars_top_{n}gram", "0 up", f"letters in the most frequent {n} words")
        for n in (2, 3, 4)
    ),
    *(
        _rps(f"doc_frac_chars_dupe_{n}grams", "0 to 1", f"letters in {n} words that occur again")
        for n in (5, 6, 7, 8, 9, 10)
    ),
    _rps("lines", "lines", "lines, blank ones too", pa.int32()),
    _rps("lines_mean_num_words", "words", "mean words a line"),
    _rps("lines_terminal_punctuation_fraction", "0 to 1", "lines to . ! ? or ”"),
    _rps("lines_start_with_bulletpoint_fraction", "0 to 1", "lines led by a bullet"),
    _rps("lines_uppercase_letter_fraction", "0 to 1", "capitals"),
    _rps("lines_numerical_chars_fraction", "0 to 1", "numerals among normalised characters"),
    _rps("lines_javascript_words", "words", "the word javascript", pa.int32()),
    Signal("dclm_words", "dclm", pa.int32(), "words", "words by fastText's splitter", _DCLM),
    Signal("dclm_mean_word_chars", "dclm", pa.float64(), "code points", "mean word length", _DCLM),
    Signal("dclm_symbol_word_ratio", "dclm", pa.float64(), "per word", "# ... . . . and …", _DCLM),
    Signal("dclm_nonalpha_word_ratio", "dclm", pa.float64(), "0 to 1", "words without a letter", _DCLM),
    Signal("dclm_stop_words", "dclm", pa.int32(), "words", "stop words, every occurrence", _DCLM),
    Signal("dclm_bullet_line_ratio", "dclm", pa.float64(), "0 to 1", "lines led by ● • * -", _DCLM),
    Signal("dclm_ellipsis_line_ratio", "dclm", pa.float64(), "0 to 1", "lines to ... . . . or …", _DCLM),
    Signal("dclm_dup_line_ratio", "dclm", pa.float64(), "0 to 1", "lines that occur twice", _DCLM),
    Signal("dclm_dup_line_char_ratio", "dclm", pa.float64(), "0 to 1", "code points in such lines", _DCLM),
    Signal("dclm_dup_paragraph_ratio", "dclm", pa.float64(), "0 to 1", "paragraphs that occur twice", _DCLM),
    Signal("dclm_dup_paragraph_char_ratio", "dclm", pa.float64(), "0 to 1", "code points in such paragraphs", _DCLM),
    Signal("dclm_top_2gram_char_ratio", "dclm", pa.float64(), "0 up", "code points in the most frequent 2 words",
        _DCLM),
    Signal("dclm_top_3gram_char_ratio", "dclm", pa.float64(), "0 up", "code points in the most frequent 3 words",
        _DCLM),
    Signal("dclm_top_4gram_char_ratio", "dclm", pa.float64(), "0 up", "code points in the most frequent 4 words",
        _DCLM),
    Signal("dclm_dup_5gram_char_ratio", "dclm", pa.float64(), "0 to 1", "letters in 5 words that occur twice", _DCLM),
    Signal("dclm_dup_6gram_char_ratio", "dclm", pa.float64(), "0 to 1", "letters in 6 words that occur twice", _DCLM),
    Signal("dclm_dup_7gram_char_ratio", "dclm", pa.float64(), "0 to 1", "letters in 7 words that occur twice", _DCLM),
    Signal("dclm_dup_8gram_char_ratio", "dclm", pa.float64(), "0 to 1", "letters in 8 words that occur twice", _DCLM),
    Signal("dclm_dup_9gram_char_ratio", "dclm", pa.float64(), "0 to 1", "letters in 9 words that occur twice", _DCLM),
    Signal("dclm_dup_10gram_char_ratio", "dclm", pa.float64(), "0 to 1", "letters in 10 words that occur twice", _DCLM),
    Signal("dclm_uppercase_lines", "dclm", pa.int32(), "lines", "lines mostly of capitals", _DCLM),
    Signal("dclm_numeric_lines", "dclm", pa.int32(), "lines", "lines that are a number", _DCLM),
    Signal("dclm_counter_lines", "dclm", pa.int32(), "lines", "lines such as 3 likes", _DCLM),
    Signal("dclm_short_lines", "dclm", pa.int32(), "lines", "lines of one word", _DCLM),
    Signal("dclm_cart_lines", "dclm", pa.int32(), "lines", "lines with items in cart", _DCLM),
    Signal("dclm_read_more_lines", "dclm", pa.int32(), "lines", "lines that end in read more...", _DCLM),
    Signal("dclm_sign_in_lines", "dclm", pa.int32(), "lines", "lines that start with sign-in", _DCLM),
    Signal("dclm_removed_word_ratio", "dclm", pa.float64(), "0 to 1", "words that line edits remove", _DCLM),
    Signal("nemo_words", "nemo", pa.int32(), "words", "words between white space", _NEMO),
    Signal("nemo_mean_word_chars", "nemo", pa.float64(), "code points", "mean word length", _NEMO),
    Signal("nemo_longest_word_chars", "nemo", pa.int64(), "code points", "longest word; 0: none", _NEMO),
    Signal("nemo_nonalnum_ratio", "nemo", pa.float64(), "0 to 1", "all but ASCII letters, digits, ?!,.", _NEMO),
    Signal("nemo_digit_ratio", "nemo", pa.float64(), "0 to 1", "digits 0 to 9", _NEMO),
    Signal("nemo_space_ratio", "nemo", pa.float64(), "0 to 1", "spaces, tabs, newlines", _NEMO),
    Signal("nemo_bracket_ratio", "nemo", pa.float64(), "0 to 1", "brackets of four kinds", _NEMO),
    Signal("nemo_url_char_ratio", "nemo", pa.float64(), "0 to 1", "code points of http addresses", _NEMO),
    Signal("nemo_has_porn_url", "nemo", pa.bool_(), "true or false", "an address holds porn", _NEMO),
    Signal("nemo_symbol_word_ratio", "nemo", pa.float64(), "0 to 1", "words that are # or ...", _NEMO),
    Signal("nemo_alpha_word_ratio", "nemo", pa.float64(), "0 to 1", "words with an alphabetic character", _NEMO),
    Signal("nemo_common_words", "nemo", pa.int32(), "words", "common English words, lower case", _NEMO),
    Signal("nemo_open_line_ratio", "nemo", pa.float64(), "0 to 1", "lines without end punctuation", _NEMO),
    Signal("nemo_ellipsis_line_ratio", "nemo", pa.float64(), "0 to 1", "lines to ... or read more", _NEMO),
    Signal("nemo_bullet_line_ratio", "nemo", pa.float64(), "0 to 1", "lines led by a bullet", _NEMO),
    Signal("nemo_boilerplate_ratio", "nemo", pa.float64(), "0 to 1", "paragraphs on cookies, privacy or terms", _NEMO),
    Signal("nemo_distinct_line_ratio", "nemo", pa.float64(), "0 to 1", "lines left without copies", _NEMO),
    Signal("nemo_distinct_line_char_ratio", "nemo", pa.float64(), "0 to 1", "code points left without such copies",
        _NEMO),
    Signal("nemo_distinct_paragraph_ratio", "nemo", pa.float64(), "0 to 1", "paragraphs left without copies", _NEMO),
    Signal("nemo_distinct_paragraph_char_ratio", "nemo", pa.float64(), "0 to 1",
        "code points left without such copies", _NEMO),
    Signal("nemo_top_2gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in the most frequent 2 words",
        _NEMO),
    Signal("nemo_top_3gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in the most frequent 3 words",
        _NEMO),
    Signal("nemo_top_4gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in the most frequent 4 words",
        _NEMO),
    Signal("nemo_dup_5gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in 5 words met before", _NEMO),
    Signal("nemo_dup_6gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in 6 words met before", _NEMO),
    Signal("nemo_dup_7gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in 7 words met before", _NEMO),
    Signal("nemo_dup_8gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in 8 words met before", _NEMO),
    Signal("nemo_dup_9gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in 9 words met before", _NEMO),
    Signal("nemo_dup_10gram_char_ratio", "nemo", pa.float64(), "0 to 1", "code points in 10 words met before", _NEMO),
    Signal("pii_emails", "pii", pa.int32(), "finds", "mail addresses", _DOLMA),
    Signal("pii_ips", "pii", pa.int32(), "finds", "public IPv4 and IPv6 addresses", _DOLMA),
    Signal("pii_phones", "pii", pa.int32(), "finds", "phone numbers in international form", _DOLMA),
    Signal("pii_cards", "pii", pa.int32(), "finds", "payment card numbers", "ISO/IEC 7812"),
    Signal("pii_ibans", "pii", pa.int32(), "finds", "bank account numbers", "ISO 13616"),
    Signal("pii_ids", "pii", pa.int32(), "finds", "national identity numbers", "python-stdnum"),
    Signal("secrets", "pii", pa.int32(), "finds", "keys, tokens, passwords", "detect-secrets"),
    Signal("comment_ratio", "code", pa.float64(), "0 to 1", "comments and docstrings; null: unknown", _CODE),
    Signal("alpha_token_ratio", "code", pa.float64(), "per token", "letters, by a stand-in tokenizer", _REDPAJAMA),
    Signal("blank_line_ratio", "code", pa.float64(), "0 to 1", "lines of white space", "coursepack"),
    Signal("code_fence_ratio", "code", pa.float64(), "0 to 1", "fenced blocks of Markdown", "CommonMark"),
    Signal("is_xml", "code", pa.bool_(), "true or false", "declares XML in 100 characters", _BIGCODE),
    Signal("html_visible_ratio", "code", pa.float64(), "0 to 1", "visible text; null: no HTML", _BIGCODE),
    Signal("html_visible_chars", "code", pa.int64(), "code points", "visible text; null: no HTML", _BIGCODE),
    Signal("is_json", "code", pa.bool_(), "true or false", "built like JSON", _BIGCODE),
    Signal("is_yaml", "code", pa.bool_(), "true or false", "built like YAML, or named so", _BIGCODE),
    Signal("is_autogenerated", "code", pa.bool_(), "true or false", "says so in five lines", _STARCODER2),
    Signal("is_vendored", "code", pa.bool_(), "true or false", "path of others' code", "Linguist"),
    Signal("has_license_header", "code", pa.bool_(), "true or false", "notice before the code", "RedPajama-V1, GitHub"),
    Signal("license_header_lines", "code", pa.int32(), "lines", "up to the notice's end", "RedPajama-V1, GitHub"),
    Signal("base64_ratio", "code", pa.float64(), "0 to 1", "runs of base64", _STARCODER2),
    Signal("hex_ratio", "code", pa.float64(), "0 to 1", "runs of hexadecimal bytes", _STARCODER2),
    Signal("number_list_ratio", "code", pa.float64(), "0 to 1", "lists of numbers", "coursepack"),
    Signal("max_encoded_chars", "code", pa.int64(), "code points", "longest base64 or hexadecimal", _STARCODER2),
    Signal("latex_commands", "math", pa.int32(), "commands", "known commands of LaTeX", _OPENWEBMATH),
    Signal("latex_environments", "math", pa.int32(), "environments", "of formulas, theorems and proofs", _OPENWEBMATH),
    Signal("has_latex_preamble", "math", pa.bool_(), "true or false", "documentclass, usepackage or document", "LaTeX"),
    Signal("math_char_ratio", "math", pa.float64(), "0 to 1", "code points of formulas", "OpenWebMath, Pandoc"),
    Signal("math_symbol_ratio", "math", pa.float64(), "0 to 1", "mathematical signs, lone Greek", _UNICODE),
    Signal("mathml_remnants", "math", pa.int32(), "marks", "MathML, entities, MathJax, [tex]", _OPENWEBMATH),
    Signal("arithmetic_ratio", "math", pa.float64(), "0 to 1", "digits and operators of sums", "coursepack"),
    Signal("script", "scripts", pa.string(), "ISO 15924", "script of most letters", _UNICODE),
    Signal("script_ratio", "scripts", pa.float64(), "0 to 1", "its share of the letters", _UNICODE),
    Signal("scripts", "scripts", pa.int32(), "scripts", "with 1 % of the letters", _UNICODE),
    Signal("upper_ratio", "scripts", pa.float64(), "0 to 1", "capitals among letters", _UNICODE),
    Signal("punct_ratio", "scripts", pa.float64(), "0 to 1", "punctuation", _UNICODE),
    Signal("symbol_ratio", "scripts", pa.float64(), "0 to 1", "symbols, emoji too", _UNICODE),
    Signal("emoji_ratio", "scripts", pa.float64(), "0 to 1", "emoji", _UNICODE),
    Signal("control_ratio", "scripts", pa.float64(), "0 to 1", "controls, white space aside", _UNICODE),
    Signal("replacement_ratio", "scripts", pa.float64(), "0 to 1", "U+FFFD and bytes not UTF-8", _UNICODE),
    Signal("private_use_ratio", "scripts", pa.float64(), "0 to 1", "private use", _UNICODE),
    Signal("non_ascii_ratio", "scripts", pa.float64(), "0 to 1", "past ASCII", _UNICODE),
    Signal("mojibake_ratio", "scripts", pa.float64(), "0 to 1", "UTF-8 read as Windows-1252", "ftfy"),
    Signal("invisible_chars", "scripts", pa.int32(), "code points", "that show nothing", _TROJAN),
    Signal("bidi_controls", "scripts", pa.int32(), "code points", "embed or override a direction", _TROJAN),
    Signal("compression_ratio", "compression", pa.float64(), "0 to 1", "Zstandard's size; null: short", "Zstandard"),
    Signal("byte_entropy", "compression", pa.float64(), "0 to 8", "bits a byte; null: short", "Shannon 1948"),
    Signal("edited_bytes", "edits", pa.int64(), "bytes", "size after local edits", _EDITS),
    Signal("edit_spans", "edits", pa.int32(), "spans", "replaced or deleted by edits", _EDITS),
    Signal("edit_removed_ratio", "edits", pa.float64(), "ratio", "bytes that edits took", _EDITS),
    Signal("edit_words_removed_ratio", "edits", pa.float64(), "ratio", "words that refinedweb_lines took", _EDITS),
    Signal("edit_unicode", "edits", pa.int32(), "spans", "repaired by ftfy and NFC", _EDITS),
    Signal("edit_citations", "edits", pa.int32(), "spans", "citation marks deleted", _EDITS),
    Signal("edit_c4_lines", "edits", pa.int32(), "spans", "lines C4 drops, their spaces", _EDITS),
    Signal("edit_refinedweb_lines", "edits", pa.int32(), "spans", "lines RefinedWeb drops, phrases", _EDITS),
    Signal("edit_pii", "edits", pa.int32(), "spans", "personal data replaced", _EDITS),
    Signal("edit_credentials", "edits", pa.int32(), "spans", "credentials replaced", _EDITS),
    Signal("language", "language", pa.string(), "ISO code", "most likely language", "fastText"),
    Signal("language_score", "language", pa.float64(), "0 to 1", "its probability", "fastText"),
    Signal("languages", "language", pa.int32(), "0 to 5", "languages of windows sure of theirs", "fastText"),
    Signal("second_language", "language", pa.string(), "ISO code", "second language of the text", "fastText"),
    Signal("second_language_share", "language", pa.float64(), "0 to 1", "its letters, of sure windows'", "fastText"),
    Signal("sql_statements", "sql", pa.int32(), "statements", "SQL statements", _SQL),
    Signal("sql_char_ratio", "sql", pa.float64(), "0 to 1", "code points in SQL", _SQL),
    Signal("sql_embedded", "sql", pa.string(), "place", "file, markdown, notebook, code, text", _SQL),
    Signal("sql_query_ratio", "sql", pa.float64(), "0 to 1", "statements that query", _SQL),
    Signal("sql_dml_ratio", "sql", pa.float64(), "0 to 1", "statements that change rows", _SQL),
    Signal("sql_ddl_ratio", "sql", pa.float64(), "0 to 1", "statements that define", _SQL),
    Signal("sql_join_ratio", "sql", pa.float64(), "0 to 1", "queries with a JOIN", _SQL),
    Signal("sql_mean_statement_chars", "sql", pa.float64(), "code points", "mean statement length", _SQL),
    Signal("sql_insert_char_ratio", "sql", pa.float64(), "0 to 1", "SQL that is inserted rows", _SQL),
    Signal("sql_comment_ratio", "sql", pa.float64(), "0 to 1", "SQL that is comments", _SQL),
    Signal("is_insert_dump", "sql", pa.bool_(), "true or false", "SQL is mostly inserted rows", _SQL),
    Signal("is_schema_only", "sql", pa.bool_(), "true or false", "defines, neither queries nor changes", _SQL),
    Signal("sql_dialect", "sql", pa.string(), "dialect", "by its marks; else ansi", _SQL),
    Signal("sql_parse_ratio", "sql_parse", pa.float64(), "0 to 1", "sampled statements that sqlglot parses", _SQL),
    Signal("programming_language", "programming", pa.string(), "name", "language of code", "Linguist"),
    Signal("tag", "domain", pa.string(), "domain", "what the document shows itself to be", _TAGS),
    Signal("tag_from", "domain", pa.string(), "origin", "path, host, marker, classifier or url", _TAGS),
    Signal("tag_score", "domain", pa.float64(), "0 to 1", "the classifier's probability", "fastText"),
    Signal("perplexity", "perplexity", pa.float64(), "per word", "KenLM model of the recipe", "CCNet"),
    Signal("bad_words", "bad_words", pa.int32(), "terms", "terms of the recipe's word lists", "RedPajama-V2"),
    Signal("bad_word_ratio", "bad_words", pa.float64(), "0 to 1", "words in such terms", "RedPajama-V2"),
    Signal("url_key", "urls", pa.int64(), "hash", "equal where normalised URLs are", "stages/urls.py"),
    Signal("url_blocked", "blocklists", pa.string(), "list", "blocklist the URL is on", "RefinedWeb, G.1"),
    _datatrove("words", "words", "spaCy's, not of punctuation alone", pa.int32()),
    _datatrove("mean_word_chars", "code points", "mean length of those words"),
    _datatrove("hash_word_ratio", "per word", "# signs"),
    _datatrove("ellipsis_word_ratio", "per word", "... and …"),
    _datatrove("bullet_line_ratio", "0 to 1", "lines that start with • or -"),
    _datatrove("ellipsis_line_ratio", "0 to 1", "lines that end in ... or …"),
    _datatrove("alpha_word_ratio", "0 to 1", "words, signs too, with a letter"),
    _datatrove("stop_words", "words", "different English stop words", pa.int32()),
    _datatrove("newline_word_ratio", "per word", "newlines"),
    _datatrove("sentences", "sentences", "spaCy's, line by line", pa.int32()),
    *(
        _datatrove(f"top_{n}gram_char_ratio", "per code point", f"chars of the top {n}-gram")
        for n in (2, 3, 4)
    ),
    *(
        _datatrove(f"dup_{n}gram_char_ratio", "0 to 1", f"chars in repeated {n}-grams")
        for n in (5, 6, 7, 8, 9, 10)
    ),
)
# fmt: on

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _ALL}


def group_schema(group: str) -> pa.Schema:
    """The columns of one group's signals, in order."""
    return pa.schema([(s.name, s.type) for s in _ALL if s.group == group])
