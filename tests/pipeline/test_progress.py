import io
import re
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from coursepack.pipeline import progress
from coursepack.pipeline.progress import Progress, Step, duration


class FakeContext:
    """A Spark context whose jobs are a table: stage -> (tasks, active, completed)."""

    def __init__(self, stages: dict[int, tuple[int, int, int]]) -> None:
        self.stages = stages
        self.properties: dict[str, str | None] = {}
        self.cancelled: list[str] = []
        self.polls = 0

    def statusTracker(self) -> "FakeContext":
        return self

    def setJobGroup(self, group: str, description: str) -> None:
        self.properties |= {"spark.jobGroup.id": group, "spark.job.description": description}

    def getLocalProperty(self, key: str) -> str | None:
        return self.properties.get(key)

    def setLocalProperty(self, key: str, value: str | None) -> None:
        self.properties[key] = value

    def cancelJobGroup(self, group: str) -> None:
        self.cancelled.append(group)

    def getJobIdsForGroup(self, group: str) -> list[int]:
        self.polls += 1
        return [1, 2, 3] if group == self.properties["spark.jobGroup.id"] else []

    def getJobInfo(self, job: int) -> Any:
        half = len(self.stages) // 2
        stages = sorted(self.stages)
        known = {1: stages[:half], 2: stages[half:]}  # job 3 has been forgotten
        return SimpleNamespace(stageIds=known[job]) if job in known else None

    def getStageInfo(self, stage: int) -> Any:
        tasks, active, completed = self.stages[stage]
        return SimpleNamespace(
            numTasks=tasks, numActiveTasks=active, numCompletedTasks=completed, numFailedTasks=0
        )


def fake(stages: dict[int, tuple[int, int, int]]) -> Any:
    return SimpleNamespace(sparkContext=FakeContext(stages))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.005)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        time.sleep(0.01)  # rich tells its thread to end and does not wait for it
    assert set(threading.enumerate()) <= before


def poll(spark: Any) -> None:
    """Wait for two polls to begin, so that one has ended."""
    target = spark.sparkContext.polls + 2
    while spark.sparkContext.polls < target:
        time.sleep(0.001)


def lines_of(stream: io.StringIO) -> list[str]:
    return [re.sub(r"\d+\.\d s", "T", line) for line in stream.getvalue().splitlines()]


@pytest.mark.usefixtures("quick")
def test_tasks_of_begun_stages_count_and_skipped_ones_do_not() -> None:
    spark = fake({0: (10, 2, 3), 1: (200, 0, 0)})
    with Progress.silent().step("measure", total_tasks=10) as step, step.spark(spark):
        poll(spark)
        assert (step.fraction, step.counts, step.certain) == (0.3, "3/10 groups", True)
        spark.sparkContext.stages[0] = (10, 0, 11)  # a task that ran twice
        poll(spark)
        assert step.fraction == 1.0


@pytest.mark.usefixtures("quick")
def test_more_tasks_than_groups_foretell_no_end() -> None:
    spark = fake({0: (10, 0, 10), 1: (30, 5, 10)})
    with Progress.silent().step("decide", total_tasks=10, total_bytes=10**9) as step:
        with step.spark(spark):
            poll(spark)
        assert (step.fraction, step.counts) == (0.5, "20/40 tasks")
        assert not [fact for fact in step.facts() if "left" in fact or "MB/s" in fact]


@pytest.mark.usefixtures("quick")
def test_groups_not_yet_begun_count_as_work_to_do() -> None:
    spark = fake({0: (4, 1, 3)})
    with Progress.silent().step("pack", total_tasks=12) as step, step.spark(spark):
        poll(spark)
        assert step.fraction == 0.25


def test_the_job_group_of_the_caller_comes_back() -> None:
    spark = fake({0: (1, 1, 0)})
    context = spark.sparkContext
    context.setJobGroup("theirs", "their job")
    with Progress.silent().step("encode") as step, step.spark(spark):
        assert context.properties["spark.jobGroup.id"].startswith("coursepack-encode-")
    assert context.properties["spark.jobGroup.id"] == "theirs"
    assert context.properties["spark.job.description"] == "their job"
    assert context.cancelled == []


def run_and_fail(shown: Progress, spark: Any, error: type[BaseException]) -> None:
    with shown.step("encode") as step, step.spark(spark):
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_passes_through_and_cancels_the_jobs(error: type[BaseException]) -> None:
    spark = fake({0: (1, 1, 0)})
    stream = io.StringIO()
    with pytest.raises(error):
        run_and_fail(Progress.console(stream), spark, error)
    assert len(spark.sparkContext.cancelled) == 1
    assert lines_of(stream)[-1] == "encode: failed after T"


def test_a_session_without_a_tracker_has_no_bar() -> None:
    with Progress.silent().step("measure", total_tasks=3) as step:
        with step.spark(SimpleNamespace()):  # type: ignore[arg-type]
            pass
        assert step.fraction is None


@pytest.mark.usefixtures("quick")
def test_a_tracker_that_breaks_does_not_break_the_run() -> None:
    spark = fake({0: (4, 1, 3)})
    spark.sparkContext.getStageInfo = None
    with Progress.silent().step("measure") as step, step.spark(spark):
        time.sleep(0.02)
    assert step.ended == "done"


def test_plain_lines_at_start_and_end() -> None:
    stream = io.StringIO()
    shown = Progress.console(stream)
    with shown.step("measure", total_bytes=1_500_000_000, total_tasks=12) as step:
        step.advance(0.5)
        step.note("warming up")
        step.done(rows=448_771, text="kept 81 %")
    with shown.step("encode", total_tasks=0) as step:
        step.done(rows=5)
    with shown.step("decide", total_tasks=12) as step:
        step.nothing_new(12)
    with shown.step("train"):
        shown.say("a warning")
    assert lines_of(stream) == [
        "measure: 12 groups, 1,500 MB",
        "measure: 448,771 rows in T, kept 81 %",
        "encode: nothing new, 5 rows",
        "decide: 12 groups",
        "decide: nothing new (12 groups)",
        "train: started",
        "a warning",
        "train: done in T",
    ]


def test_plain_lines_between_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    stream = io.StringIO()
    with Progress.console(stream).step("train", total_bytes=100_000_000) as step:
        for second in range(1, 21):
            now[0] = second
            step.advance(second / 20)
    assert stream.getvalue().splitlines() == [
        "train: 100 MB",
        "train: 25 %, 5.0 MB/s, 5.0 s, 15 s left",
        "train: 50 %, 5.0 MB/s, 10 s, 10 s left",
        "train: 75 %, 5.0 MB/s, 15 s, 5.0 s left",
        "train: 100 %, 5.0 MB/s, 20 s",
        "train: done in 20 s, 5.0 MB/s",
    ]


def test_other_units() -> None:
    step = Step("trace", 1000, None, "documents", lambda _: None)
    step.started -= 10
    step.advance(0.5)
    assert step.facts() == ["50 %", "50 documents/s", "10 s", "10 s left"]


def test_advance_never_goes_back_nor_beyond_the_end() -> None:
    step = Step("train", None, None, "MB", lambda _: None)
    for fraction, shown in [(0.5, 0.5), (0.2, 0.5), (7, 1.0)]:
        step.advance(fraction)
        assert step.fraction == shown


def test_a_closed_stream_turns_progress_silent() -> None:
    stream = io.StringIO()
    shown = Progress.console(stream)
    stream.close()
    with shown.step("measure") as step:
        step.advance(0.5)
    shown.say("unheard")
    assert step.ended == "done"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def draw(stream: Terminal) -> str:
    """What a terminal was sent while a step stood at one half."""
    with Progress.console(stream).step("measure", total_bytes=10**9, total_tasks=12) as step:
        step.counted(6, 12)
        step.note("the note")
        deadline = time.monotonic() + 5
        while "groups" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        step.done(rows=7, text="kept 81 %")
    return stream.getvalue()


def test_a_terminal_gets_a_bar_and_its_cursor_back(terminal: Terminal) -> None:
    sent = draw(terminal)
    assert "6/12 groups" in sent
    assert "the note" in sent
    assert "━" in sent
    assert sent.count(HIDE) == sent.count(SHOW) == 1
    assert sent.rindex(SHOW) > sent.rindex(HIDE)
    assert "\x1b[32m" in sent
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent).splitlines()[-1]
    assert re.fullmatch(r"✓ measure: 7 rows in \d\.\d s, kept 81 %", last.strip())


def test_no_color_is_respected(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(3|9)\d", draw(terminal))


def test_a_dumb_terminal_gets_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Progress.console(terminal).step("measure"):
        pass
    assert "\x1b" not in terminal.getvalue()


@pytest.mark.parametrize("width", [1, 12, 20, 33, 47, 60, 200])
def test_a_line_never_wraps(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    display = progress._Bars(terminal)
    step = Step("measure", 1000, 12, "MB", lambda _: None)
    step.note("a note of some length, longer than the others")
    for completed in (0, 3, 12):
        step.counted(completed, 12)
        assert len(display._line(step).plain) <= max(width - 1, 1)


def test_ctrl_c_gives_the_cursor_back(terminal: Terminal) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_and_fail(Progress.console(terminal), fake({0: (1, 1, 0)}), KeyboardInterrupt)
    sent = terminal.getvalue()
    assert sent.rindex(SHOW) > sent.rindex(HIDE)
    assert "✗ encode" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.9, "1:00"),
        (185, "3:05"),
        (7385, "2:03:05"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
