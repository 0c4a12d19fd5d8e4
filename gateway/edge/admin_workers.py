"""/admin/v1/workers: which workers live, and the tokens by which they come in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from gateway.core.instants import iso
from gateway.core.order import Operation
from gateway.core.worker_messages import Presence
from gateway.edge.admin_asks import Asked
from gateway.edge.exchange import Call
from gateway.pipeline.administration import Administration
from gateway.ports import WorkerToken


@dataclass(frozen=True, slots=True)
class WorkerShape:
    """`load`: pieces in hand; `seconds`: what a piece takes it of late; `engine`: the class of what makes its pictures."""

    id: str
    gpu: str
    model: str
    revision: str
    engine: str
    operations: Sequence[Operation]
    features: Sequence[str]
    max_pixels: int
    max_references: int
    load: int
    seconds: float
    draining: bool

    @classmethod
    def of(cls, presence: Presence) -> Self:
        return cls(
            id=presence.worker,
            gpu=presence.gpu,
            model=presence.model,
            revision=presence.revision,
            engine=presence.engine,
            operations=presence.operations,
            features=presence.features,
            max_pixels=presence.most_pixels,
            max_references=presence.most_references,
            load=presence.load,
            seconds=presence.seconds,
            draining=presence.draining,
        )


@dataclass(frozen=True, slots=True)
class TokenShape:
    """`secret` is in the answer that makes the token, and in no other."""

    id: str
    name: str
    created_at: str
    revoked_at: str | None
    secret: str | UnsetType = UNSET

    @classmethod
    def of(cls, token: WorkerToken) -> Self:
        revoked = None if token.revoked_at is None else iso(token.revoked_at)
        return cls(token.id, token.name, iso(token.created_at), revoked)


@dataclass(frozen=True, slots=True)
class Workers:
    data: Sequence[WorkerShape]
    tokens: Sequence[TokenShape]


class NewToken(Asked):
    name: str = ""


@get("/workers")
async def list_workers(administration: NamedDependency[Administration]) -> Workers:
    workers = administration.workers
    live, tokens = await workers.live(), await workers.tokens()
    return Workers([WorkerShape.of(each) for each in live], [TokenShape.of(each) for each in tokens])


@post("/workers/tokens")
async def create_worker_token(request: Call, administration: NamedDependency[Administration]) -> TokenShape:
    asked = NewToken.from_json(await request.body())
    token, secret = await administration.workers.create_token(asked.name)
    return replace(TokenShape.of(token), secret=secret)


@post("/workers/tokens/{token_id:str}/revoke", status_code=200)
async def revoke_worker_token(token_id: FromPath[str], administration: NamedDependency[Administration]) -> TokenShape:
    return TokenShape.of(await administration.workers.revoke_token(token_id))
