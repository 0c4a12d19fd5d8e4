"""What a key may ask for: each limit refuses by its own field, at its edge and not before."""

from dataclasses import replace

import pytest
from orders import A_CAT

from gateway.core.allowed import Allowed
from gateway.core.errors import GatewayError, InvalidRequest, NotAllowed

A_PIXEL_LESS = A_CAT.width * A_CAT.height - 1


@pytest.mark.parametrize(
    "allowed",
    [
        Allowed(),
        Allowed(models=("other", A_CAT.model)),
        Allowed(endpoints=("edit", "generation")),
        Allowed(most_images=A_CAT.count),
        Allowed(most_pixels=A_CAT.width * A_CAT.height),
    ],
)
def test_what_is_allowed_passes_the_check(allowed: Allowed) -> None:
    allowed.check(A_CAT)


@pytest.mark.parametrize(
    ("allowed", "kind", "param", "told"),
    [
        (Allowed(models=("other",)), NotAllowed, "model", A_CAT.model),
        (Allowed(endpoints=("edit", "variation")), NotAllowed, None, "generations: only edits, variations"),
        (Allowed(most_images=1), InvalidRequest, "n", "n up to 1, not 2"),
        (Allowed(most_pixels=A_PIXEL_LESS), InvalidRequest, "size", f"up to {A_PIXEL_LESS} pixels: 1024x1024 has"),
    ],
)
def test_what_is_more_is_refused_by_its_field(
    allowed: Allowed, kind: type[GatewayError], param: str | None, told: str
) -> None:
    with pytest.raises(kind, match=told) as refused:
        allowed.check(replace(A_CAT, count=2))
    code = "model_not_allowed" if kind is NotAllowed else "invalid_value"
    assert (refused.value.code, refused.value.param) == (code, param)
