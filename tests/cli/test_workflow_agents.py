"""A workflow whose agent decides whether its steps run, from the command line."""

import json

import pytest

from tests.conftest import Clew
from tests.defined import write
from tests.toolcalls import Json, call, record

DEFINITION = """\
kind: workflow
description: Counts the words of a text
agent:
  name: clerk
  model: {model}
steps:
  - {{name: begun, run: [tee, -a, ran]}}
  - {{name: words, run: [sh, -c, "test ! -e broken && wc -w | tr -d ' '"]}}
"""


@pytest.fixture
def counter(clew: Clew) -> Clew:
    """A workflow that counts `a b c` when it is told to `count`; else its agent says `done`."""
    calls = clew.cwd.parent / "calls.jsonl"
    model = record(calls, [call("run_workflow", query="a b c")], prompt="count")
    record(calls, prompt="how many?")
    write(clew.cwd / "counter.yaml", DEFINITION.format(model=model))
    return clew


def run(counter: Clew, prompt: str, *more: str, code: int = 0) -> Json:
    args = ("run", "-q", "-s", "s", "--workflow", "counter.yaml", "--json", *more, prompt)
    line: Json = counter(*args, code=code).json
    return line


def ran(counter: Clew) -> str:
    """What the steps were given."""
    path = counter.cwd / "ran"
    return path.read_text() if path.exists() else ""


def test_a_new_topic_runs_the_steps(counter: Clew) -> None:
    assert (run(counter, "count")["content"], ran(counter)) == ("3", "a b c")


def test_a_follow_up_is_answered_without_a_step_and_recorded(counter: Clew) -> None:
    run(counter, "count")
    follow_up = run(counter, "how many?")
    assert (follow_up["content"], follow_up["status"]) == ("done", "COMPLETED")
    assert ran(counter) == "a b c"
    [record] = follow_up["steps"]
    assert (record["kind"], record["name"], record["stop"]) == ("agent", "clerk", True)
    kinds = [(line["kind"], line["content"]) for line in counter.stored("s")]
    assert kinds[2:] == [("agent", "done"), ("workflow", "done")]


def test_what_the_agent_is_sent_is_on_record_with_the_executions(counter: Clew) -> None:
    run(counter, "count")
    run(counter, "how many?")
    [message] = [m for m in counter.stored("s")[2]["messages"] if m["role"] == "user"]
    assert "User input: count\nWorkflow output: 3\n" in message["content"]
    assert message["content"].endswith("how many?")


def test_with_no_executions_to_tell_the_agent_gets_the_input_alone(counter: Clew) -> None:
    run(counter, "count")
    run(counter, "how many?", "--history-runs", "0")
    assert counter.stored("s")[2]["messages"][0]["content"] == "how many?"


def test_resume_does_not_ask_the_agent_again(counter: Clew) -> None:
    (counter.cwd / "broken").touch()
    run(counter, "count", code=1)
    (counter.cwd / "broken").unlink()
    line = counter("continue", "-q", "-s", "s", "--resume", "--json").json
    assert (line["content"], line["total_metrics"]["requests"]) == ("3", 0)
    assert ran(counter) == "a b c"


def test_each_token_of_the_agent_is_counted_once(counter: Clew) -> None:
    for prompt in ("count", "how many?"):
        run(counter, prompt)
    own = [line["metrics"]["requests"] for line in counter.stored("s")]
    assert own == [1, 0, 1, 0]
    assert counter.stored("s")[-1]["session_metrics"]["requests"] == 2


def test_a_dry_run_shows_who_is_asked_first(counter: Clew) -> None:
    shown = json.loads(counter("run", "--dry-run", "--workflow", "counter.yaml", "count", "-q").out)
    assert shown["agent"]["name"] == "clerk"


def test_a_team_cannot_decide_for_a_workflow(clew: Clew) -> None:
    write(clew.cwd / "two.yaml", "kind: team\nmembers: [{name: ann}]\n")
    write(clew.cwd / "w.yaml", "kind: workflow\nagent: two.yaml\nsteps: [{run: [cat]}]\n")
    told = clew("agents", "validate", "w.yaml", code=2).err
    assert "w.yaml:2: agent: 'two.yaml' is a team, not an agent" in told
