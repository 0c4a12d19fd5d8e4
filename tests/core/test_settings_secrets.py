"""Settings that are secrets: in a variable or in a file of their own, and shown to nobody."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from refused_settings import refusal

from gateway.settings import Settings, read, variable

LONG = "s" * 32
SECRETS = ("empiriolabs_api_key", "admin_key", "metrics_token", "worker_token", "secret")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Empty: neither `.env` nor `.imagegate`."""
    return tmp_path


def plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_lie_in_a_file(directory: Path, name: str) -> None:
    (directory / "secret").write_text(f"  {LONG}\n")
    settings = read({f"{variable(name)}_FILE": str(directory / "secret")}, directory)
    assert plain(getattr(settings, name)) == LONG
    assert LONG not in repr(settings)


def test_the_environments_secret_wins_over_the_files_whichever_way_each_is_written(directory: Path) -> None:
    (directory / "one").write_text("one")
    env = directory / ".env"
    by_file = {"EMPIRIOLABS_API_KEY_FILE": str(directory / "one")}
    env.write_text("EMPIRIOLABS_API_KEY=two\n")
    assert plain(read(by_file, directory).empiriolabs_api_key) == "one"
    env.write_text(f"EMPIRIOLABS_API_KEY=three\nEMPIRIOLABS_API_KEY_FILE={directory / 'one'}\n")
    assert plain(read({"EMPIRIOLABS_API_KEY": "two"}, directory).empiriolabs_api_key) == "two"


def test_a_secret_given_twice_is_refused(directory: Path) -> None:
    (directory / "one").write_text("one")
    both = {"EMPIRIOLABS_API_KEY_FILE": str(directory / "one"), "EMPIRIOLABS_API_KEY": "two"}
    for environment in (both, dict(reversed(both.items()))):
        assert refusal(directory, **environment) == "set EMPIRIOLABS_API_KEY or EMPIRIOLABS_API_KEY_FILE, not both"


def test_a_secrets_file_that_cannot_be_read_is_named(directory: Path) -> None:
    absent = refusal(directory, IMAGEGATE_ADMIN_KEY_FILE="/no/such/file")
    assert absent == "IMAGEGATE_ADMIN_KEY_FILE: cannot read /no/such/file: No such file or directory"
    (directory / "binary").write_bytes(b"\xff\xfe" * 20)
    garbled = refusal(directory, IMAGEGATE_ADMIN_KEY_FILE=str(directory / "binary"))
    assert garbled == f"IMAGEGATE_ADMIN_KEY_FILE: {directory / 'binary'} is not UTF-8 text"


def test_only_secrets_may_lie_in_files(directory: Path) -> None:
    assert "did you mean IMAGEGATE_HOST?" in refusal(directory, IMAGEGATE_HOST_FILE="/x")


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ümlaut", " edge", "tab\t"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(directory: Path, key: str) -> None:
    said = refusal(directory, EMPIRIOLABS_API_KEY=key)
    assert said == "EMPIRIOLABS_API_KEY: must be printable ASCII without blanks"


def test_an_empty_secrets_file_is_refused(directory: Path) -> None:
    (directory / "empty").write_text("\n")
    said = refusal(directory, EMPIRIOLABS_API_KEY_FILE=str(directory / "empty"))
    assert said == f"EMPIRIOLABS_API_KEY_FILE: {directory / 'empty'} is empty"


def test_short_keys_and_secrets_are_refused_without_being_shown(directory: Path) -> None:
    short = "q" * 31
    for name in ("IMAGEGATE_ADMIN_KEY", "IMAGEGATE_WORKER_TOKEN"):
        assert refusal(directory, **{name: short}) == f"{name}: must have 32 characters or more"
    entry = "IMAGEGATE_SECRET: each entry must have 32 characters or more"
    for ring in (short, f"{LONG},{short}", f"{LONG},", f"{LONG}, {short} "):
        assert refusal(directory, IMAGEGATE_SECRET=ring) == entry


def test_the_secrets_of_the_ring_keep_their_order(directory: Path) -> None:
    ring = read({"IMAGEGATE_SECRET": f"{'b' * 32}, {'a' * 33}"}, directory).secret_ring
    assert ring == (b"b" * 32, b"a" * 33)


def test_every_secret_may_lie_in_a_file() -> None:
    of_type = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert of_type == {*SECRETS, "store", "provider_keys"}


@pytest.mark.parametrize("name", ["IMAGEGATE_STORE", "IMAGEGATE_STORE_FILE"])
def test_the_password_of_the_store_is_shown_nowhere(directory: Path, name: str) -> None:
    url = "rediss://:canary@host:6380/1"
    (directory / "store").write_text(f"{url}\n")
    value = url if name == "IMAGEGATE_STORE" else str(directory / "store")
    settings = read({name: value, "IMAGEGATE_BLOBS": "file:///shared"}, directory)
    assert settings.redis_url == url
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "canary" not in shown
    assert "canary" not in refusal(directory, **{name: value})


def test_a_worker_token_is_no_admin_key(directory: Path) -> None:
    told = refusal(directory, IMAGEGATE_ADMIN_KEY=LONG, IMAGEGATE_WORKER_TOKEN=LONG)
    assert told == "IMAGEGATE_WORKER_TOKEN: must be another secret than IMAGEGATE_ADMIN_KEY: workers administer nothing"


def test_a_worker_token_is_one_that_workers_can_send(directory: Path) -> None:
    told = refusal(directory, IMAGEGATE_WORKER_TOKEN="a token with blanks, which no header takes as it is")
    assert told == "IMAGEGATE_WORKER_TOKEN: must be printable ASCII without blanks"
