"""Random steps of gateways and workers on a queue, beside a model of its rules that a page can hold."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from queues import BATCHES, FITS, LINE, PICTURE, SMALL, Rig, at_work

from gateway.core.job import Picture
from gateway.ports.queue import DELIVERIES, WORKER_LEASE, Ill, Standing

Answer = TypeVar("Answer")
TEAMS = st.sampled_from(["red", "blue"])
WORKERS = st.sampled_from(["gpu-1", "gpu-2"])
STEPS = st.sampled_from([4, 9])


@dataclass
class Row:
    team: str
    steps: int | None
    images: int
    number: int
    deadline: float
    standing: Standing = "queued"
    claim: str | None = None
    until: float = 0
    delivery: int = 0
    cancelled: bool = False
    failure: Ill | None = None
    partials: dict[int, Picture] = field(default_factory=dict)


class QueueMachine(RuleBasedStateMachine):
    """Time goes by in halves of a lease and a little, so that a Redis server's own seconds do not count."""

    #: claims that brought something, of all sequences together
    brought: ClassVar[int] = 0

    def rig(self) -> Rig:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.opened = at_work(self.rig())
        self.here = self.ask(self.opened.__aenter__())
        self.rows: dict[str, Row] = {}
        self.turns: dict[str, int] = {}
        self.turn = self.number = 0
        self.now = 0.0
        #: every claim that anybody ever had on a piece
        self.claims: list[tuple[str, str]] = []

    def ask(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        self.ask(self.opened.__aexit__(None, None, None))
        self.loop.close()

    @rule(
        team=TEAMS,
        steps=STEPS,
        images=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        wanted=st.sampled_from([15, 600, 600]),
    )
    def put(self, team: str, steps: int, images: list[int], wanted: int) -> None:
        order = replace(SMALL, steps=steps)
        for each in images:
            self.number += 1
            piece_id = f"p{self.number}"
            self.rows[piece_id] = Row(team, steps, each, self.number, self.now + wanted)
            for _ in range(2):
                self.ask(self.here.put(piece_id, team=team, order=order, images=each, wanted=wanted))

    @precondition(lambda self: any(row.standing == "queued" for row in self.rows.values()))
    @rule(worker=WORKERS, images=st.integers(1, 4))
    def claim(self, worker: str, images: int) -> None:
        self.tidy()
        expected: list[str] = []
        room, steps = images, None
        while piece_id := self.next(room if expected else None, steps):
            row = self.rows[piece_id]
            self.turn += 1
            self.turns[row.team] = self.turn
            row.standing, row.delivery, row.until = "claimed", row.delivery + 1, self.now + WORKER_LEASE / 1000
            expected.append(piece_id)
            room, steps = room - row.images, row.steps
            if steps is None or room <= 0:
                break
        taken = self.ask(self.here.take(worker, replace(BATCHES, images=images)))
        assert list(taken) == expected
        assert list(self.ask(self.here.take(worker, FITS, self.here.claimed)) if taken else taken) == sorted(
            expected, key=lambda each: self.rows[each].number
        )
        type(self).brought += bool(expected)
        for piece_id in expected:
            self.rows[piece_id].claim = self.here.claimed
            self.claims.append((piece_id, self.here.claimed))

    def next(self, room: int | None, steps: int | None) -> str | None:
        waiting = [
            (self.turns.get(row.team, 0), row.team, row.number, piece_id)
            for piece_id, row in self.rows.items()
            if row.standing == "queued" and (room is None or (row.steps == steps and row.images <= room))
        ]
        return min(waiting)[3] if waiting else None

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(["extend", "finish", "fail", "release"]))
    def speak(self, data: st.DataObject, end: str) -> None:
        """Whoever had it once says something of it now, again and again."""
        piece_id, claim = data.draw(st.sampled_from(self.claims))
        row = self.rows.get(piece_id)
        own = row is not None and row.claim == claim
        live = own and row is not None and row.standing in {"queued", "claimed"}
        for _ in range(2 if end != "release" else 1):
            said = self.ask(self.said(piece_id, claim, end))
            told = own and row is not None and (row.standing, row.failure) in {("finished", None), ("failed", "oom")}
            same = told and row is not None and (row.failure is None) == (end == "finish") and end in {"finish", "fail"}
            held = row is not None and row.standing == "claimed"
            assert said == (live if end != "release" else live and held) or same
            if live and row is not None and said:
                self.apply(row, end)
                live = end == "extend"

    async def said(self, piece_id: str, claim: str, end: str) -> bool:
        queue = self.here.queue
        if end == "extend":
            return await queue.extend(piece_id, claim, 1, 4) is not None
        if end == "finish":
            return await queue.finish(piece_id, claim, [PICTURE], 1.0)
        if end == "fail":
            return await queue.fail(piece_id, claim, "oom", "")
        return await queue.release(piece_id, claim)

    def apply(self, row: Row, end: str) -> None:
        if end == "extend":
            row.standing, row.until = "claimed", self.now + WORKER_LEASE / 1000
        elif end == "finish":
            row.standing = "finished"
        elif end == "fail":
            row.standing, row.failure = "failed", "oom"
        else:
            row.claim, row.delivery = None, row.delivery - 1
            row.standing = "failed" if row.cancelled else "queued"
            row.failure = "cancelled" if row.cancelled else None

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), index=st.integers(0, 2), size=st.integers(1, 9))
    def show(self, data: st.DataObject, index: int, size: int) -> None:
        """Whoever had it once shows what it is becoming."""
        piece_id, claim = data.draw(st.sampled_from(self.claims))
        row, picture = self.rows.get(piece_id), replace(PICTURE, size=size)
        live = row is not None and row.claim == claim and row.standing in {"queued", "claimed"}
        for _ in range(2):
            assert self.ask(self.here.queue.partial(piece_id, claim, index, picture)) == live
        if live and row is not None:
            row.partials[index] = picture

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        piece_id = data.draw(st.sampled_from(list(self.rows)))
        row = self.rows[piece_id]
        assert self.ask(self.here.queue.cancel(piece_id)) == (row.standing == "queued")
        if row.standing == "queued":
            del self.rows[piece_id]
        elif row.standing == "claimed":
            row.cancelled = True

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        piece_id = data.draw(st.sampled_from(list(self.rows)))
        self.ask(self.here.queue.forget(piece_id))
        del self.rows[piece_id]

    @rule(seconds=st.sampled_from([11, 21]))
    def wait(self, seconds: int) -> None:
        self.here.skip(seconds)
        self.now += seconds

    @rule(images=st.integers(1, 4))
    def stall(self, images: int) -> None:
        """One falls silent, and another is given what it had."""
        for worker in ("gpu-1", "gpu-2"):
            self.claim(worker, images)
            self.wait(21 if worker == "gpu-1" else 11)

    @rule()
    def start_again(self) -> None:
        self.ask(self.here.reopen())

    def tidy(self) -> None:
        for row in self.rows.values():
            if row.standing == "claimed" and row.until <= self.now:
                row.steps = None
                lost = row.delivery >= DELIVERIES
                row.failure = "cancelled" if row.cancelled else "lost" if lost else None
                row.standing = "failed" if row.failure else "queued"
        for row in self.rows.values():
            if row.standing == "queued" and row.deadline <= self.now:
                row.standing, row.failure = "failed", "late"

    @invariant()
    def same(self) -> None:
        self.tidy()
        for piece_id, row in self.rows.items():
            became = self.ask(self.here.queue.became(piece_id))
            assert became is not None
            assert (became.standing, became.failure, became.delivery) == (row.standing, row.failure, row.delivery)
            assert became.partials == tuple(row.partials[index] for index in sorted(row.partials))
            assert (became.cancelled, bool(became.pictures)) == (row.cancelled, row.standing == "finished")
        standings = [row.standing for row in self.rows.values()]
        waiting = standings.count("queued")
        depth = self.ask(self.here.queue.depth(LINE))
        assert (depth.waiting, depth.claimed) == (waiting, standings.count("claimed"))
        lines = self.ask(self.here.queue.overview()).lines
        counted = {name: (each.waiting, each.claimed) for name, each in lines.items()}
        assert counted == ({LINE: (depth.waiting, depth.claimed)} if depth.waiting or depth.claimed else {})
        places = [
            self.ask(self.here.queue.position(each)) for each, row in self.rows.items() if row.standing == "queued"
        ]
        assert sorted(place for place in places if place is not None) == list(range(waiting))
        for team in ("red", "blue", "green"):
            assert self.ask(self.here.queue.ahead(LINE, team)) == self.before_new(team)

    def before_new(self, team: str) -> int:
        """How many claims of one piece each bring another before they bring a new one of that team."""
        turns, turn = dict(self.turns), self.turn
        waiting = [(row.team, row.number) for row in self.rows.values() if row.standing == "queued"]
        new = (team, self.number + 1)
        for before in range(len(waiting) + 1):
            first = min([*waiting, new], key=lambda each: (turns.get(each[0], 0), *each))
            if first == new:
                return before
            waiting.remove(first)
            turns[first[0]] = turn = turn + 1
        raise AssertionError(f"none of {waiting} is before {new}")
