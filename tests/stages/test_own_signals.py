"""Signals of the user's own code: both forms, failures, errors before the run, datatrove's filters by name."""

import io
import sys
import zipfile

import acme_signals
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_made import inventory_of, recipe, write_lines

from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.stages import measure as measuring
from coursepack.stages import own_signals
from coursepack.stages.check import check
from coursepack.stages.families import column_groups
from coursepack.stages.own_signals import FAILED, errors_of, own_groups, signals_of
from coursepack.stages.rules import rules_of

TEXTS = ["a JOIN b", "", None, "bad bad", "nan", "größer 人"]


def made(folder, *functions: str, rules=None, **signals) -> Recipe:
    (folder / "lid.bin").write_bytes(b"a model")
    settings = {"python": list(functions)} | signals
    changes = {"rules": rules or {}, "language": {"model": str(folder / "lid.bin")}}
    return recipe(folder, signals=settings, **changes).allowing_code()


def columns(folder, function: str, texts=TEXTS, kind=None) -> pa.RecordBatch:
    [group] = own_groups(made(folder, f"acme_signals:{function}"))
    records = pa.RecordBatch.from_pydict({"id": pa.nulls(len(texts), pa.string())})
    return group.columns(records, pa.array(texts, kind or pa.string()))


def measured(folder, function: str, texts=TEXTS) -> dict[str, list]:
    return columns(folder, function, texts).to_pydict()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("table_refs", {"table_refs": [1, 0, 0, 0, 0, 0]}),
        ("shouting", {"shouting": [0.5, None, None, 0.0, 0.0, 0.0]}),
        ("length", {"length": [8, 0, 0, 7, 3, 8]}),
        ("halves", {"half": [4, 0, 0, 3, 1, 4], "odd": [0, 0, 0, 1, 1, 0]}),
        ("cached", {"cached": [8, 0, 0, 7, 3, 8]}),
        ("joins", {"joins": [1, 0, 0, 0, 0, 0]}),
        ("bads", {"bads": [0, 0, 0, 2, 0, 0]}),
        ("words", {"words": [3, None, None, 2, 1, 2]}),
        ("with_option", {"with_option": [8, 0, 0, 7, 3, 8]}),
        ("of_checkers", {"of_checkers": [8, 0, 0, 7, 3, 8]}),
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


@pytest.mark.parametrize("function", ["length", "halves", "picky", "picky_array", "of_checkers"])
def test_text_that_was_edited_has_signals_of_the_same_types(tmp_path, function):
    edited = columns(tmp_path, function, kind=pa.large_string())
    assert edited.equals(columns(tmp_path, function), check_metadata=True)


@pytest.mark.parametrize(
    ("function", "errors"),
    [
        ("table_refs", {}),
        ("length", {}),
        ("picky", {"ValueError": 1}),
        ("picky_array", {"ValueError": 1}),
        ("broken", {"KeyError": 5}),
        ("empty_is_an_error", {"ZeroDivisionError": 1}),
        ("empty_is_an_error_array", {"ValueError": 1}),
    ],
)
def test_errors_are_counted_by_class_and_a_reject_is_none(tmp_path, function, errors):
    found = columns(tmp_path, function)  # one is empty, one is null
    assert errors_of(found) == errors
    assert found.column(FAILED).to_pylist().count(True) == sum(errors.values())
    assert not found.column(FAILED)[2].as_py()


def run(monkeypatch, folder, *functions: str) -> tuple[measuring.Measured, str]:
    """Measure in this process; what was measured, and what the step said."""
    write_lines(folder, "a.jsonl", ["good text", "bad text", b"broken"])
    write_lines(folder, "b.jsonl", ["a bad one", "", "another"])
    allowed = made(folder, *functions)
    wanted = {n: g for n, g in column_groups(allowed).items() if n == "record" or n[:4] == "own_"}
    monkeypatch.setattr(measuring, "column_groups", lambda _: wanted)
    monkeypatch.setattr(
        measuring, "run_tasks", lambda _, task, todo, most: [p for g in todo for p in task(g)]
    )
    said = io.StringIO()
    found = measuring.measure(None, allowed, inventory_of(allowed), Progress.console(said))
    return found, said.getvalue()


def test_failures_are_said_and_add_up(monkeypatch, tmp_path):
    found, said = run(monkeypatch, tmp_path, "acme_signals:picky", "acme_signals:length")
    failures = found.failures()
    assert failures == {
        "own_acme_signals_picky": measuring.Failures(2, 4, ("ValueError",)),
    }
    line = "the code of 'own_acme_signals_picky' failed on 2 of 4 texts (ValueError), which have no value"
    assert line in said


def test_code_that_fails_on_all_texts_ends_the_run(monkeypatch, tmp_path):
    message = (
        r"'own_acme_signals_broken' failed on 4 of 4 texts \(KeyError\), which are all; call it"
    )
    with pytest.raises(SourceError, match=message):
        run(monkeypatch, tmp_path, "acme_signals:broken")


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
        (
            "acme_signals:of_no_type",
            "'of_no_type' has no type for an array without rows; give it one",
        ),
        ("acme_signals:row", "'row' is a column of coursepack's own tables"),
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
    pq.write_table(pa.table({"id": ["a"], "length": [1]}), tmp_path / "t.parquet")
    table = {"table": f"{tmp_path}/t.parquet", "on": "id", "columns": ["length"]}
    with pytest.raises(
        RecipeError, match="two signals 'length': one from acme_signals:length, one"
    ):
        signals_of(made(tmp_path, "acme_signals:length", attach=[table]))


def test_two_groups_have_two_names(monkeypatch, tmp_path):
    package(tmp_path, "acme_pair/__init__.py", "")
    package(tmp_path, "acme_pair/two.py", "def f(text: str) -> int:\n    return 1\n")
    package(tmp_path, "acme_pair_two.py", "def f(text: str) -> int:\n    return 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for pair in (("acme_pair.two:f", "acme_pair_two:f"), ("acme_pair.two:f", "acme_pair.two:f")):
        with pytest.raises(
            RecipeError, match=f"'{pair[0]}' and '{pair[1]}' would both be measured as"
        ):
            own_groups(made(tmp_path, *pair))


NAMES = ["domain", "source", "group", "key", "row", "failed", "lot", "component", "bytes", "text"]


@pytest.mark.parametrize("name", [*NAMES, "score.v1", "Score"])
@pytest.mark.parametrize("kind", ["attach", "python", "classifiers", "datatrove"])
def test_names_of_the_steps_columns_are_taken(monkeypatch, tmp_path, name, kind):
    write_lines(tmp_path, "a.jsonl", ["text"])
    given, error = {}, RecipeError
    if kind == "attach":
        pq.write_table(pa.table({"id": ["a"], name: [1]}), tmp_path / "t.parquet")
        given = {"attach": [{"table": f"{tmp_path}/t.parquet", "on": "id", "columns": [name]}]}
    elif kind == "python":
        given = {"python": ["acme_signals:named"]}
        named = pa.record_batch([pa.array([], pa.int64())], [name])
        monkeypatch.setattr(acme_signals, "named", lambda text: named, raising=False)
    elif kind == "classifiers":
        given = {"classifiers": [{"name": name, "model": "none", "label": "a"}]}
        error = ValueError  # the recipe's own pattern refuses some
    else:
        pytest.importorskip("datatrove")
        given = {"datatrove": [{"name": "PIIFormatter", "signal": name}]}
    with pytest.raises(error, match=f"{name}|pattern|may hold"):
        signals_of(made(tmp_path, **given))


def test_check_refuses_a_taken_name(tmp_path):
    write_lines(tmp_path, "a.jsonl", ["text"])
    with pytest.raises(RecipeError, match="'row' is a column of coursepack's own tables"):
        check(made(tmp_path, "acme_signals:row"))


# The fingerprint of the code


DEFINES = "def f(text: str) -> int:\n    return {}\n"
DECORATOR = """import functools
def counted(f):
    @functools.wraps(f)
    def g(text: str) -> int:
        return f(text)
    return g
"""


def package(folder, name: str, source: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(source)


def code_of(monkeypatch, folder, spec: str, path) -> dict[str, str]:
    """The hashes of one's code as a process that starts now would take them."""
    own_signals._function_group.cache_clear()
    for name in [name for name in sys.modules if name.startswith("acme_code")]:
        del sys.modules[name]
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(path))
        [group] = own_groups(made(folder, spec))
    own_signals._function_group.cache_clear()
    return group.settings["code"]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("spec", "files", "changed"),
    [
        ("acme_code:f", {"acme_code.py": DEFINES}, "acme_code.py"),
        ("acme_code:f", {"acme_code.py": "import functools\n@functools.lru_cache\n" + DEFINES},
         "acme_code.py"),
        ("acme_code:f", {"acme_code_deco.py": DECORATOR,
                         "acme_code.py": "from acme_code_deco import counted\n@counted\n" + DEFINES},
         "acme_code.py"),
        ("acme_code:f", {"acme_code/__init__.py": "from acme_code.m import f\n",
                         "acme_code/m.py": DEFINES}, "acme_code/m.py"),
        ("acme_code.m:f", {"acme_code/__init__.py": "", "acme_code/m.py": DEFINES,
                           "acme_code/sub/__init__.py": "", "acme_code/sub/deep.py": DEFINES},
         "acme_code/sub/deep.py"),
        ("acme_code.m:f", {"acme_code/m.py": DEFINES}, "acme_code/m.py"),  # a namespace
        ("acme_code:f", {"acme_code.py": "from acme_code_other import f\n",
                         "acme_code_other.py": DEFINES}, "acme_code_other.py"),
    ],
)  # fmt: skip
def test_a_change_of_the_code_changes_its_hash(monkeypatch, tmp_path, spec, files, changed, zipped):
    found = []
    for version in (1, 1, 2):
        path = tmp_path / str(len(found))
        for name, source in files.items():
            package(path, name, source.replace("{}", str(version if name == changed else 1)))
        if zipped:
            with zipfile.ZipFile(path / "all.zip", "w") as out:
                for entry in sorted(path.rglob("*")):  # folders too: a namespace is one
                    if entry.suffix != ".zip":
                        out.write(entry, entry.relative_to(path))
            path /= "all.zip"
        found.append(code_of(monkeypatch, tmp_path, spec, path))
    assert found[0] == found[1]
    assert found[0].keys() == found[2].keys()
    module = changed.removesuffix(".py").replace("/", ".")
    assert [name for name in found[0] if found[0][name] != found[2][name]] == [module]


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
        ({"name": "SamplerFilter", "args": {"seed": 1}}, "'SamplerFilter' draws random numbers"),
        ({"name": "C4BadWordsFilter", "args": {"keep_fraction": 0.1}}, "draws random numbers"),
        (
            {"name": "LambdaFilter", "args": {"filter_function": "x"}},
            "wants a function, which a recipe",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            own_groups(made(tmp_path, datatrove=[step]))


def test_a_filter_whose_packages_are_missing_is_an_error_of_the_recipe(monkeypatch, tmp_path):
    filters = pytest.importorskip("datatrove.pipeline.filters")

    class Lacking:
        def __init__(self) -> None:
            raise ImportError("please install it")

    monkeypatch.setattr(filters, "Lacking", Lacking, raising=False)
    with pytest.raises(RecipeError, match=r"signals\.datatrove: 'Lacking': please install it"):
        own_groups(made(tmp_path, datatrove=["Lacking"]))


def test_two_steps_of_one_class(tmp_path):
    pytest.importorskip("datatrove")
    one, other = ({"name": "RegexFilter", "args": {"regex_exp": e}} for e in ("a", "b"))
    with pytest.raises(RecipeError, match="give one of two steps of datatrove a `signal`"):
        own_groups(made(tmp_path, datatrove=[one, other]))
    named = made(tmp_path, datatrove=[one, other | {"signal": "no_b"}])
    assert {"datatrove_regex_filter", "no_b"} <= signals_of(named).keys()
    records = pa.RecordBatch.from_pydict({n: pa.nulls(2, pa.string()) for n in ("id", "url")})
    found = [g.columns(records, pa.array(["a", "b"])).column(0) for g in own_groups(named)]
    assert [column.to_pylist() for column in found] == [["dropped", None], [None, "dropped"]]
    # a name alone measures nothing else
    plain = made(tmp_path, datatrove=[other])
    assert own_groups(plain)[0].settings == own_groups(named)[1].settings
    assert own_groups(made(tmp_path, datatrove=["C4BadWordsFilter"]))
