"""Tools of MCP servers: a real one, started by clew or reached by HTTP."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_imports import loaded
from tests.conftest import Clew
from tests.provider import Provider
from tests.served import PROGRAM, listening, outcomes, served
from tests.toolcalls import Json, call, calling, command, ends, needs_proc, results

CALLS = {
    "add": call("add", "add", a=40),
    "misfit": call("add", "misfit", a="x"),
    "fail": call("fail", "fail", why="no such thing"),
    "quiet": call("fail_quietly", "quiet"),
    "picture": call("picture", "picture"),
    "mixed": call("mixed", "mixed"),
    "garble": call("garble", "garble"),
    "flood": call("flood", "flood", count=1_000_000),
    "smile": call("smile", "smile", lead=1),
    "data only": call("data", "data only", text="", content={"temperature": 21, "sky": ["blue"]}),
    "data in words": call("data", "data in words", text="sky: blue", content={"sky": "blue"}),
    "data beside": call("data", "data beside", text="It is fine.", content={"temperature": 21}),
    "strange": call("a_b_c", "strange"),
}


@pytest.fixture(scope="module", params=["stdio", "http"])
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Json]]:
    """How the calls ended that one run made, by their names, for each way to reach a server."""
    clew = Clew(tmp_path_factory.mktemp("mcp"))
    if request.param == "stdio":
        made = outcomes(clew, served(), *CALLS.values())
    else:
        with listening(clew.cwd) as (url, _):
            made = outcomes(clew, json.dumps({"mcp": {"url": url}}), *CALLS.values())
    yield {each["tool_call_id"]: each for each in made}


def of(told: dict[str, Json], name: str) -> tuple[str, bool]:
    return told[name]["result"], told[name]["tool_call_error"]


def test_text_is_the_result(told: dict[str, Json]) -> None:
    assert of(told, "add") == ("42", False)


def test_an_error_of_the_tool_is_an_error_of_the_call_in_its_words(told: dict[str, Json]) -> None:
    text, failed = of(told, "fail")
    assert (text.endswith("no such thing"), failed) == (True, True)


def test_an_error_without_words_is_one_too(told: dict[str, Json]) -> None:
    assert of(told, "quiet") == ("the tool failed, and did not say why", True)


def test_arguments_that_do_not_fit_never_reach_the_server(told: dict[str, Json]) -> None:
    text, failed = of(told, "misfit")
    assert failed
    assert text == "the arguments do not fit at $.a: 'x' is not of type 'integer'"


def test_an_image_is_told_of_and_not_sent(told: dict[str, Json]) -> None:
    assert of(told, "picture") == ("[image, image/png, 5 bytes: not shown]", False)


def test_what_is_no_text_is_told_of_in_its_place(told: dict[str, Json]) -> None:
    assert of(told, "mixed")[0].splitlines() == [
        "one",
        "[audio, audio/wav, 2 bytes: not shown]",
        "[file:///a.txt]",
        "in a file",
        "[file:///b.bin, a/b, 3 bytes: not shown]",
        "[link to c: file:///c.txt]",
    ]


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("data only", '{"temperature": 21, "sky": ["blue"]}'),
        ("data in words", "sky: blue"),
        ("data beside", 'It is fine.\n{"temperature": 21}'),
    ],
)
def test_structured_content_is_told_once(told: dict[str, Json], name: str, result: str) -> None:
    assert of(told, name) == (result, False)


def test_a_result_that_is_too_long_is_cut_and_that_is_said(told: dict[str, Json]) -> None:
    assert of(told, "flood") == ("x" * 65536 + "\n[cut: 934464 more bytes]", False)


def test_a_cut_never_splits_a_character(told: dict[str, Json]) -> None:
    kept, _, cut = of(told, "smile")[0].rpartition("\n[cut: ")
    assert kept == "a" + "\N{GRINNING FACE}" * 16383
    assert cut == f"{80_001 - len(kept.encode())} more bytes]"


def test_what_is_no_message_does_not_disturb_the_others(told: dict[str, Json]) -> None:
    assert of(told, "garble") == ("well", False)


def test_a_name_that_no_model_takes_is_made_one(told: dict[str, Json]) -> None:
    assert of(told, "strange") == ("strange", False)


def test_tools_are_listed_with_the_servers_words_and_schemas(clew: Clew) -> None:
    listed = {each["name"]: each for each in clew("tools", "list", "-t", served(), "--json").lines}
    add = listed["add"]
    assert add["description"] == "Add {a} and $b."
    assert add["parameters"]["required"] == ["a"]
    assert add["parameters"]["properties"]["b"] == {"default": 2, "title": "B", "type": "integer"}
    assert add["command"] == f"add of the MCP server {shlex.join(PROGRAM)}"
    (long,) = (name for name in listed if name.startswith("nnn"))
    assert len(long) == 64


def test_a_tool_can_be_called_by_hand(clew: Clew) -> None:
    assert clew("tools", "call", "add", "-t", served(), "a=40", "b=1").out == "41\n"


@pytest.mark.slow
def test_a_prefix_keeps_two_servers_apart(clew: Clew) -> None:
    both = ("-t", served(name="one"), "-t", served(name="two", mcp={"tools": ["add"]}))
    names = {each["name"] for each in clew("tools", "list", *both, "--json").lines}
    assert {"one_add", "one_note", "two_add"} <= names
    assert "two_note" not in names
    assert clew("tools", "call", "two_add", *both, "a=1").out == "3\n"


def test_two_tools_of_one_name_are_refused_before_anything_is_stored(
    clew: Clew, model: str
) -> None:
    only = served(mcp={"tools": ["add"]})
    done = clew("run", "-m", model, "-s", "s", "-t", only, "-t", only, "hi", code=2)
    assert "two tools are called 'add'" in done.err
    assert "`name`" in done.err
    assert not clew.session_file("s").exists()


def test_only_the_tools_that_are_named_are_offered(clew: Clew) -> None:
    only = served(mcp={"tools": ["add", "fail"]})
    assert [each["name"] for each in clew("tools", "list", "-t", only, "--json").lines] == [
        "add",
        "fail",
    ]
    (refused,) = outcomes(clew, only, call("note", text="x"))
    assert refused["result"] == "there is no tool 'note'; the tools are: add, fail"


def test_a_tool_that_the_server_does_not_have_is_found_out_before_the_run(
    clew: Clew, model: str
) -> None:
    wrong = served(mcp={"tools": ["*", {"name": "nota", "requires_confirmation": True}]})
    done = clew("run", "-m", model, "-s", "s", "-t", wrong, "hi", code=2)
    assert "has no tool 'nota'" in done.err
    assert "did you mean note?" in done.err
    assert not clew.session_file("s").exists()


def paused(clew: Clew, tool: str, *calls: Json) -> Json:
    """The line of a run that paused at these calls."""
    model = calling(clew, list(calls))
    line: Json = clew("run", "-q", "-m", model, "-s", "s", "-t", tool, "--json", "go", code=6).json
    return line


def notes(clew: Clew) -> list[str]:
    path = clew.cwd / "notes"
    return path.read_text().splitlines() if path.exists() else []


CONFIRMED = pytest.mark.parametrize(
    "tool",
    [
        served(requires_confirmation=True, mcp={"tools": ["note"]}),
        served(mcp={"tools": ["*", {"name": "note", "requires_confirmation": True}]}),
    ],
    ids=["server", "tool"],
)


@pytest.mark.slow
@CONFIRMED
def test_a_tool_that_needs_a_yes_runs_once_in_the_process_that_says_it(
    clew: Clew, tool: str
) -> None:
    line = paused(clew, tool, call("note", text="a"))
    assert (line["status"], notes(clew)) == ("PAUSED", [])
    assert line["requirements"][0]["tool_name"] == "note"
    done = clew("continue", "-q", "-s", "s", "--confirm", "--json").json
    assert (results(done), notes(clew)) == (["noted"], ["a"])
    again = clew("continue", "-q", "-s", "s", f"--resume={line['run_id']}", "--confirm").out
    assert (again, notes(clew)) == ("done\n", ["a"])
    clew("sessions", "verify", "-s", "s")


def test_a_tool_whose_server_says_that_it_only_reads_needs_a_yes_all_the_same(clew: Clew) -> None:
    paused(clew, served(requires_confirmation=True), call("note", text="a"))
    assert notes(clew) == []
    clew("continue", "-q", "-s", "s", "--reject", "--note", "not now")
    assert notes(clew) == []


def test_only_the_tool_that_is_named_needs_a_yes(clew: Clew) -> None:
    tool = served(mcp={"tools": ["*", {"name": "note", "requires_confirmation": True}]})
    line = paused(clew, tool, call("add", "c1", a=1), call("note", "c2", text="a"))
    assert [each["tool_call_id"] for each in line["tools"]] == ["c1"]
    assert [each["tool_call_id"] for each in line["requirements"]] == ["c2"]


def test_an_argument_can_be_the_users(clew: Clew) -> None:
    tool = served(mcp={"tools": [{"name": "note", "requires_user_input": ["text"]}]})
    line = paused(clew, tool, call("note"))
    assert line["requirements"][0]["fields"][0]["name"] == "text"
    done = clew("continue", "-q", "-s", "s", "--answer", "text=mine", "--json").json
    assert (results(done), notes(clew)) == (["noted"], ["mine"])


def traced(clew: Clew, **more: Any) -> str:
    """A server that leaves a line in the file `starts` for each time that it is started."""
    return served(*PROGRAM, "starts", **more)


def starts(clew: Clew) -> list[int]:
    path = clew.cwd / "starts"
    return [int(each) for each in path.read_text().splitlines()] if path.exists() else []


@needs_proc
def test_a_server_is_started_once_a_run_and_ends_with_it(clew: Clew) -> None:
    first, _, last = outcomes(
        clew, traced(clew), call("pid", "a"), call("add", "b", a=1), call("pid", "c")
    )
    assert starts(clew) == [int(first["result"])] == [int(last["result"])]
    ends(int(first["result"]))


def test_what_only_looks_starts_no_server(clew: Clew, model: str) -> None:
    tool = traced(clew)
    run = ("run", "-q", "-m", model, "-s", "s", "-t", tool, "--run-id", "r1", "hi")
    clew(*run)
    assert len(starts(clew)) == 1
    (clew.cwd / "agent.yaml").write_text(f"tools: [{tool}]\n")
    assert clew(*run).out == "hello\n"
    clew("continue", "-q", "-s", "s", "--resume=r1", code=2)
    clew("continue", "-q", "-s", "s", "--dry-run", "one")
    clew("agents", "validate", "agent.yaml")
    clew("agents", "show", "agent.yaml")
    assert len(starts(clew)) == 1


@pytest.mark.slow
def test_what_was_settled_before_starts_no_server(clew: Clew) -> None:
    line = paused(clew, traced(clew, requires_confirmation=True), call("note", text="a"))
    settle = ("continue", "-q", "-s", "s", f"--resume={line['run_id']}", "--confirm")
    clew(*settle)
    assert len(starts(clew)) == 2
    clew(*settle)
    assert len(starts(clew)) == 2


def test_servers_are_started_all_at_once(clew: Clew) -> None:
    for name in ("a", "b"):
        os.mkfifo(clew.cwd / name)
    start = shlex.join(PROGRAM)  # each waits for the other
    one = served("sh", "-c", f"echo x > a; read -r _ < b; exec {start}", name="one")
    two = served("sh", "-c", f"read -r _ < a; echo x > b; exec {start}", name="two")
    model = calling(clew, [call("one_add", "c1", a=1), call("two_add", "c2", a=2)])
    line = clew("run", "-q", "-m", model, "-t", one, "-t", two, "--json", "go").json
    assert results(line) == ["3", "4"]


def test_a_server_has_the_environment_of_a_command(clew: Clew) -> None:
    clew.env |= {"OPENAI_API_KEY": "CANARY-0123456789", "MY_TOKEN": "t", "COLOUR": "red"}
    options = ("-s", "s", "-u", "ann", "--run-id", "r1")
    calls = (call("where", "a"), call("where", "b", name="OPENAI_API_KEY"))
    plain, key = outcomes(clew, served(), *calls, options=options)
    assert plain["result"].splitlines() == [
        str(clew.cwd),
        f"CLEW_HOME={clew.home}",
        "CLEW_USER=ann",
        "CLEW_SESSION=s",
        "CLEW_RUN=r1",
        "COLOUR=red",
    ]
    assert key["result"] == "(none)"


def test_a_server_gets_variables_of_its_own_and_those_that_are_named(clew: Clew) -> None:
    clew.env |= {"MY_TOKEN": "t", "COLOUR": "red"}
    tool = served(env=["MY_TOKEN"], mcp={"env": {"COLOUR": "blue"}})
    (seen,) = outcomes(clew, tool, call("where"), options=("--no-store",))
    assert {"MY_TOKEN=t", "COLOUR=blue"} <= set(seen["result"].splitlines())


def test_a_server_sees_and_changes_the_state_of_the_session(clew: Clew) -> None:
    calls = (
        call("clew", "a", arguments=["state", "get", "n"]),
        call("clew", "b", arguments=["state", "set", "-q", "n:=2"]),
    )
    seen, _ = outcomes(clew, served(), *calls, options=("-s", "s", "--state", '{"n": 1}'))
    assert seen["result"].startswith("1\n")
    assert clew("state", "get", "-s", "s", "n").out == "2\n"
    clew("sessions", "verify", "-s", "s")


def test_continue_has_the_servers_of_the_run_before(clew: Clew) -> None:
    (clew.cwd / "tools.yaml").write_text(f"- {served()}\n- run: [echo, hello]\n")
    model = calling(clew, [call("add", a=1)])
    calling(clew, [call("add", "c2", a=2), call("echo", "c3")], prompt="again")
    clew("run", "-q", "-m", model, "-s", "s", "-t", "tools.yaml", "go")
    line = clew("continue", "-q", "-s", "s", "--json", "again").json
    assert results(line) == ["4", "hello"]


@pytest.mark.slow
def test_a_provider_is_sent_the_words_of_a_server_as_they_are(
    clew: Clew, provider: Provider
) -> None:
    definition = f"params: {{a: filled}}\ntools: [{served(mcp={'tools': ['add']})}]\n"
    (clew.cwd / "agent.yaml").write_text(definition)
    provider.answer(tool_calls=[call("add", a=40)])
    provider.answer("It is 42.")
    run = ("run", "-q", "-m", "openai/test-model", "-a", "agent.yaml", "--json", "go")
    assert results(clew(*run).json) == ["42"]
    (tool,) = provider.requests[0].body["tools"]
    assert tool["function"]["description"] == "Add {a} and $b."
    assert tool["function"]["parameters"]["required"] == ["a"]


def test_a_server_of_a_definition_is_validated_without_a_start(clew: Clew) -> None:
    text = "tools:\n  - mcp:\n      comand: [x]\n"
    (clew.cwd / "one.yaml").write_text(text)
    done = clew("agents", "validate", "one.yaml", code=2)
    assert "one.yaml:3: tools.0.mcp.comand: there is no such key" in done.err
    assert "did you mean command?" in done.err
    (clew.cwd / "two.yaml").write_text("tools:\n  - mcp:\n      command: [no-such-program]\n")
    done = clew("agents", "validate", "two.yaml", code=2)
    assert "two.yaml:3: tools.0.mcp.command: there is no program 'no-such-program'" in done.err


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ({"mcp": {}}, "has one of command and url"),
        (
            {"mcp": {"command": ["x"], "url": "http://x"}},
            "has one of command and url",
        ),
        ({"mcp": {"url": "x.example"}}, "is no address: it begins with http:// or https://"),
        ({"mcp": {"command": []}}, "mcp.command: "),
        ({"mcp": {"command": ["x"], "tools": []}}, "mcp.tools: "),
        ({"mcp": {"command": ["x"]}, "run": ["x"]}, "a tool has one of run, python, mcp, external"),
        ({"mcp": {"command": ["x"]}, "name": "a b"}, "'a b' is not a tool's name"),
        (
            {"mcp": {"command": ["x"]}, "description": "d"},
            "describes its tools itself",
        ),
        ({"mcp": {"command": ["x"]}, "requires_user_input": ["a"]}, "belongs to one tool"),
    ],
    ids=str,
)
def test_a_server_that_makes_no_sense_is_refused(
    clew: Clew, model: str, tool: Json, told: str
) -> None:
    done = clew("run", "-m", model, "-t", json.dumps(tool), "hi", code=2)
    assert told in done.err


def test_calls_are_told_in_events_as_those_of_other_tools(clew: Clew) -> None:
    model = calling(clew, [call("add", a=1)])
    run = ("run", "-q", "-m", model, "-t", served(), "-o", "stream-json", "go")
    events = [event for event in clew(*run).lines if "tool" in event]
    assert [event["event"] for event in events] == ["ToolCallStarted", "ToolCallCompleted"]
    assert events[1]["tool"]["result"] == "3"


@pytest.mark.slow
def test_a_header_can_hold_a_variable_and_is_shown_nowhere(clew: Clew) -> None:
    with listening(clew.cwd) as (url, _):
        mcp = {"url": f"{url}?key=CANARY-1", "headers": {"Authorization": "Bearer ${MY_TOKEN}"}}
        tool = json.dumps({"mcp": mcp})
        done = clew("tools", "list", "-t", tool, code=78)
        assert "the header 'Authorization' needs $MY_TOKEN, which is not set" in done.err
        clew.env |= {"MY_TOKEN": "CANARY-2-0123456789"}
        shown = clew("tools", "show", "add", "-t", tool)
        assert "CANARY" not in shown.out + shown.err


@pytest.fixture
def without_the_sdk(tmp_path: Path) -> dict[str, str]:
    """An environment in which all is installed but the MCP SDK."""
    import click

    packages = Path(click.__file__).parent.parent
    folder = tmp_path / "packages"
    folder.mkdir()
    for each in packages.iterdir():
        if not each.name.startswith(("mcp", "__pycache__")):
            (folder / each.name).symlink_to(each)
    links = Path(__file__).parent.parent.parent / ".links"
    return {"PYTHONPATH": f"{folder}:{links}"}


def test_without_the_sdk_it_is_said_what_to_install(
    clew: Clew, model: str, without_the_sdk: dict[str, str]
) -> None:
    program = "import sys; from clew.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, "run", "-m", model, "-s", "s", "-t", served(), "hi"],
        env=clew.env | without_the_sdk,
        cwd=clew.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        "clew: tools of MCP servers need the MCP SDK, which is not installed",
        "  hint: install clew with its extra: pipx install 'clew[mcp]'",
    ]
    assert not clew.session_file("s").exists()


def test_other_tools_do_not_load_the_sdk(clew: Clew, model: str) -> None:
    modules = loaded(clew, "run", "-q", "-m", model, "-t", command("true"), "hi")
    assert {"mcp", "mcp_types", "anyio", "httpx2"} & modules == set()
