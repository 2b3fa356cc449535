"""Signals of the user's own code: both forms, failures, errors before the run, datatrove's filters by name."""

import pyarrow as pa
import pytest
from hand_made import recipe

from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.recipe import Recipe
from coursepack.stages.families import column_groups
from coursepack.stages.own_signals import FAILED, own_groups, signals_of
from coursepack.stages.rules import rules_of

TEXTS = ["a JOIN b", "", None, "bad bad", "nan", "größer 人"]


def made(folder, *functions: str, rules=None, **signals) -> Recipe:
    (folder / "lid.bin").write_bytes(b"a model")
    settings = {"python": list(functions)} | signals
    changes = {"rules": rules or {}, "language": {"model": str(folder / "lid.bin")}}
    return recipe(folder, signals=settings, **changes).allowing_code()


def measured(folder, function: str, texts=TEXTS) -> dict[str, list]:
    [group] = own_groups(made(folder, f"acme_signals:{function}"))
    records = pa.RecordBatch.from_pydict({"id": pa.nulls(len(texts), pa.string())})
    return group.columns(records, pa.array(texts, pa.string())).to_pydict()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("table_refs", {"table_refs": [1, 0, 0, 0, 0, 0]}),
        ("shouting", {"shouting": [0.5, None, None, 0.0, 0.0, 0.0]}),
        ("length", {"length": [8, 0, 0, 7, 3, 8]}),
        ("halves", {"half": [4, 0, 0, 3, 1, 4], "odd": [0, 0, 0, 1, 1, 0]}),
    ],
)
def test_both_forms(tmp_path, function, expected):
    assert measured(tmp_path, function) == expected | {FAILED: [False] * 6}
    assert all(len(column) == 0 for column in measured(tmp_path, function, []).values())


def test_a_text_on_which_it_fails_is_null_and_counted(tmp_path):
    found = measured(tmp_path, "picky")
    assert found == {"picky": [1.0, 1.0, 1.0, None, None, 1.0],
                     FAILED: [False, False, False, True, False, False]}  # fmt: skip
    found = measured(tmp_path, "picky_array")
    assert found == {"picky_array": [8, 0, 0, None, 3, 8],
                     FAILED: [False, False, False, True, False, False]}  # fmt: skip


def test_an_array_of_another_length_is_an_error(tmp_path):
    message = "returned 5 of string for 6 texts; it must return as many of string"
    with pytest.raises(SourceError, match=message):
        measured(tmp_path, "short")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("acme_signals", "names no function; write 'package.module:function'"),
        ("acme_signals:nothing", "the module 'acme_signals' has no function 'nothing'"),
        ("not_there_at_all:f", "No module named 'not_there_at_all'; install the package here"),
        ("acme_signals:unsaid", "'unsaid' does not say what it returns; it takes one text"),
        ("acme_signals:nested", "'nested' is list<item: int64>; signals are numbers, strings"),
    ],
)
def test_what_cannot_be_a_signal(tmp_path, function, message):
    with pytest.raises(RecipeError, match=r"signals\.python") as error:
        signals_of(made(tmp_path, function))
    assert message in str(error.value)


def test_code_must_be_allowed(tmp_path):
    allowed = made(tmp_path, "acme_signals:length")
    assert "length" in signals_of(allowed)
    assert "length" in signals_of(allowed.sampled(0.5))
    with pytest.raises(
        RecipeError, match=r"runs code of its own \(acme_signals:length\); pass --al"
    ):
        signals_of(Recipe.model_validate(allowed.model_dump()))
    with pytest.raises(ValueError, match="Extra inputs"):
        Recipe.model_validate(allowed.model_dump() | {"_allows_code": True})


def test_a_name_of_ours_is_taken(tmp_path):
    with pytest.raises(
        RecipeError, match="two signals 'length': one from acme_signals:length, one"
    ):
        signals_of(made(tmp_path, "acme_signals:length", "acme_signals:length"))


def test_rules_name_them(tmp_path):
    allowed = made(tmp_path, "acme_signals:table_refs", rules={"few": {"drop": "table_refs < 2"}})
    [rule] = rules_of(allowed)
    assert rule.fires.signals == ("table_refs",)
    group = column_groups(allowed)["own_acme_signals_table_refs"]
    assert group.schema.names == ["doc", "table_refs", FAILED]
    assert group.settings["code"]
    with pytest.raises(RecipeError, match="wants two of one type"):
        rules_of(
            made(tmp_path, "acme_signals:table_refs", rules={"x": {"drop": "table_refs = ''"}})
        )


def test_a_filter_and_a_formatter_of_datatrove(tmp_path):
    pytest.importorskip("datatrove")
    steps = [
        {"name": "RegexFilter", "args": {"regex_exp": "JOIN", "exclusion_writer": None}},
        "PIIFormatter",
    ]
    groups = own_groups(made(tmp_path, datatrove=steps))
    text = pa.array(["a JOIN b", "write to jo.doe@gmail.com now", None])
    nothing = pa.nulls(3, pa.string())
    records = pa.RecordBatch.from_pydict({"id": nothing, "url": nothing})
    first, second = (group.columns(records, text).to_pydict() for group in groups)
    assert first["datatrove_regex_filter"] == ["dropped", None, None]
    assert second["datatrove_piiformatter"] == [False, True, False]
    assert first[FAILED] == second[FAILED] == [False] * 3
    for step, message in (
        ("NoFilter", "has no such class; it has .*RegexFilter"),
        ({"name": "RegexFilter", "args": {"odd": 1}}, "unexpected keyword argument 'odd'"),
    ):
        with pytest.raises(RecipeError, match=message):
            own_groups(made(tmp_path, datatrove=[step]))
