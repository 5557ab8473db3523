"""`budget` of a definition: what a session may use, over all its runs."""

import json
from typing import Any

import pytest

from clew.core import Agent, Budget
from clew.core.errors import ProviderDown
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.usage import Usage, no_usage
from clew.stores import JsonlStore
from tests.conftest import Clew
from tests.provider import Provider
from tests.served import served
from tests.toolcalls import call, calling, results, script

Json = dict[str, Any]
ASK: tuple[str, ...] = ("continue", "-s", "s", "-a", "./a.yaml")


def agent(clew: Clew, *, uses: int = 60, **budget: Any) -> None:
    """Define an agent whose every answer to `go` uses so many tokens."""
    path = clew.cwd.parent / "used.jsonl"
    usage = {"input_tokens": uses - 1, "output_tokens": 1, "total_tokens": uses}
    path.write_text(json.dumps({"input": "go", "content": "done", "metrics": usage}) + "\n")
    defined = {"model": f"replay:{path}", "budget": budget, "add_history_to_context": False}
    (clew.cwd / "a.yaml").write_text(json.dumps(defined))


@pytest.fixture
def spent(clew: Clew) -> Clew:
    """A session that has used 120 of its 100 tokens, in two runs."""
    agent(clew, tokens=100)
    clew("run", "-s", "s", "-a", "./a.yaml", "go")
    clew(*ASK, "go", code=None)
    assert clew.stored("s")[-1]["session_metrics"]["total_tokens"] == 120
    return clew


def test_a_session_whose_budget_is_used_up_is_refused_in_exit_5(spent: Clew) -> None:
    result = spent(*ASK, "go", code=5)
    told = "clew: the session's budget of 100 tokens is used up: 120\n"
    assert (result.out, told in result.err) == ("", True)


def test_nothing_is_sent_or_written_when_the_budget_is_used_up(spent: Clew) -> None:
    before = spent.session_file("s").read_bytes()
    spent(*ASK, "--name", "trip", "--state", '{"a": 1}', "go", code=5)
    assert spent.session_file("s").read_bytes() == before


def test_json_tells_the_refusal_as_data(spent: Clew) -> None:
    told = spent(*ASK, "--json", "go", code=5).json
    assert (told["status"], told["run_id"], told["error"]["kind"]) == ("ERROR", None, "limit")


def test_a_dry_run_tells_that_nothing_would_be_sent(spent: Clew) -> None:
    assert "is used up" in spent(*ASK, "--dry-run", "go", code=5).err


def test_another_session_has_a_budget_of_its_own(spent: Clew) -> None:
    spent("run", "-s", "other", "-a", "./a.yaml", "go")


def test_a_call_that_was_made_before_is_told_again(clew: Clew) -> None:
    agent(clew, uses=100, tokens=100)
    words = ("run", "-s", "s", "-a", "./a.yaml", "--run-id", "r", "go")
    clew(*words)
    assert clew(*words).out == "done\n"


def test_continue_keeps_the_budget_of_the_agent_that_the_session_runs(spent: Clew) -> None:
    spent("continue", "-s", "s", "go", code=5)


def test_the_budget_stops_a_run_between_its_turns(clew: Clew) -> None:
    said = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [call("t")]},
        {"role": "assistant", "content": "done"},
    ]
    path = clew.cwd.parent / "calls.jsonl"
    path.write_text(json.dumps({"input": "go", "content": "done", "messages": said}) + "\n")
    tool = json.loads(script("printf '%0600d' 1"))
    defined = {"model": f"replay:{path}", "tools": [tool], "budget": {"tokens": 100}}
    (clew.cwd / "a.yaml").write_text(json.dumps(defined))
    result = clew("run", "-s", "s", "-a", "./a.yaml", "go", code=5)
    (line,) = clew.stored("s")
    assert (line["status"], line["metrics"]["requests"]) == ("ERROR", 1)
    assert "the session's budget of 100 tokens was reached" in result.err


def tooled(clew: Clew, does: str, *, calls: list[list[Json]] | None = None, **budget: Any) -> None:
    """Define an agent that calls a tool when asked to `go`, and then says `done`."""
    tool = json.loads(script(does))
    defined = {"model": calling(clew, *(calls or [[call("t")]])), "tools": [tool], "budget": budget}
    (clew.cwd / "a.yaml").write_text(json.dumps(defined))


def requests(clew: Clew) -> list[int]:
    return [line["metrics"]["requests"] for line in clew.stored("s")]


def test_turns_are_counted_over_all_runs(clew: Clew) -> None:
    agent(clew, turns=2)
    clew("run", "-s", "s", "-a", "./a.yaml", "go")
    clew(*ASK, "go")
    told = "clew: the session's budget of 2 turns is used up: 2\n"
    assert told in clew(*ASK, "go", code=5).err
    assert requests(clew) == [1, 1]


def test_a_run_makes_no_more_turns_than_the_session_has_left(clew: Clew) -> None:
    tooled(clew, "true", calls=[[call("t")], [call("t")]], turns=4)
    clew("run", "-s", "s", "-a", "./a.yaml", "go")
    result = clew(*ASK, "go", code=5)
    assert "the session's budget of 4 turns was reached" in result.err
    assert requests(clew) == [3, 1]
    line = clew.stored("s")[-1]
    assert (line["status"], line["error"]["kind"]) == ("ERROR", "limit")
    assert results(line) == [""]


def test_a_run_that_was_paused_has_its_turns_counted_once(clew: Clew) -> None:
    tooled(clew, "true", turns=3)
    defined = json.loads((clew.cwd / "a.yaml").read_text())
    defined["tools"][0]["requires_confirmation"] = True
    (clew.cwd / "a.yaml").write_text(json.dumps(defined))
    clew("run", "-s", "s", "-a", "./a.yaml", "go", code=6)
    clew("continue", "-s", "s", "--confirm")
    clew(*ASK, "go", code=6)
    assert requests(clew) == [1, 1, 1]
    assert "used up: 3" in clew(*ASK, "go", code=5).err


def test_an_answer_is_not_asked_for_again_where_no_turn_is_left(clew: Clew) -> None:
    agent(clew, turns=1)
    clew("run", "-s", "s", "-a", "./a.yaml", "--schema", "age int", "go", code=4)
    assert requests(clew) == [1]


def test_time_is_counted_over_all_runs(clew: Clew) -> None:
    tooled(clew, "sleep 0.1", timeout="1h")
    clew("run", "-s", "s", "-a", "./a.yaml", "go")
    used = clew.stored("s")[-1]["session_metrics"]["duration"]
    tooled(clew, "true", timeout=used)
    told = f"clew: the session's budget of {used:g} s is used up: {used:g}\n"
    assert told in clew(*ASK, "go", code=5).err


@pytest.mark.parametrize(
    ("own", "budget", "told"),
    [
        (
            "1h",
            "N",
            "the session's budget of N s was reached\n  hint: the agent's `budget` sets it",
        ),
        ("N", "1h", "the time limit of N s was reached\n  hint: --timeout sets it"),
    ],
)
def test_a_run_has_its_own_time_or_what_is_left_of_the_session_s(
    clew: Clew, own: str, budget: str, told: str
) -> None:
    def line(session: str, seconds: str) -> Any:
        tooled(clew, "exec sleep 600", timeout=budget.replace("N", seconds))
        asked = ("run", "-s", session, "-a", "./a.yaml", "--timeout", own.replace("N", seconds))
        assert told.replace("N", seconds) in clew(*asked, "go", code=5).err
        return clew.stored(session)[0]

    times = (("s", "1"), ("t", "10"), ("u", "60"))  # more where no tool was called by then
    found = next(found for found in (line(*time) for time in times) if found["tools"])
    assert (found["status"], found["tools"][0]["tool_call_error"]) == ("ERROR", True)


def test_a_session_that_has_used_its_budget_gets_no_summary(clew: Clew) -> None:
    asked = "Provide the summary of the conversation."
    path = clew.cwd.parent / "used.jsonl"
    for tokens, lines in ((1000, 2), (100, 1)):
        agent(clew, uses=100, tokens=tokens)
        with path.open("a") as file:
            file.write(json.dumps({"input": asked, "content": "Something was done."}) + "\n")
        defined = json.loads((clew.cwd / "a.yaml").read_text())
        wishes = {"enable_session_summaries": True, "summary_tokens": 1}
        (clew.cwd / "a.yaml").write_text(json.dumps(defined | wishes))
        clew("run", "-s", f"s{tokens}", "-a", "./a.yaml", "go")
        assert len(clew.stored(f"s{tokens}")) == lines


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"tokens": 0}, "budget.tokens: "),
        ({"cost": 0}, "budget.cost: "),
        ({"turns": 0}, "budget.turns: "),
        ({"timeout": 0}, "budget.timeout: "),
        ({"timeout": "soon"}, "use seconds, or 90s, 10m, 2h, 7d"),
        ({"token": 5}, "did you mean tokens?"),
        ("5", "budget: "),
    ],
)
def test_a_wrong_budget_is_told_with_its_key(clew: Clew, budget: Any, told: str) -> None:
    (clew.cwd / "a.yaml").write_text(json.dumps({"budget": budget}))
    assert told in clew("agents", "validate", "./a.yaml", code=2).err


def test_an_agent_is_shown_with_its_budget(clew: Clew) -> None:
    agent(clew, tokens=100, cost=0.5, turns=9, timeout="10m")
    shown = clew("agents", "show", "./a.yaml", "--json").json
    assert shown["budget"] == {"tokens": 100, "cost": 0.5, "turns": 9, "timeout": 600.0}


def test_a_cost_budget_needs_the_price_of_the_model(clew: Clew, provider: Provider) -> None:
    defined = {"model": "openai/test-model", "budget": {"cost": 1}}
    (clew.cwd / "a.yaml").write_text(json.dumps(defined))
    result = clew("run", "-a", "./a.yaml", "go", code=78)
    assert "the agent's budget.cost needs the price of 'openai/test-model'" in result.err
    assert provider.requests == []


class Dear:
    """A model whose every answer costs a dollar."""

    name = "test/dear"
    window = None
    takes_schema = True
    price = Price(0.0, 0.0)

    def ask(self, request: ModelRequest, on_text: Any) -> ModelReply:
        on_text("done")
        usage: Usage = {**no_usage(), "cost": 1.0}
        return ModelReply("stop", usage, self.name)


def test_cost_is_counted_over_all_runs(clew: Clew) -> None:
    store = JsonlStore(str(clew.home))
    dear = Agent(model=Dear(), budget=Budget(cost=2.0))
    for _ in range(2):
        dear.run("go", session_id="s", store=store).raise_for_status()
    with pytest.raises(Exception, match=r"the session's budget of \$2 is used up: \$2"):
        dear.run("go", session_id="s", store=store)
    assert len(clew.stored("s")) == 2


class Down:
    """A model that is never there; it counts how often it was asked."""

    name = "test/down"
    window = None
    takes_schema = True
    price = None
    asked = 0

    def ask(self, request: ModelRequest, on_text: Any) -> ModelReply:
        self.asked += 1
        raise ProviderDown("the provider is down")


def test_a_request_that_failed_is_not_sent_again_where_no_turn_is_left(clew: Clew) -> None:
    first, spare = Down(), Down()
    agent = Agent(model=first, fallback_models=[spare], budget=Budget(turns=2))
    result = agent.run("go", session_id="s", store=JsonlStore(str(clew.home)))
    assert (result.exit_code, first.asked, spare.asked) == (69, 2, 0)


@pytest.mark.slow
def test_time_is_counted_also_while_tool_servers_start(clew: Clew) -> None:
    tooled(clew, "true", timeout=1)
    asked = ("run", "-s", "s", "-a", "./a.yaml", "-t", served("sleep", "1000"), "go")
    told = "clew: the session's budget of 1 s was reached before the tools were there\n"
    assert told in clew(*asked, code=5).err
