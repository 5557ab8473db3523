"""Text from outside."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.text import (
    capped,
    is_secret_name,
    redact,
    shorten,
    showable,
    storable,
    without_middle,
)


@given(st.text(st.characters()))
def test_what_is_storable_is_utf8_and_survives_json(text: str) -> None:
    stored = storable(text)
    assert stored.encode().decode() == stored
    assert json.loads(json.dumps(stored)) == stored


@given(st.text())
def test_text_that_is_text_stays_as_it_is(text: str) -> None:
    assert storable(text) == text


@given(st.binary())
def test_bytes_of_an_argument_become_storable(raw: bytes) -> None:
    argument = raw.decode("utf-8", "surrogateescape")
    assert storable(argument) == storable(argument).encode().decode()


def test_each_byte_that_is_no_text_becomes_one_replacement_character() -> None:
    assert storable("a\udcff\udcfeb") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    "control", ["\x1b[31m", "\x07", "\x08", "\r", "\x7f", "\x9b31m", "\u202e", "\u2066", "\x00"]
)
def test_control_characters_are_not_shown(control: str) -> None:
    assert not set(control[0]) & set(showable(f"a{control}b"))


def test_line_breaks_tabs_and_letters_are_shown() -> None:
    text = "a\tb\n日本 é \N{GRINNING FACE}"
    assert showable(text) == text


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "AZURE_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "APIKEY"],
)
def test_a_name_that_says_so_is_a_secret_s(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["HOME", "KEYBOARD", "MONKEY", "max_tokens", "CLEW_MODEL"])
def test_another_name_is_no_secret_s(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_of_the_environment_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-CANARY-1")
    assert redact("sent sk-CANARY-1 twice: sk-CANARY-1") == "sent [redacted] twice: [redacted]"


def test_a_secret_within_a_longer_one_leaves_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-CANARY-1")
    monkeypatch.setenv("MY_TOKEN", "sk-CANARY-1-longer")
    assert redact("sk-CANARY-1-longer") == "[redacted]"


def test_a_value_too_short_to_be_a_secret_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "a")
    assert redact("a plain text") == "a plain text"


def test_a_text_that_is_not_too_long_stays_whole() -> None:
    text = "x" * 60
    assert shorten(text, 60) == capped(text, 60) == without_middle(text, 60) == text


@given(st.text(min_size=3), st.integers(2, 20))
def test_a_shortened_text_is_never_longer_than_was_asked(text: str, most: int) -> None:
    assert len(shorten(text, most)) <= most


def test_the_end_the_bytes_or_the_middle_give_way_and_that_is_said() -> None:
    assert shorten("abcdefgh", 4) == "abc…"
    assert capped("abcé" * 2, 4) == "abc\n[cut: 7 more bytes]"
    assert without_middle("abcdefgh", 4) == "ab […] gh"
