"""Where the installed `clew` begins and ends: file descriptors, signals, and the exit code."""

import gc
import os
import signal
import sys
from typing import NoReturn

_WINDOWS = "clew needs Linux or macOS; on Windows, use it inside WSL"


def entry() -> NoReturn:
    """Run the command line of this process, and end the process."""
    if os.name == "nt":
        print(_WINDOWS, file=sys.stderr)  # noqa: T201 - nothing else of clew works there
        sys.exit(78)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until clew is loaded, Ctrl-C just ends it
    gc.disable()  # importing litellm takes a second less, and no call lives long enough to need it
    _open_stdio()
    code = _run()
    # The models' libraries take a second to be torn down, and have nothing left to do.
    os._exit(code)


def _run() -> int:
    from clew.core.errors import Cancelled, ClewError

    from . import output
    from .main import main
    from .signals import INTERRUPTS

    INTERRUPTS.install()
    try:
        code = main(sys.argv[1:])
        output.flush()
    except Cancelled as stop:
        INTERRUPTS.die(stop.signum)
    except ClewError as error:
        output.complain(error)
        return error.exit_code
    return code


def _open_stdio() -> None:
    """Have something behind 0, 1 and 2 that waits, so that no file of ours gets such a number."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            break
    for number in range(3):
        os.set_blocking(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
