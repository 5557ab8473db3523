"""What can be known to be wrong with the steps of a workflow before anything runs."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from .defined import Defined
from .errors import UsageError
from .jq_program import program
from .jq_reading import always, keys_named, params_named, steps_named, texts_given
from .step_names import walk
from .steps import (
    Command,
    Condition,
    Loop,
    Node,
    OnError,
    OnReject,
    OnTimeout,
    Parallel,
    Pause,
    Router,
    Step,
    Steps,
    Test,
)
from .text import quoted

Place = tuple[str | int, ...]
_SEEN = ("input", "last", "params", "session_state", "steps")
"""What an expression may ask for."""
_DASHED = re.compile(r"\.steps\.([A-Za-z_]\w*(?:-\w+)+)")


@dataclass(frozen=True)
class Wrong:
    """Something wrong, and where in the definition: keys, and positions in lists."""

    place: Place
    message: str
    hint: str | None = None
    idle: bool = False
    """Whether nothing goes wrong: it is only that something never runs."""


def check(nodes: Sequence[Node], params: Collection[str] | None = None) -> None:
    """Raise UsageError for the first thing that goes wrong with the steps, which have names.

    What never runs does not: a program may have decided that.
    """
    for wrong in problems(nodes, params):
        if wrong.idle:
            continue
        raise UsageError(f"{'.'.join(map(str, wrong.place))}: {wrong.message}", hint=wrong.hint)


def problems(nodes: Sequence[Node], params: Collection[str] | None = None) -> Iterator[Wrong]:
    """Yield what is wrong with the steps of a workflow, which have names.

    `params` are those that may be given to it; None if nobody knows.
    """
    return _Check(frozenset(_names(nodes)), params).group(nodes, ("steps",), frozenset())


def _names(nodes: Sequence[Node]) -> Iterator[str]:
    return (str(node.name) for node in walk(nodes))


@dataclass(frozen=True)
class _Check:
    """Goes through the steps in their order; `names` are those of all."""

    names: Collection[str]
    params: Collection[str] | None

    def group(self, nodes: Sequence[Node], place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        """Yield what is wrong with steps that run one after the other.

        `known` are the names of those that may have run before.
        """
        if not nodes:
            yield Wrong(place, "there has to be at least one step")
        last: str | None = None
        for number, node in enumerate(nodes):
            if last is not None:
                yield _idle((*place, number), f"{last!r} always stops the workflow")
            yield from self.part(node, (*place, number), known)
            known |= frozenset(_names([node]))
            last = str(node.name) if always_stops(node) else None

    def part(self, node: Node, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        """Yield what is wrong with one part and what it holds."""
        match node:
            case Step():
                yield from self._step(node, place, known)
            case Steps():
                yield from self.group(node.steps, (*place, "steps"), known)
            case Parallel():
                yield from self._each(node.steps, (*place, "parallel"), known)
            case Condition():
                yield from self._condition(node, place, known)
            case Loop():
                yield from self._loop(node, place, known)
            case Router():
                yield from self._router(node, place, known)

    def _each(self, nodes: Sequence[Node], place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        """Yield what is wrong with steps of which none waits for another."""
        if not nodes:
            yield Wrong(place, "there has to be at least one step")
        for number, node in enumerate(nodes):
            yield from self.part(node, (*place, number), known)

    def _step(self, step: Step, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        does: Any = step.does
        if isinstance(does, Command):
            yield from _command(does, (*place, "run"))
        elif not isinstance(does, Defined) and not callable(does):
            kinds = "an Agent, a Team, a Workflow, a Command or a function"
            yield Wrong(place, f"a step does {kinds}, not {quoted(does)}")
        if step.input is not None:
            yield from self._jq(step.input, (*place, "input"), known, (*_SEEN, "user_input"))
        if isinstance(step.stop, str):
            yield from self._stop(step, step.stop, (*place, "stop"), known)
        elif not isinstance(step.stop, bool):
            yield Wrong((*place, "stop"), f"it is true, false or jq, not {quoted(step.stop)}")
        yield from _word(step.on_error, get_args(OnError), (*place, "on_error"))
        yield from _count(step.retries, 0, (*place, "retries"))
        yield from _history(step, place)
        yield from _pause(step, place)

    def _stop(self, step: Step, text: str, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        own = str(step.name)
        for wrong in self._jq(text, place, known | {own}):
            yield wrong
            return
        if own in steps_named(text) and own not in known:
            yield Wrong(place, f"`.steps` does not have {own!r} yet", "it is `.last` here")

    def _condition(self, node: Condition, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        wrong = list(self._test(node.if_, (*place, "if"), known))
        yield from wrong
        truth = None if wrong else _truth(node.if_)
        if truth is False:
            yield _idle((*place, "then"), "the condition never holds")
        if truth is True and node.else_:
            yield _idle((*place, "else"), "the condition always holds")
        yield from self.group(node.then, (*place, "then"), known)
        if node.else_:
            yield from self.group(node.else_, (*place, "else"), known)

    def _loop(self, node: Loop, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        # In the second iteration all steps of the first have run.
        known |= frozenset(_names(node.steps))
        yield from self.group(node.steps, (*place, "loop"), known)
        if node.until is not None:
            yield from self._test(node.until, (*place, "until"), known)
        yield from _count(node.max_iterations, 1, (*place, "max_iterations"))

    def _router(self, node: Router, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        route: Any = node.route
        here = (*place, "router")
        if isinstance(route, str):
            yield from self._jq(route, here, known)
            choices = [str(choice.name) for choice in node.choices]
            for text in texts_given(route):
                if text not in choices:
                    hint = _near(text, choices) or f"the choices are: {', '.join(choices)}"
                    yield Wrong(here, f"there is no choice {text!r}", hint)
        elif isinstance(route, Command):
            yield from _command(route, (*here, "run"))
        elif route is not None and not callable(route):
            yield Wrong(here, f"a route is jq, a command or a function, not {quoted(route)}")
        yield from _choosing(node, place)
        # Several may be chosen, and run in the order in which they are named.
        known |= frozenset(_names(node.choices))
        yield from self._each(node.choices, (*place, "choices"), known)

    def _test(self, test: Test, place: Place, known: frozenset[str]) -> Iterator[Wrong]:
        if isinstance(test, str):
            yield from self._jq(test, place, known)
        elif isinstance(test, Command):
            yield from _command(test, (*place, "run"))
        elif not isinstance(test, bool) and not callable(test):
            yield Wrong(place, f"it is jq, a command or a function, not {quoted(test)}")

    def _jq(
        self, text: Any, place: Place, known: frozenset[str], seen: Collection[str] = _SEEN
    ) -> Iterator[Wrong]:
        if not isinstance(text, str):
            yield Wrong(place, f"it is a jq program, not {quoted(text)}")
            return
        dashed = next((name for name in _DASHED.findall(text) if name in self.names), None)
        subtracted = f'in jq that is a subtraction; write .steps["{dashed}"]' if dashed else None
        try:
            compiled = program(text)
            if always(text):
                compiled.one({})
        except UsageError as error:
            yield Wrong(place, error.message, subtracted or error.hint)
            return
        yield from _unknown(keys_named(text), seen, "jq sees no", place)
        if self.params is not None:
            yield from _unknown(params_named(text), self.params, "there is no param", place)
        for name in steps_named(text):
            if dashed is not None and dashed.startswith(f"{name}-"):
                yield Wrong(place, f"`.steps.{dashed}` is not the step {dashed!r}", subtracted)
            elif name not in self.names:
                hint = _near(name, self.names) or f"the steps are: {', '.join(sorted(self.names))}"
                yield Wrong(place, f"there is no step {name!r}", hint)
            elif name not in known:
                yield Wrong(place, f"the step {name!r} never runs before this")


def _idle(place: Place, why: str) -> Wrong:
    return Wrong(place, f"it is never reached: {why}", idle=True)


def _unknown(
    names: Sequence[str], known: Collection[str], what: str, place: Place
) -> Iterator[Wrong]:
    for name in dict.fromkeys(names):
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            yield Wrong(place, f"{what} {name!r}", _near(name, known) or f"there are: {there}")


def always_stops(node: Node) -> bool:
    """Tell whether the workflow ends with this part, unless it fails."""
    match node:
        case Step():
            may_skip = _may_skip(node.pause) or node.on_error != "fail"
            return node.stop is True and not may_skip
        case Steps() | Parallel() | Loop():
            return any(map(always_stops, node.steps))
        case Condition():
            return any(map(always_stops, node.then)) and any(map(always_stops, node.else_))
        case Router():
            return False


def _may_skip(pause: Pause) -> bool:
    """Tell whether somebody, or the time that passes, may have a step skipped."""
    return _asks(pause) and "skip" in (pause.on_reject, pause.on_timeout)


def _asks(pause: Pause) -> bool:
    return pause.confirmation or pause.review or pause.user_input is not None


def _truth(test: Test) -> bool | None:
    """Return what a test always says; None if it hangs on something."""
    if isinstance(test, str):
        return program(test).holds({}) if always(test) else None
    return test if isinstance(test, bool) else None


def _command(command: Command, place: Place) -> Iterator[Wrong]:
    argv: Any = command.argv
    is_list = isinstance(argv, Sequence) and not isinstance(argv, str | bytes)
    if not is_list or not argv or not all(isinstance(word, str) for word in argv):
        yield Wrong(place, f"a command is a list of texts, not {quoted(argv)}")
    elif not argv[0]:
        yield Wrong(place, "a command begins with a program's name")
    seconds: Any = command.seconds
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        yield Wrong(place, f"its time is a number of seconds above 0, not {quoted(seconds)}")


def _history(step: Step, place: Place) -> Iterator[Wrong]:
    for key in ("add_workflow_history", "num_history_runs"):
        if getattr(step, key) is not None and not isinstance(step.does, Defined):
            yield Wrong((*place, key), "only an agent, a team or a workflow can be told of it")
            return
    if step.num_history_runs is not None:
        yield from _count(step.num_history_runs, 0, (*place, "num_history_runs"))


def _pause(step: Step, place: Place) -> Iterator[Wrong]:
    pause = step.pause
    yield from _wait(pause, place, waits=_asks(pause) or step.on_error == "pause")
    if pause.on_reject == "retry" and not pause.review:
        yield Wrong((*place, "on_reject"), "only a review can have a step run again")
    fields: Any = pause.user_input
    here = (*place, "requires_user_input")
    if fields is None:
        return
    if not isinstance(fields, Mapping) or fields.get("type") != "object":
        yield Wrong(here, "the schema has to be of type object")
    elif not fields.get("properties"):
        yield Wrong(here, "the schema has to say which properties there are")
    if pause.on_timeout == "approve":
        yield Wrong((*place, "on_timeout"), "without an answer there are no values to go on with")


def _choosing(router: Router, place: Place) -> Iterator[Wrong]:
    pause = router.pause
    yield from _wait(pause, place, waits=router.route is None)
    if _asks(pause):
        yield Wrong(place, "a router only asks which choice is taken; its choices may ask more")
    if pause.on_reject == "retry":
        yield Wrong((*place, "on_reject"), "only a review can have a step run again")
    if pause.on_timeout == "approve":
        yield Wrong((*place, "on_timeout"), "without an answer there is no choice to take")


def _wait(pause: Pause, place: Place, *, waits: bool) -> Iterator[Wrong]:
    yield from _word(pause.on_reject, get_args(OnReject), (*place, "on_reject"))
    yield from _word(pause.on_timeout, get_args(OnTimeout), (*place, "on_timeout"))
    if pause.seconds is None and pause.on_timeout != Pause.on_timeout:
        yield Wrong((*place, "on_timeout"), "answer_within says how long the answer may take")
    said = {"message": pause.message, "answer_within": pause.seconds}
    for key, value in said.items():
        if value is not None and not waits:
            yield Wrong((*place, key), "nobody is waited for here", "requires_confirmation: true")


def _word(value: Any, words: Sequence[str], place: Place) -> Iterator[Wrong]:
    if value not in words:
        yield Wrong(place, f"it is one of {', '.join(words)}, not {quoted(value)}")


def _count(value: Any, least: int, place: Place) -> Iterator[Wrong]:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        yield Wrong(place, f"it is {least} or more, not {quoted(value)}")


def _near(name: str, known: Collection[str]) -> str | None:
    found = get_close_matches(name, list(known), 1)
    return f"did you mean {found[0]}?" if found else None
