"""`-f`: files that go along."""

from tests.conftest import Clew


def sent(clew: Clew, model: str, *arguments: str | bytes, stdin: str | None = None) -> str:
    line = clew("run", "-m", model, "--dry-run", *arguments, stdin=stdin).json
    return str(line["messages"][-1]["content"])


def test_a_file_alone_is_enough_to_send(clew: Clew, model: str) -> None:
    (clew.cwd / "notes.txt").write_text("Lyon\n\n")
    assert sent(clew, model, "-f", "notes.txt") == "<file name='notes.txt'>\nLyon\n</file>"


def test_standard_input_as_a_file_is_no_part_of_the_prompt(clew: Clew, model: str) -> None:
    assert sent(clew, model, "-f", "-", "one", stdin="piped") == (
        "one\n\n<file name='-'>\npiped\n</file>"
    )


def test_the_mark_at_the_beginning_of_a_file_is_not_sent(clew: Clew, model: str) -> None:
    (clew.cwd / "notes.txt").write_bytes(b"\xef\xbb\xbfLyon")
    assert "\nLyon\n" in sent(clew, model, "-f", "notes.txt")


def test_a_file_name_stays_on_its_line(clew: Clew, model: str) -> None:
    (clew.cwd / "a\nb").write_text("x")
    assert sent(clew, model, "-f", "a\nb").startswith("<file name='a\\nb'>\n")


def test_a_file_name_that_is_no_text_is_recorded_with_u_fffd(clew: Clew, model: str) -> None:
    clew.shell("echo x > $'a\\xff.txt'")
    line = clew("run", "-m", model, "-s", "s", "-f", b"a\xff.txt", "--json", "one").json
    assert line["files"][0]["name"] == "a\ufffd.txt"


def test_a_file_that_changed_is_another_input(clew: Clew, model: str) -> None:
    call = ["run", "-m", model, "--run-id", "r", "-f", "notes.txt", "one"]
    (clew.cwd / "notes.txt").write_text("Lyon")
    clew(*call)
    (clew.cwd / "notes.txt").write_text("Nice")
    clew(*call, code=7)


def test_a_file_with_a_zero_byte_is_no_text(clew: Clew, model: str) -> None:
    (clew.cwd / "notes.txt").write_bytes(b"Ly\0on")
    assert "is not text" in clew("run", "-m", model, "-f", "notes.txt", "one", code=2).err


def test_standard_input_is_no_two_files(clew: Clew, model: str) -> None:
    done = clew("run", "-m", model, "-f", "-", "-f", "-", "one", stdin="piped", code=2)
    assert "-f - stands twice" in done.err
    assert not clew.home.exists()
