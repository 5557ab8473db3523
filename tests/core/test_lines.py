"""Lines: what is written is what is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import DamagedError
from clew.core.lines import Line, RunLine, decode, encode
from clew.core.session import Draft, StateChange
from tests.stores.made import run_draft, sealed, state_line

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HALVES = st.text(st.sampled_from("ab\N{GRINNING FACE}\ud83d\udbff\udc00\udfff"), max_size=9)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | ANY_TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(ANY_TEXT, VALUES, max_size=4)


def line_with(state: dict[str, Any]) -> Line:
    return sealed(Draft("state", state_line({}).fields, StateChange(replacement=state)))


def wrong(**fields: Any) -> bytes:
    return json.dumps(sealed(run_draft("r1")) | fields).encode()


def with_details(details: Any) -> dict[str, Any]:
    metrics: dict[str, Any] = run_draft("r1").fields["metrics"]
    return metrics | {"details": details}


def without(key: str) -> bytes:
    line = sealed(run_draft("r1"))
    return json.dumps({k: v for k, v in line.items() if k != key}).encode()


def nested(levels: int) -> bytes:
    """A line of so many objects and lists inside one another."""
    raw = encode(line_with({"deep": 1}))
    return raw.replace(b'"deep":1', b'"deep":' + b"[" * (levels - 2) + b"]" * (levels - 2))


def counted(**totals: Any) -> dict[str, Any]:
    return sealed(run_draft("r1"))["session_metrics"] | totals


@given(ANY_TEXT)
def test_any_text_comes_back(text: str) -> None:
    line = sealed(run_draft("r1"))
    assert line["type"] == "run"
    line["content"] = text
    found = decode(encode(line))
    assert found == line


@given(OBJECTS)
def test_any_state_comes_back(state: dict[str, Any]) -> None:
    line = line_with(state)
    assert decode(encode(line)) == line


@given(HALVES)
def test_half_a_character_is_read_as_one_that_everybody_takes(text: str) -> None:
    read = line_with({"text": text, text: 1})
    state = decode(encode(read))["session_state"]
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert state == {"text": whole, whole: 1}


def test_the_deepest_line_that_is_read_can_be_written_again() -> None:
    raw = nested(200)
    assert encode(decode(raw)) == raw


@given(OBJECTS)
def test_a_line_is_one_line_of_ascii(state: dict[str, Any]) -> None:
    raw = encode(line_with(state))
    assert raw.isascii()
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert b"\r" not in raw


@given(OBJECTS)
def test_reading_and_writing_again_changes_no_byte(state: dict[str, Any]) -> None:
    raw = encode(line_with(state))
    assert encode(decode(raw)) == raw


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_written(number: float) -> None:
    line = sealed(run_draft("r1"))
    line["session_state"] = {"n": number}
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(line)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_damage(raw: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(raw)


@given(st.integers(min_value=1))
def test_no_beginning_of_a_line_is_a_line(length: int) -> None:
    raw = encode(sealed(run_draft("r1"))).rstrip(b"\n")
    with pytest.raises(DamagedError):
        decode(raw[: length % len(raw)])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"v":\xff}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"v":NaN}', "not JSON"),
        (b'{"v":-Infinity}', "not JSON"),
        (b'{"v":1e999}', "not JSON"),
        (b'{"v":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (nested(201), "nested too deeply"),
        (wrong(seq=10**4000), "'seq'"),
        (wrong(session_metrics=counted(input_tokens=10**30)), "'session_metrics'"),
        (wrong(session_metrics=counted(cost=10**400)), "'session_metrics'"),
        (wrong(session_metrics=counted(duration=1.7e308)), "'session_metrics'"),
        (b"{}", "'v' is missing"),
        (wrong(seq=True), "'seq'"),
        (wrong(seq="1"), "'seq'"),
        (wrong(seq=None), "'seq'"),
        (wrong(session_state=[]), "'session_state'"),
        (wrong(session_metrics={}), "'session_metrics'"),
        (wrong(messages=[{"role": "user"}]), "'messages'"),
        (wrong(error={}), "'error'"),
        (wrong(total_metrics=1), "'total_metrics'"),
        (wrong(total_metrics={}), "'total_metrics'"),
        (wrong(total_metrics=None), "'total_metrics'"),
        (wrong(metrics=with_details(1)), "'metrics'"),
        (wrong(metrics=with_details([1])), "'metrics'"),
        (wrong(metrics=with_details(None)), "'metrics'"),
        (without("data"), "'data'"),
    ],
)
def test_damage_says_what_is_wrong(raw: bytes, reason: str) -> None:
    with pytest.raises(DamagedError, match=reason):
        decode(raw)


@given(ANY_TEXT, VALUES)
def test_unknown_keys_are_kept(key: str, value: Any) -> None:
    line: dict[str, Any] = {f"x-{key}": value, **sealed(run_draft("r1"))}
    assert decode(json.dumps(line).encode()) == line


def test_a_line_of_an_unknown_type_is_read() -> None:
    assert decode(wrong(type="note"))["seq"] == 1


def test_a_run_that_failed_is_read() -> None:
    error = {"kind": "x", "message": "m", "hint": None, "retryable": False, "exit_code": 1}
    found: Line = decode(wrong(status="ERROR", error=error))
    assert found["type"] == "run"
    run: RunLine = found
    assert run["error"] == error
