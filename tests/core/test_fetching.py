"""What is fetched from a URL, and what is not."""

import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from clew.core import fetching
from clew.core.errors import UsageError
from clew.core.fetching import fetch
from tests.attached import PNG, Pages

MOST = 1 << 20


@pytest.fixture
def pages() -> Iterator[Pages]:
    with Pages() as server:
        yield server


def refusal(url: str) -> str:
    with pytest.raises(UsageError) as caught:
        fetch(url, MOST)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_is_behind_a_url_is_had_with_the_last_part_of_its_path_as_its_name(
    pages: Pages,
) -> None:
    assert fetch(pages.page("/a/dot%20one.png?v=1", PNG), MOST) == ("dot one.png", PNG)


def test_a_path_without_a_name_is_named_after_the_host(pages: Pages) -> None:
    assert fetch(pages.page("/", b"Lyon"), MOST) == ("127.0.0.1", b"Lyon")


def test_blanks_and_other_characters_of_a_url_are_sent_as_such(pages: Pages) -> None:
    pages.page("/z%C3%BCrich%20west", b"ZH")
    assert fetch(f"http://{pages.host}/zürich west#top", MOST)[1] == b"ZH"


def test_a_redirect_is_followed(pages: Pages) -> None:
    there = pages.page("/there.png", PNG)
    assert fetch(pages.page("/here", status=302, Location=there), MOST)[1] == PNG


def test_no_redirect_leads_to_a_file_of_this_machine(pages: Pages) -> None:
    for place, reason in {
        "file:///etc/hostname": "302 Found",
        "data:,x": "302 Found",
        "ftp://127.0.0.1/x": "unknown url type: ftp",
    }.items():
        assert refusal(pages.page("/here", status=302, Location=place)).endswith(reason)


def test_a_redirect_in_a_circle_ends(pages: Pages) -> None:
    url = pages.page("/round", status=302, Location="/round")
    assert "302 Found" in refusal(url)


def test_a_status_that_is_no_success_is_said(pages: Pages) -> None:
    assert refusal(pages.page("/a", status=404)).endswith("/a': 404 Not Found")
    assert refusal(pages.page("/b", status=500)).endswith("/b': 500 Internal Server Error")


def test_nobody_at_the_address_is_said() -> None:
    with Pages() as gone:
        url = gone.page("/a")
    assert refusal(url).endswith("Connection refused")


def test_more_than_may_be_fetched_is_not_fetched_whether_its_length_is_told_or_not(
    pages: Pages,
) -> None:
    for promised in (None, -1):
        url = pages.page("/a", bytes(MOST + 1), promised=promised)
        assert refusal(url).endswith("it is larger than 1 MiB")


def test_half_a_file_is_no_file(pages: Pages) -> None:
    assert refusal(pages.page("/a", PNG, promised=len(PNG) + 1)).endswith("broke off")


def test_an_answer_that_comes_letter_by_letter_without_end_is_given_up(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(fetching, "SECONDS", 0.5)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    try:
        assert refusal(pages.answer("/a", drip)).endswith("it took longer than 0.5 s")
    finally:
        over.set()


def test_what_is_no_http_is_said(pages: Pages) -> None:
    def greet(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0\r\n\r\n")

    assert "no proper HTTP" in refusal(pages.answer("/a", greet))


@pytest.mark.parametrize("url", ["http://", "http:///a", "ftp://a/b", "file:///etc/passwd"])
def test_only_http_and_https_are_fetched(url: str) -> None:
    assert refusal(url).endswith("it is no http or https URL")


@pytest.mark.parametrize("url", ["http://[::1/a", "http://a:b/c", "http://127.0.0.1:99999/"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    assert "cannot fetch" in refusal(url)


def test_user_and_password_go_to_their_host_only_and_are_never_shown(pages: Pages) -> None:
    with Pages() as other:
        there = other.page("/there", b"x")
        pages.page("/here?sig=SECRET2", status=302, Location=there)
        fetch(f"http://ada:SECRET%31@{pages.host}/here?sig=SECRET2", MOST)
        login = b64encode(b"ada:SECRET1").decode()
        assert pages.headers[0]["authorization"] == f"Basic {login}"
        assert "authorization" not in other.headers[0]
    assert "SECRET" not in refusal(f"http://ada:SECRET1@{pages.host}/here?sig=SECRET2")
