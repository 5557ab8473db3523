"""`fallback_models` of a definition, through the command."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.provider import Provider
from tests.summed_up import ASKS_FOR_NAME, ASKS_FOR_SUMMARY

OURS = "openai/test-model"


def defined(clew: Clew, **more: Any) -> str:
    """An agent whose first model is the provider's, and whose fallback is a recording."""
    other = clew.recording(("go", "from the other"), ("more", "again"), name="other.jsonl")
    agent = {"model": OURS, "fallback_models": [other], "limits": {"retries": 0}} | more
    (clew.cwd / "a.yaml").write_text(json.dumps(agent))
    return "./a.yaml"


def test_stderr_says_who_failed_and_who_is_asked_instead(clew: Clew, provider: Provider) -> None:
    provider.answer(status=503)
    result = clew("run", "-a", defined(clew), "-s", "s", "go")
    assert result.out == "from the other\n"
    assert f"clew: {OURS}: " in result.err
    assert "; asking replay:" in result.err and " instead\n" in result.err
    (line,) = clew.stored("s")
    assert [call["model"][:6] for call in line["metrics"]["details"]] == ["openai", "replay"]
    assert clew("sessions", "verify", "s").code == 0


def test_the_model_that_stood_in_makes_the_summary_and_the_name(clew: Clew) -> None:
    answers = (("go", "done"), (ASKS_FOR_SUMMARY, "They went."), (ASKS_FOR_NAME, "Going"))
    upkeep = {"enable_session_summaries": True, "summary_tokens": 1}
    agent = defined(
        clew,
        model="openai/nobody",
        fallback_models=[clew.recording(*answers)],
        autogenerate_session_name=True,
        **upkeep,
    )
    nobody = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": "http://127.0.0.1:9"}
    result = clew("run", "-a", agent, "-s", "s", "go", env=nobody)
    assert "was made" not in result.err and "named after" not in result.err
    _, name, summary = clew.stored("s")
    assert (name["name"], summary["summary"]) == ("Going", "They went.")


def test_a_refused_key_is_told_and_not_worked_around(clew: Clew, provider: Provider) -> None:
    provider.answer(status=401)
    result = clew("run", "-a", defined(clew), "go", code=77)
    assert result.out == ""


def test_a_model_that_was_asked_for_never_falls_back(clew: Clew, provider: Provider) -> None:
    agent = defined(clew)
    provider.answer(status=503)
    clew("run", "-a", agent, "-m", OURS, "-s", "s", "go", code=69)
    assert "fallback_models" not in clew.stored("s")[0]["options"]


@pytest.mark.slow
def test_continue_goes_on_with_the_first_model_and_its_fallbacks(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(status=503)
    clew("run", "-a", defined(clew), "-s", "s", "go")
    provider.answer("back again")
    assert clew("continue", "-q", "-s", "s", "go").out == "back again\n"
    provider.answer(status=503)
    assert clew("continue", "-q", "-s", "s", "more").out == "again\n"


def test_events_of_a_fallback_fit_the_published_schema(clew: Clew, provider: Provider) -> None:
    from jsonschema import Draft202012Validator

    provider.answer(status=503)
    validator = Draft202012Validator(clew("schema", "event").json)
    events = clew("run", "-a", defined(clew), "-o", "stream-json", "go").lines
    assert "FallbackModelActivated" in {event["event"] for event in events}
    for event in events:
        validator.validate(event)


def test_a_dry_run_tells_who_would_be_asked(clew: Clew) -> None:
    agent = defined(clew, model=clew.recording(("go", "hi"), name="first.jsonl"))
    shown = clew("run", "-a", agent, "--dry-run", "--json", "go").json
    assert [name.rpartition("/")[2] for name in shown["fallback_models"]] == ["other.jsonl"]


def test_fallbacks_stay_refused_as_a_model_option(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "--option", 'fallbacks=["x/y"]', "hi", code=2)
