"""`imagegate backup`: the store as it stands at one moment, in a file, while the gateway goes on."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import click
import httpx

from gateway.cli.client import read, running_gateway, unanswered
from gateway.cli.configuration import load
from gateway.cli.options import admin_options
from gateway.cli.output import print_json
from gateway.ports import StoreDown
from gateway.ports.upkeep import SNAPSHOT_TYPE, NoSnapshot
from gateway.settings import Settings

#: Seconds until the first byte: the gateway has made its whole copy by then.
_PATIENCE_S = 3600.0
#: Bytes that must stay free: the gateway may be writing to the same disk.
_SPARE = 100_000_000


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@admin_options
def backup(file: Path, *, force: bool, as_json: bool, url: str | None) -> None:
    """Write a copy of the store to FILE, while the gateway goes on.

    It is the store at one moment: keys, budgets, ledger, jobs. It holds the keys' digests and the installation's secret, so
    it is made for its owner alone: keep it so. Pictures are not in it: copy their directory afterwards, never before. To
    restore, put FILE as imagegate.db into an empty data directory, and start a gateway on it once the old one is gone.
    """
    settings = load()
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already: --force replaces it.")
    if file.exists() and settings.store_path.exists() and file.samefile(settings.store_path):
        raise click.ClickException(f"{file} is the store itself.")
    try:
        with _appearing(file.absolute()) as copy:
            asyncio.run(_download(settings, url, copy))
            size = copy.tell()
    except httpx.HTTPError as error:
        raise unanswered(settings, url, error) from error
    except (StoreDown, NoSnapshot, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        click.echo(f"{file}: {size:,} bytes. Pictures are not in it: copy their directory now.")


@contextmanager
def _appearing(file: Path) -> Iterator[IO[bytes]]:
    """A new private file that takes the place of `file` when the block has filled it: that appears whole, or not at all."""
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp", delete=False) as copy:
        try:
            yield copy.file
            copy.flush()
            os.fsync(copy.fileno())
            Path(copy.name).replace(file)
        except BaseException:
            Path(copy.name).unlink(missing_ok=True)
            raise
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _download(settings: Settings, url: str | None, into: IO[bytes]) -> None:
    client = running_gateway(settings, url, _PATIENCE_S)
    if client is None:
        # Half a second of imports that the other two roads do not need.
        from gateway.wiring.backup import offline_snapshot  # noqa: PLC0415

        async with offline_snapshot(settings) as file:
            _check_room(into, os.fstat(file.fileno()).st_size)
            shutil.copyfileobj(file, into)
        return
    async with client, client.stream("GET", "/backup") as answer:
        if answer.headers.get("content-type") != SNAPSHOT_TYPE:
            await answer.aread()
            read(answer)
            raise click.ClickException(f"{answer.url}: no backup came (HTTP {answer.status_code}).")
        _check_room(into, int(answer.headers["content-length"]))
        async for block in answer.aiter_bytes():
            into.write(block)


def _check_room(into: IO[bytes], size: int) -> None:
    free = shutil.disk_usage(into.fileno()).free
    if free < size + _SPARE:
        raise NoSnapshot(f"{size / 1e6:,.0f} MB do not fit: {free / 1e6:,.0f} MB are free, and some must stay so.")
