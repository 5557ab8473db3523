"""What steps are given and hand on, in Python: chains, conditions, loops, routes, steps at once."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent, Team
from clew.core.errors import UsageError
from clew.core.steps import (
    Command,
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
)
from clew.core.store import Store
from clew.core.tools import RunContext
from clew.core.workflow import Workflow
from tests.workflows import (
    Told,
    adds,
    content,
    contents,
    fails,
    ran,
    says,
    sh,
    statuses,
    step,
)


def upper(given: StepInput) -> str:
    return given.content.upper()


def test_each_step_gets_what_the_one_before_has_come_to(store: Store) -> None:
    """W1."""
    model = Told()
    line = ran(store, upper, Agent(model, name="asked"), Step(Command(["wc", "-c"])), content)
    assert line["status"] == "COMPLETED"
    assert [record["name"] for record in line["steps"]] == ["upper", "asked", "wc", "content"]
    kinds = [record["kind"] for record in line["steps"]]
    assert kinds == ["function", "agent", "command", "function"]
    assert [record["content"] for record in line["steps"]] == ["GO", "<GO>", "4", "4"]
    assert line["content"] == "4"
    assert model.asked == ["GO"]


def test_one_function_is_a_whole_workflow(store: Store) -> None:
    line = Workflow(steps=upper, name="w").run("go", session_id="s", store=store).line
    assert (line["content"], [record["name"] for record in line["steps"]]) == ("GO", ["upper"])


def test_an_async_function_is_waited_for(store: Store) -> None:
    async def later(given: StepInput) -> str:
        await asyncio.sleep(0)
        return f"{given.content} later"

    assert ran(store, later)["content"] == "go later"


def test_a_step_reads_any_earlier_one_by_name_also_inside_containers(store: Store) -> None:
    """W1."""

    def reads(given: StepInput) -> str:
        return f"{given.content_of('deep')} {given.content_of('first')} {given.content_of('no')}"

    line = ran(
        store,
        Step(says("one"), name="first"),
        Steps([Condition("true", [Step(says("two"), name="deep")])], name="group"),
        says("three"),
        reads,
        Step(says(""), name="jq", input='.steps.deep.content + .steps["first"].content'),
    )
    assert line["steps"][3]["content"] == "two one None"
    assert step(line, "jq")["input"] == "twoone"


def test_one_run_is_one_line_with_the_runs_of_its_steps_before_it(store: Store) -> None:
    """W2."""
    line = ran(store, Agent(Told("one"), name="a"), Agent(Told("two"), name="b"))
    lines = list(store.session("s", "default").lines())
    runs = [each for each in lines if each["type"] == "run"]
    assert [each["name"] for each in runs] == ["a", "b", "w"]
    assert [each["parent_run_id"] for each in runs] == [line["run_id"], line["run_id"], None]
    assert [record["run_id"] for record in line["steps"]] == [each["run_id"] for each in runs[:2]]
    assert line["input"] == "go" and line["kind"] == "workflow"
    assert [message["content"] for message in line["messages"]] == ["go", "two"]
    assert line["metrics"]["total_tokens"] == 0
    assert line["total_metrics"]["total_tokens"] == 6
    assert line["steps"][0]["metrics"] and line["steps"][0]["metrics"]["total_tokens"] == 3
    assert line["session_metrics"]["total_tokens"] == 6
    assert line["session_metrics"]["runs"] == 1


def test_without_a_store_all_steps_run_all_the_same() -> None:
    """W5."""
    model = Told()
    line = ran(
        None,
        Step(Agent(model, name="a"), add_workflow_history=True),
        adds("n"),
        Step(adds("n"), name="again"),
        Step(Command(["cat"])),
        add_workflow_history_to_steps=True,
    )
    assert (line["status"], line["content"], line["seq"]) == ("COMPLETED", "n 2", None)
    assert line["session_state"] == {"n": 2}
    assert model.asked == ["go"]


def test_an_agent_without_a_model_asks_the_workflow_s() -> None:
    model = Told("here")
    assert ran(None, Agent(name="a"), model=model)["content"] == "here"
    assert ran(None, Agent(name="a"), model=model)["model"] == "told"


def test_a_team_and_a_workflow_are_steps_too(store: Store) -> None:
    leader = Team(Told("led"), name="team", members=[Agent(Told(), name="m")], mode="broadcast")
    inner = Workflow(name="inner", steps=[Agent(Told(), name="deep"), upper])
    line = ran(store, leader, inner, content)
    assert [record["kind"] for record in line["steps"]] == ["team", "workflow", "function"]
    assert line["content"] == "<LED>"
    runs = [each for each in store.session("s", "default").lines() if each["type"] == "run"]
    assert [each["name"] for each in runs] == ["m", "team", "deep", "inner", "w"]
    assert {each["root_run_id"] for each in runs[:-1]} == {line["run_id"]}
    assert runs[2]["parent_run_id"] == runs[3]["run_id"]


def test_what_a_step_is_given_can_be_said_by_jq(store: Store) -> None:
    text = "{a: .input, b: .last.content, c: .params.tone, d: .session_state.n}"
    line = ran(
        store,
        Step(says("one"), name="one"),
        Step(content, name="two", input=text),
        params={"tone": "dry"},
        session_state={"n": 3},
    )
    assert line["content"] == '{"a": "go", "b": "one", "c": "dry", "d": 3}'


def test_data_goes_from_step_to_step(store: Store) -> None:
    def counts(given: StepInput) -> dict[str, Any]:
        assert given.last is not None
        return {"n": given.last["data"]["n"] + 1}

    line = ran(
        store,
        Step(Command(["echo", '{"n": 1}'], json=True)),
        counts,
        Agent(Told('{"n": 3}'), name="a", output_schema={"type": "object"}),
        Step(counts, name="last"),
    )
    assert [record["data"] for record in line["steps"]] == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
    assert (line["data"], line["content"]) == ({"n": 4}, '{"n": 4}')


def test_files_go_from_step_to_step_and_into_models(store: Store, tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + b"0" * 20
    model = Told("seen")

    def names(given: StepInput) -> str:
        return " ".join(str(file.record["name"]) for file in given.files)

    line = ran(
        store,
        Step(draws(tmp_path, picture)),
        names,
        Step(draws(tmp_path, picture), name="again"),
        Agent(model, name="a"),
    )
    assert line["status"] == "COMPLETED", line["error"]
    assert [file["name"] for file in line["steps"][0]["files"]] == ["out.png"]
    assert "out.png" in line["steps"][1]["content"]
    assert model.sent[0][-1]["attachments"][0]["name"] == "out.png"


def draws(folder: Path, picture: bytes) -> Command:
    (folder / "picture").write_bytes(picture)
    path = str(folder / "out.png")
    return sh('cp "$1" "$2"; echo drawn', str(folder / "picture"), path, files=[path])


def test_steps_at_once_are_joined_in_the_order_in_which_they_stand(store: Store) -> None:
    """W9."""
    second = threading.Event()

    def slow(given: StepInput) -> str:
        assert second.wait(30)
        return f"slow {given.content}"

    def quick(given: StepInput) -> str:
        second.set()
        return f"quick {given.content}"

    def reads(given: StepInput) -> str:
        return f"{given.content_of('quick')}, {given.content_of('slow')}"

    line = ran(store, Parallel([Step(slow), Step(quick)], name="both"), reads)
    assert line["steps"][0]["content"] == "## slow\nslow go\n\n## quick\nquick go"
    assert [record["name"] for record in line["steps"][0]["steps"]] == ["slow", "quick"]
    assert line["content"] == "quick go, slow go"


def test_a_branch_that_fails_hides_no_other(store: Store) -> None:
    """W9."""
    line = ran(store, Parallel([Step(fails), Step(says("fine"), name="ok")], name="p"), says("no"))
    assert (line["status"], line["exit_code"]) == ("ERROR", 1)
    assert statuses(line) == {"p": "ERROR", "p/fails": "ERROR", "p/ok": "COMPLETED"}
    assert contents(line)["p/ok"] == "fine"
    assert "paper" in line["error"]["message"] if line["error"] else False


def test_runs_at_once_are_listed_as_their_lines_stand(store: Store) -> None:
    gate = threading.Barrier(4)

    def waits(_request: Any) -> str:
        gate.wait(30)
        return "x"

    agents = [Step(Agent(Told(waits), name=f"a{n}")) for n in range(4)]
    line = ran(store, Parallel(agents, name="p"))
    runs = [each for each in store.session("s", "default").lines() if each["type"] == "run"]
    assert [one["run_id"] for one in line["members"]] == [each["run_id"] for each in runs[:-1]]
    assert line["total_metrics"]["total_tokens"] == 12


@pytest.mark.parametrize(
    ("test", "chosen"),
    [
        ('.last.content == "x"', "then"),
        ('.input == "other"', "else"),
        (True, "then"),
        (False, "else"),
        (Command(["true"]), "then"),
        (Command(["false"]), "else"),
        (Command(["grep", "-q", "x"]), "then"),
        (lambda given: given.content == "x", "then"),
        (lambda given: False, "else"),
    ],
)
def test_a_condition_takes_one_of_two_ways(store: Store, test: Any, chosen: str) -> None:
    """W11."""
    either = Condition(test, [Step(says("yes"))], [Step(says("no"))], name="c")
    line = ran(store, says("x"), either)
    assert line["content"] == {"then": "yes", "else": "no"}[chosen]
    assert step(line, "c")["chosen"] == [chosen]
    assert len(step(line, "c")["steps"]) == 1


def test_a_condition_that_does_not_hold_hands_on_what_it_was_given(store: Store) -> None:
    """W11."""
    line = ran(store, says("x"), Condition("false", [Step(says("yes"))], name="c"), content)
    assert (line["content"], step(line, "c")["status"]) == ("x", "SKIPPED")


def test_a_condition_that_cannot_be_told_fails_the_run_by_name(store: Store) -> None:
    for test in (".input + 1", Command(["sh", "-c", "exit 3"]), fails, Command(["./nowhere"])):
        line = ran(store, Condition(test, [Step(says("yes"))], name="gate"))
        assert line["status"] == "ERROR" and line["error"] is not None
        assert line["error"]["message"].startswith("step 'gate' failed: ")
        assert line["error"]["kind"] == "step"


@pytest.mark.parametrize("forward", [False, True])
def test_a_loop_ends_when_its_condition_holds(store: Store, forward: bool) -> None:
    def longer(given: StepInput) -> str:
        return given.content + "."

    until = ".last.content | length >= 4" if forward else ".session_state.n == 2"
    loop = Loop([Step(adds("n")), Step(longer, input=".last.content")], until=until, name="l")
    line = ran(store, Loop([Step(longer)], until=until, forward=forward, name="l"), adds("n"))
    if forward:
        assert contents(line)["l"] == "go.."
        assert step(line, "l")["iterations"] == 2
        assert step(line, "l/2/longer")["input"] == "go."
    else:
        assert step(line, "l")["iterations"] == 3
        assert contents(line)["l"] == "go."
    assert loop.forward is False


def test_a_loop_keeps_every_iteration(store: Store) -> None:
    line = ran(store, Loop([Step(adds("n"), name="count")], name="l", max_iterations=4))
    assert [record["id"] for record in step(line, "l")["steps"]] == [f"l/{n}" for n in range(1, 5)]
    assert [contents(line)[f"l/{n}/count"] for n in range(1, 5)] == ["n 1", "n 2", "n 3", "n 4"]
    assert {record["kind"] for record in step(line, "l")["steps"]} == {"iteration"}
    assert "moved" not in step(line, "l")


@pytest.mark.parametrize(
    ("route", "chosen"),
    [
        ('"a"', ["a"]),
        ('["b", "a"]', ["b", "a"]),
        ('if .input == "go" then "b" else "a" end', ["b"]),
        (Command(["echo", "b"]), ["b"]),
        (Command(["printf", "a\\nb\\n"]), ["a", "b"]),
        (lambda given: "a", ["a"]),
        (lambda given: ["a", "b"], ["a", "b"]),
    ],
)
def test_a_router_takes_what_its_route_names(store: Store, route: Any, chosen: list[str]) -> None:
    """W13."""
    choices = [Step(says("one"), name="a"), Step(says("two"), name="b")]
    line = ran(store, Router(route, choices, name="r"))
    assert step(line, "r")["chosen"] == chosen
    assert [record["name"] for record in step(line, "r")["steps"]] == chosen
    assert line["content"] == {"a": "one", "b": "two"}[chosen[-1]]


def test_a_route_to_nowhere_is_told(store: Store) -> None:
    """W13."""
    for route in (".input", "7", Command(["echo", "c"]), Command(["false"]), fails):
        line = ran(store, Router(route, [Step(says("one"), name="a")], name="r"))
        assert line["status"] == "ERROR" and line["error"] is not None
        assert line["error"]["message"].startswith("step 'r' failed"), line["error"]
        assert statuses(line) == {"r": "ERROR"}
    line = ran(store, Router(".input", [Step(says("one"), name="a")], name="r"))
    assert line["error"] is not None and "'go'" in line["error"]["message"]


def test_a_router_that_names_nothing_hands_on_what_it_was_given(store: Store) -> None:
    line = ran(store, says("x"), Router("[]", [Step(says("one"), name="a")], name="r"), content)
    assert (line["content"], step(line, "r")["status"]) == ("x", "SKIPPED")


@pytest.mark.parametrize(
    "stops",
    [
        Step(says("enough"), stop=True, name="s"),
        Step(says("enough"), stop='.last.content == "enough"', name="s"),
        Step(lambda _: StepOutput("enough", stop=True), name="s"),
    ],
)
@pytest.mark.parametrize("held", ["alone", "steps", "condition", "loop", "router", "parallel"])
def test_a_step_that_stops_ends_the_workflow_with_its_content(
    store: Store, stops: Step, held: str
) -> None:
    """W8."""
    after = Step(says("too late"), name="after")
    inside: dict[str, Any] = {
        "alone": stops,
        "steps": Steps([stops, after], name="h"),
        "condition": Condition("true", [stops, after], name="h"),
        "loop": Loop([stops, after], name="h"),
        "router": Router('["s", "after"]', [stops, after], name="h"),
        "parallel": Parallel([stops], name="h"),
    }
    line = ran(store, says("x"), inside[held], says("too late"))
    assert (line["status"], line["exit_code"]) == ("COMPLETED", 0)
    assert line["content"] == ("## s\nenough" if held == "parallel" else "enough")
    assert "too late" not in contents(line).values()
    assert set(statuses(line).values()) == {"COMPLETED"}
    stopped = [record["id"] for record in line["steps"] if record.get("stop")]
    assert stopped == ["s" if held == "alone" else "h"]


def test_a_branch_that_stops_is_called_by_its_own_name(store: Store) -> None:
    group = Steps([Step(says("x"), stop=True, name="inner")], name="group")
    line = ran(store, Parallel([group, Step(says("y"), name="other")], name="p"), says("late"))
    assert line["content"] == "## group\nx\n\n## other\ny"


def test_a_condition_on_a_stop_that_does_not_hold_lets_the_workflow_go_on(store: Store) -> None:
    assert ran(store, Step(says("a"), stop='.last.content == "b"'), says("c"))["content"] == "c"


def test_a_function_may_have_the_context_of_its_run(store: Store) -> None:
    def who(given: StepInput, run_context: RunContext) -> str:
        return f"{run_context.run_id} {run_context.user_id} {run_context.session_id}"

    line = ran(store, who)
    assert line["content"] == f"{line['run_id']} default s"


def test_commands_know_run_session_and_step(store: Store) -> None:
    line = ran(store, Steps([Step(sh('echo "$CLEW_RUN $CLEW_STEP"'), name="c")], name="g"))
    assert line["content"] == f"{line['run_id']} g/c"


def test_a_workflow_needs_steps() -> None:
    with pytest.raises(UsageError):
        Workflow(steps=[])


def test_what_stands_for_a_step_does_so_in_every_part(store: Store) -> None:
    held: Any = [content]
    loop = Loop(held, max_iterations=1)
    parts = [Steps(held), Parallel(held), Condition(True, held, held), loop]
    line = ran(store, *parts, Router('"content-6"', held))
    assert (line["status"], line["error"]) == ("COMPLETED", None)
