"""MCP servers that do not start, hang, answer nonsense, flood or die; and runs that do."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.conftest import Clew, eventually
from tests.served import PROGRAM, listening, outcomes, served
from tests.timed import out_of_time
from tests.toolcalls import Json, alive, call, calling, ends, needs_proc, results

SHORT = {"start_timeout": 6}
BAD_START = [
    (("/nowhere/server",), {}, "cannot be started: No such file or directory"),
    (("true",), {}, "ended by itself"),
    (("sh", "-c", "echo first >&2; echo why >&2; exit 7"), {}, "failed with exit code 7: why"),
    (("sh", "-c", "read -r _; kill -9 $$"), {}, "was ended by SIGKILL"),
    (("sh", "-c", "echo usage: x; exit 2"), {}, "it wrote what is no message: 'usage: x'"),
    (("cat",), {}, "cannot be used: "),
    (("sleep", "1000"), SHORT, "did not answer within 6 s"),
    (("sh", "-c", "trap '' TERM; exec yes"), SHORT, "did not answer within 6 s; it wrote what"),
    (("sh", "-c", "tr '\\0' x < /dev/zero"), {}, "it sent a message of more than 16 MiB"),
    (("sh", "-c", "tr '\\0' x < /dev/zero >&2"), SHORT, "did not answer within 6 s: xxx"),
]


BREAKING = """
import asyncio, sys
from contextlib import asynccontextmanager
from clew.core.mcp_process import ServerProcess

streams = ServerProcess.streams

@asynccontextmanager
async def breaking(self):
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    async with streams(self) as both:
        yield both

ServerProcess.streams = breaking
from clew.cli.main import main
sys.exit(main(["tools", "list", "-t", sys.argv[1]]))
"""


def test_what_breaks_in_a_connection_is_printed_by_nobody_else(clew: Clew) -> None:
    (clew.cwd / "breaking.py").write_text(BREAKING)
    result = clew.shell(f"python breaking.py {shlex.quote(served())}")
    assert result.err == ""
    assert result.out.startswith("add ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "mcp", "told"), BAD_START, ids=[" ".join(each[0]) for each in BAD_START]
)
def test_a_server_that_cannot_be_used_ends_the_run_before_it_is_paid_for(
    clew: Clew, model: str, argv: tuple[str, ...], mcp: Json, told: str
) -> None:
    tool = served(*argv, mcp=mcp)
    done = clew("run", "-m", model, "-s", "s", "-t", tool, "--json", "hi", code=1)
    assert done.json["error"]["kind"] == "tool_server"
    assert told in done.json["error"]["message"]
    lines = [line for line in done.err.splitlines() if not line.startswith("  hint: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"clew: the MCP server {shlex.join(argv)!r} ")
    assert len(lines[0]) < 600
    assert not clew.session_file("s").exists()
    assert nobody_in(clew.cwd)


def nobody_in(folder: Path) -> bool:
    """Whether no process is left that was started there; those that end are given time."""

    def is_there(link: Path) -> bool:
        try:
            return link.readlink() == folder and alive(int(link.parent.name))
        except OSError:
            return False

    return bool(eventually(lambda: not any(map(is_there, Path("/proc").glob("[0-9]*/cwd")))))


ANSWER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": ANSWER}), flush=True)
"""
HANDSHAKE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "x", "version": "1"},
}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, "cannot be used: what it answered does not fit at capabilities: "),
        (HANDSHAKE, "cannot be used: what it answered does not fit at tools: "),
        (HANDSHAKE | {"tools": []}, "offers no tools"),
        (HANDSHAKE | {"tools": [{"name": "t", "inputSchema": 3}]}, "does not fit at tools.0."),
        (HANDSHAKE | {"tools": [{"name": "t", "inputSchema": {"type": "array"}}]}, "tools.0."),
    ],
    ids=["nothing", "no tools", "empty", "a schema that is none", "a schema of a list"],
)
def test_an_answer_that_is_none_ends_the_run_in_one_line(
    clew: Clew, model: str, answer: object, told: str
) -> None:
    program = f"ANSWER = {answer!r}\n{ANSWER}"
    tool = served(sys.executable, "-S", "-c", program)
    done = clew("run", "-m", model, "-s", "s", "-t", tool, "--json", "hi", code=1)
    assert told in done.json["error"]["message"]
    assert "\n" not in done.json["error"]["message"]
    assert not clew.session_file("s").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object", "properties": {"a": {"type": "nonsense"}}}, "is no JSON Schema"),
        ({"type": "object", "$ref": "http://127.0.0.1:1/x"}, "which is not in it"),
    ],
)
def test_a_schema_that_is_none_is_found_out_before_the_run_and_can_be_left_out(
    clew: Clew, model: str, schema: Json, told: str
) -> None:
    good = {"name": "good", "inputSchema": {"type": "object"}}
    tools = [{"name": "bad", "inputSchema": schema}, good]
    program = f"ANSWER = {HANDSHAKE | {'tools': tools}!r}\n{ANSWER}"
    argv = (sys.executable, "-S", "-c", program)
    done = clew("run", "-m", model, "-s", "s", "-t", served(*argv), "hi", code=2)
    assert "the arguments of 'bad'" in done.err
    assert told in done.err
    assert not clew.session_file("s").exists()
    clew("run", "-m", model, "-t", served(*argv, mcp={"tools": ["good"]}), "hi")


def test_the_runs_time_bounds_the_start(clew: Clew, model: str) -> None:
    run = ("run", "-m", model, "-s", "s", "-t", served("sleep", "1000"), "--timeout", "1")
    done = clew(*run, "--json", "hi", code=5)
    assert done.json["error"]["kind"] == "limit"
    assert not clew.session_file("s").exists()
    assert nobody_in(clew.cwd)


def test_a_server_that_dies_in_a_call_is_an_error_that_the_model_reads_and_so_is_the_next_call(
    clew: Clew,
) -> None:
    dies = call("die", "a", code=3, words="out of memory")
    first, then = outcomes(clew, served(), dies, call("add", "b", a=1))
    told = f"the MCP server {shlex.join(PROGRAM)!r} failed with exit code 3: out of memory"
    assert [(each["result"], each["tool_call_error"]) for each in (first, then)] == [
        (told, True),
        (told, True),
    ]


def test_a_flood_in_a_call_is_an_error_that_the_model_reads(clew: Clew) -> None:
    (flooded,) = outcomes(clew, served(), call("flood", count=50_000_000))
    assert flooded["tool_call_error"]
    assert flooded["result"] == "it sent a message of more than 16 MiB"


@pytest.mark.slow
def test_a_call_that_takes_too_long_is_given_up_and_others_are_made(clew: Clew) -> None:
    def quick_after_slow(seconds: int) -> Json:
        tool = served(timeout=seconds)
        slow, quick = outcomes(clew, tool, call("hang", "a"), call("add", "b", a=1))
        assert slow["result"] == f"it took longer than {seconds} s and was given up"
        assert slow["tool_call_error"]
        return quick

    quick = map(quick_after_slow, (2, 20, 60))  # more where `add` had too little
    assert next(each["result"] for each in quick if not each["tool_call_error"]) == "3"
    assert nobody_in(clew.cwd)


@contextmanager
def standing(clew: Clew, tool: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a run and give its process when `hang` runs."""
    model = calling(clew, [call("hang")])
    process = clew.start("run", "-q", "-m", model, "-s", "s", "-t", tool, "go")
    try:
        eventually((clew.cwd / "called").exists)
        yield process
    finally:
        process.kill()
        process.communicate()


def children_end(clew: Clew) -> None:
    for name in ("own", "child"):
        ends(int((clew.cwd / name).read_text()))


MAY_HAVE = "while this tool ran: it may have done its work, and was not called again"


@needs_proc
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_call_ends_the_server_and_all_that_it_started(
    clew: Clew, signum: signal.Signals
) -> None:
    with standing(clew, served()) as process:
        process.send_signal(signum)
        assert process.wait(100) == -signum
    (line,) = clew.stored("s")
    assert (line["status"], results(line)) == ("CANCELLED", [f"the run ended {MAY_HAVE}"])
    children_end(clew)


@needs_proc
def test_a_kill_in_a_call_ends_the_server_and_all_that_it_started(clew: Clew) -> None:
    with standing(clew, served()) as process:
        process.kill()
        process.wait(100)
    children_end(clew)
    (line,) = clew("history", "-s", "s", "--json").lines
    assert (line["status"], results(line)) == ("INTERRUPTED", [f"the process died {MAY_HAVE}"])


@needs_proc
@pytest.mark.slow
def test_the_end_of_the_runs_time_ends_the_server(clew: Clew) -> None:
    model = calling(clew, [call("hang")])
    run = ("run", "-q", "-m", model, "-s", "s", "-t", served(), "--json", "go")
    called = clew.cwd / "called"
    line = out_of_time(clew, lambda _: called.exists(), *run, least=10).json
    assert (line["status"], line["error"]["kind"]) == ("ERROR", "limit")
    children_end(clew)


@needs_proc
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_a_server_starts_ends_it_and_stores_nothing(
    clew: Clew, model: str, signum: signal.Signals
) -> None:
    tool = served("sh", "-c", "echo $$ > own; exec sleep 1000")
    process = clew.start("run", "-m", model, "-s", "s", "-t", tool, "hi")
    try:
        eventually((clew.cwd / "own").exists)
        process.send_signal(signum)
        assert process.wait(100) == -signum
    finally:
        process.kill()
        process.communicate()
    ends(int(eventually((clew.cwd / "own").read_text)))
    assert not clew.session_file("s").exists()


@needs_proc
def test_a_server_that_will_not_end_is_ended(clew: Clew) -> None:
    start = f"trap '' TERM HUP; sleep 1000 & echo $! > child; {shlex.join(PROGRAM)}; sleep 1000"
    (made,) = outcomes(clew, served("sh", "-c", start), call("pid"))
    ends(int(made["result"]))
    ends(int((clew.cwd / "child").read_text()))


def test_a_server_may_end_by_itself_when_the_run_is_over(clew: Clew) -> None:
    tools = [{"name": "t", "inputSchema": {"type": "object"}}]
    program = f"ANSWER = {HANDSHAKE | {'tools': tools}!r}\n{ANSWER}"  # it ends in no time
    start = f"{shlex.join([sys.executable, '-S', '-c', program])}; echo $? > ended"
    outcomes(clew, served("sh", "-c", start), call("t"))
    assert (clew.cwd / "ended").read_text() == "0\n"


def test_a_server_that_is_reached_by_http_may_die_in_a_call(clew: Clew) -> None:
    with listening(clew.cwd) as (url, _):
        tool = json.dumps({"mcp": {"url": url}})
        dies = call("die", "a", code=3, words="")
        first, then = outcomes(clew, tool, dies, call("add", "b", a=1))
    assert first["tool_call_error"]
    assert then["tool_call_error"]
    assert then["result"].startswith(f"the MCP server {url!r} cannot be used: ")


def test_a_flood_by_http_is_an_error_that_the_model_reads(clew: Clew) -> None:
    with listening(clew.cwd) as (url, _):
        tool = json.dumps({"mcp": {"url": url}})
        flooded, then = outcomes(
            clew, tool, call("flood", "a", count=50_000_000), call("add", "b", a=1)
        )
    assert flooded["tool_call_error"]
    assert "16 MiB" in flooded["result"]
    assert then["result"] == "3"


class _Refuses(BaseHTTPRequestHandler):
    """Refuses everybody, and echoes what it was told."""

    def do_POST(self) -> None:
        body = f"no: {self.headers['Authorization']}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_a_server_that_refuses_is_told_with_its_status_and_without_the_secret(
    clew: Clew, model: str
) -> None:
    clew.env |= {"MY_TOKEN": "CANARY-0123456789"}
    with HTTPServer(("127.0.0.1", 0), _Refuses) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{refusing.server_port}/mcp"
        mcp = {"url": url, "headers": {"Authorization": "Bearer ${MY_TOKEN}"}}
        tool = json.dumps({"mcp": mcp})
        done = clew("run", "-v", "-m", model, "-s", "s", "-t", tool, "hi", code=1)
        refusing.shutdown()
    assert f"the MCP server {url!r} cannot be used: " in done.err
    assert "(HTTP 401)" in done.err
    assert "CANARY" not in done.out + done.err


class _Chats(_Refuses):
    """Answers everybody in JSON that is no message of MCP."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b'{"id": "x"}')


def test_an_answer_by_http_that_is_no_message_is_told_in_a_few_words(
    clew: Clew, model: str
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Chats) as chatting:
        threading.Thread(target=chatting.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{chatting.server_port}/mcp"
        done = clew("run", "-m", model, "-t", json.dumps({"mcp": {"url": url}}), "hi", code=1)
        chatting.shutdown()
    assert done.err.endswith(": it is no message of MCP\n")


def test_an_address_where_nobody_is_ends_the_run_in_one_line(clew: Clew, model: str) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as nobody:
        url = f"http://127.0.0.1:{nobody.server_port}/mcp"
    done = clew("run", "-m", model, "-t", json.dumps({"mcp": {"url": url}}), "hi", code=1)
    assert done.err.startswith(f"clew: the MCP server {url!r} cannot be used: ")
    assert len(done.err.splitlines()) == 1


def test_a_server_that_answers_no_more_by_http_is_given_up(clew: Clew) -> None:
    with listening(clew.cwd) as (url, process):
        model = calling(clew, [call("hang")])
        for seconds in (1, 10, 60):  # more where the call did not reach it
            tool = json.dumps({"mcp": {"url": url}, "timeout": seconds})
            line = clew("run", "-q", "-m", model, "-t", tool, "--json", "go").json
            assert results(line) == [f"it took longer than {seconds} s and was given up"]
            if (clew.cwd / "called").exists():
                break
        os.kill(int((clew.cwd / "child").read_text()), signal.SIGKILL)
        assert process.poll() is None
