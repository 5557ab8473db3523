"""The options that `run` and `continue` share."""

from typing import TypedDict

import click

from .options import COUNT, DURATION, PAIR, POSITIVE, F, each_not_empty, not_empty, user_option


class RunOptions(TypedDict):
    """The options of `run` and `continue`, as click gives them."""

    words: tuple[str, ...]
    model: str | None
    agent: str | None
    team: str | None
    workflow: str | None
    session: str | None
    name: str | None
    user: str | None
    system: str | None
    files: tuple[str, ...]
    history: bool | None
    history_runs: int | None
    history_messages: int | None
    history_tokens: int | None
    history_tool_calls: int | None
    state: str | None
    state_replace: str | None
    schema: str | None
    run_id: str | None
    tools: tuple[str, ...]
    approve: str | None
    option: tuple[tuple[str, str], ...]
    param: tuple[tuple[str, str], ...]
    meta: tuple[tuple[str, str], ...]
    output_format: str
    output_file: str | None
    stream: bool | None
    quiet: bool
    verbose: bool
    usage: bool
    color: str | None
    max_turns: int | None
    max_cost: float | None
    max_tokens: int | None
    max_total_tokens: int | None
    timeout: float | None
    retries: int | None
    wait: float | None
    no_stdin: bool
    no_store: bool
    dry_run: bool


_RUN_OPTIONS = (
    click.argument("words", metavar="[PROMPT]...", nargs=-1),
    click.option(
        "-m",
        "--model",
        metavar="NAME",
        callback=not_empty,
        help="Any litellm model name; local/NAME or gguf:PATH run in this process; "
        "replay:REF_OR_FILE answers from recorded runs.  [env: CLEW_MODEL]",
    ),
    click.option(
        "-a",
        "--agent",
        metavar="NAME",
        callback=not_empty,
        help="Run an agent: its name (see `clew agents list`), a YAML file, or module:object.",
    ),
    click.option(
        "--team",
        metavar="NAME",
        callback=not_empty,
        help="Run a team: a leader and its members, named as agents are.",
    ),
    click.option(
        "--workflow",
        metavar="NAME",
        callback=not_empty,
        help="Run a workflow: steps, one after the other; named as agents are.",
    ),
    click.option(
        "--param",
        metavar="K=V",
        type=PAIR,
        multiple=True,
        help="A value for {K} in the agent's text. May be repeated.",
    ),
    click.option(
        "--name", metavar="TEXT", callback=not_empty, help="Name the session; later: -s @TEXT."
    ),
    user_option(),
    click.option("--system", metavar="TEXT|@FILE", help="System prompt."),
    click.option(
        "-f",
        "--file",
        "files",
        metavar="PATH|URL|-",
        multiple=True,
        help="Send a file along: text, an image, PDF or audio. May be repeated.",
    ),
    click.option(
        "--history/--no-history",
        default=None,
        help="Send the session's earlier completed turns, or do not.",
    ),
    click.option("--history-runs", metavar="N", type=COUNT, help="At most the newest N turns."),
    click.option(
        "--history-messages", metavar="N", type=COUNT, help="At most N messages, whole turns only."
    ),
    click.option(
        "--history-tokens",
        metavar="N",
        type=COUNT,
        help="At most about N tokens, whole turns only.",
    ),
    click.option(
        "--history-tool-calls",
        metavar="N",
        type=COUNT,
        help="Only the newest N tool calls of these turns.",
    ),
    click.option(
        "--state", metavar="JSON|@FILE", help="Merge this object into the session's state."
    ),
    click.option(
        "--state-replace", metavar="JSON|@FILE", help="Put this object in place of the state."
    ),
    click.option(
        "--schema",
        metavar="SCHEMA",
        callback=not_empty,
        help="Ask for JSON that fits: JSON Schema, @FILE, module:Class, or 'name str, age int'.",
    ),
    click.option(
        "-t",
        "--tool",
        "tools",
        metavar="SPEC",
        multiple=True,
        callback=each_not_empty,
        help="Offer a tool: module:function, a YAML or JSON file, or its definition as JSON.",
    ),
    click.option(
        "--approve",
        type=click.Choice(["ask", "auto", "deny", "pause"]),
        help="Who lets tools run that need approval (default ask; without a terminal: pause).",
    ),
    click.option("-y", "--yes", "approve", flag_value="auto", help="The same as --approve auto."),
    click.option(
        "--run-id",
        metavar="ID",
        callback=not_empty,
        help="Make the call repeatable: the same ID with the same input runs once.",
    ),
    click.option(
        "--option",
        metavar="K=V",
        type=PAIR,
        multiple=True,
        help="A model option, such as temperature=0. May be repeated.",
    ),
    click.option(
        "--meta", metavar="K=V", type=PAIR, multiple=True, help="Metadata to store with the run."
    ),
    click.option(
        "-o",
        "--output-format",
        type=click.Choice(["text", "json", "stream-json"]),
        help="What stdout gets: the answer, the stored line, or an event a line.",
    ),
    click.option("--json", "output_format", flag_value="json", help="The same as -o json."),
    click.option(
        "-O",
        "--output-file",
        metavar="FILE",
        callback=not_empty,
        help="Write the answer to FILE instead; an old FILE survives a failure.",
    ),
    click.option(
        "--stream/--no-stream",
        default=None,
        help="Print the answer as it comes (default on a terminal), or only when it is whole.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr on success."),
    click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
    click.option("--usage", is_flag=True, help="Print tokens and cost on stderr."),
    click.option(
        "--color", type=click.Choice(["auto", "always", "never"]), help="Colour on stderr."
    ),
    click.option(
        "--max-turns",
        metavar="N",
        type=POSITIVE,
        help="Stop after N requests to the model (default 50).",
    ),
    click.option(
        "--max-cost", metavar="USD", type=click.FloatRange(min=0), help="Stop at this cost."
    ),
    click.option("--max-tokens", metavar="N", type=POSITIVE, help="The longest answer, in tokens."),
    click.option(
        "--max-total-tokens",
        metavar="N",
        type=POSITIVE,
        help="Stop when the run has used N tokens.",
    ),
    click.option(
        "--timeout", metavar="DUR", type=DURATION, help="Stop after this long: 90s, 10m, 2h."
    ),
    click.option(
        "--retries",
        metavar="N",
        type=COUNT,
        help="Send a failed request again, up to N times (default 2).",
    ),
    click.option(
        "--wait",
        metavar="DUR",
        type=DURATION,
        help="Wait so long for a busy session (default 10m).",
    ),
    click.option(
        "--no-wait", "wait", flag_value=0.0, type=DURATION, help="Do not wait for a busy session."
    ),
    click.option("--no-stdin", is_flag=True, help="Leave standard input alone."),
    click.option("--no-store", is_flag=True, help="Keep nothing on disk."),
    click.option("--dry-run", is_flag=True, help="Print what would be sent; call nothing."),
)


def run_options(function: F) -> F:
    """Add the options that `run` and `continue` share."""
    for option in reversed(_RUN_OPTIONS):
        function = option(function)
    return function
