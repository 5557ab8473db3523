"""Where the installed `clew` begins and ends: file descriptors, signals, and the exit code."""

import _signal as signals  # type: ignore[import-not-found]  # `signal` would load enum
import gc
import os
import sys

from .warm_client import call_warm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_WINDOWS = "clew needs Linux or macOS; on Windows, use it inside WSL"


def entry() -> "NoReturn":
    """Run the command line of this process, and end the process."""
    if os.name == "nt":
        print(_WINDOWS, file=sys.stderr)  # noqa: T201 - nothing else of clew works there
        sys.exit(78)
    if signals.getsignal(signals.SIGINT) is signals.default_int_handler:
        signals.signal(signals.SIGINT, signals.SIG_DFL)  # until clew is loaded, Ctrl-C just ends it
    _open_stdio()
    if sys.argv[1:] == ["--version"] and _version_is_told():
        os._exit(0)
    call_warm()
    gc.disable()  # importing litellm takes a second less, and no call lives long enough to need it
    code = run()
    if code < 0:
        from .signals import INTERRUPTS

        INTERRUPTS.die(-code)
    _leave_a_warm_one()
    # The models' libraries take a second to be torn down, and have nothing left to do.
    os._exit(code)


def _version_is_told() -> bool:
    """Tell the version, as scripts want it often; whether stdout took it: if not, `run` says so."""
    from clew.core.version import VERSION

    told = f"clew {VERSION}\n".encode()
    try:
        return os.write(1, told) == len(told)
    except OSError:
        return False


def run() -> int:
    """Run the command line; return its exit code, or the signal that stopped it, negative."""
    _have_streams()
    from clew.core.errors import Cancelled, ClewError

    from . import output
    from .main import main
    from .signals import INTERRUPTS

    INTERRUPTS.install()
    try:
        code = main(sys.argv[1:])
        output.flush()
    except Cancelled as stop:
        return -stop.signum
    except ClewError as error:
        output.complain(error)
        return error.exit_code
    return code


def _leave_a_warm_one() -> None:
    """Have the next call find everything loaded, if this one had to load it."""
    if "litellm" not in sys.modules:
        return
    from clew.core.resident import RESIDENTS

    if RESIDENTS.wanted:
        from .warm_start import start

        start()


def _open_stdio() -> None:
    """Have something behind 0, 1 and 2 that waits, so that no file of ours gets such a number."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            break
    for number in range(3):
        os.set_blocking(number, True)


def _have_streams() -> None:
    """Have three streams, and the two that are written take any text."""
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
