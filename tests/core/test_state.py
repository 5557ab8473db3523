"""The state: merging, comparing, paths."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import NotFoundError, UsageError
from clew.core.state import (
    clean_patch,
    difference,
    get_path,
    merge,
    parse_json,
    parse_object,
    parse_path,
    same,
    set_path,
    storable_value,
    unset_path,
    without_nulls,
)

KEYS = st.sampled_from(["a", "b", "c", "", "é", "x.y"])
SCALARS = st.booleans() | st.integers(-1, 2) | st.text(max_size=3) | st.floats(allow_nan=False)


def nested(leaves: st.SearchStrategy[Any], items: st.SearchStrategy[Any]) -> Any:
    """Values nested in objects and lists; lists may hold `items` too."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner | items, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
        ),
        max_leaves=8,
    )


WITH_NULLS = nested(SCALARS | st.none(), SCALARS)
STATES = st.dictionaries(KEYS, nested(SCALARS, st.none()), max_size=4)
PATCHES = st.dictionaries(KEYS, WITH_NULLS, max_size=4)

RFC_7396 = """
{"a":"b"}               {"a":"c"}                    {"a":"c"}
{"a":"b"}               {"b":"c"}                    {"a":"b","b":"c"}
{"a":"b"}               {"a":null}                   {}
{"a":"b","b":"c"}       {"a":null}                   {"b":"c"}
{"a":["b"]}             {"a":"c"}                    {"a":"c"}
{"a":"c"}               {"a":["b"]}                  {"a":["b"]}
{"a":{"b":"c"}}         {"a":{"b":"d","c":null}}     {"a":{"b":"d"}}
{"a":[{"b":"c"}]}       {"a":[1]}                    {"a":[1]}
["a","b"]               ["c","d"]                    ["c","d"]
{"a":"b"}               ["c"]                        ["c"]
{"a":"foo"}             "bar"                        "bar"
{"e":null}              {"a":1}                      {"e":null,"a":1}
[1,2]                   {"a":"b","c":null}           {"a":"b"}
{}                      {"a":{"bb":{"ccc":null}}}    {"a":{"bb":{}}}
"""
EXAMPLES = [line.split() for line in RFC_7396.strip().splitlines()]


def has_null_member(value: Any) -> bool:
    if isinstance(value, dict):
        return None in value.values() or any(map(has_null_member, value.values()))
    return isinstance(value, list) and any(map(has_null_member, value))


@pytest.mark.parametrize(("old", "patch", "new"), EXAMPLES)
def test_the_examples_of_the_rfc_hold(old: str, patch: str, new: str) -> None:
    merged = merge({"v": json.loads(old)}, {"v": json.loads(patch)})
    assert merged == {"v": json.loads(new)}


def test_null_removes() -> None:
    assert merge({"a": {"b": 1}, "c": 1}, {"a": None, "d": None}) == {"c": 1}


@given(STATES, STATES)
def test_the_difference_leads_from_the_old_state_to_the_new(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert same(merge(old, difference(old, new)), new)


@given(STATES)
def test_there_is_no_difference_between_a_state_and_itself(state: dict[str, Any]) -> None:
    assert difference(state, json.loads(json.dumps(state))) == {}


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_values_that_only_python_takes_for_equal_differ(old: Any, new: Any) -> None:
    assert same(merge({"a": old}, difference({"a": old}, {"a": new})), {"a": new})


@given(STATES, PATCHES)
def test_a_merge_leaves_the_state_and_the_patch_as_they_were(
    state: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = json.dumps([state, patch])
    merge(state, patch)
    assert json.dumps([state, patch]) == before


@given(STATES, PATCHES)
def test_no_patch_brings_a_null_member_into_the_state(
    state: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert not has_null_member(merge(without_nulls(state), clean_patch(patch)))


@given(STATES, PATCHES)
def test_a_patch_applied_twice_changes_nothing_more(
    state: dict[str, Any], patch: dict[str, Any]
) -> None:
    once = merge(state, clean_patch(patch))
    assert same(merge(once, clean_patch(patch)), once)


# Values


@pytest.mark.parametrize("text", ["", "{", "nul", "[1,]", "{'a': 1}", "1 2", "[" * 100_000])
def test_what_is_no_json_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="--state"):
        parse_json(text, "--state")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "[NaN]"])
def test_what_is_no_number_in_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--state"):
        parse_json(text, "--state")


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "true"])
def test_a_state_has_to_be_an_object(text: str) -> None:
    with pytest.raises(UsageError, match="--state is not a JSON object"):
        parse_object(text, "--state")


def test_values_that_json_has_no_word_for_are_refused() -> None:
    with pytest.raises(UsageError, match="set"):
        storable_value({"a": {1, 2}}, "session_state")


def test_values_nested_too_deeply_are_refused() -> None:
    value: Any = 1
    for _ in range(101):
        value = [value]
    with pytest.raises(UsageError, match="100 levels"):
        storable_value(value, "session_state")


def test_half_characters_are_replaced_in_keys_and_values() -> None:
    assert storable_value({"\ud800": ("\udfff", 1)}, "x") == {"\ufffd": ["\ufffd", 1]}


# Paths

STATE = {"plan": {"steps": [{"name": "a"}, {"name": "b"}], "a.b": 1, "c/d": 2, "": 3, "0": 4}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("plan.steps.0.name", "a"),
        ("/plan/steps/1/name", "b"),
        ("/plan/a.b", 1),
        ("/plan/c~1d", 2),
        ("/plan/", 3),
        ("plan.0", 4),
    ],
)
def test_a_path_reaches_into_the_state(path: str, value: Any) -> None:
    assert get_path(STATE, path) == value


@pytest.mark.parametrize(
    "path",
    ["x", "plan.x", "plan.steps.2", "plan.steps.-", "plan.steps.-1", "plan.steps.01", "plan.0.x"],
)
def test_a_path_to_nothing_is_not_found(path: str) -> None:
    for reach in (get_path, unset_path):
        with pytest.raises(NotFoundError):
            reach(STATE, path)


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_a_path_with_an_empty_part_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is not a path"):
        parse_path(path)


@given(st.lists(st.text(), min_size=1))
def test_any_key_can_be_named_by_a_pointer(keys: list[str]) -> None:
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    assert parse_path(pointer) == keys


@given(STATES, st.lists(st.text("abc", min_size=1), min_size=1, max_size=4), SCALARS)
def test_what_was_set_can_be_got_and_unset(
    state: dict[str, Any], keys: list[str], value: Any
) -> None:
    path = ".".join(["top", *keys])
    changed = set_path(state | {"top": {}}, path, value)
    assert get_path(changed, path) == value
    with pytest.raises(NotFoundError):
        get_path(unset_path(changed, path), path)


def test_set_makes_the_objects_on_the_way() -> None:
    assert set_path({}, "a.b.c", 1) == {"a": {"b": {"c": 1}}}


def test_set_changes_lists_in_place_and_at_their_end() -> None:
    state = {"l": [1, 2]}
    assert set_path(state, "l.0", 9) == {"l": [9, 2]}
    assert set_path(state, "l.-", 9) == set_path(state, "l.2", 9) == {"l": [1, 2, 9]}
    assert unset_path(state, "l.0") == {"l": [2]}
    assert state == {"l": [1, 2]}


def test_setting_null_removes() -> None:
    assert set_path({"a": 1, "b": {"c": 1}}, "b.c", None) == {"a": 1, "b": {}}


@pytest.mark.parametrize("path", ["n.x", "l.3", "l.x", "l.x.y"])
def test_a_way_through_something_without_such_members_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        set_path({"n": 1, "l": [1, 2]}, path, 1)
