"""A tool that is a command: JSON on its standard input, its standard output the result.

No shell reads any word of the command, which runs where clew was called.
"""

import json
from collections.abc import Sequence
from typing import Any

from .command_run import run_command
from .deadline import TimeIsUp
from .errors import Cancelled, StepFailed
from .stop import Stop
from .text import beginning
from .tools import LONGEST_RESULT, RunContext, ToolError, ToolSpec

DEFAULT_SECONDS = 60.0


class CommandTool:
    """Runs `argv` for each call; `env` names variables that it gets although they hold secrets."""

    reads_session = True

    def __init__(
        self,
        spec: ToolSpec,
        argv: Sequence[str],
        *,
        seconds: float = DEFAULT_SECONDS,
        env: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self._argv = list(argv)
        self._seconds = seconds
        self._env = frozenset(env)
        self._stop = Stop()

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Run the command to its end; a time-out, an exit code or a signal is a ToolError."""
        left = context.seconds
        seconds = self._seconds if left is None else min(self._seconds, left)
        try:
            done = run_command(
                self._argv,
                json.dumps(arguments).encode(),
                context.environment,
                context.folder,
                keeps=self._env,
                seconds=seconds,
                most=LONGEST_RESULT,
                stop=self._stop,
            )
        except StepFailed as error:
            raise ToolError(error.message) from None
        except TimeIsUp:
            raise ToolError(f"it took longer than {seconds:g} s and was ended") from None
        except Cancelled:
            raise ToolError("it was ended") from None
        if done.code:
            raise ToolError(f"it {done.how_it_ended}")
        return beginning(done.out[:LONGEST_RESULT], done.out_total).removesuffix("\n")

    def stop(self) -> None:
        """End every command of this tool that is running."""
        self._stop.tell(Cancelled())
