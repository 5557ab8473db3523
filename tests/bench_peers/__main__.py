"""Measure, and print the tables of docs/performance.md: `make bench-peers`.

`--quick` takes one round of each, to see that it works; words choose parts, such as `first_word`.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

from .bench import PEERS, Bench
from .peers import Peers
from .rounds import told
from .world import FOLDER, World

_INSIDE = "CLEW_BENCH_INSIDE"
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41


def main(arguments: Sequence[str]) -> None:
    """Measure in a network of its own, where there can be one: nothing leaves this machine."""
    if os.environ.get(_INSIDE) is None and _can_be_alone():
        os.environ[_INSIDE] = "1"
        again = [sys.executable, "-m", "tests.bench_peers", *arguments]
        os.execvp("unshare", ["unshare", "-rn", *again])
    if os.environ.get(_INSIDE):
        _bring_loopback_up()
    else:
        told("unshare is not to be had: peers are only asked to keep to loopback")
    with World(FOLDER / "world") as world:
        for name in set(PEERS) - set(Peers(world).here(*PEERS)):
            told(f"{name} is not installed: its rows are left out")
        wanted = [word for word in arguments if not word.startswith("-")]
        Bench(world, quick="--quick" in arguments).run(wanted)


def _can_be_alone() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    return done.returncode == 0


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


if __name__ == "__main__":
    main(sys.argv[1:])
