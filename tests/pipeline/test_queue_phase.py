"""What the upstream's allowance holds back is told as the queue, and not as our own time."""

from pathlib import Path

from fakes import ScriptedProvider
from house import a_call, open_house

from gateway.core.phases import own


async def test_whoever_waits_for_a_turn_stands_in_the_queue(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=2) as house:
        await house.ask()
        second = a_call()
        second.marks.enter("admit", house.clock.monotonic())
        await house.ask(second)
        spent = second.marks.seconds(house.clock.monotonic())
    assert spent["queue"] > 30  # of the minute in which one submit and its poll were all there was
    assert spent["queue"] > own(spent)
