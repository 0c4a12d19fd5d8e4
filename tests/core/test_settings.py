"""Settings: where each comes from, and that one which is wrong is told plainly and never with its secret."""

from pathlib import Path

import pytest
from refused_settings import refusal

from gateway.settings import Settings, read, variable

LONG = "s" * 32
STORES = "must be sqlite:///PATH, redis://HOST or rediss://HOST"
PICTURES = "this version serves file:///PATH alone"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Empty: neither `.env` nor `.imagegate`."""
    (here := tmp_path / "here").mkdir()
    return here


# --- where a value comes from ------------------------------------------------------------------------------------------


def test_nothing_set_is_a_gateway_for_this_machine_alone(directory: Path) -> None:
    settings = read({"HOME": "/home/ada"}, directory)
    assert (settings.host, settings.port, settings.empiriolabs_url) == ("127.0.0.1", 8080, "https://api.empiriolabs.ai")
    assert (settings.empiriolabs_rpm, settings.max_wait, settings.url_ttl) == (50, 280, 86400)
    assert (settings.empiriolabs_api_key, settings.admin_key, settings.secret_ring) == (None, None, ())


def test_every_setting_is_read_from_its_variable(directory: Path) -> None:
    text = {
        "empiriolabs_api_key": "sk-1",
        "empiriolabs_url": "http://127.0.0.1:9/base/",
        "empiriolabs_rpm": "0",
        "provider_keys": "vllm=sk-2",
        "host": "::1",
        "port": "0",
        "public_url": "https://images.example/",
        "data": "/d",
        "store": "sqlite:///s/a.db",
        "blobs": "file:///b",
        "policies": "/p",
        "admin_key": LONG,
        "metrics_token": "m",
        "worker_token": "w" * 32,
        "secret": LONG,
        "max_wait": "0.5",
        "url_ttl": "60",
        "private_hosts": "a, b:81 ,,[::1]",
        "allow_image_urls": "1",
        "strict": "true",
        "log_level": "debug",
        "log_format": "console",
    }
    assert text.keys() == Settings.model_fields.keys()
    settings = read({variable(name): value for name, value in text.items()}, directory)
    changed = {name for name, field in Settings.model_fields.items() if getattr(settings, name) != field.default}
    assert changed == text.keys()
    assert (settings.empiriolabs_url, settings.public_url) == ("http://127.0.0.1:9/base", "https://images.example")
    assert settings.private_hosts == ("a", "b:81", "[::1]")
    assert (settings.store_path, settings.blobs_path) == (Path("/s/a.db"), Path("/b"))
    assert settings.empiriolabs_api_key is not None
    assert settings.empiriolabs_api_key.get_secret_value() == "sk-1"


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(directory: Path) -> None:
    (directory / ".env").write_text("IMAGEGATE_HOST=0.0.0.0\nIMAGEGATE_PORT=1\nexport IMAGEGATE_URL_TTL='61'\n")
    environment = {"IMAGEGATE_PORT": "2"}
    settings = read(environment, directory, host=None)
    assert (settings.host, settings.port, settings.url_ttl) == ("0.0.0.0", 2, 61)
    assert read(environment, directory, port=0).port == 0


def test_an_empty_variable_is_one_not_set_and_hides_the_files(directory: Path) -> None:
    (directory / ".env").write_text("IMAGEGATE_PORT=1\nIMAGEGATE_STORE\n")
    assert read({"IMAGEGATE_PORT": ""}, directory).port == 8080
    assert read({}, directory).port == 1


def test_the_machines_own_environment_is_read(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.setenv("IMAGEGATE_PORT", "7")
    (directory / ".env").write_text("IMAGEGATE_URL_TTL=61\n")
    settings = read()
    assert (settings.port, settings.url_ttl) == (7, 61)


def test_data_lies_here_if_it_does_already_else_with_the_user(directory: Path) -> None:
    home = {"HOME": "/home/ada"}
    assert read(home, directory).data == Path("/home/ada/.local/share/imagegate")
    assert read(home | {"XDG_DATA_HOME": "/x"}, directory).data == Path("/x/imagegate")
    (directory / ".imagegate").mkdir()
    settings = read(home | {"XDG_DATA_HOME": "/x"}, directory)
    assert settings.data == directory / ".imagegate"
    assert settings.store_path == directory / ".imagegate" / "imagegate.db"
    assert settings.blobs_path == directory / ".imagegate" / "pictures"
    assert read(home | {"IMAGEGATE_DATA": "/d"}, directory).data == Path("/d")


def test_an_env_file_that_is_no_text_is_named(directory: Path) -> None:
    (directory / ".env").write_bytes(b"IMAGEGATE_HOST=\xff\n")
    assert refusal(directory) == f"{directory / '.env'} is not UTF-8 text"


# --- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("IMAGEGATE_PROT", "; did you mean IMAGEGATE_PORT?"),
        ("IMAGEGATE_ADMIN_KEYS", "; did you mean IMAGEGATE_ADMIN_KEY?"),
        ("IMAGEGATE_SECRET_FIEL", "; did you mean IMAGEGATE_SECRET_FILE?"),
        ("IMAGEGATE_EMPIRIOLABS_API_KEY", "; did you mean EMPIRIOLABS_API_KEY?"),
        ("IMAGEGATE_XYZZY_PLUGH_QUUX_FROBNICATE", ""),
    ],
)
def test_a_misspelt_name_stops_the_start(directory: Path, name: str, meant: str) -> None:
    assert refusal(directory, **{name: "1"}) == f"{name} is no setting of imagegate{meant}"
    (directory / ".env").write_text(f"{name}=1\n")
    assert name in refusal(directory)


def test_what_kubernetes_injects_for_services_is_ignored(directory: Path) -> None:
    injected = {
        "IMAGEGATE_SERVICE_HOST": "10.0.0.1",
        "IMAGEGATE_SERVICE_PORT": "80",
        "IMAGEGATE_SERVICE_PORT_HTTP": "80",
        "IMAGEGATE_PORT": "tcp://10.0.0.1:80",
        "IMAGEGATE_PORT_80_TCP": "tcp://10.0.0.1:80",
        "IMAGEGATE_PORT_80_TCP_PROTO": "tcp",
        "IMAGEGATE_PORT_80_TCP_PORT": "80",
        "IMAGEGATE_PORT_80_TCP_ADDR": "10.0.0.1",
        "IMAGEGATE_REDIS_SERVICE_HOST": "10.0.0.2",
        "IMAGEGATE_REDIS_PORT": "tcp://10.0.0.2:6379",
        "IMAGEGATE_REDIS_PORT_6379_TCP_ADDR": "10.0.0.2",
        "KUBERNETES_SERVICE_HOST": "10.0.0.3",
    }
    assert read(injected, directory).port == 8080
    (directory / ".env").write_text("IMAGEGATE_PORT=81\n")
    assert read(injected, directory).port == 81
    assert "no setting" in refusal(directory, IMAGEGATE_HTTP_PORT="80")


# --- values ------------------------------------------------------------------------------------------------------------

URL_RULE = "must be a plain http(s) URL in ASCII without user, query or fragment"


@pytest.mark.parametrize("name", ["IMAGEGATE_PUBLIC_URL", "IMAGEGATE_EMPIRIOLABS_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "images.example",
        "ftp://images.example",
        "https://",
        "https://u:p@images.example",
        "https://images.example?a=1",
        "https://images.example/#x",
        "https://images.example/a b",
        "https://höst.example",
        "https://images.example/ü",
        "https://images.example\\@evil.example",
        "https://images.example:port",
        "https://images.example:0",
        "https://images.example:65536",
        "https://::1",
        "https://images.example\n",
    ],
)
def test_a_base_url_is_a_plain_one(directory: Path, name: str, url: str) -> None:
    assert refusal(directory, **{name: url}) == f"{name}: {URL_RULE}"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://images.example", "https://images.example"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://Host.example/under/here/", "https://Host.example/under/here"),
    ],
)
def test_a_base_url_loses_its_last_slash(directory: Path, url: str, base: str) -> None:
    settings = read({"IMAGEGATE_PUBLIC_URL": url, "IMAGEGATE_EMPIRIOLABS_URL": url}, directory)
    assert (settings.public_url, settings.empiriolabs_url) == (base, base)


@pytest.mark.parametrize(
    ("name", "url", "write"),
    [
        ("IMAGEGATE_STORE", "redis-cluster://:canary@host", STORES),
        ("IMAGEGATE_STORE", "sqlite:///", STORES),
        ("IMAGEGATE_STORE", "redis://", STORES),
        ("IMAGEGATE_STORE", "unix:///run/canary.sock", STORES),
        ("IMAGEGATE_STORE", "sqlite://relative.db", STORES),
        ("IMAGEGATE_STORE", "/var/lib/canary", STORES),
        ("IMAGEGATE_BLOBS", "s3://canary/prefix", PICTURES),
        ("IMAGEGATE_BLOBS", "file:///", PICTURES),
    ],
)
def test_a_store_of_another_kind_is_refused_without_its_password(
    directory: Path, name: str, url: str, write: str
) -> None:
    assert refusal(directory, **{name: url}) == f"{name}: {write}"


def test_replicas_on_redis_name_the_pictures_that_they_share(directory: Path, tmp_path: Path) -> None:
    url = "rediss://:canary@host:6380/1"
    assert refusal(directory, IMAGEGATE_STORE=url).startswith("IMAGEGATE_BLOBS: replicas on Redis share their pictures")
    found = read({"IMAGEGATE_STORE": url, "IMAGEGATE_BLOBS": "file:///shared"}, directory, data=tmp_path)
    assert (found.redis_url, found.blobs_path) == (url, Path("/shared"))
    assert read({}, directory, data=tmp_path).redis_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGEGATE_PORT", "65536"),
        ("IMAGEGATE_PORT", "http"),
        ("IMAGEGATE_EMPIRIOLABS_RPM", "-1"),
        ("IMAGEGATE_MAX_WAIT", "0"),
        ("IMAGEGATE_MAX_WAIT", "nan"),
        ("IMAGEGATE_MAX_WAIT", "3601"),
        ("IMAGEGATE_URL_TTL", "59"),
        ("IMAGEGATE_URL_TTL", "604801"),
        ("IMAGEGATE_STRICT", "perhaps"),
        ("IMAGEGATE_ALLOW_IMAGE_URLS", "https://cdn.example"),
        ("IMAGEGATE_LOG_LEVEL", "loud"),
        ("IMAGEGATE_LOG_FORMAT", "xml"),
    ],
)
def test_a_value_out_of_range_names_its_variable(directory: Path, name: str, value: str) -> None:
    assert refusal(directory, **{name: value}).startswith(f"{name}: ")
