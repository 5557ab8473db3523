"""What a list of sessions says of each: read from its ends, never from its middle."""

from collections.abc import Iterator
from itertools import chain

from .lines import Line, RunLine
from .records import Status
from .session import is_top_run, tip_after
from .store import InFlight, SessionLog, Store
from .typed import TypedDict


class SessionOverview(TypedDict):
    """One session in a list."""

    session_id: str
    user_id: str
    name: str | None
    kind: str | None
    status: Status | None
    runs: int
    created_at: str | None
    updated_at: str | None
    first_input: str | None
    last_input: str | None
    model: str | None
    total_tokens: int
    cost: float | None
    waiting: bool
    running: bool
    path: str | None


def overview(store: Store, log: SessionLog) -> SessionOverview:
    """Return what is known of a session without reading all of it."""
    flights = log.in_flight()
    begun = [flight.line for flight in flights]
    from_begin, from_end = chain(log.lines(), begun), log.newest()
    first_line, last_line = next(from_begin, None), next(from_end, None)
    first = _first_run(_again(first_line, from_begin))
    newest = last_line or first_line
    last = _last_run(flights) or _first_run(_again(last_line, from_end))
    metrics = tip_after(last_line).metrics
    dead = sum(not flight.running and is_top_run(flight.line) for flight in flights)
    return {
        "session_id": log.session_id,
        "user_id": log.user_id,
        "name": store.name_of(log.session_id, log.user_id),
        "kind": last["kind"] if last else None,
        "status": last["status"] if last else None,
        "runs": metrics.get("runs", 0) + dead,
        "created_at": first_line["created_at"] if first_line else None,
        "updated_at": newest["created_at"] if newest else None,
        "first_input": first["input"] if first else None,
        "last_input": last["input"] if last else None,
        "model": last["model"] if last else None,
        "total_tokens": metrics["total_tokens"],
        "cost": metrics["cost"],
        "waiting": "open_pauses" in metrics,
        "running": any(flight.running for flight in flights),
        "path": log.location if store.keeps else None,
    }


def _again(line: Line | None, others: Iterator[Line]) -> Iterator[Line]:
    """Yield a line that was taken, then the others: to read it once more takes longer."""
    return others if line is None else chain([line], others)


def _first_run(lines: Iterator[Line]) -> RunLine | None:
    return next(filter(is_top_run, lines), None)


def _last_run(flights: list[InFlight]) -> RunLine | None:
    """Return the last run that was found dead: it ended last."""
    dead = [each.line for each in flights if not each.running and is_top_run(each.line)]
    return dead[-1] if dead else None
