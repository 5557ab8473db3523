"""`-a`: runs of agents that are defined in a file, or by a Python object."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.defined import define, plant, write
from tests.provider import Provider
from tests.stuck import stuck


def said(line: Any) -> list[str]:
    return [message["content"] for message in line["messages"]]


def calling(clew: Clew, *calls: tuple[str, dict[str, Any]], name: str = "calls.jsonl") -> str:
    """Return a model that makes these calls, one a turn, when it is asked `go`, then says `done`.

    It answers `hi` with `hello`.
    """
    messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for number, (tool, arguments) in enumerate(calls):
        function = {"name": tool, "arguments": json.dumps(arguments)}
        call = {"id": f"c{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
    messages.append({"role": "assistant", "content": "done"})
    records = [
        {"input": "go", "content": "done", "messages": messages},
        {"input": "hi", "content": "hello"},
    ]
    path = write(clew.cwd.parent / name, "".join(f"{json.dumps(each)}\n" for each in records))
    return f"replay:{path}"


# which agent


def test_an_agent_is_run_by_its_name(clew: Clew, model: str) -> None:
    path = define(clew, f"model: {model}\nsystem: Be brief.")
    line = clew("run", "-a", "helper", "--json", "hi").json
    assert (line["kind"], line["name"], line["model"]) == ("agent", "helper", model)
    assert line["options"]["agent"] == str(path)
    assert said(line) == ["Be brief.", "hi", "hello"]


@pytest.mark.parametrize("name", ["agent.yaml", "agent.yml", "./agent"])
def test_an_agent_is_run_from_a_file(clew: Clew, model: str, name: str) -> None:
    write(clew.cwd / name, f"model: {model}\nname: Ada")
    line = clew("run", "-a", name, "--json", "hi").json
    assert (line["name"], line["options"]["agent"]) == ("Ada", str(clew.cwd / name.lstrip("./")))


def test_an_agent_is_run_that_is_a_python_object(clew: Clew, model: str) -> None:
    code = (
        f"from clew.core import Agent\nhelper = Agent(model={model!r}, instructions=['Be {{n}}.'],"
    )
    write(clew.cwd / "mine.py", f"{code} session_state={{'n': 'kind'}})")
    line = clew("run", "-a", "mine:helper", "-s", "s", "--json", "hi").json
    assert (line["name"], line["options"]["agent"]) == ("helper", "mine:helper")
    assert said(line) == ["- Be kind.", "hi", "hello"]
    assert clew("continue", "-s", "s", "--json", "hi").json["name"] == "helper"


def test_a_folder_s_agent_goes_before_the_user_s_own_once_it_is_trusted(
    clew: Clew, model: str
) -> None:
    define(clew, f"model: {model}\nsystem: mine")
    plant(clew, f"model: {model}\nsystem: the folder's")
    result = clew("run", "-a", "helper", "--json", "hi")
    assert said(result.json)[0] == "mine"
    assert f"{clew.cwd}/.clew is ignored: it is not trusted" in result.err
    clew("config", "trust")
    result = clew("run", "-a", "helper", "--json", "hi")
    assert (said(result.json)[0], "ignored" in result.err) == ("the folder's", False)


def test_that_a_folder_is_ignored_is_said_once(clew: Clew, model: str) -> None:
    plant(clew, f"model: {model}")
    (clew.cwd / ".clew" / "config.toml").write_text("retries = 5\n")
    assert clew("run", "-a", "helper", "hi", code=3).err.count(" is ignored: ") == 1


def test_a_folder_above_is_searched_too(clew: Clew, model: str) -> None:
    plant(clew, f"model: {model}")
    below = clew.cwd / "a" / "b"
    below.mkdir(parents=True)
    assert clew("--trust", "run", "-a", "helper", "hi", cwd=below).out == "hello\n"


def test_an_agent_that_others_may_write_is_ignored_in_a_trusted_folder(
    clew: Clew, model: str
) -> None:
    path = plant(clew, f"model: {model}")
    clew("config", "trust")
    path.chmod(0o666)
    err = clew("run", "-a", "helper", "hi", code=3).err
    assert f"{path} is ignored: others may write to {path}" in err


def test_a_folder_with_such_an_agent_cannot_be_trusted(clew: Clew) -> None:
    plant(clew, "name: a").chmod(0o666)
    clew("config", "trust", code=78)


def test_a_session_does_not_run_a_folder_s_agent_that_is_trusted_no_longer(
    clew: Clew, model: str
) -> None:
    plant(clew, f"model: {model}")
    clew("--trust", "run", "-a", "helper", "-s", "s", "hi")
    assert "is not trusted" in clew("continue", "-s", "s", "hi", code=78).err
    clew("config", "trust")
    clew("continue", "-s", "s", "hi")


def test_an_unknown_agent_is_not_found_with_near_names(clew: Clew) -> None:
    define(clew, "name: a", "reviewer")
    result = clew("run", "-a", "reviwer", "hi", code=3)
    assert "there is no agent 'reviwer'" in result.err
    assert "did you mean reviewer?" in result.err


@pytest.mark.parametrize("name", ["./none.yaml", "none:agent", "json:none"])
def test_a_missing_file_or_object_is_not_found(clew: Clew, name: str) -> None:
    clew("run", "-a", name, "hi", code=3)


def test_an_object_that_is_no_agent_is_refused(clew: Clew) -> None:
    assert (
        "'json:dumps' is a function, not an Agent"
        in clew("run", "-a", "json:dumps", "hi", code=2).err
    )


def test_a_wrong_definition_is_refused_before_anything_is_written(clew: Clew) -> None:
    define(clew, "model: m\ninstruction: x")
    result = clew("run", "-a", "helper", "hi", code=2)
    assert "helper.yaml:2: instruction: there is no such key" in result.err
    assert "did you mean instructions?" in result.err
    assert not clew.home.exists()


# what goes before what


def test_a_flag_goes_before_the_definition_and_that_before_the_environment(clew: Clew) -> None:
    a, b, c = (clew.recording(("hi", x), name=f"{x}.jsonl") for x in "abc")
    define(clew, f"model: {b}")
    clew.env["CLEW_MODEL"] = c
    assert clew("run", "-a", "helper", "-m", a, "hi").out == "a\n"
    assert clew("run", "-a", "helper", "hi").out == "b\n"
    define(clew, "name: x")
    assert clew("run", "-a", "helper", "hi").out == "c\n"


def test_a_session_s_model_goes_before_the_definition_s(clew: Clew) -> None:
    a, b = (clew.recording(("hi", x), name=f"{x}.jsonl") for x in "ab")
    define(clew, f"model: {b}")
    clew("run", "-a", "helper", "-m", a, "-s", "s", "hi")
    assert clew("continue", "-s", "s", "hi").out == "a\n"


def test_a_definition_s_options_and_limits_count_unless_the_call_says_otherwise(
    clew: Clew, model: str
) -> None:
    define(
        clew,
        f"model: {model}\noptions: {{top_p: 1, seed: 2}}\nmetadata: {{a: 1, b: 1}}\n"
        "limits: {timeout: 2m, max_turns: 3, max_tokens: 9, max_total_tokens: 900, retries: 0}",
    )
    clew.env["CLEW_RETRIES"] = "5"
    line = clew("run", "-a", "helper", "--json", "hi").json
    asked = line["options"]
    limits = [asked[n] for n in ("timeout", "max_turns", "max_tokens", "max_total_tokens")]
    assert (limits, asked["retries"]) == ([120, 3, 9, 900], 0)
    assert (asked["option"], line["metadata"]) == ({"top_p": 1, "seed": 2}, {"a": 1, "b": 1})
    flags = ["--max-turns", "7", "--retries", "1", "--option", "seed=3", "--meta", "b=2"]
    line = clew("run", "-a", "helper", *flags, "--json", "hi").json
    assert (line["options"]["max_turns"], line["options"]["retries"]) == (7, 1)
    assert line["options"]["option"] == {"top_p": 1, "seed": 3}
    assert line["metadata"] == {"a": 1, "b": "2"}


def test_system_and_instructions_make_the_system_message(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsystem: You are Ada.\ninstructions: [Be brief., Be kind.]")
    line = clew("run", "-a", "helper", "--json", "hi").json
    assert said(line)[0] == "You are Ada.\n\n- Be brief.\n- Be kind."


def test_a_system_prompt_of_the_call_is_said_in_place_of_the_definition_s_as_it_is(
    clew: Clew, model: str
) -> None:
    define(clew, f"model: {model}\nsystem: a\ninstructions: b\nparams: {{x: 1}}")
    clew("run", "-a", "helper", "-s", "s", "--system", "c {x}", "hi")
    assert said(clew("continue", "-s", "s", "--json", "hi").json)[0] == "c {x}"


def test_continue_reads_the_definition_again(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsystem: old")
    clew("run", "-a", "helper", "-s", "s", "hi")
    define(clew, f"model: {model}\nsystem: new")
    line = clew("continue", "-s", "s", "--json", "hi").json
    assert (line["name"], said(line)[0], line["history"]["runs"]) == ("helper", "new", 1)


def test_continue_with_another_agent_takes_no_text_of_the_first(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nparams: {{x: null}}")
    define(clew, f"model: {model}\nsystem: other", "other")
    clew("run", "-a", "helper", "--param", "x=1", "--system", "first", "-s", "s", "hi")
    line = clew("continue", "-a", "other", "-s", "s", "--json", "hi").json
    assert (line["name"], said(line)[0], "param" in line["options"]) == ("other", "other", False)


def test_a_definition_that_is_gone_is_not_found_by_continue(clew: Clew, model: str) -> None:
    path = define(clew, f"model: {model}")
    clew("run", "-a", "helper", "-s", "s", "hi")
    path.unlink()
    err = clew("continue", "-s", "s", "hi", code=3).err
    assert f"this session's agent is gone: there is no file '{path}'" in err


@pytest.mark.parametrize(("says", "sent"), [(None, 0), ("true", 1), ("false", 0)])
def test_run_sends_history_if_the_definition_says_so(
    clew: Clew, model: str, says: str | None, sent: int
) -> None:
    define(clew, f"model: {model}\n" + (f"add_history_to_context: {says}" if says else ""))
    clew("run", "-a", "helper", "-s", "s", "hi")
    line = clew("run", "-a", "helper", "-s", "s", "--json", "hi").json
    assert line["history"]["runs"] == sent


@pytest.mark.parametrize(
    ("says", "flags", "sent"),
    [
        ("add_history_to_context: false", (), 0),
        ("add_history_to_context: false", ("--history",), 2),
        ("num_history_runs: 1", (), 1),
        ("num_history_runs: 1", ("--history-runs", "2"), 2),
        ("num_history_messages: 2", (), 1),
        ("add_history_to_context: true", ("--no-history",), 0),
    ],
)
def test_continue_sends_as_much_history_as_the_definition_lets_it(
    clew: Clew, model: str, says: str, flags: tuple[str, ...], sent: int
) -> None:
    define(clew, f"model: {model}\n{says}")
    for _ in range(2):
        clew("run", "-a", "helper", "-s", "s", "--no-history", "hi")
    line = clew("continue", "-s", "s", *flags, "--json", "hi").json
    assert line["history"]["runs"] == sent


def test_the_same_run_id_with_another_agent_or_param_is_a_conflict(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nparams: {{x: a}}")
    define(clew, f"model: {model}", "other")
    call = ("run", "--run-id", "r", "hi", "-a")
    clew(*call, "helper", "--param", "x=b")
    clew(*call, "helper", "--param", "x=b")
    clew(*call, "helper", "--param", "x=c", code=7)
    clew(*call, "other", code=7)


# params


def test_params_are_filled_in_before_the_state_and_the_prompt_is_left_alone(clew: Clew) -> None:
    model = clew.recording(("{lang} $x {city}", "ok"))
    define(
        clew,
        f"model: {model}\ninstructions: 'In {{lang}} of {{city}}: {{\"a\": 1}} $x'\n"
        "params: {lang: null}\nsession_state: {city: Lyon, lang: no}",
    )
    line = clew("run", "-a", "helper", "--param", "lang=fr", "--json", "{lang} $x {city}").json
    assert said(line)[:2] == ['In fr of Lyon: {"a": 1} $x', "{lang} $x {city}"]


def test_params_are_recorded_and_inherited_and_can_be_changed(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsystem: '{{a}} {{b}} {{c}}'\nparams: {{a: null, b: 2, c: 3}}")
    clew("run", "-a", "helper", "--param", "a=1", "--param", "b=x", "-s", "s", "hi")
    line = clew("continue", "-s", "s", "--param", "b=y", "--json", "hi").json
    assert said(line)[0] == "1 y 3"
    assert line["options"]["param"] == {"a": "1", "b": "y"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "the agent needs the param 'lang'"),
        (("--param", "lang=fr", "--param", "x=1"), "no param 'x'"),
    ],
)
def test_a_missing_or_unknown_param_is_refused_by_name(
    clew: Clew, model: str, flags: tuple[str, ...], message: str
) -> None:
    define(clew, f"model: {model}\nparams: {{lang: null}}")
    assert message in clew("run", "-a", "helper", "--run-id", "r", *flags, "hi", code=2).err
    assert not (clew.home / "users").exists()


def test_a_param_without_an_agent_is_refused(clew: Clew, model: str) -> None:
    assert "-a" in clew("run", "-m", model, "--param", "a=1", "hi", code=2).err


def test_a_param_that_a_changed_definition_has_no_longer_does_not_end_the_session(
    clew: Clew, model: str
) -> None:
    define(clew, f"model: {model}\nparams: {{a: 1, b: 2}}")
    clew("run", "-a", "helper", "--param", "a=x", "-s", "s", "hi")
    define(clew, f"model: {model}\nparams: {{b: 2}}")
    assert "param" not in clew("continue", "-s", "s", "--json", "hi").json["options"]


# state


def test_what_the_call_says_goes_before_what_is_stored_and_that_before_the_defaults(
    clew: Clew, model: str
) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: default, b: default, c: default}}")
    clew("run", "-a", "helper", "-s", "s", "hi")
    clew("state", "-s", "s", "set", "a=stored", "b=stored")
    line = clew("run", "-a", "helper", "-s", "s", "--state", '{"a": "call"}', "--json", "hi").json
    assert line["session_state"] == {"a": "call", "b": "stored", "c": "default"}


def test_defaults_and_the_call_s_state_are_merged_deeply_and_lists_replaced(
    clew: Clew, model: str
) -> None:
    define(clew, f"model: {model}\nsession_state: {{o: {{x: 1, y: 1}}, l: [1, 2], gone: 1}}")
    state = '{"o": {"y": 2}, "l": [3], "gone": null}'
    line = clew("run", "-a", "helper", "--state", state, "--json", "hi").json
    assert line["session_state"] == {"o": {"x": 1, "y": 2}, "l": [3]}
    assert line["state_patch"] == {"o": {"x": 1, "y": 2}, "l": [3], "gone": None}


@pytest.mark.parametrize("flags", [(), ("--state", "{}")])
def test_changed_defaults_change_no_stored_state(
    clew: Clew, model: str, flags: tuple[str, ...]
) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: 1}}")
    clew("run", "-a", "helper", "-s", "s", "hi")
    define(clew, f"model: {model}\nsession_state: {{a: 2, b: 2}}")
    line = clew("run", "-a", "helper", "-s", "s", *flags, "--json", "hi").json
    assert (line["session_state"], line["state_patch"]) == ({"a": 1}, None)


def test_a_removed_default_stays_removed(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: 1}}")
    clew("run", "-a", "helper", "-s", "s", "hi")
    clew("state", "-s", "s", "unset", "a")
    assert clew("continue", "-s", "s", "--json", "hi").json["session_state"] == {}


def test_a_session_that_is_named_as_it_begins_gets_the_defaults(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: 1}}")
    line = clew("run", "-a", "helper", "--name", "trip", "--json", "hi").json
    assert line["session_state"] == {"a": 1}


def test_a_replaced_state_has_no_defaults(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: 1}}")
    line = clew("run", "-a", "helper", "--state-replace", '{"b": 1}', "--json", "hi").json
    assert line["session_state"] == {"b": 1}


def test_a_first_run_that_fails_keeps_the_defaults(clew: Clew, model: str) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: 1}}")
    clew("run", "-a", "helper", "-s", "s", "unheard of", code=3)
    assert clew.stored("s")[0]["session_state"] == {"a": 1}


def test_a_run_that_begins_with_a_new_session_and_ends_second_brings_no_defaults(
    clew: Clew, model: str
) -> None:
    define(clew, f"model: {model}\nsession_state: {{a: 1, b: 1}}")
    with stuck(clew, "run", "-q", "-a", "helper", "-s", "s") as process:
        clew("run", "-q", "-a", "helper", "-s", "s", "hi")
        clew("state", "-s", "s", "set", "a:=2")
        clew("state", "-s", "s", "unset", "b")
        process.communicate()
    assert [line["session_state"] for line in clew.stored("s")][-1] == {"a": 2}
    clew("sessions", "verify", "-s", "s")


def test_the_state_is_shown_to_the_model_where_the_definition_says_so(
    clew: Clew, model: str
) -> None:
    define(
        clew,
        f"model: {model}\nsystem: Be brief.\nadd_session_state_to_context: true\n"
        "session_state: {n: 0}",
    )
    line = clew("run", "-a", "helper", "--state", '{"n": 1}', "--json", "hi").json
    assert said(line)[0] == 'Be brief.\n\n<session_state>\n{"n": 1}\n</session_state>'


def test_a_model_that_may_change_the_state_is_seen_by_later_tools_the_next_run_and_state(
    clew: Clew,
) -> None:
    change = {"session_state_updates": {"city": "Lyon", "old": None}}
    model = calling(clew, ("update_session_state", change), ("look", {}), ("clew_sees", {}))
    write(clew.cwd / "mine.py", "def look(run_context): return run_context.session_state['city']")
    define(
        clew,
        f"model: {model}\nenable_agentic_state: true\nsystem: '{{city}}'\n"
        "session_state: {old: 1}\n"
        "tools: ['mine:look', {name: clew_sees, run: [clew, state, -q, get, city]}]",
    )
    line = clew("run", "-a", "helper", "-s", "s", "--json", "go").json
    assert [tool["result"] for tool in line["tools"]] == [
        'The session state is now {"city": "Lyon"}',
        "Lyon",
        '"Lyon"',
    ]
    assert clew("state", "-s", "s", "--json").json["session_state"] == {"city": "Lyon"}
    assert said(clew("continue", "-s", "s", "--json", "hi").json)[0] == "Lyon"


def test_what_a_tool_changes_in_the_first_run_goes_over_the_defaults(clew: Clew) -> None:
    updates = {"session_state_updates": {"o": {"y": 2}, "new": 1}}
    model = calling(clew, ("update_session_state", updates))
    define(
        clew,
        f"model: {model}\nenable_agentic_state: true\nsession_state: {{o: {{x: 1, y: 1}}, a: 1}}",
    )
    line = clew("run", "-a", "helper", "--json", "go").json
    assert line["session_state"] == {"o": {"x": 1, "y": 2}, "a": 1, "new": 1}


def test_nothing_of_clew_s_own_gets_into_the_state(clew: Clew) -> None:
    model = calling(clew, ("update_session_state", {"session_state_updates": {"a": 1}}))
    define(
        clew,
        f"model: {model}\nenable_agentic_state: true\nadd_session_state_to_context: true\n"
        "params: {p: 1}",
    )
    line = clew("run", "-a", "helper", "-s", "s", "--json", "go").json
    assert line["session_state"] == {"a": 1}
    assert clew("state", "-s", "s").json == {"a": 1}


def test_a_model_is_offered_the_state_only_where_the_definition_says_so(clew: Clew) -> None:
    model = calling(clew, ("update_session_state", {"session_state_updates": {"a": 1}}))
    define(clew, f"model: {model}")
    clew("run", "-a", "helper", "-s", "s", "go")
    assert clew.stored("s")[0]["session_state"] == {}


# tools


def test_a_definition_s_tools_are_there_again_for_continue_and_t_adds_to_them(clew: Clew) -> None:
    model = calling(clew, ("two", {}), ("one", {}))
    write(clew.cwd / "mine.py", "def one(): return '1'\ndef two(): return '2'")
    define(clew, f"model: {model}\ntools: ['mine:one']")
    clew("run", "-a", "helper", "-t", "mine:two", "-s", "s", "hi")
    line = clew("continue", "-s", "s", "--json", "go").json
    assert [tool["result"] for tool in line["tools"]] == ["2", "1"]
    assert line["options"]["tool"] == ["mine:two"]


def test_a_definition_s_tools_are_described_filled_in_and_those_of_the_call_as_they_are(
    clew: Clew, provider: Provider
) -> None:
    define(
        clew,
        "model: openai/test-model\nparams: {x: 1}\n"
        "tools: [{name: own, run: [echo], description: 'about {x}'}]",
    )
    other = json.dumps({"name": "given", "run": ["echo"], "description": "about {x}"})
    clew("run", "-a", "helper", "-t", other, "hi")
    offered = [tool["function"] for tool in provider.requests[0].body["tools"]]
    described = {tool["name"]: tool["description"] for tool in offered}
    assert described == {"own": "about 1", "given": "about {x}"}


def test_a_pause_is_settled_with_the_tools_of_the_definition(clew: Clew) -> None:
    define(
        clew,
        f"model: {calling(clew, ('say', {}))}\n"
        "tools: [{name: say, run: [echo, ran], requires_confirmation: true}]",
    )
    clew("run", "-a", "helper", "-s", "s", "go", code=6)
    line = clew("continue", "-s", "s", "--confirm", "--json").json
    assert [tool["result"] for tool in line["tools"]] == ["ran"]


# schemas


@pytest.mark.parametrize("schema", ["city str", "{type: object, required: [city]}"])
def test_a_prompt_that_fits_the_input_schema_is_sent_as_it_is(clew: Clew, schema: str) -> None:
    prompt = '{"city": "Lyon"}'
    define(clew, f"model: {clew.recording((prompt, 'ok'))}\ninput_schema: {schema}")
    assert clew("run", "-a", "helper", "--json", prompt).json["input"] == prompt


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("Lyon", "is not JSON"),
        ('{"city": 1}', "the prompt does not fit the input_schema at $.city"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_written(
    clew: Clew, model: str, prompt: str, message: str
) -> None:
    define(clew, f"model: {model}\ninput_schema: city str")
    assert message in clew("run", "-a", "helper", "--run-id", "r", prompt, code=2).err
    assert not (clew.home / "users").exists()


def test_an_answer_is_held_to_the_definition_s_output_schema(clew: Clew) -> None:
    model = clew.recording(("hi", '{"age": 3}'), ("bad", "none"))
    define(clew, f"model: {model}\noutput_schema: age int")
    assert clew("run", "-a", "helper", "hi").json == {"age": 3}
    clew("run", "-a", "helper", "bad", code=4)


def test_a_schema_of_the_call_goes_before_the_definition_s(clew: Clew) -> None:
    define(clew, f"model: {clew.recording(('hi', '3'))}\noutput_schema: age int")
    assert clew("run", "-a", "helper", "--schema", "{}", "hi").json == 3
