"""What is shown of a workflow while it goes on: on a terminal, in notes, and in events."""

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Clew
from tests.flows import flows
from tests.provider import Provider
from tests.terminal import Person, screen

Json = dict[str, Any]
Sits = Callable[..., Person]
WAITING = "while [ ! -e go ]; do sleep 0.05; done; echo found"
SEVERAL = """
several = Workflow(steps=[
    Condition("true", [sh("tr a-z A-Z", "loud")], name="which"),
    Loop([sh("rev", "turn")], max_iterations=2, name="again"),
    Router('"right"', [sh("cat", "left"), sh("cat", "right")], name="way"),
    Steps([Parallel([sh("cat", "one"), sh("rev", "two")], name="both")], name="all"),
    sh("false", "bad", on_error="skip"),
    sh("wc -c", "last"),
])
"""


@pytest.fixture
def sits(clew: Clew) -> Iterator[Sits]:
    """Have a person at a terminal run the workflow `flows:it`."""
    people: list[Person] = []
    clew.env["TERM"] = "xterm"

    def start(steps: str, *options: str, **more: Any) -> Person:
        flows(clew, f"it = Workflow(steps=[{steps}])")
        people.append(
            Person(clew, "run", "-s", "s", "--workflow", "flows:it", *options, "go", **more)
        )
        return people[-1]

    yield start
    for person in people:
        person.leave()


def let_go(clew: Clew) -> None:
    (clew.cwd / "go").touch()


def left(person: Person) -> list[str]:
    """What is on the screen after the end, without the times and the session's name."""
    code, shown = person.end()
    assert code == 0, shown
    lines = [line for line in screen(shown) if not line.startswith("clew: session ")]
    return [re.sub(r"\(\d+\.\d s", "(TIME", line) for line in lines]


def events(clew: Clew, text: str, code: int = 0) -> list[Json]:
    flows(clew, text)
    run = ("run", "-q", "-s", "s", "-o", "stream-json", "--workflow", "flows:several", "go")
    return clew(*run, code=code).lines


def test_the_step_that_runs_is_shown_with_its_time_and_each_that_ended_leaves_a_line(
    clew: Clew, sits: Sits
) -> None:
    person = sits(
        f"sh('rev', 'first'), sh({WAITING!r}, 'second'), sh('false', 'third', on_error='skip')"
    )
    person.draws("second")
    let_go(clew)
    assert left(person) == [
        "clew: first is done (TIME): og",
        "clew: second is done (TIME): found",
        "clew: third was skipped (TIME): it failed with exit code 1",
        "found",
    ]


def test_steps_that_run_at_once_are_shown_side_by_side(clew: Clew, sits: Sits) -> None:
    person = sits(f"Parallel([sh({WAITING!r}, 'a'), sh({WAITING!r}, 'b')], name='both')")
    person.draws("both/a 1 s · both/b")
    let_go(clew)
    assert "clew: both/a is done (TIME): found" in left(person)


def test_what_a_step_says_is_shown_as_it_comes_and_only_the_answer_stays(
    clew: Clew, sits: Sits, provider: Provider
) -> None:
    gate = threading.Event()
    provider.answer("hello there", gate=gate)
    person = sits("Step(Agent(), name='talk'), sh('rev', 'back')", "-m", "openai/test-model")
    person.draws("talk: …hello")
    gate.set()
    lines = left(person)
    assert [re.sub(r"\d+ tokens", "N tokens", line) for line in lines] == [
        "clew: talk is done (TIME, N tokens): hello there",
        "clew: back is done (TIME): ereht olleh",
        "ereht olleh",
    ]


def test_of_many_iterations_the_first_leave_lines_and_the_loop_one(clew: Clew, sits: Sits) -> None:
    person = sits("Loop([sh('cat', 'turn')], max_iterations=15, name='many')")
    lines = left(person)
    turns = [f"clew: many/{number}/turn is done (TIME): go" for number in range(1, 11)]
    assert lines[:10] == turns
    assert re.fullmatch(r"clew: many is done \(15 times, \d+\.\d s\)", lines[10])
    assert lines[11:] == ["go"]


def test_a_member_of_a_team_in_a_step_is_named_with_the_step(clew: Clew) -> None:
    flows(
        clew,
        f"""
        ann = Agent(name="ann", model={clew.recording(("go", "I, Ann."), name="ann")!r})
        crew = Team(name="crew", members=[ann], mode="broadcast",
                    model={clew.recording(("go", "All."), name="crew")!r})
        it = Workflow(steps=[Step(crew, name="ask")])
        """,
    )
    notes = clew("run", "-v", "--workflow", "flows:it", "go", code=None).err
    assert re.search(r"clew: ask/ann is done \(\d\.\d s, \d+ tokens\): I, Ann\.\n", notes)


def test_nothing_is_said_of_steps_where_nobody_watches(clew: Clew) -> None:
    flows(clew, SEVERAL)
    ran = clew("run", "-s", "s", "--workflow", "flows:several", "go")
    assert ran.err == "clew: session s\n"


def test_with_v_each_step_is_told_when_it_begins_and_when_it_ends(clew: Clew) -> None:
    flows(clew, SEVERAL)
    notes = clew("run", "-v", "-s", "s", "--workflow", "flows:several", "go").err
    told = re.sub(r"\d\.\d s", "TIME", notes)
    assert "clew: which/loud begins\nclew: which/loud is done (TIME): GO\n" in told
    assert "clew: again/2/turn begins\nclew: again/2/turn is done (TIME): OG\n" in told
    assert "clew: bad was skipped (TIME): it failed with exit code 1\n" in told


def test_the_events_of_a_workflow_are_in_agnos_words_and_in_order(clew: Clew) -> None:
    found = events(clew, SEVERAL)
    words = [event["event"] for event in found]
    parallel = words.index("ParallelExecutionStarted")
    at_once = sorted(words[parallel + 1 : parallel + 5])
    assert words[: parallel + 1] + at_once + words[parallel + 5 :] == [
        "WorkflowStarted",
        *("ConditionExecutionStarted", "StepStarted", "StepCompleted"),
        "ConditionExecutionCompleted",
        "LoopExecutionStarted",
        *("LoopIterationStarted", "StepStarted", "StepCompleted", "LoopIterationCompleted") * 2,
        "LoopExecutionCompleted",
        *("RouterExecutionStarted", "StepStarted", "StepCompleted", "RouterExecutionCompleted"),
        *("StepsExecutionStarted", "ParallelExecutionStarted"),
        *("StepCompleted", "StepCompleted", "StepStarted", "StepStarted"),
        *("ParallelExecutionCompleted", "StepsExecutionCompleted"),
        *("StepStarted", "StepSkipped", "StepStarted", "StepCompleted"),
        *("WorkflowRunContent", "WorkflowCompleted"),
    ]
    assert [event for event in found[:-1] if "run" in event] == []


def test_every_event_of_a_workflow_fits_the_schema(clew: Clew) -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(clew("schema", "event").json)
    agent = f"Agent(model={clew.recording(('go', 'Hi.'))!r}, name='talker')"
    stops = 'Step(Command(["false"]), name="last")'
    text = f"several = Workflow(steps=[Parallel([{agent}, sh('cat')]), {stops}])".replace(
        agent, f"Step({agent}, name='talk')"
    )
    found = [*events(clew, SEVERAL), *events(clew, text, code=1)]
    assert {"StepError", "WorkflowError", "RunStarted"} <= {event["event"] for event in found}
    assert [error.message for event in found for error in validator.iter_errors(event)] == []


def test_the_events_of_a_run_that_a_step_makes_say_which_step_that_is(clew: Clew) -> None:
    agent = f"Agent(model={clew.recording(('go', 'Hi.'))!r}, name='talker')"
    found = events(clew, f"several = Workflow(steps=[Step({agent}, name='talk')])")
    inside = [event for event in found if event["parent_run_id"] is not None]
    assert {(event["name"], event["step_id"]) for event in inside} == {("talker", "talk")}
    assert [event for event in found if event["parent_run_id"] is None and "step_id" in event] == []


def test_the_content_of_a_workflow_is_that_of_its_own_content_events(clew: Clew) -> None:
    found = events(clew, SEVERAL)
    own = [event["content"] for event in found if event["event"] == "WorkflowRunContent"]
    assert "".join(own) == found[-1]["run"]["content"] == "20"


def test_the_events_of_a_workflow_that_is_stopped_end_with_the_workflows(clew: Clew) -> None:
    flows(clew, f"several = Workflow(steps=[sh('cat', 'one'), sh({WAITING!r}, 'two')])")
    process = clew.start("run", "-o", "stream-json", "--workflow", "flows:several", "go")
    assert process.stdout
    found = [json.loads(process.stdout.readline())]
    while (found[-1]["event"], found[-1].get("step", {}).get("name")) != ("StepStarted", "two"):
        found.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    found += map(json.loads, process.stdout)  # communicate() would not see what is buffered here
    process.communicate()
    assert [event["event"] for event in found[-2:]] == ["StepCancelled", "WorkflowCancelled"]
    assert found[-1]["run"]["steps"][0]["content"] == "go"


def test_a_workflow_that_had_run_before_is_told_in_the_workflows_words(clew: Clew) -> None:
    flows(clew, SEVERAL)
    run = ("run", "--run-id", "r", "-o", "stream-json", "--workflow", "flows:several", "go")
    clew(*run)
    assert [event["event"] for event in clew(*run).lines] == [
        "WorkflowStarted",
        "WorkflowRunContent",
        "WorkflowCompleted",
    ]
