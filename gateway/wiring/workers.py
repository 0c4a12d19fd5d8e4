"""What the team's own GPU workers speak to."""

from litestar import Router

from gateway.core import keys as key_form
from gateway.edge.worker_api import WorkerDesk, worker_routes
from gateway.pipeline.bells import Ears
from gateway.pipeline.claiming import Claiming
from gateway.pipeline.crew import Crew
from gateway.pipeline.delivering import Delivering
from gateway.pipeline.worker_admission import WorkerAdmission
from gateway.ports import Blobs, Clock
from gateway.settings import Settings
from gateway.telemetry.recorder import Recorder
from gateway.wiring.stores import Stores


def serve_workers(  # noqa: PLR0913 - wired once
    settings: Settings,
    stores: Stores,
    blobs: Blobs,
    *,
    keyring: key_form.Keyring,
    ears: Ears,
    crew: Crew,
    clock: Clock,
    recorder: Recorder,
) -> Router:
    own = None if settings.worker_token is None else settings.worker_token.get_secret_value()
    admission = WorkerAdmission(stores.store, keyring.worker_peppers, own)
    claiming = Claiming(stores.queue, ears, crew, clock)
    delivering = Delivering(stores.queue, blobs, ears, clock, recorder)
    return worker_routes(WorkerDesk(admission, claiming, delivering, blobs))
