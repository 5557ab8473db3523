"""Processes that clew starts for a run: without the provider's keys, without any of clew's open
files, and never outliving clew."""

import atexit
import errno
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from .run_environment import NAMES, as_given
from .text import is_secret_name

_GATE = ("/bin/sh", "-c", 'read -r _ && exec "$@"', "sh")
"""Nothing runs before it is sure to end with us, not even for the moment that this takes."""
_CHUNK = 1 << 16
_LOOK_MILLISECONDS = 50
_DRAIN_SECONDS = 30.0


def start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None = None,
    *,
    keeps: Collection[str] = (),
) -> "subprocess.Popen[bytes]":
    """Start a command with three pipes, in a session of its own: it can be ended with its children.

    It gets clew's environment without secrets, but those that it `keeps`, and `environment`. It
    begins when `ended_with_us` sees to its end. Raises OSError or ValueError.
    """
    inherited = {
        name: value
        for name, value in as_given().items()
        if name not in NAMES and (name in keeps or not is_secret_name(name))
    }
    whole = inherited | dict(environment)
    _look_for(os.path.join(folder or "", argv[0]) if "/" in argv[0] else argv[0], whole.get("PATH"))
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*_GATE, *argv],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=whole,
        cwd=folder,
        bufsize=0,  # closing such a stream never waits for whoever still writes to it
        start_new_session=True,
    )


def _look_for(program: str, path: str | None) -> None:
    """Raise OSError for a program that is none: the gate would not tell it so clearly."""
    found = shutil.which(program, path=path)
    if found is None or not os.path.isfile(found):
        code = errno.EACCES if "/" in program and os.path.exists(program) else errno.ENOENT
        raise OSError(code, os.strerror(code))
    if _is_bare_text(found):
        raise OSError(errno.ENOEXEC, "it is a text without a line #! that says what runs it")


def _is_bare_text(program: str) -> bool:
    """Tell whether the system would refuse this file; the gate, a shell, would run it itself."""
    try:
        with open(program, "rb") as file:
            begins = file.read(_CHUNK)
    except OSError:  # a program need not be readable
        return False
    return not begins.startswith(b"#!") and b"\0" not in begins


class _Watcher:
    """A process of its own that waits until we are gone, and then ends all commands that still run:
    nobody else would be left to do it.

    It is told, a line each time, which process groups there are, and takes the last line for true.
    """

    _SCRIPT = (
        'while read -r now; do last=$now; done; for id in $last; do kill -s KILL -- "-$id"; done'
    )

    def __init__(self) -> None:
        self._groups: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._telling = threading.Lock()

    def add(self, group: int) -> None:
        """Have this group ended with us."""
        with self._telling:
            self._groups.append(group)
            self._tell()

    def drop(self, group: int) -> None:
        """Leave this group alone: its number may soon be another's."""
        with self._telling:
            self._groups.remove(group)
            self._tell()

    def _tell(self) -> None:
        line = b"%s\n" % b" ".join(b"%d" % group for group in self._groups)
        for _ in range(2):  # one that is gone is replaced
            if self._process is None:
                self._start()
            if self._process is None:
                return
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(line)
                return
            except OSError:
                self.leave()

    def _start(self) -> None:
        quiet = subprocess.DEVNULL
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", self._SCRIPT],
                stdin=subprocess.PIPE,
                stdout=quiet,
                stderr=quiet,
                env={},
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )

    def leave(self) -> None:
        """Have it end."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
            process.wait()

    def forget(self) -> None:
        """Let go of it: this process is a copy of the one that it watches."""
        if self._process is not None:
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._process.returncode = 0  # it is not ours to wait for
        self._process, self._groups, self._telling = None, [], threading.Lock()


_watcher = _Watcher()
atexit.register(_watcher.leave)
os.register_at_fork(after_in_child=_watcher.forget)


@contextmanager
def ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Let a command begin; end it, and all that it started, with the block, or when clew is
    killed."""
    _watcher.add(process.pid)
    try:
        _let_go(process)
        yield
    finally:
        _kill(process)
        _watcher.drop(process.pid)  # as long as nobody has waited for it, the number is its own
        end(process)


def _let_go(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(b"\n")


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a command and all that it started, and have nothing left of it."""
    _kill(process)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError):
            if stream is not None:
                stream.close()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def code_of(process: "subprocess.Popen[bytes]") -> int | None:
    """Return the exit code of a process, None while it runs.

    Its id stays taken until `end`: killing its group later could otherwise meet another's.
    """
    if process.returncode is not None or not hasattr(os, "waitid"):  # macOS has none
        return process.poll()
    try:
        info = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return process.poll()
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def how_it_ended(code: int) -> str:
    """Return what an exit code means: the code itself, or the signal."""
    if code >= 0:
        return f"failed with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


class Reader(threading.Thread):
    """Reads a stream to its end, and keeps no more of it than somebody will read: the first bytes,
    or the `last` ones."""

    def __init__(self, stream: IO[bytes], most: int, *, last: bool = False) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._most = most
        self._last = last
        self._ended = threading.Event()
        self.kept = bytearray()
        self.total = 0

    def run(self) -> None:
        """Read."""
        with suppress(OSError, ValueError):
            while self._more() and (chunk := os.read(self._stream.fileno(), _CHUNK)):
                self.total += len(chunk)
                if self._last:
                    self.kept += chunk
                    del self.kept[: -self._most]
                else:
                    self.kept += chunk[: self._most - len(self.kept)]

    def _more(self) -> bool:
        """Wait for more; tell whether there is some, or may be: who wrote it has not ended."""
        waiting = select.poll()
        waiting.register(self._stream.fileno(), select.POLLIN)
        while True:
            ended = self._ended.is_set()
            if waiting.poll(0 if ended else _LOOK_MILLISECONDS):
                return True
            if ended:
                return False

    def finish(self) -> None:
        """Read what is there by now: what has left the group may hold the pipe open for ever."""
        self._ended.set()
        self.join(_DRAIN_SECONDS)
