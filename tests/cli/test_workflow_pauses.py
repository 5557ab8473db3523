"""What steps wait for: asked at the terminal, told where nobody is there, and settled later."""

from collections.abc import Callable, Iterator

import pytest

from clew.core.clock import now
from tests.conftest import Clew, eventually
from tests.flows import flows
from tests.paused import call, plays, sent, tool
from tests.terminal import Person

Sits = Callable[..., Person]
RUN = ("run", "-s", "s", "--workflow", "flows:it", "hello")
MAY_RUN = "run it? [y/N, or why not] "
TAKE = "take it? [y/N, e to edit it, or why not] "
FIELDS = '{"type": "object", "properties": {"n": {"type": "integer", "description": "How many"}}}'


@pytest.fixture
def sits(clew: Clew) -> Iterator[Sits]:
    """Have a person at a terminal run a workflow of these steps."""
    people: list[Person] = []

    def start(steps: str, *options: str) -> Person:
        flows(clew, f"it = Workflow(steps=[{steps}])")
        people.append(Person(clew, *RUN, *options))
        return people[-1]

    yield start
    for person in people:
        person.leave()


def paused(clew: Clew, steps: str) -> str:
    """Run a workflow of these steps, which waits; return what is told of that."""
    flows(clew, f"it = Workflow(steps=[{steps}])")
    return clew(*RUN, code=6).err


def waits(**pause: object) -> str:
    said = ", ".join(f"{key}={value!r}" for key, value in pause.items())
    return f"sh('touch ran; rev', 'out', pause=Pause({said}))"


def test_a_person_is_told_what_a_step_runs_and_asked_before_it_does(clew: Clew, sits: Sits) -> None:
    person = sits(waits(confirmation=True, message="Really send it?"))
    shown = person.sees(MAY_RUN)
    assert "clew: step 'out' wants to run: Really send it?" in shown
    assert "clew: that runs: sh -c 'touch ran; rev'" in shown
    assert not (clew.cwd / "ran").exists()
    person.types("y\n")
    code, shown = person.end()
    assert (code, "olleh" in shown) == (0, True)


def test_a_no_leaves_the_step_out_and_its_reason_is_on_record(clew: Clew, sits: Sits) -> None:
    person = sits(f"sh('cat', 'first'), {waits(confirmation=True)}")
    person.sees(MAY_RUN)
    person.types("not on a Friday\n")
    assert person.end()[0] == 0
    line = clew.stored("s")[-1]
    assert [step["status"] for step in line["steps"]] == ["COMPLETED", "SKIPPED"]
    assert line["requirements"][0]["note"] == "not on a Friday"
    assert not (clew.cwd / "ran").exists()


def test_no_answer_leaves_the_step_open(clew: Clew, sits: Sits) -> None:
    person = sits(waits(confirmation=True))
    person.sees(MAY_RUN)
    person.types(b"\x04")
    code, shown = person.end()
    assert code == 6
    assert "clew: paused: step 'out' waits for --confirm or --reject" in shown


def test_a_person_sees_what_a_step_came_to_and_takes_it(clew: Clew, sits: Sits) -> None:
    person = sits(f"{waits(review=True)}, sh('rev', 'back')")
    assert "clew: step 'out' is to be looked over\r\n  | olleh\r\n" in person.sees(TAKE)
    person.types("y\n")
    assert "hello" in person.end()[1]


def test_a_person_edits_what_a_step_came_to_in_their_editor(clew: Clew, sits: Sits) -> None:
    editor = clew.cwd / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/olleh/HI/" "$1"\n')
    editor.chmod(0o755)
    clew.env["VISUAL"] = str(editor)
    person = sits(f"{waits(review=True)}, sh('rev', 'back')")
    person.sees(TAKE)
    person.types("e\n")
    assert "IH" in person.end()[1]
    assert clew.stored("s")[-1]["steps"][0]["content"] == "HI"


def test_an_edit_that_is_not_saved_asks_again(clew: Clew, sits: Sits) -> None:
    clew.env["VISUAL"] = "true"
    person = sits(waits(review=True))
    person.sees(TAKE)
    person.types("e\n")
    person.sees(TAKE)
    person.types("y\n")
    assert person.end()[0] == 0


def test_a_person_is_asked_for_values_until_they_fit(clew: Clew, sits: Sits) -> None:
    step = f"sh('echo $CLEW_USER_INPUT', 'ask', pause=Pause(user_input={FIELDS}))"
    person = sits(step)
    assert "clew: step 'ask' needs to be told" in person.sees("n (How many): ")
    person.types("few\n")
    assert "not of type 'integer'" in person.sees("n (How many): ")
    person.types("3\n")
    assert '{"n": 3}' in person.end()[1]


def test_a_person_chooses_among_what_a_router_has(clew: Clew, sits: Sits) -> None:
    person = sits("Router(None, [sh('rev', 'x'), sh('cat', 'y')], name='way')")
    person.sees("choice (x, y): ")
    person.types("z\n")
    person.sees("choice (x, y): ")
    person.types("x\n")
    assert "olleh" in person.end()[1]


def test_a_step_of_a_workflow_inside_is_named_with_it(clew: Clew, sits: Sits) -> None:
    person = sits(f"Workflow(name='inner', steps=[{waits(confirmation=True)}])")
    assert "clew: step 'inner/out' wants to run" in person.sees(MAY_RUN)
    person.types("y\n")
    assert person.end()[0] == 0


def test_with_y_no_step_asks_for_a_yes(clew: Clew) -> None:
    flows(clew, f"it = Workflow(steps=[{waits(confirmation=True, review=True)}])")
    assert clew(*RUN, "-q", "-y").out == "olleh\n"


def test_with_deny_steps_that_ask_are_left_out(clew: Clew) -> None:
    flows(clew, f"it = Workflow(steps=[{waits(confirmation=True)}])")
    clew(*RUN, "-q", "--approve", "deny")
    assert not (clew.cwd / "ran").exists()


def test_a_pause_says_what_waits_and_how_it_is_settled(clew: Clew) -> None:
    told = paused(clew, waits(confirmation=True, message="Really?"))
    assert "clew: paused: step 'out' (Really?) waits for --confirm or --reject\n" in told
    assert "hint: clew continue -s s --confirm or --reject\n" in told


def test_a_pause_for_a_review_shows_what_is_to_be_looked_over(clew: Clew) -> None:
    told = paused(clew, waits(review=True))
    result = "--confirm, --reject or --result out:review=TEXT"
    assert f"step 'out' [out:review] waits for {result}\n  | olleh\n" in told
    assert clew("continue", "-q", "--result", "out:review=Hi").out == "Hi\n"


def test_what_settles_a_step_can_be_put_into_a_shell_as_it_is_told(clew: Clew) -> None:
    step = "sh('rev', 'the draft', pause=Pause(review=True))"
    assert "--result 'the draft:review'=TEXT" in paused(clew, step)
    assert clew.shell("clew continue -q --result 'the draft:review'=Hi").out == "Hi\n"


def test_a_pause_for_a_choice_says_what_there_is_to_choose_from(clew: Clew) -> None:
    told = paused(clew, "Router(None, [sh('rev', 'x'), sh('cat', 'y')], name='way')")
    assert "step 'way' waits for --answer choice=VALUE (x, y)\n" in told


def test_a_pause_at_several_steps_tells_of_each_how_it_is_settled(clew: Clew) -> None:
    parts = ["sh('cat', 'a', pause=Pause(confirmation=True))", waits(review=True)]
    told = paused(clew, f"Parallel([{', '.join(parts)}], name='both')")
    assert "clew: paused: step 'both/a' waits for --confirm or --reject\n" in told
    hint = "clew continue -s s --confirm, --reject or --result both/out:review=TEXT\n"
    assert told.endswith(f"  hint: {hint}")


def test_a_pause_says_until_when_it_waits_and_what_comes_then(clew: Clew) -> None:
    told = paused(clew, waits(confirmation=True, seconds=3600.0, on_timeout="approve"))
    assert " UTC; then it is approved\n" in told


def test_history_shows_what_a_paused_workflow_waits_for(clew: Clew) -> None:
    paused(clew, waits(review=True))
    shown = clew("history", "-q").out
    assert "PAUSED\n   step 'out' [out:review] waits for" in shown
    assert "\n   | olleh\n" in shown


def test_resume_without_an_answer_is_refused_with_the_ways_to_give_one(clew: Clew) -> None:
    paused(clew, waits(review=True))
    assert (
        "hint: settle it with --confirm or --reject\n" in clew("continue", "--resume", code=2).err
    )


def test_a_workflow_that_waits_takes_no_prompt_with_its_answer(clew: Clew) -> None:
    paused(clew, waits(confirmation=True))
    assert "takes no prompt" in clew("continue", "--confirm", "and more", code=2).err


def test_a_stop_at_the_question_of_one_of_several_steps_stops_them(clew: Clew, sits: Sits) -> None:
    steps = ", ".join(f"sh('cat', {name!r}, pause=Pause(confirmation=True))" for name in "ab")
    person = sits(f"Parallel([{steps}], name='both')")
    person.sees(MAY_RUN)
    person.types(b"\x03")
    assert MAY_RUN not in person.end()[1]
    (both,) = clew.stored("s")[-1]["steps"]
    assert "CANCELLED" in [step["status"] for step in both["steps"]]


def test_a_step_that_failed_can_wait_for_somebody_to_have_it_run_again(clew: Clew) -> None:
    steps = "sh('echo x >> ran; cat', 'one'), sh('test -e ok && cat', 'two', on_error='pause')"
    told = paused(clew, steps)
    failed = "step 'two' [two:error] (it failed with exit code 1)"
    assert f"clew: paused: {failed} waits for --confirm or --reject\n" in told
    clew("continue", "-q", "--confirm", code=6)
    (clew.cwd / "ok").touch()
    assert clew("continue", "-q", "--confirm").out == "hello\n"
    assert (clew.cwd / "ran").read_text() == "x\n"


def test_what_an_agent_in_a_step_waits_for_is_settled_as_the_workflows(clew: Clew) -> None:
    send = tool(clew, requires_confirmation=True)
    model = plays(clew, [call("c1", to="ann")], asked="hello", answer="Sent.")
    flows(
        clew,
        f"""
        from clew.core.tool_specs import tools_of
        agent = Agent(name="mail", model={model!r}, tools=tools_of({send!r}))
        it = Workflow(steps=[sh("echo x >> ran; cat"), Step(agent, name="post"), sh("rev")])
        """,
    )
    told = clew(*RUN, code=6).err
    assert 'clew: paused: mail: send({"to": "ann"}) [' in told
    assert sent(clew) == []
    assert clew("continue", "-q", "--confirm").out == ".tneS\n"
    assert sent(clew) == [{"to": "ann"}]
    assert (clew.cwd / "ran").read_text() == "x\n"


@pytest.mark.parametrize(
    ("on_timeout", "then", "said"),
    [
        ("skip", "the step is left out", "hello\n"),
        ("approve", "it is approved", "olleh\n"),
    ],
)
def test_who_answers_too_late_is_told_what_was_decided(
    clew: Clew, on_timeout: str, then: str, said: str
) -> None:
    late = waits(confirmation=True, seconds=1, on_timeout=on_timeout)
    paused(clew, f"sh('cat'), {late}")
    eventually(lambda: now() > clew.stored("s")[-1]["requirements"][0]["expires_at"])
    answered = clew("continue", "-s", "s", "--confirm")
    assert f"clew: nobody answered step 'out' in time: {then}\n" in answered.err
    assert answered.out == said


@pytest.mark.parametrize("place", ["{0}", "Step(Workflow(name='in', steps=[{0}]))"])
def test_a_no_to_everything_does_not_send_a_step_back_for_ever(clew: Clew, place: str) -> None:
    again = "sh('echo >> ran; test $(wc -l < ran) -lt 4', 'out', pause=Pause({}))"
    again = again.format("review=True, on_reject='retry'")
    flows(clew, f"it = Workflow(steps=[{place.format(again)}])")
    clew(*RUN, "--approve", "deny")
    assert (clew.cwd / "ran").read_text().count("\n") == 1
