"""The one place that reads the environment and `.env`. Adapters take plain values from here, handed over by `wiring.py`."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

PREFIX = "IMAGEGATE_"
_PLAIN = "EMPIRIOLABS_API_KEY"
_FILE = "_FILE"
#: `NAME=value` as Kubernetes injects it for every Service of the namespace called `imagegate` or `imagegate-…`.
_KUBERNETES = re.compile(
    r"IMAGEGATE_(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=.*|PORT_\d+_\w+=.*|PORT=(tcp|udp|sctp)://.*)", re.DOTALL
)
#: A Redis is named with its password.
_SECRETS = frozenset(
    {"empiriolabs_api_key", "provider_keys", "admin_key", "metrics_token", "worker_token", "secret", "store"}
)

#: One of `IMAGEGATE_PROVIDER_KEYS`: a server's name, and what a header can carry.
_PROVIDER_KEY = re.compile(r"(?P<name>[a-z][a-z0-9_-]{0,31})=(?P<key>[\x21-\x2b\x2d-\x7e]+)")

#: An http(s) URL that no two parsers read differently, and whose host any request can name.
_BASE_URL = re.compile(
    r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/[^\\?#\s]*)?", re.ASCII | re.IGNORECASE
)
_PORTS = range(1, 65_536)
_SQLITE, _FILES = "sqlite:///", "file:///"
#: Both speak to Redis and to Valkey; the second over TLS.
_REDIS = ("redis://", "rediss://")


class SettingsError(Exception):
    """A setting is misspelt or wrong; the text is for the person who set it."""


class Settings(BaseModel):
    """Every setting, as environment variables `IMAGEGATE_<NAME>` (and `EMPIRIOLABS_API_KEY`); secrets also as `…_FILE`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    empiriolabs_api_key: SecretStr | None = Field(None, description="key of the EmpirioLabs account that pays")
    empiriolabs_url: str = Field("https://api.empiriolabs.ai", description="base URL of EmpirioLabs")
    empiriolabs_rpm: int = Field(50, ge=0, description="the account's requests a minute; 0: no governor")
    provider_keys: SecretStr | None = Field(
        None, description="`NAME=KEY,NAME=KEY` of the [[servers]] in routes.toml that want one"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    public_url: str | None = Field(None, description="base of the picture URLs; else the request's scheme and Host")
    data: Path = Field(description="directory of store, pictures and admin socket")
    store: SecretStr | None = Field(
        None, description="`sqlite:///PATH`, `redis://…`, `rediss://…`; by default SQLite in the data directory"
    )
    blobs: str | None = Field(
        None,
        validate_default=True,
        description="`file:///PATH`; by default in the data directory, with Redis there is no default",
    )
    policies: Path | None = Field(None, description="replaces the packaged policies entirely")
    admin_key: SecretStr | None = Field(None, description="opens /admin/v1 over TCP; 32 characters or more")
    metrics_token: SecretStr | None = Field(None, description="reads /metrics from afar")
    worker_token: SecretStr | None = Field(
        None, description="a token that GPU workers may use beside those made for each; 32 characters or more"
    )
    secret: SecretStr | None = Field(None, description="comma-separated ring, the first signs; else made and kept")
    max_wait: Annotated[float, Field(gt=0, le=3600)] = Field(280, description="seconds a plain call waits at most")
    url_ttl: int = Field(86400, ge=60, le=7 * 86400, description="seconds a picture URL lives")
    private_hosts: tuple[str, ...] = Field((), description="result hosts on private addresses that may be fetched")
    allow_image_urls: bool = Field(False, description="fetch reference images from the https:// URLs that clients name")
    strict: bool = Field(False, description="refuse the fields that a model cannot honour, rather than ignoring them")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="`json` or `console`")

    @field_validator("private_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("empiriolabs_api_key", "worker_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
            raise ValueError("must be printable ASCII without blanks")
        return value

    @field_validator("provider_keys")
    @classmethod
    def _names_each_once(cls, value: SecretStr | None) -> SecretStr | None:
        """No entry is told: what is misread for a name may be a key."""
        if value is None:
            return None
        entries = [_PROVIDER_KEY.fullmatch(entry.strip()) for entry in value.get_secret_value().split(",")]
        names = [entry["name"] for entry in entries if entry is not None]
        if len(names) < len(entries):
            raise ValueError("must be NAME=KEY,NAME=KEY, each key printable ASCII without blanks and commas")
        if len(names) > len(set(names)):
            raise ValueError("has two keys for one name")
        return value

    @field_validator("empiriolabs_url", "public_url")
    @classmethod
    def _is_plain(cls, value: str | None) -> str | None:
        if value is None:
            return None
        match = _BASE_URL.fullmatch(value)
        if match is None or not value.isascii() or int(match["port"] or 80) not in _PORTS:
            raise ValueError("must be a plain http(s) URL in ASCII without user, query or fragment")
        return value.rstrip("/")

    @field_validator("store")
    @classmethod
    def _is_a_store(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = value.get_secret_value()
        if not url.startswith((_SQLITE, *_REDIS)) or url in {_SQLITE, *_REDIS}:
            raise ValueError(f"must be {_SQLITE}PATH, {_REDIS[0]}HOST or {_REDIS[1]}HOST")
        return value

    @field_validator("blobs")
    @classmethod
    def _are_files(cls, value: str | None, info: ValidationInfo) -> str | None:
        store = info.data.get("store")
        if value is None and store is not None and store.get_secret_value().startswith(_REDIS):
            raise ValueError("replicas on Redis share their pictures: name a directory that all of them see")
        if value is not None and (not value.startswith(_FILES) or value == _FILES):
            raise ValueError(f"this version serves {_FILES}PATH alone")
        return value

    @field_validator("admin_key", "worker_token")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:  # noqa: PLR2004 - the contract's figure
            raise ValueError("must have 32 characters or more")
        return value

    @field_validator("worker_token")
    @classmethod
    def _administers_nothing(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and value == info.data.get("admin_key"):
            raise ValueError("must be another secret than IMAGEGATE_ADMIN_KEY: workers administer nothing")
        return value

    @field_validator("secret")
    @classmethod
    def _is_strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(part.strip()) < 32 for part in value.get_secret_value().split(",")):  # noqa: PLR2004
            raise ValueError("each entry must have 32 characters or more")
        return value

    @property
    def redis_url(self) -> str | None:
        """Where Redis is, or None when the store is SQLite. It may hold a password."""
        url = self._store_url
        return url if url is not None and url.startswith(_REDIS) else None

    @property
    def store_path(self) -> Path:
        """Of the SQLite store."""
        return _path(self._store_url) or self.data / "imagegate.db"

    @property
    def blobs_path(self) -> Path:
        return _path(self.blobs) or self.data / "pictures"

    @property
    def _store_url(self) -> str | None:
        return None if self.store is None else self.store.get_secret_value()

    @property
    def keys_of_providers(self) -> dict[str, SecretStr]:
        """By the servers' names."""
        entries = self.provider_keys.get_secret_value().split(",") if self.provider_keys else []
        pairs = (entry.strip().partition("=") for entry in entries)
        return {name: SecretStr(key) for name, _, key in pairs}

    @property
    def secret_ring(self) -> tuple[bytes, ...]:
        ring = self.secret.get_secret_value().split(",") if self.secret else []
        return tuple(part.strip().encode() for part in ring)


def read(environment: Mapping[str, str] | None = None, directory: Path | None = None, **overrides: object) -> Settings:
    """Settings from the environment, then `.env` in `directory`, then defaults; `overrides` (not None) win.

    An empty variable is one not set, and hides what `.env` says. Raises SettingsError naming the variable.
    """
    directory = directory or Path.cwd()
    variables = _variables(environment, directory)
    values = _values(variables) | {name: value for name, value in overrides.items() if value is not None}
    values.setdefault("data", _default_data(directory, variables))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise SettingsError(f"{variable(name)}: {first['msg'].removeprefix('Value error, ')}") from error


def worker_token(environment: Mapping[str, str] | None = None, directory: Path | None = None) -> SecretStr | None:
    """`IMAGEGATE_WORKER_TOKEN`, or what its `_FILE` holds, read as every secret is; an agent needs no other setting.

    Raises SettingsError.
    """
    variables, name = _variables(environment, directory or Path.cwd()), variable("worker_token")
    token, path = variables.get(name), variables.get(name + _FILE)
    if token and path:
        raise SettingsError(f"set {name} or {name}{_FILE}, not both")
    said = _secret_file(name + _FILE, path) if path else token
    return SecretStr(said) if said else None


def variable(field: str) -> str:
    """The environment variable of a field."""
    return _PLAIN if field == "empiriolabs_api_key" else PREFIX + field.upper()


def interpreter_environment() -> dict[str, str]:
    """What a child of ours needs of the environment to start at all; never a secret."""
    names = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in names if name in os.environ}  # noqa: TID251 - the one place


def runtime_directory() -> Path:
    """Where a socket goes whose path in the data directory would be too long for the kernel."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108, TID251 - the one place; the socket's mode guards it


def _variables(environment: Mapping[str, str] | None, directory: Path) -> dict[str, str]:
    everything = os.environ if environment is None else environment  # noqa: TID251 - the one place
    said = {name: value for name, value in everything.items() if not _KUBERNETES.fullmatch(f"{name}={value}")}
    hidden = {name.removesuffix(_FILE) for name in said}
    return {name: value for name, value in _dotenv(directory).items() if name.removesuffix(_FILE) not in hidden} | said


def _dotenv(directory: Path) -> dict[str, str]:
    path = directory / ".env"
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error


def _values(variables: Mapping[str, str]) -> dict[str, object]:
    known = {variable(name): name for name in Settings.model_fields}
    files = {variable(name) + _FILE: name for name in _SECRETS}
    for name in variables:
        if name.startswith(PREFIX) and name not in known and name not in files:
            raise SettingsError(_did_you_mean(name, [*known, *files]))
    said = {name: value for name, value in variables.items() if value}
    values: dict[str, object] = {known[name]: said[name] for name in said.keys() & known}
    for name in said.keys() & files:
        if files[name] in values:
            raise SettingsError(f"set {variable(files[name])} or {name}, not both")
        values[files[name]] = _secret_file(name, said[name])
    return values


def _secret_file(name: str, path: str) -> str:
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: {path} is not UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path}: {error.strerror}") from error
    if not secret:
        raise SettingsError(f"{name}: {path} is empty")
    return secret


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    fits = [fit for fit in (name.removeprefix(PREFIX), name.removesuffix(_FILE)) if fit in known]
    close = fits or difflib.get_close_matches(name, known, n=1)
    return f"{name} is no setting of imagegate" + (f"; did you mean {close[0]}?" if close else "")


def _default_data(directory: Path, variables: Mapping[str, str]) -> Path:
    here = directory / ".imagegate"
    if here.is_dir():
        return here
    base = variables.get("XDG_DATA_HOME")
    return (Path(base) if base else Path(variables.get("HOME") or "~").expanduser() / ".local" / "share") / "imagegate"


def _path(url: str | None) -> Path | None:
    return None if url is None else Path("/" + url.partition(":///")[2])
