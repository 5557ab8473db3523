"""Options that commands share, and what their values may be."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Converted(click.ParamType[Any]):
    """An option whose text a function of the core reads; its UsageError becomes click's."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means."""
        if not isinstance(value, str):
            return value
        from clew.core.errors import UsageError

        try:
            return self._read(value)
        except UsageError as error:
            where = f"{param.opts[-1]}: " if param is not None else ""
            raise UsageError(f"{where}{error.message}", hint=error.hint) from None


def _seconds(text: str) -> float:
    from clew.core.clock import seconds

    return seconds(text)


def _since(text: str) -> str:
    from clew.core.clock import since

    return since(text)


def _pair(text: str) -> tuple[str, str]:
    from clew.core.errors import UsageError
    from clew.core.text import storable

    key, equals, value = storable(text).partition("=")
    if not equals or not key:
        raise UsageError(f"{text!r} is not KEY=VALUE")
    return key, value


def _limit(text: str) -> int | None:
    from clew.core.errors import UsageError
    from clew.core.text import shorten

    if text == "all":
        return None
    if not text.isdecimal() or len(text) > _LONGEST_COUNT:
        raise UsageError(f"{shorten(text)!r} is not a number, nor all")
    return int(text)


_LONGEST_COUNT = 18
"""Digits: what itertools can count to."""
DURATION = Converted("duration", _seconds)
SINCE = Converted("time", _since)
PAIR = Converted("key=value", _pair)
COUNT_OR_ALL = Converted("number", _limit)
COUNT = click.IntRange(min=0)
POSITIVE = click.IntRange(min=1)


def session_option(
    help_text: str = "Which session: an id, @NAME, or the beginning of an id.",
) -> Callable[[F], F]:
    """Return the `-s` option."""
    return click.option("-s", "--session", metavar="REF", callback=not_empty, help=help_text)


def user_option() -> Callable[[F], F]:
    """Return the `-u` option."""
    text = "Whose sessions: they are kept apart.  [env: CLEW_USER]"
    return click.option("-u", "--user", metavar="ID", callback=not_empty, help=text)


def one_session(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take one session, as an argument or with `-s`, and whose it is."""

    @wraps(command)
    def call(*args: Any, ref: str | None, session: str | None, **options: Any) -> Any:
        if ref is not None and session is not None:
            from clew.core.errors import UsageError

            raise UsageError(f"two sessions: {ref} and --session {session}", hint="name one")
        return command(*args, session=ref or session, **options)

    argument = click.argument("ref", required=False, callback=not_empty)
    return argument(session_option()(user_option()(call)))


def all_option() -> Callable[[F], F]:
    """Return the flag for all sessions of a user."""
    return click.option("--all", "everything", is_flag=True, help="All sessions of this user.")


def json_option(help_text: str = "Print JSON, an object a line.") -> Callable[[F], F]:
    """Return the `--json` flag."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def not_empty(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty value: nearly always an unset variable."""
    if value == "":
        raise _empty(param.opts[-1])
    return value


def _empty(option: str) -> Exception:
    from clew.core.errors import UsageError

    return UsageError(
        f"{option} is empty", hint="is a variable unset? leave the option out, or give it a value"
    )


def each_not_empty(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse an empty value among those that were given."""
    for value in values:
        not_empty(ctx, param, value)
    return values


class OptionalValue(click.Command):
    """A command with options whose value stands only after `=`: `--resume`, `--resume=RUN`."""

    optional_values: tuple[str, ...] = ("--resume", "--confirm", "--reject")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; a bare `--resume` gets an empty value, never the next word.

        A value that is empty is refused: `--confirm=$call` with nothing in it would confirm all.
        """
        end = args.index("--") if "--" in args else len(args)
        for arg in args[:end]:
            if arg.removesuffix("=") in self.optional_values and arg.endswith("="):
                raise _empty(arg.removesuffix("="))
        args = [
            f"{arg}=" if place < end and arg in self.optional_values else arg
            for place, arg in enumerate(args)
        ]
        return super().parse_args(ctx, args)
