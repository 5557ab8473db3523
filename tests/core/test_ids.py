"""What may be an id, and which folder a user gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core import ids
from clew.core.clock import new_id, new_run_id
from clew.core.errors import UsageError

PRINTABLE = st.text(min_size=1, max_size=200).filter(
    lambda text: text.isprintable() and not text.isspace()
)
BAD_ANYWHERE = ["", " ", "\n", "a\nb", "a\0b", "\x1b[31m", "a" * 201, "\ud800", "\u2028"]


@pytest.mark.parametrize("text", ["a", "0", "a.b_c-d", "a..", "a" * 100])
def test_a_session_id_is_plain_and_lower_case(text: str) -> None:
    assert ids.session_id(text) == text


@pytest.mark.parametrize(
    "text", [*BAD_ANYWHERE, "../x", "a/b", ".a", "-a", "_a", "é", "a b", "a" * 101, "a\n", "%41"]
)
def test_anything_else_is_no_session_id(text: str) -> None:
    with pytest.raises(UsageError, match="is not a session id"):
        ids.session_id(text)


def test_capitals_get_the_lower_case_form_as_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        ids.session_id("Trip-2")
    assert "trip-2" in str(caught.value.hint)


def test_a_long_wrong_id_is_not_repeated_in_full() -> None:
    with pytest.raises(UsageError) as caught:
        ids.session_id("A" * 300)
    assert len(caught.value.message) < 100


@pytest.mark.parametrize("check", [ids.run_id, ids.user_id, ids.session_name])
@pytest.mark.parametrize("text", BAD_ANYWHERE)
def test_what_cannot_be_printed_is_no_id_and_no_name(check: object, text: str) -> None:
    assert callable(check)
    with pytest.raises(UsageError):
        check(text)


@given(PRINTABLE)
def test_any_printable_text_is_a_run_id_a_user_id_and_a_name(text: str) -> None:
    assert ids.run_id(text) == ids.user_id(text) == ids.session_name(text) == text


def test_only_ids_that_clew_made_are_generated() -> None:
    assert ids.is_generated(new_id())
    assert not ids.is_generated("3f2a")
    assert not ids.is_generated(new_id().upper())
    assert not ids.is_generated(f"{new_id()}x")


def test_a_run_id_that_clew_made_up_is_told_from_a_uuid_of_the_callers_own() -> None:
    made = [new_run_id() for _ in range(50)]
    assert len(set(made)) == 50
    assert all(ids.is_made_here(run) and ids.is_generated(run) for run in made)
    assert not any(ids.is_made_here(run) for run in (new_id(), "r", made[0].upper()))


@given(PRINTABLE)
def test_the_session_of_a_run_id_is_a_session_id(run: str) -> None:
    session = ids.session_for(run)
    assert ids.is_session_id(session)
    assert session == run or not ids.is_session_id(run)


@given(PRINTABLE, PRINTABLE)
def test_the_folder_of_a_user_is_safe_and_its_own(one: str, other: str) -> None:
    folder = ids.user_folder(one)
    assert folder == folder.lower()
    assert folder.isascii()
    assert not folder.startswith(".")
    assert "/" not in folder
    assert len(folder) <= 180
    assert (folder == ids.user_folder(other)) == (one == other)


def test_long_user_ids_that_begin_alike_have_folders_of_their_own() -> None:
    one, other = "ä" * 199 + "x", "ä" * 199 + "y"
    assert ids.user_folder(one) != ids.user_folder(other)


@given(st.text())
def test_any_text_has_a_digest_that_is_a_file_name(text: str) -> None:
    assert ids.is_session_id(ids.digest(text))
