"""The job: what is wrong is said before there is a session."""

from pathlib import Path
from typing import Any

import pytest
from archives import archive, html, record

from coursepack.jobs import ingest as tested
from coursepack.jobs.ingest import ingest
from coursepack.pipeline.errors import SourceError
from coursepack.stages.ingest import IngestSettings


def test_nothing_starts_for_files_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_session(*_: object, **__: object) -> Any:
        raise AssertionError("a session was asked for")

    monkeypatch.setattr(tested, "session", no_session)
    with pytest.raises(SourceError, match="no file matches"):
        ingest(IngestSettings((f"{tmp_path}/none",), f"{tmp_path}/out"))
    assert not (tmp_path / "out").exists()


def test_documents_of_an_archive(spark: Any, tmp_path: Path) -> None:
    data, _ = archive([record(f"http://e.org/{n % 2}", html(f"Page {n}")) for n in range(3)])
    (tmp_path / "a.warc.gz").write_bytes(data)
    found = ingest(IngestSettings((f"{tmp_path}/*.warc.gz",), f"{tmp_path}/out"), spark)
    assert found.counts() == {"in": 3, "out": 2, "dropped:duplicate_url": 1}
    assert (tmp_path / "out/manifest.json").exists()
