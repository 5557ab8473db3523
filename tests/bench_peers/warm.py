"""The warm process of the clew that is measured: whether it has one, whether it was used."""

import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .peers import WARM, Peers
from .process import CommandFailed, measured
from .rounds import told

_LOOK_SECONDS = 0.01


class WarmProcess:
    """Starts it, and stops it in the end."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def start(self) -> bool:
        """Have one; tell whether this clew knows of such a thing."""
        try:
            measured(self._peers.command(WARM, "warm", "start"))
        except CommandFailed as error:
            told(f"{WARM} is left out: {error}")
            return False
        return True

    def stop(self) -> None:
        """Say how many calls it served, and end it."""
        status = self._status()
        told(f"the warm process served {status['served']} calls; refused: {status.get('refused')}")
        measured(self._peers.command(WARM, "warm", "stop"))

    def unshared(self) -> int:
        """Return the most memory, in bytes, that a run's own processes had to themselves."""
        command = self._peers.one_off(WARM, slow=True)
        pid = self._status()["pid"]
        most = 0
        process = subprocess.Popen(
            command.words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=command.env,
            cwd=command.cwd,
        )
        while process.poll() is None:
            most = max(most, sum(map(_own, [process.pid, *_children(pid)])))
            time.sleep(_LOOK_SECONDS)
        return most

    def _status(self) -> Any:
        return json.loads(measured(self._peers.command(WARM, "warm", "status", "--json")).out)


def _children(pid: int) -> list[int]:
    """Return those of a process, and theirs."""
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for task in os.listdir(f"/proc/{pid}/task"):
            for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(word), *_children(int(word))]
    return found


def _own(pid: int) -> int:
    """Return how many bytes of memory a process shares with no other."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    own = (line.split() for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
    return sum(int(words[1]) << 10 for words in own)
