"""GET /v1/jobs, GET and DELETE /v1/jobs/{id}: a team's jobs, in EmpirioLabs' shape."""

from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ASGIApp

from gateway.core.errors import InvalidRequest
from gateway.core.job import Job
from gateway.edge.exchange import Call, of
from gateway.edge.front import Front
from gateway.pipeline.admission import Caller
from gateway.pipeline.jobs import TeamJobs

_MOST = 100
_DEFAULT = 20


@get("/v1/jobs", name="jobs.list")
async def list_jobs(request: Call, front: NamedDependency[Front], team_jobs: NamedDependency[TeamJobs]) -> ASGIApp:
    """The team's jobs, newest first; `after` is the last id of the page before."""
    caller = await front.identify(request)
    limit = _limit(request.query_params.get("limit"))
    jobs = await team_jobs.list(caller, limit=limit + 1, after=request.query_params.get("after"))
    page = [(job, team_jobs.progress(job)) for job in jobs[:limit]]
    return front.renderer.job_list(page, more=len(jobs) > limit)


@get("/v1/jobs/{job_id:str}", name="jobs.get")
async def get_job(
    request: Call, job_id: FromPath[str], front: NamedDependency[Front], team_jobs: NamedDependency[TeamJobs]
) -> ASGIApp:
    """A job; once completed with the result that the waiting call would have had."""
    caller = await front.identify(request)
    job = await team_jobs.get(caller, job_id)
    of(request).job = job.id
    return await _rendered(job, request, caller, front, team_jobs)


@delete("/v1/jobs/{job_id:str}", name="jobs.cancel", status_code=200)
async def cancel_job(
    request: Call, job_id: FromPath[str], front: NamedDependency[Front], team_jobs: NamedDependency[TeamJobs]
) -> ASGIApp:
    """Cancel a job that was not submitted yet, or that a worker of the team's own makes; its hold is released."""
    caller = await front.identify(request)
    job = await team_jobs.cancel(caller, job_id)
    of(request).job = job.id
    return await _rendered(job, request, caller, front, team_jobs)


async def _rendered(job: Job, request: Call, caller: Caller, front: Front, team_jobs: TeamJobs) -> ASGIApp:
    remaining, ahead = await team_jobs.remaining(caller), await team_jobs.ahead(job)
    return front.renderer.job(job, front.viewer(request, caller), team_jobs.progress(job), remaining, ahead)


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) and 1 <= int(text) <= _MOST):
        raise InvalidRequest(f"'limit' must be 1 to {_MOST}.", param="limit")
    return int(text)
