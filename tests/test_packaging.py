"""What is published: the wheel, the sdist, and the pinned requirements."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("cli", "core", "stores")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))

# One pinned requirement and its hashes. There is no room for an address, an option or a comment.
PINNED = re.compile(
    r"(?P<name>[a-z0-9]+(-[a-z0-9]+)*)==(?P<version>[0-9a-z.+!]+)"
    r"(?P<marker> ; [a-z_() ]+( [=!<>]+ '[A-Za-z0-9_. ]*'[a-z_() ]*)+)?"
    r"( --hash=sha256:[0-9a-f]{64})+"
)


@dataclass(frozen=True)
class Built:
    """A clean copy of the sources, and what was built from it."""

    sources: set[str]
    wheel: Path
    sdist: Path


def run(*command: str | Path, cwd: Path) -> str:
    """Return what the command printed; fail with it when the command fails."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env["CLEW_WARM"] = "0"  # nothing is left behind
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def copy_sources(target: Path) -> None:
    """Copy what git tracks or would track, so that no leftover of an earlier build gets in."""
    git = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in run(*git, cwd=ROOT).split("\0"):
        source = ROOT / name
        if name and (source.is_symlink() or source.is_file()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)


def build(target: Path) -> Built:
    copy = target / "copy"
    copy_sources(copy)
    sources = {
        path.relative_to(copy).as_posix()
        for folder in FOLDERS
        for path in (copy / folder).rglob("*")
        if path.is_file()
    }
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target / "dist", cwd=copy)
    (wheel,) = (target / "dist").glob("*.whl")
    (sdist,) = (target / "dist").glob("*.tar.gz")
    return Built(sources=sources, wheel=wheel, sdist=sdist)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("packaging"))


def pins(path: Path) -> Iterator[re.Match[str]]:
    text = path.read_text(encoding="utf-8").replace("\\\n", "")
    for line in text.splitlines():
        found = PINNED.fullmatch(re.sub(" +", " ", line))
        assert found is not None, f"{path.name}: {line[:200]!r}"
        yield found


def versions(name: str) -> dict[str, str]:
    return {pin["name"]: pin["version"] for pin in pins(ROOT / "requirements" / name)}


def wanted(*lists: list[str]) -> list[Requirement]:
    return [Requirement(text) for each in lists for text in each]


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_wheel_holds_the_three_folders_under_clew_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    whole = f"clew-{PROJECT['version']}"
    info, script = f"{whole}.dist-info/", f"{whole}.data/scripts/clew"
    modules = built.sources - {"cli/clew"}
    assert {name for name in names if not name.startswith(info)} == {
        script,
        *(f"clew/{source}" for source in modules),
    }
    assert {f"clew/{folder}/py.typed" for folder in FOLDERS} <= names
    assert f"{info}licenses/LICENSE" in names


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_sdist_holds_what_builds_the_wheel_and_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert built.sources | {"pyproject.toml", "LICENSE", "README.md"} <= names
    assert {name for name in names if name.startswith(("tests", ".links", "requirements"))} == set()


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_wheel_alone_runs(built: Built, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    python = home / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=tmp_path)
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    run(*pip, built.wheel, cwd=tmp_path)
    # A path in a .pth lends the dependencies without the checkout: .pth files there are not read.
    site = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    where = "import clew.cli.main as cli, clew.core as core; print(cli.__file__, core.__file__)"
    for path in run(python, "-c", where, cwd=tmp_path).split():
        assert Path(path).is_relative_to(home)
    assert PROJECT["version"] in run(home / "bin" / "clew", "--version", cwd=tmp_path)


def test_clew_itself_is_a_namespace_with_three_typed_packages() -> None:
    assert not (ROOT / "__init__.py").exists()
    assert all((ROOT / folder / "py.typed").read_bytes() == b"" for folder in FOLDERS)
    link = ROOT / ".links" / "clew"
    assert link.is_symlink()
    assert str(link.readlink()) == ".."


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_hashes_and_names_no_host(path: Path) -> None:
    assert list(pins(path)) != []
    assert not re.search(r"https?:|//|@|--\w*(index|find|host)", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "a==1",
        "a>=1 --hash=sha256:" + "0" * 64,
        "a==1 --hash=md5:" + "0" * 32,
        "a @ https://host.example/a.whl --hash=sha256:" + "0" * 64,
        "--index-url https://host.example/simple",
        "# from host.example",
    ],
)
def test_a_loose_requirement_is_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "loose.txt"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        list(pins(path))


def test_the_pins_are_what_pyproject_asks_for() -> None:
    run_pins, dev_pins = versions("run.txt"), versions("dev.txt")
    groups = PYPROJECT["dependency-groups"]
    asked = {
        "run": wanted(
            PROJECT["dependencies"],
            *PROJECT["optional-dependencies"].values(),
            groups["backend"],
        ),
        "dev": wanted(groups["dev"]),
    }
    for pinned, requirements in ((run_pins, asked["run"]), (dev_pins, asked["dev"])):
        for requirement in requirements:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])
    shared = run_pins.keys() & dev_pins.keys()
    assert {name: run_pins[name] for name in shared} == {name: dev_pins[name] for name in shared}


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8"])
def test_the_malicious_litellm_releases_are_excluded(version: str) -> None:
    (litellm,) = (each for each in wanted(PROJECT["dependencies"]) if each.name == "litellm")
    assert SpecifierSet(f"!={version}") & litellm.specifier == litellm.specifier
    assert versions("run.txt")["litellm"] != version
