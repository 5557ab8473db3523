"""`clew doctor`."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from clew.stores.health import type_of
from tests.conftest import Clew
from tests.provider import Provider

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /home rw - nfs4 server:/home rw
24 23 0:22 / /home/me/local\\040disk rw master:2 - xfs /dev/sdb rw
25 22 0:23 / /homely rw - tmpfs none rw
"""


def found(clew: Clew, *arguments: str, code: int | None = 0) -> dict[str, dict[str, Any]]:
    """What each check found."""
    rows = clew(*arguments, "doctor", "--json", code=code).lines
    return {row["check"]: row for row in rows}


@pytest.fixture
def well(clew: Clew, model: str) -> Clew:
    """A home with a session, and a model that is there."""
    clew("run", "-m", model, "-s", "s", "hi")
    clew.env["CLEW_MODEL"] = model
    return clew


def test_a_home_that_works_has_no_failure(well: Clew) -> None:
    findings = found(well)
    assert {"version", "settings", "home", "disk", "locks", "fsync", "space"} <= set(findings)
    assert not [one for one in findings.values() if one["status"] == "failure"]
    assert all(findings[check]["status"] == "ok" for check in ("home", "locks", "fsync", "clock"))


def test_people_get_a_row_a_check_and_a_sum(well: Clew) -> None:
    result = well("doctor")
    assert f"ok       home       {well.home}: yours alone\n" in result.out
    assert "failures: 0" in result.err


def test_nothing_is_left_behind(well: Clew) -> None:
    before = sorted(well.home.rglob("*"))
    well("doctor")
    assert sorted(well.home.rglob("*")) == before


def test_a_home_that_is_not_there_is_tried_out_and_taken_away_again(clew: Clew) -> None:
    assert found(clew, code=3)["locks"]["status"] == "ok"
    assert not clew.home.parent.exists()


def test_no_embedded_model_is_exit_3_and_says_what_to_type(clew: Clew) -> None:
    missing = found(clew, code=3)["model"]
    assert (missing["status"], missing["exit_code"]) == ("failure", 3)
    assert "clew models install smollm2" in missing["hint"]


def test_a_home_that_is_a_file_is_exit_74_and_the_other_checks_are_made(well: Clew) -> None:
    (well.cwd / "file").write_text("")
    findings = found(well, "--home", "file", code=74)
    assert findings["home"]["status"] == "failure"
    assert findings["model"]["status"] == "ok"


def test_a_home_that_others_may_look_into_is_a_warning(well: Clew) -> None:
    well.home.chmod(0o755)
    assert "chmod 700" in found(well)["home"]["hint"]


@pytest.mark.parametrize("folder", [".", "users", "users/default"])
def test_a_folder_that_others_may_write_to_is_exit_74(well: Clew, folder: str) -> None:
    (well.home / folder).chmod(0o777)
    assert found(well, code=74)["home"]["status"] == "failure"


def test_a_wrong_setting_is_a_failure_that_names_it(well: Clew) -> None:
    well.config.mkdir(parents=True)
    (well.config / "config.toml").write_text('retries = "many"')
    findings = found(well, code=78)
    assert "retries" in findings["settings"]["message"]


def test_what_a_crash_left_is_counted(well: Clew) -> None:
    (well.session_file("s").parent / "s.torn").write_text("{")
    assert found(well)["sessions"]["message"] == "1; torn ends: 1"


def test_a_session_from_the_future_casts_doubt_on_the_clock(well: Clew) -> None:
    later = time.time() + 86400
    os.utime(well.session_file("s"), (later, later))
    assert found(well)["clock"]["status"] == "warning"


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no file system in memory")
def test_a_disk_in_memory_is_a_warning(well: Clew) -> None:
    home = Path("/dev/shm") / f"clew-doctor-{os.getpid()}"
    assert found(well, "--home", str(home))["disk"]["status"] == "warning"
    assert not home.exists()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/clew", "ext4"),
        ("/home/me/clew", "nfs4"),
        ("/home/me/local disk/clew", "xfs"),
        ("/homely", "tmpfs"),
        ("/homestead", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert type_of(path, MOUNTS) == kind


LYING = """
import sys
from clew.stores import native_lock
native_lock.lock = lambda fd: True
from clew.cli.main import main
sys.exit(main(["doctor"]))
"""


def test_locks_that_do_not_exclude_are_exit_74(well: Clew) -> None:
    (well.cwd / "lying.py").write_text(LYING)
    result = well.shell("python lying.py", code=74)
    assert "failure  locks" in result.out


def test_a_store_in_memory_is_a_warning(well: Clew) -> None:
    assert found(well, "--store", "memory:")["store"]["status"] == "warning"


@pytest.mark.slow
def test_a_hosted_model_without_its_key_is_a_warning_and_no_key_is_ever_shown(
    clew: Clew, provider: Provider
) -> None:
    shown = clew("doctor", "-m", "openai/gpt-4o-mini", "--json")
    assert "CANARY" not in shown.out + shown.err
    assert shown.lines[-1]["status"] == "ok"
    del clew.env["OPENAI_API_KEY"]
    missing = clew("doctor", "-m", "openai/gpt-4o-mini", "--json").lines[-1]
    assert (missing["status"], "OPENAI_API_KEY" in missing["hint"]) == ("warning", True)
    assert not provider.requests
