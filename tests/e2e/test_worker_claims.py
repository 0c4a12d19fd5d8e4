"""What workers claim, over real HTTP and both stores: at once where there is work, as soon as it comes where there is none."""

import asyncio
import re
from dataclasses import replace

import msgspec
from orders import A_CAT
from processes import ADMIN_KEY
from rig import bearer
from worker_stand import LINE, SETTING, SMALL, Stand, a_claim, a_worker

from gateway.core import worker_messages as wire
from gateway.core.order import Reference
from gateway.core.worker_messages import Drain, Held, Progress, Progressed
from gateway.ports.queue import WORKER_LEASE

pytest_plugins = ["worker_stands"]


async def test_a_piece_comes_whole_with_its_own_seeds_and_where_its_images_are(here: Stand) -> None:
    reference = Reference(f"{'a' * 64}.png", "png", 512, 512, 99)
    order = replace(SMALL, operation="edit", seed=2**32 - 1, references=(reference,), prompt="a hat")
    await here.put("job_a.0", order=order, images=2, partials=3)
    presence = msgspec.structs.replace(a_worker(), operations=("generation", "edit"))
    claimed = await here.claim(a_claim(presence=presence))
    assert WORKER_LEASE - 2000 < claimed.lease_ms <= WORKER_LEASE
    (work,) = claimed.work
    assert (work.attempt, work.delivery, work.partials, work.prompt) == ("job_a.0", 1, 3, "a hat")
    assert work.seeds == (2**32 - 1, 0)
    assert work.references == (f"/worker/v1/references/{reference.name}",)
    assert (work.model, work.width, work.height, work.codec, work.mask) == (A_CAT.model, 256, 256, "png", None)
    assert 590_000 < work.wanted_ms <= 600_000


async def test_a_claim_that_waits_has_its_work_as_soon_as_it_comes(here: Stand) -> None:
    polls = [await here.polling(a_claim(f"gpu-{number}", wait=30)) for number in range(2)]
    await asyncio.sleep(0.1)  # until both have looked and wait; were they to look only now, the test would pass as well
    loop = asyncio.get_running_loop()
    for expected in ("a", "b"):
        began = loop.time()
        await here.put(expected)
        done, _ = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        assert loop.time() - began < 0.5  # a look without a bell comes every 2 s
        (first,) = done
        assert [work.attempt for work in first.result().work] == [expected]
        polls.remove(first)


async def test_teams_take_turns_whichever_worker_claims(here: Stand) -> None:
    await here.put("a1", "a2", "a3", team="red")
    await here.put("b1", team="blue")
    had = [(await here.begin(worker))[0] for worker in ("gpu-1", "gpu-2", "gpu-1", "gpu-2")]
    assert sorted(had[:2]) == ["a1", "b1"]
    assert had[2:] == ["a2", "a3"]


async def test_a_claim_said_again_finds_the_same_work(here: Stand) -> None:
    await here.put("a", "b")
    asked = a_claim()
    both = [[work.attempt for work in (await here.claim(asked)).work] for _ in range(2)]
    assert both == [["a"], ["a"]]


async def test_without_work_a_claim_ends_when_its_time_is_over(here: Stand) -> None:
    began = asyncio.get_running_loop().time()
    assert (await here.claim(a_claim(wait=0.2))).work == ()
    assert 0.2 <= asyncio.get_running_loop().time() - began < 1.5


async def test_a_worker_has_only_the_line_that_it_says_it_serves(here: Stand) -> None:
    await here.put("a")
    assert (await here.claim(a_claim(presence=a_worker(engine="diffusers")))).work == ()
    assert (await here.claim(a_claim(presence=a_worker(draining=True)))).work == ()
    assert (await here.queue.depth(LINE)).waiting == 1


async def test_what_a_worker_that_left_had_claimed_is_not_lost(here: Stand) -> None:
    """Its connection is cut while it waits: it takes nothing with it."""
    poll = await here.polling(a_claim("gone", wait=30))
    poll.cancel()
    await asyncio.wait([poll])
    await here.put("a")
    (work,) = (await here.claim(a_claim("stays", wait=5))).work
    assert (work.attempt, work.delivery) == ("a", 1)


async def test_what_is_drained_can_be_claimed_at_once_and_was_no_delivery(here: Stand) -> None:
    await here.put("a")
    attempt, claim = await here.begin("leaves")
    poll = await here.polling(a_claim("stays", wait=30))
    given_back = (Held(attempt, claim), Held(attempt, "anothers"), Held("never", "was"))
    assert (await here.say("drain", Drain(worker="leaves", given_back=given_back))).status_code == 204
    (work,) = (await asyncio.wait_for(poll, 1.0)).work
    assert (work.attempt, work.delivery) == ("a", 1)
    assert [each.worker for each in await here.queue.workers()] == ["stays"]


async def test_presence_is_seen_by_administrators(here: Stand) -> None:
    assert (await here.say("presence", a_worker())).status_code == 204
    assert await here.administration.workers.live() == [a_worker()]


async def test_progress_extends_the_lease_of_its_owner_alone(here: Stand) -> None:
    await here.put("a")
    attempt, claim = await here.begin()
    told = []
    for by in (claim, "anothers"):
        answer = await here.say("progress", Progress(attempt=attempt, claim=by, step=2, of=4))
        told.append(wire.decode(answer.content, Progressed))
    assert WORKER_LEASE - 2000 < told[0].lease_ms <= WORKER_LEASE
    assert told[1] == Progressed(lease_ms=0)
    became = await here.queue.became("a")
    assert became is not None
    assert (became.standing, became.step, became.of) == ("claimed", 2, 4)
    assert await here.queue.cancel("a") is False
    answer = await here.say("progress", Progress(attempt=attempt, claim=claim, step=9, of=4))
    became = await here.queue.became("a")
    assert became is not None
    assert (became.step, became.of) == (4, 4), "nobody is told of more than the whole"
    assert wire.decode(answer.content, Progressed).cancelled


async def test_a_message_of_another_version_is_refused_in_words(here: Stand) -> None:
    newer = msgspec.structs.replace(a_worker(), version=2)
    answer = await here.say("presence", newer)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_value")
    assert "worker protocol 2" in error["message"]
    garbled = await here.client.post(f"{here.url}/worker/v1/claim", content=b"\xff{", headers=bearer(SETTING))
    assert (garbled.status_code, garbled.json()["error"]["code"]) == (400, "invalid_value")


async def test_a_token_works_until_it_is_revoked_and_opens_nothing_else(here: Stand) -> None:
    token, secret = await here.administration.workers.create_token("box")
    assert (await here.say("presence", a_worker(), secret)).status_code == 204
    for path in ("/v1/models", "/admin/v1/workers"):
        assert (await here.client.get(here.url + path, headers=bearer(secret))).status_code in {401, 404}
    made = await here.client.post(f"{here.url}/v1/images/generations", json={"prompt": "a cat"}, headers=bearer(secret))
    assert (made.status_code, made.json()["error"]["code"]) == (401, "invalid_api_key")
    await here.administration.workers.revoke_token(token.id)
    _, team_key = await here.administration.create_key("red", "", [])
    for refused in (secret, team_key, ADMIN_KEY, secret[:-1]):
        answer = await here.say("claim", a_claim(), refused)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_empty_claims_and_presence_are_no_lines_of_the_log_and_waiting_is_no_duration(here: Stand) -> None:
    """An agent says something every few seconds, day and night."""
    assert (await here.claim(a_claim(wait=0.3))).work == ()
    text = (await here.client.get(f"{here.url}/metrics")).text
    asked = re.search(r'_requests_total\{[^}]*route="worker.claim"[^}]*\} (\S+)', text)
    assert asked is not None
    assert float(asked[1]) == 1
    assert not re.search(r'_duration_seconds_count\{[^}]*route="worker.claim"', text)
