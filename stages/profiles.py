"""Profiles: the rules of published corpora and tools, by name, each with the domains it suits.

A rule is a predicate over signals of the catalogue, and drops what it is true for. Rules made for web pages destroy
code, LaTeX, verse and tables, so each has a scope. Where a tool measures otherwise than Gopher's text says,
its profile names that tool's own signals (`dolma_`, `dclm_`, `nemo_`, `rps_`).
"""

from coursepack.pipeline.recipe import RuleSettings

_WEB = ("general", "web", "books", "encyclopedia", "science", "dialogue")
_PAGES = ("general", "web")  # C4's and FineWeb's rules would drop verse, LaTeX, code and tables
_CODE = ("code",)
_MATH = ("math",)
_SQL = ("sql",)

# In scripts without spaces a word is one character: of good Thai, Burmese and Japanese documents these rules would
# drop 42 to 100 %, of Chinese ones those on short words all (multilingual documentation, 2026-11-25).
_SPACED = " and coalesce(unspaced_ratio, 0) < 0.1"
# Thai and Lao write no signs at the ends of sentences.
_SIGNED = " and coalesce(language, '') not in ('th', 'lo')"

_ENGLISH_PAGES = ("general[lang=en]", "web[lang=en]")

# mlfoundations/dclm, baselines_configs/dclm_baseline_refinedweb.yaml, from page_length_filter on: lists of URLs and the
# language step are apart there. Stop words and the tool's own choice of input make these rules English.
_DCLM = {
    "too_few_words": "dclm_words < 50",
    "too_many_words": "dclm_words > 100000",
    "short_words": "dclm_mean_word_chars < 3",
    "long_words": "dclm_mean_word_chars > 10",
    "symbols": "dclm_symbol_word_ratio > 0.1",
    "bullet_lines": "dclm_bullet_line_ratio > 0.9",
    "ellipsis_lines": "dclm_ellipsis_line_ratio > 0.3",
    "nonalpha_words": "dclm_nonalpha_word_ratio > 0.2",
    "few_stop_words": "dclm_stop_words < 2",
    "dup_line": "dclm_dup_line_ratio > 0.3",
    "dup_paragraph": "dclm_dup_paragraph_ratio > 0.3",
    "dup_line_char": "dclm_dup_line_char_ratio > 0.2",
    "dup_paragraph_char": "dclm_dup_paragraph_char_ratio > 0.2",
    "top_2gram_char": "dclm_top_2gram_char_ratio > 0.2",
    "top_3gram_char": "dclm_top_3gram_char_ratio > 0.18",
    "top_4gram_char": "dclm_top_4gram_char_ratio > 0.16",
    "dup_5gram_char": "dclm_dup_5gram_char_ratio > 0.15",
    "dup_6gram_char": "dclm_dup_6gram_char_ratio > 0.14",
    "dup_7gram_char": "dclm_dup_7gram_char_ratio > 0.13",
    "dup_8gram_char": "dclm_dup_8gram_char_ratio > 0.12",
    "dup_9gram_char": "dclm_dup_9gram_char_ratio > 0.11",
    "dup_10gram_char": "dclm_dup_10gram_char_ratio > 0.1",
    "removed_words": "dclm_removed_word_ratio > 0.05",
}

# FineWeb's filters (datatrove 0.10, examples/fineweb.py), on datatrove's own words. C4's rules on lines come before
# its rules on documents there, and FineWeb's rules see what they leave: the edit `c4_lines`.
_DATATROVE = {
    "repetition": {
        "empty": "chars = 0",
        "dup_paragraph": "dup_paragraph_ratio > 0.3",
        "dup_paragraph_char": "dup_paragraph_char_ratio > 0.2",
        "dup_line": "dup_line_ratio > 0.3",
        "dup_line_char": "dup_line_char_ratio > 0.2",
        "top_2gram_char": "dt_top_2gram_char_ratio > 0.2",
        "top_3gram_char": "dt_top_3gram_char_ratio > 0.18",
        "top_4gram_char": "dt_top_4gram_char_ratio > 0.16",
        "dup_5gram_char": "dt_dup_5gram_char_ratio > 0.15",
        "dup_6gram_char": "dt_dup_6gram_char_ratio > 0.14",
        "dup_7gram_char": "dt_dup_7gram_char_ratio > 0.13",
        "dup_8gram_char": "dt_dup_8gram_char_ratio > 0.12",
        "dup_9gram_char": "dt_dup_9gram_char_ratio > 0.11",
        "dup_10gram_char": "dt_dup_10gram_char_ratio > 0.1",
    },
    "gopher": {
        "too_few_words": "dt_words < 50",
        "too_many_words": "dt_words > 100000",
        "short_words": "dt_mean_word_chars < 3",
        "long_words": "dt_mean_word_chars > 10",
        "hashes": "dt_hash_word_ratio > 0.1",
        "ellipses": "dt_ellipsis_word_ratio > 0.1",
        "bullet_lines": "dt_bullet_line_ratio > 0.9",
        "ellipsis_lines": "dt_ellipsis_line_ratio > 0.3",
        "few_alpha_words": "dt_alpha_word_ratio < 0.8",
        "few_stop_words": "dt_stop_words < 2",
    },
    "c4": {
        "lorem_ipsum": "has_lorem_ipsum",
        "curly_brace": "curly_braces > 0",
        "few_sentences": "dt_sentences < 5",
    },
    "fineweb": {
        "blank": "lines = 0",
        "line_punct": "terminal_punct_line_ratio < 0.12",
        "short_lines": "short_line_ratio > 0.67",
        "char_dup": "char_dup_ratio > 0.01",
        "list": "dt_newline_word_ratio > 0.3",
    },
}

# nemo-curator 1.4.0, config/text/heuristic_filter_english_pipeline.yaml.
_NEMO = {
    "nonalnum": "nemo_nonalnum_ratio > 0.25",
    "symbol_words": "nemo_symbol_word_ratio > 0.1",
    "digits": "nemo_digit_ratio > 0.15",
    "urls": "nemo_url_char_ratio > 0.2",
    "spaces": "nemo_space_ratio > 0.25",
    "brackets": "nemo_bracket_ratio > 0.1",
    "boilerplate": "nemo_boilerplate_ratio > 0.4",
    "copied_lines": "nemo_distinct_line_ratio < 0.7",
    "copied_paragraphs": "nemo_distinct_paragraph_ratio < 0.7",
    "copied_line_chars": "nemo_distinct_line_char_ratio < 0.8",
    "copied_paragraph_chars": "nemo_distinct_paragraph_char_ratio < 0.8",
    "too_few_words": "nemo_words < 50",
    "too_many_words": "nemo_words > 100000",
    "open_lines": "nemo_open_line_ratio > 0.85",
    "few_alpha_words": "nemo_alpha_word_ratio < 0.8",
    "few_common_words": "nemo_common_words < 2",
    "short_words": "nemo_mean_word_chars < 3",
    "long_words": "nemo_mean_word_chars > 10",
    "long_word": "nemo_longest_word_chars > 1000",
    "ellipsis_lines": "nemo_ellipsis_line_ratio > 0.3",
    "top_2gram_char": "nemo_top_2gram_char_ratio > 0.2",
    "top_3gram_char": "nemo_top_3gram_char_ratio > 0.18",
    "top_4gram_char": "nemo_top_4gram_char_ratio > 0.16",
    "dup_5gram_char": "nemo_dup_5gram_char_ratio > 0.15",
    "dup_6gram_char": "nemo_dup_6gram_char_ratio > 0.14",
    "dup_7gram_char": "nemo_dup_7gram_char_ratio > 0.13",
    "dup_8gram_char": "nemo_dup_8gram_char_ratio > 0.12",
    "dup_9gram_char": "nemo_dup_9gram_char_ratio > 0.11",
    "dup_10gram_char": "nemo_dup_10gram_char_ratio > 0.1",
    "bullet_lines": "nemo_bullet_line_ratio > 0.9",
}

# Thresholds of Gopher (Rae et al. 2021, appendix A1) as datatrove's gopher_quality_filter.py and
# gopher_repetition_filter.py read them, of bigcode's preprocessing for StarCoder (Li et al. 2023), of
# C4 (Raffel et al. 2020), FineWeb (Penedo et al. 2024) and SlimPajama (Soboleva et al. 2023).
# `c4` has C4's rules on documents; its rules on lines, which come first there, are the edit `c4_lines`.
PROFILES: dict[str, dict[str, RuleSettings]] = {
    "gopher": {
        "gopher_too_few_words": RuleSettings(scope=_WEB, drop="words < 50"),
        "gopher_too_many_words": RuleSettings(scope=_WEB, drop="words > 100000"),
        "gopher_short_words": RuleSettings(scope=_WEB, drop=f"mean_word_chars < 3{_SPACED}"),
        "gopher_long_words": RuleSettings(scope=_WEB, drop="mean_word_chars > 10"),
        "gopher_hashes": RuleSettings(scope=_WEB, drop="hash_word_ratio > 0.1"),
        "gopher_ellipses": RuleSettings(scope=_WEB, drop="ellipsis_word_ratio > 0.1"),
        "gopher_bullet_lines": RuleSettings(scope=_WEB, drop="bullet_line_ratio > 0.9"),
        "gopher_ellipsis_lines": RuleSettings(scope=_WEB, drop="ellipsis_line_ratio > 0.3"),
        "gopher_few_alpha_words": RuleSettings(scope=_WEB, drop="alpha_word_ratio < 0.8"),
        "gopher_few_stop_words": RuleSettings(
            scope=_WEB, drop="stop_words < 2 and language = 'en'"
        ),
    },
    "code": {
        "code_long_line": RuleSettings(scope=_CODE, drop="max_line_chars > 1000"),
        "code_long_mean_line": RuleSettings(scope=_CODE, drop="mean_line_chars > 100"),
        "code_few_alnum": RuleSettings(scope=_CODE, drop="alnum_ratio < 0.25"),
        # StarCoder 2 (arXiv:2402.19173, 2.1), Linguist's vendored paths, Trojan Source (arXiv:2111.00169)
        "code_encoded": RuleSettings(
            scope=_CODE, drop="max_encoded_chars > 1024 or base64_ratio + hex_ratio > 0.5"
        ),
        "code_autogenerated": RuleSettings(scope=_CODE, drop="is_autogenerated"),
        "code_vendored": RuleSettings(scope=_CODE, drop="is_vendored"),
        "code_xml": RuleSettings(scope=_CODE, drop="is_xml"),
        "code_bidi": RuleSettings(scope=_CODE, drop="bidi_controls > 0"),
    },
    "gopher_repetition": {
        f"gopher_{name}": RuleSettings(scope=_WEB, drop=f"{name}_ratio > {most}{guard}")
        for name, most, guard in (
            ("dup_paragraph", 0.3, ""),
            ("dup_paragraph_char", 0.2, ""),
            ("dup_line", 0.3, ""),
            ("dup_line_char", 0.2, ""),
            ("top_2gram_char", 0.2, ""),
            ("top_3gram_char", 0.18, ""),
            ("top_4gram_char", 0.16, ""),
            ("dup_5gram_char", 0.15, _SPACED),
            ("dup_6gram_char", 0.14, _SPACED),
            ("dup_7gram_char", 0.13, _SPACED),
            ("dup_8gram_char", 0.12, _SPACED),
            ("dup_9gram_char", 0.11, _SPACED),
            ("dup_10gram_char", 0.1, _SPACED),
        )
    },
    "c4": {
        "c4_lorem_ipsum": RuleSettings(scope=_PAGES, drop="has_lorem_ipsum"),
        "c4_curly_brace": RuleSettings(scope=_PAGES, drop="curly_braces > 0"),
        "c4_few_sentences": RuleSettings(scope=_PAGES, drop=f"sentences < 5{_SIGNED}"),
        "c4_long_word": RuleSettings(scope=_PAGES, drop="longest_word_chars > 1000"),
    },
    "fineweb": {
        "fineweb_line_punct": RuleSettings(
            scope=_PAGES, drop=f"terminal_punct_line_ratio < 0.12{_SIGNED}"
        ),
        "fineweb_short_lines": RuleSettings(scope=_PAGES, drop="short_line_ratio > 0.67"),
        "fineweb_char_dup": RuleSettings(scope=_PAGES, drop="char_dup_ratio > 0.01"),
        "fineweb_list": RuleSettings(scope=_PAGES, drop="newline_word_ratio > 0.3"),
    },
    "slimpajama": {
        "slimpajama_short": RuleSettings(drop="bare_chars < 200"),  # of every source, code too
    },
    # Dolma 1.6 (configs/dolma-v1_6/mixing/cc-head.yaml). Its rules on the top 2-, 3- and 4-grams name a span that
    # its tagger never wrote, so they never fired, and are not here; those on PII and toxicity are other families'.
    # It counts repeated tokens of GPT-NeoX; `dolma_repeats` counts words.
    "dolma": {
        "dolma_too_few_words": RuleSettings(scope=_WEB, drop="dolma_words < 50"),
        "dolma_too_many_words": RuleSettings(scope=_WEB, drop="dolma_words > 100000"),
        "dolma_short_words": RuleSettings(scope=_WEB, drop="dolma_median_word_chars < 3"),
        "dolma_long_words": RuleSettings(scope=_WEB, drop="dolma_median_word_chars > 10"),
        "dolma_symbols": RuleSettings(scope=_WEB, drop="dolma_symbol_word_ratio > 0.1"),
        "dolma_few_alpha_words": RuleSettings(scope=_WEB, drop="dolma_alpha_word_ratio < 0.8"),
        "dolma_few_required_words": RuleSettings(
            scope=_WEB, drop="dolma_required_words < 2 and language = 'en'"
        ),
        "dolma_bullet_lines": RuleSettings(scope=_WEB, drop="dolma_bullet_line_ratio > 0.9"),
        "dolma_ellipsis_lines": RuleSettings(scope=_WEB, drop="dolma_ellipsis_line_ratio > 0.3"),
        "dolma_dup_line": RuleSettings(scope=_WEB, drop="dolma_dup_line_ratio > 0.3"),
        "dolma_dup_line_char": RuleSettings(scope=_WEB, drop="dolma_dup_line_char_ratio > 0.3"),
        **{
            f"dolma_dup_{n}gram_char": RuleSettings(
                scope=_WEB, drop=f"dolma_dup_{n}gram_char_ratio > {most}"
            )
            for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
        },
        "dolma_repeats": RuleSettings(
            scope=_WEB, drop="dolma_repeats >= 100"
        ),  # of words, not tokens
    },
    # The example of RedPajama-V2's own README.
    "redpajama": {
        "redpajama_too_few_words": RuleSettings(scope=_WEB, drop="rps_doc_word_count < 50"),
        "redpajama_too_many_words": RuleSettings(scope=_WEB, drop="rps_doc_word_count > 100000"),
        "redpajama_short_words": RuleSettings(scope=_WEB, drop="rps_doc_mean_word_length < 3"),
        "redpajama_long_words": RuleSettings(scope=_WEB, drop="rps_doc_mean_word_length > 10"),
        "redpajama_symbols": RuleSettings(scope=_WEB, drop="rps_doc_symbol_to_word_ratio > 0.1"),
        "redpajama_bullet_lines": RuleSettings(
            scope=_WEB, drop="rps_lines_start_with_bulletpoint_fraction > 0.9"
        ),
        "redpajama_top_2gram": RuleSettings(scope=_WEB, drop="rps_doc_frac_chars_top_2gram > 0.2"),
    },
    "dclm": {
        f"dclm_{name}": RuleSettings(scope=_ENGLISH_PAGES, drop=drop)
        for name, drop in _DCLM.items()
    },
    "nemo": {
        f"nemo_{name}": RuleSettings(scope=_ENGLISH_PAGES, drop=drop)
        for name, drop in _NEMO.items()
    },
    # RefinedWeb (Penedo et al. 2023, arXiv:2306.01116): DCLM's reproduction of it, behind a language threshold.
    "refinedweb": {
        f"refinedweb_{name}": RuleSettings(scope=_ENGLISH_PAGES, drop=drop)
        for name, drop in ({"language": "language_score < 0.65"} | _DCLM).items()
    },
    # bigcode-dataset (preprocessing/filtering.py, arguments.py) and StarCoder 2 (arXiv:2402.19173, 2.1). Its rule on
    # comments is SantaCoder's; a text whose syntax of comments is not known has none, and is kept.
    "starcoder": {
        "starcoder_long_line": RuleSettings(scope=_CODE, drop="max_line_chars > 1000"),
        "starcoder_long_mean_line": RuleSettings(scope=_CODE, drop="mean_line_chars > 100"),
        "starcoder_few_alnum": RuleSettings(scope=_CODE, drop="alnum_ratio < 0.25"),
        "starcoder_few_alpha": RuleSettings(scope=_CODE, drop="alpha_ratio < 0.25"),  # StarCoder 2
        "starcoder_few_comments": RuleSettings(scope=_CODE, drop="comment_ratio < 0.01"),
        "starcoder_most_comments": RuleSettings(scope=_CODE, drop="comment_ratio > 0.8"),
        "starcoder_xml": RuleSettings(
            scope=_CODE, drop="is_xml and not coalesce(path, '') like '%.xsl%'"
        ),
        "starcoder_html": RuleSettings(
            scope=_CODE, drop="html_visible_ratio <= 0.2 or html_visible_chars <= 100"
        ),
        # bigcode's min_size and max_size, for files of data
        "starcoder_data_size": RuleSettings(
            scope=_CODE, drop="(is_json or is_yaml) and (chars < 100 or chars > 5000)"
        ),
        "starcoder_many_lines": RuleSettings(scope=_CODE, drop="lines > 100000"),  # StarCoder 2
        "starcoder_autogenerated": RuleSettings(
            scope=_CODE, drop="is_autogenerated"
        ),  # StarCoder 2
        "starcoder_encoded": RuleSettings(  # StarCoder 2
            scope=_CODE, drop="max_encoded_chars > 1024 or base64_ratio + hex_ratio > 0.5"
        ),
    },
    "math": {
        # FineMath and OpenWebMath choose by classifiers; these are floors that need none.
        "math_short": RuleSettings(
            scope=_MATH, drop="chars < 100"
        ),  # OpenWebMath, filter_dataset.py
        # A page that is about mathematics shows some: formulas, commands, signs, remnants or sums.
        "math_no_mathematics": RuleSettings(
            scope=_MATH,
            drop="math_char_ratio < 0.01 and math_symbol_ratio < 0.001 and arithmetic_ratio < 0.01"
            " and latex_commands < 3 and latex_environments = 0 and mathml_remnants = 0",
        ),
        # Lists of macros, tables of numbers
        "math_number_list": RuleSettings(scope=_MATH, drop="number_list_ratio > 0.5"),
        "math_gibberish": RuleSettings(
            scope=_MATH, drop="compression_ratio > 0.7 and bytes >= 4096"
        ),
    },
    # Ours; no tool has rules for SQL. Schemas are wanted, and so is what has nothing to parse (GRANTs, procedures).
    "sql": {
        "sql_none": RuleSettings(scope=_SQL, drop="sql_statements < 1"),
        "sql_insert_dump": RuleSettings(scope=_SQL, drop="is_insert_dump"),
        "sql_unparsable": RuleSettings(scope=_SQL, drop="sql_parse_ratio < 0.5"),
        "sql_little": RuleSettings(scope=_SQL, drop="sql_char_ratio < 0.2"),
    },
    **{
        f"datatrove_{part}": {
            f"datatrove_{part}_{name}": RuleSettings(scope=_ENGLISH_PAGES, drop=drop)
            for name, drop in rules.items()
        }
        for part, rules in _DATATROVE.items()
    },
}
