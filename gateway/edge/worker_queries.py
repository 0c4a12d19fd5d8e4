"""What an upload of a worker says beside its bytes."""

from typing import Annotated

from pydantic import Field

from gateway.edge.admin_asks import Asked


class PictureQuery(Asked):
    """The piece that it is for, and the claim by which the worker has it."""

    attempt: Annotated[str, Field(min_length=1, max_length=200)]
    claim: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class PartialQuery(PictureQuery):
    index: Annotated[int, Field(ge=0, le=1000)]
