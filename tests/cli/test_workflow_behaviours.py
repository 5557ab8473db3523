"""What a workflow does, as the list of behaviours has it: in YAML, by the installed command."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.conftest import Clew, eventually

Json = dict[str, Any]
Flow = Callable[..., Json]


def sh(name: str, script: str, **more: Any) -> Json:
    """A step that a shell does; `$(cat)` is what it is given."""
    return {"name": name, "run": ["sh", "-c", script], **more}


@pytest.fixture
def flow(clew: Clew) -> Flow:
    """Write a workflow of these steps and run it in session `s`; return the line that is stored."""

    def run(*steps: Json, code: int = 0, input: str = "go", verb: str = "run", **keys: Any) -> Json:
        text = yaml.safe_dump({"kind": "workflow", "steps": list(steps), **keys})
        (clew.cwd / "flow.yaml").write_text(text)
        asked = (verb, "-q", "-s", "s", "--workflow", "flow.yaml", "--json", input)
        line: Json = clew(*asked, code=code).json
        assert line == clew.stored("s")[-1]
        clew("sessions", "verify", "s")
        return line

    return run


def statuses(line: Json) -> Json:
    """How each part ended, by its id."""
    found: Json = {}
    parts = list(line["steps"])
    while parts:
        part = parts.pop(0)
        found[part["id"]] = part["status"]
        parts += part["steps"]
    return found


def says(clew: Clew, name: str, *pairs: tuple[str, str]) -> Json:
    """An agent of this name that answers so."""
    (clew.cwd / f"{name}.jsonl").write_text(
        "".join(json.dumps({"input": asked, "content": said}) + "\n" for asked, said in pairs)
    )
    return {"name": name, "agent": {"name": name, "model": f"replay:{name}.jsonl"}}


def test_each_step_gets_the_content_before_it_and_any_may_read_an_earlier_one(flow: Flow) -> None:
    """W1."""
    line = flow(
        sh("one", "echo $(cat) 1"),
        {"name": "box", "steps": [sh("two", "echo $(cat) 2")]},
        sh(
            "three", "cat", input='.steps.one.content + " / " + .steps.two.content + " / " + .input'
        ),
    )
    assert line["content"] == "go 1 / go 1 2 / go"
    assert [step["name"] for step in line["steps"]] == ["one", "box", "three"]


def test_one_run_is_one_record_with_every_step_and_the_runs_of_steps_beside(
    clew: Clew, flow: Flow
) -> None:
    """W2."""
    line = flow(says(clew, "critic", ("GO", "Well done.")) | {"input": '"GO"'}, sh("end", "cat"))
    assert (line["input"], line["content"]) == ("go", "Well done.")
    inner, own = clew.stored("s")
    assert own == line
    assert (inner["run_id"], inner["parent_run_id"]) == (line["steps"][0]["run_id"], line["run_id"])
    asked = [(step["input"], step["content"]) for step in line["steps"]]
    assert asked == [("GO", "Well done."), ("Well done.", "Well done.")]


def test_steps_are_told_the_last_completed_executions_oldest_first(clew: Clew, flow: Flow) -> None:
    """W3."""
    agent = says(clew, "guide", ("a", "A"), ("b", "B"), ("c", "C"))
    keys: Json = {"add_workflow_history_to_steps": True, "num_history_runs": 2}
    for text in ("a", "b"):
        flow(agent, input=text, **keys)
    flow(sh("fails", "exit 3"), input="x", code=1, **keys)
    flow(agent, input="c", **keys)
    [sent] = [run["messages"][0] for run in clew.stored("s") if run["input"] == "c"][:1]
    assert sent["content"] == (
        "<workflow_history_context>\n[Workflow Run-1]\nUser input: a\nWorkflow output: A\n\n"
        "[Workflow Run-2]\nUser input: b\nWorkflow output: B\n\n</workflow_history_context>\n\nc"
    )


def test_with_history_on_and_nothing_stored_all_steps_run(clew: Clew, flow: Flow) -> None:
    """W5."""
    flow(sh("one", "echo 1"), sh("two", "echo $(cat) 2"), add_workflow_history_to_steps=True)
    done = clew("run", "-q", "--no-store", "--workflow", "flow.yaml", "go")
    assert done.out == "1 2\n"


def test_a_failed_step_stops_the_workflow_and_what_was_done_is_kept(flow: Flow) -> None:
    """W6."""
    line = flow(sh("one", "echo done"), sh("two", "exit 3"), sh("three", "cat"), code=1)
    assert (line["status"], line["error"]["kind"], line["exit_code"]) == ("ERROR", "step", 1)
    assert statuses(line) == {"one": "COMPLETED", "two": "ERROR"}
    assert line["steps"][0]["content"] == "done"


def test_a_failed_step_that_may_be_skipped_is_and_its_error_is_never_content(flow: Flow) -> None:
    """W6 and W7."""
    line = flow(sh("one", "echo done"), sh("two", "exit 3", on_error="skip"), sh("three", "cat"))
    assert statuses(line)["two"] == "SKIPPED"
    assert line["steps"][1]["error"]["message"] == "it failed with exit code 3"
    assert (line["content"], line["steps"][2]["input"]) == ("done", "done")


def test_the_error_of_an_agent_is_handed_on_to_nobody(clew: Clew, flow: Flow) -> None:
    """W7."""
    agent = says(clew, "silent", ("what nobody asks", "x")) | {"on_error": "skip"}
    line = flow(sh("one", "echo done"), agent, sh("three", "cat"))
    assert (line["content"], statuses(line)["silent"]) == ("done", "SKIPPED")


def test_a_step_that_stops_ends_the_workflow_also_inside_others(flow: Flow) -> None:
    """W8."""
    enough = sh("enough", "echo enough", stop='.last.content == "enough"')
    inner = {"if": '.input == "go"', "then": [enough, sh("no", "echo no")]}
    line = flow({"name": "box", "steps": [inner]}, sh("never", "echo never"))
    assert (line["status"], line["content"]) == ("COMPLETED", "enough")
    assert not {"never", "box/condition/no"} & statuses(line).keys()


def test_steps_at_once_stand_in_order_and_one_that_fails_hides_no_other(
    clew: Clew, flow: Flow
) -> None:
    """W9."""
    slow = sh("slow", "until [ -e quick ]; do sleep 0.02; done; echo late")
    both = {"name": "both", "parallel": [slow, sh("quick", "touch quick; echo soon")]}
    line = flow(both, sh("all", "cat"))
    assert line["content"] == "## slow\nlate\n\n## quick\nsoon"
    (clew.cwd / "quick").unlink()
    both["parallel"] = [slow, sh("quick", "touch quick; exit 1")]
    line = flow(both, code=1)
    assert statuses(line) == {"both": "ERROR", "both/slow": "COMPLETED", "both/quick": "ERROR"}


@pytest.mark.parametrize(
    ("n", "otherwise", "content"), [(1, True, "then"), (2, True, "else"), (2, False, "go")]
)
def test_a_condition_runs_what_stands_under_it(
    flow: Flow, n: int, otherwise: bool, content: str
) -> None:
    """W11."""
    either: Json = {"name": "c", "if": ".session_state.n == 1", "then": [sh("t", "echo then")]}
    either |= {"else": [sh("e", "echo else")]} if otherwise else {}
    line = flow(either, sh("end", "cat"), session_state={"n": n})
    assert line["content"] == content
    assert statuses(line)["c"] == ("SKIPPED" if content == "go" else "COMPLETED")


@pytest.mark.parametrize(
    ("route", "content"), [(".input", "A"), ('["b", "a"]', "A"), ({"run": ["cat"]}, "A")]
)
def test_a_router_takes_what_its_route_names(flow: Flow, route: Any, content: str) -> None:
    """W13."""
    choices = [sh("a", "echo A"), sh("b", "echo B")]
    assert flow({"router": route, "choices": choices}, input="a")["content"] == content


def test_a_route_to_nowhere_is_told(flow: Flow) -> None:
    """W13."""
    line = flow({"name": "r", "router": ".input", "choices": [sh("a", "echo A")]}, code=1)
    assert line["error"]["message"] == "step 'r' failed: it has no choice 'go'; there are: a"


def test_what_a_step_changes_in_the_state_later_steps_and_the_next_run_see(flow: Flow) -> None:
    """W16."""
    steps = [
        sh("up", "clew state update '.n += 1' > told"),
        {"if": ".session_state.n == 1", "then": [sh("new", "echo new")]},
        sh("n", "cat", input=".session_state.n"),
    ]
    assert (flow(*steps)["content"], flow(*steps)["content"]) == ("1", "2")
    assert "condition/new" not in statuses(flow(*steps))


def test_a_loop_keeps_every_iteration_and_goes_on_from_the_last(flow: Flow) -> None:
    loop = {"name": "l", "loop": [sh("x", "printf '%sx' $(cat)")], "forward": True}
    line = flow(loop | {"until": '.last.content == "goxx"', "max_iterations": 9})
    assert line["content"] == "goxx"
    assert statuses(line) == dict.fromkeys(("l", "l/1", "l/2", "l/1/x", "l/2/x"), "COMPLETED")


@pytest.mark.parametrize(
    ("on_reject", "status", "code"), [("skip", "COMPLETED", 0), ("cancel", "CANCELLED", 1)]
)
def test_a_step_that_waits_is_settled_later_and_what_was_done_is_not_done_again(
    clew: Clew, flow: Flow, on_reject: str, status: str, code: int
) -> None:
    """W17."""
    waits = sh("two", "echo two >> trace", requires_confirmation=True, on_reject=on_reject)
    line = flow(sh("one", "echo one >> trace"), waits, code=6)
    assert [one["tool_name"] for one in line["requirements"]] == ["two"]
    again = clew("continue", "-q", "-s", "s", "--reject", "--json", code=code)
    assert again.json["status"] == status
    assert (clew.cwd / "trace").read_text() == "one\n"


def test_a_confirmed_step_runs_once(clew: Clew, flow: Flow) -> None:
    """W17."""
    waits = sh("two", "echo two >> trace", requires_confirmation=True)
    flow(sh("one", "echo one >> trace"), waits, code=6)
    clew("continue", "-q", "-s", "s", "--confirm")
    assert (clew.cwd / "trace").read_text() == "one\ntwo\n"


def test_a_cancelled_workflow_keeps_what_it_did_and_marks_where_it_was(clew: Clew) -> None:
    """W18."""
    steps = [sh("one", "echo done"), sh("two", "touch begun; sleep 1000"), sh("three", "cat")]
    text = yaml.safe_dump({"kind": "workflow", "steps": steps})
    (clew.cwd / "flow.yaml").write_text(text)
    process = clew.start("run", "-q", "-s", "s", "--workflow", "flow.yaml", "go")
    eventually((clew.cwd / "begun").exists)
    clew("cancel", "-s", "s")
    process.communicate()
    line = clew.stored("s")[-1]
    assert line["status"] == "CANCELLED"
    assert statuses(line) == {"one": "COMPLETED", "two": "CANCELLED"}
    assert line["steps"][0]["content"] == "done"


def test_a_new_input_says_that_an_earlier_one_waited_too_long_and_leaves_it_open(
    clew: Clew, flow: Flow
) -> None:
    waits = sh("two", "cat", requires_confirmation=True, answer_within="0.01s", on_timeout="skip")
    late = flow(sh("one", "cat"), waits, code=6)["run_id"]
    flow(sh("one", "cat"))
    told = clew("continue", "-s", "s", "new").err
    assert f"run {late} waited too long; --resume={late} has it decided: skip" in told
    assert (
        clew("continue", "-q", "-s", "s", f"--resume={late}", "--workflow", "flow.yaml").code == 0
    )
