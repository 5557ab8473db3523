"""Tools with which a model looks up what was said, in its session and in its user's others."""

import json
import os
import shutil
from typing import Any

import pytest

from tests.conftest import CLEW, Clew
from tests.toolcalls import call, record, results

BOTH = "read_chat_history: true\nsearch_past_sessions: true\n"


def ask(
    clew: Clew,
    *calls: Any,
    options: tuple[str, ...] = ("-s", "s"),
    keys: str = BOTH,
    verb: str = "run",
) -> list[Any]:
    """What a model gets to read that makes these calls in a run, parsed where it is JSON."""
    path = clew.cwd.parent / "asks.jsonl"
    path.unlink(missing_ok=True)
    agent = clew.cwd / "looker.yaml"
    agent.write_text(f"model: {record(path, list(calls))}\n{keys}")
    line = clew(verb, "-q", "-a", str(agent), *options, "--json", "go").json
    told = results(line)
    assert line["status"] == "COMPLETED"
    return [json.loads(text) if text.startswith("{") else text for text in told]


def say(clew: Clew, session: str, *pairs: tuple[str, str], user: str = "default") -> None:
    """Have turns in a session."""
    model = clew.recording(*pairs, name="says.jsonl")
    for asked, _ in pairs:
        clew("run", "-q", "-m", model, "-s", session, "-u", user, asked)


def inputs(found: Any) -> list[str]:
    return [turn["input"] for turn in found["runs"]]


@pytest.fixture
def talk(clew: Clew) -> Clew:
    """A world in which session `s` has three turns and a failed run."""
    say(clew, "s", ("one", "a Loire"), ("two", "a Rhone"), ("three", "a Seine"))
    clew("run", "-q", "-m", clew.recording(), "-s", "s", "lost", code=3)
    return clew


# read_chat_history


def test_a_model_reads_the_completed_turns_of_its_session_oldest_first(talk: Clew) -> None:
    [found] = ask(talk, call("read_chat_history"))
    lines = talk.stored("s")
    assert found == {
        "runs": [
            {
                "run_id": line["run_id"],
                "session_id": "s",
                "created_at": line["created_at"],
                "input": line["input"],
                "answer": line["content"],
            }
            for line in lines[:3]
        ]
    }


def test_a_model_reads_its_session_page_by_page(talk: Clew) -> None:
    [found] = ask(talk, call("read_chat_history", num_runs=2))
    assert inputs(found) == ["two", "three"]
    first = found["runs"][0]["run_id"]
    assert found["note"] == f"There are older turns: before_run_id={first!r} gives them."
    [older] = ask(talk, call("read_chat_history", num_runs=2, before_run_id=first))
    assert inputs(older) == ["one"]
    assert "note" not in older


@pytest.mark.parametrize(
    ("query", "expected"),
    [("LOIRE", ["one"]), ("a e t", ["two", "three"]), ("Loire Seine", []), ("", None)],
)
def test_a_query_finds_turns_with_all_its_words_whatever_the_case(
    talk: Clew, query: str, expected: list[str] | None
) -> None:
    [found] = ask(talk, call("read_chat_history", query=query))
    assert inputs(found) == (["one", "two", "three"] if expected is None else expected)


def test_a_run_that_pauses_and_goes_on_does_not_read_itself_and_is_read_once(clew: Clew) -> None:
    path = clew.cwd.parent / "asks.jsonl"
    wait = call("wait", "c1")
    look = call("read_chat_history", "c2")
    (clew.cwd / "looker.yaml").write_text(
        f"model: {record(path, [wait], [look])}\n{BOTH}"
        "tools: [{name: wait, run: [echo, ran], requires_confirmation: true}]"
    )
    clew("run", "-q", "-a", "./looker.yaml", "-s", "s", "go", code=6)
    line = clew("continue", "-q", "-s", "s", "--confirm", "--json").json
    assert json.loads(results(line)[1])["runs"] == []
    assert inputs(ask(clew, call("read_chat_history"))[0]) == ["go"]


def test_the_history_that_is_sent_does_not_change_what_is_read(talk: Clew) -> None:
    for verb in ("run", "continue"):
        [found] = ask(talk, call("read_chat_history", num_runs=1), verb=verb)
        assert inputs(found) == ["three" if verb == "run" else "go"]


# search_past_sessions and read_past_session


def test_a_model_finds_turns_of_the_users_other_sessions_newest_first(talk: Clew) -> None:
    say(talk, "old", ("Where is Lyon?", "On the Rhone."))
    say(talk, "new", ("Where is Paris?", "On the Seine."), ("And Tours?", "On the Loire."))
    [found] = ask(talk, call("search_past_sessions"))
    assert [(turn["session_id"], turn["answer"]) for turn in found["runs"]] == [
        ("new", "On the Loire."),
        ("new", "On the Seine."),
        ("old", "On the Rhone."),
    ]
    [found] = ask(talk, call("search_past_sessions", query="rhone where"))
    assert [turn["session_id"] for turn in found["runs"]] == ["old"]


def test_a_model_reads_all_of_a_session_that_it_found(talk: Clew) -> None:
    [found] = ask(talk, call("read_past_session", session_id="s"), options=("-s", "t"))
    assert inputs(found) == ["one", "two", "three"]


def test_the_definition_says_how_many_sessions_are_searched_and_how_many_turns_shown(
    talk: Clew,
) -> None:
    for session in ("a", "b", "c"):
        say(talk, session, *((f"{session}{n}", "x") for n in range(3)))
    keys = f"{BOTH}num_past_sessions_to_search: 2\nnum_past_session_runs_in_search: 2\n"
    [found] = ask(talk, call("search_past_sessions"), keys=keys)
    assert inputs(found) == ["c2", "c1", "b2", "b1"]
    assert found["note"] == "There are older conversations that were not looked at."


def test_another_users_sessions_are_neither_found_nor_read(clew: Clew) -> None:
    say(clew, "secret", ("CANARY", "CANARY"), user="bob")
    say(clew, "s", ("CANARY", "CANARY"), user="bob")
    told = ask(
        clew,
        call("search_past_sessions", "c1"),
        call("search_past_sessions", "c2", query="canary"),
        call("read_past_session", "c3", session_id="secret"),
        call("read_past_session", "c4", session_id="../bob/secret"),
        call("read_chat_history", "c5"),
        options=("-s", "s", "-u", "alice"),
    )
    nothing = {"runs": [], "note": "There are no such turns."}
    assert told == [
        nothing,
        nothing,
        "there is no session 'secret'",
        "there is no session '../bob/secret'",
        nothing,
    ]
    assert "CANARY" not in clew.session_file("s", "alice").read_text()


def test_a_runs_own_session_is_not_one_of_the_past(talk: Clew) -> None:
    found, refused = ask(
        talk, call("search_past_sessions", "c1"), call("read_past_session", "c2", session_id="s")
    )
    assert found["runs"] == []
    assert refused == "that is this conversation, not an earlier one"


def test_a_session_whose_runs_all_failed_has_nothing_to_show(talk: Clew) -> None:
    talk("run", "-q", "-m", talk.recording(), "-s", "t", "lost", code=3)
    found, read = ask(
        talk,
        call("search_past_sessions", "c1", query="lost"),
        call("read_past_session", "c2", session_id="t"),
    )
    assert found["runs"] == read["runs"] == []


# bounds


def test_long_texts_are_cut_so_that_all_have_room_and_that_is_said(clew: Clew) -> None:
    say(clew, "s", ("one", "é" * 50_000), ("two", "short"), ("three", "ü" * 50_000))
    [found] = ask(clew, call("read_chat_history"))
    cut, whole, _ = found["runs"]
    assert (whole["answer"], cut["input"]) == ("short", "one")
    text, _, rest = cut["answer"].partition("…")
    assert set(text) == {"é"}
    assert rest == f" [{50_000 - len(text)} more characters]"
    assert len(json.dumps(found, ensure_ascii=False)) < 17_000
    last = found["runs"][2]["run_id"]
    [alone] = ask(clew, call("read_chat_history", num_runs=2, before_run_id=last))
    assert len(alone["runs"][0]["answer"]) > len(cut["answer"])


def test_no_search_shows_more_than_fifty_turns(clew: Clew) -> None:
    say(clew, "s", ("one", "x" * 1000))
    [line] = clew.session_file("s").read_text().splitlines()
    made = []
    for seq in range(1, 61):
        totals = json.loads(line)["session_metrics"] | {"runs": seq, "turns": seq}
        more = {"seq": seq, "run_id": f"r{seq}", "session_metrics": totals}
        made.append(json.dumps(json.loads(line) | more))
    clew.session_file("s").write_text("".join(f"{one}\n" for one in made))
    keys = f"{BOTH}num_past_session_runs_in_search: 99\n"
    say(clew, "older", ("x", "y"))
    clew("state", "-s", "s", "set", "a=1")
    found, read = ask(
        clew,
        call("search_past_sessions", "c1"),
        call("read_past_session", "c2", session_id="s", num_runs=50),
        options=("-s", "t"),
        keys=keys,
    )
    assert len(found["runs"]) == len(read["runs"]) == 50
    assert found["note"] == "There are older conversations that were not looked at."
    assert read["runs"][0]["run_id"] == "r11"
    assert all(len(json.dumps(each)) < 35_000 for each in (found, read))


def test_a_look_back_ends_after_a_thousand_lines_and_says_so(clew: Clew) -> None:
    say(clew, "s", ("Lyon", "x"))
    [line] = [json.loads(one) for one in clew.session_file("s").read_text().splitlines()]
    change = {"v": 1, "type": "state", "state_patch": None, "state_replaced": False, "by": None}
    own = ("session_id", "user_id", "created_at", "session_state", "session_metrics")
    lines = [line] + [
        change | {key: line[key] for key in own} | {"seq": seq} for seq in range(2, 1002)
    ]
    clew.session_file("s").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    [found] = ask(clew, call("read_chat_history", query="Lyon"))
    note = "Only the newest 1000 lines of a session are looked at."
    assert found == {"runs": [], "note": note}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (call("read_chat_history", num_runs=0), "$.num_runs"),
        (call("read_chat_history", num_runs=51), "$.num_runs"),
        (call("read_chat_history", num_runs="two"), "$.num_runs"),
        (call("read_chat_history", query=1), "$.query"),
        (call("read_chat_history", user_id="bob"), "'user_id' was unexpected"),
        (call("read_chat_history", before_run_id="r9"), "no turn 'r9' was found"),
        (call("read_past_session"), "'session_id' is a required property"),
        (call("read_past_session", session_id="none"), "there is no session 'none'"),
        (call("search_past_sessions", num=3), "'num' was unexpected"),
    ],
)
def test_arguments_that_are_wrong_are_told_to_the_model(talk: Clew, wanted: Any, told: str) -> None:
    [result] = ask(talk, wanted)
    assert told in result
    assert talk.stored("s")[-1]["tools"][0]["tool_call_error"] is True


# damage, and no store


def test_damaged_lines_are_skipped_and_the_model_is_told(talk: Clew) -> None:
    path = talk.session_file("s")
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, "{broken\n", *rest]))
    for options, wanted in (
        (("-s", "t"), call("read_past_session", session_id="s")),
        (("-s", "s"), call("read_chat_history")),
    ):
        [found] = ask(talk, wanted, options=options)
        assert inputs(found) == ["one", "two", "three"]
        assert found["note"] == "Lines that are damaged were skipped."


def test_a_session_that_cannot_be_read_hides_no_other_and_the_model_is_told(talk: Clew) -> None:
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("permissions do not bind root, and setpriv is not there")
    bound = "setpriv --bounding-set -dac_override,-dac_read_search " if os.geteuid() == 0 else ""
    say(talk, "closed", ("Where is Lyon?", "On the Rhone."))
    talk.session_file("closed").chmod(0)
    calls = [
        call("search_past_sessions", "c1"),
        call("read_past_session", "c2", session_id="closed"),
    ]
    (talk.cwd / "looker.yaml").write_text(
        f"model: {record(talk.cwd / 'asks.jsonl', calls)}\n{BOTH}"
    )
    shown = talk.shell(f"{bound}{CLEW} run -q -a ./looker.yaml -s t --json go")
    found, refused = results(shown.json)
    assert inputs(json.loads(found)) == ["three", "two", "one"]
    assert json.loads(found)["note"] == "Session closed cannot be read."
    assert refused == "session closed cannot be read"


def test_without_keeping_anything_a_model_may_look_back_all_the_same(talk: Clew) -> None:
    before = talk.session_file("s").read_bytes()
    read, found = ask(
        talk,
        call("read_chat_history", "c1", num_runs=1),
        call("search_past_sessions", "c2"),
        options=("-s", "s", "--no-store"),
    )
    assert (inputs(read), found["runs"]) == (["three"], [])
    assert talk.session_file("s").read_bytes() == before


@pytest.mark.parametrize("where", [("--store", "memory:"), ()])
def test_where_nothing_is_stored_the_model_is_told_that_there_is_nothing(
    clew: Clew, where: tuple[str, ...]
) -> None:
    path = clew.cwd.parent / "asks.jsonl"
    calls = [call("read_chat_history", "c1"), call("search_past_sessions", "c2")]
    (clew.cwd / "looker.yaml").write_text(f"model: {record(path, calls)}\n{BOTH}")
    run = ("run", "-q", "-a", "./looker.yaml", "--no-store", "--json", "go")
    line = clew(*where, *run).json
    nothing = '{"runs": [], "note": "There are no such turns."}'
    assert results(line) == [nothing, nothing]
    assert not (clew.home / "users").exists()


# how they are offered


def test_a_model_may_look_back_only_where_the_definition_says_so(talk: Clew) -> None:
    told = ask(talk, call("read_chat_history"), keys="search_past_sessions: true")
    assert told == [
        "there is no tool 'read_chat_history'; "
        "the tools are: search_past_sessions, read_past_session"
    ]
    told = ask(talk, call("search_past_sessions"), keys="read_chat_history: true")
    assert told == ["there is no tool 'search_past_sessions'; the tools are: read_chat_history"]


def test_the_tools_are_listed_and_can_be_called_by_hand(talk: Clew) -> None:
    agent = talk.cwd / "looker.yaml"
    agent.write_text(BOTH)
    listed = talk("tools", "list", "-a", str(agent)).out
    names = [line.split()[0] for line in listed.splitlines()]
    assert names == ["read_chat_history", "search_past_sessions", "read_past_session"]
    hand = ("tools", "call", "search_past_sessions", "-a", str(agent), "query=Seine")
    assert inputs(talk(*hand).json) == ["three"]
    shown = talk("agents", "show", str(agent), "--json").json
    assert (shown["read_chat_history"], shown["num_past_sessions_to_search"]) == (True, 20)


def test_looking_back_writes_nothing_but_the_runs_own_line(talk: Clew) -> None:
    before = talk.stored("s")
    ask(talk, call("read_chat_history"), call("search_past_sessions", "c2"))
    after = talk.stored("s")
    assert (after[:-1], after[-1]["type"]) == (before, "run")
    talk("sessions", "verify", "s")
