"""The strings that spaCy's English tokenizer splits, or leaves whole, against its rules on affixes.

They are those of `spacy/lang/en/tokenizer_exceptions.py` and `spacy/lang/tokenizer_exceptions.py` (3.8, MIT licence),
made here from the words that they consist of. Contractions without their apostrophe are among them: "dont", "wed".
"""

from collections.abc import Iterator

_PRONOUNS = "i you he she it we they"
_ASKING = "who what when where why how there that this these those"
# Verbs by what follows them: n't alone, 've alone, or both in turn.
_NOT = "ai are is was were have has dare"
_HAVE = "could might must should would"
_NOT_HAVE = "ca could do does did had may might must need ought sha should wo would"
_NO_CONTRACTIONS = "ill its hell shell shed were well whore"

_ALONE = (
    # ends of words that are cut off
    "doin goin nothin nuthin ol somethin havin lovin doin' goin' nothin' nuthin' ol' somethin' havin' lovin' "
    "'cause 'cos 'coz 'cuz 'bout 'em 'll 'nuff 're 's 'd em ll nuff Doin Goin Nothin Nuthin Ol Somethin Havin Lovin "
    "Doin' Goin' Nothin' Nuthin' Ol' Somethin' Havin' Lovin' 'Cause 'Cos 'Coz 'Cuz 'S ‘S ‘s "
    "ma'am Ma'am o'clock O'clock "
    # abbreviations
    "Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. D.C. Dec. Del. Dr. E.G. E.g. Feb. Fla. Ga. "
    "Gen. Gov. I.E. I.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar. Mass. Md. Messrs. "
    "Mich. Minn. Miss. Mo. Mont. Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. "
    "Pa. Ph.D. Prof. Rep. Rev. S.C. Sen. Sep. Sept. St. Tenn. Va. Wash. Wis. a.m. co. e.g. i.e. p.m. v.s. vs. "
    "a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü. "
    "and/or w/o C++ <space> \\\") \\t \\n ' '' — "
    # emoticons
    ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; "
    ":( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p "
    ":O :-O :o :-o :0 :-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D "
    "^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 "
    "o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>"
)
_APART = (
    "y'|all y|all how|'d|'y How|'d|'y not|'ve not|ve Not|'ve Not|ve can|not Can|not gon|na Gon|na got|ta Got|ta "
    "let|'s Let|'s c'm|on C'm|on °|C|. °|F|. °|K|. °|c|. °|f|. °|k|."
)


def exceptions() -> dict[str, tuple[str, ...]]:
    """Each string, and the words it becomes."""
    found: dict[str, tuple[str, ...]] = {word: (word,) for word in _ALONE.split()}
    for parts in _APART.split():
        found[parts.replace("|", "")] = tuple(parts.split("|"))
    for hour in range(1, 13):
        for half in ("a.m.", "am", "p.m.", "pm"):
            found[f"{hour}{half}"] = (str(hour), half)
    for words in _contractions():
        found["".join(words)] = words
        bare = tuple(word.replace("'", "") for word in words)
        if "".join(bare).lower() not in _NO_CONTRACTIONS.split():
            found["".join(bare)] = bare
    for text, words in list(found.items()):
        found[text.replace("'", "’")] = tuple(word.replace("'", "’") for word in words)
    return found


def _contractions() -> Iterator[tuple[str, ...]]:
    """With their apostrophes, small and with a capital."""
    for endings, words in _endings():
        for word in words.split():
            for host in (word, word.title()):
                for ending in endings.split():
                    yield (host, *ending.split("|"))


def _endings() -> Iterator[tuple[str, str]]:
    yield "'ll 'll|'ve 'd 'd|'ve", f"{_PRONOUNS} {_ASKING}"
    yield "'m 'm|a", "i"
    yield "'ve", f"i you we they {_HAVE}"
    yield "'re", "you we they"
    yield "'s", "he she it who what when where why how there that this"
    yield "'re 've", "who what when where why how there these those"
    yield "n't", f"{_NOT} {_NOT_HAVE}"
    yield "n't|'ve", _NOT_HAVE
