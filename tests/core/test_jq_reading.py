"""What is said of a jq program without running it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import UsageError
from clew.core.jq_program import program
from clew.core.jq_reading import always, steps_named, texts_given


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (".steps.draft.content", ["draft"]),
        ('.steps["two words"].content', ["two words"]),
        ('.steps."a-b"', ["a-b"]),
        (".steps?.draft?", ["draft"]),
        (".steps.a.n + .steps.b.n", ["a", "b"]),
        ('if .steps.a.content | test("x") then .steps.b else .steps.c end', ["a", "b", "c"]),
        ("{a: .steps.a, if: .steps.b, b: [.steps.c]}", ["a", "b", "c"]),
        ('"so: \\(.steps.a.content | length) and \\(.steps.b)" + .steps.c', ["a", "b", "c"]),
        (". as $x | .steps.a", ["a"]),
        ('.session_state as {n: $n, "m": [$m]} | .steps.a', ["a"]),
        ("(.input | length) < (.steps.a.content | length)", ["a"]),
        ("def f(x; y): x; f(1; 2), .steps.a", ["a"]),
        ("select(.steps.a) | .input", ["a"]),
        ("try .steps.a catch .steps.b", ["a"]),
        ("reduce .steps.a.data[] as $x (0; . + $x) | .steps.b", ["a"]),
        ("# .steps.no\n.steps.a # .steps.no", ["a"]),
        ('".steps.no"', []),
        (".steps.end.if", ["end"]),
    ],
)
def test_the_steps_that_a_program_names_are_found(text: str, names: list[str]) -> None:
    program(text)
    assert steps_named(text) == names


@pytest.mark.parametrize(
    "text",
    [
        ".last.steps.a",
        ".session_state | .steps.a",
        ".params.x[0].steps.a",
        "map(.steps.a)",
        ".session_state |= .steps.a",
        "def f: .steps.a; .last | f",
        "reduce .params[] as $x (0; .steps.a)",
        ".params as $p | $p.steps.a",
        '.params | if .steps.a then .steps.b else "\\(.steps.c)" end',
        ".last, (.params | .steps.a)",
        ".steps",
        ".steps[]",
        ".steps[.params.name]",
        '.steps["a" + "b"]',
        '.steps["a\\(.input)"]',
        ". as [$a] | .params | .steps.b",
    ],
)
def test_what_may_be_something_else_than_a_step_is_not_taken_for_one(text: str) -> None:
    assert steps_named(text) == []


@pytest.mark.parametrize("text", ["false", "1 == 2", "true and (null | not)", '"a"', "-1", "[]"])
def test_what_hangs_on_nothing_is_always_the_same(text: str) -> None:
    assert always(text)


@pytest.mark.parametrize(
    "text", [".", ".input", "now > 1", "$ENV.A", "..", '"\\(.input)"', "env", "@json", "input"]
)
def test_what_hangs_on_something_is_not_always_the_same(text: str) -> None:
    assert not always(text)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ('"short"', ["short"]),
        ('["a", "b"]', ["a", "b"]),
        ('"a", "b"', ["a", "b"]),
        ('if .input | test("urgent") then "short" else "long" end', ["short", "long"]),
        ('if .a then "a" elif .b == "x" then ["b", "c"] else "d" end', ["a", "b", "c", "d"]),
        ('if .a then (if .b then "x" else "y" end) else "z" end', ["z"]),
        ('if .a then if .b then "x" else "y" end else .z end', ["x", "y"]),
        ('if if .a then "p" else "q" end == "p" then {else: "v"} else "z" end', ["z"]),
        (".session_state.route", []),
        ('if .a then "a" else "b" end | ascii_upcase', []),
        ('if .a then "a" else "b" end + if .c then "c" else "d" end', []),
        ('"a" + "b"', []),
        ('"a\\(.input)"', []),
        ("[]", []),
    ],
)
def test_the_texts_that_a_program_gives_are_found(text: str, texts: list[str]) -> None:
    program(text)
    assert texts_given(text) == texts


WORDS = [".", ".steps", ".a", "|", "(", ")", "[", "]", '"', "\\(", "if", "then", "else", "end"]
WORDS += ["as", "$x", "def", ";", ":", "f", "1", ",", "#", "\n", "map", "reduce", "\\", "é", "{"]


@given(st.lists(st.sampled_from(WORDS), max_size=15).map(" ".join) | st.text(max_size=15))
def test_whatever_the_text_it_is_read_to_its_end(text: str) -> None:
    steps_named(text), always(text), texts_given(text)


@given(
    st.recursive(
        st.sampled_from(["true", "false", "null", "1", '"a"', '"#"', '"\\""']),
        lambda below: (
            st.builds("({} and {})".format, below, below)
            | st.builds("[{}, {}]".format, below, below)
            | st.builds("({} | not)".format, below)
        ),
        max_leaves=8,
    )
)
def test_what_is_always_the_same_is_so_whatever_the_input(text: str) -> None:
    assert always(text)
    try:
        found = program(text).values({"input": "a"})
    except UsageError:
        return
    assert found == program(text).values([1])
