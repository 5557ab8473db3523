"""What is wrong with a workflow's steps is found before anything runs."""

from typing import Any

import pytest

from clew.core import Agent
from clew.core.errors import UsageError
from clew.core.step_check import check, problems
from clew.core.step_names import named
from clew.core.steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Pause,
    Router,
    Step,
    Steps,
)

DOES = Command(["wc"])


def step(name: str, **more: Any) -> Step:
    return Step(DOES, name=name, **more)


def said(*nodes: Node) -> list[str]:
    """Return what is wrong with these steps, each with its place."""
    return [
        f"{'.'.join(map(str, wrong.place))}: {wrong.message}" for wrong in problems(named(nodes))
    ]


def hint(*nodes: Node) -> str | None:
    (wrong,) = problems(named(nodes))
    return wrong.hint


def test_good_steps_of_every_kind_have_nothing_wrong() -> None:
    nodes: list[Node] = [
        step("a", input=".input"),
        Parallel([step("b", input=".steps.a.content"), step("c")]),
        Condition(".steps.b.status == .steps.c.status", [step("d")], [step("e")]),
        Loop([step("f", input=".steps.g.content // .steps.d.content"), step("g")], until="true"),
        Router('if .steps.g then "h" else ["i", "h"] end', [step("h"), step("i")]),
        step("j", stop='.last.content == "x" and .steps.all'),
        Steps([step("k", input=".last.content")], name="all"),
        step("l", pause=Pause(review=True, on_reject="retry", seconds=1, on_timeout="approve")),
        step("m", on_error="pause", pause=Pause(message="Well?")),
        Router(None, [step("n")], pause=Pause(message="Which?", seconds=1, on_timeout="skip")),
    ]
    assert said(*nodes[:5]) == []
    assert said(*nodes) == ["steps.5.stop: the step 'all' never runs before this"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (".stepz.a.content", "jq sees no 'stepz'"),
        (".last | .stepz", None),
        (".session_stat.x // 1", "jq sees no 'session_stat'"),
        ("[.last.data[] | select(.x == 1) | .y]", None),
        (".session_state.rows | map(.n) | add", None),
        (".user_input.who", None),
        (".params.unknown", "there is no param 'unknown'"),
        ('.params["lang"]', None),
    ],
)
def test_what_jq_asks_for_and_nobody_has_is_told(text: str, wrong: str | None) -> None:
    found = [each.message for each in problems(named([step("a", input=text)]), {"lang"})]
    assert found == ([wrong] if wrong else [])


def test_only_what_steps_are_given_can_be_asked_of_all_expressions() -> None:
    assert said(Condition(".user_input.who", [step("a")])) == [
        "steps.0.if: jq sees no 'user_input'"
    ]


def test_values_that_nobody_gives_cannot_be_approved() -> None:
    fields = {"type": "object", "properties": {"who": {"type": "string"}}}
    pause = Pause(user_input=fields, seconds=1, on_timeout="approve")
    (wrong,) = said(step("a", pause=pause))
    assert wrong == "steps.0.on_timeout: without an answer there are no values to go on with"


@pytest.mark.parametrize("key", ["add_workflow_history", "num_history_runs"])
def test_a_command_cannot_be_told_of_history(key: str) -> None:
    (wrong,) = said(step("a", **{key: 1 if key == "num_history_runs" else True}))
    assert wrong.startswith(f"steps.0.{key}: only an agent, a team or a workflow")


@pytest.mark.parametrize(
    ("node", "place"),
    [
        (step("a", input=".a |"), "steps.0.input"),
        (step("a", stop="nosuch"), "steps.0.stop"),
        (Condition("(", [step("a")]), "steps.0.if"),
        (Loop([step("a")], until="1 +"), "steps.0.until"),
        (Router("[", [step("a")]), "steps.0.router"),
        (Steps([Parallel([step("a", input="'")])]), "steps.0.steps.0.parallel.0.input"),
        (Condition("true == .last", [step("a")], [step("b", input="}")]), "steps.0.else.0.input"),
        (Condition("1, 2", [step("a")]), "steps.0.if"),
    ],
)
def test_bad_jq_is_told_with_its_place(node: Node, place: str) -> None:
    (wrong,) = said(node)
    assert wrong.startswith(f"{place}: the jq program ")


def test_a_step_that_is_not_there_is_told_with_one_that_may_be_meant() -> None:
    nodes = [step("draft"), step("b", input=".steps.darft.content")]
    assert said(*nodes) == ["steps.1.input: there is no step 'darft'"]
    assert hint(*nodes) == "did you mean draft?"
    assert hint(step("draft"), step("b", input=".steps.zzz")) == "the steps are: b, draft"


@pytest.mark.parametrize(
    "nodes",
    [
        [step("a", input=".steps.b.content"), step("b")],
        [step("a"), step("b", input=".steps.b.content")],
        [Parallel([step("a"), step("c", input=".steps.b.x")]), step("b")],
        [Parallel([step("b"), step("c", input=".steps.b.x")])],
        [Condition(".input", [step("b")], [step("c", input=".steps.b.x")])],
        [Condition(".steps.b", [step("b")])],
        [Router(".steps.b.content", [step("b")])],
        [Steps([step("a", input=".steps.b.x")], name="b")],
    ],
)
def test_a_step_that_never_runs_before_is_told(nodes: list[Node]) -> None:
    (wrong,) = said(*nodes)
    assert wrong.endswith(": the step 'b' never runs before this")


def test_what_a_step_itself_has_come_to_is_not_among_the_steps_when_it_may_stop() -> None:
    own = step("a", stop='.steps.a.content == "x"')
    assert said(own) == ["steps.0.stop: `.steps` does not have 'a' yet"]
    assert hint(own) == "it is `.last` here"
    assert said(Loop([own])) == []  # that is the iteration before


def test_in_a_loop_steps_that_stand_later_have_run_in_the_iteration_before() -> None:
    loop = Loop(
        [Condition(".steps.b", [step("a", input=".steps.c.content")], [step("c")]), step("b")],
        until=".steps.a",
        name="loop",
    )
    assert said(loop) == []
    assert said(Loop([loop, step("d", input=".steps.loop.x")]), step("e", input=".steps.d")) == []


def test_a_name_with_a_dash_is_no_subtraction() -> None:
    nodes = [step("fact-check"), step("b", input=".steps.fact-check.content")]
    assert said(*nodes)[0].startswith("steps.1.input: the jq program is wrong: check/0 is not")
    assert hint(*nodes) == 'in jq that is a subtraction; write .steps["fact-check"]'
    nodes = [step("a"), step("a"), step("b", input=".steps.a-2")]
    assert said(*nodes) == ["steps.2.input: `.steps.a-2` is not the step 'a-2'"]
    assert said(step("a"), step("a"), step("b", input='.steps["a-2"]')) == []


def test_a_choice_that_nobody_has_is_told() -> None:
    router = Router('if .input then "shrt" else "long" end', [step("short"), step("long")])
    assert said(router) == ["steps.0.router: there is no choice 'shrt'"]
    assert hint(router) == "did you mean short?"
    assert hint(Router('"x"', [step("short"), step("long")])) == "the choices are: short, long"


STOPS = step("end", stop=True)


@pytest.mark.parametrize(
    "node",
    [
        STOPS,
        Steps([step("a"), STOPS]),
        Parallel([step("a"), STOPS]),
        Loop([STOPS]),
        Condition(".input", [STOPS], [step("a"), Steps([STOPS])]),
        step("end", stop=True, pause=Pause(confirmation=True, on_reject="cancel")),
    ],
)
def test_what_stands_after_the_end_of_the_workflow_is_never_reached(node: Node) -> None:
    (wrong,) = said(step("x"), node, step("y"), step("z"))
    assert wrong.startswith("steps.2: it is never reached: ")
    assert wrong.endswith(" always stops the workflow")


@pytest.mark.parametrize(
    "node",
    [
        step("a", stop=".input"),
        Condition(".input", [STOPS]),
        Condition(".input", [STOPS], [step("a")]),
        Router(".input", [STOPS]),
        step("a", stop=True, on_error="skip"),
        step("a", stop=True, pause=Pause(confirmation=True)),
        step(
            "a",
            stop=True,
            pause=Pause(review=True, on_reject="retry", on_timeout="skip", seconds=1),
        ),
    ],
)
def test_what_may_be_reached_is_not_told(node: Node) -> None:
    assert said(node, step("after")) == []


@pytest.mark.parametrize("test", ["false", False, "null", "1 > 2"])
def test_what_stands_below_a_condition_that_never_holds_is_told(test: Any) -> None:
    wrong = "steps.0.then: it is never reached: the condition never holds"
    assert said(Condition(test, [step("a")], [step("b")])) == [wrong]


@pytest.mark.parametrize("test", ["true", True, '"false"'])
def test_an_else_of_a_condition_that_always_holds_is_told(test: Any) -> None:
    wrong = "steps.0.else: it is never reached: the condition always holds"
    assert said(Condition(test, [step("a")], [step("b")])) == [wrong]
    assert said(Condition(test, [step("a")])) == []


WRONG: Any = object()


@pytest.mark.parametrize(
    ("node", "wrong"),
    [
        (Step(WRONG), "steps.0: a step does an Agent, a Team, a Workflow, a Command or a function"),
        (step("a", on_error="stop"), "steps.0.on_error: it is one of fail, skip, pause, not 'stop"),
        (step("a", retries=-1), "steps.0.retries: it is 0 or more, not -1"),
        (step("a", retries=True), "steps.0.retries: it is 0 or more, not True"),
        (Step(Agent(), name="a", num_history_runs=-1), "steps.0.num_history_runs: it is 0 or more"),
        (step("a", stop=1), "steps.0.stop: it is true, false or jq, not 1"),
        (step("a", input=3), "steps.0.input: it is a jq program, not 3"),
        (step("a", pause=Pause(on_reject=WRONG)), "steps.0.on_reject: it is one of skip, cancel,"),
        (
            step("a", pause=Pause(review=True, on_timeout=WRONG, seconds=1)),
            "steps.0.on_timeout: it is one of skip, ",
        ),
        (
            step("a", pause=Pause(confirmation=True, on_timeout="skip")),
            "steps.0.on_timeout: answer_within says how long the answer may take",
        ),
        (step("a", pause=Pause(message="Well?")), "steps.0.message: nobody is waited for here"),
        (step("a", pause=Pause(seconds=5)), "steps.0.answer_within: nobody is waited for here"),
        (
            step("a", pause=Pause(confirmation=True, on_reject="retry")),
            "steps.0.on_reject: only a review can have a step run again",
        ),
        (
            Router(".input", [step("a")], pause=Pause(message="Which?")),
            "steps.0.message: nobody is waited for here",
        ),
        (
            Router(None, [step("a")], pause=Pause(confirmation=True)),
            "steps.0: a router only asks which choice is taken",
        ),
        (
            Router(None, [step("a")], pause=Pause(on_reject="retry")),
            "steps.0.on_reject: only a review can have a step run again",
        ),
        (
            Router(None, [step("a")], pause=Pause(seconds=1, on_timeout="approve")),
            "steps.0.on_timeout: without an answer there is no choice to take",
        ),
        (step("a", pause=Pause(user_input={})), "steps.0.requires_user_input: the schema has to"),
        (Step(Command("wc")), "steps.0.run: a command is a list of texts, not 'wc'"),
        (Step(Command([])), "steps.0.run: a command is a list of texts, not []"),
        (Step(Command(["wc"], seconds=0)), "steps.0.run: its time is a number of seconds above 0"),
        (Loop([step("a")], max_iterations=0), "steps.0.max_iterations: it is 1 or more, not 0"),
        (Condition(WRONG, [step("a")]), "steps.0.if: it is jq, a command or a function, not "),
        (Condition(Command([""]), [step("a")]), "steps.0.if.run: a command begins with a program"),
        (Loop([step("a")], until=WRONG), "steps.0.until: it is jq, a command or a function"),
        (Router(WRONG, [step("a")]), "steps.0.router: a route is jq, a command or a function"),
        (Steps([]), "steps.0.steps: there has to be at least one step"),
        (Parallel([]), "steps.0.parallel: there has to be at least one step"),
        (Condition(".input", []), "steps.0.then: there has to be at least one step"),
        (Loop([]), "steps.0.loop: there has to be at least one step"),
        (Router(None, []), "steps.0.choices: there has to be at least one step"),
    ],
)
def test_what_no_step_can_have_is_told(node: Node, wrong: str) -> None:
    (found,) = said(node)
    assert found.startswith(wrong)


def test_a_workflow_needs_steps() -> None:
    assert said() == ["steps: there has to be at least one step"]


def test_everything_wrong_is_told_and_the_first_of_it_raised() -> None:
    nodes = named([step("a", input="(", retries=-1), Steps([step("b", stop=")")])])
    assert len(list(problems(nodes))) == 3
    with pytest.raises(UsageError, match=r"^steps\.0\.input: the jq program is wrong: "):
        check(nodes)
