"""The trainer's process: it ends with its parent, and its end is explained."""

import io
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator

import pytest

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers import trainer as module
from coursepack.tokenizers.train import Vocabulary, options_of
from coursepack.tokenizers.trainer import run_trainer

WANTED = Vocabulary(600)
OPTIONS = options_of(WANTED, WANTED.settings(), accept_fewer=True)


def children() -> list[int]:
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(None, 1) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, command in rows if "coursepack.tokenizers.trainer" in command]


def test_a_killed_trainer_is_explained() -> None:
    def lines() -> Iterator[bytes]:
        yield b"word\t3\n"
        [pid] = children()
        os.kill(pid, signal.SIGKILL)
        for _ in range(100_000):
            yield b"word\t3\n" * 100

    with pytest.raises(
        TokenizerError, match="was killed, most likely because the machine has no memory"
    ):
        run_trainer(OPTIONS, lines(), lambda line: None)
    assert children() == []


def test_an_error_of_the_input_ends_the_trainer() -> None:
    def lines() -> Iterator[bytes]:
        yield b"word\t3\n"
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        run_trainer(OPTIONS, lines(), lambda line: None)
    assert children() == []


def test_only_what_is_no_news_is_kept_for_an_error() -> None:
    told: list[str] = []
    last: deque[str] = deque(maxlen=5)
    run_trainer(OPTIONS, [b"word\t3\n"], told.append)
    log = "\n".join([*told, "F0000 boom"]).encode()
    module._read_log(io.BytesIO(log), lambda line: None, last)
    assert len(told) > 300
    assert "WARNING: All log messages before absl::InitializeLog() is called" in last[0]
    assert last[-1] == "F0000 boom"


def test_the_librarys_own_errors_come_back() -> None:
    answer = run_trainer(OPTIONS, [b"no count\n"], lambda line: None)
    assert answer.error is not None
    assert "word <tab> freq" in answer.error
    assert answer.model == b""


def test_an_end_without_an_answer_says_what_the_trainer_said() -> None:
    said = str(module._ended(-6, ["F0000 boom"]))
    assert said == "SentencePiece ended with status -6; it said: F0000 boom"
    assert "found no memory" in str(module._ended(-6, ["std::bad_alloc"]))


def test_the_trainer_ends_when_its_parent_is_gone() -> None:
    program = (
        "import sys, time\n"
        "from coursepack.tokenizers.trainer import run_trainer\n"
        "from coursepack.tokenizers.train import Vocabulary, options_of\n"
        "wanted = Vocabulary(200_000, algorithm='unigram')\n"
        "words = (b'w%dx%d\\t3\\n' % (i * 7919 % 100_003, i) for i in range(200_000))\n"
        "text = (line.translate(bytes.maketrans(b'0123456789', b'abcdefghij'), b'') for line in words)\n"
        "text = (line.rsplit(b'\\t')[0] + b'\\t3\\n' for line in text)\n"
        "def listen(line):\n"
        "    if 'Normalizing' in line: print('training', flush=True)\n"
        "run_trainer(options_of(wanted, wanted.settings(), True), text, listen)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout
    assert parent.stdout.readline() == b"training\n"
    listed = subprocess.run(
        ["ps", "--ppid", str(parent.pid), "-o", "pid="], capture_output=True, text=True, check=True
    )
    [pid] = map(int, listed.stdout.split())
    parent.kill()
    parent.wait()
    for _ in range(100):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
        )
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return
        time.sleep(0.1)
    pytest.fail("the trainer goes on without its parent")
