"""The ports: every outside thing the pipeline needs, as the pipeline sees it. Adapters subclass them by name.

Times are ms since the epoch (UTC) unless a name says seconds; money is micro-dollars. A store that cannot answer raises
`StoreDown`; what that means for a request is written in `wiring.py`, port by port.
"""

from gateway.ports.bells import Bells
from gateway.ports.blobs import Blob, Blobs
from gateway.ports.cache import Cache, Cached, Saved
from gateway.ports.clock import Clock, StoreDown
from gateway.ports.custody import Custody
from gateway.ports.image_urls import ImageUrls
from gateway.ports.jobs import Jobs, Spare
from gateway.ports.keys import Key, Keys, KeyState, KeyTerms, Team, TeamTerms
from gateway.ports.limits import Limiter
from gateway.ports.money import (
    Adjustment,
    BudgetState,
    Ledger,
    LedgerRow,
    Refusal,
    Spend,
    SpendBy,
    Told,
    Unconfirmed,
)
from gateway.ports.provider import (
    Accepted,
    Ahead,
    Allowance,
    Declined,
    Finished,
    Image,
    Later,
    Pending,
    Provider,
    Share,
    Travel,
    Unfit,
    Unknown,
)
from gateway.ports.queue import Became, Delivered, Depth, Fits, Live, Overview, Piece, Queue
from gateway.ports.replicas import LEASE, Replicas
from gateway.ports.retention import NOTED_EVERY, Retention
from gateway.ports.retries import IDEMPOTENT, Retries
from gateway.ports.telemetry import Fields, Telemetry
from gateway.ports.worker_tokens import WorkerToken, WorkerTokens

__all__ = [
    "IDEMPOTENT",
    "LEASE",
    "NOTED_EVERY",
    "Accepted",
    "Adjustment",
    "Ahead",
    "Allowance",
    "Became",
    "Bells",
    "Blob",
    "Blobs",
    "BudgetState",
    "Cache",
    "Cached",
    "Clock",
    "Custody",
    "Declined",
    "Delivered",
    "Depth",
    "Fields",
    "Finished",
    "Fits",
    "Image",
    "ImageUrls",
    "Jobs",
    "Key",
    "KeyState",
    "KeyTerms",
    "Keys",
    "Later",
    "Ledger",
    "LedgerRow",
    "Limiter",
    "Live",
    "Overview",
    "Pending",
    "Piece",
    "Provider",
    "Queue",
    "Refusal",
    "Replicas",
    "Retention",
    "Retries",
    "Saved",
    "Share",
    "Spare",
    "Spend",
    "SpendBy",
    "StoreDown",
    "Team",
    "TeamTerms",
    "Telemetry",
    "Told",
    "Travel",
    "Unconfirmed",
    "Unfit",
    "Unknown",
    "WorkerToken",
    "WorkerTokens",
]
