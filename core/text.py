"""Text from outside: made storable, made safe to show, kept free of secrets."""

import codecs
import os
import re
from functools import lru_cache

_SURROGATE = "[\ud800-\udfff]"
_UNSAFE = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_SECRET_NAME = re.compile(
    r"((^|_)(KEY|TOKEN|SECRET|CREDENTIALS?|JWT)|API_?KEY|PASSWORD|PASSWD|_PWD)(_|$)", re.I
)
_SHORTEST_SECRET = 8
_WITHIN = bytes(range(0x80, 0xC0))
"""Bytes that no character of UTF-8 begins with."""
_LONGEST_CHARACTER = 4


def storable(text: str) -> str:
    """Return `text` with every byte or half character that is no text as U+FFFD.

    Arguments come with undecodable bytes as lone surrogates, which neither jq nor HTTP takes.
    """
    if text.isascii():
        return text
    return re.sub(_SURROGATE, "\N{REPLACEMENT CHARACTER}", text)


def showable(text: str) -> str:
    """Return `text` without the characters that move, colour or reprogram a terminal."""
    return text if text.isprintable() else re.sub(_UNSAFE, "", text)


def one_spelling(name: str) -> str:
    """Return the one spelling of a name: accents can be written in two ways that look the same."""
    if name.isascii():
        return name
    from unicodedata import normalize

    return normalize("NFC", name)


@lru_cache(maxsize=1000)
def is_secret_name(name: str) -> bool:
    """Tell whether a variable or option of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def redact(text: str) -> str:
    """Return `text` with the value of every secret of the environment replaced."""
    values = {v for k, v in os.environ.items() if len(v) >= _SHORTEST_SECRET and is_secret_name(k)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "[redacted]")
    return text


def shorten(text: str, most: int = 60) -> str:
    """Return text of at most so many characters, for a message: the end gives way."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def quoted(value: object) -> str:
    """Return a value as Python writes it, short and on one line: for errors."""
    return shorten(" ".join(repr(value).split()))


def without_middle(text: str, most: int) -> str:
    """Return text with about so many characters of its own, half of each end."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} […] {text[-half:]}"


def beginning(kept: bytes, total: int) -> str:
    """Return output as text of which `kept` is the beginning: what is missing is said.

    No character is split.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(kept, final=total <= len(kept))
    if total <= len(kept):
        return text
    begun, _ = decoder.getstate()
    return f"{text}\n[cut: {total - len(kept) + len(begun)} more bytes]"


def capped(text: str, most: int) -> str:
    """Return text of at most so many bytes, for a model: what is missing is said."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= most else beginning(data[:most], len(data))


def ending(kept: bytes, total: int) -> str:
    """Return output as text of which `kept` is the end: what is missing is said.

    No character is split.
    """
    if total <= len(kept):
        return kept.decode("utf-8", "replace")
    whole = kept.lstrip(_WITHIN)
    if len(kept) - len(whole) >= _LONGEST_CHARACTER:
        whole = kept  # it is no UTF-8 anyway
    return f"[cut: {total - len(whole)} bytes before this]\n{whole.decode('utf-8', 'replace')}"
