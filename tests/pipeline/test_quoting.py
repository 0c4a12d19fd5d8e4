"""A quote says what the call that follows it is answered with, and leaves no trace."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, FastClock, ScriptedProvider, in_turn, until
from house import RED, House, a_call, open_house, packaged

from gateway.core import errors
from gateway.core.allowed import Allowed
from gateway.core.ask import Edit, read
from gateway.core.job import Failure
from gateway.core.money import Budget
from gateway.core.order import Reference, Upload
from gateway.core.rate import Limit
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import CacheWish, Call
from gateway.ports import Declined, Unknown

PRICE = 8500
COLLEAGUE = Caller("otherofred", "red")
FAILED = Declined(Failure("upstream_error", "The provider could not make the image."))
ACCOUNT = Declined(Failure("upstream_unavailable", "The provider refuses our key."), account=True)
DETACHED = a_call(respond_async=True)
ONE_A_MINUTE = Limit("team:red", "images_per_minute", 1)
ONE_IN_FLIGHT = Limit("key:keyofred", "images_in_flight", 1)

Setting = Callable[[House], Awaitable[object]]


class Calendar(FastClock):
    """Instants stand still, so that a wait is told the same twice; durations go on, so that jobs are made."""

    def now(self) -> int:
        return NOON + round(self._skipped * 1000)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


def wishing(wish: CacheWish) -> Call:
    return replace(a_call(), cache=wish)


def limited(*limits: Limit, **allowed: object) -> Caller:
    return replace(RED, limits=limits, allowed=Allowed(**allowed))  # type: ignore[arg-type]  # a test names what it is about


async def nothing(_: House) -> None: ...


async def made(house: House) -> None:
    await house.ask(seed=7)


async def made_and_spent(house: House) -> None:
    await made(house)
    await spent(house)


async def being_made(house: House) -> None:
    house.provider.finishing = False
    await house.ask(DETACHED, seed=7)
    await until(lambda: house.provider.polls)


async def spent(house: House) -> None:
    await house.store.set_budgets("org", [Budget("day", 10 * PRICE), Budget("total", PRICE - 1)])


async def held(house: House) -> None:
    await being_made(house)
    await house.store.set_budgets("team:red", [Budget("day", PRICE)])


async def one_made(house: House) -> None:
    await house.ask(caller=limited(ONE_A_MINUTE))


async def account_refused(house: House) -> None:
    house.provider.on_submit = in_turn(ACCOUNT)
    with pytest.raises(errors.UpstreamUnavailable):
        await house.ask()


async def queue_full(house: House) -> None:
    await house.governor.exhausted(500)


async def queue_full_and_spent(house: House) -> None:
    await queue_full(house)
    await spent(house)


@dataclass
class Situation:
    setting: Setting = nothing
    code: str | None = None
    caller: Caller = RED
    call: Call = field(default_factory=a_call)
    fields: dict[str, Any] = field(default_factory=lambda: {"seed": 7})
    limit: int = 0
    account: bool = True


SITUATIONS = {
    "plain": Situation(),
    "unseeded": Situation(fields={"n": 3}),
    "in parts": Situation(fields={"n": 9, "seed": 7}),
    "made": Situation(made),
    "made, and bypassed": Situation(made, call=wishing("bypass")),
    "made, and only that is wanted": Situation(made, call=wishing("only")),
    "made, and money is short": Situation(made_and_spent),
    "being made": Situation(being_made),
    "another image": Situation(made, fields={"seed": 8}),
    "a model": Situation(made, "model_not_allowed", limited(models=("another",))),
    "an endpoint": Situation(nothing, "model_not_allowed", limited(endpoints=("edit",))),
    "too many": Situation(nothing, "invalid_value", limited(most_images=2), fields={"n": 3}),
    "too large": Situation(made, "invalid_value", limited(most_pixels=512 * 512)),
    "not cached": Situation(nothing, "not_cached", call=wishing("only")),
    "not cached, without a seed": Situation(made, "not_cached", call=wishing("only"), fields={}),
    "not cached yet": Situation(being_made, "not_cached", call=wishing("only")),
    "spent": Situation(spent, "insufficient_quota"),
    "held": Situation(held, "budget_reserved", fields={"seed": 8}),
    "an image a minute": Situation(one_made, "rate_limit_exceeded", limited(ONE_A_MINUTE)),
    "an image a minute, two at once": Situation(nothing, "rate_limit_exceeded", limited(ONE_A_MINUTE), fields={"n": 2}),
    "an image in flight": Situation(being_made, "rate_limit_exceeded", limited(ONE_IN_FLIGHT), fields={}),
    "no account": Situation(nothing, "upstream_unavailable", account=False),
    "the account is refused": Situation(account_refused, "upstream_unavailable"),
    "a long queue": Situation(queue_full, "no_capacity", call=a_call(patience=20), limit=50),
    "a long queue, for whom has time": Situation(queue_full, call=DETACHED, limit=50),
    "not allowed, and spent": Situation(spent, "model_not_allowed", limited(models=("another",))),
    "not cached, and spent": Situation(spent, "not_cached", call=wishing("only")),
    "no account, and spent": Situation(spent, "upstream_unavailable", account=False),
    "a long queue, and spent": Situation(queue_full_and_spent, "no_capacity", call=a_call(patience=20), limit=50),
    "spent, and limited": Situation(spent, "insufficient_quota", limited(ONE_A_MINUTE), fields={"n": 2}),
}


@asynccontextmanager
async def situated(directory: Path, situation: Situation) -> AsyncIterator[House]:
    provider = ScriptedProvider()
    limit, account = situation.limit, situation.account
    async with open_house(directory, provider, clock=Calendar(), limit=limit, account=account) as house:
        await situation.setting(house)
        yield house


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
async def test_the_call_that_follows_is_answered_as_quoted(tmp_path: Path, situation: Situation) -> None:
    async with situated(tmp_path, situation) as house:
        quote = await house.quote(situation.call, caller=situation.caller, **situation.fields)
        assert (quote.refusal.code if quote.refusal else None) == situation.code
        call = replace(situation.call, prefer_wait=0.0)
        asked = house.ask(call, caller=situation.caller, **situation.fields)
        if quote.refusal is not None:
            with pytest.raises(type(quote.refusal)) as told:
                await asked
            assert (told.value.message, told.value.param) == (quote.refusal.message, quote.refusal.param)
            assert told.value.retry_after == pytest.approx(quote.refusal.retry_after, abs=5)
            return
        answer = await asked
        job = answer.job
        assert (quote.cache, quote.provider) == (answer.cache, job.provider)
        assert quote.cost == (0 if job.leader else job.held)
        assert replace(quote.order, seed=job.order.seed) == job.order
        assert quote.seeded is ("seed" in situation.fields)
        assert quote.fingerprint == (job.entry.fingerprint if job.entry and quote.seeded else None)


def remains(directory: Path, house: House) -> tuple[object, ...]:
    """Everything that a call could leave behind: rows, pictures, what was submitted, and told."""
    with closing(sqlite3.connect(directory / "imagegate.db")) as db:
        rows = list(db.iterdump())
    files = sorted(str(path) for path in (directory / "pictures").rglob("*"))
    telemetry = {name: str(value) for name, value in vars(house.telemetry).items()}
    provider = house.provider
    return rows, files, telemetry, list(provider.submits), list(provider.uploaded), house.governor._announced


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
async def test_a_quote_leaves_no_trace(tmp_path: Path, situation: Situation) -> None:
    async with situated(tmp_path, situation) as house:
        house.provider.answering.clear()  # what is being made goes no further meanwhile
        before = remains(tmp_path, house)
        call = replace(situation.call, retry_count=1, idempotency="a digest")
        quotes = [await house.quote(call, caller=situation.caller, **situation.fields) for _ in range(3)]
        assert remains(tmp_path, house) == before
        assert len({(quote.cost, quote.cache, str(quote.refusal)) for quote in quotes}) == 1


async def test_a_quote_adopts_no_retry(house: House) -> None:
    first = await house.ask(a_call())
    assert (await house.quote(a_call(retry=1))).cache == "miss"
    again = await house.ask(a_call(retry=1))
    assert (again.cache, again.job.id) == ("replayed", first.job.id)


async def test_what_stands_under_an_idempotency_key_is_quoted(house: House) -> None:
    named = replace(a_call(), idempotency="a digest")
    assert (await house.quote(named)).cost == PRICE
    assert (await house.ask(named)).cache == "miss"
    again = await house.quote(named)
    assert (again.cache, again.cost, again.seconds, again.refusal) == ("replayed", 0, 0.0, None)
    other = await house.quote(replace(named, body_hash="another"))
    assert isinstance(other.refusal, errors.IdempotencyKeyReused)
    assert (await house.ask(named)).cache == "replayed"
    house.provider.on_submit = in_turn(Unknown("cut"))
    unconfirmed = replace(named, idempotency="another digest")
    with pytest.raises(errors.UpstreamUnconfirmed) as told:
        await house.ask(unconfirmed)
    assert str((await house.quote(unconfirmed)).refusal) == str(told.value)


async def test_a_hit_whose_picture_is_gone_is_quoted_as_a_miss(house: House) -> None:
    (picture,) = (await house.ask(seed=7)).job.pictures
    await house.blobs.forget(picture.name, 0.0)
    quote = await house.quote(seed=7)
    assert (quote.cache, quote.cost) == ("miss", PRICE)


async def test_what_is_another_s_is_quoted_at_its_price(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(scope='"key"')) as house:
        await house.ask(seed=7)
        assert [(await house.quote(caller=caller, seed=7)).cost for caller in (RED, COLLEAGUE)] == [0, PRICE]


async def test_what_is_no_order_has_no_quote(house: House) -> None:
    with pytest.raises(errors.NotFound):
        await house.quote(model="none")
    with pytest.raises(errors.InvalidRequest):
        await house.quote(size="1x1")


async def test_budgets_are_told_as_they_stand_widest_first(house: House) -> None:
    await house.ask()
    await house.store.set_budgets("key:keyofred", [Budget("total", PRICE)])
    await house.store.set_budgets("team:red", [Budget("month", 3 * PRICE), Budget("day", 2 * PRICE)])
    await house.store.set_budgets("team:blue", [Budget("day", 1)])
    quote = await house.quote()
    assert [(state.scope, state.window, state.spent, state.remaining) for state in quote.budgets[1:]] == [
        ("team:red", "day", PRICE, PRICE),
        ("team:red", "month", PRICE, 2 * PRICE),
        ("key:keyofred", "total", PRICE, 0),
    ]
    assert isinstance(quote.refusal, errors.BudgetSpent)
    assert quote.refusal.message.startswith("key:keyofred: the total budget of $0.0085 is spent")


async def test_the_wait_is_that_for_a_turn_and_for_the_images(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        leg = house.quoting._legs["empiriolabs"]
        order = (await house.quote()).order
        for _ in range(20):
            leg.learn(order, 1, 12.0)
        assert (await house.quote()).seconds == pytest.approx(12.0)
        await house.governor.exhausted(100)
        late = (await house.quote()).seconds
        assert late is not None
        assert 100 < late < 150
        assert (await house.quote(a_call(patience=20))).seconds is None


async def test_nobody_waits_for_a_hit_and_the_rest_of_a_job_is_all_that_is_left(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), clock=Calendar()) as house:
        await house.ask(seed=6)
        assert (await house.quote(seed=6)).seconds == 0.0
        order = (await house.quote()).order
        for _ in range(60):
            house.quoting._legs["empiriolabs"].learn(order, 1, 12.0)
        await being_made(house)
        assert (await house.quote(seed=7)).seconds == pytest.approx(12.0, rel=0.05)
        house.clock.skip(9)
        assert (await house.quote(seed=7)).seconds == pytest.approx(3.0, rel=0.05)


async def test_when_an_order_that_stands_in_the_queue_is_made_is_not_known(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        await house.ask(DETACHED, seed=7)
        quote = await house.quote(seed=7)
        assert (quote.cache, quote.seconds, quote.refusal) == ("joined", None, None)


async def test_quotes_by_the_hundred_take_no_place_in_the_queue(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=3) as house:
        for _ in range(100):
            assert (await house.quote()).refusal is None
        assert (await house.ask(a_call(patience=5))).cache == "miss"


async def test_an_edit_is_quoted_by_its_references_of_which_nothing_is_kept(tmp_path: Path, house: House) -> None:
    upload, other = (Upload(Reference(name * 64 + ".png", "png", 1024, 512, 1234), b"") for name in "01")
    before = remains(tmp_path, house)
    quotes = [
        await house.quoting.quote(RED, read({"prompt": "a hat", "seed": 7}, Edit), a_call(), uploads)
        for uploads in ([upload], [upload, other], [upload, replace(other, mask=True)])
    ]
    assert len({quote.fingerprint for quote in quotes}) == 3
    assert [quote.order.width / quote.order.height for quote in quotes] == [2, 2, 2]
    assert remains(tmp_path, house) == before
