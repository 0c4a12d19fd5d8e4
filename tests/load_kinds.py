"""What a gateway is asked in a day, kind by kind: how often, and what a right answer is."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random

from load_client import CLOUD, EDITS, LEFT, PATIENCE, Client
from PIL import Image

PATIENCE_OF_WHO_LEAVES = 0.15
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class Kind:
    """`often` in each round of the deck; answers that are `right`; whether something is `made`, which may fail upstream."""

    often: int
    ask: Callable[[Client, Random], Awaitable[None]]
    right: frozenset[str] = frozenset({"200"})
    made: bool = True


async def _miss(load: Client, dice: Random) -> None:
    await load.ask("miss", dice.choice(load.keys.good), load.wish(dice))


async def _hit(load: Client, dice: Random) -> None:
    await load.ask("hit", load.keys.good[0], load.favourite(dice))


async def _join(load: Client, dice: Random) -> None:
    wish, key = load.wish(dice, seed=dice.randrange(2**31)), dice.choice(load.keys.good)
    await asyncio.gather(*(load.ask("join", key, wish) for _ in range(3)))


async def _several(load: Client, dice: Random) -> None:
    await load.ask("several", dice.choice(load.keys.good), load.wish(dice, n=2))


async def _edit(load: Client, dice: Random) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (256, 256), dice.choice(("teal", "coral", "gold"))).save(picture, "PNG")
    await load.ask("edit", dice.choice(load.keys.good), load.wish(dice), path=EDITS, picture=picture.getvalue())


async def _stream(load: Client, dice: Random) -> None:
    await load.ask("stream", dice.choice(load.keys.good), load.wish(dice, stream=True, response_format="b64_json"))


async def _job(load: Client, dice: Random) -> None:
    key = dice.choice(load.keys.good)
    job = await load.ask("job", key, load.wish(dice, sync=False))
    ends = time.monotonic() + PATIENCE
    while job.get("status") in ("queued", "processing") and time.monotonic() < ends:
        await asyncio.sleep(_POLL)
        job = await load.exchange("poll", "GET", f"/v1/jobs/{job['job_id']}", key)


async def _cancelled(load: Client, dice: Random) -> None:
    key = dice.choice(load.keys.good)
    job = await load.ask("job", key, load.wish(dice, sync=False))
    if "job_id" in job:
        await load.exchange("cancelled", "DELETE", f"/v1/jobs/{job['job_id']}", key)


async def _quote(load: Client, dice: Random) -> None:
    await load.ask("quote", load.keys.good[0], load.wish(dice), {"x-imagegate-dry-run": "true"})


async def _left(load: Client, dice: Random) -> None:
    await load.ask("left", dice.choice(load.keys.good), load.wish(dice), patience=PATIENCE_OF_WHO_LEAVES)


async def _unknown_key(load: Client, dice: Random) -> None:
    await load.ask("unknown key", load.keys.good[0][:-1] + "?", load.wish(dice))


async def _bad(load: Client, dice: Random) -> None:
    await load.ask("bad", load.keys.good[0], load.wish(dice, size="7x7"))


async def _broke(load: Client, dice: Random) -> None:
    await load.ask("broke", load.keys.broke, load.wish(dice, size=CLOUD))


async def _limited(load: Client, dice: Random) -> None:
    await load.ask("limited", load.keys.limited, load.favourite(dice))


#: One round. Polls are what jobs bring with them.
DECK: Mapping[str, Kind] = {
    "miss": Kind(7, _miss),
    "hit": Kind(6, _hit),
    "join": Kind(1, _join),
    "several": Kind(1, _several),
    "edit": Kind(2, _edit),
    "stream": Kind(2, _stream),
    "job": Kind(2, _job, frozenset({"202"})),
    "poll": Kind(0, _job),
    "cancelled": Kind(1, _cancelled, frozenset({"200", "409 job_not_cancellable"}), made=False),
    "quote": Kind(1, _quote, made=False),
    "left": Kind(1, _left, frozenset({"200", LEFT})),
    "unknown key": Kind(1, _unknown_key, frozenset({"401 invalid_api_key"}), made=False),
    "bad": Kind(1, _bad, frozenset({"400 invalid_value"}), made=False),
    "broke": Kind(1, _broke, frozenset({"200", "429 insufficient_quota", "429 budget_reserved"})),
    "limited": Kind(1, _limited, frozenset({"200", "429 rate_limit_exceeded"})),
}
