"""The process beside this one in which jq programs run: see `jq_worker`."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from .text import is_secret_name

MOST_SECONDS = 10.0
"""So long a program may take."""
_PATIENCE_SECONDS = 2.0
_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jq_worker.py")

_asking = threading.Lock()
_running: list["subprocess.Popen[bytes]"] = []


def values(text: str, data: Any) -> list[Any]:
    """Return all values that a program, one that compiles, gives for `data`.

    Raises ValueError if it fails, TimeoutError if it takes too long, OSError if it cannot be run.
    """
    question = f"{json.dumps(text)}\n{json.dumps(data)}\n".encode()
    with _asking:
        worker = _worker()
        try:
            line = _asked(worker, question)
        except BaseException:
            _end(worker, at_once=True)  # what it answers later is for nobody
            raise
        if not line.endswith(b"\n"):
            _end(worker)
            if worker.returncode == -signal.SIGALRM:
                raise TimeoutError(f"it took longer than {MOST_SECONDS:g} s")
            raise ValueError("the process that ran it is gone")
    answer = json.loads(line)
    if "error" in answer:
        raise ValueError(answer["error"])
    found: list[Any] = answer["values"]
    return found


def _asked(worker: "subprocess.Popen[bytes]", question: bytes) -> bytes:
    assert worker.stdin and worker.stdout
    with suppress(BrokenPipeError):
        worker.stdin.write(question)
        worker.stdin.flush()
    return worker.stdout.readline()


def _worker() -> "subprocess.Popen[bytes]":
    if _running and _running[0].poll() is None:
        return _running[0]
    import jq

    _running.clear()
    home = os.path.dirname(os.path.abspath(jq.__file__))
    worker = subprocess.Popen(
        [sys.executable, "-I", "-S", _WORKER, home, str(MOST_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not is_secret_name(k)},
        start_new_session=True,  # Ctrl-C is for us
    )
    _running.append(worker)
    return worker


def _end(worker: "subprocess.Popen[bytes]", *, at_once: bool = False) -> None:
    """End it, and wait until it is gone: by itself, as nobody asks any more, or by force."""
    if worker in _running:
        _running.remove(worker)
    if at_once:
        worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        worker.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


@atexit.register
def _end_all() -> None:
    for worker in list(_running):
        _end(worker)


def _forget() -> None:
    """In a forked process: what runs belongs to the other."""
    global _asking  # noqa: PLW0603
    _asking = threading.Lock()
    _running.clear()


os.register_at_fork(after_in_child=_forget)
