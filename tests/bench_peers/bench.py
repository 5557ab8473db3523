"""What is measured, a method for each part."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

from tests.stores_made import many_sessions

from .parallel import Kept, runs_a_second, written_at_once
from .peers import COLD, WARM, Peers
from .process import CommandFailed, first_seen, measured
from .rounds import Make, Rounds, told
from .sessions import Sessions
from .tables import Figure, Figures, show, table
from .warm import WarmProcess
from .world import World

_LONG, _SHORT, _FEW, _MANY = 10_000, 10, 1_000, 10_000
_PYTHON, _LITELLM = "python -c pass", "bare litellm"
PEERS = ("codex", "claude", "llm", "sgpt", "gptme", "agno", "openai-agents")


class Bench:
    """All that is measured; `quick` takes few rounds, only to see that it works."""

    def __init__(self, world: World, *, quick: bool) -> None:
        self._world = world
        self._peers = Peers(world)
        self._sessions = Sessions(world, self._peers)
        self._long = _LONG // 20 if quick else _LONG
        self._quick = quick
        self._figures = Figures()
        self._clews = [COLD]
        self._warm = WarmProcess(self._peers)

    def run(self, wanted: Sequence[str] = ()) -> None:
        """Measure the wanted parts, or all of them, one after the other."""
        if self._warm.start():
            self._clews.append(WARM)
        try:
            for name, part in self._parts.items():
                if wanted and name not in wanted:
                    continue
                started = time.monotonic()
                try:
                    part()
                except CommandFailed as error:
                    told(f"{name}: {error}")
                told(f"{name} took {time.monotonic() - started:.0f} s")
        finally:
            if WARM in self._clews:
                self._warm.stop()
        self._figures.show()

    @property
    def _parts(self) -> dict[str, Callable[[], None]]:
        return {
            "one_off": self._one_off,
            "reading": self._reading,
            "one_session": self._one_session,
            "whole_history": self._whole_history,
            "first_word": self._first_word,
            "many_runs": self._many_runs,
            "many_writers": self._many_writers,
            "memory": self._memory,
        }

    def _rounds(self, wanted: int) -> int:
        return 1 if self._quick else wanted

    def _make(self, *arguments: str, name: str = COLD) -> Make:
        return partial(self._peers.command, name, *arguments)

    def _one_off(self) -> None:
        names = [*self._clews, *self._peers.here(*PEERS)]
        cases: dict[str, Make] = {name: partial(self._peers.one_off, name) for name in names}
        for name in self._peers.here("litellm", "openai"):
            cases[f"bare {name}"] = partial(self._peers.one_off, name)
        cases[_PYTHON] = self._make("-c", "pass", name="python")
        rounds = Rounds(cases, self._rounds(7))
        show("One run", rounds, _PYTHON)
        add = self._figures.ratio
        add("a warm run, beside codex", rounds, WARM, "codex", 0.4)
        add("a warm run, beside llm", rounds, WARM, "llm", 0.12)
        add(f"a warm run, beside {_PYTHON}", rounds, WARM, _PYTHON, 7)
        add("a cold run, beside bare litellm", rounds, COLD, _LITELLM, 0.6)

    def _reading(self) -> None:
        session = self._sessions.make(COLD, self._long)
        home = Path(self._world.env()["CLEW_HOME"])
        run = self._sessions.run_of_clew()
        for user, count in (("few", _FEW), ("many", _MANY)):
            many_sessions(home, user, run, count)
        history, state, lists = "clew history -n 10", "clew state get", "clew sessions list -n 10"
        longer = f"{lists}, of {_MANY:,}"
        cases: dict[str, Make] = {
            _PYTHON: self._make("-c", "pass", name="python"),
            "clew --version": self._make("--version"),
            "clew --help": self._make("--help"),
            history: self._make("history", "-n", "10", "-s", session),
            state: self._make("state", "get", "x", "--default", "", "-s", session),
            lists: self._make("sessions", "list", "-n", "10", "-u", "few"),
            longer: self._make("sessions", "list", "-n", "10", "-u", "many"),
        }
        if self._peers.here("llm"):
            theirs = self._sessions.make("llm", self._long)
            cases["llm logs -n 10, one session"] = self._make(
                *("logs", "list", "-n", "10", "--cid", theirs), name="llm"
            )
            cases["llm logs -n 10"] = self._make("logs", "list", "-n", "10", name="llm")
        rounds = Rounds(cases, self._rounds(15))
        show(f"Reading, of {self._long:,} runs and {_FEW:,} sessions", rounds, _PYTHON)
        add = self._figures.ratio
        limits = {"clew --version": 4, "clew --help": 6, history: 7, state: 7, lists: 7}
        for name, most in limits.items():
            add(f"`{name}`, beside {_PYTHON}", rounds, name, _PYTHON, most)
        add(f"`{history}`, beside llm", rounds, history, "llm logs -n 10, one session", 0.15)
        add(f"`{longer}`, beside llm", rounds, longer, "llm logs -n 10", 0.15)

    def _one_session(self) -> None:
        """Go on with a short and a long session, of which ten runs are sent."""
        cases: dict[str, Make] = {}
        for name in self._clews:
            for turns in (_SHORT, self._long):
                session = self._sessions.make(name, turns)
                cases[f"{name}, {turns:,} runs"] = self._make(
                    *("continue", "-q", "--history-runs", "10", "-s", session, "hi"), name=name
                )
        rounds = Rounds(cases, self._rounds(9))
        short, long = (f"{self._clews[-1]}, {turns:,} runs" for turns in (_SHORT, self._long))
        show("continue --history-runs 10", rounds, short)
        what = f"`continue --history-runs 10`, {self._long:,} runs beside {_SHORT}"
        self._figures.ratio(what, rounds, long, short, 1.1)

    def _whole_history(self) -> None:
        names = [*self._clews, *self._peers.here("codex", "claude", "llm")]
        cases: dict[str, Make] = {}
        for name in names:
            session = self._sessions.make(name, self._long)
            cases[name] = partial(self._peers.go_on, name, session)
        rounds = Rounds(cases, self._rounds(5))
        show(f"Going on with {self._long:,} turns, all sent", rounds, self._clews[-1])
        for peer in ("codex", "claude"):
            what = f"all of {self._long:,} turns sent, beside {peer}"
            self._figures.ratio(what, rounds, self._clews[-1], peer, 1.0)

    def _first_word(self) -> None:
        names = [*self._clews, *self._peers.here("llm", "codex", "claude")]
        cases: dict[str, Make] = {
            name: partial(self._peers.one_off, name, slow=True) for name in names
        }
        rounds = Rounds(cases, self._rounds(7), partial(first_seen, word=b"word0"))
        show("The first word, of twenty that come 20 ms apart", rounds, "llm", first=True)
        what = "the first word of a warm run, beside llm"
        self._figures.ratio(what, rounds, WARM, "llm", 0.2, "first")

    def _many_runs(self) -> None:
        names = [*self._clews[1:], *self._peers.here("llm")]
        rates = {name: runs_a_second(self._peers, name) for name in names}
        rows = [
            [name, f"{rate:.1f}", "none" if good else "some"]
            for name, (rate, good) in rates.items()
        ]
        table("64 runs, `xargs -P 8`", ["", "runs a second", "failed"], rows)
        if WARM in rates:
            what = "64 warm runs, eight at once: runs a second"
            rate, good = rates[WARM]
            self._figures.add(Figure(what, rate if good else 0, 25, "{:.1f}", at_least=True))

    def _many_writers(self) -> None:
        kept: dict[str, Kept] = {}
        for name in (*self._clews[-1:], *self._peers.here("agno")):
            session = uuid4().hex
            if name in self._clews:
                session = self._sessions.make(name, _SHORT)
            else:
                measured(self._peers.go_on(name, session))
            kept[name] = written_at_once(self._world, self._peers, name, session)
        rows = [
            [name, f"{each.seconds:.1f}", str(each.failed), str(each.seen)]
            for name, each in kept.items()
        ]
        head = ["", "seconds", "failed", "seen by the next"]
        table("8 processes, 10 times each going on with one session", head, rows)
        ours = kept[self._clews[-1]]
        what = "of 80 turns of eight processes: kept, and seen by the next"
        self._figures.add(Figure(what, ours.seen - ours.failed, 80, "{:.0f}", at_least=True))
        if "agno" in kept:
            ratio = ours.seconds / kept["agno"].seconds
            self._figures.add(Figure("their time, beside agno with SQLite", ratio, 0.15))

    def _memory(self) -> None:
        if WARM in self._clews:
            most = max(self._warm.unshared() for _ in range(self._rounds(5))) / 1e6
            what = "memory of a warm run that it shares with no other, MB"
            self._figures.add(Figure(what, most, 40, "{:.0f}"))
