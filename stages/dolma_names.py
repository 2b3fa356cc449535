"""What Dolma's taggers call the signals that follow them: `tagger.attribute` (allenai/dolma 1.2.1)."""

NAMES = {
    "gopher_v1.character_count": "dolma_chars",
    "gopher_v1.word_count": "dolma_words",
    "gopher_v1.median_word_length": "dolma_median_word_chars",
    "gopher_v1.symbol_to_word_ratio": "dolma_symbol_word_ratio",
    "gopher_v1.fraction_of_words_with_alpha_character": "dolma_alpha_word_ratio",
    "gopher_v1.required_word_count": "dolma_required_words",
    "gopher_v1.fraction_of_lines_starting_with_bullet_point": "dolma_bullet_line_ratio",
    "gopher_v1.fraction_of_lines_ending_with_ellipsis": "dolma_ellipsis_line_ratio",
    "gopher_v1.fraction_of_duplicate_lines": "dolma_dup_line_ratio",
    "gopher_v1.fraction_of_characters_in_duplicate_lines": "dolma_dup_line_char_ratio",
    **{
        f"gopher_v1.fraction_of_characters_in_most_common_{n}grams": f"dolma_top_{n}gram_char_ratio"
        for n in (2, 3, 4)
    },
    **{
        f"gopher_v1.fraction_of_characters_in_duplicate_{n}grams": f"dolma_dup_{n}gram_char_ratio"
        for n in (5, 6, 7, 8, 9, 10)
    },
    "gopher_v2.fraction_of_lines_starting_with_bullet_point": "dolma_v2_bullet_line_ratio",
    "gopher_v2.fraction_of_lines_ending_with_ellipsis": "dolma_v2_ellipsis_line_ratio",
    "gopher_v2.fraction_of_duplicate_lines": "dolma_v2_dup_line_ratio",
    "gopher_v2.fraction_of_characters_in_duplicate_lines": "dolma_dup_line_char_ratio",
    "c4_v2.line_count": "dolma_lines",
    "c4_v2.lines_with_no_ending_punctuation": "dolma_unpunctuated_lines",
    "c4_v2.lines_with_too_few_words": "dolma_short_lines",
    "c4_v2.has_lorem_ipsum": "dolma_has_lorem_ipsum",
    "c4_v2.has_curly_brace": "dolma_has_curly_brace",
    "c4_v2.has_javascript": "dolma_has_javascript",
    "c4_v1.has_javascript": "dolma_has_javascript_word",
}
