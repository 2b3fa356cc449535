"""Each kind of damage to a small result is found and named; an undamaged one passes."""

import functools
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.arrow import fixed_rows
from coursepack.pipeline.documents import PLACE_BITS
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.hashing import content_hash
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.pipeline.storage import sha256_of, write_bytes
from coursepack.pipeline.workspace import Dataset, Workspace
from coursepack.shards.format import (
    DOCS,
    ShardInfo,
    docs_path,
    open_shard,
    parse_info,
    read_docs,
    row_width,
    shard_path,
    shard_schema,
    write_docs,
    write_shard,
)
from coursepack.shards.manifest import (
    FILES,
    Manifest,
    PhaseInfo,
    Stream,
    manifest_bytes,
    read_files,
    write_files,
)
from coursepack.stages import verify as module
from coursepack.stages.compare import COMPARED, compare
from coursepack.stages.invariants import not_once, read_lists, row_problems
from coursepack.stages.inventory import take_inventory
from coursepack.stages.lineage import LINEAGE
from coursepack.stages.packing import pack
from coursepack.stages.records import read_records
from coursepack.stages.result import open_result
from coursepack.stages.verdict import Verdict
from coursepack.stages.verify import CHECKS, choose, verify
from coursepack.tokenizers.model import Tokenizer
from coursepack.tokenizers.presets import PRESETS
from coursepack.tokenizers.train import train

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
WORDS += ["größer", "als", "人人", "select", "from", "where"]
PAD = 0
# phase, length, targets, packing, [(first document, end, epoch) of each shard]
STREAMS = (
    ("general", 16, "shifted", "best_fit", [[(5, 20, 0)], [(20, 34, 0)]]),
    ("code", 24, "next", "concat", [[(34, 63, 0), (5, 9, 1)]]),
    ("validation", 16, "shifted", "best_fit", [[(0, 5, 0)]]),
)
A, B, CODE = "general/16/00000", "general/16/00001", "code/24/00000"


def texts(seed: int, count: int) -> list[str]:
    """All different; every third is short, so that some have equally many tokens."""
    rng = np.random.default_rng(seed)
    lengths = np.where(np.arange(count) % 3, rng.integers(1, 40, count), 0)
    return [
        f"{i}: {' '.join(rng.choice(WORDS, length))}\n\tend ▁{seed}"
        for i, length in enumerate(lengths.tolist())
    ]


@functools.cache
def model(preset: str) -> bytes:
    if preset in PRESETS:
        return train(texts(7, 30), 700, preset, accept_fewer=True)
    options: dict[str, Any] = {
        "nfkc": {"byte_fallback": True},
        "unknown": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    }
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts(7, 9)[:6]),
        model_writer=out,
        vocab_size=400,
        hard_vocab_limit=False,
        model_type="bpe",
        pad_id=3,
        minloglevel=2,
        **options[preset],
    )
    return out.getvalue()


@dataclass(frozen=True)
class Made:
    """A workspace with a result, made without Spark."""

    root: Path
    recipe: Recipe

    @property
    def workspace(self) -> str:
        return str(self.root / "workspace")

    @property
    def result(self) -> Path:
        return self.root / "workspace" / "shards" / "tiny"

    def problems(self, sample: int = 200) -> list[str]:
        return verify(self.workspace, "tiny", sample).problems

    def reseal(self) -> None:
        """Make files.parquet agree with the bytes that are there: what a bug would leave."""
        rows = read_files(str(self.result)).to_pylist()
        for row in rows:
            path = self.result / row["path"]
            row |= {"bytes": path.stat().st_size, "sha256": sha256_of(str(path))}
            row["docs_sha256"] = sha256_of(str(self.result / row["docs_path"]))
        self.write_files(rows)

    def write_files(self, rows: list[dict[str, Any]]) -> None:
        with open(self.result / "files.parquet", "wb") as out:
            write_files(out, pa.Table.from_pylist(rows, FILES))

    def change_files(self, number: int, **values: Any) -> None:
        rows = read_files(str(self.result)).to_pylist()
        rows[number] |= values
        self.write_files(rows)

    def change_manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.result / "manifest.json"
        found = json.loads(path.read_bytes())
        change(found)
        path.write_text(json.dumps(found))

    def change_shard(
        self, name: str, change: Callable[[dict[str, np.ndarray]], None], **info: Any
    ) -> None:
        """Rewrite a shard whose flat columns `change` has changed, and reseal."""
        path = self.result / f"{name}.arrow"
        table = open_shard(str(path)).combine_chunks()
        columns, offsets = {}, {}
        for column in table.column_names:
            array = table[column].combine_chunks()
            columns[column] = array.flatten().to_numpy().copy()
            if column != "input_ids":
                offsets[column] = array.offsets.to_numpy()
        columns["offsets"] = offsets["seq_lens"]  # to look at only
        change(columns)
        del columns["offsets"]
        found = replace(parse_info(table.schema), **info)
        ids = columns.pop("input_ids").reshape(table.num_rows, -1)
        lists = {column: (offsets[column], values) for column, values in columns.items()}
        out = io.BytesIO()
        write_shard(out, shard_schema(found.length, found.metadata()), ids, lists)
        del table, array
        path.unlink()  # it is mapped into memory
        path.write_bytes(out.getvalue())
        self.reseal()

    def change_docs(self, name: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
        path = self.result / f"{name}.docs.parquet"
        rows = read_docs(str(path)).to_pylist()
        change(rows)
        with open(path, "wb") as out:
            write_docs(out, pa.Table.from_pylist(rows, DOCS))
        self.reseal()


def make(root: Path, preset: str = "gemma", recipe: dict[str, Any] | None = None) -> Made:
    (root / "data").mkdir(parents=True)
    for part in range(2):
        lines = [json.dumps({"text": text}) for text in texts(part, 30)]
        (root / "data" / f"{part}.jsonl").write_text("\n".join(lines), "utf-8")
    (root / "notes.txt").write_text("one note\n\n{} another\nthe third\n", "utf-8")
    (root / "some.model").write_bytes(model(preset))
    made = Made(root, tiny_recipe(root, recipe or {}))
    workspace = Workspace(made.workspace)
    inventory = take_inventory(made.recipe, workspace)
    docs, found = [], []
    for group in inventory.groups:
        for file_no, split in inventory.splits(group):
            for batch in read_records(split, inventory.reader(group).layout):
                docs.append((file_no << PLACE_BITS) + batch["place"].to_numpy())
                found.append(batch["text"])
    text = pa.chunked_array(found).combine_chunks()
    dataset = Dataset(workspace.path("lineage", "d1"))
    with dataset.attempt("b00000", LINEAGE) as out:
        content = content_hash(text)
        out.write(pa.table({"content": content, "doc": np.concatenate(docs)}))
    assert out.record is not None
    dataset.publish([out.record], {"step": "lineage", "bits": 0})
    write_result(made, Tokenizer(model(preset)), text)
    return made


def tiny_recipe(root: Path, more: dict[str, Any]) -> Recipe:
    return parse(
        {
            "name": "tiny",
            "seed": 3,
            "workspace": str(root / "workspace"),
            "source": [
                {"name": "web", "layout": "jsonl", "paths": [str(root / "data")]},
                {"name": "notes", "layout": "text-lines", "paths": [str(root / "notes.txt")]},
            ],
            "tokenizer": {"model": str(root / "some.model"), "bos": True},
            "phase": [{"name": "general", "tokens": 100, "length": 16, "mixture": {"web": 1.0}}],
            **more,
        }
    )


def write_result(made: Made, tokenizer: Tokenizer, text: pa.Array) -> None:
    bounds, ids = tokenizer.encode(text, bos=True, eos=True)
    contents = fixed_rows(content_hash(text))
    rows: list[dict[str, Any]] = []
    phases: list[PhaseInfo] = []
    for phase, length, targets, method, shards in STREAMS:
        mine = []
        for number, ranges in enumerate(shards):
            take = np.concatenate([np.arange(a, b) for a, b, _ in ranges])
            epochs = np.concatenate([np.full(b - a, e, np.int32) for a, b, e in ranges])
            parts = [ids[bounds[i] : bounds[i + 1]] for i in take]
            tokens = np.array([len(part) for part in parts])
            packed = pack(
                contents[take],
                epochs,
                np.concatenate([[0], np.cumsum(tokens)]),
                np.concatenate(parts),
                row_width(length, targets),
                method,
                PAD,
                np.arange(len(take)),
            )
            order = packed.documents
            docs = pa.table(
                {
                    "content": pa.array(
                        [contents[i].tobytes() for i in take[order]], pa.binary(16)
                    ),
                    "source": ["web" if i < 60 else "notes" for i in take[order].tolist()],
                    "domain": ["web"] * len(take),
                    "language": pa.nulls(len(take), pa.string()),
                    "epoch": epochs[order],
                    "tokens": pa.array(tokens[order], pa.int32()),
                }
            )
            path, side = shard_path(phase, length, number), docs_path(phase, length, number)
            (made.result / path).parent.mkdir(parents=True, exist_ok=True)
            info = ShardInfo(phase, length, targets, tokenizer.sha256, PAD, 1)
            with open(made.result / path, "wb") as out:
                schema = shard_schema(length, info.metadata())
                write_shard(out, schema, packed.input_ids, packed.lists())
            with open(made.result / side, "wb") as out:
                write_docs(out, docs)
            mine.append(
                {
                    "path": path,
                    "phase": phase,
                    "length": length,
                    "shard": number,
                    "sequences": len(packed.input_ids),
                    "tokens": packed.tokens,
                    "padding": packed.padding,
                    "documents": len(take),
                    "bytes": 0,
                    "sha256": "",
                    "docs_path": side,
                    "docs_sha256": "",
                }
            )
        total = {what: sum(row[what] for row in mine) for what in ("sequences", "tokens")}
        phases.append(PhaseInfo(phase, (Stream(length, targets, len(mine), **total, batch=1),)))
        rows += mine
    made.write_files(rows)
    made.reseal()
    manifest = Manifest(
        "tiny", tokenizer.sha256, tokenizer.vocab_size, 3, made.recipe.fingerprint(), tuple(phases)
    )
    (made.result / "manifest.json").write_bytes(manifest_bytes(manifest))
    plan = {"plan": "p1", "decisions": "d1", "tokens": "t1"}
    plan["tokenizer_url"] = str(made.root / "some.model")
    (made.result / "plan.json").write_text(json.dumps(plan))
    (made.result / "recipe.json").write_text(made.recipe.model_dump_json())


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "a")


@pytest.mark.parametrize("preset", ["gemma", "llama-2"])
def test_a_sound_result_passes(tmp_path: Path, preset: str) -> None:
    made = make(tmp_path / "a", preset)
    verdict = verify(made.workspace, "tiny", 1000)
    assert verdict.problems == []
    assert verdict.ok
    assert [check.name for check in verdict.checks] == list(CHECKS)
    files = read_files(str(made.result))
    total = {name: sum(files[name].to_pylist()) for name in ("sequences", "documents")}
    checked = {check.name: check.checked for check in verdict.checks}
    assert checked["manifest"] == len(STREAMS)
    assert checked["hashes"] == 2 * files.num_rows
    assert checked["counts"] == checked["headers"] == files.num_rows
    assert checked["rows"] == total["sequences"]
    assert checked["coverage"] == checked["repeats"] == total["documents"] == 67
    assert checked["holdout"] == 62
    assert checked["replay"] >= total["documents"]
    assert checked["round_trip"] == 63
    count, tokens = total["sequences"], sum(files["tokens"].to_pylist())
    assert note(verdict, "replay") == f"{count} of {count} sequences, {tokens:,} tokens"


def note(verdict: Verdict, name: str) -> str:
    return next(check.note for check in verdict.checks if check.name == name)


def test_a_sample_is_a_choice_by_hash(made: Made) -> None:
    result = open_result(str(made.result))
    rows = {file["path"]: file["sequences"] for file in result.files}
    chosen = choose(result, 20)
    assert sum(map(len, chosen.values())) == 20
    assert len(chosen) > 1
    assert all(0 <= row < rows[path] for path, its in chosen.items() for row in its)
    assert chosen == choose(result, 20)
    other = replace(result, manifest=replace(result.manifest, seed=4))
    assert chosen != choose(other, 20)
    more = choose(result, 30)
    assert all(set(its) <= set(more[path]) for path, its in chosen.items())
    verdict = verify(made.workspace, "tiny", 0)
    assert verdict.ok
    assert note(verdict, "replay").startswith("0 of ")


def put(column: str, at: int, value: int) -> Callable[[dict[str, np.ndarray]], None]:
    def change(columns: dict[str, np.ndarray]) -> None:
        assert columns[column][at] != value
        columns[column][at] = value

    return change


def first_padding(columns: dict[str, np.ndarray]) -> None:
    width = 16
    ids = columns["input_ids"].reshape(-1, width)
    row = int(np.flatnonzero(ids[:, -1] == PAD)[0])
    ids[row, -1] = 9


def swap_documents(columns: dict[str, np.ndarray]) -> None:
    """Two runs that are whole documents of one length change names: only replay can tell."""
    lens, docs, starts = (columns[name] for name in ("run_lens", "doc_ids", "doc_starts"))
    counts = np.bincount(docs)
    whole = np.flatnonzero((counts[docs] == 1) & (starts == 0))
    for a, b in itertools.combinations(whole.tolist(), 2):
        if lens[a] == lens[b]:
            docs[a], docs[b] = docs[b], docs[a]
            return
    raise AssertionError("no two documents of one length")


def split_segment(columns: dict[str, np.ndarray]) -> None:
    """Move a border between two segments of a row; the sum stays."""
    lens, offsets = columns["seq_lens"], columns["offsets"]
    at = next(a for a, b in itertools.pairwise(offsets) if b - a > 1 and lens[a] > 1)
    lens[at] -= 1
    lens[at + 1] += 1


def repeat_run(columns: dict[str, np.ndarray]) -> None:
    """A later block of a document claims to be its first one."""
    columns["doc_starts"][np.flatnonzero(columns["doc_starts"] == 16)[0]] = 0


IN_SHARDS = {
    "id": (put("input_ids", 18, 90_000), r"rows: .*: row 1: token 2 is 90000; \d+ ids lie in 0..6\d\d"),
    "negative id": (put("input_ids", 0, -1), "rows: .* row 0: token 0 is -1"),
    "padding": (first_padding, r"rows: .* row \d+: token 15 is 9; .* the others are 0$"),
    "sum of segments": (put("seq_lens", 0, 300), r"rows: .* row 0: seq_lens are \[300"),
    "long run": (put("run_lens", 0, 300), r"rows: .* row 0: .*run_lens \[300.* at most 16"),
    "empty run": (put("run_lens", 0, 0), r"rows: .* row 0: .*run_lens \[0.* above 0"),
    "border": (split_segment, "rows: .* segments end with runs"),
    "negative document": (put("doc_ids", 0, -1), "coverage: .* row 0: a run is of document -1;"),
    "document": (put("doc_ids", 3, 15), r"coverage: .* row \d: a run is of document 15; the sidecar has 15$"),
    "beyond": (put("doc_starts", 0, 1000), "coverage: .* tokens, each to be in one run; .*1,000 to"),
    "overlap": (repeat_run, "coverage: .* tokens, each to be in one run; .*0 to 16, 0 to 16"),
    "another id": (put("input_ids", 20, 300), r"replay: general/16/00000.arrow, row 1: token 4 is 300; "
                   r".*\.jsonl, place [0-9,]+ gives \d+$"),
    "swapped names": (swap_documents, r"replay: general/16/00000.arrow, row \d+: token \d+ is .*jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("kind", IN_SHARDS)
def test_wrong_contents_under_right_hashes(made: Made, kind: str) -> None:
    change, expected = IN_SHARDS[kind]
    made.change_shard(A, change)
    problems = made.problems()
    assert any(re.match(expected, line) for line in problems), problems
    assert all(f"{A}.arrow" in line for line in problems)
    assert not any(line.startswith("hashes") for line in problems)


def test_a_wrong_header(made: Made) -> None:
    def nothing(columns: dict[str, np.ndarray]) -> None: ...

    made.change_shard(A, nothing, phase="code", tokenizer="f" * 64, pad_id=9999)
    problems = [line for line in made.problems() if line.startswith("headers")]
    assert problems[0] == f"headers: {A}.arrow: phase is 'code'; the manifest says 'general'"
    assert re.match(f"headers: {A}.arrow: tokenizer is 'ffff", problems[1])
    assert re.match(rf"headers: {A}.arrow: pad_id is 9999; it must lie in 0..\d+", problems[2])


def test_flipped_bytes(made: Made) -> None:
    for name, at in ((f"{A}.arrow", 3000), (f"{B}.docs.parquet", 400)):
        data = bytearray((made.result / name).read_bytes())
        data[at] ^= 0x40
        (made.result / name).write_bytes(data)
    hashes = [line for line in made.problems() if line.startswith("hashes")]
    assert len(hashes) == 2
    assert re.match(rf"hashes: .*{A}.arrow has sha256 \w+; files.parquet says", hashes[0])
    assert re.match(rf"hashes: .*{B}.docs.parquet has sha256", hashes[1])


@pytest.mark.parametrize("name", [f"{A}.arrow", f"{A}.docs.parquet"])
def test_any_damage_is_a_line_not_an_exception(made: Made, name: str) -> None:
    path = made.result / name
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.choice(len(sound), 25, replace=False).tolist():
        data = bytearray(sound)
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        assert f"hashes: {path} has sha256" in "\n".join(made.problems(5))
    for kept in (0, 1, 100, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:kept])
        problems = "\n".join(made.problems(5))
        assert f"hashes: {path} has sha256" in problems
        assert f"{path} cannot be read: " in problems


def test_files_that_are_gone(made: Made) -> None:
    (made.result / f"{A}.arrow").unlink()
    (made.result / f"{B}.docs.parquet").unlink()
    first, second = made.problems()
    assert re.match(f"hashes: .*{A}.arrow is in files.parquet and cannot be read: ", first)
    assert re.match(f"hashes: .*{B}.docs.parquet is in files.parquet and cannot be read: ", second)


def test_swapped_sidecars(made: Made) -> None:
    one, two = (made.result / f"{name}.docs.parquet" for name in (A, B))
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    made.reseal()
    problems = made.problems()
    assert f"counts: {A}.docs.parquet: documents is 14; files.parquet says 15" in problems
    assert any(re.match(f"coverage: {A}.arrow: .*each to be in one run", line) for line in problems)
    made_of_other_bytes = [line for line in problems if line.startswith("hashes")]
    assert made_of_other_bytes == []


def test_another_table_as_a_sidecar(made: Made) -> None:
    shutil.copy(made.result / "files.parquet", made.result / f"{A}.docs.parquet")
    made.reseal()
    lines = made.problems()
    assert any(re.match(f"coverage: .*{A}.docs.parquet cannot be read: ", x) for x in lines)


def test_a_document_without_its_tokens(made: Made) -> None:
    made.change_docs(A, lambda rows: rows[2].update(tokens=rows[2]["tokens"] + 1))
    problems = made.problems()
    assert any("document 2 (content" in line for line in problems if line.startswith("coverage"))
    assert any(
        re.search(r"has \d+ tokens; encoded again from .* it has", line) for line in problems
    )


def test_held_out_documents(made: Made) -> None:
    held = read_docs(str(made.result / "validation/16/00000.docs.parquet")).to_pylist()[1][
        "content"
    ]
    made.change_docs(B, lambda rows: rows[3].update(content=held))
    problems = made.problems()
    assert problems[0] == (
        f"holdout: {B}.docs.parquet: row 3: content {held.hex()} is held out for validation; it must "
        "not be here"
    )


@pytest.mark.parametrize("most_keys", [1, 7, 1 << 25])
def test_repeats(made: Made, most_keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._check_repeats, "__defaults__", (most_keys,))
    twice = read_docs(str(made.result / f"{A}.docs.parquet")).to_pylist()[1]["content"]
    made.change_docs(B, lambda rows: rows[3].update(content=twice))
    lines = [line for line in made.problems(0) if line.startswith("repeats")]
    assert lines == [
        f"repeats: content {twice.hex()} is there 2 times in pass 0: {A}.docs.parquet row 1, "
        f"{B}.docs.parquet row 3; once is allowed"
    ]
    made.change_docs(B, lambda rows: rows[3].update(epoch=1))
    assert made.problems(0) == []


def test_equal_texts_are_allowed_without_exact_dedup(tmp_path: Path) -> None:
    made = make(tmp_path / "a", recipe={"dedup": {"exact": False}})
    twice = read_docs(str(made.result / f"{A}.docs.parquet")).to_pylist()[1]["content"]
    made.change_docs(B, lambda rows: rows[3].update(content=twice))
    verdict = verify(made.workspace, "tiny", 0)
    assert verdict.ok
    assert "dedup.exact is off" in note(verdict, "repeats")


def test_counts_of_the_manifest(made: Made) -> None:
    def change(found: dict[str, Any]) -> None:
        found["phases"][0]["streams"][0]["tokens"] += 1
        found["phases"][0]["streams"][0]["shards"] = 3
        del found["phases"][1]

    made.change_manifest(change)
    problems = made.problems(0)
    assert f"manifest: {CODE}.arrow: the manifest has no stream code/24" in problems
    assert (
        "manifest: stream general/16: files.parquet lists 2 shards; the manifest says 3, numbered from 0 "
        "without gaps" in problems
    )
    assert any(
        re.match(r"manifest: stream general/16: tokens is \d+; the manifest says", x)
        for x in problems
    )


def test_counts_of_the_list(made: Made) -> None:
    sequences = read_files(str(made.result))["sequences"][0].as_py()
    made.change_files(0, sequences=sequences + 1, path="general/16/7.arrow")
    problems = made.problems()
    assert f"manifest: general/16/7.arrow: as a shard it must be called {A}.arrow" in problems
    assert any("stream general/16: sequences is" in line for line in problems)
    made.change_files(0, path=f"{A}.arrow")
    expected = f"counts: {A}.arrow: sequences is {sequences}; files.parquet says {sequences + 1}"
    assert expected in made.problems()


def source(made: Made) -> Path:
    return made.root / "data" / "1.jsonl"


def test_a_changed_source_file(made: Made) -> None:
    lines = source(made).read_text("utf-8").split("\n")
    lines[4] = lines[4].replace("end", "END")
    source(made).write_text("\n".join(lines), "utf-8")
    (line,) = made.problems(10_000)
    place = len("\n".join(lines[:4]).encode()) + 1
    assert re.match(
        rf"replay: .*/1.jsonl, place {place:,}: found content \w+; .*, row \d+ has content \w+ from "
        "there; one of them was changed",
        line,
    )


def test_source_files_that_are_shorter_or_gone(made: Made) -> None:
    source(made).write_text("", "utf-8")
    lines = made.problems(10_000)
    assert all(re.match(r"replay: .*1.jsonl, place [\d,]+: found no record", x) for x in lines[:-1])
    assert lines[20:] == ["replay: and 10 more"]
    source(made).unlink()
    (line,) = made.problems(10_000)
    assert re.match(
        "replay: .*1.jsonl, where 30 sampled documents .*cannot be read: .*No such", line
    )


def test_how_much_was_replayed(made: Made) -> None:
    verdict = verify(made.workspace, "tiny", 12)
    assert re.fullmatch(r"12 of \d+ sequences, \d+ tokens", note(verdict, "replay"))
    source(made).unlink()
    less = note(verify(made.workspace, "tiny", 12), "replay").split(" ")
    assert 0 <= int(less[0]) < 12
    assert 0 < int(less[4]) < int(note(verdict, "replay").split(" ")[4])


def test_what_replay_needs(made: Made) -> None:
    recipe = made.result / "recipe.json"
    plan = made.result / "plan.json"
    splits = made.root / "workspace" / "inventory" / "splits.parquet"
    lineage = made.root / "workspace" / "lineage" / "d1" / "manifest.json"
    for path in (recipe, plan, made.root / "some.model", splits, lineage):
        kept = path.read_bytes()
        for junk in (None, b"junk"):
            path.unlink() if junk is None else path.write_bytes(junk)
            (line,) = made.problems()
            assert line.startswith("replay: ")
            assert str(path if path is not lineage else path.parent) in line
            path.write_bytes(kept)
    assert made.problems() == []
    recipe.write_text(made.recipe.model_copy(update={"seed": 4}).model_dump_json())
    (line,) = made.problems()
    assert re.match(r"replay: .*recipe.json was changed: its hash is \w+, not \w+", line)
    recipe.write_text(made.recipe.model_dump_json())
    (made.root / "some.model").write_bytes(model("llama-2"))
    (line,) = made.problems()
    assert re.match(r"replay: .*some.model was changed: its hash is \w+, not", line)


def test_a_lineage_with_holes(made: Made) -> None:
    dataset = Dataset(str(made.root / "workspace" / "lineage" / "d1"))
    (record,) = dataset.published()
    table = dataset.read(record)
    with dataset.attempt("b00000", LINEAGE) as out:
        out.write(table.slice(1))
    assert out.record is not None
    dataset.publish([out.record], {"bits": 0})
    (line,) = made.problems(10_000)
    content = table["content"][0].as_py().hex()
    assert f"the lineage has content {content} in none of the recipe's files" in line
    (made.root / "workspace" / "lineage" / "d1" / out.record.path).write_bytes(b"junk")
    (line,) = made.problems()
    assert re.match("replay: nothing can be replayed: .*lineage/d1/", line)


def test_a_source_the_recipe_lacks(made: Made) -> None:
    made.change_docs(A, lambda rows: rows[0].update(source="blogs"))
    lines = made.problems(10_000)
    assert lines
    assert all(re.match(r"replay: .*, row \d+: source 'blogs' is not in the", x) for x in lines)


def test_a_tokenizer_that_loses_text(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokenizer, "decode", lambda self, ids: "0: a")
    lines = made.problems(10_000)
    assert len(lines) == 21
    assert re.match(
        r"round_trip: .*jsonl, place \d+: encoded and decoded, it is another text from character \d on$",
        lines[0],
    )
    assert lines[-1] == "round_trip: and 43 more"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("nfkc", "it normalises texts"),
        ("unknown", "it has no pieces for some characters"),
    ],
)
def test_a_tokenizer_that_cannot_give_texts_back_is_no_damage(
    tmp_path: Path, kind: str, why: str
) -> None:
    made = make(tmp_path, kind)
    verdict = verify(made.workspace, "tiny", 10_000)
    assert verdict.ok
    check = next(check for check in verdict.checks if check.name == "round_trip")
    assert check.checked == 63
    found = re.fullmatch(
        rf"(\d+) of 63 documents \((\d+\.\d)%\) do not: {why}; the first is .*, place \d+",
        check.note,
    )
    assert found
    assert 0 < int(found[1]) <= 63
    assert float(found[2]) == round(100 * int(found[1]) / 63, 1)


def test_no_such_result(made: Made) -> None:
    with pytest.raises(WorkspaceError, match="there is no result 'tine' in"):
        verify(made.workspace, "tine")
    (made.result / "manifest.json").write_bytes(b"{")
    (line,) = made.problems()
    assert re.match("manifest: .*manifest.json cannot be read: not a manifest", line)
    (made.result / "manifest.json").unlink()
    (line,) = made.problems()
    assert re.match("manifest: .*manifest.json cannot be read: ", line)


def test_two_results_are_the_same(tmp_path: Path) -> None:
    one, two = make(tmp_path / "a"), make(tmp_path / "b")
    verdict = compare(str(one.result), str(two.result))
    assert verdict.problems == []
    assert [check.name for check in verdict.checks] == list(COMPARED)
    assert [check.checked for check in verdict.checks] == [8, 16, 4]
    for path in two.result.rglob("*"):
        if path.is_file():
            write_bytes(f"memory://two/{path.relative_to(two.result)}", path.read_bytes())
    assert compare(str(one.result), "memory://two").ok
    # their recipes name different paths
    assert "the recipes differ" in note(verdict, "settings")


def zero_start(columns: dict[str, np.ndarray]) -> None:
    columns["doc_starts"][5] += 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("input_ids", 20, 300), r"entry 4 of input_ids of row 1 is \[\d+\]; the other has \[300\]"),
        (zero_start, r"entry \d+ of doc_starts of row \d+ is \[\d+\]; the other has \["),
    ],
    ids=["ids", "lineage"],
)  # fmt: skip
def test_where_two_results_differ(
    made: Made, change: Callable[[dict[str, np.ndarray]], None], expected: str
) -> None:
    other = made.root / "other"
    shutil.copytree(made.result, other)
    made.change_shard(A, change)
    made.change_shard(CODE, put("input_ids", 20, 300))
    first, second = compare(str(other), str(made.result)).problems
    assert re.fullmatch(f"shards: {A}.arrow: {expected}.*", first)
    assert re.match(f"shards: {CODE}.arrow: entry 20 of input_ids of row 0 is", second)


def test_other_differences(made: Made) -> None:
    other = made.root / "other"
    shutil.copytree(made.result, other)

    made.change_docs(A, lambda rows: rows[4].update(domain="code"))
    (line,) = compare(str(other), str(made.result)).problems
    assert line == f"shards: {A}.arrow: domain of document 4 is 'web'; the other has 'code'"
    made.change_shard(A, lambda columns: None, pad_id=1)
    (line,) = compare(str(other), str(made.result)).problems
    assert line == f"shards: {A}.arrow: pad_id is 0; the other has 1"

    made.write_files(read_files(str(made.result)).to_pylist()[1:])

    def change(found: dict[str, Any]) -> None:
        found["vocab_size"] = 900
        found["phases"][0]["streams"][0]["shards"] = 1
        del found["phases"][2]

    made.change_manifest(change)
    lines = compare(str(other), str(made.result)).problems
    assert re.match(r"settings: vocab_size is \d+; the other has 900", lines[0])
    assert re.match(r"settings: order of phases is .*'validation'\]; the other has", lines[1])
    assert re.match(
        "settings: stream general/16 is .*shards=2.*; the other has .*shards=1", lines[2]
    )
    assert re.match("settings: stream validation/16 is .*; the other has None", lines[3])
    assert lines[-1] == f"shards: {A}.arrow: is in the first result alone"


def test_compare_damaged_results(made: Made) -> None:
    other = made.root / "other"
    shutil.copytree(made.result, other)
    (other / f"{A}.arrow").write_bytes(b"ARROW1")
    (other / f"{B}.docs.parquet").unlink()
    lines = compare(str(made.result), str(other)).problems
    assert re.match(f"hashes: .*{A}.arrow has sha256 .*; files.parquet says", lines[0])
    assert re.match(f"hashes: .*{B}.docs.parquet is in .*cannot be read", lines[1])
    assert re.match(f"shards: {A}.arrow: the bytes differ, and one of the two is damaged", lines[2])
    (line,) = compare(str(made.result), str(made.root / "nothing")).problems
    assert re.match("settings: .*nothing/manifest.json cannot be read", line)


@settings(deadline=None)
@given(st.data())
def test_coverage_against_a_twin(data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    run = st.tuples(st.integers(0, len(tokens) - 1), st.integers(-1, 6), st.integers(1, 6))
    runs = data.draw(st.lists(run, max_size=8))
    if data.draw(st.booleans()):  # one that is right, but for a shuffle
        runs = [(d, k, 1) for d, n in enumerate(tokens) for k in range(n)]
        runs = data.draw(st.permutations(runs))
    wrong = []
    for d, n in enumerate(tokens):
        held = sorted(
            k for doc, start, length in runs if doc == d for k in range(start, start + length)
        )
        if held != list(range(n)):
            wrong.append(d)
    doc, start, length = np.array(runs, np.int64).reshape(-1, 3).T
    assert not_once(doc, start, length, np.array(tokens, np.int64)).tolist() == wrong


Row = tuple[list[int], list[int], list[int]]
"""ids, seq_lens, run_lens"""


def shard_of(rows: list[Row], width: int) -> pa.Table:
    """A table as `read_shard` gives it, of two chunks and with empty lists where lineage stands."""
    kinds = {"input_ids": pa.list_(pa.int32(), width)}
    kinds |= dict.fromkeys(("seq_lens", "run_lens", "doc_ids", "doc_starts"), pa.list_(pa.int32()))
    values = [[ids, segments, runs, runs, runs] for ids, segments, runs in rows]
    columns = zip(*values, strict=True) if values else [()] * 5
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
    table = pa.table(arrays, list(kinds))
    return pa.concat_tables([table.slice(0, 2), table.slice(2)])


def twin_rows(rows: list[Row], width: int, vocabulary: int, pad: int) -> list[str]:
    """The beginnings of the lines that `row_problems` should give."""
    wrong_ids, wrong_lengths = [], []
    for row, (ids, segments, runs) in enumerate(rows):
        used = sum(runs)
        wrong = [i not in range(vocabulary) if k < used else i != pad for k, i in enumerate(ids)]
        if any(wrong):
            wrong_ids.append(f"row {row}: token {wrong.index(True)} is {ids[wrong.index(True)]};")
        ends, run_ends = (set(itertools.accumulate(lens)) for lens in (segments, runs))
        sound = (
            sum(segments) == used <= width
            and ends <= run_ends
            and min(segments + runs, default=1) > 0
        )
        if not sound:
            wrong_lengths.append(f"row {row}: seq_lens are {segments}, run_lens {runs};")
    return wrong_ids + wrong_lengths


@settings(deadline=None)
@given(st.data(), st.integers(1, 6))
def test_rows_against_a_twin(data: st.DataObject, width: int) -> None:
    lens = st.lists(st.integers(0, 4), max_size=3)
    ids = st.lists(st.integers(-1, 4), min_size=width, max_size=width)
    rows = data.draw(st.lists(st.tuples(ids, lens, lens), max_size=4))
    rows = [(i, runs if data.draw(st.booleans()) else segments, runs) for i, segments, runs in rows]
    table = shard_of(rows, width)
    found = list(row_problems(table, read_lists(table), 4, 0))
    expected = twin_rows(rows, width, 4, 0)
    assert len(found) == len(expected)
    assert all(line.startswith(text) for line, text in zip(found, expected, strict=True))
