"""The time of day as it stands in lines, and new ids."""

import uuid
from datetime import UTC, datetime, timedelta

from .errors import UsageError


def now() -> str:
    """Return the current time: RFC 3339, UTC, milliseconds."""
    return stamp(datetime.now(UTC))


def later(seconds: float) -> str:
    """Return the time so many seconds from now."""
    return stamp(datetime.now(UTC) + timedelta(seconds=seconds))


def stamp(moment: datetime) -> str:
    """Return `moment` as lines carry it; such texts sort by time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_since(moment: str) -> float:
    """Return how long ago a moment of a line was; 0 if it is still to come."""
    passed = datetime.now(UTC) - datetime.fromisoformat(moment)
    return max(0.0, passed.total_seconds())


def new_id() -> str:
    """Return a new random id (UUID 4)."""
    return str(uuid.uuid4())


def new_run_id() -> str:
    """Return a new random run id: a UUID 8, so that `ids.is_made_here` tells it from a caller's."""
    random = new_id()
    return f"{random[:14]}8{random[15:]}"


def since(text: str) -> str:
    """Return the timestamp that `text` means: a date, a time, or a duration back from now.

    Raises UsageError for anything else.
    """
    try:
        return stamp(_moment(text))
    except (UsageError, ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time", hint="use 2026-01-31, 2026-01-31T09:00, 90s, 10m, 2h, 7d"
        ) from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - timedelta(seconds=seconds(text))
    return moment if moment.tzinfo else moment.astimezone()


_LONGEST = 10 * 365 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """Return a duration in seconds: `90`, `90s`, `10m`, `2h`, `7d`.

    Raises UsageError for anything else.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        value = float(number) * _UNITS[unit]
    except ValueError:
        value = -1.0
    if not 0 <= value <= _LONGEST:
        raise UsageError(f"{text!r} is not a duration", hint="use seconds, or 90s, 10m, 2h, 7d")
    return value
