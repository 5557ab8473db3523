"""What a workflow's file may say, and how its errors are told."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.core.agent import Agent
from clew.core.definition_kinds import definition_schema
from clew.core.definitions import examine, load_file
from clew.core.limits import Budget, Limits
from clew.core.step_names import walk
from clew.core.steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Pause,
    Router,
    Step,
    StepInput,
    Steps,
)
from clew.core.team import Team
from clew.core.workflow import Workflow

Write = Callable[..., str]


def shout(step: StepInput) -> str:
    """A step of the files below."""
    return step.content.upper()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a workflow, or what it names, and returns its path."""

    def write(text: str, name: str = "flow", kind: str = "workflow") -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"kind: {kind}\n{text}")
        return str(path)

    return write


def said(path: str) -> list[str]:
    """Return the errors of a definition, the path of the file left out."""
    return [error.message.replace(path, "FILE") for error in examine(path)[1]]


def loaded(path: str) -> Workflow:
    found = load_file(path)
    assert isinstance(found, Workflow)
    return found


def only(path: str) -> Node:
    (node,) = loaded(path).nodes
    return node


def test_every_key_of_a_workflow_is_what_the_object_has(write: Write) -> None:
    workflow = loaded(
        write(
            "name: research\ndescription: Find\nmodel: replay:x\n"
            "session_state: {n: 0, gone: null}\n"
            "add_workflow_history_to_steps: true\nnum_history_runs: 5\nparams: {city: Lyon}\n"
            "limits: {timeout: 2m}\nbudget: {tokens: 9}\nmetadata: {a: 1}\n"
            "input_schema: name str\nsteps: [{run: [cat]}]"
        )
    )
    assert (workflow.name, workflow.description, workflow.model) == ("research", "Find", "replay:x")
    assert workflow.session_state == {"n": 0}
    assert (workflow.add_workflow_history_to_steps, workflow.num_history_runs) == (True, 5)
    assert (workflow.params, workflow.metadata) == ({"city": "Lyon"}, {"a": 1})
    assert (workflow.limits, workflow.budget) == (Limits(seconds=120), Budget(tokens=9))
    assert (workflow.input_schema or {})["required"] == ["name"]


def test_a_workflow_is_called_as_its_file_unless_it_says_otherwise(write: Write) -> None:
    assert loaded(write("steps: [{run: [cat]}]")).name == "flow"


def test_what_a_file_does_not_say_is_as_the_objects_have_it(write: Write) -> None:
    step = Step(Command(("cat",)))
    nodes: list[Node] = [
        *(step, Steps([step]), Parallel([step]), Condition(".input", [step]), Loop([step])),
        Router(".input", [step]),
    ]
    text = "[{run: [cat]}]"
    path = write(
        "steps:\n- run: [cat]\n"
        f"- steps: {text}\n- parallel: {text}\n- {{if: .input, then: {text}}}\n- loop: {text}\n"
        f"- {{router: .input, choices: {text}}}"
    )
    assert loaded(path) == Workflow(name="flow", steps=nodes)


def test_every_key_of_a_step_is_what_the_object_has(write: Write) -> None:
    path = write(
        """steps:
- name: count
  description: Counts
  run: [wc, -w]
  timeout: 90s
  env: [MY_TOKEN]
  json: true
  files: [out.txt]
  input: .input
  on_error: skip
  retries: 2
  stop: .last.data > 3
  requires_confirmation: true
  requires_review: true
  requires_user_input: 'city str'
  message: Well?
  on_reject: retry
  answer_within: 2h
  on_timeout: skip
- agent: {instructions: Be brief.}
  add_workflow_history: false
  num_history_runs: 0
"""
    )
    counts, told = loaded(path).nodes
    assert isinstance(told, Step)
    assert (told.add_workflow_history, told.num_history_runs) == (False, 0)
    fields = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert counts == Step(
        Command(("wc", "-w"), seconds=90, env=("MY_TOKEN",), json=True, files=("out.txt",)),
        name="count",
        description="Counts",
        input=".input",
        on_error="skip",
        retries=2,
        stop=".last.data > 3",
        pause=Pause(
            confirmation=True,
            review=True,
            user_input={**fields, "additionalProperties": False},
            message="Well?",
            on_reject="retry",
            seconds=7200,
            on_timeout="skip",
        ),
    )


def test_conditions_loops_and_routers_are_what_the_objects_are(write: Write) -> None:
    path = write(
        """steps:
- {if: true, then: [{run: [cat], name: a}]}
- if: {run: ['true'], timeout: 5, env: [A_KEY]}
  then: [{run: [cat], name: b}]
  else: [{run: [cat], name: c}]
- {loop: [{run: [cat], name: d}], until: .last.content, max_iterations: 7, forward: true}
- router:
  choices: [{run: [cat], name: e}]
  message: Which one?
"""
    )
    cat, test = Command(("cat",)), Command(("true",), seconds=5, env=("A_KEY",))
    assert loaded(path).nodes == (
        Condition(True, (Step(cat, name="a"),), name="condition"),
        Condition(test, (Step(cat, name="b"),), (Step(cat, name="c"),), name="condition-2"),
        Loop(
            (Step(cat, name="d"),),
            until=".last.content",
            max_iterations=7,
            forward=True,
            name="loop",
        ),
        Router(None, (Step(cat, name="e"),), pause=Pause(message="Which one?"), name="router"),
    )


def test_functions_are_steps_tests_and_routes(write: Write) -> None:
    here = f"{{python: '{__name__}:shout'}}"
    path = write(
        f"steps:\n- {here}\n- {{if: {here}, then: [{here}]}}\n"
        f"- {{router: {here}, choices: [{here}]}}"
    )
    step, condition, router = loaded(path).nodes
    function: Any = step.does if isinstance(step, Step) else None
    assert (step.name, function.__name__) == ("shout", "shout")
    assert isinstance(condition, Condition)
    assert condition.if_ is function
    assert isinstance(router, Router)
    assert router.route is function


def test_agents_teams_and_workflows_are_found_by_name_file_and_object_or_defined_there(
    write: Write,
) -> None:
    write("instructions: a", "finder", "agent")
    write("members: [finder]", "desk", "team")
    write("steps: [{run: [cat]}]", "report")
    path = write(
        """steps:
- agent: finder
- agent: ./finder.yaml
- agent: docs.examples.greeter:greeter
- {agent: {instructions: b}, name: words}
- {agent: {name: own, instructions: c}}
- team: desk
- team: {members: [finder]}
- workflow: report
- workflow: {steps: [{agent: finder}]}
"""
    )
    does: list[Any] = [node.does for node in loaded(path).nodes if isinstance(node, Step)]
    assert [type(each) for each in does] == [Agent] * 5 + [Team] * 2 + [Workflow] * 2
    assert [each.name for each in does] == [
        *("finder", "finder", "greeter", None, "own", "desk", None, "report", None)
    ]
    assert [node.name for node in loaded(path).nodes] == [
        *("finder", "finder-2", "greeter", "words", "own", "desk", "team", "report", "workflow")
    ]


@pytest.mark.parametrize(
    ("given", "name"), [("finder", "finder"), ("{name: own}", "own"), ("{model: m}", None)]
)
def test_an_agent_that_decides_is_named_or_defined_there(
    write: Write, given: str, name: str | None
) -> None:
    write("instructions: a", "finder", "agent")
    agent = loaded(write(f"agent: {given}\nsteps: [{{run: [cat]}}]")).agent
    assert agent is not None
    assert agent.name == name


def test_a_program_that_an_earlier_step_makes_need_not_be_there_yet(write: Write) -> None:
    path = write("steps: [{run: [cat], name: a}, {run: [build/out]}]")
    assert said(path) == []
    assert len(said(write("steps: [{run: [/nosuch/out]}]"))) == 1


def test_names_are_made_unique_without_an_error(write: Write) -> None:
    path = write("steps:\n- {name: a, run: [cat]}\n- loop: [{name: a, run: [cat]}, {run: [cat]}]")
    assert [node.name for node in walk(loaded(path).nodes)] == ["a", "loop", "a-2", "cat"]


CAT = "{run: [cat]}"
KINDS = "agent, team, workflow, run, python, steps, parallel, if, loop, router"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description: a", "FILE:1: steps is missing"),
        ("steps: []", "FILE:2: steps: there has to be at least one step"),
        (f"stesp: 1\nsteps: [{CAT}]", "FILE:2: stesp: there is no such key"),
        (f"limits: {{max_trns: 1}}\nsteps: [{CAT}]", "FILE:2: limits.max_trns: there is no such k"),
        (f"agent: {{modle: m}}\nsteps: [{CAT}]", "FILE:2: agent.modle: there is no such key"),
        ("steps:\n- finder", "FILE:3: steps.0: a step is a mapping"),
        ("steps:\n- {nme: a}", f"FILE:3: steps.0: a step has one of {KINDS}"),
        ("steps:\n- {run: [cat], agent: a}", "FILE:3: steps.0: a step has one of agent and run"),
        ("steps:\n- run: []", "FILE:3: steps.0.run: a command begins with a program's name"),
        ("steps:\n- run: cat", "FILE:3: steps.0.run: should be a valid list"),
        ("steps:\n- run: [nosuchprogram]", "FILE:3: steps.0.run: there is no program 'nosuch"),
        ("steps:\n- run: [cat]\n  inptu: .", "FILE:4: steps.0.inptu: there is no such key"),
        ("steps:\n- run: [cat]\n  name: a/b", "FILE:4: steps.0.name: 'a/b' is not a step's name"),
        ("steps:\n- run: [cat]\n  retries: -1", "FILE:4: steps.0.retries: should be greater"),
        ("steps:\n- run: [cat]\n  timeout: soon", "FILE:4: steps.0.timeout: 'soon' is not a dur"),
        ("steps:\n- run: [cat]\n  on_error: no", "FILE:4: steps.0.on_error: should be 'fail', 's"),
        ("steps:\n- run: [cat]\n  on_reject: fail", "FILE:4: steps.0.on_reject: should be 'skip'"),
        (f"steps:\n- loop: [{CAT}]\n  input: .", "FILE:4: steps.0.input: there is no such key"),
        (f"steps:\n- loop: [{CAT}]\n  max_iterations: 0", "FILE:4: steps.0.max_iterations: should"),
        ("steps:\n- if: .a\n  then: []", "FILE:4: steps.0.then: there has to be at least one step"),
        ("steps:\n- if: .a", "FILE:3: steps.0: then is missing"),
        (f"steps:\n- if: {{}}\n  then: [{CAT}]", "FILE:3: steps.0.if: run is missing"),
        (f"steps:\n- router: true\n  choices: [{CAT}]", "FILE:3: steps.0.router: should be a val"),
        ("steps:\n- agent: nobody", "FILE:3: steps.0.agent: there is no file "),
        ("steps:\n- agent: json:dumps", "FILE:3: steps.0.agent: 'json:dumps' is a function, not"),
        ("steps:\n- python: nosuch:f", "FILE:3: steps.0.python: cannot load the function 'nosuch"),
        ("steps:\n- python: json:__name__", "FILE:3: steps.0.python: 'json:__name__' is no funct"),
        ("steps:\n- agent: {kind: team}", "FILE:3: steps.0.agent.kind: should be 'agent'"),
        ("steps:\n- agent:\n    modle: m", "FILE:4: steps.0.agent.modle: there is no such key"),
        (
            "steps:\n- steps:\n  - workflow:\n      steps:\n      - {run: [cat], input: '('}",
            "FILE:6: steps.0.steps.0.workflow.steps.0.input: the jq program is wrong: ",
        ),
        (
            f"steps:\n- {CAT}\n- {{run: [cat], input: .steps.ct}}",
            "FILE:4: steps.1.input: there is no step 'ct'",
        ),
        (
            f"steps:\n- {{run: [cat], stop: true}}\n- {CAT}",
            "FILE:4: steps.1: it is never reached: 'cat' always stops the workflow",
        ),
        (
            f"steps:\n- if: 'false'\n  then: [{CAT}]",
            "FILE:4: steps.0.then: it is never reached: the condition never holds",
        ),
        (
            f"steps:\n- router: '\"a\"'\n  choices: [{CAT}]",
            "FILE:3: steps.0.router: there is no choice 'a'",
        ),
        (
            "steps:\n- {run: [cat], requires_user_input: {type: string}}",
            "FILE:3: steps.0.requires_user_input: the schema has to be of type object",
        ),
        (
            "steps:\n- {run: [cat], requires_user_input: city strr}",
            "FILE:3: steps.0.requires_user_input: 'city strr' is not a field",
        ),
    ],
)
def test_an_error_says_file_line_and_key(write: Write, text: str, message: str) -> None:
    (error,) = said(write(text))
    assert error.startswith(message)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("steps: [{run: [cat], tiemout: 3}]", "did you mean timeout?"),
        ("steps: [{if: .a, thn: [], then: [{run: [cat]}]}]", "did you mean then?"),
        ("steps: [{if: .a, then: [{run: [cat]}], esle: []}]", "did you mean else?"),
        ("steps: [{loop: [{run: [cat]}], untl: .a}]", "did you mean until?"),
        ("steps: [{if: {run: [a], evn: []}, then: [{run: [cat]}]}]", "did you mean env?"),
        ("steps: [{team: {members: [{modle: a}]}}]", "did you mean model?"),
        ("steps: [{agent: {tools: [{run: [a], evn: []}]}}]", "did you mean env?"),
        ("steps: [{run: [false]}]", "put it in quotes"),
        ("steps: [{run: [sleep, 1]}]", "put it in quotes"),
        ("modle: a\nsteps: [{run: [cat]}]", "did you mean model?"),
    ],
)
def test_what_was_probably_meant_is_the_hint(write: Write, text: str, hint: str) -> None:
    (error,) = examine(write(text))[1]
    assert error.hint == hint


def test_who_gives_an_agent_steps_is_told_how_a_workflow_begins(write: Write) -> None:
    (error,) = examine(write("steps: [{run: [cat]}]", kind="agent"))[1]
    assert error.hint == "a workflow has it: that says `kind: workflow`"


@pytest.mark.parametrize(
    ("key", "name", "wrong", "hint"),
    [
        ("agent", "desk", "'desk' is a team, not an agent", "write `team: desk`"),
        ("team", "flow2", "'flow2' is a workflow, not a team", "write `workflow: flow2`"),
        ("workflow", "finder", "'finder' is an agent, not a workflow", "write `agent: finder`"),
    ],
)
def test_a_step_that_names_another_kind_is_told_which_key_takes_it(
    write: Write, key: str, name: str, wrong: str, hint: str
) -> None:
    write("instructions: a", "finder", "agent")
    write("members: [finder]", "desk", "team")
    write("steps: [{run: [cat]}]", "flow2")
    (error,) = examine(write(f"steps: [{{{key}: {name}}}]"))[1]
    assert error.message.endswith(wrong)
    assert error.hint == hint


def test_a_workflow_is_no_member_of_a_team(write: Write) -> None:
    write("steps: [{run: [cat]}]", "flow")
    (error,) = said(write("members: [flow]", "desk", "team"))
    assert error.endswith(": members.0: 'flow' is a workflow: a member is an agent or a team")


def test_a_workflow_that_is_in_itself_is_told_with_the_way(write: Write) -> None:
    write("steps:\n- loop: [{workflow: flow}]", "inner")
    path = write("steps: [{workflow: inner}]")
    (error,) = said(path)
    assert error.endswith(
        "inner.yaml:3: steps.0.loop.0.workflow: a workflow cannot be in itself: "
        "flow.yaml → inner.yaml → flow.yaml"
    )
    assert error.startswith("FILE:2: steps.0.workflow: ")


def test_every_error_is_told_in_the_order_of_the_lines(write: Write) -> None:
    path = write(
        """params: {a-b: 1}
steps:
- {run: [cat], name: a/b}
- loop: [{agent: nobody}]
  until: {python: nosuch:f}
session_state: {day: 2026-01-01}
"""
    )
    assert [error.split(":")[1] for error in said(path)] == ["2", "4", "5", "6", "7"]
    path = write("steps:\n- {run: [cat], input: (}\n- {run: [cat], stop: true}\n- {run: [cat]}")
    assert [error.split(":")[1] for error in said(path)] == ["3", "5"]


def test_every_key_of_a_definition_is_described_for_editors() -> None:
    parts = definition_schema()["$defs"]
    assert {"WorkflowDefinition", "CommandStepDefinition", "LoopDefinition"} <= parts.keys()
    for name, part in parts.items():
        for key, described in part["properties"].items():
            assert "description" in described or "$ref" in described, (name, key)
    assert {"if", "then", "else"} <= parts["ConditionDefinition"]["properties"].keys()


def test_an_agents_file_loads_nothing_of_workflows(write: Write) -> None:
    path = write("members: [finder]", "desk", "team")
    write("instructions: a", "finder", "agent")
    script = f"""
import sys
from clew.core.definitions import load_file
load_file({path!r})
assert not {{name for name in sys.modules if "clew.core.workflow" in name}}
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
