"""Runs that pause for somebody, and are settled in another process."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import Clew, eventually
from tests.paused import TRACE, Json, call, plays, sent, tool
from tests.provider import Answer, Provider

GO = ("run", "-s", "s", "go")


@pytest.fixture
def confirmed(clew: Clew) -> Clew:
    """A session `s` whose one run waits for a yes to one call, `c1`."""
    model = plays(clew, [call("c1", to="a")])
    clew(*GO, "-m", model, "-t", tool(clew, requires_confirmation=True), code=6)
    return clew


@pytest.fixture
def two(clew: Clew) -> Clew:
    """A session `s` whose one run waits for a yes to two calls, `c1` and `c2`."""
    model = plays(clew, [call("c1", to="a"), call("c2", to="b")])
    clew(*GO, "-m", model, "-t", tool(clew, requires_confirmation=True), code=6)
    return clew


@pytest.fixture
def asking(clew: Clew) -> Clew:
    """A session `s` whose one run waits for two values."""
    fields = {"count": {"type": "integer"}, "to": {"type": "string"}}
    parameters = {"type": "object", "properties": fields, "required": ["count", "to"]}
    asks = tool(clew, parameters=parameters, requires_user_input=["count", "to"])
    clew(*GO, "-m", plays(clew, [call("c1")]), "-t", asks, code=6)
    return clew


@pytest.fixture
def outside(clew: Clew) -> Clew:
    """A session `s` whose one run waits for the result of a call that is made elsewhere."""
    clew(*GO, "-m", plays(clew, [call("c1", to="a")]), "-t", tool(clew, external=True), code=6)
    return clew


def go_on(clew: Clew, *arguments: str, code: int = 0) -> Json:
    line: Json = clew("continue", "-q", "-s", "s", "--json", *arguments, code=code).json
    return line


def results(line: Json) -> list[str]:
    """What the model got to read of the tools."""
    return [message["content"] for message in line["messages"] if message["role"] == "tool"]


def test_a_call_that_needs_a_yes_is_not_made_and_the_run_is_paused(confirmed: Clew) -> None:
    (line,) = confirmed.stored("s")
    (requirement,) = line["requirements"]
    assert (line["status"], line["exit_code"], line["error"]) == ("PAUSED", 6, None)
    assert requirement == {
        "tool_call_id": "c1",
        "kind": "confirm",
        "tool_name": "send",
        "tool_args": {"to": "a"},
        "fields": [],
        **dict.fromkeys(["decision", "note", "by", "at"]),
    }
    assert sent(confirmed) == line["tools"] == []


@pytest.mark.parametrize(
    ("what", "ways"),
    [
        ("confirmed", "--confirm or --reject"),
        ("asking", "--answer or --reject"),
        ("outside", "--result or --reject"),
    ],
)
def test_the_hint_names_what_settles_this_run(
    clew: Clew, request: pytest.FixtureRequest, what: str, ways: str
) -> None:
    request.getfixturevalue(what)
    refused = clew("continue", "-s", "s", "--resume", code=2)
    assert refused.err.endswith(f"\n  hint: settle it with {ways}\n")


@pytest.mark.parametrize(
    ("what", "settle", "told", "decision"),
    [
        (
            "confirmed",
            ("--reject", "--note", "Not now."),
            "was rejected: The user did not allow this call: Not now.",
            "rejected",
        ),
        ("outside", ("--result", "c1=All sent."), "has its result: All sent.", "supplied"),
    ],
)
def test_a_call_that_is_not_made_is_told_as_what_was_decided(
    clew: Clew,
    request: pytest.FixtureRequest,
    what: str,
    settle: tuple[str, ...],
    told: str,
    decision: str,
) -> None:
    request.getfixturevalue(what)
    before = clew.session_file("s").read_bytes()
    assert f'clew: send({{"to": "a"}}) {told}\n' in clew("continue", "-v", "-s", "s", *settle).err
    clew.session_file("s").write_bytes(before)
    events = clew("continue", "-s", "s", *settle, "-o", "stream-json").lines
    assert [each["decision"] for each in events if "tool" in each] == [decision]
    schema = clew("schema", "event").json
    assert not [one for each in events for one in Draft202012Validator(schema).iter_errors(each)]


def test_a_paused_run_prints_nothing_and_tells_what_waits_and_how_to_settle_it(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    result = clew(*GO, "-u", "anna", "-m", model, "-t", path, code=6)
    assert result.out == ""
    assert 'send({"to": "a"}) [c1] waits for --confirm or --reject' in result.err
    assert "clew continue -s s -u anna --confirm" in result.err


@pytest.mark.parametrize(
    ("fixture", "way"),
    [("asking", "--answer count=VALUE --answer to=VALUE"), ("outside", "--result c1=TEXT")],
)
def test_what_waits_is_told_with_the_options_that_settle_it(
    request: pytest.FixtureRequest, fixture: str, way: str
) -> None:
    clew: Clew = request.getfixturevalue(fixture)
    result = clew("continue", "-s", "s", "--resume", "--approve", "pause", code=2)
    assert result.out == ""
    assert way in clew("history", "-s", "s").out


def test_json_prints_the_paused_line(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    line = clew(*GO, "-m", model, "-t", path, "--json", code=6).json
    assert [line] == clew.stored("s")


def test_the_stream_of_a_paused_run_ends_with_run_paused(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    *_, last = clew(*GO, "-m", model, "-t", path, "-o", "stream-json", code=6).lines
    assert (last["event"], [last["run"]]) == ("RunPaused", clew.stored("s"))


def test_a_paused_run_that_was_not_stored_says_that_nobody_can_go_on_with_it(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    result = clew("run", "--no-store", "go", "-m", model, "-t", path, code=6)
    assert "not stored" in result.err
    assert "clew continue" not in result.err


@pytest.mark.parametrize("option", ["--confirm", "--confirm=c1", "--confirm=send"])
def test_a_confirmed_call_is_made_in_another_process(confirmed: Clew, option: str) -> None:
    line = go_on(confirmed, option)
    first, second = confirmed.stored("s")
    assert line == second
    assert (line["status"], line["content"], line["resumes"]) == (
        "COMPLETED",
        "Done.",
        first["run_id"],
    )
    assert (sent(confirmed), results(line)) == ([{"to": "a"}], ["sent"])


def test_a_decision_tells_who_made_it_and_when(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    clew(*GO, "-u", "Anna B", "-m", model, "-t", path, code=6)
    call_ = ("continue", "-s", "s", "-u", "Anna B", "--confirm", "--note", "fine", "--json")
    line = clew(*call_).json
    (said,) = line["requirements"]
    assert (said["decision"], said["by"], said["note"]) == ("confirmed", "Anna B", "fine")
    assert line["started_at"] <= said["at"] <= line["created_at"]


@pytest.mark.parametrize("option", ["--reject", "--reject=c1", "--reject=send"])
def test_a_rejected_call_is_not_made_and_the_model_is_told_why(
    confirmed: Clew, option: str
) -> None:
    line = go_on(confirmed, option, "--note", "Not on a Friday.")
    assert line["status"] == "COMPLETED"
    assert line["requirements"][0]["decision"] == "rejected"
    assert sent(confirmed) == []
    assert "Not on a Friday." in results(line)[0]


def test_values_have_the_types_of_the_tools_schema(clew: Clew) -> None:
    kinds: Json = {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "sure": {"type": "boolean"},
        "many": {"type": "array", "items": {"type": "string"}},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    }
    parameters = {"type": "object", "properties": kinds, "required": list(kinds)}
    asks = tool(clew, parameters=parameters, requires_user_input=list(kinds))
    clew(*GO, "-m", plays(clew, [call("c1")]), "-t", asks, code=6)
    given = ("text=5", "count=5", "sure=true", 'many=["x"]', "maybe=7")
    line = go_on(clew, *(word for pair in given for word in ("--answer", pair)))
    wanted = {"text": "5", "count": 5, "sure": True, "many": ["x"], "maybe": 7}
    assert sent(clew) == [wanted]
    said = line["requirements"][0]
    assert {each["name"]: each["value"] for each in said["fields"]} == wanted
    assert said["decision"] == "answered"


def test_the_model_does_not_see_what_the_user_is_asked_for(asking: Clew) -> None:
    (line,) = asking.stored("s")
    assert [each["name"] for each in line["requirements"][0]["fields"]] == ["count", "to"]
    assert line["requirements"][0]["tool_args"] == {}


@pytest.mark.parametrize("name", ["c1", "send"])
def test_a_result_from_outside_is_what_the_model_reads(outside: Clew, name: str) -> None:
    line = go_on(outside, "--result", f"{name}=it = went\nwell")
    assert (line["status"], results(line)) == ("COMPLETED", ["it = went\nwell"])
    assert line["requirements"][0]["decision"] == "supplied"
    assert line["tools"][0]["result"] == "it = went\nwell"


def test_a_partly_settled_run_pauses_again_and_lists_what_is_open(two: Clew) -> None:
    result = two("continue", "-s", "s", "--confirm=c2", code=6)
    line = two.stored("s")[-1]
    decisions = {one["tool_call_id"]: one["decision"] for one in line["requirements"]}
    assert (sent(two), decisions) == ([{"to": "b"}], {"c1": None, "c2": "confirmed"})
    assert "[c1]" in result.err
    assert "[c2]" not in result.err
    assert go_on(two, "--confirm")["status"] == "COMPLETED"
    assert sent(two) == [{"to": "b"}, {"to": "a"}]


def test_one_call_may_be_confirmed_and_all_others_rejected(two: Clew) -> None:
    line = go_on(two, "--confirm=c1", "--reject")
    assert line["status"] == "COMPLETED"
    assert sent(two) == [{"to": "a"}]


@pytest.mark.parametrize(
    ("fixture", "arguments"),
    [
        ("confirmed", ["--resume"]),
        ("confirmed", ["--resume", "--approve", "pause"]),
        ("confirmed", ["--confirm=c9"]),
        ("confirmed", ["--confirm="]),
        ("confirmed", ["--reject="]),
        ("confirmed", ["--resume=", "--confirm"]),
        ("confirmed", ["--confirm", "--resume", "a prompt"]),
        ("confirmed", ["--resume", "a prompt"]),
        ("confirmed", ["--confirm", "-f", "send.json"]),
        ("confirmed", ["--note", "alone"]),
        ("confirmed", ["--note", "alone", "a prompt"]),
        ("confirmed", ["--answer", "to=a"]),
        ("confirmed", ["--result", "c1=text"]),
        ("confirmed", ["--confirm=c1", "--reject=c1"]),
        ("confirmed", ["--confirm=c1", "--reject=send"]),
        ("confirmed", ["--confirm", "--reject"]),
        ("confirmed", ["--confirm", "-t", "other.json"]),
        ("confirmed", ["--confirm=c9", "--name", "renamed"]),
        ("two", ["--confirm=send"]),
        ("asking", ["--confirm"]),
        ("asking", ["--confirm=c1"]),
        ("asking", ["--resume", "-y"]),
        ("asking", ["--answer", "nobody=1"]),
        ("asking", ["--answer", "count=1"]),
        ("asking", ["--answer", "count=many", "--answer", "to=a"]),
        ("asking", ["--answer", "count=1", "--answer", "to=a", "--reject=c1"]),
        ("outside", ["--confirm"]),
        ("outside", ["--result", "c9=text"]),
        ("outside", ["--result", "no call"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_does_not_settle_a_pause_is_one_clear_line_and_changes_nothing(
    request: pytest.FixtureRequest, fixture: str, arguments: list[str]
) -> None:
    clew: Clew = request.getfixturevalue(fixture)
    tool(clew, "other")
    before = clew.session_file("s").read_bytes()
    result = clew("continue", "-q", "-s", "s", *arguments, code=2)
    said = [line for line in result.err.splitlines() if not line.startswith("  hint: ")]
    assert (result.out, len(said)) == ("", 1)
    assert clew.session_file("s").read_bytes() == before
    assert sent(clew) == []
    assert clew("sessions", "list", "--json").json["name"] is None


@pytest.mark.parametrize("option", ["--confirm", "--reject", "--answer=a=1", "--result=c1=x"])
def test_where_nothing_is_paused_there_is_nothing_to_settle(
    clew: Clew, model: str, option: str
) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    before = clew.session_file("s").read_bytes()
    assert "no paused run" in clew("continue", "-q", "-s", "s", option, code=3).err
    run = clew.stored("s")[0]["run_id"]
    clew("continue", "-q", "-s", "s", f"--resume={run}", option, code=2)
    assert clew.session_file("s").read_bytes() == before


def test_a_run_that_failed_is_not_settled(clew: Clew) -> None:
    clew("run", "-m", clew.recording(), "-s", "s", "one", code=3)
    run = clew.stored("s")[0]["run_id"]
    clew("continue", "-q", "-s", "s", f"--resume={run}", "--confirm", code=2)
    assert len(clew.stored("s")) == 1


def test_a_named_run_that_was_settled_before_is_printed_again(confirmed: Clew) -> None:
    run = confirmed.stored("s")[0]["run_id"]
    first = go_on(confirmed, f"--resume={run}", "--confirm")
    assert go_on(confirmed, f"--resume={run}", "--confirm") == first
    assert go_on(confirmed, f"--resume={run}", "--reject") == first
    assert go_on(confirmed, f"--resume={run}") == first
    assert (len(confirmed.stored("s")), len(sent(confirmed))) == (2, 1)


def test_a_repeated_yes_is_no_yes_to_what_came_after(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")], [call("c2", to="b")])
    clew(*GO, "-m", model, "-t", tool(clew, requires_confirmation=True), code=6)
    run = clew.stored("s")[0]["run_id"]
    again = [go_on(clew, f"--resume={run}", "--confirm", code=6) for _ in range(2)]
    assert again[0] == again[1]
    assert sent(clew) == [{"to": "a"}]


def test_a_repeated_yes_is_no_yes_to_a_later_call_of_the_same_id(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")], [call("c1", to="b")])
    clew(*GO, "-m", model, "-t", tool(clew, requires_confirmation=True), code=6)
    run = clew.stored("s")[0]["run_id"]
    again = [go_on(clew, f"--resume={run}", "--confirm=c1", code=6) for _ in range(2)]
    assert again[0] == again[1]
    assert sent(clew) == [{"to": "a"}]
    assert go_on(clew, "--confirm=send")["status"] == "COMPLETED"
    assert sent(clew) == [{"to": "a"}, {"to": "b"}]


def gated(clew: Clew, *calls: Json) -> None:
    """Have a session `s` whose one run waits for a yes to these calls.

    A call leaves its trace, and stands still until `open_gate`.
    """
    script = f"{TRACE}; echo >> began; until [ -e gate ]; do sleep 0.1; done"
    path = tool(clew, script=script, requires_confirmation=True)
    clew(*GO, "-m", plays(clew, list(calls)), "-t", path, code=6)


def open_gate(clew: Clew) -> None:
    (clew.cwd / "gate").touch()


def has_begun(clew: Clew) -> None:
    eventually((clew.cwd / "began").exists)


def test_two_that_settle_at_once_have_one_call_and_the_same_line(clew: Clew) -> None:
    gated(clew, call("c1", to="a"))
    settle = ("continue", "-s", "s", "--resume", "--confirm", "--json")
    first = clew.start(*settle)
    has_begun(clew)
    second = clew.start(*settle)
    assert second.stderr is not None
    while b"waiting: " not in (said := second.stderr.readline()):
        assert said
    open_gate(clew)
    lines = [process.communicate(timeout=200)[0] for process in (first, second)]
    assert lines[0] == lines[1] != b""
    assert (first.returncode, second.returncode) == (0, 0)
    assert (sent(clew), len(clew.stored("s"))) == ([{"to": "a"}], 2)


def test_two_that_settle_different_calls_at_once_settle_both(clew: Clew) -> None:
    gated(clew, call("c1", to="a"), call("c2", to="b"))
    first = clew.start("continue", "-s", "s", "--confirm=c1", "--json")
    has_begun(clew)
    second = clew.start("continue", "-s", "s", "--reject=c2", "--json")
    assert second.stderr is not None
    while b"waiting: " not in (said := second.stderr.readline()):
        assert said
    open_gate(clew)
    codes = [
        (process.communicate(timeout=200), process.returncode)[1] for process in (first, second)
    ]
    assert codes == [6, 0]
    assert sent(clew) == [{"to": "a"}]
    assert [line["status"] for line in clew.stored("s")] == ["PAUSED", "PAUSED", "COMPLETED"]


@pytest.mark.parametrize("option", ["--resume", "--resume -y", "--confirm", "--resume --confirm"])
def test_a_call_during_which_the_process_was_killed_is_never_made_again(
    clew: Clew, option: str
) -> None:
    gated(clew, call("c1", to="a"))
    process = clew.start("continue", "-s", "s", "--confirm")
    has_begun(clew)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=200)
    open_gate(clew)
    clew("continue", "-s", "s", *option.split(), code=None)
    line = go_on(clew, "--resume", code=0) if "confirm" in option else clew.stored("s")[-1]
    assert [run["status"] for run in clew.stored("s")] == ["PAUSED", "INTERRUPTED", "COMPLETED"]
    assert "may have done its work" in results(line)[0]
    assert len(results(line)) == 1
    assert sent(clew) == [{"to": "a"}]


def test_a_new_prompt_leaves_the_pause_open_and_says_so(confirmed: Clew, model: str) -> None:
    run = confirmed.stored("s")[0]["run_id"]
    for command in ("continue", "continue", "run"):
        result = confirmed(command, "-s", "s", "-m", model, "one")
        assert (result.out, sent(confirmed)) == ("answer one\n", [])
        assert f"run {run} is still paused" in result.err
        assert confirmed("sessions", "list", "--json").json["waiting"] is True
    line = go_on(confirmed, "--confirm")
    assert (line["content"], line["resumes"], sent(confirmed)) == ("Done.", run, [{"to": "a"}])
    assert "still paused" not in confirmed("continue", "-s", "s", "-m", model, "one").err
    assert confirmed("sessions", "list", "--json").json["waiting"] is False


def test_a_call_that_waited_has_its_result_where_it_was_called(clew: Clew) -> None:
    asks, plain = (
        tool(clew, requires_confirmation=True),
        tool(clew, name="look", script="echo seen"),
    )
    model = plays(clew, [call("c1", to="a"), call("c2", "look", to="b"), call("c3", to="c")])
    paused = clew(*GO, "-m", model, "-t", asks, "-t", plain, "--json", code=6).json
    assert [each["tool_call_id"] for each in paused["messages"] if each["role"] == "tool"] == ["c2"]
    go_on(clew, "--confirm=c3", code=6)
    line = go_on(clew, "--confirm=c1")
    sent_then = clew("history", "-s", "s", f"--as-sent={line['run_id']}", "--json").lines
    for messages in (line["messages"], sent_then):
        told = [each["tool_call_id"] for each in messages if each["role"] == "tool"]
        assert told == ["c1", "c2", "c3"]
    clew("sessions", "verify", "-s", "s")


def test_of_two_pauses_each_is_told_until_it_is_settled_and_the_latest_is_meant(
    clew: Clew, model: str
) -> None:
    first, second = (
        clew(*GO, "-m", plays(clew, [call("c1", to=to)]), "-t", path, "--json", code=6).json
        for to, path in (("a", tool(clew, requires_confirmation=True)),) * 2
    )
    said = clew("continue", "-s", "s", "-m", model, "one").err
    assert [said.count(f"run {run['run_id']} is still paused") for run in (first, second)] == [1, 1]
    assert f"; --resume={first['run_id']} with --confirm or --reject settles it\n" in said
    assert f"run {second['run_id']} is still paused; --confirm or --reject settles it\n" in said
    assert go_on(clew, "--confirm")["resumes"] == second["run_id"]
    assert clew.stored("s")[-1]["session_metrics"]["open_pauses"] == [first["run_id"]]
    assert go_on(clew, "--reject")["resumes"] == first["run_id"]
    assert "open_pauses" not in clew.stored("s")[-1]["session_metrics"]
    clew("sessions", "verify", "-s", "s")


def test_a_repeated_call_prints_the_paused_line_and_once_settled_its_end(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    ask = ("run", "--run-id", "s", "-m", model, "-t", path, "--json", "go")
    first = clew(*ask, code=6)
    assert clew(*ask, code=6).out == first.out
    assert len(clew.stored("s")) == 1
    end = clew("continue", "-s", "s", "--confirm", "--json").out
    assert clew(*ask).out == end
    assert len(sent(clew)) == 1


def test_a_settling_call_can_be_repeatable_too(confirmed: Clew) -> None:
    settle = ("continue", "-s", "s", "--confirm", "--run-id", "yes", "--json")
    first = confirmed(*settle)
    assert confirmed(*settle).out == first.out
    assert (len(confirmed.stored("s")), len(sent(confirmed))) == (2, 1)


def test_a_settled_pause_is_one_exchange(confirmed: Clew, model: str) -> None:
    confirmed("continue", "-s", "s", "-m", model, "--no-history", "one")
    line = go_on(confirmed, "--confirm")
    assert line["session_metrics"]["turns"] == 2
    next_one = ("continue", "-s", "s", "--history-runs", "1", "--dry-run", "-m", model, "two")
    messages = confirmed(*next_one).json["messages"]
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[-2]["content"] == "Done."


def test_a_pause_that_is_open_is_no_history(two: Clew, model: str) -> None:
    two("continue", "-s", "s", "--confirm=c1", code=6)
    messages = two("continue", "-s", "s", "--dry-run", "-m", model, "one").json["messages"]
    assert [message["content"] for message in messages] == ["one"]


def strict(body: Json) -> Answer:
    """Answer as a provider that refuses what is not paired: each call, its result, in place."""
    waiting: set[str] = set()
    for message in body["messages"]:
        if message["role"] == "tool" and message["tool_call_id"] in waiting:
            waiting.remove(message["tool_call_id"])
        elif message["role"] == "tool" or waiting:
            return Answer("messages are not paired", status=400)
        waiting |= {made["id"] for made in message.get("tool_calls") or []}
    return Answer("not paired", status=400) if waiting else Answer("Done.", usage=USED)


USED = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


@pytest.mark.slow
def test_a_provider_that_checks_pairing_takes_all_of_it_and_tokens_are_counted_once(
    clew: Clew, provider: Provider
) -> None:
    provider.default = strict
    provider.answer(tool_calls=[call("c1", to="a"), call("c2", to="b")], usage=USED)
    path = tool(clew, requires_confirmation=True)
    clew(*GO, "-m", "openai/test-model", "-t", path, "--option", "temperature=0", code=6)
    clew("continue", "-s", "s", "one")
    go_on(clew, "--confirm=c2", code=6)
    assert go_on(clew, "--reject", "--note", "no")["content"] == "Done."
    line = go_on(clew, "two")
    assert line["status"] == "COMPLETED"
    assert len(provider.requests) == 4
    total = line["session_metrics"]
    assert (total["total_tokens"], total["requests"], total["turns"]) == (4 * 13, 4, 3)
    assert [request.body["temperature"] for request in provider.requests] == [0] * 4
    assert all(request.body["tools"] for request in provider.requests)


def test_auto_runs_what_needs_a_yes(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    for number, option in enumerate(["-y", "--yes", "--approve=auto"]):
        line = clew("run", "-m", model, "-t", path, option, "--json", "go").json
        assert line["requirements"][0]["decision"] == "confirmed"
        assert len(sent(clew)) == number + 1


def test_deny_tells_the_model_no(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    line = clew("run", "-m", model, "-t", path, "--approve", "deny", "--json", "go").json
    assert (line["status"], line["requirements"][0]["decision"]) == ("COMPLETED", "rejected")
    assert "did not allow" in results(line)[0]
    assert sent(clew) == []


@pytest.mark.parametrize("needs", [{"external": True}, {"requires_user_input": ["to"]}])
def test_auto_gives_no_value_and_no_result(clew: Clew, needs: Json) -> None:
    model = plays(clew, [call("c1", **({} if "requires_user_input" in needs else {"to": "a"}))])
    clew(*GO, "-m", model, "-t", tool(clew, **needs), "-y", code=6)
    assert sent(clew) == []


def test_a_paused_run_may_be_resumed_with_a_yes_to_all(two: Clew) -> None:
    assert go_on(two, "--resume", "-y")["status"] == "COMPLETED"
    assert len(sent(two)) == 2


def test_an_approval_is_never_inherited(clew: Clew) -> None:
    path = tool(clew, requires_confirmation=True)
    clew(*GO, "-m", plays(clew, [call("c1", to="a")]), "-t", path, "-y")
    again = plays(clew, [call("c2", to="b")], asked="more", name="more")
    assert go_on(clew, "-m", again, "more", code=6)["status"] == "PAUSED"
    assert sent(clew) == [{"to": "a"}]


def test_a_yes_to_one_call_is_no_yes_to_the_next(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")], [call("c2", to="b")])
    clew(*GO, "-m", model, "-t", tool(clew, requires_confirmation=True), code=6)
    line = go_on(clew, "--confirm", code=6)
    assert [one["tool_call_id"] for one in line["requirements"]] == ["c1", "c2"]
    assert sent(clew) == [{"to": "a"}]


def test_a_no_holds_although_the_tool_asks_nobody_any_more(confirmed: Clew) -> None:
    tool(confirmed)
    line = go_on(confirmed, "--reject")
    assert (line["status"], sent(confirmed)) == ("COMPLETED", [])


def test_a_call_that_waited_still_waits_although_the_tool_asks_nobody_any_more(two: Clew) -> None:
    tool(two)
    go_on(two, "--reject=c1", code=6)
    assert sent(two) == []


def test_the_resuming_run_has_model_system_options_and_tools_of_the_paused_one(
    clew: Clew, tmp_path: Path
) -> None:
    model = plays(clew, [call("c1", to="a")])
    tool(clew, requires_confirmation=True)
    asked = ("--system", "Be brief.", "--option", "temperature=0", "-t", "send.json")
    clew(*GO, "-m", model, *asked, code=6)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    line = clew("continue", "-s", "s", "--confirm", "--json", cwd=elsewhere).json
    first = clew.stored("s")[0]
    assert line["options"] == first["options"] | {"history": True}
    assert line["model"] == first["model"]
    assert line["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent(clew) == [{"to": "a"}]
    assert not (elsewhere / "sent").exists()


def test_lists_and_history_tell_of_what_is_open_until_it_is_settled(two: Clew) -> None:
    def waiting() -> tuple[Any, int, int]:
        listed = two("sessions", "list", "--json").json["waiting"]
        shown = [two("history", "-s", "s", *n).out.count("waits for") for n in ((), ("-n", "all"))]
        return (listed, shown[0], shown[1])

    assert waiting() == (True, 2, 2)
    go_on(two, "--confirm=c1", code=6)
    assert waiting() == (True, 1, 1)
    go_on(two, "--confirm")
    assert waiting() == (False, 0, 0)


def test_all_lines_of_a_pause_fit_the_schema_and_verify(two: Clew, model: str) -> None:
    go_on(two, "-m", model, "one")
    go_on(two, "--confirm=c1", code=6)
    go_on(two, "--reject", "--note", "no")
    asks = tool(two, requires_user_input=["to"])
    again = plays(two, [call("c1")], asked="ask", name="ask")
    go_on(two, "-m", again, "-t", asks, "ask", code=6)
    go_on(two, "--answer", "to=x")
    again = plays(two, [call("c1", to="z")], asked="out", name="out")
    go_on(two, "-m", again, "-t", tool(two, external=True), "out", code=6)
    go_on(two, "--result", "send=y")
    schema = Draft202012Validator(two("schema", "line").json)
    stored = two.stored("s")
    assert len(stored) == 8
    for line in stored:
        schema.validate(line)
    two("sessions", "verify", "s")


def test_the_events_of_a_settled_run_fit_the_schema(confirmed: Clew) -> None:
    schema = Draft202012Validator(confirmed("schema", "event").json)
    events = confirmed("continue", "-s", "s", "--confirm", "-o", "stream-json").lines
    for event in events:
        schema.validate(event)
    names = [event["event"] for event in events]
    assert names.index("ToolCallStarted") < names.index("ToolCallCompleted")
    assert json.dumps(events[-1]["run"]) == json.dumps(confirmed.stored("s")[-1])
