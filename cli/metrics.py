"""`clew metrics`: tokens, cost and time of a session, or of all of them."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import click

from . import output
from .app import App
from .options import SINCE, json_option, session_option, user_option

if TYPE_CHECKING:
    from clew.core.lines import Line, RunLine, SessionLine
    from clew.core.store import SessionLog

_Part = tuple[str, int, Any]
"""The row that something counts for, how many runs it is, and its totals."""


@click.command("metrics")
@session_option()
@user_option()
@click.option("--all", "everything", is_flag=True, help="All sessions of this user.")
@click.option("--since", metavar="TIME", type=SINCE, help="Only runs since a date, or 10m, 2h, 7d.")
@click.option(
    "--by", type=click.Choice(["model", "agent", "session", "day"]), help="One row for each."
)
@json_option()
@click.option("-q", "--quiet", is_flag=True, help="Do not say which session was chosen.")
@click.pass_obj
def command(
    app: App,
    *,
    session: str | None,
    user: str | None,
    everything: bool,
    since: str | None,
    by: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what the runs of a session used; with --all, those of every session.

    Cost is in US dollars and adds what is known; cost_unknown counts the requests without a price.

    \b
    Examples:
      clew metrics
      clew metrics --all --since 30d --by model
      clew metrics -s trip --json | jq .cost
    """
    from clew.core.errors import UsageError

    app.quiet = quiet
    owner = app.user(user)
    if everything and session is not None:
        raise UsageError("--all and -s exclude each other")
    read = list(app.store.sessions(owner)) if everything else [app.choose(session, owner)]
    rows = _rows(read, since, by)
    for log in read:
        app.warn_of_problems(log)
    for key, totals in rows.items():
        row = ({by: key} if by else {}) | totals
        if as_json:
            output.record(row)
        else:
            output.result(output.shown(_for_people(key if by else None, totals)))


def _rows(
    logs: "Iterable[SessionLog]", since: str | None, by: str | None
) -> dict[str, dict[str, Any]]:
    """Return the sums, a row for each key; one row, also of nothing, without `by`."""
    from clew.core.usage import add_totals, no_totals

    rows: dict[str, dict[str, Any]] = {} if by else {"": {"runs": 0, **no_totals()}}
    whole = since is None and by in (None, "session")
    for log in logs:
        for key, counted, used in _of_session(log, by) if whole else _of_lines(log, since, by):
            row = rows.setdefault(key, {"runs": 0, **no_totals()})
            runs = row.pop("runs") + counted
            rows[key] = {"runs": runs, **add_totals(cast(Any, row), used)}
    return rows


def _of_session(log: "SessionLog", by: str | None) -> Iterator[_Part]:
    """Yield the totals of all of a session, which its last line has, however long it is."""
    from clew.core.session import tip_after

    metrics = tip_after(next(log.newest(), None)).metrics
    if metrics["runs"] or metrics["requests"]:
        yield log.session_id if by else "", metrics["runs"], metrics


def _of_lines(log: "SessionLog", since: str | None, by: str | None) -> Iterator[_Part]:
    """Yield what each line of a session adds, and to which row."""
    names: dict[str | None, str] = {}
    for line in _with_metrics(log, since, names):
        for key, used in _parts(line, by, names):
            yield key, int(_counts(line, by)), used


def _counts(line: "RunLine | SessionLine", by: str | None) -> bool:
    """Tell whether this is a run of its row; a member's is one where it has a row of its own."""
    from clew.core.session import is_top_run

    return is_top_run(line) or (line["type"] == "run" and by in ("agent", "model"))


def _with_metrics(
    log: "SessionLog", since: str | None, names: dict[str | None, str]
) -> "Iterator[RunLine | SessionLine]":
    """Yield the lines that cost something: runs, and what else a model was asked.

    `names` gets each run's agent, by the run's id.
    """
    for line in log.lines():
        if line["type"] == "run" and (name := line.get("name")):
            names[line["run_id"]] = name
        if _costs(line) and (since is None or line["created_at"] >= since):
            yield line


def _costs(line: "Line") -> "TypeGuard[RunLine | SessionLine]":
    return line["type"] == "run" or (line["type"] == "session" and "metrics" in line)


def _parts(
    run: "RunLine | SessionLine", by: str | None, names: dict[str | None, str]
) -> Iterator[tuple[str, Any]]:
    """Yield the totals that a line adds to each row: by model, its calls are parted.

    What a model was asked after a run belongs to that run's agent.
    """
    from clew.core.flight import without_details
    from clew.core.session import is_top_run
    from clew.core.usage import totals

    if by == "model":
        calls = run["metrics"]["details"]
        for model in dict.fromkeys(call["model"] for call in calls):
            own = [call for call in calls if call["model"] == model]
            yield model, totals(own, sum(call["duration"] for call in own))
        return
    keys = {
        "agent": names.get(run["run_id"] if run["type"] == "run" else run.get("by"), "-"),
        "session": run["session_id"],
        "day": run["created_at"][:10],
    }
    used = without_details(run["metrics"])
    if not (by == "agent" or run["type"] == "session" or is_top_run(run)):
        used["duration"] = 0.0  # the run around it took that time, too
    yield keys.get(by or "", ""), used


def _for_people(key: str | None, row: dict[str, Any]) -> str:
    cost = "unknown" if row["cost"] is None else f"${row['cost']:.6f}"
    if row["cost"] is not None and row["cost_unknown"]:
        cost += f" and {row['cost_unknown']} requests of unknown price"
    facts = {
        "runs": row["runs"],
        "requests": row["requests"],
        "input tokens": row["input_tokens"],
        "output tokens": row["output_tokens"],
        "cost": cost,
        "seconds": row["duration"],
    }
    head = f"{key}\n" if key is not None else ""
    return head + "".join(f"{name:13} {value}\n" for name, value in facts.items())
