"""Workflows in files: which there are, what they are, whether they are right."""

import json
import signal
from pathlib import Path

import pytest

from tests.conftest import Clew, eventually
from tests.defined import define, write
from tests.warmth import maker

FLOW = """kind: workflow
description: Find, then count
steps:
- agent: finder
- name: words
  run: [wc, -w]
  stop: .last.content == "0"
- if: .steps.words.content > "9"
  then: [{run: [cat]}]
"""


@pytest.fixture
def flow(clew: Clew) -> Clew:
    """The user has a workflow, and the agent that it names."""
    define(clew, "instructions: Find it.\n", "finder")
    define(clew, FLOW, "flow")
    return clew


def test_workflows_are_listed_among_the_agents_with_their_kind(flow: Clew) -> None:
    rows = [json.loads(line) for line in flow("agents", "list", "--json").out.splitlines()]
    assert [(row["name"], row["kind"], row["error"]) for row in rows] == [
        ("finder", "agent", None),
        ("flow", "workflow", None),
    ]
    assert "flow    Find, then count  " in flow("agents", "list").out


def test_a_workflow_is_shown_with_its_steps_and_what_they_run(flow: Clew) -> None:
    shown = json.loads(flow("agents", "show", "flow", "--json").out)
    finder, words, condition = shown["steps"]
    assert (shown["kind"], shown["num_history_runs"]) == ("workflow", 3)
    assert (finder["name"], finder["agent"]["instructions"]) == ("finder", "Find it.")
    assert words == {"name": "words", "run": ["wc", "-w"], "stop": '.last.content == "0"'}
    assert condition["if"] == '.steps.words.content > "9"'
    assert condition["then"] == [{"name": "cat", "run": ["cat"]}]


def test_every_kind_of_step_is_shown_as_it_was_written(clew: Clew) -> None:
    text = """
steps:
- name: group
  description: Some
  steps:
  - {name: a, run: [cat], timeout: 5.0, env: [MY_KEY], json: true, files: [out]}
- name: both
  parallel:
  - {name: b, run: [cat], input: .input, on_error: skip, retries: 2}
- name: again
  loop:
  - {name: c, python: 'os.path:basename'}
  until: {run: [test, -f, done]}
  max_iterations: 4
  forward: true
- name: way
  router: {python: 'os.path:basename'}
  choices:
  - name: d
    run: [cat]
    requires_confirmation: true
    message: Sure?
    on_reject: cancel
    answer_within: 60.0
    on_timeout: skip
"""
    import yaml

    file = write(clew.cwd / "flow.yaml", f"kind: workflow{text}")
    shown = json.loads(clew("agents", "show", str(file), "--json").out)
    written = yaml.safe_load(text)["steps"]
    written[2]["loop"][0]["python"] = written[3]["router"]["python"] = "posixpath:basename"
    assert shown["steps"] == written


def test_the_graph_of_a_workflow_is_a_mermaid_flowchart(flow: Clew) -> None:
    result = flow("agents", "show", "flow", "--graph")
    lines = result.out.splitlines()
    assert lines[0] == "flowchart TD"
    assert '  n1["finder<br/>agent"]' in lines
    assert "  n1 --> n2" in lines
    assert '  n3 -->|"no"| done' in lines


def test_an_agent_has_no_graph(flow: Clew) -> None:
    result = flow("agents", "show", "finder", "--graph", code=2)
    assert "clew: 'finder' is not a workflow: it has no steps to draw" in result.err


def test_a_good_workflow_is_ok_and_a_wrong_one_tells_every_error(flow: Clew) -> None:
    assert flow("agents", "validate", "flow").out.startswith("ok  ")
    file = define(
        flow,
        "kind: workflow\nsteps:\n- agent: findr\n- {run: [cat], stop: true}\n- {workflow: flow}\n",
        "other",
    )
    result = flow("agents", "validate", "other", code=2)
    assert result.out == ""
    assert f"{file}:3: steps.0.agent: there is no agent 'findr'" in result.err
    assert "did you mean finder" in result.err
    write(file, file.read_text().replace("findr", "finder"))
    result = flow("agents", "validate", code=2)
    assert result.err == (
        f"clew: {file}:5: steps.2: it is never reached: 'cat' always stops the workflow\n"
    )


def test_workflows_that_are_in_each_other_are_told_with_the_way(clew: Clew) -> None:
    define(clew, "kind: workflow\nsteps: [{workflow: two}]", "one")
    define(clew, "kind: workflow\nsteps: [{workflow: one}]", "two")
    result = clew("agents", "validate", "one", code=2)
    assert "a workflow cannot be in itself: one.yaml → two.yaml → one.yaml" in result.err


def test_a_workflow_that_is_a_python_object_is_checked_too(clew: Clew) -> None:
    write(
        clew.cwd / "flows.py",
        "from clew.core import Agent\n"
        "from clew.core.steps import Command, Step\n"
        "from clew.core.workflow import Workflow\n"
        "flow = Workflow(steps=[Step(Command(['cat']), input='.steps.x')])\n"
        "agent = Agent()\n",
    )
    result = clew("agents", "validate", "flows:agent", "flows:flow", code=2)
    assert result.out == "ok  flows:agent\n"
    assert "clew: flows:flow: steps.0.input: there is no step 'x'\n" in result.err
    clew("agents", "validate", "flows:nothing", code=3)
    assert clew("agents", "show", "flows:flow", "--graph").out.startswith("flowchart TD\n")


@pytest.mark.parametrize("option", ["--agent", "--team"])
def test_a_workflow_is_no_agent_and_no_team(flow: Clew, option: str) -> None:
    kind = option.removeprefix("--")
    result = flow("run", option, "flow", "hi", code=2)
    a_kind = {"agent": "an agent", "team": "a team"}[kind]
    assert f"clew: 'flow' is a workflow, not {a_kind}\n" in result.err
    assert "  hint: --workflow flow runs it\n" in result.err


def test_a_workflow_has_no_tools_of_its_own(flow: Clew) -> None:
    result = flow("tools", "list", "-a", "flow", code=2)
    assert "'flow' is a workflow, not an agent or a team" in result.err


def test_the_schema_for_editors_takes_what_validate_takes(flow: Clew) -> None:
    import jsonschema
    import yaml

    schema = json.loads(flow("agents", "schema").out)
    jsonschema.validate(yaml.safe_load(FLOW), schema)
    wrong = yaml.safe_load(FLOW)
    wrong["steps"][0]["agnet"] = "finder"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_an_interrupt_ends_a_run_whose_jq_never_ends(clew: Clew) -> None:
    text = "kind: workflow\nsteps:\n- loop: [{run: [echo, one]}]\n  until: until(false; .)\n"
    write(clew.cwd / "flow.yaml", text)
    process = clew.start("run", "-s", "s", "--workflow", "flow.yaml", "go")

    def is_asked() -> bool:
        tasks = Path(f"/proc/{maker(process)}/task")
        pids = [pid for each in tasks.glob("*/children") for pid in each.read_text().split()]
        return any("jq_worker" in Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)

    eventually(is_asked)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGINT
    (line,) = clew.stored("s")
    assert (line["status"], line["steps"][0]["status"]) == ("CANCELLED", "CANCELLED")
    assert line["steps"][0]["steps"][0]["content"] == "one"
