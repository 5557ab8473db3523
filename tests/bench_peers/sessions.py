"""Sessions of thousands of turns, in each program's own format.

Each begins with turns that the program itself has made and stored; what it wrote of the last one is
written again and again, with ids of its own. A turn has 200 bytes of text and 400 of answer.
"""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from clew.core.lines import RunLine
from tests.stores_made import long_session

from .peers import COLD, Peers
from .process import measured
from .server import WORDS
from .world import World

ASKED, ANSWERED = "u" * 200, "a" * 400
_PROMPT = "bench-prompt"
_ANSWER = "".join(WORDS)


class Sessions:
    """Makes a session of so many turns for one program, and returns its id."""

    def __init__(self, world: World, peers: Peers) -> None:
        self._world = world
        self._peers = peers
        self._env = world.env()

    def make(self, name: str, turns: int) -> str:
        """Write the session; the program has read it once when this returns."""
        makers = {"clew": self._clew, "codex": self._codex, "claude": self._claude}
        session = (makers | {"llm": self._llm})[name.partition(",")[0]](turns)
        for _ in range(2):  # codex indexes a file that it did not write
            measured(self._peers.go_on(name, session))
        return session

    def run_of_clew(self) -> RunLine:
        """Return the line of a run with such texts."""
        first = self._peers.command(COLD, "run", "-q", "--json", _PROMPT)
        run: RunLine = json.loads(_with_texts(measured(first).out.decode()))
        return run

    def _clew(self, turns: int) -> str:
        run = self.run_of_clew()
        session = f"turns-{turns}-{uuid4().hex[:8]}"
        long_session(Path(self._env["CLEW_HOME"]), "default", session, run, turns)
        return session

    def _codex(self, turns: int) -> str:
        folder = Path(self._env["CODEX_HOME"]) / "sessions"
        known = set(folder.rglob("*.jsonl"))
        measured(self._peers.one_off("codex", "first"))
        (path,) = set(folder.rglob("*.jsonl")) - known
        session = path.stem[-36:]
        lines = self._of_one_turn(path, "codex", session)
        turn = next(each["payload"]["turn_id"] for each in lines if "turn_id" in each["payload"])
        count = lines[-1]["ordinal"] + 1
        with path.open("a") as file:
            for _ in range(turns - 2):
                new = str(uuid4())
                for line in lines:
                    text = _compact({**line, "ordinal": count}).replace(turn, new)
                    file.write(_with_texts(text) + "\n")
                    count += 1
        return session

    def _claude(self, turns: int) -> str:
        folder = Path(self._env["CLAUDE_CONFIG_DIR"]) / "projects"
        known = set(folder.rglob("*.jsonl"))
        measured(self._peers.one_off("claude", "first"))
        (path,) = set(folder.rglob("*.jsonl")) - known
        session = path.stem
        lines = [each for each in self._of_one_turn(path, "claude", session) if "uuid" in each]
        leaf = lines[-1]["uuid"]
        with path.open("a") as file:
            for _ in range(turns - 2):
                new = {line["uuid"]: str(uuid4()) for line in lines}
                for line in lines:
                    parent = new.get(line["parentUuid"], leaf)
                    again = {**line, "uuid": new[line["uuid"]], "parentUuid": parent}
                    file.write(_with_texts(_compact(again)) + "\n")
                leaf = new[lines[-1]["uuid"]]
        return session

    def _of_one_turn(self, path: Path, name: str, session: str) -> list[Any]:
        """Have a turn made, and return the lines that the program wrote for it."""
        size = path.stat().st_size
        measured(self._peers.go_on(name, session, _PROMPT))
        with path.open("rb") as file:
            file.seek(size)
            return [json.loads(line) for line in file.read().splitlines()]

    def _llm(self, turns: int) -> str:
        measured(self._peers.one_off("llm", uuid4().hex))  # the same turns would be the same rows
        path = Path(self._env["LLM_USER_PATH"]) / "logs.db"
        with closing(sqlite3.connect(path)) as base, base:
            base.row_factory = sqlite3.Row
            last = "select * from turns order by id desc limit 1"
            turn = dict(base.execute(last).fetchone())
            session, tip = turn["thread_id"], turn["tip_message_hash"]
            for number in range(turns - 1):
                parent = tip
                for role, text in (("user", ASKED), ("assistant", ANSWERED)):
                    parent, tip = tip, _llm_hash(tip, role, text)
                    _insert(base, "messages", hash=tip, parent_hash=parent, role=role)
                    part = {"message_hash": tip, "position": 0, "type": "text", "text": text}
                    _insert(base, "parts", **part)
                ids = {"id": f"{turn['id']}{number:06}", "parent_message_hash": parent}
                _insert(base, "turns", **{**turn, **ids, "tip_message_hash": tip})
            base.execute("update threads set tip_message_hash=? where id=?", (tip, session))
        return str(session)


def _llm_hash(parent: str | None, role: str, text: str) -> str:
    """Return the name that llm gives to a message: it tells all that came before it."""
    message = {"role": role, "parts": [{"type": "text", "text": text}]}
    whole = _canonical({"parent": parent, "message": message})
    return f"b2:{hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()}"


def _insert(base: sqlite3.Connection, table: str, **row: Any) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    base.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))


def _with_texts(text: str) -> str:
    return text.replace(_PROMPT, ASKED).replace(_ANSWER, ANSWERED)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
