import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import agreement
import measure
import measuring
import orjson
import pyarrow as pa
import pytest
import tokenize_text
from measuring import Corpus, Used
from whole import recipe_for

from coursepack.pipeline.documents import doc_numbers
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.families import FAMILIES, ROW, column_groups
from coursepack.stages.inventory import take_inventory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the meter reads /proc")

SAYS = """
import json, pathlib, sys
corpus, out, mode = sys.argv[1:]
print("busy in", mode)
about = {about}
pathlib.Path(out, "result.json").write_text(json.dumps(about))
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    texts = [f"Document {n} says: the cat and the dog have a walk to the sea. " * (n % 7 + 1)
             for n in range(2000)]  # fmt: skip
    source = tmp_path / "source.jsonl"
    source.write_bytes(
        b"".join(
            orjson.dumps({"id": f"d{n}", "text": text}) + b"\n" for n, text in enumerate(texts)
        )
    )
    return measuring.normalise([source], tmp_path / "corpus")


def texts(corpus: Corpus) -> dict[str, str]:
    rows = itertools.chain.from_iterable(map(measuring.read_records, corpus.parts))
    return {row["id"]: row["text"] for row in rows}


def test_a_sample_is_spread_nested_and_of_about_the_size(corpus: Corpus, tmp_path: Path) -> None:
    half = measure.drawn(corpus, corpus.mb / 2, tmp_path / "half")
    tenth = measure.drawn(corpus, corpus.mb / 10, tmp_path / "tenth")
    assert half.mb == pytest.approx(corpus.mb / 2, rel=0.1)
    assert tenth.mb == pytest.approx(corpus.mb / 10, rel=0.3)
    assert texts(tenth).items() < texts(half).items() < texts(corpus).items()
    assert half.names == corpus.names == ("source.jsonl",)
    numbers = [int(name[1:]) for name in texts(tenth)]
    assert min(numbers) < 200
    assert max(numbers) > 1800


@pytest.mark.parametrize("times", [1, 2])
def test_a_sample_of_all_is_the_corpus(corpus: Corpus, tmp_path: Path, times: int) -> None:
    assert measure.drawn(corpus, times * corpus.mb, tmp_path / "all") is corpus
    assert not (tmp_path / "all").exists()


def test_an_empty_sample_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no document falls into a sample of 1e-09 MB"):
        measure.drawn(corpus, 1e-9, tmp_path / "none")


def test_the_difference_is_what_lies_beyond_the_fixed_cost(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = measuring.Bench(corpus, tmp_path, None)
    # 10 CPU-seconds whatever the size, and 0.5 for a megabyte
    small, large = (measure.Run(mb, Used(mb, 10 + mb / 2, 100 + mb)) for mb in (25.0, 100.0))
    assert measure.beyond(small, large) == measure.Run(75.0, Used(75.0, 37.5, 200.0))
    rate = measure.write_runs(at, "job", "who", "1.2", small, large, mode="computed")
    assert rate == 2.0
    rows = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["beyond_fixed"] for row in rows] == [False, False, True]
    assert [row["mb_per_core_s"] for row in rows] == [1.111, 1.667, 2.0]
    assert {row["mode"] for row in rows} == {"computed"}


def test_no_rate_where_more_text_took_no_more(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = measuring.Bench(corpus, tmp_path, None)
    small, large = measure.Run(1.0, Used(1.0, 5.0)), measure.Run(2.0, Used(1.0, 4.9))
    assert measure.write_runs(at, "job", "who", "1.2", small, large) is None


def test_the_clock_counts_cpu_time_of_each_part() -> None:
    clock = measure.Clock()

    def slow() -> Iterator[int]:
        for number in range(3):
            end = time.process_time() + 0.03
            while time.process_time() < end:
                pass
            yield number

    with clock.part("asleep"):
        time.sleep(0.05)
    for number in clock.each("finding", slow()):
        with clock.part("using"):
            assert number < 3
    assert clock.seconds["asleep"] < 0.03
    assert clock.seconds["finding"] >= 0.09
    assert clock.seconds["using"] < 0.03


def test_the_profile_has_all_column_groups(corpus: Corpus, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, tmp_path / "workspace")
    groups = column_groups(recipe)
    inventory = take_inventory(recipe, Workspace(recipe.workspace))
    seconds = measure.seconds_by_part(recipe, inventory, groups)
    assert seconds.keys() >= groups.keys() | {"read", "content hash", "pieces", "words", "writing"}
    for name, group in groups.items():
        (record,) = inventory.workspace.dataset("profile", name).committed({"all"}).values()
        # samples are of a few documents
        assert record.rows == corpus.documents or (name == "samples" and 0 < record.rows < 20)
        assert inventory.workspace.dataset("profile", name).read(record).schema.names == (
            group.schema.names
        )


def test_opt_in_families_are_added(corpus: Corpus, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, tmp_path / "workspace")
    every = column_groups(measure.with_all_families(recipe))
    assert every.keys() == column_groups(recipe).keys() | FAMILIES.keys()
    assert every.keys() > column_groups(recipe).keys()


def test_columns_of_some_documents_get_their_numbers() -> None:
    doc = pa.array(doc_numbers(3, pa.array([0, 10, 20]).to_numpy()))
    all_of_them = pa.record_batch({"words": [1, 2, 3]})
    assert measure.with_doc(all_of_them, doc).to_pydict() == {
        "doc": doc.to_pylist(), "words": [1, 2, 3],
    }  # fmt: skip
    some = pa.record_batch({ROW: [0, 2], "head": ["a", "b"]})
    assert measure.with_doc(some, doc).to_pydict() == {
        "doc": doc.take([0, 2]).to_pylist(), "head": ["a", "b"],
    }  # fmt: skip


def test_milliseconds_a_megabyte_the_dearest_first() -> None:
    found = measure.per_mb({"a": 0.5, "b": 2.0, "c": 1e-9}, 100.0)
    assert list(found.items()) == [("b", 20.0), ("a", 5.0)]


def test_the_high_water_mark_is_kept_when_memory_is_given_back() -> None:
    block = bytearray(200_000_000)
    block[::4096] = b"x" * len(block[::4096])
    before = measure.high_water_mb(os.getpid())
    del block
    # the kernel counts in lots of pages
    assert measure.high_water_mb(os.getpid()) > before - 20 > 200
    assert measure.workers_peak_mb() == 0.0  # no Spark here


def run(
    about: str, corpus: Corpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[measure.Run, str]:
    program = folder / "peer.py"
    program.write_text(SAYS.replace("{about}", about))
    monkeypatch.setattr(measure, "FOLDER", folder)
    monkeypatch.setitem(measure.PEERS, "stub", ("peer.py", ("computed",)))
    return measure.run_peer("stub", sys.executable, corpus, "computed", folder / "out")


def test_a_peer_is_metered(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    burn = (
        "[t := __import__('time'), [0 for _ in iter(lambda: t.process_time() < 0.3, False)]] and "
    )
    about = burn + f"{{'version': '4.5', 'documents': {corpus.documents}}}"
    found, version = run(about, corpus, tmp_path, monkeypatch)
    assert version == "4.5"
    assert found.mb == corpus.mb
    assert 0.28 <= found.used.cpu_s < 5
    assert (tmp_path / "out" / "output.txt").read_text() == "busy in computed\n"


@pytest.mark.parametrize(("said", "counted"), [(1000.0, True), (0.0, False)])
def test_a_peer_may_know_of_more_seconds(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: float, counted: bool
) -> None:
    about = f"{{'version': '4.5', 'documents': {corpus.documents}, 'cpu_s': {said}}}"
    found, _ = run(about, corpus, tmp_path, monkeypatch)
    assert (found.used.cpu_s == said) == counted
    assert found.used.wall_s < 100


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("{'version': '4.5', 'documents': 1999}", r"stub read 1,999 documents of 2,000"),
        ("1 / 0", r"stub ended with code 1: .*ZeroDivisionError"),
        ("sys.exit(0)", r"stub ended with code 0 and no result\.json: busy in computed"),
    ],
)
def test_a_peer_that_fails(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: str, message: str
) -> None:
    with pytest.raises(measure.PeerError, match=message):
        run(about, corpus, tmp_path, monkeypatch)


def test_a_peer_that_fails_leaves_the_others(
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bad.py").write_text("raise SystemExit('no such model')")
    (tmp_path / "good.py").write_text(
        "import json, pathlib, sys\n"
        "documents = int(pathlib.Path(sys.argv[1], 'documents').read_text())\n"
        "about = {'version': '1', 'documents': documents}\n"
        "pathlib.Path(sys.argv[2], 'result.json').write_text(json.dumps(about))\n"
    )
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    monkeypatch.setattr(
        measure, "PEERS", {"bad": ("bad.py", ("computed",)), "good": ("good.py", ("a", "b"))}
    )
    draw = measure.drawn

    def counted(corpus: Corpus, mb: float, folder: Path) -> Corpus:
        found = draw(corpus, mb, folder)
        (found.folder / "documents").write_text(str(found.documents))
        return found

    monkeypatch.setattr(measure, "drawn", counted)
    at = measuring.Bench(corpus, tmp_path, None)
    pythons = {"bad": sys.executable, "good": sys.executable}
    _, errors = measure.record_peers(at, pythons, corpus.mb)
    assert errors == ["bad ended with code 1: no such model"]
    rows = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["who"], row["mode"], row["beyond_fixed"]) for row in rows] == [
        ("good", mode, difference) for mode in "ab" for difference in (False, False, True)
    ]


def test_every_peer_has_its_program() -> None:
    programs = {program for program, _ in measure.PEERS.values()}
    others = {agreement.PEER.name, tokenize_text.DATATROVE.name}
    assert programs | others == {f.name for f in measure.FOLDER.glob("*.py")}
    # a program with a package's own name would hide the package from itself
    assert not {name.split("_")[0] + ".py" for name in programs} & programs


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("spark=/usr/bin/python3", r"'spark=/usr/bin/python3' is not NAME=PYTHON; the names are"),
        ("dolma", r"'dolma' is not NAME=PYTHON"),
        ("dolma=/not/there", r"dolma: there is no file '/not/there'"),
    ],
)
def test_a_wrong_peer_is_refused(argument: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        measure.peer(argument)


def test_a_peer_is_named_with_its_python() -> None:
    assert measure.peer(f"dolma={sys.executable}") == ("dolma", sys.executable)
