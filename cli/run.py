"""`clew run`: a new session, or one more run in a named one."""

from typing import Unpack

import click

from .app import App
from .invoke import invoke
from .options import session_option
from .run_options import RunOptions, run_options
from .target import Target


@click.command("run")
@session_option("Run in this session (an id or @NAME); it is created if it does not exist.")
@run_options
@click.pass_obj
def command(app: App, **options: Unpack[RunOptions]) -> int:
    """Ask a model once, and keep the run in a session.

    Without -s a new session begins. With -s the run belongs to that session, which is created if
    it does not exist. No earlier message is sent unless --history asks for it; `clew continue`
    goes on with a conversation.

    The prompt is the words; what is piped in follows them. - or no prompt reads standard input.

    \b
    Examples:
      clew run "Name three rivers in France."
      clew run -s trip --system "Answer in one line." "Where to go in May?"
      cat error.log | clew run -q "What went wrong here?"
      clew run --schema 'name str, age int' "Invent a person." | jq .age
      clew run --team reviewers -f letter.txt "Review this."
      clew run --workflow publish -s site < draft.md
    """
    from clew.core import ids, refs
    from clew.core.errors import UsageError
    from clew.core.text import storable

    app.quiet = options["quiet"]
    user = app.user(options["user"])
    ref, run_id = options["session"], options["run_id"]
    if ref is None and run_id is not None:
        ref = ids.session_for(ids.run_id(run_id))
    log, name = refs.find_or_new(app.store, storable(ref) if ref else None, user)
    if options["name"] is not None:
        if name is not None:
            raise UsageError("-s @NAME and --name both name the session", hint="leave one out")
        name = storable(options["name"])
    return invoke(app, Target(user, log.session_id, name, new=not log.exists()), options)
