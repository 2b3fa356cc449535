"""The `coursepack` command. Each subcommand is a thin call of a library function.

Data goes to stdout, messages and progress to stderr. Whatever is slow to import is imported by the
command that needs it, so that help comes at once.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from coursepack.pipeline.errors import CoursepackError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from coursepack.pipeline.progress import Progress
    from coursepack.pipeline.recipe import Recipe
    from coursepack.stages.report import Report

WRONG, INTERRUPTED = 2, 130
# an error that a task raised, inside what Spark makes of it
_TASK_ERROR = re.compile(r"^coursepack\.pipeline\.errors\.\w+: (.+)$", re.MULTILINE)


class Commands(TyperGroup):
    """Errors that a user can fix are one message and exit code 2; anything else is a bug's traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except CoursepackError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            typer.echo(
                "stopped; what was finished is kept, and a second run goes on where this one stopped",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if found := _TASK_ERROR.findall(str(error)):
                _fail(found[-1])
            raise


def _fail(message: str) -> None:
    typer.secho(f"error: {message}", err=True, fg="red" if sys.stderr.isatty() else None)
    raise typer.Exit(WRONG) from None


app = typer.Typer(
    name="coursepack",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Curate pre-training corpora on Apache Spark and pack them into Arrow shards for a curriculum.\n\n"
    "Start with `coursepack demo`; with text of your own, `coursepack init FOLDER`.",
)


def main() -> None:
    """The entry point."""
    app()


_submitted = False  # by spark-submit, which has its own idea of a session


def submit(*name: str) -> None:
    """Run the subcommand of that name with this process' arguments, in the session of spark-submit."""
    global _submitted
    _submitted = True
    os.environ["TERM"] = "dumb"  # progress as plain lines: what it prints becomes a log
    app([*name, *sys.argv[1:]])


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"coursepack {version('coursepack')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def _share(text: str) -> float:
    """`0.1%` or `0.001` as a share above 0, at most 1."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"{text!r} is no share; write '0.1%' or '0.001'")
    return share


def _quantity(text: str) -> int:
    """`20MB`, `1.6B` or a plain number."""
    from coursepack.pipeline.recipe import quantity

    try:
        found = int(quantity(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None
    if found < 1:
        raise typer.BadParameter(f"{text!r} is nothing; give 1 or more")
    return found


RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a TOML file.")]
Where = Annotated[
    str, typer.Argument(metavar="WORKSPACE", help="A workspace's folder, or a recipe file.")
]
WorkspaceFolder = Annotated[
    str | None,
    typer.Option("--workspace", metavar="DIR", help="Instead of the recipe's workspace."),
]
Sample = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        parser=_share,
        help="A share of the documents, such as 0.1% or 0.001, in a workspace of its own; budgets shrink alike.",
    ),
]
Master = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Spark's master, such as local[4]; default: all cores here."),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Load the functions that signals.python names: code of the recipe's own.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


@app.command()
def demo(
    workspace: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for the corpus, the recipe and the results.")
    ] = "demo-run",
    master: Master = None,
    quiet: Quiet = False,
) -> None:
    """Try it: a whole run on text found on this machine.

    The corpus is made of what this Python installation holds: nothing is downloaded.
    """
    from coursepack.jobs.demo import prepare
    from coursepack.jobs.run import run as job

    progress = _progress(quiet)
    path = prepare(workspace, progress)
    chosen = _recipe(Path(path), None, None)
    with _session(chosen, master) as spark:
        report = job(chosen, spark, progress)
    _print_report(report, chosen, path)


@app.command()
def init(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, folders or globs; local, s3://, hf://, ..."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The recipe to write.")
    ] = Path("recipe.toml"),
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The recipe's name; default: the file's.")
    ] = None,
) -> None:
    """Look at files and write a recipe that reads them.

    Layouts and fields are guessed; three documents of each source are shown.
    """
    from coursepack.jobs.init import find_sources, refuse_to_overwrite, write_recipe
    from coursepack.jobs.tables import show, source_parts

    refuse_to_overwrite(output)
    drafts, skipped = find_sources(paths)
    write_recipe(drafts, output, name)
    for draft in drafts:
        show(source_parts(draft))
    for message in skipped:
        typer.echo(f"skipped: {message}", err=True)
    typer.echo(
        f"wrote {output}: {len(drafts)} sources; edit it, then:\n"
        f"  coursepack check {output}\n"
        f"  coursepack run {output} --sample 1%\n"
        f"  coursepack run {output}",
        err=True,
    )


@app.command()
def ingest(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Archives or HTML files, folders or globs; local, s3://, ..."
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where documents are written, once."),
    ],
    extractor: Annotated[
        str, typer.Option(metavar="NAME", help="resiliparse, or trafilatura (17 times as slow).")
    ] = "resiliparse",
    block: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIST",
            help="A blocklist of URLs: a file or a folder, as UT1's. May be repeated.",
        ),
    ] = None,
    dedup_urls: Annotated[
        bool,
        typer.Option(
            "--dedup-urls/--keep-url-copies", help="Of pages with one URL keep the first."
        ),
    ] = True,
    master: Master = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the documents of WARC, WET and HTML as Parquet.

    A recipe reads them with layout "ingested". What an earlier ingest finished is not done again; broken
    records are counted.
    """
    from coursepack.jobs.ingest import ingest as job
    from coursepack.jobs.tables import ingest_parts, show
    from coursepack.stages.ingest import IngestSettings, check_ingest
    from coursepack.stages.main_text import Extractor

    settings = IngestSettings(
        tuple(sources),
        output,
        cast(Extractor, extractor),
        block=tuple(block or ()),
        dedup_urls=dedup_urls,
    )
    check_ingest(settings)
    with _given_session("ingest", master) as spark:
        found = job(settings, spark, _progress(quiet))
    if as_json:
        typer.echo(json.dumps(found.counts()))
    else:
        show(ingest_parts(found.counts()))
    typer.echo(
        f'to read them:\n  [[source]]\n  name = "crawl"\n  layout = "ingested"\n  paths = ["{output}"]',
        err=True,
    )


@app.command()
def check(recipe: RecipeFile, allow_code: AllowCode = False) -> None:
    """Check a recipe without starting Spark.

    Names, rules and files, and a few records of the largest file of each source.
    """
    from coursepack.jobs.look import check_sources
    from coursepack.jobs.tables import check_parts, show
    from coursepack.pipeline.recipe import load

    chosen = load(recipe, allow_code)
    show(check_parts(chosen, check_sources(chosen)))
    typer.echo(f"{recipe} is in order", err=True)


@app.command()
def run(
    recipe: RecipeFile,
    workspace: WorkspaceFolder = None,
    sample: Sample = None,
    master: Master = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
) -> None:
    """Do all of a recipe.

    Inventory, measure, decide, tokenizer, encode, compose, pack, report. What an earlier run finished is
    not done again.
    """
    from coursepack.jobs.run import run as job

    chosen = _recipe(recipe, workspace, sample, allow_code)
    with _session(chosen, master) as spark:
        report = job(chosen, spark, _progress(quiet))
    _print_report(report, chosen, str(recipe))


@app.command()
def curate(
    recipe: RecipeFile,
    workspace: WorkspaceFolder = None,
    sample: Sample = None,
    master: Master = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
) -> None:
    """Part 1 of a run: which documents stay, and why not.

    Inventory, measure and decide.
    """
    from coursepack.jobs.curate import curate as job
    from coursepack.jobs.tables import funnel_parts, sample_parts, show

    chosen = _recipe(recipe, workspace, sample, allow_code)
    with _session(chosen, master) as spark:
        funnel = job(chosen, spark, _progress(quiet))
    show(funnel_parts(funnel))
    if chosen.sample < 1:
        show(sample_parts(chosen), sys.stderr)


tokenizer_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Vocabularies: trained, and side by side."
)
app.add_typer(tokenizer_app, name="tokenizer")


@tokenizer_app.command("train")
def tokenizer_train(
    recipe: RecipeFile,
    workspace: WorkspaceFolder = None,
    sample: Sample = None,
    master: Master = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
) -> None:
    """Part 2 of a run: train the vocabulary.

    On a sample of the documents that stay; prints where the model lies.
    """
    from coursepack.jobs.train_tokenizer import train_tokenizer as job

    chosen = _recipe(recipe, workspace, sample, allow_code)
    with _session(chosen, master) as spark:
        url, sha256 = job(chosen, spark, _progress(quiet))
    typer.echo(url)
    typer.echo(f"sha256 {sha256}", err=True)


tagger_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Classifiers of domains and of quality."
)
app.add_typer(tagger_app, name="tagger")


@tagger_app.command("train")
def tagger_train(
    recipe: RecipeFile,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SELECTOR",
            help="Documents that are good: a domain or source, such as wiki or 'web[lang=de]'. May be repeated.",
        ),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(metavar="SELECTOR", help="Documents that are not. May be repeated."),
    ] = None,
    workspace: WorkspaceFolder = None,
    sample: Sample = None,
    master: Master = None,
    quiet: Quiet = False,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Train a classifier on the kept documents of labelled sources, and show what it gets wrong.

    Without selectors it tells domains apart; with them, good documents from others.
    """
    from coursepack.jobs.tables import show
    from coursepack.jobs.tagger import recipe_lines, tagger_parts, train_tagger

    chosen = _recipe(recipe, workspace, sample, allow_code)
    with _session(chosen, master) as spark:
        trained = train_tagger(chosen, positive or (), negative or (), spark, _progress(quiet))
    if as_json:
        typer.echo(trained.to_json().decode())
        return
    show(tagger_parts(trained))
    typer.echo(recipe_lines(trained))


@tokenizer_app.command("compare")
def tokenizer_compare(
    tokenizers: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Tokenizer files. Others are measured by the first."),
    ],
    on: Annotated[
        list[str],
        typer.Option(
            metavar="W",
            help="A recipe file, workspace or result: its kept documents that no vocabulary was trained on. "
            "Or files, folders or globs of documents; may be repeated.",
        ),
    ],
    sample: Annotated[
        int, typer.Option(metavar="BYTES", parser=_quantity, help="Text to draw, about.")
    ] = "20MB",  # type: ignore[assignment]  # the parser reads it
    hidden: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The model's hidden size: what embeddings cost."),
    ] = None,
    parameters: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=_quantity,
            help="The model's parameters with the first vocabulary, embedding tied, such as 1.6B.",
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Its layers: what attention costs.")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Its context, in tokens of the first tokenizer."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which recipe, where there are several.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page of charts and tables.")
    ] = None,
    master: Master = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare tokenizers on text that they were not trained on.

    Bytes and characters a token, tokens a word, split words, bytes and unknowns, pieces never used; by domain,
    language and programming language. With --hidden also what each vocabulary costs a model.
    """
    from coursepack.jobs.compare_tokenizers import compare_tokenizers as job
    from coursepack.jobs.comparison import comparison_page, comparison_parts
    from coursepack.jobs.tables import show
    from coursepack.tokenizers.cost import Shape

    if hidden is None and (parameters or layers or context):
        raise typer.BadParameter("--parameters, --layers and --context go with --hidden")
    shape = None if hidden is None else Shape(hidden, parameters, layers, context)
    with _given_session("tokenizer compare", master) as spark:
        found = job(tokenizers, on, sample, shape, spark, _progress(quiet), allow_code, name)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(comparison_page(found), "utf-8")
        typer.echo(f"wrote {html}", err=True)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        show(comparison_parts(found))


@app.command()
def pack(
    recipe: RecipeFile,
    workspace: WorkspaceFolder = None,
    sample: Sample = None,
    master: Master = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
) -> None:
    """Part 3 of a run: encode, compose, pack, report.

    What curate and tokenizer train left is used; what they did not do is done first.
    """
    from coursepack.jobs.pack import pack as job

    chosen = _recipe(recipe, workspace, sample, allow_code)
    with _session(chosen, master) as spark:
        report = job(chosen, spark, _progress(quiet))
    _print_report(report, chosen, str(recipe))


@app.command()
def stats(
    workspace: Where,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS",
            help="Any of phase, domain, source, language, length (default: phase,domain); "
            "with --funnel of source, domain, reason.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which result, where there are several.")
    ] = None,
    funnel: Annotated[
        bool, typer.Option("--funnel", help="Documents kept and dropped instead of tokens packed.")
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Tokens packed against the plan, or documents dropped."""
    from coursepack.jobs.stats import FUNNEL_KEYS, find_result, funnel_stats, mixture_stats
    from coursepack.jobs.tables import show, stats_parts

    result = find_result(workspace, name)
    default = FUNNEL_KEYS if funnel else ("phase", "domain")
    keys = [key.strip() for key in by.split(",")] if by else list(default)
    table = funnel_stats(result, keys) if funnel else mixture_stats(result, keys)
    if as_json:
        typer.echo(json.dumps(table.to_pylist(), indent=1))
    elif as_csv:
        import pyarrow.csv

        pyarrow.csv.write_csv(
            table, sys.stdout.buffer, pyarrow.csv.WriteOptions(quoting_style="needed")
        )
    else:
        show(stats_parts(result.name, table, keys))


@app.command()
def whatif(
    workspace: Annotated[
        str,
        typer.Argument(metavar="W", help="A recipe file, a workspace, or a result's folder."),
    ],
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="A rule to try, 'name: predicate' or 'name@web: predicate'; it drops what the predicate "
            "is true for. A known name takes that rule's place. May be repeated.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A rule to leave out. May be repeated."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A profile of rules to add. May be repeated."),
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(
            metavar="CURVE",
            help="'signal: from..to/steps': what stays when signal < threshold is dropped too.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which recipe, where there are several.")
    ] = None,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """What other rules would keep, in seconds; no Spark.

    Reads measurements alone, and changes nothing. Survivors of duplicate clusters are chosen again.
    """
    from dataclasses import asdict

    from coursepack.jobs.tables import show, whatif_parts
    from coursepack.jobs.whatif import find_recipe
    from coursepack.stages.whatif import Changes
    from coursepack.stages.whatif import whatif as ask

    changes = Changes(tuple(rule or ()), tuple(without or ()), tuple(profile or ()), curve)
    answer = ask(find_recipe(workspace, name, allow_code), changes)
    if as_json:
        typer.echo(json.dumps(asdict(answer), indent=1))
    else:
        show(whatif_parts(answer))


@app.command()
def annotate(
    workspace: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A recipe file, a workspace, or a result's folder."),
    ],
    form: Annotated[str, typer.Option("--as", metavar="FORM", help="dolma, redpajama or parquet.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder to write below; for dolma the one that holds documents/.",
        ),
    ],
    signals: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Signals, with commas between; default: all measured."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which recipe, where there are several.")
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Write measured signals for other tools.

    As Dolma attributes, RedPajama-V2 quality signals, or Parquet; from the measurements alone: no text, no Spark.
    """
    from coursepack.jobs.annotate import annotate as job
    from coursepack.jobs.annotate import said

    typer.echo(said(job(workspace, form, output, signals, name, allow_code)), err=True)


@app.command()
def status(workspace: Where, as_json: AsJson = False) -> None:
    """What a workspace holds, and what is unfinished."""
    from dataclasses import asdict

    from coursepack.jobs.stats import find_workspace
    from coursepack.jobs.status import workspace_status
    from coursepack.jobs.tables import show, status_parts

    found, _ = find_workspace(workspace)
    entries = workspace_status(found)
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=1, default=str))
    elif entries:
        show(status_parts(entries))
    else:
        typer.echo(f"{found.url} holds nothing yet", err=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from coursepack.pipeline.recipe import Recipe

    typer.echo(json.dumps(Recipe.model_json_schema(), indent=1))


@app.command()
def signals(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="[RECIPE]", help="A recipe, whose own signals are listed too."),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """List the signals that a rule may name."""
    from coursepack.jobs.tables import show, signal_parts
    from coursepack.stages.catalogue import SIGNALS

    found = SIGNALS
    if recipe is not None:
        from coursepack.pipeline.recipe import load
        from coursepack.stages.own_signals import signals_of

        found = signals_of(load(recipe, allow_code))
    show(signal_parts(found.values()))


@app.command()
def verify(
    result: Annotated[
        str, typer.Argument(metavar="A", help="A result's folder, a workspace, or a recipe file.")
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Another, to be the same byte for byte.")
    ] = None,
    sample: Annotated[
        int, typer.Option(metavar="N", min=0, help="Sequences to make again from the source files.")
    ] = 200,
) -> None:
    """Check a result against its manifest and sources.

    Hashes, counts, lineage, hold-outs, and a sample of sequences made again from the source files. With
    B, whether both are the same, byte for byte. The exit code is 1 where something is wrong.
    """
    from coursepack.jobs.stats import find_shards, result_of
    from coursepack.jobs.tables import show, verdict_parts
    from coursepack.stages.compare import COMPARED, compare
    from coursepack.stages.verify import CHECKS
    from coursepack.stages.verify import verify as check

    shards = find_shards(result)
    if other is None:
        found = result_of(shards)
        verdict = check(found.workspace.url, found.name, sample)
    else:
        verdict = compare(shards, find_shards(other))
    show(verdict_parts(verdict, {**CHECKS, **COMPARED}))
    if not verdict.ok:
        number = len(verdict.problems)
        typer.echo(f"{shards}: {number} problem{'s' * (number > 1)}", err=True)
        raise typer.Exit(1)


def _recipe(
    path: Path, workspace: str | None, sample: float | None, allow_code: bool = False
) -> "Recipe":
    from coursepack.pipeline.recipe import load

    chosen = load(path, allow_code)
    if workspace is not None:
        chosen = chosen.model_copy(update={"workspace": workspace})
    return chosen if sample in (None, 1.0) else chosen.sampled(sample)


def _progress(quiet: bool) -> "Progress":
    from coursepack.pipeline.progress import Progress

    return Progress.silent() if quiet else Progress.console(sys.stderr)


@contextmanager
def _session(recipe: "Recipe", master: str | None) -> "Iterator[SparkSession | None]":
    """The session that the flags ask for; None leaves it to the job, which checks the recipe first."""
    if _submitted or master:
        from coursepack.stages.check import check

        check(recipe)
    with _given_session(recipe.name, master) as spark:
        yield spark


@contextmanager
def _given_session(name: str, master: str | None) -> "Iterator[SparkSession | None]":
    """The session that the flags ask for; None where they ask for none."""
    if not (_submitted or master):
        yield None
        return
    if _submitted:
        from pyspark.sql import SparkSession

        yield SparkSession.builder.getOrCreate()
        return
    from coursepack.pipeline.session import session

    with session(None, name=f"coursepack {name}", master=master) as spark:
        yield spark


def _print_report(report: "Report", recipe: "Recipe", path: str) -> None:
    from coursepack.jobs.tables import closing_parts, report_parts, sample_parts, show

    show(report_parts(report))
    sys.stdout.flush()
    if recipe.sample < 1:
        show(sample_parts(recipe), sys.stderr)
    show(closing_parts(report, recipe, path), sys.stderr)


if __name__ == "__main__":
    main()
