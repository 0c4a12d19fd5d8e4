"""The application: routes over concrete pipeline objects, one error renderer, one guard around it all, one record a request."""

from collections.abc import Callable
from dataclasses import dataclass

from litestar import Litestar, Router
from litestar.di import Provide

from gateway.core.images import LARGEST_IMAGE_BODY
from gateway.edge import files, images, jobs, models, ops, problems, worker_api
from gateway.edge.exchange import Observed, Observer
from gateway.edge.files import PictureFiles
from gateway.edge.front import Front
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.ops import Operations
from gateway.edge.straight import Straight
from gateway.pipeline.delivering import LARGEST_PICTURE
from gateway.pipeline.jobs import TeamJobs

_IMAGES = (images.generations, images.edits, images.variations)
HANDLERS = (
    *_IMAGES,
    models.list_models,
    models.get_model,
    jobs.list_jobs,
    jobs.get_job,
    jobs.cancel_job,
    files.picture,
    ops.healthz,
    ops.readyz,
    ops.metrics,
    ops.openapi,
    ops.docs,
)
#: The names that the request metrics may carry: those of the handlers, and what stands for everything else.
ROUTES = (
    *(handler.name or "unknown" for handler in (*HANDLERS, *worker_api.HANDLERS)),
    "admin",
    "unknown",
)
IMAGE_ROUTES = tuple(name for name in ROUTES if name.startswith("images."))
_LIMITS = GuardLimits(
    body_bytes_of={f"/v1/images/{each}": LARGEST_IMAGE_BODY for each in ("generations", "edits", "variations")}
    | dict.fromkeys(worker_api.PICTURE_PATHS, LARGEST_PICTURE)
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the handlers use. `front`: by the policies in force, asked for once a request."""

    front: Callable[[], Front]
    team_jobs: TeamJobs
    files: PictureFiles
    operations: Operations
    admin: Router
    workers: Router
    observer: Observer
    #: the pipeline's clock, by which requests are timed as well
    monotonic: Callable[[], float]


def create_app(parts: Parts) -> Observed:
    app = Litestar(
        route_handlers=[*HANDLERS, parts.admin, parts.workers],
        dependencies={
            "front": Provide(parts.front, sync_to_thread=False),
            "team_jobs": _given(parts.team_jobs),
            "files": _given(parts.files),
            "operations": _given(parts.operations),
        },
        exception_handlers=problems.handlers(),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # the guard caps bodies, by path
    )
    straight = Straight(app, _IMAGES, parts.front)
    return Observed(Guard(straight, _LIMITS), parts.observer, parts.monotonic)


def create_admin_app(admin: Router, observer: Observer) -> Observed:
    """Only /admin/v1: for a command line that opens the store itself, because no gateway runs."""
    app = Litestar(
        route_handlers=[admin],
        exception_handlers=problems.handlers(),
        openapi_config=None,
        logging_config=None,
    )
    return Observed(Guard(app, GuardLimits()), observer)


def _given(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)
