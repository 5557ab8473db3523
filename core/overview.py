"""What a list of sessions says of each: read from its ends, never from its middle."""

from itertools import chain
from typing import Any

from .lines import RunLine
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
    first_line = next(chain(log.lines(), begun), None)
    last_line = next(log.newest(), None)
    first = next(filter(is_top_run, chain(log.lines(), begun)), None)
    newest = last_line or first_line
    last = _last_run(log, flights)
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


def _last_run(log: SessionLog, flights: list[InFlight]) -> RunLine | None:
    """Return the last run that has ended; one found dead ended last."""
    dead = [each.line for each in flights if not each.running and is_top_run(each.line)]
    if dead:
        return dead[-1]
    runs: Any = (line for line in log.newest() if is_top_run(line))
    return next(runs, None)
