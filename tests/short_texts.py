"""Short texts of many kinds that quality signals are compared on: in the public domain, or written for it."""

import pyarrow as pa

from coursepack.stages.catalogue import SIGNALS
from coursepack.stages.decide import failed_rules, first_reasons
from coursepack.stages.rules import expand

_HOUSE = (
    "the house that Jack built",
    "the malt that lay in",
    "the rat that ate",
    "the cat that killed",
    "the dog that worried",
    "the cow with the crumpled horn that tossed",
    "the maiden all forlorn that milked",
)
_NOTICE = "We use cookies. By using this site you accept our Privacy Policy and Terms of Use."

TEXTS = {
    "sonnet": (
        "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n"
        "Rough winds do shake the darling buds of May,\nAnd summer's lease hath all too short a date;\n\n"
        "So long as men can breathe, or eyes can see,\n"
        "So long lives this, and this gives life to thee.\n"
    ),
    "genesis": (
        "In the beginning God created the heaven and the earth. And the earth was without form, and void; "
        "and darkness was upon the face of the deep. And the Spirit of God moved upon the face of the "
        "waters. And God said, Let there be light: and there was light. And God saw the light, that it "
        "was good: and God divided the light from the darkness."
    ),
    "jack": "\n\n".join(
        "This is " + "\n".join(reversed(_HOUSE[: n + 1])) + "." for n in range(len(_HOUSE))
    ),
    "row": "Row, row, row your boat,\nGently down the stream.\n"
    "Merrily, merrily, merrily, merrily,\nLife is but a dream.\n\n" * 3,
    "bottles": "\n".join(
        f"{n} green bottles hanging on the wall,\n{n} green bottles hanging on the wall,\n"
        f"And if one green bottle should accidentally fall,\n"
        f"There'll be {n - 1} green bottles hanging on the wall.\n"
        for n in (10, 9, 8)
    ),
    "gettysburg": (
        "Four score and seven years ago our fathers brought forth on this continent, a new nation, "
        "conceived in Liberty, and dedicated to the proposition that all men are created equal.\n\n"
        "Now we are engaged in a great civil war, testing whether that nation, or any nation so conceived "
        "and so dedicated, can long endure. We are met on a great battle-field of that war.\n\n"
        "But, in a larger sense, we can not dedicate -- we can not consecrate -- we can not hallow -- "
        "this ground. ... that government of the people, by the people, for the people, shall not perish."
    ),
    "menu": "Home\nNews\nSport\nContact\n\nHome\nNews\nSport\nLogin\n\n© 2020\nHome\n",
    "notice": f"{_NOTICE}\n{_NOTICE}\nPlease enable JavaScript to see this page.\n",
    "lorem": "Lorem ipsum dolor sit amet, consectetur adipisici elit, sed eiusmod tempor incidunt.",
    "log": "".join(
        f"2020-01-0{day} 12:00:0{second} INFO worker {second}: job done in {day}{second} ms\n"
        for day in (1, 2, 3)
        for second in (4, 5, 6)
    ),
    "table": "n;square;cube\n" + "".join(f"{n};{n**2};{n**3}\n" for n in range(12)),
    "ascii_art": "+---+---+\n|   | x |\n+---+---+\n| o |   |\n+---+---+\n",
    "python": (
        "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
        "    return total / len(values)\n\n\ndef largest(values):\n    best = values[0]\n"
        "    for value in values:\n        if value > best:\n            best = value\n    return best\n"
    ),
    "javascript": 'function hi(name) {\n  console.log("hi " + name);\n}\n\nhi("you");\n',
    "sql": "SELECT a.id, b.name FROM a JOIN b ON a.id = b.id WHERE a.id > 5 AND b.name = 'x';",
    "math": "Let $\\frac{a}{b} = \\frac{c}{d}$.\nThen $ad = bc$, and $\\frac{a+c}{b+d} = \\frac{a}{b}$.\n",
    "german": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und "
        "Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.\n\n"
        "Jeder hat Anspruch auf die in dieser Erklärung verkündeten Rechte und Freiheiten ohne "
        "irgendeinen Unterschied."
    ),
    "chinese": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。\n"
    "人人生而自由,在尊严和权利上一律平等。\n",
    "hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।\n"
    "उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है।",
    "list": "- eggs\n- milk\n- bread\n\n\n- eggs\n- salt \n\n   \n- milk",
    "spam": "buy cheap pills now " * 12,
    "one_word": "word",
    "indented": "\n\n  a line\u00a0\n\n  a line\n\n\n",
}


def reasons(profile: str, signals: pa.RecordBatch) -> list[str | None]:
    """What decide says of pages of the web with these signals."""
    rules = expand((profile,), {}, {name: signal.type for name, signal in SIGNALS.items()})
    table = pa.Table.from_batches([signals])
    for name, value in (("domain", "web"), ("source", "web"), ("language", "en")):
        table = table.append_column(name, pa.array([value] * len(table)))
    for name in {signal for rule in rules for signal in rule.fires.signals} - {*table.column_names}:
        table = table.append_column(
            name, pa.nulls(len(table), SIGNALS[name].type)
        )  # of another family
    table = table.append_column("reject", pa.nulls(len(table), pa.string()))
    found: list[str | None] = first_reasons(
        rules, failed_rules(rules, table), table["reject"]
    ).to_pylist()
    return found
