"""Which earlier turns are sent."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.history import (
    History,
    HistoryPolicy,
    Summary,
    choose,
    sent_before,
    tokens_of,
)
from clew.core.lines import Line, RunLine
from clew.core.messages import Message, ToolCall, assistant, system, tool_result, user
from clew.core.records import Status
from clew.core.session import Tip
from tests.stores.made import run_draft, sealed, state_line
from tests.toolcalls import strict

ON = HistoryPolicy(on=True)
OWN = [user("now")]


def turn(seq: int, status: Status = "COMPLETED", size: int = 1) -> Line:
    line = cast(RunLine, sealed(run_draft(f"r{seq}", status=status), Tip(seq - 1)))
    line["messages"] = [system("be brief"), user(f"q{seq}"), assistant(f"a{seq}" * size)]
    return line


def picked(lines: list[Line], policy: HistoryPolicy, own: list[Message] = OWN) -> History:
    turns = sum(line["type"] == "run" and line["status"] == "COMPLETED" for line in lines)
    return choose(iter(lines[::-1]), policy, turns=turns, own=own)


def texts(history: History) -> list[str]:
    return [message["content"] for message in history.messages]


FIVE = [turn(seq) for seq in range(1, 6)]
ONE_TURN = tokens_of([user("q1"), assistant("a1")])


def test_without_history_nothing_is_read_or_sent() -> None:
    def unread() -> Iterator[Line]:
        raise AssertionError
        yield

    history = choose(unread(), HistoryPolicy(), turns=5, own=OWN)
    assert (history.messages, history.record["left_out"]) == ([], 0)


def test_all_turns_are_sent_oldest_first_without_their_system_messages() -> None:
    assert texts(picked(FIVE[:2], ON)) == ["q1", "a1", "q2", "a2"]


def test_what_is_no_completed_turn_is_not_sent() -> None:
    lines = [turn(1), turn(2, "ERROR"), sealed(state_line({"a": 1}), Tip(2)), turn(4, "CANCELLED")]
    history = picked(lines, ON)
    assert texts(history) == ["q1", "a1"]
    assert history.record == {"runs": 1, "first_seq": 1, "last_seq": 1, "left_out": 0}


@pytest.mark.parametrize(
    ("limits", "runs"),
    [
        ({}, 5),
        ({"runs": 0}, 0),
        ({"runs": 2}, 2),
        ({"runs": 9}, 5),
        ({"messages": 0}, 0),
        ({"messages": 3}, 1),
        ({"messages": 4}, 2),
        ({"tokens": 0}, 0),
        ({"tokens": ONE_TURN - 1}, 0),
        ({"tokens": ONE_TURN}, 1),
        ({"tokens": 3 * ONE_TURN + 1}, 3),
        ({"runs": 3, "messages": 2}, 1),
        ({"runs": 1, "messages": 8, "tokens": 3 * ONE_TURN}, 1),
    ],
)
def test_each_limit_keeps_the_newest_whole_turns(limits: dict[str, Any], runs: int) -> None:
    history = picked(FIVE, replace(ON, **limits))
    assert texts(history) == [f"{x}{seq}" for seq in range(6 - runs, 6) for x in "qa"]
    assert history.record["left_out"] == 5 - runs


def test_the_record_tells_which_turns_were_sent() -> None:
    record = picked(FIVE, replace(ON, runs=2)).record
    assert record == {"runs": 2, "first_seq": 4, "last_seq": 5, "left_out": 3}


def test_the_window_leaves_room_for_the_request_and_an_answer() -> None:
    window = 1000
    history = picked([turn(seq, size=20) for seq in range(1, 50)], replace(ON, window=window))
    sent = tokens_of([*history.messages, *OWN])
    assert window // 2 < sent <= window - window // 4


def test_a_request_that_fills_the_window_gets_no_history() -> None:
    assert picked(FIVE, replace(ON, window=100), own=[user("x" * 1000)]).messages == []


def test_a_turn_that_does_not_fit_ends_the_history() -> None:
    lines = [turn(1), turn(2, size=1000), turn(3)]
    assert texts(picked(lines, replace(ON, tokens=3 * ONE_TURN))) == ["q3", "a3"]


def test_no_more_is_read_than_is_sent() -> None:
    read: list[int | None] = []

    def newest(lines: list[Line]) -> Iterator[Line]:
        for line in lines[::-1]:
            read.append(line["seq"])
            yield line

    choose(newest(FIVE), replace(ON, runs=2), turns=5, own=OWN)
    assert read == [5, 4]


def test_reading_ends_with_the_sessions_first_turn() -> None:
    read: list[int | None] = []

    def newest() -> Iterator[Line]:
        for line in (turn(9), turn(8), turn(7, "ERROR")):
            read.append(line["seq"])
            yield line

    choose(newest(), ON, turns=2, own=OWN)
    assert read == [9, 8]


@given(
    st.lists(st.tuples(st.sampled_from(["COMPLETED", "ERROR"]), st.integers(0, 50)), max_size=8),
    st.builds(
        HistoryPolicy,
        on=st.just(True),
        runs=st.none() | st.integers(0, 9),
        messages=st.none() | st.integers(0, 20),
        tokens=st.none() | st.integers(0, 400),
        window=st.none() | st.integers(0, 800),
    ),
)
def test_history_is_always_the_newest_whole_turns_and_begins_with_a_question(
    made: list[tuple[Status, int]], policy: HistoryPolicy
) -> None:
    lines = [turn(seq, status, size) for seq, (status, size) in enumerate(made, 1)]
    turns = [line for line in lines if line["type"] == "run" and line["status"] == "COMPLETED"]
    history = picked(lines, policy)
    count = history.record["runs"]
    chosen = turns[len(turns) - count :]
    assert history.messages == [message for line in chosen for message in line["messages"][1:]]
    assert [message["role"] for message in history.messages[:1]] in ([], ["user"])
    assert history.record["left_out"] == len(turns) - count


def test_the_smaller_of_window_and_limit_counts() -> None:
    assert picked(FIVE, replace(ON, tokens=10_000, window=60)).record["runs"] < 5


def test_no_more_than_a_long_answer_is_left_free_in_a_large_window() -> None:
    lines = [turn(seq, size=1500) for seq in range(1, 60)]
    window = 40_000
    assert tokens_of(picked(lines, replace(ON, window=window)).messages) > window - 7000


def calling(seq: int, answers: list[tuple[str, int]]) -> Line:
    """Return a turn whose answers say something and make so many calls before the last one."""
    line = cast(RunLine, turn(seq))
    said: list[Message] = [user(f"q{seq}")]
    for number, (text, count) in enumerate(answers):
        ids = [f"{seq}-{number}-{each}" for each in range(count)]
        calls: list[ToolCall] = [
            {"id": one, "type": "function", "function": {"name": "t", "arguments": "{}"}}
            for one in ids
        ]
        said.append(assistant(text, calls))
        said += [tool_result(one, f"result of {one}") for one in ids]
    line["messages"] = [*said, assistant(f"a{seq}")]
    return line


def call_ids(messages: list[Message]) -> list[str]:
    return [call["id"] for message in messages for call in message.get("tool_calls", [])]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["", "words"]), st.integers(1, 3)), max_size=3),
        max_size=4,
    ),
    st.integers(0, 12),
    st.none() | st.integers(0, 3),
)
def test_any_limit_of_tool_calls_leaves_the_newest_ones_in_a_sequence_that_providers_take(
    made: list[list[tuple[str, int]]], limit: int, runs: int | None
) -> None:
    lines = [calling(seq, answers) for seq, answers in enumerate(made, 1)]
    policy = replace(ON, runs=runs)
    whole, history = picked(lines, policy), picked(lines, replace(policy, tool_calls=limit))
    strict({"messages": history.messages})
    all_ids = call_ids(whole.messages)
    assert call_ids(history.messages) == all_ids[max(0, len(all_ids) - limit) :]
    assert history.record.get("tool_calls_left_out", 0) == max(0, len(all_ids) - limit)
    roles = [message["role"] for message in history.messages]
    assert ("assistant", "assistant") not in pairwise(roles)
    said = [
        " ".join(m["content"] for m in each.messages if m["role"] != "tool").split()
        for each in (whole, history)
    ]
    assert said[0] == said[1]
    assert sent_before(lines[::-1], history.record) == history.messages


SUMMED = replace(ON, summary="for_what_is_left_out")


@given(
    st.integers(0, 8),
    st.integers(0, 8),
    st.integers(0, 300),
    st.integers(0, 60),
    st.none() | st.integers(0, 900),
    st.none() | st.integers(0, 9),
)
def test_summary_and_turns_fit_into_the_window_together(
    turns: int, covered: int, length: int, size: int, window: int | None, runs: int | None
) -> None:
    lines = [turn(seq, size=size) for seq in range(1, turns + 1)]
    summary = Summary(99, "s" * length, covered, 0)
    policy = replace(SUMMED, window=window, runs=runs)
    history = choose(lines[::-1], policy, turns=turns, own=OWN, summary=summary)
    record = history.record
    assert record["runs"] + record["left_out"] == turns
    assert (history.summary is None) == ("summary_seq" not in record)
    if history.summary is not None:
        assert record["summarized"] == min(covered, record["left_out"]) > 0
        if window is not None:
            sent = tokens_of([*OWN, *history.messages, system(history.summary)])
            assert sent <= window - window // 4
    elif window is None:
        assert min(covered, record["left_out"]) == 0


@pytest.mark.parametrize(
    ("turns", "left_out", "not_sent", "stands_for"),
    [(5, 0, 3, 3), (5, 0, 9, 5), (5, 0, 0, 0), (5, 3, 8, 5), (5, 3, 4, 1), (5, 3, 2, 0)],
)
def test_a_summary_stands_for_those_of_the_turns_not_sent_that_are_in_it(
    turns: int, left_out: int, not_sent: int, stands_for: int
) -> None:
    assert Summary(9, "", turns, left_out).stands_for(not_sent) == stands_for
