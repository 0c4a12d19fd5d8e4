"""Many ask for one picture at once, and it is bought once: whoever leaves, and whichever process dies meanwhile."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from books import PRICE, Books, tell
from flights import CUT, PROMPT, SEED, SIDE, Heard, Store, clients, front_on, until_there

from gateway.core.encode import encode
from gateway.core.sample_picture import draw

LONG = os.environ.get("TRUST", "short") == "long"
CROWD = 1000
FOLLOWERS = 50
STORES: list[Store] = ["sqlite", "redis"]
#: All have come before the job ends.
SLOW = ("--median", "4", "--sigma", "0")
#: The upstream has taken the order when its answer begins, and that takes four seconds.
DRIPPING = ("--fault", "submit_drip=1")
#: The gateway is killed while it waits for the job, or for the answer that tells it of the job.
MOMENTS = [pytest.param(SLOW, id="waiting"), pytest.param(DRIPPING, id="submitting")]
UNCONFIRMED = Heard("upstream_unconfirmed")


@pytest.mark.parametrize("store", STORES)
async def test_a_crowd_buys_one_picture(
    tmp_path: Path, record_property: Callable[[str, object], None], store: Store
) -> None:
    with front_on(store, tmp_path, "--median", "1", "--sigma", "0") as front:
        async with clients(front.new_key()) as crowd:
            began = time.monotonic()
            for number in range(CROWD):
                crowd.ask(front.gateways[number % len(front.gateways)])
            heard = await asyncio.gather(*crowd.asking)
            seconds = time.monotonic() - began
            pictures = [await crowd.picture(heard[-1], process) for process in front.gateways]
        books, drift = await front.books(), front.drift
    said = Counter(each.said for each in heard)
    figures = {
        "seconds": round(seconds, 2),
        **said,
        "refused at first": crowd.refused,
        "submits": len(books.bought),
        "charged": books.spent,
    }
    tell(record_property, f"{CROWD} equal orders at once, {len(front.gateways)} on {store}", figures)
    assert said["miss"] == 1 or crowd.refused
    assert_all_have_it(heard, "miss", "joined", "hit", *(["replayed"] if crowd.refused else []))
    assert set(pictures) == {drawn()}
    # whoever was refused may be given another's job when it asks again: the same call by the same key, as far as is known
    assert CROWD - crowd.refused <= len({each.job for each in heard}) <= CROWD
    assert_bought_once(books)
    assert drift == 0


@pytest.mark.parametrize("store", STORES)
async def test_the_one_that_buys_leaves(tmp_path: Path, store: Store) -> None:
    with front_on(store, tmp_path, *SLOW) as front:
        async with clients(front.new_key()) as crowd:
            (maker,) = crowd.ask(front.gateways[0])
            await until_there(front, 1)
            for number in range(FOLLOWERS):
                crowd.ask(front.gateways[number % len(front.gateways)])
            await until_there(front, 1 + FOLLOWERS)
            maker.cancel()
            followers = await asyncio.gather(*crowd.asking[1:])
        books = await front.books()
    assert_all_have_it(followers, "joined")
    assert_bought_once(books)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_the_replica_that_makes_it_dies(
    tmp_path: Path, record_property: Callable[[str, object], None], moment: tuple[str, ...]
) -> None:
    """Whoever waits elsewhere waits on until another has taken its work over; whoever was cut off asks another."""
    with front_on("redis", tmp_path, *moment) as front:
        assert front.cluster
        dying, *others = front.gateways
        async with clients(front.new_key()) as crowd:
            (maker,) = crowd.ask(dying)
            await until_there(front, 1)
            (job,) = front.job_ids
            cut = [maker, *crowd.ask(dying, FOLLOWERS)]
            waiting = [each for process in others for each in crowd.ask(process, FOLLOWERS)]
            await until_there(front, 1 + 3 * FOLLOWERS)
            dying.kill()
            began = time.monotonic()
            assert await asyncio.gather(*cut) == [CUT] * len(cut)
            again = crowd.ask(others[0], len(cut), retry=1)
            if not LONG:
                front.cluster.end_lease(job)
            heard = await asyncio.gather(*waiting, *again)
            seconds = time.monotonic() - began
        books = await front.books()
    tell(record_property, "until the clients of a dead replica are answered", {"seconds": round(seconds, 1)})
    assert_all_know(heard, books, unconfirmed=moment is DRIPPING)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_the_only_gateway_dies(tmp_path: Path, moment: tuple[str, ...]) -> None:
    """All are cut off, and ask again once it is there, as the SDKs do."""
    with front_on("sqlite", tmp_path, *moment) as front:
        (process,) = front.gateways
        async with clients(front.new_key()) as crowd:
            crowd.ask(process, 1 + FOLLOWERS)
            await until_there(front, 1 + FOLLOWERS)
            process.kill()
            assert await asyncio.gather(*crowd.asking) == [CUT] * (1 + FOLLOWERS)
            await asyncio.to_thread(process.start)
            again = await asyncio.gather(*crowd.ask(process, 1 + FOLLOWERS, retry=1))
        books = await front.books()
    assert_all_know(again, books, unconfirmed=moment is DRIPPING)
    assert len(books.jobs) == 1 + FOLLOWERS


def drawn() -> bytes:
    """What the upstream draws for the order."""
    return encode(draw(PROMPT, SEED, SIDE, SIDE), "webp")


def assert_all_know(heard: list[Heard], books: Books, *, unconfirmed: bool) -> None:
    """They have the picture; or, where it is not known whether it was bought, just that: nobody bought another."""
    if not unconfirmed:
        assert_all_have_it(heard, "joined", "replayed")
        assert_bought_once(books)
        return
    assert set(heard) == {UNCONFIRMED}
    assert (len(books.bought), books.spent, books.held, books.drift) == (1, 0, PRICE, 0)
    assert [attempt["upstream_id"] for attempt in books.unconfirmed] == [None]
    assert {job["unconfirmed"] for job in books.jobs} == {True}


def assert_all_have_it(heard: list[Heard], *said: str) -> None:
    assert {each.said for each in heard} <= {*said}
    assert {len(each.pictures) for each in heard} == {1}
    assert len({each.pictures for each in heard}) == 1


def assert_bought_once(books: Books) -> None:
    assert [each["billed_images"] for each in books.bought] == [1]
    assert [row["kind"] for row in books.rows] == ["reserve", "settle"]
    assert (books.spent, books.settled, books.held, books.drift) == (PRICE, PRICE, 0, 0)
    assert (len(books.attempts), books.lost_images(), books.wrong_charges()) == (1, 0, 0)
