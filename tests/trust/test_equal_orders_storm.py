"""A storm of orders of which many are equal: whatever fails, leaves or dies, nothing is bought that was there to be shared."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from books import PRICE, Books, settle_down, tell
from equal_orders import KEYS, TEAMS, Customers, Purchase, Wish, followed_strangers, needless, purchases
from flights import Store, front_on
from processes import Process, administer

from gateway.ports import LEASE

LONG = os.environ.get("TRUST", "short") == "long"
SECONDS = 150 if LONG else 8
#: Of any of the gateways, each followed by its start.
KILLS = {"sqlite": 20 if LONG else 2, "redis": 12 if LONG else 0}
CUSTOMERS = 24
UPSTREAM = (
    *("--median", "0.4", "--sigma", "0.5", "--seed", "5", "--failure-rate", "0.12", "--fewer-rate", "0.1"),
    *("--fault", "submit_lost=0.01", "--fault", "submit_503=0.01"),
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_nothing_is_bought_needlessly(
    tmp_path: Path, record_property: Callable[[str, object], None], store: Store
) -> None:
    random = Random(11)
    with front_on(store, tmp_path, *UPSTREAM) as front:
        keys = {team: [front.new_key(team) for _ in range(KEYS)] for team in TEAMS}
        customers = Customers([each.url for each in front.gateways], keys, random)
        async with customers.at_work(CUSTOMERS):
            await kill(front.gateways, KILLS[store], random)
        await asyncio.to_thread(settle_down, front.gateways[0], front.upstream, 2 * LEASE + 60)
        books = Books.of(front.gateways[0], front.upstream)
        release(front.gateways[-1], books)
        after, drift = Books.of(front.gateways[-1], front.upstream), front.drift
    bought, strangers = purchases(books, customers.wishes), followed_strangers(books, customers.wishes)
    tell(
        record_property,
        f"{SECONDS} s of {CUSTOMERS} customers at {len(front.gateways)} on {store}, {KILLS[store]} × kill -9",
        {
            "wishes": len(customers.wishes),
            **dict(sorted(customers.said.items())),
            "jobs": len(books.jobs),
            "purchases begun": len(bought),
            "of which bore all that was asked": sum(each.images == each.wish.images for each in bought),
            "submits accepted upstream": len(books.bought),
            "bought again, for good reason": sum(
                often - 1 for often in Counter(each.order for each in bought).values()
            ),
            "bought needlessly": len(needless(bought)),
            "given another order's pictures": len(strangers),
            "images billed upstream": books.billed,
            "paid images lost": books.lost_images(),
            "wrong or double charges": books.wrong_charges(),
            "strange answers": len(customers.strange),
            "pictures that differ": sum(len(names) > 1 for names in customers.pictures.values()),
            "attempts unconfirmed": len(books.unconfirmed),
            "held in the end": after.held,
            "ledger drift": drift,
        },
    )
    assert (needless(bought), strangers) == ([], [])
    assert customers.strange == []
    assert not [said for said in customers.said if said.startswith("500")]
    assert {len(names) for names in customers.pictures.values()} == {1}
    assert (books.lost_images(), books.wrong_charges(), after.wrong_charges()) == (0, 0, 0)
    orphaned = sum(each["billed_images"] for each in books.orphans())
    assert after.settled == after.spent == (books.billed - orphaned) * PRICE
    assert (after.held, after.unconfirmed, drift) == (0, [], 0)
    assert {"miss", "hit", "joined", "replayed", "bypass", "left"} <= customers.said.keys()
    assert any(each.images == 0 for each in bought)


async def kill(gateways: Sequence[Process], often: int, random: Random) -> None:
    for _ in range(often):
        await asyncio.sleep(random.uniform(0.5, 1.5) * SECONDS / (often + 1))
        victim = random.choice(gateways)
        victim.kill()
        await asyncio.to_thread(victim.start)
    await asyncio.sleep(SECONDS / (often + 1))


def release(process: Process, books: Books) -> None:
    """Whatever is unconfirmed, as an operator does: once for each job that makes it, not for those that follow it."""
    for job_id in {attempt["id"].partition(".")[0] for attempt in books.unconfirmed}:
        administer(process, f"jobs/{job_id}/resolve", {"outcome": "release"})


WISH = Wish("1", "red", "a cat", images=2, edit_of=None, seed=7, key=0)
BOUGHT = Purchase(WISH, seed=7, reserved=10, ended=20, images=2)
EQUAL = replace(WISH, name="2", key=1)


@pytest.mark.parametrize(
    ("earlier", "later", "reserved", "expected"),
    [
        ({}, EQUAL, 30, True),
        ({}, EQUAL, 15, True),
        ({}, replace(EQUAL, team="blue"), 30, False),
        ({}, replace(EQUAL, edit_of="orange"), 30, False),
        ({}, replace(EQUAL, bypass=True), 30, False),
        ({}, replace(EQUAL, seed=None), 30, False),
        ({"images": 1}, EQUAL, 30, False),
        ({"images": 1}, EQUAL, 15, True),
        ({"images": 0, "ended": None}, EQUAL, 30, False),
        ({"wish": replace(WISH, bypass=True)}, EQUAL, 15, False),
        ({"wish": replace(WISH, bypass=True)}, EQUAL, 30, True),
        ({"images": 1}, WISH, 30, True),
        ({"images": 0}, WISH, 30, False),
        ({"images": 0, "ended": None}, WISH, 30, True),
    ],
)
def test_what_is_needless_is_noticed(earlier: dict[str, object], later: Wish, reserved: int, *, expected: bool) -> None:
    """The proof above can fail."""
    first = replace(BOUGHT, **earlier)  # type: ignore[arg-type]  # fields of its own
    second = Purchase(later, seed=7, reserved=reserved, ended=40, images=2)
    assert bool(needless([first, second])) == expected
