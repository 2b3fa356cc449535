"""The comparison with datatrove, on made-up answers of datatrove's."""

from pathlib import Path

import agreement
import measuring
import orjson
import pytest


def test_decisions_and_reasons_that_differ_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prose = (
        "The children of the old house and the garden went to see that tree with a lantern. " * 8
    )
    texts = ["few words", "very few words", "far too few words", prose, prose + "Not again."]
    source = tmp_path / "texts.jsonl"
    source.write_bytes(b"\n".join(orjson.dumps({"text": text}) for text in texts))
    corpus = measuring.normalise([source], tmp_path / "corpus")
    said = ["short", "short", "long", None, "short"]  # of Gopher's filter; of the others nothing
    nothing: agreement.Reasons = [None] * len(texts)
    monkeypatch.setattr(agreement, "theirs", lambda *_: ([nothing, said, nothing, nothing], "0.0"))
    agreement.record_agreement(measuring.Bench(corpus, tmp_path, None), corpus, "python")
    rows = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["profile"] for row in rows] == list(agreement.PROFILES)
    assert {row["documents"] for row in rows} == {len(texts)}
    gopher = rows[1]
    assert (gopher["other_decisions"], gopher["other_reasons"]) == (1, 2)
    short = "datatrove_gopher_too_few_words"
    assert [short, "short", 2] in gopher["pairs"]
    assert [None, "short", 1] in gopher["pairs"]
