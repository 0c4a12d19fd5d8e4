"""One whole order, for tests to change what they are about: `replace(A_CAT, count=2)`."""

from gateway.core.order import Order, Part
from gateway.ports import Share

A_CAT = Order(
    operation="generation",
    model="flux-2-klein-4b",
    prompt="a cat",
    negative_prompt=None,
    seed=7,
    width=1024,
    height=1024,
    steps=4,
    guidance=1.0,
    max_sequence_length=512,
    count=1,
    codec="png",
    response_format="url",
    unit_price=8500,
    policy="p",
)


def share(order: Order, part: Part) -> Share:
    """What a submit is for, where nobody looks at whose it is."""
    return Share("job_a.0", "design", order, part, deadline=2**53)
