"""What tests share: the installed `clew` in a world of its own, recordings, a provider, jq."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.provider import Provider

if TYPE_CHECKING:
    from tests.warmth import Warmth

CLEW = Path(sys.executable).with_name("clew")
MODELS = os.environ.get("CLEW_TEST_MODELS", "")
LONGEST_IN_A_NAME = 100
RUNTIME = tempfile.mkdtemp(prefix="clew-")  # pytest's own folders are too deep for a socket's path
atexit.register(shutil.rmtree, RUNTIME, ignore_errors=True)
for signum, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    # A shell starts what it puts into the background so, or `nohup`, and clew would ignore it too.
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, usual)


SHARED: "list[Warmth]" = []
"""The warm process that makes the calls of all worlds, with $CLEW_TEST_WARM."""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Clew:
    """Runs the installed command with a home, a configuration and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.cwd = folder / "work"
        self.home = folder / "data" / "clew"
        self.config = folder / "config" / "clew"
        self.cwd.mkdir(parents=True)
        self.env = {
            "PATH": f"{CLEW.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": tempfile.mkdtemp(dir=RUNTIME),
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            "CLEW_WARM": "0",  # nothing is left behind, and nothing that is there is used
        }
        for warmth in SHARED:
            warmth.join(self)
        if "PYTHONPATH" in os.environ:  # another version of a library, to be tested with
            self.env["PYTHONPATH"] = os.environ["PYTHONPATH"]

    def __call__(
        self,
        *arguments: str | bytes,
        stdin: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        code: int | None = 0,
        cwd: Path | None = None,
    ) -> Result:
        """Run to the end; the exit code has to be `code`, unless that is None."""
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [CLEW, *arguments],
            input=raw,
            stdin=subprocess.DEVNULL if raw is None else None,
            capture_output=True,
            env=self.env | dict(env or {}),
            cwd=cwd or self.cwd,
            timeout=200,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert code is None or result.code == code, (arguments, result)
        assert "Traceback" not in result.out + result.err
        return result

    def inside(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a Python program, which calls clew with these arguments, to its good end."""
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=self.env,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start and return the process; stdout and stderr are pipes unless said otherwise."""
        defaults: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.env | options.pop("env", {}),
            "cwd": self.cwd,
        }
        return subprocess.Popen([CLEW, *arguments], **defaults | options)

    def shell(self, script: str, code: int | None = 0) -> Result:
        """Run a bash script in which `clew` is the installed command."""
        done = subprocess.run(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.env,
            cwd=self.cwd,
            timeout=200,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert code is None or result.code == code, (script, result)
        return result

    def recording(self, *pairs: tuple[str, str], name: str = "recording.jsonl") -> str:
        """Write recorded answers to a file and return the name of the model that plays them."""
        path = self.cwd.parent / name
        records = [json.dumps({"input": asked, "content": answer}) for asked, answer in pairs]
        path.write_text("".join(f"{record}\n" for record in records))
        return f"replay:{path}"

    def session_file(self, session: str, user: str = "default") -> Path:
        """Return where a session's lines are."""
        return self.home / "users" / user / f"{session}.jsonl"

    def stored(self, session: str, user: str = "default") -> list[Any]:
        """Return a session's lines, read without clew."""
        raw = self.session_file(session, user).read_bytes()
        assert raw.endswith(b"\n")
        return [json.loads(line) for line in raw.splitlines()]


@pytest.fixture(scope="session", autouse=True)
def shared_warmth(pytestconfig: pytest.Config) -> Iterator[None]:
    """With $CLEW_TEST_WARM, have one warm process make the calls of all tests."""
    if not os.environ.get("CLEW_TEST_WARM"):
        yield
        return
    from tests.warmth import Warmth

    warmth = Warmth()
    pid = warmth.start("--idle", "7200")["pid"]
    SHARED.append(warmth)
    yield
    SHARED.clear()
    told = warmth.status
    warmth.end()
    figures = f"warm: served {told['served']}, refused {told['refused']} (last: {told['why']})"
    print(figures)
    with open(os.environ["CLEW_TEST_WARM"], "a", encoding="utf-8") as file:
        file.write(f"{figures}\n")
    assert told["pid"] == pid, told  # else calls were made cold, and nobody would know


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by a value only where that is short: a line of a session has its time in it."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_IN_A_NAME else None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Run the tests of the embedded model one after the other: two at once take minutes."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "embedded" in fixtures and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("embedded"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """With $CLEW_TEST_WARM, leave out what holds only where a call is made by its own process."""
    cold = item.get_closest_marker("cold")
    if cold is not None and os.environ.get("CLEW_TEST_WARM"):
        pytest.skip(cold.kwargs["reason"])


@pytest.fixture
def clew(tmp_path: Path) -> Clew:
    """The installed command in an empty world."""
    return Clew(tmp_path)


@pytest.fixture(scope="module")
def warmth() -> Iterator["Warmth"]:
    """A warm process for many tests."""
    from tests.warmth import Warmth

    warmth = Warmth()
    warmth.start("--idle", "7200")
    yield warmth
    warmth.end()


@pytest.fixture
def warm(warmth: "Warmth", clew: Clew) -> Clew:
    """A world with a warm process; there is a new one if a test has ended it."""
    warmth.start("--idle", "7200")
    return warmth.join(clew)


@pytest.fixture
def model(clew: Clew) -> str:
    """A model that answers `one` … `five` with `answer one` …, and `hi` with `hello`."""
    words = ("one", "two", "three", "four", "five")
    return clew.recording(("hi", "hello"), *((word, f"answer {word}") for word in words))


@pytest.fixture
def provider(clew: Clew) -> Iterator[Provider]:
    """A provider on loopback; `openai/test-model` is its model."""
    with Provider() as server:
        clew.env |= {"OPENAI_API_BASE": server.url, "OPENAI_API_KEY": "sk-CANARY-0123456789"}
        yield server


@pytest.fixture
def embedded(clew: Clew) -> Clew:
    """A home in which the embedded model is installed."""
    weights = Path(MODELS) / "smollm2.gguf"
    if not weights.is_file():
        pytest.fail("the embedded model is not there: run the tests with `make test`")
    folder = clew.home / "models"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "smollm2.gguf").symlink_to(weights)
    return clew


def jq(program: str, text: str, *flags: str) -> str:
    """Return what jq makes of a text: the program where it is installed, else its library."""
    if shutil.which("jq"):
        done = subprocess.run(
            ["jq", *flags, "-c", program], input=text, capture_output=True, text=True, check=True
        )
        return done.stdout
    import jq as library

    found = library.compile(program).input_text(text).all()
    raw = "-r" in flags
    return "".join(f"{x if raw and isinstance(x, str) else json.dumps(x)}\n" for x in found)


def eventually(check: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Return what `check` gives as soon as it is true; fail if it never is."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


__all__: Sequence[str] = ("Clew", "Result", "eventually", "jq")
