"""A judge of session files that shares no code with what it judges: it imports nothing of clew.

    python tests/torture/checker.py FILE...

prints what is wrong with the files, by line, and exits 1 if anything is.
"""

import json
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

Json = dict[str, Any]

FIRST = ["v", "type", "seq", "session_id", "user_id", "created_at"]
LAST = ["session_state", "session_metrics"]
OWN = {
    "run": "run_id parent_run_id root_run_id resumes forked_from kind name status exit_code "
    "started_at input files content data finish_reason model resolved_model messages history "
    "tools requirements steps error metrics total_metrics state_patch metadata options cwd "
    "clew_version",
    "state": "state_patch state_replaced by",
    "session": "name",
}
ASKED = ["summary", "covers", "by", "job_id", "error", "metrics"]
"""What else a session line has if a model was asked for it."""
SUMS = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_unknown",
    "requests",
    "duration",
]
EXIT = {"COMPLETED": (0, 5), "PAUSED": (6,), "INTERRUPTED": (1,), "CANCELLED": (129, 130, 143)}


def check(path: Path, acknowledged: Iterable[str] = (), *, torn: bool = False) -> list[str]:
    """Return all that is wrong with a session file; `torn` allows bytes after the last newline.

    Each of the acknowledged run ids has to be there.
    """
    raw = path.read_bytes() if path.exists() else b""
    *whole, rest = raw.split(b"\n")
    wrong = [f"{len(rest)} bytes after the last newline"] if rest and not torn else []
    lines: list[Json] = []
    for number, piece in enumerate(whole, 1):
        try:
            lines.append(_object(piece))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    wrong += _order(lines, path.stem)
    wrong += _fold(lines)
    wrong += _inside(lines)
    wrong += _steps(lines)
    runs = Counter(line.get("run_id") for line in lines if line.get("type") == "run")
    wrong += [f"run {run} stands on {count} lines" for run, count in runs.items() if count > 1]
    wrong += [f"run {run} was acknowledged and is lost" for run in acknowledged if not runs[run]]
    return wrong


def check_home(home: Path) -> list[str]:
    """Return what others may enter, read or write below a folder."""
    wrong = []
    for path in [home, *home.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode != (0o700 if path.is_dir() else 0o600):
            wrong.append(f"{path} has the mode {mode:o}")
    return wrong


def _object(raw: bytes) -> Json:
    """Return the object that a line is; raise ValueError, with the reason, if it is none."""
    if not raw.isascii() or b"\r" in raw:
        raise ValueError("not ASCII that ends in a newline")
    line = json.loads(raw, parse_constant=_refuse, object_pairs_hook=_unique)
    if not isinstance(line, dict):
        raise ValueError("not an object")
    return line


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _order(lines: list[Json], session: str) -> Iterator[str]:
    """Yield where numbers, keys, owners or statuses are not as they have to be."""
    for number, line in enumerate(lines, 1):
        kind = line.get("type")
        if line.get("seq") != number:
            yield f"line {number}: seq is {line.get('seq')}"
        own = _own_keys(line)
        if list(line) != [*FIRST, *own, *LAST]:
            yield f"line {number}: the keys of a {kind} line are others, or in another order"
        if line.get("session_id") != session:
            yield f"line {number}: a line of session {line.get('session_id')}"
        status = line.get("status")
        if status in EXIT and line.get("exit_code") not in EXIT[status] and not _refused(line):
            yield f"line {number}: {status} with exit code {line.get('exit_code')}"


def _refused(line: Json) -> bool:
    """Tell whether somebody did not allow a step, and the workflow was to end for that."""
    kind = (line.get("error") or {}).get("kind")
    return (line["status"], line["exit_code"], kind) == ("CANCELLED", 1, "rejected")


def _own_keys(line: Json) -> list[str]:
    own = OWN.get(str(line.get("type")), "").split()
    if _was_asked(line):
        return own + ASKED
    if line.get("kind") in ("team", "workflow"):
        own.insert(own.index("error"), "members")
    if line.get("type") == "state" and "step" in line:
        own.append("step")
    return own + (["state_conflicts"] if line.get("state_conflicts") else [])


def _inside(lines: list[Json]) -> Iterator[str]:
    """Yield where runs and those inside them do not agree."""
    known: dict[str, Json] = {}
    made: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if line.get("type") != "run":
            continue
        if line.get("parent_run_id") in known:
            yield f"line {number}: it stands after the run that it was made in"
        run = line["run_id"]
        known[run] = line
        made.setdefault(str(line.get("parent_run_id")), []).append(run)
        members = line.get("members", [])
        inside = made.pop(run, [])
        if inside != [one["run_id"] for one in members]:
            yield f"line {number}: the runs inside it are {inside}"
            continue
        if any(known[one["run_id"]]["status"] != one["status"] for one in members):
            yield f"line {number}: a member's run ended otherwise"
        for key in ("total_tokens", "requests", "cost_unknown"):
            below = sum(known[one["run_id"]]["total_metrics"][key] for one in members)
            if line["total_metrics"][key] != line["metrics"][key] + below:
                yield f"line {number}: {key} are not its own and those of the runs inside it"


def _steps(lines: list[Json]) -> Iterator[str]:
    """Yield where the steps of a workflow do not stand, or did not end, as they have to."""
    made_in: dict[str, str | None] = {}
    before: dict[str, str | None] = {}
    for number, line in enumerate(lines, 1):
        if line.get("type") != "run":
            continue
        made_in[line["run_id"]] = line["parent_run_id"]
        before[line["run_id"]] = line["resumes"]
        chain = {str(run) for run in _chain(line["run_id"], before)}
        steps = [*_flat(line.get("steps", []), "")]
        ids = Counter(step["id"] for _, step in steps)
        yield from (f"line {number}: step {key} is there twice" for key in ids if ids[key] > 1)
        for where, step in steps:
            key, status, run = step["id"], step["status"], step["run_id"]
            if key != where + step["name"]:
                yield f"line {number}: step {key} stands in {where}"
            if line["status"] == "COMPLETED" and status not in ("COMPLETED", "SKIPPED"):
                yield f"line {number}: step {key} is {status} in a run that is COMPLETED"
            if run is not None and status == "COMPLETED" and made_in.get(run) not in chain:
                yield f"line {number}: the run of step {key} was not made in this one"
            kept = len(step["steps"]) + step.get("moved", {}).get("count", 0)
            if step["kind"] == "loop" and status == "COMPLETED" and kept != step["iterations"]:
                yield f"line {number}: loop {key} has {kept} iterations"


def _chain(run: str | None, before: dict[str, str | None]) -> Iterator[str]:
    """Yield a run and those that it went on with."""
    while run is not None:
        yield run
        run = before.get(run)


def _flat(steps: list[Json], where: str) -> Iterator[tuple[str, Json]]:
    for step in steps:
        yield where, step
        yield from _flat(step["steps"], f"{step['id']}/")


def _fold(lines: list[Json]) -> Iterator[str]:
    """Yield where state or totals differ from what the lines so far add up to."""
    state: Any = {}
    sums = dict.fromkeys([*SUMS, "cost", "runs", "turns"], 0.0)
    paused: list[str] = []
    for number, line in enumerate(lines, 1):
        state = merged(state, line.get("state_patch") or {})
        if line.get("session_state") != state:
            yield f"line {number}: the state is not what the patches make"
        if line.get("type") == "run" or _was_asked(line):
            metrics, is_inside = line.get("metrics", {}), bool(line.get("parent_run_id"))
            for key in SUMS:
                sums[key] += 0 if is_inside and key == "duration" else metrics.get(key, 0)
            sums["cost"] += metrics.get("cost") or 0
            sums["runs"] += line.get("type") == "run" and not is_inside
            sums["turns"] += line.get("status") == "COMPLETED" and not is_inside
        if line.get("summary"):
            sums["summary_seq"] = number
        totals = line.get("session_metrics", {})
        paused = [run for run in paused if run != line.get("resumes")]
        if line.get("status") == "PAUSED" and not line.get("parent_run_id"):
            paused.append(line["run_id"])
        if totals.get("open_pauses", []) != paused:
            yield f"line {number}: the open pauses are not {paused}"
        wrong = [key for key in sums if abs(sums[key] - (totals.get(key) or 0)) > 1e-6]
        if wrong:
            yield f"line {number}: the totals of {', '.join(wrong)} are not what the runs add up to"


def _was_asked(line: Json) -> bool:
    return line.get("type") == "session" and "job_id" in line


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, in the words of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


if __name__ == "__main__":
    found = [f"{name}: {wrong}" for name in sys.argv[1:] for wrong in check(Path(name))]
    print("\n".join(found) or "clean")
    sys.exit(bool(found))
