"""The options that say what a key, or a team, may ask for and until when. They end as fields of /admin/v1, and only those
that were given."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., None])
_Callback = Callable[[click.Context, click.Parameter, Any], None]
_SAID = "imagegate.key_terms"
_DIGITS = 7
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})|([0-9]{1,10})")


def terms(context: click.Context) -> dict[str, object]:
    """The fields that the options of this call said."""
    said: dict[str, object] = context.meta.setdefault(_SAID, {})
    return said


def limiting_options(command: _Command) -> _Command:
    options = (
        click.option("--name", metavar="TEXT", help="What the key is for.", expose_value=False, callback=_says("name")),
        click.option(
            "--model",
            multiple=True,
            metavar="ID",
            help="Only this model, under any of its names; repeatable.",
            expose_value=False,
            callback=_says("models"),
        ),
        click.option(
            "--endpoint",
            multiple=True,
            type=click.Choice(["generation", "edit", "variation"]),
            help="Only this kind of request; repeatable.",
            expose_value=False,
            callback=_says("endpoints"),
        ),
        click.option(
            "--max-images",
            type=click.IntRange(1, 10),
            help="The largest n of one request.",
            expose_value=False,
            callback=_says("max_images"),
        ),
        click.option(
            "--max-size",
            metavar="WIDTHxHEIGHT",
            help="The largest image, by its pixels: 1024x768, or 786432.",
            expose_value=False,
            callback=_says("max_pixels", _pixels),
        ),
        click.option(
            "--expires",
            metavar="WHEN",
            help="In 30d or 12h, at the end of 2026-12-31, or at 2026-12-31T18:00Z; in UTC.",
            expose_value=False,
            callback=_says("expires"),
        ),
    )
    return rate_options(_with(options, command))


def rate_options(command: _Command) -> _Command:
    """For a key or a team."""
    options = (
        _rate("--requests-per-minute", "Requests for images a minute"),
        _rate("--images-per-minute", "Images a minute"),
        _rate("--images-in-flight", "Images that are being made at once"),
    )
    return _with(options, command)


def freeing_options(command: _Command) -> _Command:
    """For a key that has limits; and the switch."""
    options = (
        _flag("--all-models", "models", [], "Allow every model."),
        _flag("--all-endpoints", "endpoints", [], "Allow generations, edits and variations."),
        _flag("--no-max-images", "max_images", None, "Limit n no more."),
        _flag("--no-max-size", "max_pixels", None, "Limit the size no more."),
        _flag("--no-expiry", "expires", None, "Let it never expire."),
        _flag("--disable", "disabled", True, "Refuse the key until it is enabled again."),
        _flag("--enable", "disabled", False, "Let a disabled key in again."),
    )
    return _with(options, command)


def _rate(name: str, text: str) -> Callable[[_Command], _Command]:
    field = name.removeprefix("--").replace("-", "_")
    text += "; 0: no limit, default: what the policies say."
    return click.option(name, metavar="N", help=text, expose_value=False, callback=_says(field, _most))


def _most(text: str) -> int | None:
    if text == "default":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise click.BadParameter(f"{text!r} is no limit: write a number, 0 for none, or default")
    return int(text)


def _flag(name: str, field: str, value: object, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, is_flag=True, help=text, expose_value=False, callback=_says(field, lambda _: value))


def _says(field: str, read: Callable[[Any], object] = lambda value: value) -> _Callback:
    """Keeps what an option said as that field. Two options for one field: which of them holds?"""

    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - whatever it is of
        if value in (None, (), False):
            return
        said = terms(context)
        if field in said:
            raise click.UsageError(f"{parameter.opts[0]} contradicts another option.", context)
        said[field] = read(value)

    return keep


def _pixels(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no size: write WIDTHxHEIGHT, such as 1024x1024, or pixels")
    width, height, pixels = match.groups()
    return int(pixels) if pixels else int(width) * int(height)


def _with(options: Iterable[Callable[[_Command], _Command]], command: _Command) -> _Command:
    for option in reversed(tuple(options)):
        command = option(command)
    return command
