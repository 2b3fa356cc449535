"""The benchmark of tokenizer files: one record a pass, and it stops where ids differ."""

import sys
from pathlib import Path

import orjson
import pytest
import tokenize_text as bench
from byte_level_files import byte_level_json, ranks_file, topics


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    corpus, tokenizer = tmp_path / "corpus.jsonl", tmp_path / "small.json"
    corpus.write_bytes(b"".join(orjson.dumps({"text": t}) + b"\n" for t in topics()[:20]))
    tokenizer.write_bytes(byte_level_json(["<end>"], vocabulary=400))
    return corpus, tokenizer


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tokenize_text.py", *arguments])
    bench.main()


def test_records(files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.jsonl"
    run(monkeypatch, "--tokenizer", str(files[1]), "--corpus", str(files[0]), "--out", str(out))
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [(row["who"], row.get("state")) for row in rows] == [
        ("coursepack", "cold"),
        ("coursepack", "warm"),
        ("tokenizers", None),
    ]
    assert len({(row["ids"], row["tokens"], row["tokenizer"]) for row in rows}) == 1
    assert rows[0]["documents"] == 20


def test_other_ids_end_it(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    right = bench.alone

    def wrong(who: str, *rest: object, **more: object) -> bench.Passes:
        made = right(who, *rest, **more)  # type: ignore[arg-type]
        return made if who == bench.OURS else bench.Passes(made.loading, made.used, 1, "other")

    monkeypatch.setattr(bench, "alone", wrong)
    with pytest.raises(SystemExit, match=r"small\.json: coursepack and tokenizers give other ids"):
        run(monkeypatch, "--tokenizer", str(files[1]), "--corpus", str(files[0]))


def test_a_peer_that_is_not_there(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda _: None)
    ranks = tmp_path / "small.tiktoken"
    ranks.write_bytes(ranks_file())
    run(
        monkeypatch,
        *("--tokenizer", str(ranks), "--pattern", "o200k", "--corpus", str(files[0])),
    )
    assert "tiktoken is not installed: small.tiktoken is not compared" in capsys.readouterr().err


PEER = """
import pathlib, sys
_, corpus, out, tokenizer = sys.argv
pathlib.Path(out, "result.json").write_text('{"version": "1", "documents": 20, "tokens": 7}')
"""


def test_files_beside_datatrove(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, out = tmp_path / "python", tmp_path / "out.jsonl"
    (tmp_path / "peer.py").write_text(PEER)
    python.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} {tmp_path}/peer.py "$@"\n')
    python.chmod(0o755)
    run(
        monkeypatch,
        *("--tokenizer", str(files[1]), "--corpus", str(files[0]), "--out", str(out)),
        *("--datatrove", str(python)),
    )
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    ours = [row for row in rows if row["job"] == "tokenize_files"]
    assert [row["who"] for row in ours] == ["datatrove", "coursepack"]
    assert [row["tokens"] for row in ours] == [7, rows[0]["tokens"]]
