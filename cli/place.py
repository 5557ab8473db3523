"""Which session a command of `clew state` means."""

import click

from .app import App
from .options import F, session_option, user_option


class Place:
    """Which session a state command means: its own options go before the group's."""

    def __init__(self, app: App, session: str | None, user: str | None) -> None:
        self.app = app
        self.session = session
        self.user = user


def where(function: F) -> F:
    """Add the options that say which session is meant."""
    function = click.option(
        "-q", "--quiet", is_flag=True, help="Do not say which session was chosen."
    )(function)
    return session_option()(user_option()(function))
