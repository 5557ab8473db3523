"""Tools that are Python functions, through the Python API and through the command."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from clew.core import Agent
from clew.core.approvals import Settlement
from clew.core.errors import UsageError
from clew.core.invocation import Invocation
from clew.core.limits import Limits
from clew.core.lines import State
from clew.core.python_tool import PythonTool
from clew.core.tool_specs import tools_of
from clew.core.tools import RunContext, ToolSpec
from clew.stores.jsonl import JsonlStore
from clew.stores.memory import MemoryStore
from tests.toolcalls import Json, call, command, ends, needs_proc, record, results, script


def spec(function: Callable[..., Any]) -> ToolSpec:
    return PythonTool(function).spec


def run(tmp_path: Path, tools: list[Any], *turns: list[Json], **options: Any) -> Any:
    """Run with tools on a model that makes these calls; return the line."""
    model = record(tmp_path / "calls.jsonl", *turns)
    agent = Agent(model=model, tools=tools, limits=options.pop("limits", Limits()))
    line = agent.run("go", session_id="s", store=options.pop("store", MemoryStore()), **options)
    return line.line


def told(tmp_path: Path, function: Callable[..., Any], **arguments: Any) -> tuple[str, bool]:
    """What a function gives when a model calls it so, and whether that is an error."""
    (tmp_path / "calls.jsonl").unlink(missing_ok=True)
    line = run(tmp_path, [function], [call(spec(function).name, **arguments)])
    [text] = results(line)
    assert line["status"] == "COMPLETED"
    return text, line["tools"][0]["tool_call_error"]


def out_of_time(tmp_path: Path, tool: Callable[..., None], begun: Event) -> Any:
    """Run until the time is up: with more of it, where the tool has not begun by then."""
    for seconds in (0.5, 5.0, 50.0):
        line = run(tmp_path, [tool], [call("tool")], limits=Limits(seconds=seconds))
        if begun.is_set():
            return line
    pytest.fail("the tool never began")


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    city: str
    at: tuple[float, float] | None = None


def test_a_signature_and_a_docstring_are_what_the_model_gets() -> None:
    def weather(city: str, days: int = 3, unit: Literal["c", "f"] = "c") -> str:
        """Tell the weather.

        It is a guess.
        """
        return ""

    made = spec(weather)
    assert (made.name, made.description) == ("weather", "Tell the weather.\n\nIt is a guess.")
    assert made.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "default": 3},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_a_parameter_may_be_described_and_bounded() -> None:
    def wait(minutes: Annotated[int, Field(description="How long.", ge=1)] = 1) -> None: ...

    described = spec(wait).parameters["properties"]["minutes"]
    assert described == {"type": "integer", "description": "How long.", "minimum": 1, "default": 1}


@pytest.mark.parametrize(
    "name", ["schema", "json", "copy", "model_x", "_private", "validate", "été"]
)
def test_a_parameter_may_have_any_name(
    tmp_path: Path, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    scope: dict[str, Any] = {}
    exec(f"def tool({name}: int): return {name} + 1", scope)
    assert told(tmp_path, scope["tool"], **{name: 1}) == ("2", False)
    assert list(recwarn) == []


def test_defaults_are_the_functions_own(tmp_path: Path) -> None:
    def tool(a: int = 1, b: list[int] = [2], c: str | None = None) -> Any:  # noqa: B006
        return [a, b, c]

    assert told(tmp_path, tool) == ("[1, [2], null]", False)
    assert told(tmp_path, tool, b=[3], c=None) == ("[1, [3], null]", False)


def test_a_default_of_none_may_be_given_as_null(tmp_path: Path) -> None:
    def tool(a: int = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013
        return a

    assert told(tmp_path, tool, a=None) == ("null", False)
    assert told(tmp_path, tool, a=1) == ("1", False)


def test_optional_is_null_or_the_type(tmp_path: Path) -> None:
    def tool(a: Optional[int]) -> Any:  # noqa: UP045
        return [a]

    assert told(tmp_path, tool, a=None) == ("[null]", False)
    assert told(tmp_path, tool, a="x")[1]


def test_objects_come_as_the_types_of_the_signature(tmp_path: Path) -> None:
    def tool(place: Place, unit: Unit) -> str:
        assert isinstance(place, Place)
        return f"{place.city} {place.at} {unit.name}"

    place = {"city": "Lyon", "at": [1, 2]}
    assert told(tmp_path, tool, place=place, unit="kelvin") == ("Lyon (1.0, 2.0) KELVIN", False)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"city": 1}, {"city": "x", "more": 1}, {"city": None}, {"cities": "x"}],
    ids=str,
)
def test_a_function_is_not_called_with_what_does_not_fit(tmp_path: Path, arguments: Json) -> None:
    called: list[str] = []

    def tool(city: str) -> None:
        called.append(city)

    text, failed = told(tmp_path, tool, **arguments)
    assert text.startswith("the arguments do not fit at $")
    assert (failed, called) == (True, [])


def test_what_only_pydantic_finds_wrong_is_told_as_well(tmp_path: Path) -> None:
    from pydantic import AfterValidator

    def even(value: int) -> int:
        if value % 2:
            raise ValueError("it is odd")
        return value

    def tool(n: Annotated[int, AfterValidator(even)]) -> int:
        return n

    text = "the arguments do not fit at n: Value error, it is odd"
    assert told(tmp_path, tool, n=1) == (text, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ä\n", "ä\n"),
        (None, "null"),
        ({"a": [1, True]}, '{"a": [1, true]}'),
        (Place(city="Lyon"), '{"city": "Lyon", "at": null}'),
        (Unit.KELVIN, '"kelvin"'),
        ({1}, "[1]"),
        ("half \ud800", "half \ufffd"),
    ],
    ids=str,
)
def test_text_is_the_result_as_it_is_and_all_else_as_json(
    tmp_path: Path, value: Any, text: str
) -> None:
    def tool() -> Any:
        return value

    assert told(tmp_path, tool) == (text, False)


@pytest.mark.parametrize("lead", range(4))
def test_a_result_that_is_too_long_is_cut_and_that_is_said(tmp_path: Path, lead: int) -> None:
    whole = "a" * lead + "\N{GRINNING FACE}" * 20_000

    def tool() -> str:
        return whole

    text, failed = told(tmp_path, tool)
    kept, _, cut = text.rpartition("\n[cut: ")
    assert not failed and whole.startswith(kept)
    assert 65533 <= len(kept.encode()) <= 65536
    assert cut == f"{len(whole.encode()) - len(kept.encode())} more bytes]"


NAMED = ("CLEW_RUN", "CLEW_SESSION", "CLEW_USER")


def names_of_a_child() -> str:
    """What a command that a function starts is told of the run."""
    program = f"import os; print([os.environ.get(name) for name in {NAMED}])"
    return subprocess.check_output([sys.executable, "-c", program], text=True)


def test_a_command_that_a_function_starts_is_told_which_run_it_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_SESSION", "outer")
    calls = [call("names_of_a_child", "c1"), call("names_of_a_child", "c2")]
    store = JsonlStore(str(tmp_path / "home"))
    line = run(tmp_path, [names_of_a_child], calls, run_id="r1", store=store)
    assert results(line) == ["['r1', 's', 'default']\n"] * 2
    assert [os.environ.get(name) for name in NAMED] == [None, "outer", None]


def test_a_command_that_a_function_starts_is_told_of_no_session_where_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_SESSION", "outer")
    line = run(tmp_path, [names_of_a_child], [call("names_of_a_child")], run_id="r1", store=None)
    assert results(line) == ["['r1', None, 'default']\n"]


def test_of_two_runs_at_once_in_one_process_neither_is_named_to_a_command(tmp_path: Path) -> None:
    seen = []

    def inner() -> str:
        seen.append(names_of_a_child())
        return ""

    def outer() -> str:
        seen.append(names_of_a_child())
        (tmp_path / "inner").mkdir()
        run(tmp_path / "inner", [inner], [call("inner")], run_id="r2")
        seen.append(names_of_a_child())
        return ""

    run(tmp_path, [outer], [call("outer")], run_id="r1")
    named = "['r1', None, 'default']\n"
    assert seen == [named, "[None, None, None]\n", named]


def test_an_async_function_is_waited_for(tmp_path: Path) -> None:
    async def tool(a: int) -> int:
        return a + 1

    assert told(tmp_path, tool, a=1) == ("2", False)


class Odd(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (Odd("half \ud800"), "Odd: half \ufffd"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
    ids=str,
)
def test_what_a_function_raises_is_an_error_that_the_model_reads(
    tmp_path: Path, error: BaseException, text: str
) -> None:
    def tool() -> None:
        raise error

    assert told(tmp_path, tool) == (text, True)


class Raising:
    """A tool of somebody's own, that keeps less than the protocol asks."""

    spec = ToolSpec("own")
    reads_session = False

    def call(self, arguments: Json, context: RunContext) -> str:
        raise LookupError("gone")

    def stop(self) -> None: ...


def test_a_tool_of_ones_own_that_raises_anything_ends_no_run(tmp_path: Path) -> None:
    line = run(tmp_path, [Raising()], [call("own")])
    assert (line["status"], results(line)) == ("COMPLETED", ["LookupError: gone"])


def test_run_context_tells_which_run_it_is_and_is_hidden_from_the_model(tmp_path: Path) -> None:
    seen: list[RunContext] = []

    def tool(a: int, run_context: RunContext) -> None:
        seen.append(run_context)

    model = record(tmp_path / "calls.jsonl", [call("tool", a=1)])
    how = Invocation(
        store=MemoryStore(), session_id="s", user_id="ann", run_id="r", metadata={"job": "7"}
    )
    Agent(model=model, tools=[tool]).invoke("go", how)
    [context] = seen
    assert (context.run_id, context.session_id, context.user_id) == ("r", "s", "ann")
    assert (context.metadata, context.session_state) == ({"job": "7"}, {})
    assert list(spec(tool).parameters["properties"]) == ["a"]


def test_a_change_of_the_state_is_seen_by_later_tools_and_kept(tmp_path: Path) -> None:
    def add(run_context: RunContext) -> Any:
        state = run_context.session_state
        state["n"] = state.get("n", 0) + 1
        return state

    turns = [[call("add", "c1")], [call("add", "c2")]]
    line = run(tmp_path, [add], *turns, session_state={"n": 5, "kept": True})
    assert results(line) == ['{"n": 6, "kept": true}', '{"n": 7, "kept": true}']
    assert line["session_state"] == {"n": 7, "kept": True}
    assert line["state_patch"] == {"n": 7, "kept": True}


def test_calls_at_once_do_not_see_each_others_changes_and_all_are_kept(tmp_path: Path) -> None:
    both = {"a": Event(), "b": Event()}

    def put(key: str, run_context: RunContext) -> Any:
        run_context.session_state[key] = 1
        both[key].set()
        assert all(event.wait(100) for event in both.values())  # both have changed it by now
        return sorted(run_context.session_state)

    line = run(tmp_path, [put], [call("put", "c1", key="a"), call("put", "c2", key="b")])
    assert results(line) == ['["a"]', '["b"]']
    assert line["session_state"] == {"a": 1, "b": 1}


def test_of_two_calls_at_once_that_change_the_same_the_later_call_wins(tmp_path: Path) -> None:
    first_is_done = Event()

    def put(value: int, run_context: RunContext) -> None:
        run_context.session_state["k"] = value
        assert value == 2 or first_is_done.wait(100)
        first_is_done.set()

    line = run(tmp_path, [put], [call("put", "c1", value=1), call("put", "c2", value=2)])
    assert line["session_state"] == {"k": 2}


def test_deleting_from_the_state_stays_so(tmp_path: Path) -> None:
    def drop(run_context: RunContext) -> None:
        del run_context.session_state["a"]

    line = run(tmp_path, [drop], [call("drop")], session_state={"a": 1, "b": None, "c": {"d": 1}})
    assert line["session_state"] == {"c": {"d": 1}}


@pytest.mark.parametrize("bad", [float("nan"), object(), {1, 2}], ids=["nan", "object", "set"])
def test_what_no_state_can_hold_leaves_it_as_it_was(tmp_path: Path, bad: Any) -> None:
    def put(run_context: RunContext) -> str:
        run_context.session_state["bad"] = bad
        return "ok"

    line = run(tmp_path, [put], [call("put")], session_state={"a": 1})
    assert (line["status"], line["session_state"]) == ("COMPLETED", {"a": 1})


def test_a_change_of_the_state_is_kept_when_the_run_fails(tmp_path: Path) -> None:
    def put(run_context: RunContext) -> None:
        run_context.session_state["a"] = 1

    turns = [[call("put", f"c{n}")] for n in range(4)]
    line = run(tmp_path, [put], *turns, limits=Limits(turns=2))
    assert (line["status"], line["session_state"]) == ("ERROR", {"a": 1})
    assert results(line) == ["null", "null"]


def test_a_function_is_not_waited_for_when_the_runs_time_is_up(tmp_path: Path) -> None:
    begun, never = Event(), Event()

    def tool() -> None:
        begun.set()
        never.wait(600)

    line = out_of_time(tmp_path, tool, begun)
    never.set()
    assert (line["exit_code"], line["error"]["kind"]) == (5, "limit")
    assert results(line)[0].startswith("it took longer than ")


def test_what_a_function_does_to_the_state_past_its_time_is_not_taken_over(tmp_path: Path) -> None:
    begun, never = Event(), Event()

    def tool(run_context: RunContext) -> None:
        run_context.session_state["half"] = True
        begun.set()
        never.wait(600)

    line = out_of_time(tmp_path, tool, begun)
    never.set()
    assert results(line)[0].startswith("it took longer than ")
    assert line["session_state"] == {}


def test_what_a_function_prints_goes_to_stderr_while_others_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tool() -> str:
        print("from the tool")
        sys.stdout.write("and more\n")
        return "ok"

    def listen(event: Any) -> None:
        print(event["event"])

    run(tmp_path, [tool], [call("tool")], on_event=listen)
    shown = capsys.readouterr()
    assert "the tool" not in shown.out
    assert "ToolCallStarted\nToolCallCompleted\n" in shown.out
    assert shown.err == "from the tool\nand more\n"


def test_stdout_is_as_it_was_after_a_run_with_tools(tmp_path: Path) -> None:
    before = sys.stdout
    run(tmp_path, [lambda_of("ok")], [call("tool")])
    assert sys.stdout is before


def lambda_of(value: Any) -> Callable[[], Any]:
    def tool() -> Any:
        return value

    return tool


def test_a_function_that_outlives_its_run_still_prints_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, go, done = Event(), Event(), Event()

    def tool() -> None:
        begun.set()
        go.wait(600)
        print("late")
        done.set()

    out_of_time(tmp_path, tool, begun)
    go.set()
    assert done.wait(100)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "late\n")


@pytest.mark.parametrize("source", ["def f(*a): ...", "def f(**a): ...", "def f(a, /): ..."])
def test_a_parameter_without_a_name_for_the_model_is_refused(source: str) -> None:
    scope: dict[str, Any] = {}
    exec(source, scope)
    with pytest.raises(UsageError, match="'a' has no name that a model could use"):
        PythonTool(scope["f"])


def test_a_parameter_of_a_type_without_a_schema_is_refused() -> None:
    def tool(socket: Callable[[], None]) -> None: ...

    with pytest.raises(UsageError, match="no JSON Schema"):
        PythonTool(tool)


def test_two_tools_of_one_name_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(UsageError, match="two tools are called 'tool'"):
        run(tmp_path, [lambda_of(1), lambda_of(2)], [call("tool")], store=store)
    assert not store.session("s", "default").exists()


def test_what_is_no_function_is_no_tool(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 is no function"):
        run(tmp_path, [3], [call("tool")])


def test_state_is_a_copy_of_its_own_for_each_call(tmp_path: Path) -> None:
    states: list[State] = []

    def tool(run_context: RunContext) -> None:
        states.append(run_context.session_state)

    line = run(tmp_path, [tool], [call("tool"), call("tool", "c2")], session_state={"a": {"b": 1}})
    assert states[0]["a"] is not states[1]["a"]
    assert line["session_state"] == {"a": {"b": 1}}


def test_a_function_that_runs_on_while_another_ends_prints_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    has_begun, other_has_ended = Event(), Event()

    def short() -> None:
        assert has_begun.wait(100)

    def long() -> None:
        has_begun.set()
        assert other_has_ended.wait(100)
        print("from the tool")

    def listen(event: Any) -> None:
        if event["event"] == "ToolCallCompleted":
            other_has_ended.set()

    run(tmp_path, [short, long], [call("short"), call("long", "c2")], on_event=listen)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "from the tool\n")


def decided_late(model: str, tool: PythonTool) -> Any:
    """Run with a tool that needs a yes, which comes when the run's time is up."""
    asked = Event()
    for seconds in (0.5, 5.0, 50.0):  # more where the time was up before anybody was asked

        def decide(_requirement: Any, _spec: ToolSpec, late: float = seconds) -> Settlement:
            asked.set()
            Event().wait(late + 0.1)
            return Settlement("confirmed")

        agent = Agent(model=model, tools=[tool], limits=Limits(seconds=seconds))
        run = agent.invoke("go", Invocation(store=MemoryStore(), decide=decide))
        if asked.is_set():
            return run.line
    pytest.fail("nobody was asked")


def test_a_tool_is_not_called_when_the_runs_time_was_up_before(tmp_path: Path) -> None:
    called: list[str] = []
    tool = PythonTool(lambda: called.append("x"), ToolSpec("tool", requires_confirmation=True))
    line = decided_late(record(tmp_path / "calls.jsonl", [call("tool")]), tool)
    assert results(line) == ["the run's time was up before this tool was called"]
    assert (called, line["exit_code"]) == ([], 5)


@needs_proc
def test_a_run_that_is_interrupted_ends_its_commands_and_goes_on_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("gate")
    slow = "echo $$ > pid; echo x > gate; sleep 1000"
    tools = [*tools_of(command("cat", "gate", name="quick")), *tools_of(script(slow, name="slow"))]

    def listen(event: Any) -> None:
        if event["event"] == "ToolCallCompleted":
            raise KeyboardInterrupt

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        calls = [call("quick", "c1"), call("slow", "c2")]
        run(tmp_path, tools, calls, store=store, on_event=listen)
    ends(int(Path("pid").read_text()))
    stored: Any = store.session("s", "default").last()
    assert (stored["status"], results(stored)[0]) == ("CANCELLED", "x")


@needs_proc
def test_a_command_that_has_ended_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, tools_of(command("true")), [call("t", "c1")])
    before = children()  # with the one that watches for all of this process
    run(tmp_path, tools_of(command("true")), [call("t", "c2")], [call("t", "c3")])
    assert children() <= before  # an earlier test's may still end


def children() -> set[str]:
    """The processes that this one has started, and that are still there."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(path.parent.name)
    return found
