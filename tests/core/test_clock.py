"""The time of day as it stands in lines."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from clew.core.clock import new_id, now, seconds, since, stamp
from clew.core.errors import UsageError


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_now_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_a_stamp_is_in_utc_wherever_the_moment_is() -> None:
    there = datetime(2026, 1, 31, 9, 0, tzinfo=timezone(timedelta(hours=9)))
    assert stamp(there) == "2026-01-31T00:00:00.000Z"


def test_stamps_sort_by_time() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n * 499) for n in range(9)]
    assert sorted(map(stamp, reversed(moments))) == list(map(stamp, moments))


def test_a_new_id_is_a_random_uuid() -> None:
    assert UUID(new_id()).version == 4
    assert new_id() != new_id()


@pytest.mark.parametrize(
    ("text", "meant"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604800), ("0.5", 0.5), ("0", 0)],
)
def test_a_duration_is_read(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "s", "x", "-1", "-1m", "1w", "nan", "inf", "1e999", "1 2"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration") as caught:
        seconds(text)
    assert "10m" in str(caught.value.hint)


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-31", "2026-01-30T15:00:00.000Z"),
        ("2026-01-31T09:00", "2026-01-31T00:00:00.000Z"),
        ("2026-01-31T09:00Z", "2026-01-31T09:00:00.000Z"),
        ("2026-01-31T09:00:00.123456+01:00", "2026-01-31T08:00:00.123Z"),
    ],
)
def test_a_date_is_a_local_one_unless_it_says_otherwise(text: str, meant: str) -> None:
    assert since(text) == meant


def test_a_moment_as_lines_carry_it_is_itself() -> None:
    moment = now()
    assert since(moment) == moment


def test_a_duration_counts_back_from_now() -> None:
    before = stamp(datetime.now(UTC) - timedelta(hours=2))
    meant = since("2h")
    assert before <= meant <= stamp(datetime.now(UTC) - timedelta(hours=2))


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "99999999d", "-1h", "nan", "0001-01-01"]
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="not a time") as caught:
        since(text)
    assert "2026-01-31" in str(caught.value.hint)
