"""A terminal for tests: a pseudo-terminal that a script, or a clew, has to itself."""

import os
import pty
import re
import select
import subprocess
import termios

from tests.conftest import CLEW, Clew, eventually


def in_terminal(clew: Clew, script: str) -> tuple[int, bytes]:
    """Run a bash script in a new terminal; return its exit code and the bytes the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f'exec <>"$0" >&0 2>&0; {script}', os.ttyname(theirs)],
        env=clew.env,
        cwd=clew.cwd,
        start_new_session=True,
    )
    shown = b""
    ended = False
    while not ended:
        ended = process.poll() is not None
        while select.select([ours], [], [], 0.05)[0]:
            shown += os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    return process.returncode, shown


class Person:
    """Somebody at a terminal in which a clew runs."""

    def __init__(self, clew: Clew, *arguments: str, redirect: str = "", columns: int = 80) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        on_terminal = f'exec <>"$0" >&0 2>&0; exec "$@" {redirect}'
        self.process = subprocess.Popen(
            ["bash", "-c", on_terminal, os.ttyname(theirs), CLEW, *arguments],
            env=clew.env,
            cwd=clew.cwd,
            start_new_session=True,
        )
        self._theirs = theirs
        self._seen = b""

    def sees(self, text: str) -> str:
        """Wait until the text is on the terminal; return what came up to it, and forget it."""
        eventually(lambda: text.encode() in self._look())
        before, _, self._seen = self._seen.partition(text.encode())
        return (before + text.encode()).decode()

    def types(self, text: str | bytes) -> None:
        os.write(self._ours, text.encode() if isinstance(text, str) else text)

    def shows(self, text: str) -> str:
        """Wait until the text is on the terminal; return all that it got so far."""
        eventually(lambda: text.encode() in self._look())
        return self._look().decode("utf-8", "replace")

    def draws(self, what: str) -> str:
        """Wait until a status says that this goes on for a second, or more; return all so far."""
        line = re.compile(re.escape(what.encode()) + rb" [1-9]\d* s")
        eventually(lambda: line.search(self._look()))
        return self._look().decode("utf-8", "replace")

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code, and what else was shown."""
        eventually(lambda: self._look() is not None and self.process.poll() is not None)
        return self.process.returncode, self._look().decode("utf-8", "replace")

    def leave(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._theirs)
        os.close(self._ours)

    def _look(self) -> bytes:
        while select.select([self._ours], [], [], 0.02)[0]:
            self._seen += os.read(self._ours, 65536)
        return self._seen


def screen(shown: str) -> list[str]:
    """What stands on a terminal that got this, line by line; lines may be as long as they like.

    Only what clew may send is understood: newlines, carriage returns, wiping to the line's end, and
    dimming.
    """
    lines, column = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", shown):
        match piece:
            case "\r":
                column = 0
            case "\n":
                lines.append("")
            case "\x1b[K":
                lines[-1] = lines[-1][:column]
            case "\x1b[2m" | "\x1b[0m":
                pass
            case _:
                assert piece.isprintable(), piece
                line = lines[-1].ljust(column)
                lines[-1] = line[:column] + piece + line[column + 1 :]
                column += 1
    return [line.rstrip() for line in lines if line.strip()]
