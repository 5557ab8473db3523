"""Images, PDF and audio: what they are, how much, and how they are sent."""

from base64 import b64encode

import pytest

from clew.core.attachments import File, from_bytes, load, prompt_with
from clew.core.errors import UsageError
from clew.core.history import tokens_of
from clew.core.media import MOST_BYTES, expanded, mime_of, tokens_of_media, without
from clew.core.messages import FileRecord
from tests.attached import GIF, JPEG, MP3, PDF, PNG, TAGGED_MP3, WAV, WEBP

KINDS = {
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/gif": GIF,
    "image/webp": WEBP,
    "application/pdf": PDF,
    "audio/wav": WAV,
    "audio/mpeg": MP3,
}


def record(mime: str, size: int) -> FileRecord:
    return {"name": "x", "mime": mime, "bytes": size, "sha256": "0" * 64}


@pytest.mark.parametrize(("mime", "raw"), KINDS.items(), ids=str)
def test_what_a_file_is_its_bytes_tell_and_not_its_name(mime: str, raw: bytes) -> None:
    attachment = from_bytes(raw, "letter.txt")
    assert (attachment.record["mime"], attachment.record["name"]) == (mime, "letter.txt")
    assert (attachment.text, attachment.content) == (None, raw)


def test_music_with_tags_is_music() -> None:
    assert from_bytes(TAGGED_MP3, "a.mp3").record["mime"] == "audio/mpeg"


@pytest.mark.parametrize("text", ["GIF89a is what a GIF begins with", "ID3 has tags", "RIFF"])
def test_text_that_begins_as_such_a_file_does_is_text(text: str) -> None:
    attachment = from_bytes(text.encode(), "a.png")
    assert (attachment.text, attachment.content) == (text, b"")


@pytest.mark.parametrize(
    "raw",
    [
        "zürich".encode("utf-16"),  # its mark looks like the beginning of MPEG
        b"\xff\xf1\x50\x80" + bytes(100),  # AAC
        b"RIFF\0\0\0\0AVI " + bytes(100),
        b"\x7fELF" + bytes(100),
        b"PK\3\4" + bytes(100),
    ],
)
def test_any_other_kind_of_file_is_none_of_them(raw: bytes) -> None:
    assert mime_of(raw) is None
    with pytest.raises(UsageError, match="is not text"):
        from_bytes(raw, "a.png")


def test_a_file_may_have_so_many_bytes_and_no_more() -> None:
    whole = PNG + bytes(MOST_BYTES - len(PNG))
    assert from_bytes(whole, "a.png").record["bytes"] == MOST_BYTES
    with pytest.raises(UsageError, match="is larger than 20 MiB"):
        from_bytes(whole + b"\0", "a.png")


def test_a_file_has_exactly_one_source() -> None:
    for wrong in (File(), File(path="a", content=b"b"), File(path="a", url="http://a.invalid")):
        with pytest.raises(UsageError, match="exactly one"):
            load(wrong)


def test_content_of_ones_own_is_attached_under_the_name_it_is_given() -> None:
    assert load(File(content=PNG, name="dot.png")).record["name"] == "dot.png"
    assert load(File(content=b"Lyon")).record["name"] == "attachment"


def test_each_kind_is_sent_in_the_form_of_the_chat_protocol() -> None:
    given = [from_bytes(raw, "f") for raw in (PNG, PDF, WAV, MP3)]
    message = prompt_with("What is this?", given)
    contents = {item.record["sha256"]: item.content for item in given}
    png, pdf, wav, mp3 = (b64encode(raw).decode() for raw in (PNG, PDF, WAV, MP3))
    assert expanded([message], contents) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}},
                {
                    "type": "file",
                    "file": {"filename": "f", "file_data": f"data:application/pdf;base64,{pdf}"},
                },
                {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}},
                {"type": "input_audio", "input_audio": {"data": mp3, "format": "mp3"}},
            ],
        }
    ]


def test_an_image_without_a_word_is_sent_without_an_empty_text() -> None:
    image = from_bytes(PNG, "a.png")
    sent = expanded([prompt_with("", [image])], {image.record["sha256"]: PNG})
    assert [part["type"] for part in sent[0]["content"]] == ["image_url"]


def test_a_message_without_attachments_is_sent_as_it_is() -> None:
    message = prompt_with("hi", [from_bytes(b"Lyon", "a.txt")])
    assert expanded([message], {}) == [message]
    assert "attachments" not in message


def test_what_is_left_out_has_a_short_text_in_its_place() -> None:
    gone, kept = from_bytes(PNG, "a.png"), from_bytes(PDF, "b.pdf")
    message = prompt_with("hi", [gone, kept])
    lost = {"name": "a.png", "sha256": gone.record["sha256"], "reason": "it is gone"}
    (left,) = without([message], [lost])  # type: ignore[list-item]
    assert left["content"] == "hi\n\n[attachment 'a.png' left out: it is gone]"
    assert left["attachments"] == [kept.record]
    assert message["content"] == "hi"


def test_a_request_of_somebody_who_has_no_bytes_says_so_in_their_place() -> None:
    sent = expanded([prompt_with("hi", [from_bytes(PNG, "a.png")])], {})
    assert sent == [
        {"role": "user", "content": "hi\n\n[attachment 'a.png' left out: it is not sent]"}
    ]


def test_an_attachment_counts_among_the_tokens_of_a_message() -> None:
    bare, image = prompt_with("hi", []), prompt_with("hi", [from_bytes(PNG, "a.png")])
    assert tokens_of([image]) - tokens_of([bare]) == tokens_of_media(record("image/png", 1)) > 1000


@pytest.mark.parametrize("mime", ["application/pdf", "audio/wav", "audio/mpeg"])
def test_a_long_document_counts_for_more_than_a_short_one(mime: str) -> None:
    short, long = (tokens_of_media(record(mime, size)) for size in (1000, 10 << 20))
    assert 0 < short < long
