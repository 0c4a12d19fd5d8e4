"""The pipeline over an upstream in memory, on the real store and real files; a second one goes on where a first stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from fakes import FastClock, RememberingTelemetry, ScriptedProvider, at_rest, until

from gateway.core.ask import Edit, Generation, read
from gateway.core.job import Job, Picture
from gateway.core.money import MICROS, Budget
from gateway.core.order import Upload
from gateway.core.policy import Policies, parse
from gateway.pipeline.admission import Caller
from gateway.pipeline.bells import Ears
from gateway.pipeline.call import Call
from gateway.pipeline.crew import Crew
from gateway.pipeline.flights import Flights
from gateway.pipeline.generate import Answer, Generate
from gateway.pipeline.governor import Governor
from gateway.pipeline.in_force import InForce
from gateway.pipeline.jobs import TeamJobs
from gateway.pipeline.leg import Leg
from gateway.pipeline.quoting import Quote, Quoting
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.routing import Routing
from gateway.pipeline.sweeping import Sweeping
from gateway.ports import Blobs, Provider
from gateway.stores.blobs import open_blobs
from gateway.stores.sqlite.allowance import LocalAllowance
from gateway.stores.sqlite.store import SqliteStore, open_store
from gateway.wiring.pipeline import Ground, build_pipeline
from gateway.wiring.policy_files import packaged_policies, policy_texts

RED = Caller("keyofred", "red")
#: seconds
URL_TTL = 86_400


@dataclass(frozen=True, slots=True)
class House:
    """A gateway without its edge. The whole installation may spend $10. `provider` and `governor` are of its first leg."""

    provider: ScriptedProvider
    clock: FastClock
    store: SqliteStore
    blobs: Blobs
    telemetry: RememberingTelemetry
    crew: Crew
    flights: Flights
    governor: Governor
    generate: Generate
    team_jobs: TeamJobs
    recovery: Recovery
    sweeping: Sweeping
    quoting: Quoting
    legs: dict[str, Leg]
    routing: Routing

    async def ask(
        self,
        call: Call | None = None,
        *,
        caller: Caller = RED,
        gone: asyncio.Future[None] | None = None,
        **fields: object,
    ) -> Answer:
        """One request for a picture of a cat, from its ask to its answer. Raises any GatewayError."""
        ask = read({"prompt": "a cat", **fields}, Generation)
        return await self.generate.finish(await self.generate.begin(caller, ask, call or a_call()), gone)

    async def quote(self, call: Call | None = None, *, caller: Caller = RED, **fields: object) -> Quote:
        """What `ask` would cost. Raises any GatewayError."""
        return await self.quoting.quote(caller, read({"prompt": "a cat", **fields}, Generation), call or a_call())

    async def edit(self, *uploads: Upload, call: Call | None = None, **fields: object) -> Answer:
        """One request for a cat with a hat that builds on these images. Raises any GatewayError."""
        ask = read({"prompt": "a hat", "size": "512x512", **fields}, Edit)
        return await self.generate.finish(await self.generate.begin(RED, ask, call or a_call(), uploads))

    async def job(self, job_id: str | None = None) -> Job:
        """That job as the store has it, or the newest one."""
        jobs = await self.store.list_jobs(limit=100)
        return next(job for job in jobs if job_id in {None, job.id})

    async def books(self) -> tuple[int, int]:
        """Micro-dollars spent and held by the whole installation."""
        (state,) = await self.store.budgets(["org"], self.clock.now())
        return state.spent, state.held

    async def seen(self, picture: Picture) -> bytes:
        return b"".join([piece async for piece in self.blobs.read(picture.name, 3 * 1024)])

    async def landed(self, job_id: str) -> Job:
        """The job once no task works on it any more."""
        await until(lambda: not any(job_id in task.get_name() for task in self.crew._tasks))
        return await self.job(job_id)

    def clients(self) -> int:
        """How many wait for a job now."""
        return sum(len(flight.waiters) for flight in self.flights._flights.values())

    def next_minute(self) -> None:
        """Whatever the account's requests were spent on lies more than a minute back, and who waits for one is told."""
        self.clock.skip(600)
        self.governor.drop("nobody's job")

    async def crash(self) -> None:
        """As kill -9 leaves it: no task takes another step, and only the store and the upstream remember."""
        await at_rest()  # a task that never began would complain of that
        for task in self.crew._tasks:
            task.cancel()


@asynccontextmanager
async def open_house(
    directory: Path,
    *providers: ScriptedProvider | Callable[[SqliteStore, FastClock], Provider],
    clock: FastClock | None = None,
    limit: int = 0,
    policies: Policies | None = None,
    account: bool = True,
) -> AsyncIterator[House]:
    """`limit`: each provider's requests a minute; `account=False`: no provider is configured. Ends as SIGTERM does.

    A provider that stands on the store is given as what makes it of that.
    """
    clock, policies = clock or FastClock(), policies or packaged()
    telemetry = RememberingTelemetry()
    async with open_store(directory / "imagegate.db") as store, open_blobs(directory / "pictures") as blobs:
        crew = Crew(clock, telemetry)
        own = [each if isinstance(each, ScriptedProvider) else each(store, clock) for each in providers]
        provider = next(each for each in own if isinstance(each, ScriptedProvider))
        governors = {each.name: Governor(each.name, limit, LocalAllowance(clock, limit), crew, clock) for each in own}
        ears = Ears(store.bells(), crew, clock)
        ears.watch()
        in_force = InForce(policies)
        ground = Ground(
            replica=token_hex(8),
            policies=in_force,
            clock=clock,
            store=store,
            blobs=blobs,
            crew=crew,
            ears=ears,
            legs={each.name: Leg(each, governors[each.name], clock, telemetry) for each in own if account},
            telemetry=telemetry,
            url_ttl=URL_TTL,
        )
        pipeline = build_pipeline(ground)
        recipe = pipeline.recipe()
        await pipeline.sweeping.claim()
        house = House(
            provider=provider,
            clock=clock,
            store=store,
            blobs=blobs,
            telemetry=telemetry,
            crew=crew,
            flights=pipeline.flights,
            governor=governors[provider.name],
            generate=recipe.generate,
            team_jobs=pipeline.team_jobs,
            recovery=pipeline.recovery,
            sweeping=pipeline.sweeping,
            quoting=recipe.quoting,
            legs=ground.legs,
            routing=recipe.generate._routing,
        )
        await store.set_budgets("org", [Budget("total", 10 * MICROS)])
        try:
            yield house
        finally:
            await crew.stop(0.2)
            assert await store.drift() == 0
            assert telemetry.failures == []


def routed(*legs: str, servers: Sequence[str] = (), any_engine: bool = False) -> Policies:
    """The policies as shipped, with another route: `routed('{ provider = "vllm", price = 0.01 }', '"empiriolabs"')`."""
    texts = dict(policy_texts(packaged_policies()))
    lines = ['default = "flux-2-klein-4b"', "[[routes]]", 'model = "flux-2-klein-4b"']
    lines += [f"legs = [{', '.join(legs)}]", f"any_engine = {'true' if any_engine else 'false'}"]
    for name in servers:
        lines += ["[[servers]]", f'name = "{name}"', f'url = "http://{name}.internal:8000"']
    return parse({**texts, "routes.toml": "\n".join(lines)})


def packaged(**changes: str) -> Policies:
    """The policies as shipped, with some of their lines changed: `outcome='"release"'`."""
    texts = policy_texts(packaged_policies())
    return parse({name: "\n".join(_changed(text, changes)) for name, text in texts.items()})


def _changed(text: str, changes: dict[str, str]) -> Iterator[str]:
    for line in text.splitlines():
        name = line.partition(" = ")[0]
        yield f"{name} = {changes[name]}" if name in changes else line


def a_call(
    *,
    patience: float = 600,
    retry: int = 0,
    body: str = "body",
    wait: float | None = None,
    respond_async: bool = False,
) -> Call:
    return Call(patience, body, retry, prefer_wait=wait, respond_async=respond_async)
