"""One step of a workflow: a run, a command or a function, called once."""

import inspect
import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from .attachments import load
from .calling import call_inside
from .command_run import Done, run_command
from .deadline import TimeIsUp, within
from .defined import Defined
from .errors import Cancelled, ClewError, StepFailed, UsageError
from .inside import Inside
from .invocation import Invocation
from .lines import RunLine, State
from .run_environment import named
from .state import difference, storable_value, without_nulls
from .stdout_apart import apart
from .step_result import StepResult, made_of
from .steps import Command, StepFunction, StepInput
from .text import storable
from .tools import RunContext
from .work import Begun

MAY_PASS = (69, 75)
"""Exit codes that say so: a service is not there, or something else is in the way (sysexits)."""
MOST_BYTES = 10 * 1024 * 1024
"""Of what a command writes: a step's content is a part of its run's line."""


@dataclass(frozen=True)
class Called:
    """What a call of a step gets, and what it is told beside.

    `content` goes in, `given` makes what a function gets; `environment` names run and step to
    commands.
    """

    content: str
    given: Callable[[], StepInput]
    environment: Mapping[str, str]


def called_command(command: Command, name: str, call: Called, begun: Begun) -> StepResult:
    """Run a command to its end; raise StepFailed if it fails."""
    done = run(command, call, begun)
    if done.code:
        raise StepFailed(f"it {done.how_it_ended}", retryable=done.code in MAY_PASS)
    return _read(command, name, done.out, begun.context.folder)


def run(command: Command, call: Called, begun: Begun) -> Done:
    """Run a command, however it ends; raise StepFailed if it cannot be run or takes too long."""
    exchange = begun.outer.exchange
    left = exchange.seconds_left
    if left == 0:
        raise exchange.time.reached()
    own = command.seconds
    seconds = left if own is None or (left is not None and left < own) else own
    try:
        return run_command(
            command.argv,
            call.content.encode(),
            call.environment,
            begun.context.folder,
            keeps=frozenset(command.env),
            seconds=seconds,
            most=MOST_BYTES,
            stop=begun.outer.stop,
        )
    except TimeIsUp:
        if exchange.seconds_left == 0:
            raise exchange.time.reached() from None
        told = f"it took longer than {seconds:g} s and was ended"
        raise StepFailed(told, retryable=True) from None


def _read(command: Command, name: str, out: bytes, folder: str | None) -> StepResult:
    if len(out) > MOST_BYTES:
        raise StepFailed(f"it wrote more than {MOST_BYTES >> 20} MiB")
    content = storable(out.decode("utf-8", "replace").removesuffix("\n"))
    data = None
    if command.json:
        try:
            data = storable_value(json.loads(content), "its output")
        except (ValueError, RecursionError, UsageError) as error:
            raise StepFailed(f"its output is not JSON: {error}") from None
    try:
        files = tuple(load(os.path.join(folder or "", path)) for path in command.files)
    except UsageError as error:
        raise StepFailed(error.message) from None
    return StepResult(name, content, data, files)


def called_function(
    function: StepFunction, name: str, call: Called, begun: Begun
) -> tuple[StepResult, State]:
    """Call a function; return what it has come to, and how it changed the state."""
    value, patch = answer_of(function, call, begun)
    try:
        return made_of(name, value), patch
    except UsageError as error:
        raise StepFailed(error.message) from None


def answer_of(function: StepFunction, call: Called, begun: Begun) -> tuple[Any, State]:
    """Return what a function returns, and how it changed the state; raise StepFailed."""
    exchange = begun.outer.exchange
    given = call.given()
    before = deepcopy(given.session_state)
    context = replace(
        begun.context,
        session_state=given.session_state,
        seconds=exchange.seconds_left,
        environment=dict(call.environment),
    )

    def work(_give: Callable[[str], None]) -> Any:
        with apart(), named(context.environment):
            try:
                return _awaited(function(given, **_beside(function, context)))
            except ClewError as error:
                raise StepFailed(
                    error.message, hint=error.hint, retryable=error.retryable
                ) from error
            except (ConnectionError, TimeoutError) as error:
                raise StepFailed(_told(error), retryable=True) from error

    try:
        value = within(exchange.seconds_left, work, _nothing, begun.outer.stop)
    except TimeIsUp:
        raise exchange.time.reached() from None
    except (ClewError, Cancelled, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise StepFailed(_told(error)) from error
    try:
        after: State = storable_value(context.session_state, "the state")
    except UsageError as error:
        raise StepFailed(error.message) from None
    return value, difference(before, without_nulls(after))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _nothing(_piece: str) -> None:
    """Nothing is said on the way."""


def _beside(function: StepFunction, context: RunContext) -> dict[str, RunContext]:
    try:
        takes = "run_context" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {"run_context": context} if takes else {}


def _awaited(value: Any) -> Any:
    """Return a value; of an `async` function, wait for it."""
    if not inspect.iscoroutine(value):
        return value
    import asyncio

    return asyncio.run(value)


def called_run(what: Defined, content: str, how: Invocation, inside: Inside) -> RunLine:
    """Make a run inside the workflow's, or go on with the one that is named; return its line.

    Raises LimitReached if it was a limit of the workflow's run, or one around it, that ended it,
    and StepFailed if it could not begin.
    """
    how = replace(what.inside(how, inside.log), files=how.files)
    try:
        return call_inside(what, content, how, inside)
    except ClewError as error:
        if inside.is_around(error) or inside.unstored is not None:
            raise
        raise StepFailed(f"it could not begin: {error.message}", hint=error.hint) from error
