"""The agent of a workflow: it answers from earlier executions, or has the workflow run."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from clew.core.agent import Agent
from clew.core.approvals import Answers
from clew.core.errors import ProviderDown, UsageError
from clew.core.events import Event
from clew.core.invocation import Invocation
from clew.core.messages import ToolCall
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.result import RunOutput
from clew.core.steps import Step, StepInput
from clew.core.store import Store
from clew.core.tools import RunContext, ToolSpec
from clew.core.usage import no_usage
from clew.core.workflow import Workflow
from tests.teams import Json, refused

Said = str | list[ToolCall] | Exception


class Scripted:
    """A model that says one thing after the other, each for 3 tokens; it refuses what a provider
    refuses."""

    takes_schema, window, name = True, None, "scripted"
    price: Price | None = None

    def __init__(self, *says: Said) -> None:
        self._says: Iterator[Said] = iter(says)
        self.sent: list[list[Json]] = []

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        sent: list[Json] = [dict(message) for message in request.messages]
        assert refused({"messages": sent, "tools": list(request.tools)}) is None
        self.sent.append(sent)
        said = next(self._says)
        if isinstance(said, Exception):
            raise said
        usage = no_usage() | {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}
        if isinstance(said, str):
            on_text(said)
            return ModelReply("stop", usage, self.name)
        return ModelReply("tool_calls", usage, self.name, tuple(said))


def call(name: str, call_id: str = "c1", **arguments: str) -> ToolCall:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}  # type: ignore[typeddict-item]


def runs_it(query: str, call_id: str = "c1") -> list[ToolCall]:
    return [call("run_workflow", call_id, query=query)]


class Pipeline:
    """Two steps that shout, and whisper after that; they count how often they ran."""

    def __init__(self) -> None:
        self.inputs: list[str] = []

    def shout(self, given: StepInput) -> str:
        self.inputs.append(given.input)
        return given.content.upper()

    def under(self, *says: Said, **more: object) -> Workflow:
        agent = Agent(Scripted(*says), name="desk")
        keys = {"name": "report", "agent": agent, **more}
        return Workflow(steps=[Step(self.shout), lambda given: f"({given.content})"], **keys)  # type: ignore[arg-type]


@pytest.fixture
def steps() -> Pipeline:
    return Pipeline()


def sent_to(workflow: Workflow) -> list[list[Json]]:
    assert workflow.agent is not None
    assert isinstance(workflow.agent.model, Scripted)
    return workflow.agent.model.sent


def lines(store: Store) -> list[Json]:
    return [dict(line) for line in store.session("s", "default").lines()]


def resumed(workflow: Workflow, run: RunOutput, store: Store, **more: object) -> RunOutput:
    how = Invocation(store=store, session_id="s", resume=run.run_id, **more)  # type: ignore[arg-type]
    return workflow.invoke("", how)


def test_a_new_topic_runs_the_steps_with_the_query_of_the_agent(
    steps: Pipeline, store: Store
) -> None:
    result = steps.under(runs_it("rivers")).run("Tell me of rivers!", store=store, session_id="s")
    assert (result.status, result.content) == ("COMPLETED", "(RIVERS)")
    assert steps.inputs == ["rivers"]


def test_a_question_that_history_answers_runs_no_step_and_is_recorded_all_the_same(
    steps: Pipeline, store: Store
) -> None:
    workflow = steps.under(runs_it("rivers"), "They were rivers.")
    workflow.run("Tell me of rivers!", store=store, session_id="s")
    result = workflow.run("What were they?", store=store, session_id="s")
    assert (result.status, result.content) == ("COMPLETED", "They were rivers.")
    assert len(steps.inputs) == 1
    [record] = result.line["steps"]
    assert (record["kind"], record["name"], record["status"]) == ("agent", "desk", "COMPLETED")
    assert record["stop"] is True
    assert lines(store)[-1]["input"] == "What were they?"
    assert lines(store)[-2]["run_id"] == record["run_id"]


def test_the_agent_is_told_the_last_executions_before_its_input(
    steps: Pipeline, store: Store
) -> None:
    queries = [runs_it(word, word) for word in ("one", "two", "three")]
    workflow = steps.under(*queries, "Three.", num_history_runs=2)
    for word in ("A", "B", "C"):
        workflow.run(word, store=store, session_id="s")
    workflow.run("How many?", store=store, session_id="s")
    assert sent_to(workflow)[0][-1]["content"] == "A"
    assert sent_to(workflow)[3][-1]["content"] == (
        "<workflow_history_context>\n"
        "[Workflow Run-1]\nUser input: B\nWorkflow output: (TWO)\n\n"
        "[Workflow Run-2]\nUser input: C\nWorkflow output: (THREE)\n\n"
        "</workflow_history_context>\n\nHow many?"
    )


def test_steps_are_told_nothing_of_that_unless_the_workflow_says_so(store: Store) -> None:
    writer = Agent(Scripted("first", "second"), name="writer")
    agent = Agent(Scripted(runs_it("a"), runs_it("b", "c2")))
    workflow = Workflow(steps=[writer], agent=agent)
    for word in ("A", "B"):
        workflow.run(word, store=store, session_id="s")
    assert isinstance(writer.model, Scripted)
    assert [sent[-1]["content"] for sent in writer.model.sent] == ["a", "b"]


def test_what_deciding_cost_is_counted_once(steps: Pipeline, store: Store) -> None:
    result = steps.under(runs_it("rivers")).run("go", store=store, session_id="s")
    assert result.line["metrics"]["total_tokens"] == 0
    assert result.line["total_metrics"]["total_tokens"] == 3
    assert lines(store)[-1]["session_metrics"]["total_tokens"] == 3


def test_the_agent_is_asked_once_and_not_again_after_it_has_called(
    steps: Pipeline, store: Store
) -> None:
    workflow = steps.under(runs_it("rivers"))
    result = workflow.run("go", store=store, session_id="s")
    own = lines(store)[0]
    assert len(sent_to(workflow)) == 1
    assert (own["name"], own["parent_run_id"]) == ("desk", result.run_id)
    assert (own["content"], own["metrics"]["requests"]) == ("rivers", 1)
    assert result.line["members"][0]["run_id"] == own["run_id"]


def test_an_input_is_told_as_it_came_and_steps_see_the_query(steps: Pipeline) -> None:
    workflow = replace(steps.under(runs_it("rivers")), steps=[Step(lambda i: i.content, input=".")])
    result = workflow.run("Tell me!")
    seen = json.loads(result.content)
    assert (result.line["input"], seen["input"]) == ("Tell me!", "rivers")
    assert (seen["last"], seen["steps"]) == (None, {})


def test_user_and_session_are_those_of_the_workflow(steps: Pipeline, store: Store) -> None:
    steps.under("I know.").run("go", store=store, session_id="s", user_id="ada")
    made = list(store.session("s", "ada").lines())
    assert [(line["type"], line["session_id"], line["user_id"]) for line in made] == [
        ("run", "s", "ada")
    ] * 2


def test_without_a_store_the_agent_decides_too(steps: Pipeline) -> None:
    assert steps.under(runs_it("rivers")).run("go").content == "(RIVERS)"
    assert steps.under("I know.").run("go").content == "I know."


def test_a_run_whose_step_failed_goes_on_without_asking_the_agent_again(store: Store) -> None:
    failures = iter([RuntimeError("no"), None])

    def fragile(given: StepInput) -> str:
        if error := next(failures):
            raise error
        return f"{given.input} at last"

    agent = Agent(Scripted(runs_it("rivers")))
    workflow = Workflow(steps=[fragile], agent=agent)
    failed = workflow.run("Tell me!", store=store, session_id="s")
    assert failed.status == "ERROR"
    done = resumed(workflow, failed, store)
    assert (done.status, done.content) == ("COMPLETED", "rivers at last")
    assert len(sent_to(workflow)) == 1


def test_a_run_whose_agent_failed_asks_it_again(steps: Pipeline, store: Store) -> None:
    down = ProviderDown("nobody there")
    workflow = steps.under(*[down] * 4, runs_it("rivers"))
    failed = workflow.run("go", store=store, session_id="s")
    assert failed.line["error"] is not None
    assert failed.line["error"]["message"] == "step 'desk' failed: nobody there"
    assert failed.line["steps"][0]["status"] == "ERROR"
    assert steps.inputs == []
    assert resumed(workflow, failed, store).content == "(RIVERS)"


class Lookup:
    """A tool that has to be allowed."""

    reads_session = False
    spec = ToolSpec("lookup", requires_confirmation=True)

    def call(self, _arguments: Json, _context: RunContext) -> str:
        return "found"

    def stop(self) -> None:
        pass


def test_a_pause_of_the_agent_pauses_the_workflow_before_its_steps(
    steps: Pipeline, store: Store
) -> None:
    workflow = steps.under([call("lookup")], runs_it("rivers", "c2"))
    assert workflow.agent is not None
    workflow = replace(workflow, agent=replace(workflow.agent, tools=[Lookup()]))
    paused = workflow.run("go", store=store, session_id="s")
    assert (paused.status, steps.inputs) == ("PAUSED", [])
    [one] = paused.line["requirements"]
    assert (one["tool_name"], one["inside"]["name"]) == ("lookup", "desk")
    done = resumed(workflow, paused, store, answers=Answers(confirm=("",)))
    assert (done.status, done.content) == ("COMPLETED", "(RIVERS)")
    assert len(sent_to(workflow)) == 2


def test_a_workflow_is_run_once_however_often_its_agent_asks(steps: Pipeline) -> None:
    workflow = steps.under([*runs_it("x"), *runs_it("y", "c2")], "Done.")
    result = workflow.run("go")
    assert (steps.inputs, result.content) == (["x"], "(X)")
    assert "is run once" in str(sent_to(workflow)[-1][-1]["content"])


def test_a_call_that_says_nothing_is_told_to_the_agent(steps: Pipeline) -> None:
    workflow = steps.under(runs_it(" "), "I have no idea.")
    assert workflow.run("go").content == "I have no idea."
    assert (
        sent_to(workflow)[1][-1]["content"] == "the query is empty: say what the workflow is to do"
    )


def test_a_workflow_runs_that_was_called_beside_another_tool(steps: Pipeline) -> None:
    workflow = steps.under([*runs_it("rivers"), call("now", "c2")], "It runs.")
    assert workflow.agent is not None

    def now() -> str:
        """Tell the time."""
        return "noon"

    workflow = replace(workflow, agent=replace(workflow.agent, tools=[now]))
    assert workflow.run("go").content == "(RIVERS)"


def test_an_answer_may_be_structured_and_a_query_need_not_be(steps: Pipeline) -> None:
    schema: Json = {"type": "object", "required": ["answer"]}
    workflow = steps.under(runs_it("rivers"), '{"answer": 42}')
    assert workflow.agent is not None
    workflow = replace(workflow, agent=replace(workflow.agent, output_schema=schema))
    assert workflow.run("go").content == "(RIVERS)"
    assert workflow.run("go").line["data"] == {"answer": 42}


def test_an_agent_takes_model_and_name_where_it_has_none(steps: Pipeline) -> None:
    result = steps.under(agent=Agent(), model=Scripted(runs_it("rivers"))).run("go")
    assert result.content == "(RIVERS)"
    assert result.line["steps"][0]["name"] == "agent"


def test_the_agent_takes_no_name_from_a_step(steps: Pipeline) -> None:
    workflow = steps.under(runs_it("rivers"))
    result = replace(workflow, steps=[Step(steps.shout, name="desk")]).run("go")
    assert [record["name"] for record in result.line["steps"]] == ["desk-2", "desk"]


def test_events_tell_of_the_agent_as_of_a_step(steps: Pipeline) -> None:
    events: list[Event] = []
    steps.under("I know.").run("go", on_event=events.append)
    names = [event["event"] for event in events]
    assert names[0] == "WorkflowStarted"
    assert names[-1] == "WorkflowCompleted"
    assert names.index("StepStarted") < names.index("RunCompleted") < names.index("StepCompleted")


def test_what_a_workflow_asks_is_no_team() -> None:
    with pytest.raises(UsageError, match="agent"):
        Workflow(steps=[str], agent=Workflow(steps=[str]))  # type: ignore[arg-type]


def test_a_run_that_was_stopped_after_the_call_goes_on_without_asking_again(
    steps: Pipeline, store: Store
) -> None:
    workflow = steps.under(runs_it("rivers"))

    def stop(event: Event) -> None:
        if event["event"] == "ToolCallCompleted":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workflow.run("go", store=store, session_id="s", on_event=stop)
    stopped = lines(store)[-1]
    assert (stopped["status"], stopped["steps"][0]["status"]) == ("CANCELLED", "CANCELLED")
    how = Invocation(store=store, session_id="s", resume=stopped["run_id"])
    done = workflow.invoke("", how)
    assert (done.status, done.content) == ("COMPLETED", "(RIVERS)")
    assert len(sent_to(workflow)) == 1
