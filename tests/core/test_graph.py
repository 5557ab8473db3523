"""A workflow as the text of a Mermaid flowchart."""

import re
from typing import Any

import pytest

from clew.core.agent import Agent
from clew.core.graph import mermaid
from clew.core.steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Pause,
    Router,
    Step,
    StepInput,
    Steps,
)
from clew.core.workflow import Workflow

ARROW = re.compile(r'  (\w+) -->(?:\|"(.*)"\|)? (\w+)')
SHAPE = re.compile(r' *(n\d+)[\[{]+"(.*)"[\]}]+')


def cat(name: str, **more: Any) -> Step:
    return Step(Command(["cat"]), name=name, **more)


def drawn(*nodes: Node) -> tuple[dict[str, str], set[tuple[str, str, str]]]:
    """Return the labels by id, and the arrows between the names that the labels begin with."""
    lines = mermaid(Workflow(steps=nodes)).splitlines()
    assert lines[:3] == ["flowchart TD", "  start([input])", "  done([output])"]
    labels = {found[1]: found[2] for line in lines if (found := SHAPE.fullmatch(line))}
    names = {key: label.partition("<br/>")[0] for key, label in labels.items()}
    names |= {"start": "START", "done": "END"}
    arrows = [found for line in lines if (found := ARROW.fullmatch(line))]
    return labels, {(names[found[1]], found[2] or "", names[found[3]]) for found in arrows}


def arrows(*nodes: Node) -> set[tuple[str, str, str]]:
    return drawn(*nodes)[1]


def label(node: Step | Router) -> str:
    return drawn(node)[0]["n1"]


def test_steps_stand_below_each_other() -> None:
    assert arrows(cat("a"), Steps([cat("b"), cat("c")])) == {
        *(("START", "", "a"), ("a", "", "b"), ("b", "", "c"), ("c", "", "END"))
    }


def test_steps_at_once_begin_at_one_place_and_are_all_waited_for() -> None:
    assert arrows(Parallel([cat("a"), cat("b")], name="p"), cat("c")) == {
        *(("START", "", "p"), ("p", "", "a"), ("p", "", "b")),
        *(("a", "", "c"), ("b", "", "c"), ("c", "", "END")),
    }


def test_a_condition_has_two_ways_of_which_one_may_be_empty() -> None:
    both = Condition(".x", [cat("a")], [cat("b")], name="c")
    assert arrows(both) == {
        *(("START", "", "c"), ("c", "yes", "a"), ("c", "no", "b")),
        *(("a", "", "END"), ("b", "", "END")),
    }
    one = Condition(".x", [cat("a")], name="c")
    assert arrows(one) == {
        *(("START", "", "c"), ("c", "yes", "a"), ("a", "", "END"), ("c", "no", "END"))
    }


def test_a_loop_goes_back_to_its_first_step() -> None:
    loop = Loop([Steps([cat("a")]), cat("b")], until=".x", max_iterations=7)
    assert arrows(loop) == {
        *(("START", "", "a"), ("a", "", "b"), ("b", "", "until .x")),
        *(("until .x", "again", "a"), ("until .x", "done", "END")),
    }
    assert "until .x<br/>at most 7 times" in drawn(loop)[0].values()


def test_a_loop_of_one_iteration_does_not_go_back() -> None:
    assert not any(way == "again" for _, way, _ in arrows(Loop([cat("a")], max_iterations=1)))


def test_a_router_has_a_way_to_each_choice_by_its_name() -> None:
    assert arrows(Router(".x", [cat("a"), cat("b")], name="r")) == {
        *(("START", "", "r"), ("r", "a", "a"), ("r", "b", "b")),
        *(("a", "", "END"), ("b", "", "END")),
    }
    assert label(Router(None, [cat("a")], name="r")) == "r<br/>somebody chooses"


def test_a_step_that_stops_the_workflow_goes_to_its_end_and_only_there_if_it_always_does() -> None:
    assert arrows(cat("a", stop=".x"), cat("b", stop=True)) == {
        *(("START", "", "a"), ("a", "stop if .x", "END"), ("a", "", "b"), ("b", "stop", "END"))
    }
    may_be_skipped = cat("a", stop=True, on_error="skip")
    assert ("a", "", "b") in arrows(may_be_skipped, cat("b"))
    assert ("c", "", "END") in arrows(Loop([cat("a", stop=True)]), cat("c"))


def test_an_agent_that_decides_answers_or_has_the_steps_run() -> None:
    lines = mermaid(Workflow(steps=[cat("a")], agent=Agent(name="host"))).splitlines()
    assert lines[3:] == [
        '  n1{"host<br/>decides"}',
        '  n2["a<br/>cat"]',
        "  start --> n1",
        '  n1 -->|"answers"| done',
        '  n1 -->|"asks"| n2',
        "  n2 --> done",
    ]


def shout(step: StepInput) -> str:
    return step.content.upper()


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step(Agent(name="finder")), "finder<br/>agent"),
        (Step(Agent(name="finder"), name="find"), "find<br/>agent finder"),
        (Step(Workflow(name="report", steps=[cat("a")])), "report<br/>workflow"),
        (Step(Command(["cat"])), "cat"),
        (Step(Command(["wc", "-w"]), name="words"), "words<br/>wc -w"),
        (Step(shout), "shout<br/>function"),
        (Step(lambda step: "x", name="x"), "x<br/>function"),
        (
            cat("cat", pause=Pause(confirmation=True, review=True)),
            "cat<br/>waits for confirmation, review",
        ),
    ],
)
def test_a_step_says_what_it_does_and_for_what_it_waits(step: Step, text: str) -> None:
    assert label(step) == text


def test_what_mermaid_would_read_as_its_own_is_spelled_out() -> None:
    step = Step(Command(['"', "<b>", "#1", "`x`", "&amp;", "$$", "a\nb\x1b[0m"]), name="end")
    assert label(step) == ("end<br/>#34; #60;b#62; #35;1 #96;x#96; #38;amp; $#36; a b[0m")


def test_long_labels_are_cut() -> None:
    assert len(label(Step(Command(["x" * 1000]), name="a"))) < 100


def test_frames_hold_their_own_steps_only() -> None:
    inner = Steps([cat("b", stop=".x")], name="inner")
    text = mermaid(Workflow(steps=[cat("a"), Loop([inner, cat("c")], name="outer"), cat("d")]))
    before, inside, after = re.split(r"  subgraph \w+\[\"outer\"\]\n|(?<=\n)  end\n", text)
    assert '["a<br/>cat"]' in before
    assert '    subgraph g2x2["inner"]\n      n2["b<br/>cat"]\n    end\n' in inside
    assert '["c<br/>cat"]' in inside
    assert '["d<br/>cat"]' in after
    assert "-->" not in before + inside
