"""When there is a warm process, whose calls it makes, and when it goes."""

import json
import marshal
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Clew, Result, eventually
from tests.provider import Provider
from tests.warmth import OF_ITS_OWN, Warmth, children, open_files, threads

pytestmark = OF_ITS_OWN
M = ("-m", "openai/test-model")


@pytest.fixture
def none_yet() -> Iterator[Warmth]:
    """A folder for a warm process, and none in it."""
    warmth = Warmth()
    yield warmth
    warmth.end()


@pytest.fixture
def world(none_yet: Warmth, clew: Clew) -> Clew:
    return none_yet.join(clew)


def replayed(clew: Clew) -> str:
    return clew.recording(("hi", "hello"))


@pytest.mark.slow
def test_a_call_of_a_model_leaves_one_which_makes_the_next(
    world: Clew, none_yet: Warmth, provider: Provider
) -> None:
    cold = world("run", *M, "--json", "hi")
    eventually(lambda: none_yet.status["running"])
    with none_yet.serves(1):
        warm = world("run", *M, "--json", "hi")
    assert (cold.json["content"], cold.err.count("session")) == (warm.json["content"], 1)


@pytest.mark.slow
def test_what_is_left_behind_holds_nothing_of_the_caller_s(
    world: Clew, none_yet: Warmth, provider: Provider
) -> None:
    ours, theirs = os.pipe()
    process = world.start("run", "-q", *M, "hi", stdout=theirs, stderr=theirs, pass_fds=(theirs,))
    os.close(theirs)
    with open(ours, "rb") as reader:
        assert reader.read() == b"echo: hi\n"  # to its end: nobody else has it open
    assert process.wait(60) == 0
    pid = eventually(lambda: none_yet.status["pid"])
    folder = str(none_yet.folder / "clew")
    found = {name for name in open_files(pid) if not name.startswith(("pipe:", "socket:", folder))}
    assert found == {"/dev/null"}
    assert len([name for name in open_files(pid) if name.startswith("socket:")]) == 1
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert (os.getsid(pid), threads(pid)) == (pid, 1)


@pytest.mark.slow
@pytest.mark.parametrize("off", ["CLEW_WARM=0", "CI=true", "config"])
def test_none_is_left_where_none_is_wanted(
    world: Clew, none_yet: Warmth, provider: Provider, off: str
) -> None:
    del world.env["CLEW_WARM"]
    if off == "config":
        world.config.mkdir(parents=True)
        (world.config / "config.toml").write_text("warm = false\n")
    else:
        name, _, value = off.partition("=")
        world.env[name] = value
    world("run", *M, "hi")
    assert not list(none_yet.folder.glob("clew/*"))


def test_a_call_that_loads_no_model_library_leaves_none(world: Clew, none_yet: Warmth) -> None:
    world("run", "-m", replayed(world), "hi")
    assert not list(none_yet.folder.glob("clew/*"))


@pytest.mark.slow
def test_one_that_cannot_come_up_is_not_tried_again_and_again(
    world: Clew, none_yet: Warmth, provider: Provider
) -> None:
    in_the_way = Path(none_yet.socket)
    (in_the_way / "x").mkdir(parents=True)
    lock = Path(f"{none_yet.socket}.lock")
    world("warm", "start", code=1)
    world("run", *M, "hi")
    tried = lock.stat().st_mtime_ns
    world("run", *M, "hi")
    assert lock.stat().st_mtime_ns == tried
    shutil.rmtree(in_the_way)
    assert none_yet.start()["running"]


def run_first(program: str, world: Clew, folder: Path) -> dict[str, str]:
    """Return the variables with which each Python runs this before all else."""
    library = folder / "lib"
    library.mkdir()
    (library / "sitecustomize.py").write_text(program)
    also = world.env.get("PYTHONPATH")
    return {"PYTHONPATH": f"{library}:{also}" if also else str(library)}


THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""
CONNECTION = """
import sys
class Finder:
    def find_spec(self, name, *_):
        if name == "litellm":
            import socket
            self.held = socket.socketpair()
sys.meta_path.insert(0, Finder())
"""


def test_one_that_has_a_thread_makes_no_calls(
    world: Clew, none_yet: Warmth, tmp_path: Path
) -> None:
    world("warm", "start", env=run_first(THREAD, world, tmp_path), code=1)
    assert not none_yet.status["running"]


def test_one_that_has_a_connection_makes_no_calls(
    world: Clew, none_yet: Warmth, tmp_path: Path
) -> None:
    world("warm", "start", env=run_first(CONNECTION, world, tmp_path), code=1)
    assert not none_yet.status["running"]


def test_nobody_is_asked_before_there_is_a_call(
    world: Clew, none_yet: Warmth, provider: Provider
) -> None:
    theirs = {"OPENAI_BASE_URL": f"{provider.url}/v1", "ANTHROPIC_BASE_URL": provider.url}
    world("warm", "start", env=theirs)
    assert none_yet.status["running"]
    assert provider.requests == []
    assert not world.home.exists()


def test_one_whose_waiting_copy_was_killed_makes_the_next_call(
    world: Clew, none_yet: Warmth
) -> None:
    pid = none_yet.start()["pid"]
    with none_yet.serves(1):
        eventually(lambda: len(children(pid)) == 1)
        os.kill(children(pid)[0], signal.SIGKILL)
        world("run", "-q", "-m", replayed(world), "hi")


def test_the_waiting_copy_goes_with_one_that_is_killed(world: Clew, none_yet: Warmth) -> None:
    pid = none_yet.start()["pid"]
    eventually(lambda: len(children(pid)) == 1)
    (copy,) = children(pid)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{copy}").exists())


def test_a_folder_with_too_long_a_name_is_not_used(world: Clew, none_yet: Warmth) -> None:
    folder = none_yet.folder / ("x" * 100)
    folder.mkdir(mode=0o700)
    world.env["XDG_RUNTIME_DIR"] = str(folder)
    world("run", "-m", replayed(world), "hi")
    assert "no folder" in world("warm", "start", code=2).err


def test_of_many_that_are_started_one_is(world: Clew, none_yet: Warmth) -> None:
    starting = [world.start("warm", "start") for _ in range(4)]
    said = [process.communicate(timeout=100)[1].decode() for process in starting]
    assert sum("started" in text for text in said) == 1
    assert len({json.loads(world("warm", "status", "--json").out)["pid"]}) == 1
    listening = [name for name in os.listdir("/proc") if name.isdigit() and is_warm(name, none_yet)]
    assert listening == [str(none_yet.status["pid"])]


def is_warm(pid: str, warmth: Warmth) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"warm_server" in command and str(warmth.folder).encode() in environment


def test_it_leaves_when_nobody_has_called_for_so_long(world: Clew, none_yet: Warmth) -> None:
    pid = none_yet.start("--idle", "0.5")["pid"]
    if pid is not None:
        eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert not none_yet.status["running"]
    assert not [path for path in none_yet.folder.glob("clew/*") if path.suffix != ".lock"]


def test_it_stays_while_a_call_is_under_way(
    world: Clew, none_yet: Warmth, provider: Provider
) -> None:
    gate = threading.Event()
    provider.answer("one two", gate=gate)
    pid = none_yet.start("--idle", "1")["pid"]
    process = world.start("run", "-q", *M, "hi")
    provider.wait_for_requests(1)
    world("run", "-q", "-m", replayed(world), "hi", env={"HOME": "/"})  # refused
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    assert none_yet.status["pid"] == pid
    gate.set()
    assert process.communicate(timeout=60)[0] == b"one two\n"
    eventually(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.slow
def test_one_of_other_code_is_replaced(
    world: Clew, none_yet: Warmth, provider: Provider, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    for layer in ("cli", "core", "stores"):
        shutil.copytree(root / layer, tmp_path / "lib" / "clew" / layer)
    world.env["PYTHONPATH"] = str(tmp_path / "lib")
    first = json.loads(started(world).out)
    assert world("run", *M, "hi").out == "echo: hi\n"
    live = tmp_path / "lib" / "clew" / "cli" / "live.py"
    live.write_text(live.read_text() + "# changed\n")
    assert world("run", *M, "hi").out == "echo: hi\n"
    second = json.loads(eventually(lambda: running_one(world, first["pid"])))
    assert second["pid"] != first["pid"]
    world("run", *M, "hi")
    eventually(lambda: json.loads(world("warm", "status", "--json").out)["served"] == 1)
    world("warm", "stop")


def started(world: Clew) -> Result:
    world("warm", "start")
    return world("warm", "status", "--json")


def running_one(world: Clew, other_than: int) -> str | None:
    out = world("warm", "status", "--json").out
    return out if json.loads(out)["pid"] not in (None, other_than) else None


@pytest.mark.parametrize(
    "variable",
    [
        "LITELLM_LOG=DEBUG",
        "LANG=C",
        "PYTHONUTF8=1",
        "HOME=/",
        "SSL_CERT_FILE=/x",
        "LD_PRELOAD=",
    ],
)
def test_a_variable_that_is_read_early_has_to_be_the_same(
    warmth: Warmth, warm: Clew, variable: str
) -> None:
    name, _, value = variable.partition("=")
    with warmth.serves(0):
        said = warm("run", "-q", "-m", replayed(warm), "hi", env={name: value})
    assert said.out == "hello\n"
    assert "variable" in warmth.status["why"] or "Python" in warmth.status["why"]


ASKS_ONCE = """
import functools, os, socket
ask = functools.cache(lambda: os.environ.get("ONCE"))
usual = socket.socket.connect
socket.socket.connect = lambda *these: (ask(), usual(*these))[1]
"""


def test_a_variable_whose_value_is_kept_from_a_first_run_has_to_be_the_same(
    world: Clew, none_yet: Warmth, tmp_path: Path
) -> None:
    world.env |= run_first(ASKS_ONCE, world, tmp_path)
    world("warm", "start")
    with none_yet.serves(1):
        world("run", "-m", replayed(world), "hi")
    with none_yet.serves(0):
        world("run", "-m", replayed(world), "hi", env={"ONCE": "again"})


def test_other_variables_may_differ(warmth: Warmth, warm: Clew) -> None:
    others = {"OPENAI_API_KEY": "k", "TERM": "x", "TZ": "Asia/Tokyo", "PATH": "/bin"}
    with warmth.serves(1):
        warm("run", "-m", replayed(warm), "hi", env=others)


@pytest.mark.parametrize("limit", ["ulimit -n 200", "ulimit -S -t 4321", "ulimit -S -f 10000000"])
def test_limits_have_to_be_the_same(warmth: Warmth, warm: Clew, limit: str) -> None:
    with warmth.serves(0):
        warm.shell(f"{limit}; clew run -m {replayed(warm)} hi")


@pytest.mark.parametrize("as_it_is", ["nice -n 3", "setpriv --no-new-privs", "unshare -u"])
def test_a_call_of_other_standing_is_made_without(
    warmth: Warmth, warm: Clew, as_it_is: str
) -> None:
    if warm.shell(f"{as_it_is} true", code=None).code != 0:
        pytest.skip("not possible here")
    with warmth.serves(0):
        assert warm.shell(f"{as_it_is} clew run -q -m {replayed(warm)} hi").out == "hello\n"
    assert "rights" in warmth.status["why"]


def test_settings_decide_for_each_call(warmth: Warmth, warm: Clew) -> None:
    warm.config.mkdir(parents=True)
    (warm.config / "config.toml").write_text("warm = false\n")
    del warm.env["CLEW_WARM"]
    with warmth.serves(0):
        warm("run", "-m", replayed(warm), "hi")
    with warmth.serves(1):
        warm("run", "-m", replayed(warm), "hi", env={"CLEW_WARM": "1", "CI": "1"})


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_others_can_use_is_not_used(none_yet: Warmth, world: Clew, mode: int) -> None:
    none_yet.start()
    folder = none_yet.folder / "clew"
    folder.chmod(mode)
    world("run", "-m", replayed(world), "hi")
    assert not none_yet.status["running"]
    folder.chmod(0o700)
    assert (none_yet.status["running"], none_yet.status["served"]) == (True, 0)


class Odd:
    """Listens where a warm process would, and answers as it is told."""

    def __init__(self, none_yet: Warmth, answer: bytes | None) -> None:
        self.calls = 0
        self._answer = answer
        self._held: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(none_yet.socket)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.calls += 1
            caller.recv(100)
            if self._answer is None:
                self._held.append(caller)
                continue
            caller.sendall(self._answer)
            caller.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._held):
            each.close()


@pytest.mark.parametrize("answer", [b"", b"c" + bytes(8), b"g", b"HTTP/1.1 200 OK\r\n", None])
def test_an_odd_listener_does_not_matter(
    none_yet: Warmth, world: Clew, answer: bytes | None
) -> None:
    odd = Odd(none_yet, answer)
    ran = world("run", "-q", "-m", replayed(world), stdin="hi")
    odd.close()
    assert (ran.out, ran.err, odd.calls) == ("hello\n", "", 1)


LEAVING = """
import sys
from clew.cli import warm_client, warm_link
def begin(link):
    link.close()
    print("left", flush=True)
    sys.stdin.read()
warm_link.Link.begin = begin
sys.argv = ["clew", "run", "-s", "s", *sys.argv[1:]]
warm_client.call_warm()
"""


def test_a_call_whose_caller_does_not_say_that_it_begins_is_not_made(
    warmth: Warmth, warm: Clew, provider: Provider
) -> None:
    before = warmth.status
    with subprocess.Popen(
        [sys.executable, "-c", LEAVING, *M, "hi"],
        env=warm.env,
        cwd=warm.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"left\n"
        eventually(lambda: not warmth.status["under_way"])
        after = warmth.status
        caller.communicate()
    assert (after["served"], after["refused"]) == (before["served"], before["refused"] + 1)
    assert after["why"] == "the caller left"
    assert not warm.home.exists()
    assert provider.requests == []


FOREIGN = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
listener.listen()
print("listens", flush=True)
caller, _ = listener.accept()
print("got", len(caller.recv(100)), flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_somebody_else_s_listener_gets_nothing(none_yet: Warmth, world: Clew) -> None:
    foreign = subprocess.Popen(
        [sys.executable, "-c", FOREIGN, none_yet.socket], stdout=subprocess.PIPE
    )
    assert foreign.stdout is not None
    assert foreign.stdout.readline() == b"listens\n"
    assert world("run", "-q", "-m", replayed(world), "hi").out == "hello\n"
    assert foreign.communicate(timeout=60)[0] == b"got 0\n"


CALLER = """
import os, socket, sys
where, uid, said = sys.argv[1:]
os.setresuid(int(uid), int(uid), int(uid))
caller = socket.socket(socket.AF_UNIX)
try:
    caller.connect(where)
    caller.sendall(bytes.fromhex(said))
    print("heard", caller.recv(100))
except OSError as error:
    print(type(error).__name__)
"""
NOT_READ = ("ConnectionResetError", "BrokenPipeError")
STRANGER = 65534


def call_of(uid: int, warmth: Warmth, said: bytes) -> str:
    """Say something to the warm process as this user; tell what came of it."""
    program = [sys.executable, "-c", CALLER, warmth.socket, str(uid), said.hex()]
    return subprocess.run(program, capture_output=True, check=True, text=True).stdout.strip()


@contextmanager
def modes(wanted: dict[Path, int]) -> Iterator[None]:
    """Have files with these modes for a while."""
    before = {path: path.stat().st_mode for path in wanted}
    try:
        for path, mode in wanted.items():
            path.chmod(mode)
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_somebody_else_cannot_call(warmth: Warmth, warm: Clew) -> None:
    with modes({warmth.folder: 0o711}):  # as the folders above a user's own are
        assert call_of(STRANGER, warmth, request(("status",))) == "PermissionError"


def request(said: tuple[str]) -> bytes:
    raw = marshal.dumps(said)
    return len(raw).to_bytes(8, sys.byteorder) + raw


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_what_somebody_else_says_is_not_even_read(warmth: Warmth, warm: Clew) -> None:
    assert "seconds" in call_of(os.getuid(), warmth, request(("status",)))
    where = Path(warmth.socket)
    with modes({warmth.folder: 0o711, where.parent: 0o711, where: 0o777}):
        said = call_of(STRANGER, warmth, request(("status",)))
    assert said in NOT_READ


TOO_LONG = (1 << 40).to_bytes(8, sys.byteorder) + bytes(1000)


def test_a_request_without_measure_is_not_read(warmth: Warmth, warm: Clew) -> None:
    assert call_of(os.getuid(), warmth, TOO_LONG) in NOT_READ
    with warmth.serves(1):
        warm("run", "-m", replayed(warm), "x" * 100_000, code=None, env={"BIG": "x" * 100_000})


def unused_for_long(none_yet: Warmth) -> int:
    """Start one and return its number when it has served nobody for a tenth of its time."""
    none_yet.start("--idle", "20")
    eventually(lambda: none_yet.status["seconds"] > 2)
    pid: int = none_yet.status["pid"]
    return pid


def test_one_that_nobody_uses_leaves_its_place_to_one_that_fits(
    world: Clew, none_yet: Warmth
) -> None:
    unused_for_long(none_yet)
    world("run", "-q", "-m", replayed(world), "hi", env={"HOME": "/"})
    eventually(lambda: not none_yet.status["running"], seconds=10)


def test_nonsense_does_not_make_one_leave_that_nobody_uses(world: Clew, none_yet: Warmth) -> None:
    pid = unused_for_long(none_yet)
    assert call_of(os.getuid(), none_yet, TOO_LONG) in NOT_READ
    eventually(lambda: none_yet.status["refused"] == 1, seconds=10)
    assert none_yet.status["pid"] == pid


def test_two_calls_share_no_chance(warmth: Warmth, warm: Clew) -> None:
    with warmth.serves(8):
        ran = [warm("run", "--json", "-m", replayed(warm), "hi").json for _ in range(8)]
    assert len({run["run_id"] for run in ran} | {run["session_id"] for run in ran}) == 16


@pytest.mark.slow
def test_many_calls_at_once_are_all_made(warmth: Warmth, warm: Clew, provider: Provider) -> None:
    with warmth.serves(64):
        done = warm.shell(
            "seq 64 | xargs -P 8 -I N clew run -q -m openai/test-model 'say N' | sort -V"
        )
    assert done.out.splitlines() == [f"echo: say {number}" for number in range(1, 65)]
    assert len(provider.requests) == 64


@pytest.mark.slow
def test_of_many_turns_at_once_each_sees_those_before(
    warmth: Warmth, warm: Clew, provider: Provider
) -> None:
    with warmth.serves(81):
        warm("run", "-s", "s", *M, "begin")
        warm.shell("seq 80 | xargs -P 8 -I N clew continue -q -s s 'turn N' > /dev/null")
    turns = warm.stored("s")
    assert sorted(line["input"] for line in turns) == sorted(
        ["begin", *(f"turn {number}" for number in range(1, 81))]
    )
    sent = [len(request.body["messages"]) for request in provider.requests]
    assert sent == [2 * number + 1 for number in range(81)]


@pytest.mark.slow
def test_a_warm_run_asks_the_model_that_is_kept_loaded_and_both_are_shown_and_stopped(
    embedded: Clew, none_yet: Warmth
) -> None:
    world = none_yet.join(embedded)
    none_yet.start()
    said = [
        world("run", "-q", "--option", "temperature=0", "--max-tokens", "5", "Hello.", code=5).out
        for _ in range(2)
    ]
    assert said[0] == said[1] != "\n"
    status = world("warm", "status", "--json").json
    (model,) = status["models"]
    assert (status["served"], model["asking"]) == (2, 0)
    assert f"process {model['pid']} keeps " in world("warm", "status").out
    stopped = world("warm", "stop").err
    assert f"process {status['pid']}" in stopped and f"process {model['pid']}" in stopped
    assert not Path(f"/proc/{model['pid']}/exe").exists()
    assert world("warm", "status", "--json").json["models"] == []
