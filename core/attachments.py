"""Files that go along with a prompt: text, inlined with its name."""

import mimetypes
import os
import stat
from dataclasses import dataclass
from hashlib import sha256

from .errors import UsageError
from .lines import FileRecord
from .text import storable


@dataclass(frozen=True)
class Attachment:
    """A text file as it goes to the model, and what is recorded of it."""

    text: str
    record: FileRecord


def load(path: str) -> Attachment:
    """Return the text file at `path`; raise UsageError if it cannot be read or is no UTF-8 text."""
    try:
        with open(path, "rb") as file:
            if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"cannot read the attachment {path!r}: it has no end")
            raw = file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read the attachment {path!r}: {reason}") from None
    return from_bytes(raw, storable(os.path.basename(path)))


def from_bytes(raw: bytes, name: str) -> Attachment:
    """Return an attachment of this content; raise UsageError if it is no UTF-8 text."""
    mime = mimetypes.guess_type(name)[0] or "text/plain"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UsageError(
            f"the attachment {name!r} is not text ({mime})", hint="only UTF-8 text can be attached"
        )
    record: FileRecord = {
        "name": name,
        "mime": mime,
        "bytes": len(raw),
        "sha256": sha256(raw).hexdigest(),
    }
    return Attachment(text, record)


def with_attachments(prompt: str, attachments: tuple[Attachment, ...]) -> str:
    """Return the user message of a prompt and its files."""
    blocks = [
        f"<file name={item.record['name']!r}>\n{item.text.rstrip()}\n</file>"
        for item in attachments
    ]
    return "\n\n".join([*([prompt] if prompt else []), *blocks])
