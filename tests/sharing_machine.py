"""The random steps of `ledger_machine`, and those of orders that are equal: some follow others, are lost, used and evicted."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from ledger_machine import KEYS, Money, said
from ledger_model import TEAMS
from samples import DAY, PRICE, a_job, a_picture

from gateway.core.job import LIVE, Entry, Source, State, Status


class Sharing(Money):
    @rule(
        key=KEYS,
        attempts=st.integers(1, 2),
        days=st.none() | st.integers(0, 20),
        source=st.sampled_from(["miss", "miss", "bypass"]),
        whole_job=st.booleans(),
    )
    def reserve_or_follow(self, key: str, attempts: int, days: int | None, source: Source, whole_job: bool) -> None:
        """With `days`, what was made within them is good enough. Half of what is made is settled at once."""
        entry, since = Entry("everyone", f"{attempts}"), None if days is None else self.now - days * DAY
        number, maker = next(self.numbers), self.makers[-1]
        job = a_job(
            number,
            held=7,
            attempts=attempts,
            at=self.now,
            key=key,
            team=TEAMS[key],
            maker=maker,
            source=source,
            entry=entry,
        )
        expected: object = None if since is None else self.model.equal(entry, since)
        follows = expected is not None
        if expected is None:
            expected = self.model.full(key, self.now, 7 * attempts)
        answer = said(self.ask(self.store.reserve(job, since=since)))
        assert answer == expected
        if follows:
            leader, how = self.model.equal(entry, since or 0) or ("", source)
            self.model.follow(job, leader, how)
        elif expected is None:
            self.model.reserve(job, since)
            for attempt in job.attempts if whole_job else ():
                assert self.model.end(attempt.id, self.done(attempt.id), 3, pictured=True)

    def done(self, name: str) -> State:
        assert self.ask(self.store.settle(name, [a_picture()], 3, self.now))
        return State.DONE

    @precondition(lambda self: self.ended())
    @rule(data=st.data())
    def lose_twice(self, data: st.DataObject) -> None:
        job = self.ask(self.store.job(data.draw(st.sampled_from(self.ended()))))
        assert job is not None
        for _ in range(2):
            self.ask(self.store.lose(job))
        self.model.lose(job.id)

    def ended(self) -> list[str]:
        return [job_id for job_id in self.model.jobs if LIVE.isdisjoint(self.model.states(job_id))]

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(list(self.model.jobs)))
        self.ask(self.store.used(job_id, self.now))
        self.model.use(job_id, self.now)

    @rule(days=st.integers(0, 60), pictures=st.integers(0, 3))
    def evict(self, days: int, pictures: int) -> None:
        size, before = a_picture().size, self.now - days * DAY
        assert self.ask(self.store.evict(before, pictures * size)) == self.model.evict(before, pictures) * size

    @invariant()
    def same_jobs(self) -> None:
        for status in Status:
            listed = self.ask(self.store.list_jobs(status=status, limit=999))
            named = {job_id for job_id in self.model.jobs if self.model.status(job_id) is status}
            assert {job.id for job in listed} == named
            assert {job.status for job in listed} <= {status}
        entries = self.ask(self.store.cached(99))
        assert {each.entry: each.job_id for each in entries} == self.model.entries
        assert {each.job_id: each.used_at for each in entries}.items() <= self.model.used.items()

    @invariant()
    def same_savings(self) -> None:
        images: Counter[str] = Counter()
        for row in self.ask(self.store.saved("")):
            assert row.amount == row.images * PRICE
            images[row.team] += row.images
        assert +images == +self.model.saved
