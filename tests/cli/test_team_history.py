"""What `history`, `metrics`, `sessions` and `cancel` say of teams and their members."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Clew, eventually
from tests.crew import asks, crew, member, written
from tests.paused import call, tool
from tests.provider import Answer, Provider

Json = dict[str, Any]
COUNTS = ("input_tokens", "output_tokens", "total_tokens", "requests", "duration")
FOREVER = "touch begun; while [ ! -e go ]; do sleep 0.05; done; echo found"


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """Session `s`: a run `alone`, and a run `all` of a team of a critic and of a team."""
    clew = Clew(tmp_path_factory.mktemp("worked"))
    inner = crew(clew, member(clew, "digger"), name="diggers", asked="diggers: look")
    critic = member(clew, "critic", answer="Two faults.\nBoth old.")
    alone = clew.recording(("hi", "hello"))
    clew("run", "-q", "-s", "s", "--run-id", "alone", "-m", alone, "hi")
    team = written(clew, crew(clew, critic, inner))
    clew("run", "-q", "-s", "s", "--run-id", "all", "--team", team, "go")
    return clew


@pytest.fixture
def under_way(clew: Clew) -> Iterator["subprocess.Popen[bytes]"]:
    """A run `all` of a team in session `s`: `quick` is done, `slow` uses a tool that never ends."""
    slow = member(clew, "slow", [call("c1", "wait", to="x")])
    slow["tools"] = [tool(clew, "wait", FOREVER)]
    team = written(clew, crew(clew, member(clew, "quick"), slow))
    process = clew.start("run", "-s", "s", "--run-id", "all", "--team", team, "--json", "go")
    try:
        eventually((clew.cwd / "begun").exists)
        eventually(lambda: states(clew) == {"quick": "COMPLETED", "slow": "running"})
        yield process
    finally:
        process.kill()
        process.communicate()


def states(clew: Clew) -> dict[str, str]:
    """How it stands with each member, as the tree tells."""
    shown = clew("history", "-s", "s", "--tree").out.splitlines()
    heads = [line.split(" · ") for line in shown if line.strip()[:2] in ("├─", "└─")]
    return {head.split()[-1]: status for head, status, *_ in heads}


def runs(clew: Clew) -> dict[str | None, Json]:
    return {line["name"]: line for line in clew.stored("s")}


def history(clew: Clew, *options: str) -> list[Json]:
    lines: list[Json] = clew("history", "-q", "-s", "s", "--json", *options).lines
    return lines


def names(lines: list[Json]) -> list[str | None]:
    return [line["name"] for line in lines]


def test_history_shows_what_was_asked_for_and_not_what_members_did(worked: Clew) -> None:
    assert names(history(worked)) == [None, "crew"]


@pytest.mark.parametrize("option", ["--members", "--all"])
def test_members_adds_the_members_runs_as_they_are_stored(worked: Clew, option: str) -> None:
    stored = worked.session_file("s").read_text()
    assert worked("history", "-s", "s", "--json", option).out == stored


def test_a_members_run_is_marked_with_whose_it_is_and_in_which(worked: Clew) -> None:
    shown = worked("history", "-s", "s", "--members").out
    ids = {name: line["run_id"] for name, line in runs(worked).items()}
    assert f"{ids['digger']}\n   digger in run {ids['diggers']}\n> digger: look\n" in shown
    assert f"{ids['critic']}\n   critic in run all\n> critic: look\nTwo faults." in shown


def test_the_count_and_the_filters_hold_for_members_too(worked: Clew) -> None:
    looked = [line for line in worked.stored("s") if "look" in line["input"]]
    assert len(looked) == 3
    assert history(worked, "--members", "--grep", "LOOK", "-n", "1") == looked[-1:]


def test_a_members_run_is_shown_by_its_id(worked: Clew) -> None:
    critic = runs(worked)["critic"]
    assert history(worked, f"--run={critic['run_id']}") == [critic]


def test_a_run_with_its_members_is_chosen_by_its_id(worked: Clew) -> None:
    diggers = runs(worked)["diggers"]["run_id"]
    assert names(history(worked, f"--run={diggers}", "--members")) == ["digger", "diggers"]


def tree(clew: Clew, *options: str) -> list[str]:
    """A tree without what differs from run to run."""
    shown = clew("history", "-q", "-s", "s", "--tree", *options).out
    for name, line in runs(clew).items():
        shown = shown.replace(f" · {line['total_metrics']['duration']:.1f} s", "")
        shown = shown.replace(line["run_id"], name or "alone")
        shown = shown.replace(line["created_at"].replace("T", " ")[:16], "TIME")
    return shown.splitlines()


def test_a_tree_shows_who_did_what(worked: Clew) -> None:
    lines = tree(worked, "-n", "1")
    at = lines.index("   ├─ critic · COMPLETED · 10 tokens · critic")
    critic = lines[at : at + 3]
    assert lines == [
        "── 5 · TIME · crew · COMPLETED · 40 tokens · crew",
        "   │  > go",
        "   │  All done.",
        *critic,
        "   └─ diggers · COMPLETED · 20 tokens · diggers",
        "      │  > diggers: look",
        "      │  All done.",
        "      └─ digger · COMPLETED · 10 tokens · digger",
        "         > digger: look",
        "         digger has looked",
        "",
    ]
    assert critic[1:] == ["   │  > critic: look", "   │  Two faults."]


@pytest.mark.parametrize(
    "options",
    [["-n", "1"], ["--run=all"], ["--grep", "done"], ["--status", "completed", "-n", "1"]],
)
def test_filters_choose_the_runs_whose_trees_are_shown(worked: Clew, options: list[str]) -> None:
    shown = tree(worked, *options)
    assert [line.split(" · ")[2] for line in shown if line.startswith("──")] == ["crew"]
    assert sum("─ " in line for line in shown) == 4


def test_a_filter_of_a_tree_does_not_choose_members(worked: Clew) -> None:
    assert tree(worked, "--grep", "two faults") == []


def test_a_tree_of_everything_has_every_run_once(worked: Clew) -> None:
    heads = [line for line in tree(worked, "-n", "all") if "─ " in line]
    assert sorted(line.split(" · ")[-1] for line in heads) == sorted(
        str(name or "alone") for name in runs(worked)
    )


def test_a_tree_is_for_people_only(worked: Clew) -> None:
    asked = worked("history", "-s", "s", "--tree", "--json", code=2)
    assert "--json and --tree exclude each other" in asked.err


def test_as_sent_of_a_members_run_is_what_its_model_got(clew: Clew, provider: Provider) -> None:
    asked = member(clew, "critic", asked="unused")
    asked |= {"model": "openai/test-model", "add_history_to_context": True}
    team = written(clew, crew(clew, asked | {"instructions": "Be strict."}))
    provider.default = Answer("Fine.")
    for _ in range(2):
        clew("run", "-q", "-s", "s", "--team", team, "go")
    last = [line for line in clew.stored("s") if line["name"] == "critic"][-1]
    shown = clew("history", "-s", "s", f"--as-sent={last['run_id']}").lines
    assert shown == provider.requests[-1].body["messages"]
    assert len(shown) == 4


@pytest.mark.parametrize("mode", ["coordinate", "route"])
def test_as_sent_of_a_team_is_what_its_leader_got(
    clew: Clew, provider: Provider, mode: str
) -> None:
    leader = {"model": "openai/test-model"}
    critic = member(clew, "critic", answer="Two faults.")
    team = written(clew, crew(clew, critic, mode=mode) | leader)
    provider.answer("", tool_calls=asks("critic"))
    provider.answer("Two faults.")
    clew("run", "-q", "-s", "s", "--run-id", "r", "--team", team, "go")
    shown = clew("history", "-s", "s", "--as-sent=r").lines
    assert shown == provider.requests[-1].body["messages"]
    assert len(shown) == (2 if mode == "route" else 4)


def test_each_token_is_attributed_to_who_used_it(worked: Clew) -> None:
    rows = worked("metrics", "-s", "s", "--by", "agent", "--json").lines
    assert {row["agent"]: (row["runs"], row["total_tokens"]) for row in rows} == {
        "-": (1, 0),
        "crew": (1, 10),
        "critic": (1, 10),
        "diggers": (1, 10),
        "digger": (1, 10),
    }


@pytest.mark.parametrize("key", [*COUNTS, "runs"])
def test_the_sums_of_a_session_with_a_team_are_those_of_its_last_line(
    worked: Clew, key: str
) -> None:
    counted = worked.stored("s")[-1]["session_metrics"]
    assert worked("metrics", "-s", "s", "--json").json[key] == counted[key]


def test_usage_tells_what_the_whole_team_used(worked: Clew, clew: Clew) -> None:
    team = written(clew, crew(clew, member(clew, "critic")))
    assert "14 tokens in, 6 out" in clew("run", "--usage", "--team", team, "go").err


def test_a_list_counts_the_runs_that_were_asked_for(worked: Clew) -> None:
    [row] = worked("sessions", "list", "--json").lines
    assert (row["runs"], row["kind"], row["last_input"]) == (2, "team", "go")


def test_a_team_that_was_killed_is_one_run(
    clew: Clew, under_way: "subprocess.Popen[bytes]"
) -> None:
    under_way.kill()
    under_way.wait()
    [row] = clew("sessions", "list", "--json").lines
    assert (row["runs"], row["kind"], row["status"]) == (1, "team", "INTERRUPTED")


def test_a_team_that_was_killed_is_shown_as_it_will_be_stored(
    clew: Clew, under_way: "subprocess.Popen[bytes]"
) -> None:
    under_way.kill()
    under_way.wait()
    before = history(clew, "--members")
    clew("sessions", "rename", "s", "recovered")
    keys = ("name", "run_id", "status", "members", "total_metrics")
    after = history(clew, "--members")
    assert [[line.get(key) for key in keys] for line in before] == [
        [line.get(key) for key in keys] for line in after
    ]
    assert sorted(str(name) for name in names(before)) == ["crew", "quick", "slow"]


def test_a_tree_shows_a_team_that_is_under_way(
    clew: Clew, under_way: "subprocess.Popen[bytes]"
) -> None:
    assert "quick has looked" in clew("history", "-s", "s", "--tree").out
    assert states(clew) == {"quick": "COMPLETED", "slow": "running"}


def test_of_a_team_under_way_only_what_was_asked_for_is_shown(
    clew: Clew, under_way: "subprocess.Popen[bytes]"
) -> None:
    shown = clew("history", "-s", "s").out
    assert [shown.count(text) for text in ("running since", "> go", "look")] == [1, 1, 0]


def test_the_team_of_a_session_can_be_stopped(
    clew: Clew, under_way: "subprocess.Popen[bytes]"
) -> None:
    assert clew("cancel", "--wait", "100", "-s", "s").err == "clew: run all is CANCELLED\n"


def test_a_member_is_stopped_with_its_team(
    clew: Clew, under_way: "subprocess.Popen[bytes]"
) -> None:
    records = (clew.home / "users" / "default" / ".inflight").glob("s~*")
    intents = [json.loads(path.read_bytes().splitlines()[0]) for path in records]
    [slow] = [one["intent"] for one in intents if one["intent"]["name"] == "slow"]
    assert clew("cancel", "--wait", "100", slow["run_id"], "--json").json["run_id"] == "all"
    assert under_way.wait() == -15
