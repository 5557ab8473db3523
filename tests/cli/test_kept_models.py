"""The embedded model stays loaded for the next call; where that is odd, it is loaded as ever."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clew.cli.warm_place import socket_name
from clew.core import kept_models, kept_wire
from clew.core.kept_identity import identity
from clew.core.resident import RESIDENTS
from tests.cli.test_imports import loaded
from tests.conftest import Clew, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cold(reason="they begin and end processes that stay behind, each its own"),
]
SHORT = ("--option", "temperature=0", "--max-tokens", "12")
LONG = ("--stream", "--option", "temperature=0", "--max-tokens", "400", "Tell a very long story.")
START = """
import sys
from clew.core import kept_models
from clew.core.kept_identity import identity
from clew.core.resident import folder
sys.exit(not kept_models._started(folder(make=True), identity(sys.argv[1]), float(sys.argv[2])))
"""


@pytest.fixture
def warm(embedded: Clew, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clew]:
    """A world in which an embedded model may be left loaded; it ends with the test.

    There is no warm process: its place is taken.
    """
    embedded.env["CLEW_WARM"] = "1"
    folder = Path(embedded.env["XDG_RUNTIME_DIR"]) / "clew"
    folder.mkdir(mode=0o700)
    taken = os.open(folder / f"{socket_name()}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(taken, fcntl.LOCK_EX)
    monkeypatch.setenv("XDG_RUNTIME_DIR", embedded.env["XDG_RUNTIME_DIR"])
    monkeypatch.setattr(kept_models, "_OWN", kept_models._Own())
    yield embedded
    for pid in servers(embedded):
        os.kill(pid, signal.SIGKILL)
    os.close(taken)


def servers(clew: Clew) -> list[int]:
    """The processes, alive, that hold the lock of this world's model server open."""
    lock = os.path.join(clew.env["XDG_RUNTIME_DIR"], "clew", "model.lock")
    return sorted(
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if has(pid, lock)
    )


def left_behind(clew: Clew) -> list[str]:
    """What is in this world's folder for processes that stay, but for the place that is taken."""
    found = os.listdir(Path(clew.env["XDG_RUNTIME_DIR"]) / "clew")
    return [name for name in found if name != f"{socket_name()}.lock"]


def has(pid: int, path: str) -> bool:
    return path in descriptors(pid).values()


def descriptors(pid: int) -> dict[int, str]:
    """What a process has open; nothing once it is gone."""
    try:
        return {
            int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
        }
    except OSError:
        return {}


def weights(clew: Clew) -> str:
    return str(clew.home / "models" / "smollm2.gguf")


def maps_the_weights(pid: int) -> bool:
    return "smollm2.gguf" in Path(f"/proc/{pid}/maps").read_text()


@contextmanager
def asking(clew: Clew, monkeypatch: pytest.MonkeyPatch) -> Iterator[kept_models.Served]:
    """Be one who is asking the kept model."""
    monkeypatch.setattr(RESIDENTS, "wanted", True)
    with kept_models.served(weights(clew)) as there:
        assert there is not None
        yield there


def answer(clew: Clew, *arguments: str, **env: str) -> str:
    return str(clew("run", *SHORT, "--json", *arguments, env=env, code=None).json["content"])


def http_status(path: str, key: str | None, address: str | None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = b'{"prompt": "hi", "messages": [], "content": "hi", "n_predict": 1}'
    method = "GET" if path in ("/props", "/slots", "/v1/models", "/metrics") else "POST"
    request = urllib.request.Request(
        f"{address}{path}", headers=headers, data=None if method == "GET" else body, method=method
    )
    try:
        with urllib.request.urlopen(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_second_answer_comes_from_the_model_that_the_first_has_loaded(warm: Clew) -> None:
    assert answer(warm, "Name the capital of France.")
    [first] = servers(warm)
    assert maps_the_weights(first)
    modules = loaded(warm, "run", "--option", "temperature=0", "Name the capital of France.")
    assert servers(warm) == [first]
    assert "litellm" in modules
    assert "xllamacpp" not in modules


def test_a_conversation_is_answered_as_by_a_model_of_its_own(warm: Clew) -> None:
    def conversation(session: str, **env: str) -> list[str]:
        for prompt in ("Name the capital of France.", "And of Italy?", "Write a line about it."):
            warm("run", "-s", session, "--history", *SHORT, prompt, env=env, code=None)
        return [line["content"] for line in warm.stored(session)]

    alone = conversation("alone", CLEW_WARM="0")
    assert conversation("kept") == alone
    assert conversation("again") == alone
    assert len(servers(warm)) == 1


def test_calls_that_start_at_once_share_one_model_and_are_answered_rightly(warm: Clew) -> None:
    prompts = ["Name the capital of France.", "What is 2 plus 2?", "Name the capital of Italy."]
    begun = [warm.start("run", "-m", "local/smollm2", *SHORT, prompt) for prompt in prompts]
    at_once = [process.communicate(timeout=300)[0].decode().strip() for process in begun]
    assert len(servers(warm)) == 1
    assert at_once == [answer(warm, prompt, CLEW_WARM="0") for prompt in prompts]


def test_a_model_that_was_killed_is_loaded_anew(warm: Clew) -> None:
    before = answer(warm, "Name the capital of France.")
    [first] = servers(warm)
    os.kill(first, signal.SIGKILL)
    assert answer(warm, "Name the capital of France.") == before
    [second] = servers(warm)
    assert second != first


def test_a_model_that_is_killed_in_the_middle_of_an_answer_is_a_provider_that_is_down(
    warm: Clew,
) -> None:
    process = warm.start("run", "-s", "s", "--retries", "0", *LONG)
    assert process.stdout is not None
    begun = process.stdout.read(20)
    [server] = servers(warm)
    os.kill(server, signal.SIGKILL)
    process.communicate(timeout=300)
    assert process.returncode == 69
    [line] = warm.stored("s")
    assert line["status"] == "ERROR"
    assert line["content"].encode().startswith(begun)


def test_a_request_that_meets_a_dying_server_is_sent_again_to_a_new_one(warm: Clew) -> None:
    answer(warm, "hi")
    [first] = servers(warm)
    blocker = warm.start("run", "--no-store", *LONG)
    assert blocker.stdout is not None
    blocker.stdout.read(20)
    waiting = warm.start("run", "-s", "s", *SHORT, "Name the capital of France.")
    looks: list[set[str]] = []
    eventually(lambda: stays(looks, requests(waiting.pid)))
    os.kill(first, signal.SIGKILL)
    blocker.communicate(timeout=300)
    _, said = waiting.communicate(timeout=300)
    assert waiting.returncode in (0, 5), said
    [line] = warm.stored("s")
    assert line["content"]
    assert len(line["metrics"]["details"]) == 2
    assert servers(warm) != [first]


def requests(pid: int) -> set[str]:
    """The TCP connections that a process has."""
    sockets = {text[8:-1] for text in descriptors(pid).values() if text.startswith("socket:[")}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "01"} & sockets


def stays(looks: list[set[str]], now: set[str]) -> bool:
    """Tell whether there is one that is not over at once, like the question whether it is open."""
    looks.append(now)
    return len(looks) > 50 and bool(set.intersection(*looks[-50:]))


def test_a_caller_that_is_killed_in_the_middle_neither_ends_nor_keeps_the_model(warm: Clew) -> None:
    process = warm.start("run", "--no-store", *LONG)
    assert process.stdout is not None
    process.stdout.read(20)
    [first] = servers(warm)
    assert [there.asking for there in kept_models.kept()] == [1]
    process.kill()
    process.communicate(timeout=300)
    eventually(lambda: kept_models.kept()[0].asking == 0)
    assert answer(warm, "Name the capital of France.")
    assert servers(warm) == [first]


def test_the_model_leaves_when_nobody_has_asked_for_its_time_but_never_before(
    warm: Clew, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = [sys.executable, "-c", START, weights(warm), "0.05"]
    subprocess.run(start, check=True)
    with asking(warm, monkeypatch) as there:
        [server] = servers(warm)
        body = json.dumps({"prompt": "a", "n_predict": 60, "ignore_eos": True}).encode()
        key = {"Authorization": f"Bearer {there.llama.key}"}
        address = f"{there.llama.address}/completion"
        with urllib.request.urlopen(urllib.request.Request(address, body, key)) as response:
            assert json.load(response)["tokens_predicted"] == 60
        assert servers(warm) == [server]
    eventually(lambda: servers(warm) == [])
    assert kept_wire.SOCKET not in os.listdir(Path(warm.env["XDG_RUNTIME_DIR"]) / "clew")


def test_nobody_without_the_key_is_answered(warm: Clew, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(warm, "hi")
    [there] = kept_models.kept()
    assert there.address is not None
    assert there.address.startswith("http://127.0.0.1:")
    paths = ["/v1/chat/completions", "/completion", "/props", "/slots", "/v1/models", "/tokenize"]
    paths += ["/metrics", "/infill", "/v1/responses", "/v1/messages", "/v1/embeddings"]
    for path in paths:
        assert {http_status(path, key, there.address) for key in (None, "wrong")} == {401}
    with asking(warm, monkeypatch) as served:
        assert http_status("/props", served.llama.key, there.address) == 200


def test_the_key_stands_nowhere(warm: Clew, monkeypatch: pytest.MonkeyPatch) -> None:
    warm("run", "-s", "s", "-v", *SHORT, "hi", code=None)
    [server] = servers(warm)
    with asking(warm, monkeypatch) as there:
        key = there.llama.key
        assert key not in repr(there)
    places = [Path(f"/proc/{server}/cmdline"), Path(f"/proc/{server}/environ")]
    below = [*Path(warm.env["HOME"]).rglob("*"), *Path(warm.env["XDG_RUNTIME_DIR"]).rglob("*")]
    places += [path for path in below if path.is_file() and path.suffix != ".gguf"]
    assert [path for path in places if key.encode() in path.read_bytes()] == []


def test_no_key_of_the_user_s_is_handed_on_to_the_process_that_stays(warm: Clew) -> None:
    answer(warm, "hi", OPENAI_API_KEY="sk-CANARY-0123456789")
    [server] = servers(warm)
    assert b"CANARY" not in Path(f"/proc/{server}/environ").read_bytes()


def test_other_weights_in_the_file_s_place_are_loaded_and_the_old_ones_let_go(warm: Clew) -> None:
    file = warm.cwd / "m.gguf"
    shutil.copyfile(weights(warm), file)
    answer(warm, "-m", "gguf:m.gguf", "hi")
    [first] = servers(warm)
    shutil.copyfile(weights(warm), warm.cwd / "new.gguf")
    os.replace(warm.cwd / "new.gguf", file)
    answer(warm, "-m", "gguf:m.gguf", "hi")
    eventually(lambda: len(servers(warm)) == 1)
    assert servers(warm) != [first]


def test_a_model_in_parts_is_another_one_when_any_of_them_is(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for part in parts:
        part.write_bytes(b"GGUF")
    known = [identity(str(parts[0]))]
    for part in parts:
        part.write_bytes(b"GGUF, another")
        known.append(identity(str(parts[0])))
        assert known[-1] not in known[:-1]
    assert identity(str(parts[0])) == known[-1]
    parts[2].unlink()
    with pytest.raises(FileNotFoundError):
        identity(str(parts[0]))


def test_a_model_that_is_answering_is_not_replaced_by_another(
    warm: Clew, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(weights(warm), warm.cwd / "other.gguf")
    answer(warm, "hi")
    [first] = servers(warm)
    with asking(warm, monkeypatch):
        assert answer(warm, "-m", "gguf:other.gguf", "hi")
        assert servers(warm) == [first]
    answer(warm, "-m", "gguf:other.gguf", "hi")
    eventually(lambda: len(servers(warm)) == 1)
    assert servers(warm) != [first]


def test_one_that_is_told_to_leave_does_so_when_it_has_answered(
    warm: Clew, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(warm, "hi")
    [first] = servers(warm)
    with asking(warm, monkeypatch) as there:
        assert [one.pid for one in kept_models.stop()] == [first]
        assert http_status("/completion", there.llama.key, there.llama.address) == 200
        assert servers(warm) == [first]
    eventually(lambda: servers(warm) == [])
    assert kept_models.kept() == []


def test_a_server_that_does_not_answer_is_done_without(warm: Clew) -> None:
    before = answer(warm, "Name the capital of France.")
    [server] = servers(warm)
    os.kill(server, signal.SIGSTOP)
    assert answer(warm, "Name the capital of France.") == before


@pytest.mark.parametrize(
    "env", [{"CLEW_WARM": "0"}, {"CLEW_WARM": "", "CI": "true"}], ids=["CLEW_WARM=0", "CI"]
)
def test_nothing_is_left_behind_where_that_is_not_wanted(warm: Clew, env: dict[str, str]) -> None:
    assert answer(warm, "hi", **env)
    assert servers(warm) == []
    assert left_behind(warm) == []


def test_a_summary_that_is_asked_for_leaves_the_model_behind_too(warm: Clew, model: str) -> None:
    warm("run", "-s", "s", "-m", model, "hi")
    warm("sessions", "summarize", "-s", "s", "-m", "local/smollm2", code=None)
    assert len(servers(warm)) == 1


def test_a_python_program_leaves_nothing_behind(warm: Clew) -> None:
    program = """
from clew.core import Agent
print(Agent(model="local/smollm2", options={"max_tokens": 4}).run("hi").content)
"""
    subprocess.run([sys.executable, "-c", program], env=warm.env, cwd=warm.cwd, check=True)
    assert left_behind(warm) == []


def test_a_folder_that_others_can_read_is_not_used(warm: Clew) -> None:
    folder = Path(warm.env["XDG_RUNTIME_DIR"]) / "clew"
    folder.chmod(0o755)
    assert answer(warm, "hi")
    assert left_behind(warm) == []


def test_a_lock_that_is_no_file_is_done_without(warm: Clew) -> None:
    (Path(warm.env["XDG_RUNTIME_DIR"]) / "clew" / "model.lock").mkdir()
    assert answer(warm, "hi")


def test_a_stranger_at_the_socket_is_done_without(warm: Clew) -> None:
    folder = Path(warm.env["XDG_RUNTIME_DIR"]) / "clew"
    (folder / "model.lock").write_bytes(b"ready")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "model.sock"))
        listener.listen()
        process = warm.start("run", "-q", "--retries", "0", *SHORT, "hi")
        connection, _ = listener.accept()
        connection.recv(1 << 16)
        connection.sendall(
            b'{"address": "http://127.0.0.1:9", "key": "k", "ahead": 0, "again": 1}\n'
        )
        out, err = process.communicate(timeout=300)
        connection.close()
    assert out.strip()
    assert process.returncode in (0, 5), err


def test_no_open_file_of_the_caller_is_kept(warm: Clew) -> None:
    reading, writing = os.pipe()
    process = warm.start("run", *SHORT, "hi", pass_fds=(writing,))
    os.close(writing)
    process.communicate(timeout=300)
    assert os.read(reading, 1) == b""
    os.close(reading)
    [server] = servers(warm)
    open_files = descriptors(server)
    assert [open_files[fd] for fd in range(3)] == ["/dev/null"] * 3
    assert [name for name in open_files.values() if name.startswith("pipe:")] == []
    assert os.readlink(f"/proc/{server}/cwd") == "/"
    assert os.getsid(server) != os.getsid(0)


def test_a_file_that_cannot_be_loaded_is_told_of_as_ever(warm: Clew) -> None:
    (warm.cwd / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    broken = ("run", "-q", "-m", "gguf:broken.gguf", "--retries", "0", "hi")
    alone = warm(*broken, env={"CLEW_WARM": "0"}, code=69)
    assert warm(*broken, code=69) == alone
    eventually(lambda: servers(warm) == [])


def test_llama_cpp_that_is_not_installed_is_told_of_as_ever(warm: Clew) -> None:
    (warm.cwd / "lib").mkdir()
    (warm.cwd / "lib" / "xllamacpp.py").write_text("raise ImportError\n")
    env = {"PYTHONPATH": str(warm.cwd / "lib")}
    said = warm("run", "-q", "hi", env=env, code=3).err
    assert "embedded models need llama.cpp, which is not installed" in said
    assert said == warm("run", "-q", "hi", env=env | {"CLEW_WARM": "0"}, code=3).err
