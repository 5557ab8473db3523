"""`clew schema`: what is stored and streamed fits the published schemas."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import Clew
from tests.provider import Provider


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    return Clew(tmp_path_factory.mktemp("schema"))


@pytest.fixture(scope="module")
def line(world: Clew) -> Draft202012Validator:
    """The published schema of lines."""
    return Draft202012Validator(world("schema", "line").json)


@pytest.fixture(scope="module")
def event(world: Clew) -> Draft202012Validator:
    """The published schema of events."""
    return Draft202012Validator(world("schema", "event").json)


@pytest.mark.parametrize("what", ["line", "event"])
def test_a_schema_is_a_schema(world: Clew, what: str) -> None:
    Draft202012Validator.check_schema(world("schema", what).json)


def test_lines_of_all_three_types_fit(clew: Clew, model: str, line: Draft202012Validator) -> None:
    clew("run", "-s", "s", "--name", "trip", "-m", model, "--state", '{"a": 1}', "hi")
    clew("continue", "-s", "s", "unknown", code=3)
    clew("state", "-s", "s", "set", "b=2")
    clew("state", "-s", "s", "replace", "{}")
    stored = clew.stored("s")
    assert {found["type"] for found in stored} == {"run", "state", "session"}
    for found in stored:
        line.validate(found)


def test_a_run_with_every_extra_fits(clew: Clew, line: Draft202012Validator) -> None:
    model = clew.recording(("hi", '{"name": "Ada", "age": 36}'))
    (clew.cwd / "note.txt").write_text("a note")
    options = ("--schema", "name str, age int", "-f", "note.txt", "--meta", "k=v")
    limits = ("--option", "temperature=0", "--max-total-tokens", "9999", "--timeout", "60")
    clew("run", "-s", "s", "--system", "Be brief.", "-m", model, *options, *limits, "hi")
    (found,) = clew.stored("s")
    assert found["data"] == {"name": "Ada", "age": 36}
    line.validate(found)


def test_a_run_that_was_not_stored_fits(clew: Clew, model: str, line: Draft202012Validator) -> None:
    found = clew("run", "-m", model, "--no-store", "--json", "hi").json
    assert found["seq"] is None
    line.validate(found)


@pytest.mark.parametrize("broken", [{"seq": "1"}, {"status": "OK"}, {"type": "x"}, {"v": None}])
def test_what_is_no_line_does_not_fit(
    clew: Clew, model: str, line: Draft202012Validator, broken: dict[str, Any]
) -> None:
    found = clew("run", "-m", model, "--json", "hi").json
    assert not line.is_valid(found | broken)


def test_every_key_of_a_line_is_promised(
    clew: Clew, model: str, line: Draft202012Validator
) -> None:
    found = clew("run", "-m", model, "--json", "hi").json
    for key in found:
        assert not line.is_valid({k: v for k, v in found.items() if k != key}), key


@pytest.mark.parametrize(("asked", "code"), [("hi", 0), ("unknown", 3)])
def test_the_events_of_a_run_fit(
    clew: Clew, model: str, event: Draft202012Validator, asked: str, code: int
) -> None:
    for found in clew("run", "-m", model, "-o", "stream-json", asked, code=code).lines:
        event.validate(found)


def test_the_event_of_a_call_that_began_no_run_fits(
    clew: Clew, event: Draft202012Validator
) -> None:
    found = clew("continue", "-s", "nope", "-o", "stream-json", "hi", code=3).json
    event.validate(found)


def test_a_line_and_the_events_of_a_provider_with_retries_fit(
    clew: Clew, provider: Provider, line: Draft202012Validator, event: Draft202012Validator
) -> None:
    provider.answer(status=500)
    provider.answer("hello")
    words = ("run", "-s", "s", "-m", "openai/test-model", "--retries", "1", "-o", "stream-json")
    events = clew(*words, "hi").lines
    assert "ModelRequestError" in {found["event"] for found in events}
    for found in events:
        event.validate(found)
    line.validate(clew.stored("s")[0])


def test_an_unknown_schema_is_a_usage_error(world: Clew) -> None:
    assert "line" in world("schema", "nope", code=2).err


def test_the_schema_explains_its_fields(world: Clew) -> None:
    fields = world("schema", "line").json["$defs"]["RunLine"]["properties"]
    assert fields["content"]["description"] == "The answer, always text."
    assert fields["created_at"]["description"].startswith("When the line was written")
