"""Tools that are commands: what goes in, what comes out, and what they cannot do."""

import json
import os
import shlex

import pytest

from tests.conftest import Clew
from tests.defined import define
from tests.provider import Provider
from tests.toolcalls import (
    alive,
    call,
    calling,
    command,
    ends,
    needs_proc,
    outcome,
    raw_call,
    results,
    script,
)

MANY = 100_000_000


def test_arguments_come_as_json_on_standard_input(clew: Clew) -> None:
    told, _ = outcome(clew, command("cat"), text='ä "quoted" \n', list=[1, None, {"a": True}])
    assert json.loads(told) == {"text": 'ä "quoted" \n', "list": [1, None, {"a": True}]}


def test_large_arguments_reach_a_command_that_answers_before_it_reads(clew: Clew) -> None:
    told, _ = outcome(clew, script("head -c 200000 /dev/zero; wc -c"), text="x" * 300_000)
    assert "300012" not in told  # it was cut off before: the output's cap
    assert told.endswith(" more bytes]")


def test_arguments_that_a_command_does_not_read_are_no_error(clew: Clew) -> None:
    assert outcome(clew, command("echo", "ok"), text="x" * 300_000) == ("ok", False)


@pytest.mark.parametrize(
    ("printed", "result"), [("a\\n", "a"), ("a\\n\\n", "a\n"), ("a", "a"), ("", ""), ("\\n", "")]
)
def test_the_result_is_stdout_without_its_last_newline(
    clew: Clew, printed: str, result: str
) -> None:
    assert outcome(clew, command("printf", printed)) == (result, False)


def test_no_shell_ever_sees_a_command(clew: Clew) -> None:
    told, _ = outcome(clew, command("printf", "%s|", "$HOME", "*", "a b", "; touch x", "`id`"))
    assert told == "$HOME|*|a b|; touch x|`id`|"
    assert list(clew.cwd.iterdir()) == []


def test_a_command_runs_where_clew_was_called(clew: Clew) -> None:
    assert outcome(clew, command("pwd")) == (str(clew.cwd), False)


def test_an_exit_code_is_an_error_in_the_words_of_stderr(clew: Clew) -> None:
    told, failed = outcome(clew, script("echo out; echo no such city >&2; exit 3"))
    assert (told, failed) == ("it failed with exit code 3: no such city", True)


def test_an_exit_code_without_words_on_stderr_is_told_in_those_of_stdout(clew: Clew) -> None:
    assert outcome(clew, script("echo why; exit 1")) == ("it failed with exit code 1: why", True)


@pytest.mark.parametrize("signum", ["KILL", "TERM", "SEGV"])
def test_death_by_a_signal_is_an_error_that_names_it(clew: Clew, signum: str) -> None:
    told, failed = outcome(clew, script(f"echo last words >&2; kill -{signum} $$"))
    assert (told, failed) == (f"it was ended by SIG{signum}: last words", True)


def test_a_missing_program_is_an_error_of_the_call(clew: Clew) -> None:
    told, failed = outcome(clew, command("/nowhere/program"))
    assert (told, failed) == ("cannot run '/nowhere/program': No such file or directory", True)


def test_a_file_that_is_no_program_is_an_error_of_the_call(clew: Clew) -> None:
    (clew.cwd / "data").write_text("")
    told, failed = outcome(clew, command("./data"))
    assert (told, failed) == ("cannot run './data': Permission denied", True)


@pytest.mark.parametrize("text", ["echo ran", ""])
def test_a_text_that_does_not_say_what_runs_it_is_an_error_and_never_a_script_of_a_shell(
    clew: Clew, text: str
) -> None:
    (clew.cwd / "script").write_text(text)
    (clew.cwd / "script").chmod(0o755)
    told, failed = outcome(clew, command("./script"))
    reason = "it is a text without a line #! that says what runs it"
    assert (told, failed) == (f"cannot run './script': {reason}", True)


def test_a_text_that_says_what_runs_it_is_run(clew: Clew) -> None:
    (clew.cwd / "script").write_text("#!/bin/sh\necho ran")
    (clew.cwd / "script").chmod(0o755)
    assert outcome(clew, command("./script")) == ("ran", False)


@needs_proc
def test_a_time_out_ends_the_command_and_all_that_it_started(clew: Clew) -> None:
    text = "sleep 1000 & echo $! > child; echo $$ > own; wait"
    for seconds in (0.5, 5, 50):  # more where the time was up before both were there
        told, failed = outcome(clew, script(text, timeout=seconds))
        assert (told, failed) == (f"it took longer than {seconds} s and was ended", True)
        if (clew.cwd / "own").exists() and (clew.cwd / "own").read_text().endswith("\n"):
            break
    for name in ("own", "child"):
        ends(int((clew.cwd / name).read_text()))


@needs_proc
def test_what_a_command_leaves_in_the_background_is_not_waited_for_and_ends_with_it(
    clew: Clew,
) -> None:
    told, failed = outcome(clew, script("sleep 1000 & echo $!"))
    assert not failed
    ends(int(told))


@needs_proc
def test_a_child_that_left_the_group_holds_nobody_up_with_its_pipes(clew: Clew) -> None:
    left = "until [ -e left ]; do sleep 0.01; done"
    text = f"exec 3<&0; setsid sh -c 'touch left; exec sleep 1000' <&3 & {left}; echo $!"
    told, failed = outcome(clew, script(text), text="x" * 300_000)
    assert not failed
    assert alive(int(told))
    os.kill(int(told), 9)


def test_a_flood_is_read_to_its_end_and_cut(clew: Clew) -> None:
    told, failed = outcome(clew, script(f"head -c {MANY} /dev/zero | tr '\\0' x"))
    assert (told, failed) == ("x" * 65536 + f"\n[cut: {MANY - 65536} more bytes]", False)


@pytest.mark.parametrize("last", ["the reason", "\N{GRINNING FACE}" * 4 + "reason"])
def test_of_a_flood_on_stderr_the_last_bytes_are_told(clew: Clew, last: str) -> None:
    text = f"head -c {MANY} /dev/zero | tr '\\0' x >&2; echo {last} >&2; exit 1"
    told, failed = outcome(clew, script(text))
    cut, _, said = told.partition("\n")
    assert (failed, said.strip("x")) == (True, last)
    total = MANY + len(last.encode()) + 1
    assert len(said.encode()) == 2000 - 1
    assert cut == f"it failed with exit code 1: [cut: {total - 2000} bytes before this]"


@pytest.mark.parametrize("lead", range(4))
def test_the_last_bytes_of_stderr_never_begin_within_a_character(clew: Clew, lead: int) -> None:
    (clew.cwd / "text").write_text("\N{GRINNING FACE}" * 1000 + "a" * lead)
    told, _ = outcome(clew, script("cat text >&2; exit 1"))
    _, _, said = told.partition("\n")
    assert said == "\N{GRINNING FACE}" * ((2000 - lead) // 4) + "a" * lead
    assert f"[cut: {4000 + lead - len(said.encode())} bytes before this]" in told


@pytest.mark.parametrize("lead", range(4))
def test_a_cut_never_splits_a_character(clew: Clew, lead: int) -> None:
    printed = "a" * lead + "\N{GRINNING FACE}" * 20_000
    (clew.cwd / "text").write_text(printed)
    told, _ = outcome(clew, command("cat", "text"))
    text, _, cut = told.rpartition("\n[cut: ")
    assert printed.startswith(text)
    assert cut == f"{len(printed.encode()) - len(text.encode())} more bytes]"
    assert 65533 <= len(text.encode()) <= 65536


def test_output_of_just_the_longest_length_is_whole(clew: Clew) -> None:
    assert outcome(clew, script("head -c 65536 /dev/zero | tr '\\0' x")) == ("x" * 65536, False)


def test_binary_output_comes_as_text_with_replacement_characters(clew: Clew) -> None:
    told, failed = outcome(clew, command("printf", "a\\377\\000\\303\\n"))
    assert (told, failed) == ("a\ufffd\0\ufffd", False)


def test_binary_output_that_is_cut_loses_nothing_before_the_cut(clew: Clew) -> None:
    told, _ = outcome(clew, script("head -c 100000 /dev/zero | tr '\\0' '\\200'"))
    assert told == "\ufffd" * 65536 + "\n[cut: 34464 more bytes]"


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_CREDENTIAL",
        "SNOWFLAKE_JWT",
        "WATSONX_ZENAPIKEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GITHUB_TOKEN",
        "PGPASSWORD",
        "MYSQL_PWD",
        "my_secret",
    ],
)
def test_a_secret_of_the_environment_is_seen_only_by_a_tool_that_names_it(
    clew: Clew, name: str
) -> None:
    clew.env |= {name: "CANARY-0123456789"}
    assert "CANARY" not in outcome(clew, command("env"))[0]
    assert f"{name}=CANARY-0123456789" in outcome(clew, command("env", env=[name]))[0]


def test_other_variables_are_passed_on(clew: Clew) -> None:
    clew.env |= {"CITY": "Lyon", "KEYBOARD": "dvorak"}
    seen = outcome(clew, command("env"))[0].splitlines()
    assert {"CITY=Lyon", "KEYBOARD=dvorak", f"HOME={clew.env['HOME']}"} <= set(seen)


@needs_proc
def test_a_command_has_no_open_files_but_its_three(clew: Clew) -> None:
    model = calling(clew, [call("t")])
    tool = shlex.quote(command("ls", "/proc/self/fd"))
    run = f"clew run -q -m {model} -s s -t {tool} --json go 8<. 9>open"
    line = clew.shell(run).json
    assert results(line)[0].split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


NAMES = ("CLEW_HOME", "CLEW_STORE", "CLEW_USER", "CLEW_SESSION", "CLEW_RUN")


def names_of(clew: Clew, *options: str) -> dict[str, str]:
    """Which of clew's variables a tool is given."""
    model = calling(clew, [call("t")])
    line = clew(*options, "-q", "-m", model, "-t", command("env"), "--json", "go").json
    pairs = dict(each.split("=", 1) for each in results(line)[0].splitlines() if "=" in each)
    return {name: pairs[name] for name in NAMES if name in pairs}


def test_a_command_is_told_which_run_it_belongs_to(clew: Clew) -> None:
    assert names_of(clew, "run", "-s", "s", "-u", "ann", "--run-id", "r1") == {
        "CLEW_HOME": str(clew.home),
        "CLEW_USER": "ann",
        "CLEW_SESSION": "s",
        "CLEW_RUN": "r1",
    }


def test_a_command_is_told_of_the_store_that_was_asked_for(clew: Clew) -> None:
    given = names_of(clew, "--store", f"jsonl:{clew.cwd}/there", "run", "-s", "s")
    assert given["CLEW_STORE"] == f"jsonl:{clew.cwd}/there"


def test_without_a_store_there_is_no_session_to_be_told_of(clew: Clew) -> None:
    clew.env |= {"CLEW_SESSION": "outer"}
    given = names_of(clew, "run", "--no-store", "--run-id", "r1", "--state", '{"a": 1}')
    assert given == {"CLEW_HOME": str(clew.home), "CLEW_USER": "default", "CLEW_RUN": "r1"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "the arguments are not JSON: "),
        ("[1]", "the arguments are not a JSON object"),
        ('{"a": NaN}', "the arguments are not JSON: NaN is no number"),
        ('{"a": 1e999}', "the arguments holds a number that JSON cannot: inf"),
        ("[" * 100_000, "the arguments are not JSON: "),
        ('{"a":' * 500 + "1" + "}" * 500, "the arguments is nested more than 100 levels deep"),
        ('{"a": "x"}', "the arguments do not fit at $.a: 'x' is not of type 'integer'"),
        ("{}", "the arguments do not fit at $: 'a' is a required property"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_arguments_that_do_not_fit_are_told_to_the_model_and_nothing_is_called(
    clew: Clew, arguments: str, told: str
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    model = calling(clew, [raw_call("t", arguments)])
    tool = command("touch", "called", parameters=schema)
    line = clew("run", "-q", "-m", model, "-t", tool, "--json", "go").json
    assert results(line)[0].startswith(told)
    assert (line["status"], line["tools"][0]["tool_call_error"]) == ("COMPLETED", True)
    assert not (clew.cwd / "called").exists()


@pytest.mark.parametrize(
    ("tool", "arguments", "kept"),
    [
        ("t", '{"a": "x"}', {"a": "x"}),
        ("nobody", '{"a": 1}', {"a": 1}),
        ("t", "[1]", {}),
        ("t", "{", {}),
    ],
)
def test_a_call_that_could_not_be_made_is_kept_with_the_arguments_that_were_written(
    clew: Clew, tool: str, arguments: str, kept: dict[str, object]
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    model = calling(clew, [raw_call(tool, arguments)])
    given = command("true", parameters=schema)
    line = clew("run", "-q", "-m", model, "-t", given, "-s", "s", "--json", "go").json
    [record] = line["tools"]
    assert (record["tool_call_error"], record["tool_args"]) == (True, kept)
    clew("sessions", "verify", "-s", "s")


def test_no_arguments_at_all_are_an_empty_object(clew: Clew) -> None:
    model = calling(clew, [raw_call("t", "")])
    assert results(clew("run", "-q", "-m", model, "-t", command("cat"), "--json", "go").json) == [
        "{}"
    ]


def test_half_characters_in_arguments_are_replaced(clew: Clew) -> None:
    model = calling(clew, [raw_call("t", '{"a": "\\ud800"}')])
    line = clew("run", "-q", "-m", model, "-t", command("cat"), "--json", "go").json
    assert line["tools"][0]["tool_args"] == {"a": "\ufffd"}
    assert [json.loads(told) for told in results(line)] == [{"a": "\ufffd"}]


def test_a_tool_that_does_not_exist_is_told_to_the_model_with_those_that_do(clew: Clew) -> None:
    model = calling(clew, [call("other"), call("t", "c2")])
    line = clew("run", "-q", "-m", model, "-t", command("echo", "ok"), "--json", "go").json
    assert results(line) == ["there is no tool 'other'; the tools are: t", "ok"]
    assert [tool["tool_call_error"] for tool in line["tools"]] == [True, False]


def test_a_call_where_no_tool_was_offered_is_the_providers_fault(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(tool_calls=[call("t", "c1")])
    done = clew("run", "-m", "openai/test-model", "-s", "s", "go", code=69)
    assert "the model called a tool, and none was offered" in done.err
    assert clew.stored("s")[0]["status"] == "ERROR"


def test_a_model_that_calls_tools_for_ever_is_stopped_and_the_work_is_kept(clew: Clew) -> None:
    model = calling(clew, *[[call("t")] for _ in range(50)])
    tool = script("echo x >> made; wc -l < made")
    run = ("run", "-m", model, "-t", tool, "-s", "s", "--max-turns", "3", "--json", "go")
    done = clew(*run, code=5)
    line = done.json
    assert [told.strip() for told in results(line)] == ["1", "2", "3"]
    assert (line["status"], line["exit_code"], line["error"]["kind"]) == ("ERROR", 5, "limit")
    assert line["metrics"]["requests"] == 3
    assert "--max-turns" in done.err


def test_nobody_has_to_set_a_limit_for_that(clew: Clew) -> None:
    model = calling(clew, *[[call("t")] for _ in range(60)])
    run = ("run", "-m", model, "-t", command("true"), "--json", "go")
    assert clew(*run, code=5).json["metrics"]["requests"] == 50


def test_calls_beyond_an_agent_s_limit_are_not_made_and_the_model_is_told(clew: Clew) -> None:
    model = calling(clew, [call("t", "c1"), raw_call("t", "{", "c2"), call("t", "c3")], [call("t")])
    define(clew, f"model: {model}\ntool_call_limit: 1\ntools: [{script('echo x >> made')}]")
    line = clew("run", "-q", "-a", "helper", "--json", "go").json
    beyond = "the limit of 1 tool calls was reached: answer without this one"
    assert results(line)[0] == ""
    assert results(line)[1].startswith("the arguments are not JSON")
    assert results(line)[2:] == [beyond, beyond]
    assert (clew.cwd / "made").read_text() == "x\n"
    assert (line["status"], line["content"]) == ("COMPLETED", "done")


def test_nobody_is_asked_about_calls_beyond_the_limit(clew: Clew) -> None:
    model = calling(clew, [call("t", "c1"), call("t", "c2")])
    tool = command("echo", "yes", requires_confirmation=True)
    define(clew, f"model: {model}\ntool_call_limit: 1\ntools: [{tool}]")
    line = clew("run", "-q", "-a", "helper", "-s", "s", "--json", "go", code=6).json
    assert [one["tool_call_id"] for one in line["requirements"]] == ["c1"]
    line = clew("continue", "-q", "-s", "s", "--confirm", "--json").json
    assert [tool["result"] for tool in line["tools"]] == ["yes"]


def test_calls_of_one_answer_run_at_once_and_are_recorded_in_their_order(clew: Clew) -> None:
    for name in ("a", "b"):
        os.mkfifo(clew.cwd / name)
    first = script("echo from first > a; cat b", name="first")  # each waits for the other
    second = script("cat a; echo from second > b", name="second")
    model = calling(clew, [call("first", "c1"), call("second", "c2")])
    line = clew("run", "-q", "-m", model, "-t", second, "-t", first, "--json", "go").json
    assert results(line) == ["from second", "from first"]
    assert [tool["tool_name"] for tool in line["tools"]] == ["first", "second"]


def test_a_call_that_ends_last_is_recorded_first_if_it_was_made_first(clew: Clew) -> None:
    os.mkfifo(clew.cwd / "gate")
    slow, quick = script("cat gate", name="slow"), script("echo x > gate; echo q", name="quick")
    model = calling(clew, [call("slow", "c1"), call("nothing", "c2"), call("quick", "c3")])
    line = clew("run", "-q", "-m", model, "-t", slow, "-t", quick, "--json", "go").json
    assert [tool["tool_call_id"] for tool in line["tools"]] == ["c1", "c2", "c3"]
    assert [told[:1] for told in results(line)] == ["x", "t", "q"]


def test_continue_has_the_tools_of_the_run_before(clew: Clew) -> None:
    (clew.cwd / "tool.yaml").write_text("name: t\nrun: [echo, from a file]\n")
    model = calling(clew, [call("t")])
    calling(clew, [call("t", "c2"), call("u", "c3")], prompt="again")
    inline = command("echo", "inline", name="u")
    clew("run", "-q", "-m", model, "-s", "s", "-t", "tool.yaml", "-t", inline, "go")
    (clew.cwd / "elsewhere").mkdir()
    there = clew.cwd / "elsewhere"
    line = clew("continue", "-q", "-s", "s", "--json", "again", cwd=there).json
    assert results(line) == ["from a file", "inline"]


def test_an_option_takes_the_place_of_the_tools_of_the_run_before(clew: Clew) -> None:
    model = calling(clew, [call("t")])
    clew("run", "-q", "-m", model, "-s", "s", "-t", command("echo", "1"), "go")
    tool = command("echo", "2", name="u")
    line = clew("continue", "-q", "-s", "s", "-t", tool, "--json", "go").json
    assert results(line) == ["there is no tool 't'; the tools are: u"]


def test_a_replay_of_a_run_with_tools_makes_its_calls_again(clew: Clew) -> None:
    model = calling(clew, [call("t", "c1", n=1)], [call("t", "c2", n=2)])
    tool = script("cat >> made; cat made")
    first = clew("run", "-q", "-m", model, "-s", "s", "-t", tool, "--json", "go").json
    (clew.cwd / "made").unlink()
    again = clew("run", "-q", "-m", "replay:s", "-t", tool, "--json", "go").json
    assert again["messages"] == first["messages"]
    assert results(again) == ['{"n": 1}', '{"n": 1}{"n": 2}']


def test_ids_that_a_model_uses_twice_are_told_apart(clew: Clew) -> None:
    model = calling(clew, [call("t", "c1", n=1), call("t", "c1", n=2)], [call("t", "c1", n=3)])
    line = clew("run", "-q", "-m", model, "-t", command("cat"), "--json", "go").json
    assert results(line) == ['{"n": 1}', '{"n": 2}', '{"n": 3}']
    assert len({tool["tool_call_id"] for tool in line["tools"]}) == 3


def test_words_before_a_call_are_not_the_answer(clew: Clew) -> None:
    model = calling(clew, [call("t")], words="Let me look.")
    done = clew("run", "-q", "-m", model, "-s", "s", "-t", command("echo", "x"), "--stream", "go")
    assert done.out == "done\n"
    said = [message["content"] for message in clew.stored("s")[0]["messages"]]
    assert said == ["go", "Let me look.", "x", "done"]


def test_a_session_with_tools_is_clean_and_fits_the_schema(clew: Clew) -> None:
    from jsonschema import Draft202012Validator

    model = calling(clew, [call("t"), call("none", "c2")], [raw_call("t", "{", "c3")])
    run = ("run", "-q", "-m", model, "-s", "s", "-t", script("clew state set a=1"), "go")
    clew(*run, "--state", '{"b": 2}')
    clew("continue", "-q", "-s", "s", "--max-turns", "1", "go", code=5)
    clew("sessions", "verify", "-s", "s")
    validator = Draft202012Validator(clew("schema", "line").json)
    stored = clew.stored("s")
    assert [error.message for line in stored for error in validator.iter_errors(line)] == []
    assert stored[-1]["session_state"] == {"b": 2, "a": "1"}
