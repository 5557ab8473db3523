"""What stands behind a URL: fetched once, by http or https only, bounded in size and time."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from .deadline import TimeIsUp, within
from .errors import LimitReached, UsageError
from .text import storable
from .version import VERSION

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

SECONDS = 30.0
"""How long a fetch may take, redirects and all."""
_CHUNK = 1 << 16
_SCHEMES = ("http", "https")
_SAFE = "/%:@!$&'()*+,;=~?"


class _Failure(Exception):
    """Why nothing was fetched, in words."""


def is_url(source: str) -> bool:
    """Tell whether this is a URL, and no path."""
    scheme, colon, rest = source.partition("://")
    return scheme.lower() in _SCHEMES and bool(colon and rest)


def fetch(url: str, most: int, seconds: float | None = None) -> tuple[str, bytes]:
    """Return a name for what stands behind a URL, and its content, of at most `most` bytes.

    A user and password in the URL are sent to its host, and stand in no message and no name.
    Raises UsageError, with the reason, for a URL that nothing can be fetched from; LimitReached if
    it takes longer than the run's own `seconds`, and these are fewer than SECONDS.
    """
    try:
        parts = urlsplit(storable(url))
        shown = _shown(parts)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise UsageError(f"cannot fetch {shown!r}: it is no http or https URL")
    except ValueError as error:
        raise UsageError(f"cannot fetch a URL: {error}") from None
    most_seconds = SECONDS if seconds is None else min(seconds, SECONDS)
    try:
        raw = within(
            most_seconds, lambda going: _read(parts, most, most_seconds, going), lambda _: None
        )
    except TimeIsUp:
        if most_seconds < SECONDS:
            raise LimitReached(
                f"the run's time was up while {shown!r} was fetched", hint="--timeout sets it"
            ) from None
        raise UsageError(f"cannot fetch {shown!r}: it took longer than {SECONDS:g} s") from None
    except _Failure as failure:
        raise UsageError(f"cannot fetch {shown!r}: {failure}") from None
    return unquote(parts.path.rpartition("/")[2]) or str(parts.hostname), raw


def _shown(parts: SplitResult) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def _read(parts: SplitResult, most: int, seconds: float, going: Callable[[str], None]) -> bytes:
    from http.client import HTTPException, responses
    from urllib.error import HTTPError, URLError

    try:
        return _body(parts, most, seconds, going)
    except HTTPError as error:
        error.close()
        raise _Failure(f"{error.code} {responses.get(error.code, '')}".rstrip()) from None
    except URLError as error:
        reason = error.reason
        told = reason.strerror if isinstance(reason, OSError) else None
        raise _Failure(storable(str(told or reason))) from None
    except OSError as error:
        raise _Failure(error.strerror or str(error) or "no connection") from None
    except (HTTPException, ValueError) as error:
        raise _Failure(f"no proper HTTP ({type(error).__name__})") from None


def _body(parts: SplitResult, most: int, seconds: float, going: Callable[[str], None]) -> bytes:
    from urllib.request import Request

    request = Request(_address(parts), headers={"User-Agent": f"clew/{VERSION}"})
    if parts.username is not None:
        from base64 import b64encode

        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        # Not to another host that a redirect may name.
        request.add_unredirected_header("Authorization", f"Basic {b64encode(login).decode()}")
    with _opener().open(request, timeout=seconds) as response:
        raw = bytearray()
        while len(raw) <= most and (response.length or 0) <= most:
            going("")  # ends this thread, once nobody waits for it
            chunk = response.read1(_CHUNK)
            if not chunk:
                if response.length:
                    raise _Failure("the connection broke off")
                return bytes(raw)
            raw += chunk
    raise _Failure(f"it is larger than {most >> 20} MiB")


def _opener() -> "OpenerDirector":
    """Return what opens http and https URLs, and nothing else, wherever a redirect leads."""
    from urllib import request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _address(parts: SplitResult) -> str:
    """Return the URL as it goes over the wire: ASCII, without user and fragment."""
    host = parts.netloc.rpartition("@")[2]
    if not host.isascii():
        name = str(parts.hostname).encode("idna").decode("ascii")
        host = name if parts.port is None else f"{name}:{parts.port}"
    path, query = quote(parts.path or "/", _SAFE), quote(parts.query, _SAFE)
    return urlunsplit((parts.scheme, host, path, query, ""))
