"""Secrets may be set, put in front and rotated: keys that were handed out go on working, and are hashed anew."""

from pathlib import Path

import httpx
from pydantic import SecretStr

from gateway.settings import Settings, read
from gateway.wiring.serving import running

OLD, NEW = "o" * 32, "n" * 32


def settings(tmp_path: Path, secret: str | None = None) -> Settings:
    found = read(
        {"IMAGEGATE_DATA": str(tmp_path / "data"), "IMAGEGATE_PORT": "0", "IMAGEGATE_LOG_LEVEL": "error"}, tmp_path
    )
    return found.model_copy(update={"secret": SecretStr(secret) if secret else None})


async def admits(url: str, key: str) -> bool:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/v1/jobs", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def test_a_key_outlives_the_setting_and_the_turning_of_the_ring(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as gateway:
        _, key = await gateway.administration.create_key("red", "", [])
        assert await admits(gateway.url, key)
    for ring in (OLD, f"{NEW},{OLD}"):
        async with running(settings(tmp_path, ring)) as gateway:
            assert await admits(gateway.url, key)
    # it was hashed anew under the first of the ring when it was used: the old ones may go
    async with running(settings(tmp_path, NEW)) as gateway:
        assert await admits(gateway.url, key)


async def test_a_key_of_a_secret_that_is_gone_is_refused(tmp_path: Path) -> None:
    async with running(settings(tmp_path, OLD)) as gateway:
        _, key = await gateway.administration.create_key("red", "", [])
    async with running(settings(tmp_path, NEW)) as gateway:
        assert not await admits(gateway.url, key)
