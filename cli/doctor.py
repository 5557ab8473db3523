"""`clew doctor`: whether clew works here, and what could go wrong."""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import click

from clew.core.errors import ClewError
from clew.core.version import VERSION

from . import output
from .app import App
from .options import json_option
from .settings import KEYS
from .warm import look

if TYPE_CHECKING:
    from clew.stores.health import Finding


@click.command("doctor")
@click.option("-m", "--model", metavar="NAME", help="The model to look for (default: yours).")
@json_option("Print what was found as JSON, an object a check.")
@click.pass_obj
def command(app: App, *, model: str | None, as_json: bool) -> int:
    """Try out locks and fsync on the disk where sessions are, and look at the folder's permissions,
    free space, clock, settings, and whether the model and its key are there.

    No model is called, no key is shown, and nothing is left behind. The exit code is that of the
    first failure; warnings are exit 0.

    \b
    Example:
      clew doctor --json | jq -r 'select(.status != "ok") | .message'
    """
    code = warnings = failures = 0
    for finding in _findings(app, model):
        code = code or finding.exit_code
        warnings += finding.status == "warning"
        failures += finding.status == "failure"
        if as_json:
            output.record(asdict(finding))
        else:
            output.result(output.shown(_row(finding)))
    output.note(f"warnings: {warnings}, failures: {failures}")
    return code


def _row(finding: "Finding") -> str:
    hint = f"\n{'':18}  hint: {finding.hint}" if finding.hint else ""
    return f"{finding.status:7}  {finding.check:9}  {finding.message}{hint}\n"


def _findings(app: App, model: str | None) -> "Iterator[Finding]":
    from clew.stores.health import examine, failure, ok, warning

    yield ok("version", _versions())
    yield ok("warm", look().told)
    broken = False
    for name in KEYS:
        try:
            app.settings.look_up(name)
        except ClewError as error:
            broken = True
            yield failure("settings", error)
    if broken:
        return
    yield ok("settings", "they can be read; `clew config` shows them")
    try:
        keeps = app.store.keeps
    except ClewError as error:
        yield failure("store", error)
        return
    if keeps:
        yield from examine(_folder(app))
    else:
        yield warning("store", "it keeps nothing", "use jsonl:DIR to keep sessions")
    yield _model(app, model)


def _versions() -> str:
    shown = [f"clew {VERSION}", f"Python {sys.version.split()[0]}"]
    for name in ("litellm", "filelock", "xllamacpp"):
        try:
            shown.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            shown.append(f"no {name}")
    return ", ".join(shown)


def _folder(app: App) -> str:
    url = str(app.settings.value("store") or f"jsonl:{app.home}")
    return os.path.abspath(url.partition(":")[2])


def _model(app: App, asked: str | None) -> "Finding":
    from clew.core.models import DEFAULT_MODEL, missing_keys, resolve
    from clew.stores.health import failure, ok, warning

    name = str(app.settings.value("model", asked) or DEFAULT_MODEL)
    try:
        model = resolve(name, store=app.store, user_id=app.user(None), home=app.home)
        window = model.window
        missing = missing_keys(model)
    except ClewError as error:
        return failure("model", error)
    if missing:
        hint = f"set {' and '.join(missing)} in the environment, if the provider asks for it"
        return warning("model", f"{name}: its key is not set", hint)
    return ok("model", f"{name}, {f'{window} tokens' if window else 'its window is not known'}")
