"""Images, PDF and audio: told by their bytes, counted by their size, said as models take them."""

from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from .messages import FileRecord, LeftOut, Message

MediaKind = Literal["image", "pdf", "audio"]

MOST_BYTES = 20 << 20
"""Of one attachment: more is taken by no provider."""
WORDS: dict[MediaKind, str] = {"image": "images", "pdf": "PDF", "audio": "audio"}
_PDF = "application/pdf"
_WAV = "audio/wav"
_MP3 = "audio/mpeg"
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": _PDF,
    b"ID3": _MP3,
}
_RIFF = {b"WEBP": "image/webp", b"WAVE": _WAV}
_LAYER_III = 0b01
_IMAGE_TOKENS = 1600
_BYTES_A_TOKEN = {_PDF: 50, _WAV: 1000, _MP3: 500}
_FEWEST_TOKENS = {_PDF: 1600, _WAV: 100, _MP3: 100}


def mime_of(raw: bytes) -> str | None:
    """Return the media type that these bytes are; None for any other kind of file."""
    for beginning, mime in _BEGINNINGS.items():
        if raw.startswith(beginning):
            return mime
    if raw.startswith(b"RIFF"):
        return _RIFF.get(raw[8:12])
    return _MP3 if _begins_with_mp3_frame(raw) else None


def _begins_with_mp3_frame(raw: bytes) -> bool:
    """Tell whether a file without tags begins with a frame of MPEG layer III."""
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] & 0xE0 != 0xE0:
        return False
    version, layer = raw[1] >> 3 & 3, raw[1] >> 1 & 3
    bitrate, rate = raw[2] >> 4, raw[2] >> 2 & 3
    return version != 0b01 and layer == _LAYER_III and bitrate not in (0, 15) and rate != 0b11


def kind_of(mime: str) -> MediaKind:
    """Return what a model has to take to take this media type."""
    if mime == _PDF:
        return "pdf"
    return "audio" if mime.startswith("audio/") else "image"


def tokens_of_media(record: FileRecord) -> int:
    """Return about how many tokens an attachment is.

    Of an image, as many as the larger ones are; a page of a PDF is taken for 100 KB and 2000
    tokens, a second of speech for 32 tokens.
    """
    mime = record["mime"]
    if mime not in _BYTES_A_TOKEN:
        return _IMAGE_TOKENS
    return max(_FEWEST_TOKENS[mime], record["bytes"] // _BYTES_A_TOKEN[mime])


def attached_to(messages: Iterable[Message]) -> dict[str, FileRecord]:
    """Return what these messages have attached, by sha256."""
    return {one["sha256"]: one for message in messages for one in message.get("attachments", [])}


def without(messages: Iterable[Message], left_out: Iterable[LeftOut]) -> list[Message]:
    """Return the messages with a short text in place of each attachment that is left out."""
    reasons = {one["sha256"]: one["reason"] for one in left_out}
    return [_without(message, reasons) for message in messages]


def _without(message: Message, reasons: Mapping[str, str]) -> Message:
    attached = message.get("attachments", [])
    kept = [one for one in attached if one["sha256"] not in reasons]
    if len(kept) == len(attached):
        return message
    told = [
        f"[attachment {one['name']!r} left out: {reasons[one['sha256']]}]"
        for one in attached
        if one["sha256"] in reasons
    ]
    changed = message.copy()
    changed["content"] = "\n\n".join(filter(None, [message["content"], *told]))
    changed["attachments"] = kept
    if not kept:
        del changed["attachments"]
    return changed


def expanded(messages: Iterable[Message], contents: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return messages in the form of the OpenAI chat protocol, `contents` by sha256 put in."""
    return [_expanded(message, contents) for message in messages]


def _expanded(message: Message, contents: Mapping[str, bytes]) -> dict[str, Any]:
    reasons = {key: "it is not sent" for key in attached_to([message]) if key not in contents}
    whole = cast(dict[str, Any], _without(message, reasons))
    if "attachments" not in whole:
        return whole
    plain = {key: value for key, value in whole.items() if key != "attachments"}
    said = [{"type": "text", "text": whole["content"]}] if whole["content"] else []
    parts = [_part(one, contents[one["sha256"]]) for one in whole["attachments"]]
    return {**plain, "content": [*said, *parts]}


def _part(record: FileRecord, raw: bytes) -> dict[str, Any]:
    data, mime = b2a_base64(raw, newline=False).decode("ascii"), record["mime"]
    url = f"data:{mime};base64,{data}"
    kind = kind_of(mime)
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "pdf":
        return {"type": "file", "file": {"filename": record["name"], "file_data": url}}
    form = "wav" if mime == _WAV else "mp3"
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
