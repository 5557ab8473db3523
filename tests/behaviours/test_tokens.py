"""What a user of agents expects of metrics (the behaviours M1, M2 and M5)."""

from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, tool
from tests.provider import Provider

SUMS = ("input_tokens", "output_tokens", "total_tokens", "requests")
MODEL = ("-m", "openai/test-model")

pytestmark = pytest.mark.slow


def used(number: int) -> dict[str, int]:
    """Usage whose sum tells which requests are in it, and how often."""
    return {"prompt_tokens": 10**number, "completion_tokens": 2 * 10**number} | {
        "total_tokens": 3 * 10**number
    }


def adds_up(clew: Clew, session: str) -> Any:
    """Return the session's totals, after a look at whether all that is under them adds up."""
    runs = clew.stored(session)
    for run in runs:
        for key in SUMS[:3]:
            assert run["metrics"][key] == sum(one[key] for one in run["metrics"]["details"])
        assert run["metrics"]["requests"] == len(run["metrics"]["details"])
    total = clew("metrics", "-s", session, "--json").json
    for key in SUMS:
        assert total[key] == sum(run["metrics"][key] for run in runs)
        assert total[key] == runs[-1]["session_metrics"][key]
    return total


def test_with_history_a_run_reads_more_tokens_and_the_sums_are_those_of_the_requests(
    clew: Clew, provider: Provider
) -> None:
    clew("run", *MODEL, "-s", "s", "tell me more")
    alone = clew("run", *MODEL, "-s", "s", "--json", "tell me more").json
    along = clew("run", *MODEL, "-s", "s", "--history", "--json", "tell me more").json
    assert along["metrics"]["input_tokens"] > alone["metrics"]["input_tokens"]
    total = adds_up(clew, "s")
    rows = clew("metrics", "-s", "s", "--by", "model", "--json").lines
    assert sum(row["total_tokens"] for row in rows) == total["total_tokens"] > 0


def test_each_token_counts_once_through_retries_tools_pauses_failures_and_going_on(
    clew: Clew, provider: Provider
) -> None:
    path = tool(clew, requires_confirmation=True)
    provider.answer(status=503)
    provider.answer(tool_calls=[call("c1", to="a")], usage=used(0))
    paused = clew("run", *MODEL, "-t", path, "-s", "s", "--json", "go", code=6).json
    assert (paused["metrics"]["total_tokens"], paused["metrics"]["requests"]) == (3, 2)
    provider.answer(tool_calls=[call("c2", to="b")], usage=used(1))
    clew("continue", "-s", "s", "--confirm", code=6)
    provider.answer(status=400)
    clew("continue", "-s", "s", "--confirm", code=1)
    provider.answer("done", usage=used(2))
    last = clew("continue", "-s", "s", "--resume", "--json").json
    assert last["status"] == "COMPLETED"
    provider.answer("more", usage=used(3))
    clew("continue", "-s", "s", "again")
    total = adds_up(clew, "s")
    assert (total["input_tokens"], total["total_tokens"]) == (1111, 3333)
    assert total["requests"] == len(provider.requests) == 6


def test_summaries_and_names_count_under_kinds_of_their_own_and_once(
    clew: Clew, provider: Provider
) -> None:
    wants = "enable_session_summaries: true\nsummary_tokens: 1\nautogenerate_session_name: true\n"
    (clew.cwd / "agent.yaml").write_text(wants)
    provider.answer("hello", usage=used(0))
    provider.answer("Greetings", usage=used(1))
    provider.answer(status=503)
    provider.answer("They greet.", usage=used(2))
    clew("run", *MODEL, "-a", "./agent.yaml", "-s", "s", "hi")
    total = adds_up(clew, "s")
    assert (total["total_tokens"], total["requests"]) == (333, len(provider.requests))
    kinds = [one["kind"] for line in clew.stored("s") for one in line["metrics"]["details"]]
    assert kinds == ["model", "naming", "summary", "summary"]
