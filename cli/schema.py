"""`clew schema`: the formats that scripts may rely on, as JSON Schema."""

import click

from . import output


@click.command("schema")
@click.argument("what", type=click.Choice(["line", "event"]))
def command(*, what: str) -> None:
    """Print the JSON Schema of a session file's lines, or of the events of -o stream-json.

    \b
    Examples:
      clew schema line > line.schema.json
      clew schema event | jq .required
    """
    from clew.core.schemas import event_schema, line_schema

    output.pretty(line_schema() if what == "line" else event_schema())
