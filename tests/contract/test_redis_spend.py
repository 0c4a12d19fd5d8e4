"""Spend over Redis, which reads its ledger page by page: each row counts once, also where the pages move."""

import pytest
from samples import DAY, NOON, PRICE, a_job, make

from gateway.ports import Spend
from gateway.stores.redis import ledger
from gateway.stores.redis.link import Link, Question
from gateway.stores.redis.store import RedisStore


@pytest.mark.parametrize("rows", [0, 2, 3, 6, 7])
async def test_pages_add_up(redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(ledger, "_ROWS", 3)
    for number in range(rows):
        await make(redis_store, a_job(number, key=f"key{number % 2}"))
    told = await redis_store.spend("key", 0)
    assert {each.group: (each.images, each.amount) for each in told} == {
        f"key{odd}": (count, count * PRICE) for odd in (0, 1) if (count := len(range(odd, rows, 2)))
    }


async def test_a_row_that_pushes_others_onto_the_next_page_counts_none_twice(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of yesterday's is settled while the report is read."""
    monkeypatch.setattr(ledger, "_ROWS", 3)
    for number in range(7):
        await make(redis_store, a_job(number))
    script, pages = Link.script, list[Question]()

    async def meanwhile(link: Link, op: str, name: str, question: Question) -> object:
        answer = await script(link, op, name, question)
        if name == "spent":
            pages.append(question)
            if len(pages) == 1:
                late = a_job(8, at=NOON - DAY)
                await make(redis_store, late, now=NOON - DAY)
        return answer

    monkeypatch.setattr(Link, "script", meanwhile)
    assert await redis_store.spend("team", 0) == [Spend("red", 7, 7 * PRICE)]
    assert len(pages) == 3
