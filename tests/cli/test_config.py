"""`clew config`, and which setting goes before which."""

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew

SETTINGS = ["home", "store", "user", "model", "wait", "timeout", "retries", "max_cost"]


def settings(clew: Clew, *flags: str, **options: Any) -> dict[str, tuple[Any, str]]:
    """Return each setting's value and origin."""
    rows = clew(*flags, "config", "--json", **options).lines
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


def configure(clew: Clew, text: str) -> str:
    """Write the user's own configuration and return its path."""
    clew.config.mkdir(parents=True, exist_ok=True)
    path = clew.config / "config.toml"
    path.write_text(text)
    return str(path)


def plant(clew: Clew, text: str = 'model = "planted"', folder: Path | None = None) -> Path:
    """Write a folder's configuration and return its `.clew`."""
    place = (folder or clew.cwd) / ".clew"
    place.mkdir(mode=0o755, parents=True)
    (place / "config.toml").write_text(text)
    (place / "config.toml").chmod(0o644)
    return place


# where a value comes from


def test_every_setting_is_printed_with_its_origin(clew: Clew) -> None:
    found = settings(clew)
    assert list(found)[:8] == SETTINGS
    assert found["retries"] == (2, "default")


def test_people_see_the_origin_in_brackets(clew: Clew) -> None:
    assert "user      default  (default)\n" in clew("config").out


def test_a_relative_data_or_config_folder_does_not_count(clew: Clew) -> None:
    clew.env |= {"XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"}
    assert settings(clew)["home"][0] == f"{clew.env['HOME']}/.local/share/clew"
    (clew.cwd / "config" / "clew").mkdir(parents=True)
    (clew.cwd / "config" / "clew" / "config.toml").write_text("retries = 9")
    assert settings(clew)["retries"] == (2, "default")


def test_people_see_values_as_they_would_give_them(clew: Clew) -> None:
    out = clew("config", env={"CLEW_USAGE": "1", "CLEW_WAIT": "10m"}).out
    assert "usage     true  ($CLEW_USAGE)\n" in out
    assert "wait      600  ($CLEW_WAIT)\n" in out


def test_help_tells_what_each_setting_is_for(clew: Clew) -> None:
    shown = clew("config", "--help").out
    assert all(name in shown for name in settings(clew))
    assert "how long to wait for a busy session" in shown


def test_looking_at_settings_makes_nothing(clew: Clew) -> None:
    clew("config")
    assert not clew.home.exists()
    assert not clew.config.exists()


def test_the_home_is_in_the_data_folder(clew: Clew) -> None:
    found = settings(clew)
    assert found["home"] == (str(clew.home), "default")
    assert found["store"] == (f"jsonl:{clew.home}", "default")


@pytest.mark.parametrize("home", ["", "relative", None], ids=["empty", "relative", "unset"])
def test_a_home_that_is_no_absolute_path_does_not_count(clew: Clew, home: str | None) -> None:
    for name in ("XDG_DATA_HOME", "HOME"):
        del clew.env[name]
    if home is not None:
        clew.env["HOME"] = home
    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert settings(clew)["home"] == (str(own / ".local" / "share" / "clew"), "default")


def test_the_user_s_file_goes_before_the_default(clew: Clew) -> None:
    path = configure(clew, "retries = 5")
    assert settings(clew)["retries"] == (5, path)


def test_a_trusted_folder_goes_before_the_user_s_file(clew: Clew) -> None:
    configure(clew, 'model = "own"')
    place = plant(clew)
    clew("config", "trust")
    assert settings(clew)["model"] == ("planted", str(place / "config.toml"))


def test_the_environment_goes_before_a_trusted_folder(clew: Clew) -> None:
    plant(clew)
    clew("config", "trust")
    found = settings(clew, env={"CLEW_MODEL": "from env"})
    assert found["model"] == ("from env", "$CLEW_MODEL")


def test_a_flag_goes_before_the_environment(clew: Clew, tmp_path: Path) -> None:
    found = settings(clew, "--home", str(tmp_path / "x"), env={"CLEW_HOME": str(tmp_path / "y")})
    assert found["home"] == (str(tmp_path / "x"), "flag")


def test_an_empty_variable_counts_as_unset(clew: Clew) -> None:
    assert settings(clew, env={"CLEW_USER": ""})["user"] == ("default", "default")


def test_a_file_sets_what_it_names_and_leaves_the_rest(clew: Clew) -> None:
    configure(clew, 'model = "own"\nretries = 5')
    place = plant(clew)
    clew("config", "trust")
    found = settings(clew)
    assert found["model"] == ("planted", str(place / "config.toml"))
    assert found["retries"][0] == 5


def test_a_run_uses_the_model_that_is_configured(clew: Clew, model: str) -> None:
    configure(clew, f'model = "{model}"')
    assert clew("run", "hi").out == "hello\n"


def test_a_run_s_flag_goes_before_the_configured_model(clew: Clew, model: str) -> None:
    configure(clew, 'model = "replay:nowhere"')
    assert clew("run", "-m", model, "hi").out == "hello\n"


def test_the_configured_user_owns_the_sessions(clew: Clew, model: str) -> None:
    configure(clew, 'user = "ann"')
    clew("run", "-s", "s", "-m", model, "hi")
    assert clew.session_file("s", "ann").exists()


def test_durations_are_read_as_everywhere(clew: Clew) -> None:
    configure(clew, 'wait = "2m"\ntimeout = 30')
    found = settings(clew)
    assert (found["wait"][0], found["timeout"][0]) == (120, 30)


# what is wrong


@pytest.mark.parametrize(
    "text",
    ["model = ", "= 1", "[", "model = \x00", "a" * 10],
    ids=["half", "no key", "[", "NUL", "a"],
)
def test_what_is_not_toml_is_bad_configuration(clew: Clew, text: str) -> None:
    path = configure(clew, text)
    assert f"{path} is not TOML" in clew("config", code=78).err


def test_bytes_that_are_not_utf8_are_bad_configuration(clew: Clew) -> None:
    Path(configure(clew, "")).write_bytes(b'model = "\xff"')
    clew("config", code=78)


def test_an_unknown_key_is_bad_configuration_with_the_nearest_one(clew: Clew) -> None:
    path = configure(clew, 'modle = "x"')
    err = clew("config", code=78).err
    assert f"{path}: there is no setting 'modle'" in err
    assert "did you mean model?" in err


def test_an_unknown_key_that_is_near_to_none_gets_the_whole_list(clew: Clew) -> None:
    configure(clew, "zzz = 1")
    assert "max_cost, model" in clew("config", code=78).err


@pytest.mark.parametrize(
    "text",
    [
        "model = 1",
        'model = ""',
        "retries = 1.5",
        "retries = -1",
        "retries = true",
        'wait = "soon"',
        "wait = -1",
        "max_cost = nan",
        "max_cost = inf",
        "max_cost = -1",
        'color = "red"',
        'usage = "maybe"',
        "timeout = [1]",
        "[model]",
    ],
)
def test_a_value_of_the_wrong_kind_is_bad_configuration(clew: Clew, text: str) -> None:
    path = configure(clew, text)
    assert path in clew("config", code=78).err


def test_a_wrong_variable_is_a_usage_error_that_names_it(clew: Clew) -> None:
    assert "$CLEW_RETRIES: 'x'" in clew("config", env={"CLEW_RETRIES": "x"}, code=2).err


def test_bad_configuration_stops_a_run_before_anything_is_stored(clew: Clew, model: str) -> None:
    configure(clew, "[")
    clew("run", "-m", model, "hi", code=78)
    assert not clew.home.exists()


@pytest.mark.parametrize("text", ['usage = "maybe"', 'color = "blue"'])
def test_a_wrong_wish_for_the_output_is_told_before_the_run_is_made(
    clew: Clew, model: str, text: str
) -> None:
    configure(clew, text)
    result = clew("run", "-m", model, "hi", code=78)
    assert result.out == ""
    assert not clew.home.exists()


@pytest.mark.parametrize("variable", ["CLEW_USAGE", "CLEW_COLOR"])
def test_a_wrong_variable_for_the_output_is_told_before_the_run_is_made(
    clew: Clew, model: str, variable: str
) -> None:
    result = clew("run", "-m", model, "hi", env={variable: "maybe"}, code=2)
    assert variable in result.err
    assert not clew.home.exists()


def test_a_store_of_an_unknown_kind_is_a_usage_error(clew: Clew) -> None:
    assert "jsonl:DIR" in clew("--store", "sqlite:x", "history", code=2).err


# a folder's configuration


def test_a_folder_that_is_not_trusted_is_ignored_and_said(clew: Clew) -> None:
    place = plant(clew)
    result = clew("config", "--json")
    assert "planted" not in result.out
    assert f"{place} is ignored: it is not trusted (see `clew config trust`)" in result.err


def test_a_planted_folder_chooses_no_model_for_a_run(clew: Clew, model: str) -> None:
    plant(clew, f'model = "{model}"')
    clew("run", "hi", code=3)


def test_wrong_configuration_in_a_folder_that_is_not_trusted_does_no_harm(clew: Clew) -> None:
    plant(clew, "[")
    clew("config")


def test_a_folder_above_counts_up_to_the_user_s_home(clew: Clew) -> None:
    place = plant(clew)
    clew("config", "trust")
    below = clew.cwd / "a" / "b"
    below.mkdir(parents=True)
    assert settings(clew, cwd=below)["model"] == ("planted", str(place / "config.toml"))


def test_a_folder_above_the_user_s_home_is_not_looked_at(clew: Clew) -> None:
    plant(clew)
    clew.env["HOME"] = str(clew.cwd / "home")
    below = clew.cwd / "home" / "project"
    below.mkdir(parents=True)
    assert clew("config", cwd=below).err == ""


def test_trust_is_remembered_outside_of_the_folder(clew: Clew) -> None:
    place = plant(clew)
    clew("config", "trust")
    assert [path.name for path in place.iterdir()] == ["config.toml"]
    assert (clew.config / "trusted").read_text() == f"{place}\n"


def test_trust_takes_a_folder_s_name(clew: Clew) -> None:
    plant(clew, folder=clew.cwd / "project")
    clew("config", "trust", "project")
    assert settings(clew, cwd=clew.cwd / "project")["model"][0] == "planted"


def test_trusting_one_folder_trusts_no_other(clew: Clew) -> None:
    plant(clew, folder=clew.cwd / "one")
    plant(clew, folder=clew.cwd / "two")
    clew("config", "trust", "one")
    assert settings(clew, cwd=clew.cwd / "two")["model"] == ("local/smollm2", "default")


def test_trust_can_be_taken_back(clew: Clew) -> None:
    plant(clew)
    clew("config", "trust")
    clew("config", "trust", "--remove")
    assert settings(clew)["model"] == ("local/smollm2", "default")


def test_trust_for_one_call_is_not_remembered(clew: Clew) -> None:
    plant(clew)
    assert settings(clew, "--trust")["model"][0] == "planted"
    assert settings(clew)["model"] == ("local/smollm2", "default")


def test_there_has_to_be_something_to_trust(clew: Clew) -> None:
    assert "no .clew folder" in clew("config", "trust", code=2).err
    assert "no .clew folder in nowhere" in clew("config", "trust", "nowhere", code=2).err


@pytest.mark.parametrize("name", ["home", "store", "user"])
def test_a_trusted_folder_may_not_set_where_and_whose(clew: Clew, name: str) -> None:
    plant(clew, f'{name} = "memory:"')
    clew("config", "trust")
    err = clew("config", code=78).err
    assert f"a folder may not set '{name}'" in err
    assert f"hint: set it in {clew.config}/config.toml" in err


@pytest.mark.parametrize("name", ["api_key", "api_base", "approve", "keys"])
def test_a_trusted_folder_may_not_set_keys_endpoints_or_approvals(clew: Clew, name: str) -> None:
    plant(clew, f'{name} = "x"')
    clew("config", "trust")
    clew("config", code=78)


def _group_writable_folder(place: Path) -> None:
    place.chmod(0o775)


def _group_writable_file(place: Path) -> None:
    (place / "config.toml").chmod(0o664)


def _foreign_folder(place: Path) -> None:
    os.chown(place, 65534, -1)


def _foreign_file(place: Path) -> None:
    os.chown(place / "config.toml", 65534, -1)


def _linked_folder(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to(place.with_name("elsewhere"))


def _linked_file(place: Path) -> None:
    (place / "config.toml").rename(place / "real.toml")
    (place / "config.toml").symlink_to("real.toml")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


LINK, FOREIGN, SHARED = "is a symbolic link", "belongs to another user", "others may write to"


@pytest.fixture(
    params=[
        pytest.param((_group_writable_folder, SHARED), id="others may write to the folder"),
        pytest.param((_group_writable_file, SHARED), id="others may write to the file"),
        pytest.param((_foreign_folder, FOREIGN), id="a foreign folder", marks=as_root),
        pytest.param((_foreign_file, FOREIGN), id="a foreign file", marks=as_root),
        pytest.param((_linked_folder, LINK), id="the folder is a link"),
        pytest.param((_linked_file, LINK), id="the file is a link"),
    ]
)
def unsafe(request: pytest.FixtureRequest, clew: Clew) -> tuple[Clew, str]:
    """A folder that was trusted and then changed so that others may have a hand in it; why."""
    place = plant(clew)
    clew("config", "trust")
    change, reason = request.param
    change(place)
    return clew, reason


@pytest.mark.parametrize("flags", [(), ("--trust",)], ids=["trusted", "trusted for one call"])
def test_an_unsafe_folder_is_ignored_whoever_trusts_it(
    unsafe: tuple[Clew, str], flags: tuple[str, ...]
) -> None:
    clew, reason = unsafe
    result = clew(*flags, "config", "--json")
    assert "planted" not in result.out
    assert ".clew is ignored: " in result.err
    assert reason in result.err


def test_an_unsafe_folder_cannot_be_trusted(unsafe: tuple[Clew, str]) -> None:
    clew, reason = unsafe
    err = clew("config", "trust", code=78).err
    assert "cannot be trusted: " in err
    assert reason in err
