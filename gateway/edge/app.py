"""The application: routes over concrete pipeline objects, one error renderer, one record a request, one guard around it all."""

from dataclasses import dataclass

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide

from gateway.edge import files, images, jobs, ops, problems
from gateway.edge.envelope import App
from gateway.edge.exchange import Observed, Observer
from gateway.edge.files import PictureFiles
from gateway.edge.front import Front
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.ops import Operations
from gateway.pipeline.generate import Generate
from gateway.pipeline.jobs import TeamJobs
from gateway.ports import Telemetry

_HANDLERS = (
    images.generations,
    jobs.list_jobs,
    jobs.get_job,
    jobs.cancel_job,
    files.picture,
    ops.healthz,
    ops.readyz,
    ops.metrics,
    ops.openapi,
)
#: The names that the request metrics may carry: those of the handlers, and what stands for everything else.
ROUTES = (*(handler.name or "unknown" for handler in _HANDLERS), "admin", "unknown")
IMAGE_ROUTES = ("images.generations",)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the handlers use."""

    front: Front
    generate: Generate
    team_jobs: TeamJobs
    files: PictureFiles
    operations: Operations
    admin: Router
    observer: Observer
    telemetry: Telemetry


def create_app(parts: Parts) -> App:
    app = Litestar(
        route_handlers=[*_HANDLERS, parts.admin],
        dependencies={
            "front": _given(parts.front),
            "generate": _given(parts.generate),
            "team_jobs": _given(parts.team_jobs),
            "files": _given(parts.files),
            "operations": _given(parts.operations),
        },
        exception_handlers=problems.handlers(),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # the guard caps bodies, by path
        state=State({"log": parts.telemetry.log}),
    )
    return Guard(Observed(app, parts.observer), GuardLimits())


def create_admin_app(admin: Router, telemetry: Telemetry, observer: Observer) -> App:
    """Only /admin/v1: for a command line that opens the store itself, because no gateway runs."""
    app = Litestar(
        route_handlers=[admin],
        exception_handlers=problems.handlers(),
        openapi_config=None,
        logging_config=None,
        state=State({"log": telemetry.log}),
    )
    return Guard(Observed(app, observer), GuardLimits())


def _given(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)
