"""What is sent: words, standard input, both, neither."""

import json
import os
import pty
import socket
import subprocess

import pytest

from tests.conftest import Clew


@pytest.fixture
def echo(clew: Clew) -> str:
    """A model that answers whatever these tests ask."""
    asked = ("piped\n", "piped", "words", "words\n\npiped", "words\n\npiped\n", "one", "two")
    return clew.recording(*((text, f"got {text!r}") for text in asked))


def asked(clew: Clew, *arguments: str | bytes, stdin: str | bytes | None = None) -> str:
    line = clew("run", "--no-store", "--dry-run", *arguments, stdin=stdin).json
    return str(line["messages"][-1]["content"])


def test_without_a_prompt_standard_input_is_read_to_its_end(clew: Clew, echo: str) -> None:
    assert asked(clew, "-m", echo, stdin="piped") == "piped"


def test_a_dash_is_standard_input(clew: Clew, echo: str) -> None:
    assert asked(clew, "-m", echo, "-", stdin="piped") == "piped"


def test_words_come_before_what_is_piped_in_with_a_blank_line_between(
    clew: Clew, echo: str
) -> None:
    assert asked(clew, "-m", echo, "words", stdin="piped") == "words\n\npiped"


def test_an_empty_pipe_beside_words_adds_nothing(clew: Clew, echo: str) -> None:
    assert asked(clew, "-m", echo, "words", stdin="") == "words"


def test_no_stdin_never_reads(clew: Clew, echo: str) -> None:
    assert asked(clew, "-m", echo, "--no-stdin", "words", stdin="piped") == "words"


def test_a_file_beside_words_is_left_alone_and_that_is_said(clew: Clew, echo: str) -> None:
    (clew.cwd / "list").write_text("one\ntwo\n")
    result = clew.shell(f"clew run -m {echo} words < list")
    assert result.out == "got 'words'\n"
    assert "left alone" in result.err


def test_a_file_alone_is_the_prompt(clew: Clew, echo: str) -> None:
    (clew.cwd / "prompt").write_text("piped")
    assert clew.shell(f"clew run -m {echo} < prompt").out == "got 'piped'\n"


def test_a_dash_reads_a_file_too(clew: Clew, echo: str) -> None:
    (clew.cwd / "prompt").write_text("piped")
    assert clew.shell(f"clew run -m {echo} words - < prompt").out == r"got 'words\n\npiped'" + "\n"


def test_a_loop_over_the_lines_of_a_file_gets_each_of_them(clew: Clew, echo: str) -> None:
    (clew.cwd / "list").write_text("one\ntwo\n")
    loop = f'while read -r line; do clew run -q -m {echo} "$line"; done < list'
    assert clew.shell(loop).out == "got 'one'\ngot 'two'\n"


def test_a_loop_over_a_pipe_gets_each_line_with_no_stdin(clew: Clew, echo: str) -> None:
    loop = f'while read -r line; do clew run -q --no-stdin -m {echo} "$line"; done'
    assert clew.shell(f"printf 'one\\ntwo\\n' | {loop}").out == "got 'one'\ngot 'two'\n"


def test_a_closed_standard_input_is_an_empty_one(clew: Clew, echo: str) -> None:
    assert clew.shell(f"clew run -m {echo} words <&-").out == "got 'words'\n"
    assert "no prompt" in clew.shell(f"clew run -m {echo} <&-", code=2).err


@pytest.mark.slow
def test_an_inherited_pipe_that_never_closes_is_exit_2_with_a_hint(clew: Clew, echo: str) -> None:
    reading, writing = os.pipe()
    try:
        process = clew.start("run", "-m", echo, "words", stdin=reading)
        _, err = process.communicate(timeout=200)
    finally:
        os.close(reading)
        os.close(writing)
    assert process.returncode == 2
    assert b"--no-stdin" in err
    assert not clew.home.exists()


def test_a_pipe_is_read_to_its_end_however_slow_it_is(clew: Clew, echo: str) -> None:
    process = clew.start("run", "-m", echo, "words", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"pi")
    process.stdin.flush()
    out, _ = process.communicate(b"ped", timeout=200)
    assert out == b"got 'words\\n\\npiped'\n"


def test_bytes_that_are_no_text_are_stored_as_u_fffd_and_the_next_turn_works(clew: Clew) -> None:
    model = clew.recording(("a\ufffdb", "yes"), ("c\ufffd", "piped"), ("next", "on"))
    clew("run", "-m", model, "-s", "s", b"a\xffb")
    clew("run", "-m", model, "-s", "s", stdin=b"c\xff")
    assert clew("continue", "-s", "s", "--json", "next").json["history"]["runs"] == 2
    assert [line["input"] for line in clew.stored("s")] == ["a\ufffdb", "c\ufffd", "next"]


def test_text_of_any_language_comes_through(clew: Clew) -> None:
    model = clew.recording(("Grüße 🌍", "你好"))
    assert clew("run", "-m", model, "-s", "s", "Grüße 🌍").out == "你好\n"
    assert clew.session_file("s").read_bytes().isascii()


def test_a_zero_byte_in_a_pipe_is_kept(clew: Clew) -> None:
    model = clew.recording(("a\0b", "yes"))
    assert clew("run", "-m", model, stdin=b"a\0b").out == "yes\n"


def test_what_looks_like_an_option_can_be_said_after_two_dashes(clew: Clew) -> None:
    model = clew.recording(("--json", "yes"))
    assert clew("run", "-m", model, "--", "--json").out == "yes\n"


def test_the_system_prompt_may_stand_in_a_file(clew: Clew, echo: str) -> None:
    (clew.cwd / "system.txt").write_text("Be brief.")
    shown = clew("run", "-m", echo, "--system", "@system.txt", "--dry-run", "words").json
    assert shown["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_long_pipe_is_sent_whole(clew: Clew) -> None:
    text = json.dumps(list(range(50_000)))
    model = clew.recording((text, "yes"))
    assert clew("run", "-m", model, stdin=text).out == "yes\n"


@pytest.mark.parametrize("taken", [["-f", "-"], ["--no-stdin"]], ids=str)
def test_a_dash_for_what_is_taken_or_forbidden_is_exit_2(
    clew: Clew, echo: str, taken: list[str]
) -> None:
    clew("run", "-m", echo, *taken, "words", "-", stdin="piped", code=2)
    assert not clew.home.exists()


def test_an_empty_file_beside_words_is_not_worth_a_word(clew: Clew, echo: str) -> None:
    (clew.cwd / "list").write_text("")
    assert "left alone" not in clew.shell(f"clew run -m {echo} words < list").err


def test_a_socket_is_read_like_a_pipe(clew: Clew, echo: str) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"piped")
    ours.shutdown(socket.SHUT_WR)
    with ours, theirs:
        process = clew.start("run", "-m", echo, "words", stdin=theirs)
        assert process.communicate(timeout=200)[0] == b"got 'words\\n\\npiped'\n"


def test_what_cannot_be_read_as_standard_input_is_exit_2(clew: Clew, echo: str) -> None:
    assert "cannot read standard input" in clew.shell(f"clew run -m {echo} - 0> x", code=2).err


def test_on_a_terminal_the_prompt_is_typed(clew: Clew, echo: str) -> None:
    ours, theirs = pty.openpty()
    process = clew.start("run", "-m", echo, stdin=theirs)
    os.write(ours, b"one\n\x04")
    out, err = process.communicate(timeout=200)
    os.close(ours)
    os.close(theirs)
    assert (out, b"Ctrl-D" in err) == (b"got 'one'\n", True)


def test_options_of_bytes_that_are_no_text_are_stored_as_u_fffd(clew: Clew, echo: str) -> None:
    more: list[str | bytes]
    more = ["--system", b"b\xff", "--meta", b"k=c\xff", "--option", b"o=d\xff", "--name", b"e\xff"]
    more += ["--state", b'{"n": "f\xff"}']
    clew("run", "-m", echo, "-s", "s", *more, "one")
    name, line = clew.stored("s")
    assert name["name"] == "e\ufffd"
    assert line["session_state"] == {"n": "f\ufffd"}
    assert line["metadata"] == {"k": "c\ufffd"}
    assert line["options"]["system"] == "b\ufffd"
    assert line["options"]["option"] == {"o": "d\ufffd"}


def test_the_last_newline_of_a_pipe_is_its_end_and_not_sent(clew: Clew, echo: str) -> None:
    assert asked(clew, "-m", echo, stdin="piped\n\n") == "piped\n"
    assert asked(clew, "-m", echo, "words", stdin="piped\n") == "words\n\npiped"


def test_a_dash_for_a_closed_standard_input_is_nothing_to_send(clew: Clew, echo: str) -> None:
    assert "no prompt" in clew.shell(f"clew run -m {echo} - <&-", code=2).err
