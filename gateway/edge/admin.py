"""/admin/v1: management over HTTP, for the command line and for scripts. Open to the local admin socket and to the
holder of the admin key; otherwise it is not there."""

import hmac
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Request, Router, get, post, put
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.types import Guard

from gateway.core.errors import InvalidApiKey
from gateway.core.job import Job
from gateway.edge.admin_answers import BudgetShape, Listing, ScopeShape
from gateway.edge.admin_asks import (
    JobsQuery,
    LogLevel,
    NewBudgets,
    Resolution,
)
from gateway.edge.admin_books import adjust_spend, list_ledger, list_rates, report_spend, show_drift
from gateway.edge.admin_cache import purge_cache, show_cache
from gateway.edge.admin_job_answers import JobShape
from gateway.edge.admin_keys import change_key, create_key, list_keys, revoke_key, rotate_key, show_key
from gateway.edge.admin_teams import change_team, create_team, list_teams, show_team
from gateway.edge.admin_upkeep import Care, backup, doctor
from gateway.edge.admin_workers import create_worker_token, list_workers, revoke_worker_token
from gateway.pipeline.administration import Administration

_Call = Request[Any, Any, Any]
_SetLogLevel = Callable[[str], None]


def admin_routes(
    administration: Administration, care: Care, *, admin_key: str | None, set_log_level: Callable[[str], None]
) -> Router:
    """The routes, guarded. Without `admin_key` they answer over TCP as any path that does not exist."""
    return Router(
        path="/admin/v1",
        route_handlers=[
            create_team,
            list_teams,
            show_team,
            change_team,
            create_key,
            list_keys,
            show_key,
            change_key,
            rotate_key,
            revoke_key,
            put_budgets,
            list_budgets,
            report_spend,
            adjust_spend,
            list_ledger,
            show_drift,
            list_rates,
            list_jobs,
            show_job,
            resolve_job,
            list_workers,
            create_worker_token,
            revoke_worker_token,
            show_cache,
            purge_cache,
            put_log_level,
            backup,
            doctor,
        ],
        guards=[_guard(admin_key)],
        dependencies={
            "administration": Provide(lambda: administration, sync_to_thread=False),
            "care": Provide(lambda: care, sync_to_thread=False),
            "set_log_level": Provide(lambda: set_log_level, sync_to_thread=False),
        },
        include_in_schema=False,
    )


@put("/budgets")
async def put_budgets(request: _Call, administration: NamedDependency[Administration]) -> ScopeShape:
    asked = NewBudgets.from_json(await request.body())
    states = await administration.set_budgets(asked.scope, asked.budgets)
    return ScopeShape(asked.scope, [BudgetShape.of(state) for state in states])


@get("/budgets")
async def list_budgets(administration: NamedDependency[Administration]) -> Listing[BudgetShape]:
    return Listing([BudgetShape.of(state) for state in await administration.budgets()])


@get("/jobs")
async def list_jobs(request: _Call, administration: NamedDependency[Administration]) -> Listing[JobShape]:
    asked = JobsQuery.from_query(request.query_params)
    jobs: Sequence[Job]
    if asked.status == "unconfirmed":
        found = await administration.unconfirmed()
        jobs = [job for job in found if asked.team in {None, job.team}][: asked.limit]
    else:
        jobs = await administration.jobs(status=asked.status, team=asked.team, limit=asked.limit, after=asked.after)
    return Listing([JobShape.of(job) for job in jobs])


@get("/jobs/{job_id:str}")
async def show_job(job_id: FromPath[str], administration: NamedDependency[Administration]) -> JobShape:
    return JobShape.of_story(await administration.story(job_id))


@post("/jobs/{job_id:str}/resolve", status_code=200)
async def resolve_job(
    request: _Call, job_id: FromPath[str], administration: NamedDependency[Administration]
) -> JobShape:
    asked = Resolution.from_json(await request.body())
    await administration.resolve(job_id, asked.outcome, asked.attempt)
    return JobShape.of_story(await administration.story(job_id))


@put("/log-level")
async def put_log_level(request: _Call, set_log_level: NamedDependency[_SetLogLevel]) -> LogLevel:
    asked = LogLevel.from_json(await request.body())
    set_log_level(asked.level)
    return asked


def _guard(admin_key: str | None) -> Guard:
    expected = None if admin_key is None else admin_key.encode()

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        if connection.scope["state"].get("admin_socket") is True:
            return
        if expected is None:
            raise NotFoundException
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), expected):
            raise InvalidApiKey("the admin key is missing or wrong")

    return guard
