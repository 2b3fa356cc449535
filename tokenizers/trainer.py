"""The SentencePiece trainer in a process of its own, from counted words.

A process, because the trainer says how far it is on stderr alone, because it ends the process on inputs that it does
not like, and because a machine that is short of memory then kills it, and not a run of hours with its Spark session.

The parent writes the options as a line of JSON, then words as lines of `word TAB count`, then an empty line, and leaves
the pipe open: when it closes because the parent is gone, the child ends too. The child answers with a line of JSON,
and the model behind it.
"""

import contextlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sentencepiece

from coursepack.pipeline.errors import TokenizerError

Listener = Callable[[str], None]
"""Told each line of the trainer's log."""


@dataclass(frozen=True)
class Answer:
    """What came of a training: the model, or the trainer's own error."""

    model: bytes
    error: str | None
    peak_bytes: int  # resident memory of the trainer, at its highest


def run_trainer(
    options: Mapping[str, Any], lines: Iterable[bytes | memoryview], listen: Listener
) -> Answer:
    """Train in a process of its own; `lines` are pieces of the input, each of whole lines.

    An error of `lines` or an interrupt ends the trainer. Raises TokenizerError where the trainer is killed.
    """
    path = os.pathsep.join(folder for folder in sys.path if folder)
    command = [sys.executable, "-P", "-m", "coursepack.tokenizers.trainer"]
    last: deque[str] = deque(maxlen=5)  # lines that are no news, for the error
    with subprocess.Popen(
        command,  # -P: no module of the current folder may stand in front of a library's
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        log = threading.Thread(target=_read_log, args=(process.stderr, listen, last), daemon=True)
        log.start()
        try:
            _feed(process.stdin, options, lines)
            header, model = process.stdout.readline(), process.stdout.read()
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        status = process.wait()
        log.join()
    if status or not header:
        raise _ended(status, list(last))
    answer = json.loads(header)
    return Answer(model, answer["error"], answer["peak_bytes"])


def _feed(
    stdin: IO[bytes], options: Mapping[str, Any], lines: Iterable[bytes | memoryview]
) -> None:
    try:
        stdin.write(json.dumps(dict(options)).encode() + b"\n")
        for piece in lines:
            stdin.write(piece)
        stdin.write(b"\n")
        stdin.flush()
    except BrokenPipeError:
        pass  # the trainer ended; its answer or its exit status says why


def _read_log(stderr: IO[bytes], listen: Listener, last: "deque[str]") -> None:
    for raw in stderr:
        line = raw.decode("utf-8", "replace").rstrip()
        if not _NEWS.match(line):
            last.append(line)
        with contextlib.suppress(Exception):  # what shows progress never ends a training
            listen(line)


# absl's and the library's own prefix of information, and the settings that it repeats
_NEWS = re.compile(r"I\d{4} |\w+\.cc\(\d+\) LOG\(INFO\)|  \w+:|\w+_spec \{|[\s}]*$")


def _ended(status: int, last: list[str]) -> Exception:
    if status == -signal.SIGKILL:
        return TokenizerError(
            "the trainer was killed, most likely because the machine has no memory left; sample less, set "
            "tokenizer.train.least_count higher, or use a machine with more memory"
        )
    said = "; ".join(last) or "nothing"
    if "bad_alloc" in said:
        return TokenizerError(
            "the trainer found no memory; sample less, set tokenizer.train.least_count higher, or use a machine with "
            "more memory"
        )
    return RuntimeError(f"SentencePiece ended with status {status}; it said: {said}")


def main() -> None:
    """Train as the parent says on stdin."""
    options = json.loads(sys.stdin.buffer.readline())
    out, error = io.BytesIO(), None
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_words(sys.stdin.buffer), model_writer=out, **options
        )
    except Exception as raised:  # whatever it is, the parent explains it
        error = str(raised)
    header = {"error": error, "peak_bytes": peak_bytes()}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + out.getvalue())
    sys.stdout.flush()
    os._exit(0)  # the thread below still waits


def _words(stdin: IO[bytes]) -> Iterator[bytes]:
    while len(line := stdin.readline()) > 1:
        yield line
    threading.Thread(target=_end_with_parent, args=(stdin.fileno(),), daemon=True).start()


def _end_with_parent(stdin: int) -> None:
    os.read(stdin, 1)
    os._exit(1)


def peak_bytes() -> int:
    """Resident memory of this process at its highest."""
    try:
        # ru_maxrss may be that of the process which started this one
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
