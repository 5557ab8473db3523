"""`clew metrics`."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.provider import Provider
from tests.summed_up import ASKS_FOR_NAME, summarizing

COUNTS = ("input_tokens", "output_tokens", "total_tokens", "requests")


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """Sessions `a` (two runs and a failed one) and `b` (one run with another model)."""
    clew = Clew(tmp_path_factory.mktemp("used"))
    first = recording(clew, "first", one=(10, 1, 0.5), two=(20, 2, None))
    second = recording(clew, "second", one=(100, 10, 0.25))
    clew("run", "-s", "a", "-m", first, "one")
    clew("continue", "-s", "a", "two")
    clew("continue", "-s", "a", "lost", code=3)
    clew("run", "-s", "b", "-m", second, "one")
    return clew


def recording(clew: Clew, name: str, **answers: tuple[int, int, float | None]) -> str:
    """Write recorded answers with their tokens to a file; return the model that plays them."""
    path = clew.cwd.parent / name
    with path.open("w") as file:
        for asked, (sent, got, cost) in answers.items():
            metrics = {"input_tokens": sent, "output_tokens": got, "cost": cost}
            metrics["total_tokens"] = sent + got
            file.write(json.dumps({"input": asked, "content": "ok", "metrics": metrics}) + "\n")
    return f"replay:{path}"


def stored_sum(clew: Clew, key: str, *sessions: str) -> Any:
    lines = [line for session in sessions for line in clew.stored(session)]
    return sum(line["metrics"][key] for line in lines if line["type"] == "run")


@pytest.mark.parametrize("key", [*COUNTS, "cost_unknown"])
def test_the_sums_are_those_of_the_stored_runs(used: Clew, key: str) -> None:
    assert used("metrics", "-s", "a", "--json").json[key] == stored_sum(used, key, "a")


@pytest.mark.parametrize("key", [*COUNTS, "cost", "cost_unknown", "duration", "estimated"])
def test_the_sums_are_those_of_the_session_s_last_line(used: Clew, key: str) -> None:
    metrics = used.stored("a")[-1]["session_metrics"]
    assert used("metrics", "-s", "a", "--json").json[key] == metrics[key]


def test_failed_runs_are_counted_too(used: Clew) -> None:
    assert used("metrics", "-s", "a", "--json").json["runs"] == 3


@pytest.mark.parametrize("key", COUNTS)
def test_all_adds_the_sessions_of_this_user(used: Clew, key: str) -> None:
    assert used("metrics", "--all", "--json").json[key] == stored_sum(used, key, "a", "b")


def test_by_session_gives_a_row_for_each(used: Clew) -> None:
    rows = used("metrics", "--all", "--by", "session", "--json").lines
    assert {row["session"]: row["total_tokens"] for row in rows} == {
        "a": stored_sum(used, "total_tokens", "a"),
        "b": stored_sum(used, "total_tokens", "b"),
    }


def test_by_model_gives_a_row_for_each(used: Clew) -> None:
    rows = used("metrics", "--all", "--by", "model", "--json").lines
    tokens = {row["model"].rpartition("/")[2]: row["total_tokens"] for row in rows}
    assert tokens == {
        "first": stored_sum(used, "total_tokens", "a"),
        "second": stored_sum(used, "total_tokens", "b"),
    }


def test_by_agent_gives_a_row_for_each_and_one_for_runs_without(clew: Clew, model: str) -> None:
    (clew.cwd / "poet.yaml").write_text(f"model: {model}\n")
    for agent in (["-a", "poet.yaml"], ["-a", "poet.yaml"], ["-m", model]):
        clew("run", "-q", "-s", "s", *agent, "hi")
    rows = clew("metrics", "-s", "s", "--by", "agent", "--json").lines
    assert [(row["agent"], row["runs"]) for row in rows] == [("poet", 2), ("-", 1)]


def test_summary_and_name_belong_to_the_agent_of_the_run_they_follow(clew: Clew) -> None:
    summarizing(clew, autogenerate_session_name=True)
    clew("run", "-a", "own:agent", "-s", "s", "one")
    clew("run", "-a", "own:plain", "-s", "s", "two")
    rows = clew("metrics", "-s", "s", "--by", "agent", "--json").lines
    assert [(row["agent"], row["runs"], row["requests"]) for row in rows] == [
        ("counter", 1, 3),
        ("plain", 1, 1),
    ]


def test_what_was_asked_by_hand_is_no_agents(clew: Clew) -> None:
    summarizing(clew)
    clew("run", "-a", "own:plain", "-s", "s", "one")
    namer = clew.recording((ASKS_FOR_NAME, "Small numbers"), name="names.jsonl")
    clew("sessions", "rename", "s", "--auto", "-m", namer)
    rows = clew("metrics", "-s", "s", "--by", "agent", "--json").lines
    assert [(row["agent"], row["requests"]) for row in rows] == [("plain", 1), ("-", 1)]


def test_by_day_gives_a_row_for_each(used: Clew) -> None:
    days = {line["created_at"][:10] for session in "ab" for line in used.stored(session)}
    rows = used("metrics", "--all", "--by", "day", "--json").lines
    assert {row["day"] for row in rows} == days


def test_since_leaves_out_what_was_before(used: Clew) -> None:
    moment = used.stored("a")[1]["created_at"]
    row = used("metrics", "-s", "a", "--since", moment, "--json").json
    assert row["runs"] == 2


def test_since_nothing_happened_the_sums_are_zero(used: Clew) -> None:
    row = used("metrics", "-s", "a", "--since", "2999-01-01", "--json").json
    assert (row["runs"], row["total_tokens"], row["cost"]) == (0, 0, 0)


def test_people_see_the_tokens(used: Clew) -> None:
    assert f"input tokens  {stored_sum(used, 'input_tokens', 'b')}\n" in used("metrics").out


def test_all_and_a_session_exclude_each_other(used: Clew) -> None:
    used("metrics", "--all", "-s", "a", code=2)


def test_a_bad_line_is_named_and_not_counted(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "hi")
    path = clew.session_file("s")
    path.write_text(f"{{broken\n{path.read_text()}")
    result = clew("metrics", "-s", "s", "--by", "day", "--json")
    assert result.json["runs"] == 1
    assert "s.jsonl:1: skipped" in result.err


def test_the_sums_of_a_whole_session_outlast_a_bad_last_line(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "hi")
    with clew.session_file("s").open("a") as file:
        file.write("{broken\n")
    result = clew("metrics", "-s", "s", "--json")
    assert result.json["runs"] == 1
    assert "s.jsonl:2: skipped" in result.err


def test_a_session_in_which_no_model_was_asked_has_no_row(used: Clew) -> None:
    used("state", "-s", "c", "set", "--create", "x=1")
    rows = used("metrics", "--all", "--by", "session", "--json").lines
    assert "c" not in {row["session"] for row in rows}


def test_usage_of_a_run_whose_second_attempt_has_no_known_price_says_so(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(status=503)
    result = clew("run", "-m", "openai/test-model", "--usage", "--retries", "1", "hi")
    assert "$0.000000 and 1 requests of unknown price, " in result.err
