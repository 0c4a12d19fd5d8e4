"""`clients.py URL KEY SIDE CODEC IMAGES CLIENTS`: so many images by clients that ask for one after another.

Prints a line of JSON: when each was asked for and there, by the clock on the wall. A process of its own, so that what it
costs is nobody's.
"""

import asyncio
import json
import sys
import time

import aiohttp


async def run(url: str, key: str, body: dict[str, str], images: int, clients: int) -> list[tuple[float, float]]:
    numbers, took = iter(range(images)), []
    run_id = time.time_ns()

    async def ask(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            began = time.time()
            wish = body | {"prompt": f"a lighthouse {run_id} {number}"}
            async with session.post(f"{url}/v1/images/generations", json=wish) as answer:
                said = await answer.json()
                if answer.status != 200 or said["imagegate"]["provider"] != "workers":
                    raise RuntimeError(str(said))
            took.append((began, time.time()))

    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(ask(session) for _ in range(clients)))
    return took


if __name__ == "__main__":
    url, key, side, codec = sys.argv[1:5]
    body = {"size": f"{side}x{side}", "format": codec, "response_format": "url"}
    print(json.dumps(asyncio.run(run(url, key, body, int(sys.argv[5]), int(sys.argv[6])))))  # noqa: T201
