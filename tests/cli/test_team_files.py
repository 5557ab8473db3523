"""Files that a team is given: every member's task has them, however late it begins."""

from tests.conftest import Clew
from tests.crew import asks, crew, member, written
from tests.paused import call, tool

TEXT = "<file name='note.txt'>\nThe bridge is closed.\n</file>"


def prompts(clew: Clew, name: str) -> list[str]:
    """What this member was asked, run by run."""
    lines = [line for line in clew.stored("s") if line["name"] == name]
    said = [[m["content"] for m in line["messages"] if m["role"] == "user"] for line in lines]
    return ["\n".join(each) for each in said]


def test_each_member_gets_the_files_with_its_task(clew: Clew) -> None:
    note = clew.cwd / "note.txt"
    note.write_text("The bridge is closed.\n")
    team = written(clew, crew(clew, member(clew, "ann"), member(clew, "ben")))
    clew("run", "--team", team, "-s", "s", "-f", str(note), "go")
    assert prompts(clew, "ann") == [f"ann: look\n\n{TEXT}"]
    assert prompts(clew, "ben") == [f"ben: look\n\n{TEXT}"]
    assert [len(line["files"]) for line in clew.stored("s")] == [1, 1, 1]


def test_a_member_that_begins_after_a_pause_gets_them_too(clew: Clew) -> None:
    note, flag = clew.cwd / "note.txt", clew.cwd / "flag.png"
    note.write_text("The bridge is closed.\n")
    flag.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(16))
    send = tool(clew, requires_confirmation=True)
    ann = member(clew, "ann", [call("1", to="x")], tools=[send])
    leader = member(clew, "crew", asks("ann"), asks("ben", prefix="e"), asked="go", answer="Done.")
    team = {"kind": "team", "members": [ann, member(clew, "ben")]} | leader
    files = ("-f", str(note), "-f", str(flag))
    clew("run", "--team", written(clew, team), "-s", "s", *files, "go", code=6)
    note.unlink()
    clew("continue", "-s", "s", "--confirm")
    assert prompts(clew, "ben") == [f"ben: look\n\n{TEXT}"]
    (ben,) = [line for line in clew.stored("s") if line["name"] == "ben"]
    assert [file["name"] for file in ben["files"]] == ["note.txt", "flag.png"]
    assert [one["name"] for one in ben["messages"][0]["attachments"]] == ["flag.png"]
    assert "attachments_left_out" not in ben["history"]
