"""What ledger and journal are to say, in a hundred lines: all that was ever held is kept, and every sum is made anew."""

from collections import Counter
from dataclasses import dataclass, field, replace

from gateway.core.job import HOLDING, LIVE, Entry, Job, Source, State, Status
from gateway.core.money import WINDOWS, Window, period
from gateway.ports import Spare, Unconfirmed

TEAMS = {"key1": "red", "key2": "red", "key3": "blue"}

#: What may go before each step of an attempt, and what comes after it.
STEPS = {
    "submitting": ({State.RESERVED}, State.SUBMITTING),
    "submitted": ({State.SUBMITTING, State.UNCONFIRMED}, State.SUBMITTED),
    "unconfirmed": ({State.SUBMITTING, State.SUBMITTED}, State.UNCONFIRMED),
}


def scopes(key: str) -> tuple[str, str, str]:
    return "org", f"team:{TEAMS[key]}", f"key:{key}"


@dataclass
class Hold:
    """What an attempt holds or has spent, in the windows of `at`. An adjustment is one that is done from the first."""

    job: str
    key: str
    at: int
    held: int
    state: State = State.RESERVED
    spent: int = 0
    pictured: bool = False
    #: the upstream's id is known
    named: bool = False
    #: when its last submit left
    submitted_at: int | None = None


@dataclass
class Model:
    holds: dict[str, Hold] = field(default_factory=dict)
    #: in the order in which they were reserved, without those that are forgotten
    jobs: dict[str, Job] = field(default_factory=dict)
    #: which of these answers for equal orders
    entries: dict[Entry, str] = field(default_factory=dict)
    #: when each of these was last used
    used: dict[str, int] = field(default_factory=dict)
    #: images that teams did not pay
    saved: Counter[str] = field(default_factory=Counter)
    budgets: dict[tuple[str, Window], int] = field(default_factory=dict)
    #: of each key the digest of its secret, and of the one before
    digests: dict[str, tuple[bytes, bytes | None]] = field(default_factory=dict)

    def sums(self, scope: str, window: Window, at: int) -> tuple[int, int]:
        counted = [
            hold
            for hold in self.holds.values()
            if scope in scopes(hold.key) and period(window, hold.at) == period(window, at)
        ]
        return sum(hold.spent for hold in counted), sum(hold.held for hold in counted if hold.state in HOLDING)

    def full(self, key: str, at: int, asked: int) -> tuple[str, Window] | None:
        """The first budget that is spent; when none is, the first that is held. There is always room for nothing."""
        if not asked:
            return None
        named = [(scope, window) for scope in scopes(key) for window in WINDOWS if (scope, window) in self.budgets]
        sums = {name: self.sums(*name, at) for name in named}
        spent = [name for name in named if sums[name][0] + asked > self.budgets[name]]
        held = [name for name in named if sum(sums[name]) + asked > self.budgets[name]]
        return next(iter(spent + held), None)

    def flying(self, scope: str) -> int:
        return sum(hold.state in LIVE and scope in scopes(hold.key) for hold in self.holds.values())

    def reserve(self, job: Job, since: int | None = None) -> None:
        if job.entry and job.source != "bypass" and self.equal(job.entry, since or 0) is None:
            self.entries[job.entry] = job.id
        self.jobs[job.id], self.used[job.id] = job, job.created_at
        for attempt in job.attempts:
            self.holds[attempt.id] = Hold(job.id, job.key_id, attempt.reserved_at, attempt.held)

    def equal(self, entry: Entry, since: int) -> tuple[str, Source] | None:
        """The job that such an order would follow, and as what."""
        job_id = self.entries.get(entry)
        if job_id is None:
            return None
        if self.status(job_id) in {Status.QUEUED, Status.PROCESSING}:
            return job_id, "joined"
        return (job_id, "hit") if self.whole(job_id) and self.jobs[job_id].created_at >= since else None

    def follow(self, job: Job, leader: str, source: Source) -> None:
        self.jobs[job.id] = replace(job, leader=leader, source=source)
        self.used[job.id] = job.created_at
        self.used[leader] = max(self.used[leader], job.created_at)
        self.saved[job.team] += sum(hold.pictured for hold in self.parts(job.id))

    def lose(self, job_id: str) -> None:
        leader = self.jobs[job_id].flight
        self.leave(leader)
        holds = State.UNCONFIRMED in self.states(leader)
        self.delete([job.id for job in self.followers(leader)] + ([] if holds else [leader]))

    def leave(self, job_id: str) -> None:
        """The entry that names it is gone."""
        self.entries = {entry: named for entry, named in self.entries.items() if named != job_id}

    def use(self, job_id: str, now: int) -> None:
        if self.used[job_id] <= now - 3_600_000:
            for each in (job_id, self.jobs[job_id].flight):
                self.used[each] = max(self.used[each], now)

    def followers(self, job_id: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.leader == job_id]

    def whole(self, job_id: str) -> bool:
        return self.status(job_id) is Status.COMPLETED and all(hold.pictured for hold in self.parts(job_id))

    def status(self, job_id: str) -> Status:
        states = set(self.states(job_id))
        if states & LIVE:
            return Status.QUEUED if states == {State.RESERVED} else Status.PROCESSING
        return Status.COMPLETED if any(hold.pictured for hold in self.parts(job_id)) else Status.FAILED

    def failed(self, job_id: str) -> bool:
        """For good: nothing of it is unconfirmed."""
        return HOLDING.isdisjoint(self.states(job_id)) and self.status(job_id) is Status.FAILED

    def end(self, name: str, state: State, cost: int, *, pictured: bool = False) -> bool:
        hold = self.holds[name]
        if hold.state not in HOLDING:
            return False
        hold.state, hold.spent, hold.pictured = state, cost, pictured
        if pictured and hold.job in self.jobs:
            self.saved.update(job.team for job in self.followers(hold.job))
            job = self.jobs[hold.job]
            if job.entry and job.source == "bypass" and self.whole(job.id):
                self.entries[job.entry] = job.id
        elif hold.job in self.jobs and self.failed(hold.job):
            self.leave(hold.job)
        return True

    def step(self, name: str, step: str) -> bool:
        hold = self.holds[name]
        before, after = STEPS[step]
        late = step == "submitted" and hold.state is State.UNCONFIRMED and hold.named
        if hold.state not in before or late:
            return False
        hold.state, hold.named = after, hold.named or step == "submitted"
        return True

    def submitting(self, name: str, moment: int, maker: str) -> bool:
        hold = self.holds[name]
        if self.jobs[hold.job].maker != maker or not self.step(name, "submitting"):
            return False
        hold.submitted_at = moment
        return True

    def unsubmitted(self, name: str, submitted_at: int) -> bool:
        """Who submitted then, slow or not, knows that nothing was taken."""
        hold = self.holds[name]
        if hold.submitted_at == submitted_at and not hold.named:
            if hold.state is State.SUBMITTING:
                hold.state, hold.submitted_at = State.RESERVED, None
            elif hold.state is State.UNCONFIRMED:
                self.end(name, State.FAILED, 0)
        return hold.state is State.RESERVED

    def unconfirmed_as(self, name: str, *, named: bool) -> bool:
        """By one who knows an upstream's id, or none."""
        hold = self.holds[name]
        if hold.named == named:
            self.step(name, "unconfirmed")
        return hold.named == named and hold.state is State.UNCONFIRMED

    def release_unsent(self, name: str, maker: str) -> bool:
        hold = self.holds[name]
        if hold.state is not State.RESERVED or self.jobs[hold.job].maker != maker:
            return False
        return self.end(name, State.FAILED, 0)

    def adjust(self, name: str, key: str, at: int, amount: int) -> int | None:
        least = min(self.sums(scope, window, at)[0] for scope in scopes(key) for window in WINDOWS)
        if least + amount < 0:
            return least
        self.holds[name] = Hold("", key, at, 0, State.DONE, amount)
        return None

    def parts(self, job_id: str) -> list[Hold]:
        """Its own, or those of the job that it follows."""
        return [hold for hold in self.holds.values() if hold.job == self.jobs[job_id].flight]

    def states(self, job_id: str) -> list[State]:
        return [hold.state for hold in self.parts(job_id)]

    def cancellable(self, job_id: str, unless: Spare | None) -> bool:
        spared = {"promised": self.jobs[job_id].detached, "followed": bool(self.followers(job_id))}
        free = unless is None or not spared[unless]
        return free and not self.jobs[job_id].leader and set(self.states(job_id)) == {State.RESERVED}

    def take_over(self, maker: str) -> list[str]:
        taken = [
            job_id for job_id, job in self.jobs.items() if not job.leader and LIVE.intersection(self.states(job_id))
        ]
        self.jobs |= {job_id: replace(self.jobs[job_id], maker=maker) for job_id in taken}
        return taken

    def idle(self, unused_since: int) -> list[str]:
        """What follows another holds no money itself."""
        return [
            job.id
            for job in self.jobs.values()
            if self.used[job.id] < unused_since and (LIVE if job.leader else HOLDING).isdisjoint(self.states(job.id))
        ]

    def forget(self, unused_since: int) -> int:
        gone = self.idle(unused_since)
        self.delete(gone)
        return len(gone)

    def evict(self, unused_since: int, pictures: int) -> int:
        freed = 0
        for job_id in sorted(self.idle(unused_since), key=lambda job_id: self.used[job_id]):
            own = sum(hold.pictured for hold in self.holds.values() if hold.job == job_id)
            if own and freed < pictures:
                self.delete([job_id, *(job.id for job in self.followers(job_id))])
                freed += own
        return freed

    def delete(self, gone: list[str]) -> None:
        for job_id in gone:
            del self.jobs[job_id]
        self.entries = {entry: job_id for entry, job_id in self.entries.items() if job_id in self.jobs}

    def unconfirmed(self) -> Unconfirmed:
        found = [hold for hold in self.holds.values() if hold.state is State.UNCONFIRMED]
        return Unconfirmed(len({hold.job for hold in found}), sum(hold.held for hold in found))

    def rows(self) -> list[tuple[str, str]]:
        """Attempt and kind of every ledger row that there is to be."""
        ends = {State.DONE: "settle", State.FAILED: "release"}
        kinds = [
            (name, ["reserve", ends.get(hold.state)] if hold.job else ["adjust"]) for name, hold in self.holds.items()
        ]
        return sorted((name, kind) for name, each in kinds for kind in each if kind)
