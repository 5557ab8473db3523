"""Files that go along with a prompt: text is inlined with its name; images, PDF and audio go along
as they are, for models that take them."""

import codecs
import mimetypes
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from . import media
from .errors import UsageError
from .lines import RunLine
from .messages import FileRecord, LeftOut, Message, user
from .model import Model, Refusing
from .store import SessionLog
from .text import storable


@dataclass(frozen=True)
class Attachment:
    """A file as it goes to the model, and what is recorded of it: it has a `text` or a `content`.

    `content` is the bytes of an image, a PDF or audio.
    """

    record: FileRecord
    text: str | None = None
    content: bytes = field(default=b"", repr=False)

    @property
    def raw(self) -> bytes:
        """Its bytes, as they were when it was loaded."""
        if self.text is None:
            return self.content
        plain = self.text.encode()
        marked = len(plain) + len(codecs.BOM_UTF8) == self.record["bytes"]
        return codecs.BOM_UTF8 + plain if marked else plain


@dataclass(frozen=True)
class File:
    """A file to attach: a path, or a URL, or its content, of which exactly one has to be given.

    `name` is what the model is told, and what is recorded; the path or the URL has one of its own.
    """

    path: str | os.PathLike[str] | None = None
    url: str | None = None
    content: bytes | None = field(default=None, repr=False)
    name: str | None = None

    def load(self, seconds: float | None = None) -> Attachment:
        """Return it as it is now; raise UsageError if it cannot be had, or cannot be sent.

        `seconds` is how long a URL may take; LimitReached tells that it took longer.
        """
        given = [each for each in (self.path, self.url, self.content) if each is not None]
        if len(given) != 1:
            raise UsageError("an attachment is a path, a URL or its content: exactly one of them")
        if self.url is not None:
            from .fetching import fetch

            name, raw = fetch(self.url, media.MOST_BYTES, seconds)
        elif self.path is not None:
            path = os.fspath(self.path)
            name, raw = os.path.basename(path), _read(path)
        else:
            name, raw = "attachment", self.content or b""
        return from_bytes(raw, storable(self.name or name))


Source = str | os.PathLike[str] | File | Attachment
"""What can be attached: a path or a URL, or one of the objects that hold such a file."""


def load(source: Source, seconds: float | None = None) -> Attachment:
    """Return what is to be attached; raise UsageError if it cannot be had, or cannot be sent.

    `seconds` is how long a URL may take; LimitReached tells that it took longer.
    """
    if isinstance(source, Attachment):
        return source
    if isinstance(source, File):
        return source.load(seconds)
    if isinstance(source, str) and "://" in source:
        from .fetching import is_url

        if is_url(source) or not os.path.exists(source):
            return File(url=source).load(seconds)
    return File(path=source).load()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"cannot read the attachment {path!r}: it has no end")
            return file.read(media.MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read the attachment {path!r}: {reason}") from None


def from_bytes(raw: bytes, name: str) -> Attachment:
    """Return an attachment of this content; raise UsageError if it is of no kind that is sent.

    What it is, its bytes tell; the name is only a name.
    """
    if len(raw) > media.MOST_BYTES:
        most = media.MOST_BYTES >> 20
        raise UsageError(f"the attachment {name!r} is larger than {most} MiB")
    text, mime = _text(raw), media.mime_of(raw)
    if mime is not None and (text is None or media.kind_of(mime) == "pdf"):
        return Attachment(_record(name, mime, raw), content=raw)
    mime = mimetypes.guess_type(name)[0] or "text/plain"
    if text is None:
        raise UsageError(
            f"the attachment {name!r} is not text ({mime})",
            hint="what can be attached is UTF-8 text, an image (PNG, JPEG, GIF, WebP), PDF, "
            "and audio (WAV, MP3)",
        )
    return Attachment(_record(name, mime, raw), text)


def _text(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _record(name: str, mime: str, raw: bytes) -> FileRecord:
    return {"name": name, "mime": mime, "bytes": len(raw), "sha256": sha256(raw).hexdigest()}


def prompt_with(prompt: str, attachments: Iterable[Attachment]) -> Message:
    """Return the user message of a prompt and its files."""
    blocks = [prompt] if prompt else []
    attached: list[FileRecord] = []
    for item in attachments:
        if item.text is None:
            attached.append(item.record)
        else:
            blocks.append(_block(repr(item.record["name"]), item.text.rstrip()))
    message = user("\n\n".join(blocks))
    return {**message, "attachments": attached} if attached else message


def enclosed_before(run: RunLine, log: SessionLog) -> tuple[Attachment, ...]:
    """Return the files that a stored run was sent with, as far as they are still there."""
    asked = [message for message in run["messages"] if message["role"] == "user"]
    said, kept = "\n\n".join(message["content"] for message in asked), media.attached_to(asked)
    found: list[Attachment] = []
    at = 0
    for record in run["files"]:
        if record["sha256"] in kept:
            raw = log.attached(record["sha256"])
            found += [] if raw is None else [Attachment(record, content=raw)]
            continue
        text = re.compile(_block(re.escape(repr(record["name"])), "(.*?)"), re.DOTALL)
        if (block := text.search(said, at)) is not None:
            found.append(Attachment(record, block[1]))
            at = block.end()
    return tuple(found)


def _block(name: str, text: str) -> str:
    return f"<file name={name}>\n{text}\n</file>"


@dataclass(frozen=True)
class Enclosed:
    """What messages have attached: the contents, by sha256, and what there is to be left out."""

    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    left_out: Sequence[LeftOut] = ()


def enclosed(
    own: Sequence[Message],
    earlier: Sequence[Message],
    *,
    given: Iterable[Attachment],
    models: Sequence[Model],
    log: SessionLog,
) -> Enclosed:
    """Return what goes along with a run's `own` messages and with those of `earlier` turns.

    `given` are the files that the run itself was given; the session has kept the others. Raises
    UsageError for an attachment of the run's own that one of the models surely does not take.
    """
    asked, before = media.attached_to(own), media.attached_to(earlier)
    for record in asked.values():
        if (reason := _refused(record, models)) is not None:
            raise UsageError(
                f"the attachment {record['name']!r} cannot be sent: {reason}",
                hint="-m names another model",
            )
    contents = {item.record["sha256"]: item.content for item in given if item.text is None}
    left_out: list[LeftOut] = []
    for key, record in (before | asked).items():
        reason = _refused(record, models)
        raw = contents.get(key) or (None if reason else log.attached(key))
        if reason is None and raw is not None:
            contents[key] = raw
        else:
            why = reason or "it is gone, or was altered"
            left_out.append({"name": record["name"], "sha256": key, "reason": why})
    return Enclosed(contents, left_out)


def _refused(record: FileRecord, models: Iterable[Model]) -> str | None:
    """Return why this cannot be sent to one of the models, as far as that is known."""
    kind = media.kind_of(record["mime"])
    for model in models:
        if isinstance(model, Refusing) and model.refuses(kind):
            return f"the model {model.name} takes no {media.WORDS[kind]}"
    return None
