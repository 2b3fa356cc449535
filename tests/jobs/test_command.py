import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from coursepack.jobs import command
from coursepack.jobs.command import app
from coursepack.pipeline.errors import SourceError

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(get_command(app).commands)
RECIPE = """
name = "small"
workspace = "{folder}/ws"
[[source]]
name = "pages"
layout = "jsonl"
paths = ["{folder}/pages/*.jsonl"]
domain = "web"
[tokenizer]
train = {{ vocabulary = 1000 }}
[[phase]]
name = "only"
tokens = "10K"
length = 64
mixture = {{ web = 1.0 }}
"""


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = tmp_path / "pages"
    pages.mkdir()
    lines = [
        {"text": f"Page {n} is a text about the weather, in English.", "id": str(n)}
        for n in range(30)
    ]
    (pages / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "small.toml").write_text(RECIPE.format(folder=tmp_path))
    return tmp_path


def test_commands_are_those_that_were_promised():
    assert set(COMMANDS) == {
        *("demo", "init", "check", "run", "curate", "tokenizer", "pack"),
        *(
            "stats",
            "status",
            "schema",
            "signals",
            "verify",
            "whatif",
            "annotate",
            "tagger",
            "ingest",
            "tokenizer",
        ),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    found = get_command(app).commands[name]
    assert found.help
    assert len(found.get_short_help_str(1000)) <= 58  # one line of the list at 80 columns
    for parameter in found.params:
        if parameter.name != "help":
            assert parameter.help, parameter.name
    assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_mentions_every_command(name):
    assert f"coursepack {name}" in (ROOT / "README.md").read_text("utf-8")


def test_a_bare_command_shows_help():
    found = run()
    assert "tokenizer" in found.stdout + found.stderr


def test_version():
    found = run("--version")
    assert found.exit_code == 0
    assert found.stdout.startswith("coursepack 0.")


def test_an_error_is_a_message_on_stderr_and_exit_code_2(folder):
    found = run("check", folder / "none.toml")
    assert found.exit_code == 2
    assert found.stdout == ""
    assert found.stderr == (
        f"error: there is no recipe '{folder}/none.toml'; `coursepack init` writes one\n"
    )


def test_a_wrong_recipe_stops_a_run_before_spark(folder):
    path = folder / "small.toml"
    path.write_text(path.read_text().replace("web = 1.0", "wed = 1.0"))
    found = run("run", path, "--master", "local[1]")
    assert found.exit_code == 2
    assert "did you mean 'web'?" in found.stderr


@pytest.mark.parametrize("share", ["0", "2", "101%", "some"])
def test_a_share_that_is_none(folder, share):
    found = run("run", folder / "small.toml", "--sample", share)
    assert found.exit_code == 2
    assert "0.1%" in found.stderr


@pytest.mark.parametrize(("text", "share"), [("0.1%", 0.001), ("0.001", 0.001), ("100%", 1.0)])
def test_shares(text, share):
    assert command._share(text) == pytest.approx(share)


def test_flags_say_where(folder):
    chosen = command._recipe(folder / "small.toml", "elsewhere", 0.01)
    assert chosen.workspace == "elsewhere/samples/0.01"
    assert chosen.phase[0].tokens == 100
    assert command._recipe(folder / "small.toml", None, 1.0).workspace == f"{folder}/ws"


def test_an_interrupt_says_that_a_second_run_goes_on(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("coursepack.jobs.look.check_sources", interrupted)
    found = run("check", folder / "small.toml")
    assert found.exit_code == 130
    assert "a second run goes on where this one stopped" in found.stderr


def test_an_error_of_a_task_is_shown_as_its_own(folder, monkeypatch):
    def failed(*_):
        raise RuntimeError(
            "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
            '  File "a.py", line 3\ncoursepack.pipeline.errors.SourceError: file number 3 changed\n\n\tat org.apache'
        )

    monkeypatch.setattr("coursepack.jobs.look.check_sources", failed)
    found = run("check", folder / "small.toml")
    assert (found.exit_code, found.stderr) == (2, "error: file number 3 changed\n")


def test_a_bug_keeps_its_traceback(folder, monkeypatch):
    def failed(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("coursepack.jobs.look.check_sources", failed)
    assert isinstance(run("check", folder / "small.toml").exception, ZeroDivisionError)


def test_check_looks_into_the_files(folder):
    found = run("check", folder / "small.toml")
    assert found.exit_code == 0, found.stderr
    assert "pages" in found.stdout
    assert "in order" in found.stderr


def test_check_refuses_a_layout_that_fits_no_record(folder):
    path = folder / "small.toml"
    path.write_text(
        path.read_text().replace('domain = "web"', 'domain = "web"\nfields = {text = "body"}')
    )
    found = run("check", path)
    assert found.exit_code == 2
    assert "none of the first 30 records" in found.stderr
    assert "30 no_text" in found.stderr


def test_check_reports_rejects(folder):
    with (folder / "pages" / "a.jsonl").open("a") as file:
        file.write('{"text": 3}\n')
    found = run("check", folder / "small.toml")
    assert found.exit_code == 0
    assert "3.2%" in found.stdout
    assert "1 wrong_type" in found.stdout


def test_a_run_prints_its_report_on_stdout_and_what_is_next_on_stderr(folder, monkeypatch):
    from coursepack.stages.report import Report

    asked = []

    def job(recipe, spark, progress):
        asked.append((recipe.workspace, spark))
        kept = {"source": "pages", "domain": "web", "reason": "", "documents": 30, "bytes": 900}
        return Report(
            "small", "x/shards/small", 1000, {}, [kept], [], [], [], ["look"], {"pack": 1.0}
        )

    monkeypatch.setattr("coursepack.jobs.run.run", job)
    monkeypatch.setattr("coursepack.jobs.pack.pack", job)
    found = run("run", folder / "small.toml", "--quiet")
    assert found.exit_code == 0, found.stderr
    assert "30 read, 30 kept (100.0%)" in found.stdout
    assert "! look" in found.stdout
    assert "coursepack verify x/shards/small" in found.stderr
    assert "coursepack" not in found.stdout
    assert "understates" not in found.stderr
    sampled = run("pack", folder / "small.toml", "--sample", "10%")
    assert "understates duplicates" in sampled.stderr
    assert asked == [(f"{folder}/ws", None), (f"{folder}/ws/samples/0.1", None)]


def test_curate_prints_the_funnel(folder, monkeypatch):
    rows = [{"source": "pages", "domain": "web", "reason": "tiny", "documents": 3, "bytes": 9}]
    monkeypatch.setattr("coursepack.jobs.curate.curate", lambda *_: rows)
    found = run("curate", folder / "small.toml")
    assert "3 read, 0 kept" in found.stdout
    assert "tiny" in found.stdout


def test_tokenizer_train_prints_where_the_model_lies(folder, monkeypatch):
    monkeypatch.setattr(
        "coursepack.jobs.train_tokenizer.train_tokenizer", lambda *_: ("x/tokenizer.model", "abc")
    )
    found = run("tokenizer", "train", folder / "small.toml")
    assert (found.stdout, found.stderr) == ("x/tokenizer.model\n", "sha256 abc\n")


def test_verify_has_exit_code_1_where_something_is_wrong(folder, monkeypatch):
    from coursepack.stages.verdict import Check, Verdict

    asked = []

    def verdict(*arguments):
        asked.append(arguments)
        return Verdict((Check("hashes", 5, ["a.arrow: wrong"] * (len(asked) - 1)),))

    monkeypatch.setattr("coursepack.stages.verify.verify", verdict)
    monkeypatch.setattr("coursepack.stages.compare.compare", verdict)
    for name in ("a", "b"):
        (folder / "ws" / "shards" / name).mkdir(parents=True)
        (folder / "ws" / "shards" / name / "files.parquet").touch()
    a, b = f"{folder}/ws/shards/a", f"{folder}/ws/shards/b"
    found = run("verify", a, "--sample", "7")
    assert (found.exit_code, asked[0]) == (0, (f"{folder}/ws", "a", 7))
    assert "hashes" in found.stdout
    found = run("verify", a, b)
    assert (found.exit_code, asked[1]) == (1, (a, b))
    assert "! hashes: a.arrow: wrong" in found.stdout
    assert "1 problem" in found.stderr


def test_schema_is_json_schema():
    found = json.loads(run("schema").stdout)
    assert {"source", "phase", "tokenizer"} <= found["properties"].keys()


def test_signals_lists_all():
    from coursepack.stages.catalogue import SIGNALS

    shown = run("signals").stdout
    assert all(name in shown for name in SIGNALS)


def test_submit_runs_the_subcommand_with_the_arguments(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check.py", str(folder / "small.toml")])
    monkeypatch.setattr(command, "_submitted", False)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(SystemExit) as ended:
        command.submit("check")
    assert ended.value.code == 0
    assert "pages" in capsys.readouterr().out
    assert command._submitted
    assert os.environ["TERM"] == "dumb"


@pytest.mark.parametrize(
    "arguments", [["check"], ["stats"], ["status"], ["init"], ["signals"], ["--help"]]
)
def test_what_answers_a_person_never_imports_spark(folder, arguments):
    (folder / "ws").mkdir()
    where = {
        "check": [folder / "small.toml"],
        "init": [folder / "pages", "-o", folder / "new.toml"],
        "stats": [folder / "ws"],
        "status": [folder / "ws"],
    }
    arguments = [*arguments, *map(str, where.get(arguments[0], []))]
    code = (
        "import sys\nfrom coursepack.jobs.command import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        "assert 'typer' in sys.modules\nassert 'pyspark' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_help_needs_nothing_heavy():
    code = (
        "import sys\nimport coursepack.jobs.command\n"
        "assert not {'numpy', 'pyarrow', 'numba', 'pydantic', 'fsspec'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m coursepack.jobs.command signals | head -1",
        shell=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_look_says_what_cannot_be_read(folder):
    from coursepack.jobs.look import look
    from coursepack.pipeline.recipe import Source

    source = Source(name="pages", layout="jsonl", paths=("x",))
    with pytest.raises(SourceError, match=r"source 'pages': .*none.jsonl' cannot be read"):
        look(source, f"{folder}/none.jsonl")


def test_look_stops_after_so_many_records(folder):
    from coursepack.jobs.look import look
    from coursepack.pipeline.recipe import Source

    path = folder / "b.jsonl.gz"
    path.write_bytes(gzip.compress((b'{"text": "a"}\n' * 3 + b"broken\n") * 100))
    source = Source(name="pages", layout="jsonl", paths=("x",), domain="web")
    found = look(source, str(path), records=10)
    assert (len(found.texts), dict(found.rejects), found.records) == (8, {"broken_record": 2}, 10)
    assert set(found.domains) == {"web"}
