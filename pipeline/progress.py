"""Live progress of a run's steps: bars on a terminal, a line now and then elsewhere, or nothing.

Spark's own counts (`statusTracker`) are polled in a thread while a step's jobs run. Progress is never
a reason for a run to fail: whatever goes wrong in here turns it silent.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from rich.text import Text

POLL_SECONDS = 0.3
LINE_SECONDS = 5.0  # between two lines of one step where there is no terminal
_NARROWEST_BAR = 8
_WIDEST_BAR = 40


class Step:
    """One step of a run: how far it is, and what there is to say about it."""

    def __init__(
        self,
        name: str,
        total: float | None,
        total_tasks: int | None,
        unit: str,
        changed: "Listener",
    ) -> None:
        self.name = name
        self.total = total  # in `unit`s
        self.total_tasks = total_tasks
        self.unit = unit
        self.fraction: float | None = None  # unknown until something has been counted
        self.counts: str | None = None
        self.certain = False  # the fraction is of all there is to do
        self.said = ""
        self.rows: int | None = None
        self.results: list[str] = []
        self.started = time.monotonic()
        self.seconds = 0.0
        self.ended: str | None = None  # "done" or "failed"
        self._new = True
        self._changed = changed

    def advance(self, fraction: float) -> None:
        """The step has come this far, 0 to 1; it never goes back."""
        self.fraction = max(self.fraction or 0.0, min(float(fraction), 1.0))
        self.counts = f"{int(self.fraction * 100)} %"
        self.certain = True
        self._changed(self)

    def note(self, text: str) -> None:
        """Say something short beside the bar while the step runs, in place of the note before."""
        self.said = text
        self._changed(self)

    def nothing_new(self, groups: int | None = None) -> None:
        """The step's result was there already."""
        self._new = False
        self.results = [f"nothing new ({groups:,} groups)" if groups else "nothing new"]

    def done(self, rows: int | None = None, text: str | None = None) -> None:
        """What the step's last line will say: the rows there are now, and a text."""
        self.rows = rows
        self.results += [text] if text else []

    @contextlib.contextmanager
    def spark(self, spark: "SparkSession") -> Iterator[None]:
        """Count the tasks of the Spark jobs that this thread starts inside the block.

        Without a status tracker (Spark Connect) the step has no bar. Jobs still running when the block
        ends with an error are cancelled.
        """
        try:
            watch: _Watch | None = _Watch(spark, self)
        except Exception:  # Connect, a stopped session, a fake: the block must run all the same
            watch = None
        try:
            yield
        except BaseException:
            if watch:
                watch.cancel()
            raise
        finally:
            if watch:
                watch.close()

    def counted(self, completed: int, tasks: int) -> None:
        """So many of the Spark tasks begun so far are completed.

        Adaptive execution plans a shuffle's second stage when the first is done. So when there turn
        out to be more tasks than groups the bar may fall back, and no end is foretold.
        """
        expected = self.total_tasks or 0
        if not max(tasks, expected):
            return
        self.certain = tasks <= expected
        self.fraction = completed / max(tasks, expected)
        if self.certain:
            self.counts = f"{completed:,}/{expected:,} groups"
        else:
            self.counts = f"{completed:,}/{tasks:,} tasks"
        self._changed(self)

    def finish(self, ended: str) -> None:
        self.ended = ended
        self.seconds = time.monotonic() - self.started
        self._changed(self)

    def facts(self) -> list[str]:
        """What is known while the step runs, most important first."""
        seconds = time.monotonic() - self.started
        fraction = self.fraction or 0.0
        facts = [self.counts] if self.counts else []
        if self.total and fraction and self.certain:
            facts.append(_rate(self.total * fraction, seconds, self.unit))
        facts.append(duration(seconds))
        if 0 < fraction < 1 and self.certain:
            facts.append(f"{duration(seconds * (1 - fraction) / fraction)} left")
        return [*facts, self.said] if self.said else facts

    def summary(self) -> str:
        """The step's last line, without its name."""
        if self.ended == "failed":
            return f"failed after {duration(self.seconds)}"
        rows = None if self.rows is None else f"{self.rows:,} rows"
        if not self._new:
            return ", ".join([*self.results, rows] if rows else self.results)
        facts = [f"{rows or 'done'} in {duration(self.seconds)}"]
        if self.total and self.seconds >= 1:
            facts.append(_rate(self.total, self.seconds, self.unit))
        return ", ".join([*facts, *self.results])


Listener = Callable[[Step], None]


class Display(Protocol):
    """Where progress is shown."""

    def start(self, step: Step) -> None: ...
    def change(self, step: Step) -> None: ...
    def end(self, step: Step) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class Progress:
    """The progress of one run; made once and handed to each step."""

    def __init__(self, display: Display | None) -> None:
        self._display = display

    @classmethod
    def console(cls, stream: TextIO) -> "Progress":
        """Bars where `stream` is a terminal, plain lines elsewhere."""
        with contextlib.suppress(Exception):
            if stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb"):
                return cls(_Bars(stream))
        return cls(_Lines(stream))

    @classmethod
    def silent(cls) -> "Progress":
        """Shows nothing: for use as a library."""
        return cls(None)

    @contextlib.contextmanager
    def step(
        self,
        name: str,
        *,
        total_bytes: int | None = None,
        total: int | None = None,
        total_tasks: int | None = None,
        unit: str = "MB",
    ) -> Iterator[Step]:
        """Show a step while the block runs, and one line about it afterwards.

        Its size is `total_bytes` of text, or `total` of `unit`s ("documents"); `total_tasks` is the
        number of its groups, one Spark task each. 0 groups means there is nothing new.
        """
        size = total_bytes / 1e6 if total_bytes else total
        step = Step(name, size, total_tasks, unit, self._change)
        if total_tasks == 0:
            step.nothing_new()
        try:
            self._show(lambda display: display.start(step))
            yield step
        except BaseException:
            step.finish("failed")
            raise
        else:
            step.finish("done")
        finally:
            self._show(lambda display: display.end(step))

    def say(self, text: str) -> None:
        """Print a line of its own, above the bars: a warning, a result."""
        self._show(lambda display: display.say(text))

    def _change(self, step: Step) -> None:
        if step.ended is None:
            self._show(lambda display: display.change(step))

    def _show(self, what: Callable[[Display], None]) -> None:
        display = self._display
        if display is None:
            return
        try:
            what(display)
        except Exception:  # a closed stream, most likely
            self._display = None
            with contextlib.suppress(Exception):
                display.close()


class _Lines:
    """Plain lines, few enough for a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: dict[int, float] = {}
        self._lock = threading.Lock()  # the poller's thread writes too

    def start(self, step: Step) -> None:
        if step.total_tasks == 0:
            return
        size = [f"{step.total_tasks:,} groups"] if step.total_tasks else []
        size += [f"{step.total:,.0f} {step.unit}"] if step.total else []
        self._last[id(step)] = time.monotonic()
        self.say(f"{step.name}: {', '.join(size) or 'started'}")

    def change(self, step: Step) -> None:
        now = time.monotonic()
        with self._lock:
            due = now - self._last.setdefault(id(step), now) >= LINE_SECONDS
            if due:
                self._last[id(step)] = now
        if due:
            self.say(f"{step.name}: {', '.join(step.facts())}")

    def end(self, step: Step) -> None:
        self._last.pop(id(step), None)
        self.say(f"{step.name}: {step.summary()}")

    def say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        pass


class _Bars:
    """One bar for each step that runs, by rich; steps that ended stay above as a line each."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._steps: list[Step] = []
        self._live: Any = None

    def start(self, step: Step) -> None:
        self._steps.append(step)
        if self._live is None:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                transient=True,  # `end` prints the line that stays
                redirect_stdout=False,  # data goes to stdout, and this is stderr
            )
            self._live.start()

    def change(self, step: Step) -> None:
        """Nothing to do: rich draws four times a second."""

    def end(self, step: Step) -> None:
        from rich.text import Text

        self._steps.remove(step)
        if not self._steps:
            self.close()
        failed = step.ended == "failed"
        mark = "!*" if self._console.options.ascii_only else "✗✓"
        line = Text(mark[not failed], style="red" if failed else "green", end="")
        line.append(f" {step.name}", style="not dim bold")
        self._console.print(line, step.summary(), sep=": ", markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()  # joins its thread and brings the cursor back

    def _render(self) -> "Text":
        from rich.text import Text

        return Text("\n").join(self._line(step) for step in list(self._steps))

    def _line(self, step: Step) -> "Text":
        from rich.text import Text

        width = max(self._console.width - 1, 1)  # a full last column makes some terminals wrap
        facts = step.facts()
        while len(facts) > 1 and _least_width(step, facts) > width:
            facts.pop()  # the least important
        line = Text(f"  {step.name} ", style="bold", no_wrap=True, overflow="ellipsis", end="")
        room = width - len(line) - sum(len(fact) + 2 for fact in facts)
        if step.fraction is not None and room >= _NARROWEST_BAR:
            self._append_bar(line, step.fraction, min(room, _WIDEST_BAR))
        line.append("".join(f"  {fact}" for fact in facts), style="not bold")
        line.truncate(width, overflow="ellipsis")
        return line

    def _append_bar(self, line: "Text", fraction: float, width: int) -> None:
        full, rest = "#-" if self._console.options.ascii_only else "━─"
        filled = int(fraction * width)
        line.append(full * filled, style="green")
        line.append(rest * (width - filled), style="not bold dim")


def _least_width(step: Step, facts: list[str]) -> int:
    bar = _NARROWEST_BAR if step.fraction is not None else 0
    return len(step.name) + 3 + bar + sum(len(fact) + 2 for fact in facts)


class _Watch:
    """Polls the tasks of a Spark job group until closed."""

    def __init__(self, spark: "SparkSession", step: Step) -> None:
        self._step = step
        self._context: Any = spark.sparkContext
        self._tracker = self._context.statusTracker()
        self._group = f"coursepack-{step.name}-{uuid.uuid4().hex[:12]}"
        self._before = [(key, self._context.getLocalProperty(key)) for key in _GROUP_PROPERTIES]
        self._context.setJobGroup(self._group, f"coursepack: {step.name}")
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"progress of {step.name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread, and give this thread the job group it had before."""
        self._stop.set()
        self._thread.join(timeout=5)
        with contextlib.suppress(Exception):
            for key, value in self._before:
                self._context.setLocalProperty(key, value)

    def cancel(self) -> None:
        with contextlib.suppress(Exception):
            self._context.cancelJobGroup(self._group)

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # the session ended under us
            while not self._stop.wait(POLL_SECONDS):
                self._poll()
            self._poll()

    def _poll(self) -> None:
        jobs = [
            self._tracker.getJobInfo(job) for job in self._tracker.getJobIdsForGroup(self._group)
        ]
        numbers = {stage for job in jobs if job is not None for stage in job.stageIds}
        stages = [self._tracker.getStageInfo(number) for number in numbers]
        # a stage that adaptive execution skipped stays at 0 tasks of many for good
        begun = [s for s in stages if s is not None and s.numActiveTasks + s.numCompletedTasks > 0]
        completed = sum(min(stage.numCompletedTasks, stage.numTasks) for stage in begun)
        self._step.counted(completed, sum(stage.numTasks for stage in begun))


# what `setJobGroup` sets
_GROUP_PROPERTIES = (
    "spark.jobGroup.id",
    "spark.job.description",
    "spark.job.interruptOnCancel",
)


def duration(seconds: float) -> str:
    """`4.2 s`, `48 s`, `3:05` (minutes) or `2:03:05` (hours)."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rate(amount: float, seconds: float, unit: str) -> str:
    rate = amount / max(seconds, 1e-9)
    return f"{rate:,.1f} {unit}/s" if rate < 10 else f"{rate:,.0f} {unit}/s"
