"""What the queue costs a Redis on which everything else waits meanwhile, and what it leaves there."""

from dataclasses import replace

from orders import A_CAT
from queues import FITS, RedisRig, at_work
from redis_server import RedisServer

from gateway.core.order import Reference

EDIT = replace(A_CAT, operation="edit", references=(Reference("a.png", "png", 64, 64, 9),))
WAITING = [f"e{number}" for number in range(200)]


def commands(server: RedisServer) -> int:
    """Done since the last look, those of scripts among them."""
    done = sum(int(each["calls"]) for each in server.call("INFO", "commandstats").values())
    server.call("CONFIG", "RESETSTAT")
    return done


async def test_a_claim_does_not_go_through_all_that_waits_for_others(redis_server: RedisServer) -> None:
    async with at_work(RedisRig(redis_server)) as rig:
        await rig.put(*WAITING, order=EDIT)
        await rig.put("g", team="blue")
        commands(redis_server)
        assert await rig.take() == ["g"]
        assert await rig.take() == []
        assert commands(redis_server) < len(WAITING)
        edits = replace(FITS, operations=("edit",), most_references=1)
        assert await rig.take(fits=edits) == WAITING[:1]


async def test_of_several_kinds_that_fit_the_oldest_goes_first(redis_server: RedisServer) -> None:
    async with at_work(RedisRig(redis_server)) as rig:
        await rig.put("edit", order=EDIT)
        for number, side in enumerate((256, 128, 512, 128, 256)):
            await rig.put(f"{number}", order=replace(A_CAT, width=side, height=side))
        assert [await rig.take() for _ in range(6)] == [["0"], ["1"], ["2"], ["3"], ["4"], []]


async def test_a_queue_that_is_empty_again_leaves_no_ranks(redis_server: RedisServer) -> None:
    async with at_work(RedisRig(redis_server)) as rig:
        await rig.put("a", "b", order=EDIT)
        await rig.put("c", "d", "e")
        piece_id, claim = await rig.begin()
        assert await rig.queue.finish(piece_id, claim, (), 1.0)
        for each in ("a", "b", "c", "d", "e"):
            await rig.queue.forget(each)
    left = {
        name.decode().removeprefix("{imagegate}:queue:").partition(":")[0]
        for name in redis_server.call("KEYS", "*queue:*")
    }
    assert left <= {"seq", "turn", "turns", "pictured", "claim"}
