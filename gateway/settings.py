"""The one place that reads the environment and `.env`. Adapters take plain values from here, handed over by `wiring.py`."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "IMAGEGATE_"
_PLAIN = "EMPIRIOLABS_API_KEY"
#: What Kubernetes injects for a Service called `imagegate`, and none of ours.
_KUBERNETES = re.compile(r"IMAGEGATE_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_\w+)")
_SECRETS = frozenset({"empiriolabs_api_key", "admin_key", "metrics_token", "secret"})


class SettingsError(Exception):
    """A setting is misspelt or wrong; the text is for the person who set it."""


class Settings(BaseModel):
    """Every setting, as environment variables `IMAGEGATE_<NAME>` (and `EMPIRIOLABS_API_KEY`); secrets also as `…_FILE`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    empiriolabs_api_key: SecretStr | None = Field(None, description="key of the EmpirioLabs account that pays")
    empiriolabs_url: str = Field("https://api.empiriolabs.ai", description="base URL of EmpirioLabs")
    empiriolabs_rpm: int = Field(50, ge=0, description="the account's requests a minute; 0: no governor")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    public_url: str | None = Field(None, description="base of the picture URLs; else the request's scheme and Host")
    data: Path = Field(description="directory of store, pictures and admin socket")
    store: str | None = Field(None, description="`sqlite:///PATH`; by default in the data directory")
    blobs: str | None = Field(None, description="`file:///PATH`; by default in the data directory")
    policies: Path | None = Field(None, description="replaces the packaged policies entirely")
    admin_key: SecretStr | None = Field(None, description="opens /admin/v1 over TCP; 32 characters or more")
    metrics_token: SecretStr | None = Field(None, description="reads /metrics from afar")
    secret: SecretStr | None = Field(None, description="comma-separated ring, the first signs; else made and kept")
    max_wait: Annotated[float, Field(gt=0, le=3600)] = Field(280, description="seconds a plain call waits at most")
    url_ttl: int = Field(86400, ge=60, le=7 * 86400, description="seconds a picture URL lives")
    private_hosts: tuple[str, ...] = Field((), description="result hosts on private addresses that may be fetched")
    strict: bool = Field(False, description="refuse the fields that a model cannot honour, rather than ignoring them")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="`json` or `console`")

    @field_validator("private_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("empiriolabs_url", "public_url")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("must be an http(s) URL without user, query or fragment")
        return value.rstrip("/") if value else value

    @field_validator("admin_key")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:  # noqa: PLR2004 - the contract's figure
            raise ValueError("must have 32 characters or more")
        return value

    @field_validator("secret")
    @classmethod
    def _is_strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(part.strip()) < 32 for part in value.get_secret_value().split(",")):  # noqa: PLR2004
            raise ValueError("each entry must have 32 characters or more")
        return value

    @property
    def store_path(self) -> Path:
        return _path(self.store, "sqlite:///") or self.data / "imagegate.db"

    @property
    def blobs_path(self) -> Path:
        return _path(self.blobs, "file:///") or self.data / "pictures"

    @property
    def secret_ring(self) -> tuple[bytes, ...]:
        ring = self.secret.get_secret_value().split(",") if self.secret else []
        return tuple(part.strip().encode() for part in ring)


def read(environment: Mapping[str, str] | None = None, directory: Path | None = None, **overrides: object) -> Settings:
    """Settings from the environment, then `.env` in `directory`, then defaults; `overrides` (not None) win.

    Raises SettingsError naming the variable.
    """
    directory = directory or Path.cwd()
    dotenv = {name: value for name, value in dotenv_values(directory / ".env").items() if value is not None}
    variables = {**dotenv, **(os.environ if environment is None else environment)}  # noqa: TID251 - the one place
    values = _values(variables) | {name: value for name, value in overrides.items() if value is not None}
    values.setdefault("data", _default_data(directory, variables))
    try:
        settings = Settings.model_validate(values)
        _ = settings.store_path, settings.blobs_path
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise SettingsError(f"{variable(name)}: {first['msg']}") from error
    except ValueError as error:
        raise SettingsError(str(error)) from error
    return settings


def variable(field: str) -> str:
    """The environment variable of a field."""
    return _PLAIN if field == "empiriolabs_api_key" else PREFIX + field.upper()


def packaged_policies() -> Path:
    """The policies in the wheel; in an editable install, which has none, those of the checkout."""
    package = Path(__file__).parent
    inside = package / "_policies"
    return inside if inside.is_dir() else package.parent / "policies"


def policy_texts(directory: Path) -> dict[str, str]:
    """Every policy file by its name within the directory. Raises OSError, also for one that is not UTF-8."""
    texts = {}
    for path in sorted(directory.rglob("*.toml")):
        try:
            texts[path.relative_to(directory).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise OSError(f"{path} is not UTF-8 text") from error
    return texts


def runtime_directory() -> Path:
    """Where a socket goes whose path in the data directory would be too long for the kernel."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108, TID251 - the one place; the socket's mode guards it


def _values(variables: Mapping[str, str]) -> dict[str, object]:
    known = {variable(name): name for name in Settings.model_fields}
    files = {variable(name) + "_FILE": name for name in _SECRETS}
    values: dict[str, object] = {}
    for name, value in variables.items():
        if name in known and value and not (name == "IMAGEGATE_PORT" and value.startswith("tcp://")):
            values[known[name]] = value
        elif name in files and value:
            values[files[name]] = _secret_file(name, value)
        elif name.startswith(PREFIX) and name not in known and name not in files and not _KUBERNETES.fullmatch(name):
            raise SettingsError(_did_you_mean(name, [*known, *files]))
    return values


def _secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path}: {error.strerror}") from error


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is no setting of imagegate" + (f"; did you mean {close[0]}?" if close else "")


def _default_data(directory: Path, variables: Mapping[str, str]) -> Path:
    here = directory / ".imagegate"
    if here.is_dir():
        return here
    base = variables.get("XDG_DATA_HOME")
    return (Path(base) if base else Path(variables.get("HOME") or "~").expanduser() / ".local" / "share") / "imagegate"


def _path(url: str | None, scheme: str) -> Path | None:
    if url is None:
        return None
    if not url.startswith(scheme) or len(url) == len(scheme):
        raise ValueError(f"{url!r} is not served: write {scheme}PATH")
    return Path(url.removeprefix(scheme[:-1]))
