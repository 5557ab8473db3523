"""`-f` with images, PDF and audio: kept once, sent as they are."""

import os
import signal
import threading
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.attached import GIF, MP3, PDF, PNG, WAV, Pages
from tests.conftest import Clew, eventually
from tests.provider import Provider
from tests.summed_up import ASKS_FOR_SUMMARY, SUMMARIZED, summarizing
from tests.summed_up import asked as asked_of_scripted
from tests.torture.checker import check, check_home

HOSTED = "openai/test-model"
PNG_RECORD = {
    "name": "dot.png",
    "mime": "image/png",
    "bytes": len(PNG),
    "sha256": sha256(PNG).hexdigest(),
}
IMAGE = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"},
}
GONE = "[attachment 'dot.png' left out: it is gone, or was altered]"


@pytest.fixture
def files(clew: Clew) -> Clew:
    """A folder with a file of each kind."""
    for name, raw in {
        "dot.png": PNG,
        "dot.gif": GIF,
        "paper.pdf": PDF,
        "beep.wav": WAV,
        "beep.mp3": MP3,
        "notes.txt": b"Lyon",
    }.items():
        (clew.cwd / name).write_bytes(raw)
    return clew


@pytest.fixture
def pages() -> Iterator[Pages]:
    with Pages() as server:
        yield server


def kept(clew: Clew, raw: bytes = PNG, user: str = "default") -> Path:
    return clew.home / "users" / user / "attachments" / sha256(raw).hexdigest()


def asked(provider: Provider, request: int = -1) -> list[Any]:
    messages: list[Any] = provider.requests[request].body["messages"]
    return messages


def test_the_provider_gets_each_kind_in_its_form_and_text_inlined(
    files: Clew, provider: Provider
) -> None:
    names = ("notes.txt", "dot.png", "dot.gif", "paper.pdf", "beep.wav", "beep.mp3")
    options = [part for name in names for part in ("-f", name)]
    files("run", "-m", HOSTED, "-s", "s", *options, "What is all this?")
    (message,) = asked(provider)
    said, png, gif, pdf, wav, mp3 = message["content"]
    assert said["text"] == "What is all this?\n\n<file name='notes.txt'>\nLyon\n</file>"
    assert png == IMAGE
    assert gif["image_url"]["url"].startswith("data:image/gif;base64,")
    assert pdf["file"] == {
        "filename": "paper.pdf",
        "file_data": f"data:application/pdf;base64,{b64encode(PDF).decode()}",
    }
    assert wav["input_audio"] == {"data": b64encode(WAV).decode(), "format": "wav"}
    assert mp3["input_audio"] == {"data": b64encode(MP3).decode(), "format": "mp3"}
    assert [file["name"] for file in files.stored("s")[0]["files"]] == list(names)


def test_the_line_tells_what_was_attached_and_holds_none_of_it(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "-f", "notes.txt", "one")
    (line,) = files.stored("s")
    (asked, _) = line["messages"]
    assert asked["attachments"] == [PNG_RECORD]
    assert asked["content"].startswith("one\n\n<file name='notes.txt'>")
    assert line["files"][0] == PNG_RECORD
    assert b64encode(PNG).decode()[:20] not in files.session_file("s").read_text()
    assert check(files.session_file("s"), [line["run_id"]]) == []


def test_the_bytes_are_kept_once_for_their_owner_alone(files: Clew, model: str) -> None:
    for session in ("s", "t"):
        files("run", "-m", model, "-s", session, "-f", "dot.png", "-f", "dot.png", "one")
    folder = kept(files).parent
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [
        (sha256(PNG).hexdigest(), PNG)
    ]
    assert check_home(files.home) == []


def test_a_text_file_is_not_kept_apart(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "-f", "notes.txt", "one")
    assert not kept(files).parent.exists()


def test_an_image_of_an_earlier_turn_is_sent_again_though_its_file_is_gone(
    files: Clew, provider: Provider
) -> None:
    files("run", "-m", HOSTED, "-s", "s", "-f", "dot.png", "What is this?")
    (files.cwd / "dot.png").unlink()
    files("continue", "-s", "s", "And now?")
    first, _, last = asked(provider)
    assert first["content"] == [{"type": "text", "text": "What is this?"}, IMAGE]
    assert last == {"role": "user", "content": "And now?"}


@pytest.mark.parametrize("harm", ["gone", "altered"])
def test_an_attachment_that_is_gone_or_altered_is_said_and_has_a_text_in_its_place(
    files: Clew, provider: Provider, harm: str
) -> None:
    run = files("run", "-m", HOSTED, "-s", "s", "-f", "dot.png", "What is this?")
    assert "not sent" not in run.err
    kept(files).unlink()
    if harm == "altered":
        kept(files).write_bytes(GIF)
    result = files("continue", "-s", "s", "And now?")
    assert "attachment 'dot.png' not sent: it is gone, or was altered" in result.err
    assert asked(provider)[0]["content"] == f"What is this?\n\n{GONE}"


def test_what_went_without_an_attachment_is_shown_so_later_too(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    kept(files).unlink()
    files("continue", "-s", "s", "two")
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "three")  # it is there again
    line = files.stored("s")[1]
    sent = files("history", "-s", "s", f"--as-sent={line['run_id']}").lines
    assert sent[0] == {"role": "user", "content": f"one\n\n{GONE}"}
    assert line["history"]["attachments_left_out"] == [
        {
            "name": "dot.png",
            "sha256": PNG_RECORD["sha256"],
            "reason": "it is gone, or was altered",
        }
    ]
    assert files("sessions", "verify", "-s", "s").out == ""


def test_every_view_of_what_is_sent_shows_the_compact_form(files: Clew, model: str) -> None:
    compact = {"role": "user", "content": "one", "attachments": [PNG_RECORD]}
    preview = files("run", "-m", model, "--dry-run", "-f", "dot.png", "one").json
    assert preview["messages"] == [compact]
    assert not files.home.exists()
    run = files("run", "-m", model, "-s", "s", "-f", "dot.png", "one", "--json").json
    assert files("history", "-s", "s", f"--as-sent={run['run_id']}").lines == [compact]
    shown = files("history", "-s", "s", "--messages").lines[0]
    assert {key: shown[key] for key in compact} == compact
    assert "> [dot.png]" in files("history", "-s", "s").out
    later = files("continue", "-s", "s", "--dry-run", "two").json
    assert later["messages"][0] == compact


def test_no_store_keeps_nothing_and_sends_it_all_the_same(files: Clew, provider: Provider) -> None:
    line = files("run", "-m", HOSTED, "--no-store", "-f", "dot.png", "one", "--json").json
    assert asked(provider)[0]["content"][1] == IMAGE
    assert line["files"] == [PNG_RECORD]
    assert not files.home.exists()


def test_a_store_in_memory_leaves_nothing_on_disk(files: Clew, model: str) -> None:
    files("--store", "memory:", "run", "-m", model, "-f", "dot.png", "one")
    assert not files.home.exists()


def test_a_killed_run_comes_back_with_its_attachment(files: Clew, provider: Provider) -> None:
    provider.answer(fault="hang")
    process = files.start("run", "-m", HOSTED, "-s", "s", "-f", "dot.png", "What is this?")
    provider.wait_for_requests(1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    files("continue", "-s", "s", "--resume")
    assert asked(provider)[0]["content"] == [{"type": "text", "text": "What is this?"}, IMAGE]
    stored = files.stored("s")
    assert [line["status"] for line in stored] == ["INTERRUPTED", "COMPLETED"]
    assert stored[1]["messages"][0]["attachments"] == [PNG_RECORD]


def test_a_run_whose_attachment_cannot_be_kept_sends_nothing(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "one")
    kept(files).parent.write_text("in the way")
    result = files("run", "-m", model, "-s", "s", "-f", "dot.png", "two", code=74)
    assert "attachments is not a folder" in result.err
    assert len(files.stored("s")) == 1


def test_an_altered_attachment_is_put_right_by_the_next_run_that_sends_it(
    files: Clew, model: str
) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    kept(files).write_bytes(GIF)
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "two")
    assert kept(files).read_bytes() == PNG
    assert files("sessions", "verify", "-s", "s").out == ""


def test_what_is_planted_in_place_of_an_attachment_is_not_followed(files: Clew, model: str) -> None:
    secret = files.cwd / "secret"
    secret.write_bytes(PNG)
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    kept(files).unlink()
    kept(files).symlink_to(secret)
    assert "symbolic link" in files("continue", "-s", "s", "two", code=74).err
    again = files("run", "-m", model, "-s", "s", "-f", "dot.png", "two", code=74)
    assert "symbolic link" in again.err
    assert "cannot be read" in files("sessions", "verify", "-s", "s", code=65).out


def test_a_line_can_name_no_other_file(files: Clew, model: str) -> None:
    (files.home / "users" / "default").mkdir(parents=True, mode=0o700)
    (files.home / "users" / "default" / "x").write_bytes(PNG)
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    path = files.session_file("s")
    path.write_text(path.read_text().replace(str(PNG_RECORD["sha256"]), "../x"))
    preview = files("continue", "-s", "s", "--dry-run", "two").json
    assert GONE in preview["messages"][0]["content"]


def test_another_user_does_not_get_what_one_user_attached(files: Clew, provider: Provider) -> None:
    files("run", "-m", HOSTED, "-u", "ada", "-s", "s", "-f", "dot.png", "one")
    folder = files.home / "users"
    (folder / "bob").mkdir(mode=0o700)
    forged = (folder / "ada" / "s.jsonl").read_text().replace('"user_id":"ada"', '"user_id":"bob"')
    (folder / "bob" / "s.jsonl").write_text(forged)
    files("continue", "-u", "bob", "-s", "s", "two")
    assert asked(provider)[0]["content"] == f"one\n\n{GONE}"


def test_verify_names_the_line_whose_attachment_is_gone_or_altered(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "-f", "dot.gif", "one")
    assert files("sessions", "verify", "-s", "s").out == ""
    kept(files).unlink()
    kept(files, GIF).write_bytes(PNG)
    found = files("sessions", "verify", "-s", "s", "--json", code=65).lines
    assert [(one["line"], one["reason"].rpartition(") ")[2]) for one in found] == [
        (1, "is gone"),
        (1, "was altered"),
    ]


def test_doctor_tells_how_much_is_attached_and_whether_it_was_altered(
    files: Clew, model: str
) -> None:
    def finding() -> Any:
        found = files("doctor", "-m", model, "--json").lines
        return next((one for one in found if one["check"] == "attached"), None)

    assert finding() is None
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    assert (finding()["status"], finding()["message"]) == ("ok", "1, 0.0 MiB")
    kept(files).write_bytes(GIF)
    assert (finding()["status"], finding()["message"]) == ("warning", "1, 0.0 MiB; altered: 1")


def test_the_same_run_id_with_another_image_is_a_conflict(files: Clew, model: str) -> None:
    call = ("run", "-m", model, "--run-id", "r", "-f", "dot.png", "one")
    files(*call)
    assert files(*call).out == "answer one\n"
    (files.cwd / "dot.png").write_bytes(GIF)
    files(*call, code=7)
    assert len(files.stored("r")) == 1


def test_an_image_counts_among_the_tokens_of_history(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    files("continue", "-s", "s", "two")
    limited = files("continue", "-s", "s", "--dry-run", "--history-tokens", "500", "three").json
    assert (limited["history"]["runs"], limited["history"]["left_out"]) == (1, 1)


def test_an_embedded_model_is_sent_no_image(embedded: Clew) -> None:
    (embedded.cwd / "dot.png").write_bytes(PNG)
    result = embedded("run", "-s", "s", "-f", "dot.png", "What is this?", code=2)
    assert "cannot be sent: the model local/smollm2 takes no images" in result.err
    assert not embedded.session_file("s").exists()


def test_a_model_that_litellm_knows_to_take_no_images_is_sent_none(
    files: Clew, provider: Provider
) -> None:
    result = files("run", "-m", "o3-mini", "-s", "s", "-f", "dot.png", "one", code=2)
    assert "takes no images" in result.err
    assert provider.requests == []
    assert not files.session_file("s").exists()


def test_a_text_model_goes_on_with_a_session_that_has_an_image(
    files: Clew, model: str, embedded: Clew
) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    preview = embedded("continue", "-s", "s", "-m", "local/smollm2", "--dry-run", "two").json
    assert preview["messages"][0]["content"] == (
        "one\n\n[attachment 'dot.png' left out: the model local/smollm2 takes no images]"
    )


def test_an_image_comes_from_standard_input(files: Clew, model: str) -> None:
    run = ("run", "-m", model, "-s", "s", "-f", "-", "one", "--json")
    assert files(*run, stdin=PNG).json["files"] == [PNG_RECORD | {"name": "-"}]


def test_a_file_that_is_too_large_is_refused_in_one_line(files: Clew, model: str) -> None:
    os.truncate(files.cwd / "dot.png", (20 << 20) + 1)
    result = files("run", "-m", model, "-f", "dot.png", "one", code=2)
    assert "the attachment 'dot.png' is larger than 20 MiB" in result.err


def test_what_is_behind_a_url_is_fetched_before_anything_is_sent(
    files: Clew, provider: Provider, pages: Pages
) -> None:
    url = pages.page("/dot.png?sig=SECRET", PNG)
    files("run", "-m", HOSTED, "-s", "s", "-f", url.replace("//", "//ada:SECRET@"), "one")
    assert asked(provider)[0]["content"][1] == IMAGE
    assert files.stored("s")[0]["files"] == [PNG_RECORD]
    assert "SECRET" not in files.session_file("s").read_text()


def test_a_text_behind_a_url_is_inlined(files: Clew, model: str, pages: Pages) -> None:
    url = pages.page("/notes.txt", b"Lyon")
    preview = files("run", "-m", model, "--dry-run", "-f", url, "one").json
    assert preview["messages"][0]["content"] == "one\n\n<file name='notes.txt'>\nLyon\n</file>"


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_url_that_gives_nothing_is_exit_2_and_no_run(
    files: Clew, model: str, pages: Pages, scheme: str
) -> None:
    url = pages.page("/dot.png", status=403).replace("http", scheme)
    result = files("run", "-m", model, "-s", "s", "-f", url, "one", code=2)
    assert result.err.count("cannot fetch") == 1
    assert not files.session_file("s").exists()


def test_a_fetch_can_be_stopped(files: Clew, model: str, pages: Pages) -> None:
    asked_for, over = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked_for.set()
        over.wait(200)

    url = pages.answer("/dot.png", hang)
    process = files.start("run", "-m", model, "-s", "s", "-f", url, "one")
    try:
        assert asked_for.wait(100)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=50)
    finally:
        over.set()
    assert process.returncode == -signal.SIGINT
    assert not files.session_file("s").exists()


def test_a_fetch_takes_no_longer_than_its_run_may(files: Clew, model: str, pages: Pages) -> None:
    over = threading.Event()

    def hang(_: object) -> None:
        over.wait(60)

    url = pages.answer("/dot.png", hang)
    try:
        done = files("run", "-m", model, "-s", "s", "--timeout", "0.5", "-f", url, "one", code=5)
    finally:
        over.set()
    assert done.err.startswith("clew: the run's time was up while ")
    assert not files.session_file("s").exists()


def test_a_turn_with_an_image_can_be_replayed(files: Clew, model: str) -> None:
    files("run", "-m", model, "-s", "s", "-f", "dot.png", "one")
    assert files("run", "-q", "-m", "replay:s", "one").out == "answer one\n"


def test_a_summary_is_told_the_name_of_an_image(files: Clew) -> None:
    summarizing(files)
    files(*SUMMARIZED, "-f", "dot.png", "one")
    (request,) = asked_of_scripted(files, ASKS_FOR_SUMMARY)
    assert "User: one\n[attached: 'dot.png']\n" in request["messages"][-1]["content"]


def test_the_run_holds_its_attachment_while_it_is_under_way(
    files: Clew, provider: Provider
) -> None:
    provider.answer(fault="hang")
    process = files.start("run", "-m", HOSTED, "-s", "s", "-f", "dot.png", "What is this?")
    provider.wait_for_requests(1)
    assert kept(files).read_bytes() == PNG
    (flight,) = (files.home / "users" / "default" / ".inflight").glob("*.part")
    assert '"attachments":' in flight.read_text().splitlines()[0]
    process.send_signal(signal.SIGTERM)
    process.communicate()
    eventually(lambda: files.session_file("s").exists())
