"""`clew history`: what was said in a session."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, takewhile
from typing import Any, TypeGuard, cast

import click

from clew.core.flight import inside_first, with_all_inside
from clew.core.lines import Line, RunLine
from clew.core.records import STATUSES
from clew.core.session import is_top_run
from clew.core.store import SessionLog

from . import output
from .app import App
from .conversation import for_people, under_way
from .options import COUNT_OR_ALL, SINCE, json_option, not_empty, session_option, user_option

_DEFAULT_COUNT = 10


@click.command("history")
@session_option()
@user_option()
@click.option("-n", "--count", metavar="N|all", help="How many of the newest runs (default 10).")
@json_option("Print the stored lines, oldest first; all of them, unless -n is given.")
@click.option("--messages", is_flag=True, help="Print the messages as JSON, one a line.")
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    callback=not_empty,
    help="Only this run and what resumed it.",
)
@click.option(
    "--as-sent",
    metavar="RUN",
    callback=not_empty,
    help="Print exactly the messages that went to the model.",
)
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only such runs.")
@click.option("--since", metavar="TIME", type=SINCE, help="Only runs since a date, or 10m, 2h, 7d.")
@click.option("--grep", metavar="TEXT", help="Only runs whose input or answer contains TEXT.")
@click.option(
    "--members",
    "--all",
    is_flag=True,
    help="Also the runs that members of teams and steps of workflows made, each told.",
)
@click.option(
    "--tree",
    is_flag=True,
    help="Show who did what: each run, and under it its steps and the runs inside it.",
)
@click.option("--lines", "all_lines", is_flag=True, help="Print lines of all types, as stored.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say which session was chosen.")
@click.pass_obj
def command(
    app: App,
    *,
    session: str | None,
    user: str | None,
    count: str | None,
    as_json: bool,
    messages: bool,
    run_id: str | None,
    as_sent: str | None,
    status: str | None,
    since: str | None,
    grep: str | None,
    members: bool,
    tree: bool,
    all_lines: bool,
    quiet: bool,
) -> None:
    """Show the conversation of a session, oldest run first; failed and stopped runs are marked.

    \b
    Examples:
      clew history
      clew history -s trip -n all
      clew history --json | jq -r 'select(.status == "ERROR") | .error.message'
      clew history --as-sent=RUN | jq -c '[.role, .content]'
      clew history --tree
    """
    app.quiet = quiet
    forms = {"messages": messages, "lines": all_lines, "as_sent": as_sent is not None}
    _refuse_several_forms(**forms, tree=tree)
    _refuse_several_forms(json=as_json, tree=tree)
    log = app.choose(session, app.user(user))
    family = _family(log, run_id, inside=members) if run_id is not None else None
    wanted = _Wanted(family, status.upper() if status else None, since, grep, members=members)
    limit = _limit(count, as_json or messages or all_lines)
    if as_sent is not None:
        _print_messages(_as_sent(log, as_sent))
    elif all_lines:
        for line in _newest(log, wanted.has, limit):
            output.line(line)
    elif tree:
        _print_trees(log, wanted, limit)
    else:
        _print_runs(log, wanted, limit, as_json=as_json, messages=messages)
    app.warn_of_problems(log)


def _refuse_several_forms(**given: bool) -> None:
    from clew.core.errors import UsageError

    flags = [f"--{name.replace('_', '-')}" for name, there in given.items() if there]
    if len(flags) > 1:
        raise UsageError(f"{' and '.join(flags)} exclude each other")


def _limit(count: str | None, raw: bool) -> int | None:
    if count is None:
        return None if raw else _DEFAULT_COUNT
    limit: int | None = COUNT_OR_ALL.convert(count, None, None)
    return limit


class _Wanted:
    """Which lines are asked for."""

    def __init__(
        self,
        family: set[str] | None,
        status: str | None,
        since: str | None,
        grep: str | None,
        *,
        members: bool,
    ) -> None:
        self.status = status
        self._family = family
        self._members = members
        self._since = since
        self._grep = grep.lower() if grep else None

    def may_show(self, line: Line) -> TypeGuard[RunLine]:
        """Tell whether this is a run of those that are shown at all: a member's if asked for."""
        named = self._family is not None and line["type"] == "run"
        return is_top_run(line) or (line["type"] == "run" and (self._members or named))

    def has(self, line: Line) -> bool:
        if self._since and line["created_at"] < self._since:
            return False
        if line["type"] != "run":
            return self._family is None and self.status is None and self._grep is None
        if self._family is not None and line["run_id"] not in self._family:
            return False
        if self.status and line["status"] != self.status:
            return False
        return not self._grep or self._grep in f"{line['input']}\n{line['content']}".lower()


def _newest(log: SessionLog, has: Callable[[Line], bool], limit: int | None) -> Iterator[Line]:
    """Yield the newest lines that are wanted, oldest first, and those that will be recovered.

    Without a limit no more than a line is held at a time.
    """
    dead = {line["run_id"]: line for line in _dead(log)}
    if limit is not None:
        newest = filter(has, chain(reversed(dead.values()), log.newest()))
        yield from reversed(list(islice(newest, limit)))
        return
    for line in log.lines():
        if line["type"] == "run":
            dead.pop(line["run_id"], None)  # it was recovered meanwhile
        if has(line):
            yield line
    yield from filter(has, dead.values())


def _dead(log: SessionLog) -> list[RunLine]:
    """Return the lines of runs found dead, as they will be stored."""
    whole: list[RunLine] = []
    for line in inside_first([flight.line for flight in log.in_flight() if not flight.running]):
        whole.append(with_all_inside(line, whole))
    return whole


def _running(log: SessionLog) -> list[RunLine]:
    """Return the runs under way as far as they came, those inside another before it."""
    return inside_first([flight.line for flight in log.in_flight() if flight.running])


def _print_runs(
    log: SessionLog, wanted: _Wanted, limit: int | None, *, as_json: bool, messages: bool
) -> None:
    gone_on = {flight.line["resumes"] for flight in log.in_flight()}

    def has(line: Line) -> bool:
        if not wanted.may_show(line):
            return False
        gone_on.add(line["resumes"])
        return wanted.has(line)

    if limit is None and not as_json and not messages:
        for line in log.lines():  # what went on with a run stands after it
            has(line)
    for line in _newest(log, has, limit):
        run = cast(RunLine, line)
        if as_json:
            output.line(run)
        elif messages:
            _print_messages(
                {"run_id": run["run_id"], "seq": run["seq"], **message}
                for message in run["messages"]
            )
        else:
            output.result(output.shown(for_people(run, waits=run["run_id"] not in gone_on)))
    if not as_json and not messages and wanted.status is None:
        _print_running(log, wanted)


def _print_running(log: SessionLog, wanted: _Wanted) -> None:
    for run in _running(log):
        if wanted.may_show(run) and wanted.has(run):
            output.result(output.shown(under_way(run)))


def _print_trees(log: SessionLog, wanted: _Wanted, limit: int | None) -> None:
    """Print the runs that are wanted, each with those inside it."""
    from .run_tree import drawn, trees

    running = _running(log) if wanted.status is None else []
    newest = chain(reversed(running), reversed(_dead(log)), log.newest())
    under_way_now = {run["run_id"] for run in running}

    def is_root(line: Line) -> bool:
        return wanted.may_show(line) and wanted.has(line)

    for tree in reversed(trees(newest, is_root, limit)):
        output.result(output.shown(drawn(tree, under_way_now)))


def _family(log: SessionLog, run_id: str, *, inside: bool) -> set[str]:
    """Return the ids of a run and of those that went on with it; with `inside` of those in them."""
    family = {_run(log, run_id)["run_id"]}
    flights = [flight.line for flight in log.in_flight()]
    for line in chain(log.lines(), flights):
        if line["type"] == "run" and line.get("resumes") in family:
            family.add(line["run_id"])
    # A run stands before the one around it.
    for line in chain(reversed(inside_first(flights)), log.newest()) if inside else ():
        if line["type"] == "run" and line["parent_run_id"] in family:
            family.add(line["run_id"])
    return family


def _run(log: SessionLog, run_id: str) -> RunLine:
    """Return a run, stored or not; raise NotFoundError if the session has none of this id."""
    from clew.core.errors import NotFoundError

    for line in chain((flight.line for flight in log.in_flight()), log.newest()):
        if line["type"] == "run" and line["run_id"] == run_id:
            return line
    raise NotFoundError(
        f"session {log.session_id} has no run {run_id!r}", hint="`clew history` shows its runs"
    )


def _as_sent(log: SessionLog, run_id: str) -> Iterator[Any]:
    """Return the messages that went to the model: system, history, then the run's own."""
    from clew.core.history import sent_before

    run = _run(log, run_id)
    if run["kind"] == "workflow":
        _refuse_workflow(run_id)
    member = None if is_top_run(run) else run["name"]
    earlier = sent_before(log.newest(), run["history"], member)
    own = [message for message in run["messages"] if message["role"] != "system"]
    lead = [message for message in run["messages"] if message["role"] == "system"]
    if own and own[-1]["role"] == "assistant":
        own.pop()
        if _is_said_by_members(log, run):
            while own.pop()["role"] != "assistant":
                pass  # nobody told the model how the calls of its last answer ended
    return iter([*lead, *earlier, *own])


def _refuse_workflow(run_id: str) -> None:
    from clew.core.errors import UsageError

    raise UsageError(
        f"run {run_id!r} is a workflow's: nothing was sent in it but by the runs of its steps",
        hint=f"clew history --tree --run={run_id} shows which they are",
    )


def _is_said_by_members(log: SessionLog, run: RunLine) -> bool:
    """Tell whether a team's answer is what members said, and its leader was not asked for one."""
    *before, last = (message for message in run["messages"] if message["role"] != "system")
    told = list(takewhile(lambda message: message["role"] == "tool", reversed(before)))
    if run["kind"] != "team" or last["content"] != "\n\n".join(
        message["content"] for message in reversed(told)
    ):
        return False
    asked = 0  # once for each answer, also those of the runs that this one goes on with
    gone_on_from: RunLine | None = run
    while gone_on_from is not None:
        asked += sum(call["error"] is None for call in gone_on_from["metrics"]["details"])
        earlier = gone_on_from["resumes"]
        gone_on_from = _run(log, earlier) if earlier is not None else None
    return asked < sum(message["role"] == "assistant" for message in run["messages"])


def _print_messages(messages: Iterable[Any]) -> None:
    for message in messages:
        output.record(message)
