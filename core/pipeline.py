"""The work of a run that is a workflow's: its steps, one after the other, at once, or in turn."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .approvals import stoppable
from .command_run import Done
from .errors import ClewError, StepFailed
from .lines import RunLine
from .messages import assistant
from .order import Order
from .records import StepRecord
from .run_line import ended_line
from .step_asks import Asks
from .step_books import Ended, Refused, StepBooks, Waits, failure_of
from .step_calls import answer_of, run
from .step_flow import Flow
from .step_gates import StepGates
from .step_result import StepResult, joined, result_of
from .step_runner import StepRunner
from .step_state import BranchState, WholeState
from .step_view import Scope, View
from .steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Router,
    Step,
    StepFunction,
    Steps,
    Test,
    kind_of,
)
from .work import Begun, Outcome
from .workflow_agent import asked

_PAUSED = 6
_KEPT = 100
"""Iterations of a loop whose records stay in the line; older ones are kept beside it."""
_MOVED = 50
_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 10.0


class Pipeline:
    """Runs the parts of a workflow; holds what they have come to, also when they fail."""

    def __init__(self, flow: Flow, order: Order, begun: Begun) -> None:
        self._nodes = flow.nodes
        self._agent = flow.agent
        self._begun = begun
        self._books = StepBooks(begun.flight, begun.outer.announcer, begun.log)
        decide = stoppable(order.decide, begun.outer.stop)
        self._asks = Asks(decide, begun.context.user_id, begun.flight, settled=dict(order.settled))
        if order.resumes is not None:
            self._books.go_on_from(order.resumes["steps"])
            self._asks.go_on_from(order.resumes)
        self._gates = StepGates(self._asks, self._books)
        self._view = View(begun.outer.input, flow.params)
        self._steps = StepRunner(self._view, order, begun, self._books, self._gates, flow)
        self._result: StepResult | None = None

    @property
    def unstored(self) -> ClewError | None:
        """Why a run inside this one could not be stored, if one could not."""
        return self._books.unstored

    def go(self) -> Outcome:
        """Run the steps, to the end, or until one fails or waits for somebody."""
        log, outer = self._begun.log, self._begun.outer
        state = WholeState(self._begun.state, log, self._begun.flight, outer.run_id)
        start = StepResult("", outer.input, files=outer.files)
        scope = Scope("", start, None, {}, state)
        try:
            if self._agent is not None:
                query = asked(self._agent, self._steps, scope)
                self._view.input = query
                scope = scope.within("", replace(start, content=query))
                scope.last = None
            self._result = self._walk(self._nodes, scope)
        except Ended as end:
            self._result = end.result
        except Waits:
            return Outcome("PAUSED", _PAUSED)
        except Refused as error:
            return Outcome("CANCELLED", error.exit_code, error)
        return Outcome("COMPLETED", 0, data=self._result.data)

    def end(self, intent: RunLine, outcome: Outcome) -> RunLine:
        """Return the line of the run."""
        announcer = self._begun.outer.announcer
        line = ended_line(intent, self._begun.outer.exchange, outcome)
        line["steps"] = self._books.steps
        line["members"] = self._books.members
        line["requirements"] = self._asks.requirements
        if self._books.conflicts:
            line["state_conflicts"] = self._books.conflicts
        if self._result is not None:
            line["content"] = self._result.content
            line["messages"] = [*intent["messages"], assistant(self._result.content)]
            if line["content"]:
                announcer.tell({**announcer.event("RunContent"), "content": line["content"]})
        return line

    def _walk(self, nodes: Sequence[Node], scope: Scope) -> StepResult:
        """Run parts one after the other; return what the last one has come to."""
        for node in nodes:
            self._begun.outer.stop.check()
            self._part(node, scope)
        return scope.given

    def _part(self, node: Node, scope: Scope) -> StepResult:
        """Run a part, unless that was done before, and have the next one see what it came to."""
        key = scope.key(node)
        before = self._books.finished(key)
        if before is not None:
            self._recall(key, scope)
            result = result_of(before, self._begun.log)
        else:
            result = self._run(node, key, scope)
        scope.take(result)
        if result.stop:
            raise Ended(result)
        return result

    def _recall(self, key: str, scope: Scope) -> None:
        """Have later steps see what the parts of this one had come to before."""
        for record in self._books.finished_in(key):
            if record["kind"] != "iteration":
                scope.results[record["name"]] = result_of(record, self._begun.log)

    def _run(self, node: Node, key: str, scope: Scope) -> StepResult:
        if isinstance(node, Step):
            return self._steps.run(node, key, scope)
        record = self._books.record(key, str(node.name), kind_of(node), scope.given.content)
        self._books.note(record)
        with self._books.kept(record):
            result = self._held(node, record, scope).called(str(node.name))
            self._books.come_to(record, result)
        return result

    def _held(self, node: Node, record: StepRecord, scope: Scope) -> StepResult:
        match node:
            case Steps():
                return self._walk(node.steps, scope.within(record["id"]))
            case Parallel():
                return self._at_once(node, record, scope)
            case Condition():
                return self._either(node, record, scope)
            case Loop():
                return self._again(node, record, scope)
            case Router():
                return self._routed(node, record, scope)
            case Step():
                raise AssertionError("a step holds no steps")

    def _either(self, node: Condition, record: StepRecord, scope: Scope) -> StepResult:
        if "chosen" not in record:
            with _named(record):
                holds = self._holds(node.if_, record["id"], scope)
            record["chosen"] = ["then" if holds else "else"]
            self._books.note(record)
        nodes = node.then if record["chosen"] == ["then"] else node.else_
        if not nodes:
            return StepResult("", status="SKIPPED")
        return self._walk(nodes, scope.within(record["id"]))

    def _routed(self, node: Router, record: StepRecord, scope: Scope) -> StepResult:
        known = {str(choice.name): choice for choice in node.choices}
        if "chosen" not in record:
            with _named(record):
                record["chosen"] = self._chosen(node, list(known), record, scope)
            self._books.note(record)
        if not record["chosen"]:
            return StepResult("", status="SKIPPED")
        chosen_nodes = [known[name] for name in record["chosen"] if name in known]
        return self._walk(chosen_nodes, scope.within(record["id"]))

    def _chosen(
        self, node: Router, known: list[str], record: StepRecord, scope: Scope
    ) -> list[str]:
        if node.route is None:
            chosen = self._gates.choice(node, known, record, scope)
        else:
            chosen = self._names(node.route, record["id"], scope)
        for name in chosen:
            if name not in known:
                raise StepFailed(f"it has no choice {name!r}; there are: {', '.join(known)}")
        return chosen

    def _again(self, node: Loop, record: StepRecord, scope: Scope) -> StepResult:
        start = last = scope.given
        done = record.get("iterations", 0)
        if done:
            self._recall(record["id"], scope)
            before = self._books.finished(f"{record['id']}/{done}")
            last = result_of(before, self._begun.log) if before else last
            goes_on = f"{record['id']}/{done + 1}" in self._books.earlier
            if not goes_on and self._is_over(node, done, scope, last, record):
                return last
        while done < node.max_iterations:
            number = done + 1
            begins = last if node.forward else start
            try:
                last = self._iteration(node, record, number, scope, begins)
            except Ended:
                record["iterations"] = number
                raise
            done = record["iterations"] = number
            self._books.note(record)
            if number > _KEPT and number % _MOVED == 0:
                oldest = range(number - _KEPT - _MOVED + 1, number - _KEPT + 1)
                self._books.move(record, [f"{record['id']}/{each}" for each in oldest if each > 0])
            if self._is_over(node, done, scope, last, record):
                break
        return last

    def _iteration(
        self, node: Loop, record: StepRecord, number: int, scope: Scope, begins: StepResult
    ) -> StepResult:
        key = f"{record['id']}/{number}"
        inner = self._books.record(key, str(number), "iteration", begins.content)
        self._books.note(inner)
        with self._books.kept(inner):
            inside = scope.within(key, begins)
            result = self._walk(node.steps, inside)
            self._books.come_to(inner, result)
        return result

    def _is_over(
        self, node: Loop, done: int, scope: Scope, last: StepResult, record: StepRecord
    ) -> bool:
        if node.until is None:
            return False
        with _named(record):
            inside = scope.within(record["id"], last)
            return self._holds(node.until, f"{record['id']}/{done}", inside)

    def _at_once(self, node: Parallel, record: StepRecord, scope: Scope) -> StepResult:
        keys = [f"{record['id']}/{each.name}" for each in node.steps]
        self._books.reserve(keys)
        scope.state.publish(record["id"])
        run_id = self._begun.outer.run_id
        states = [BranchState(scope.state, key, self._begun.log, run_id) for key in keys]
        scopes = [scope.branch(record["id"], state) for state in states]
        try:
            ended = self._together(
                [self._branch(each, own) for each, own in zip(node.steps, scopes, strict=True)]
            )
        finally:
            self._books.conflicts += scope.state.take_branches()
        for own in scopes:
            scope.results |= own.results
        for kind in (ClewError, Waits):
            for failure in ended:
                if isinstance(failure, kind):
                    raise failure
        results = [each for each in ended if isinstance(each, StepResult)]
        return joined(str(node.name), results)

    def _branch(self, node: Node, scope: Scope) -> Callable[[], StepResult | Exception]:
        def work() -> StepResult | Exception:
            try:
                return self._part(node, scope)
            except Ended as end:
                return replace(end.result, name=str(node.name), stop=True)
            except (ClewError, Waits) as failure:
                return failure

        return work

    def _together(
        self, works: Sequence[Callable[[], StepResult | Exception]]
    ) -> list[StepResult | Exception]:
        """Do all of this at once, and wait for all, also when one fails."""
        stop = self._begun.outer.stop
        pool = ThreadPoolExecutor(max_workers=max(1, len(works)))
        futures = [pool.submit(work) for work in works]
        try:
            left = set(futures)
            while left:
                ended, left = wait(left, _LOOK_SECONDS)
                for future in ended:
                    future.result()
                stop.check()
            return [future.result() for future in futures]
        except BaseException as error:
            stop.tell(error)
            wait(futures, _GRACE_SECONDS)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _holds(self, test: Test, key: str, scope: Scope) -> bool:
        """Tell whether a condition holds; raise StepFailed if it cannot be told."""
        if isinstance(test, bool):
            return test
        if isinstance(test, str):
            return bool(self._view.holds(test, scope))
        if isinstance(test, Command):
            done = self._done(test, key, scope)
            if done.code not in (0, 1):
                raise StepFailed(f"the condition {done.how_it_ended}")
            return done.code == 0
        return bool(self._answer(test, key, scope))

    def _names(self, route: str | Command | StepFunction, key: str, scope: Scope) -> list[str]:
        """Return what a route names; raise StepFailed if it names nothing that can be taken."""
        if isinstance(route, str):
            named = self._view.value(route, scope)
        elif isinstance(route, Command):
            done = self._done(route, key, scope)
            if done.code:
                raise StepFailed(f"the route {done.how_it_ended}")
            named = done.out.decode("utf-8", "replace").splitlines()
        else:
            named = self._answer(route, key, scope)
        names = [named] if isinstance(named, str) else named or []
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            raise StepFailed(f"the route names no choices, but is {named!r}")
        return list(names)

    def _done(self, command: Command, key: str, scope: Scope) -> Done:
        """Run a command that is a condition or a route: it sees the state as it is now."""
        scope.state.publish(key)
        try:
            return run(command, self._steps.called(key, scope), self._begun)
        finally:
            scope.state.refresh()

    def _answer(self, function: StepFunction, key: str, scope: Scope) -> Any:
        value, patch = answer_of(function, self._steps.called(key, scope), self._begun)
        scope.state.take(patch)
        return value


@contextmanager
def _named(record: StepRecord) -> Iterator[None]:
    """Have what fails in the block tell the name of the part that it is about."""
    try:
        yield
    except StepFailed as error:
        raise failure_of(record["name"], error) from error
