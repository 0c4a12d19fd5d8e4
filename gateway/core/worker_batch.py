"""Which pieces of work stand in one line, which of them may share one call of the model, and how many images go into one."""

from gateway.core.order import Order

#: What a call may hold: two megapixels' worth of images with their prompts fill a GPU, and more is no faster.
TOKENS = 9216

#: A prompt's share of the tokens of each image.
_PROMPT = 512
#: Pixels that are one token.
_PIXELS = 256


def line(model: str, engine: str) -> str:
    """What workers of one class of engine claim from: the same order is another picture elsewhere."""
    return f"{model}@{engine}"


def model_of(line: str) -> str:
    """Whose orders wait in a line."""
    return line.rpartition("@")[0]


def tokens(width: int, height: int) -> int:
    """Of one image with its prompt."""
    return -(-width * height // _PIXELS) + _PROMPT


def most_images(width: int, height: int, budget: int = TOKENS) -> int:
    """In one call. One image always goes: whether it fits the GPU at all is another question."""
    return max(1, budget // tokens(width, height))


def batch(order: Order) -> str | None:
    """Orders with the same answer may share a call; None: made alone.

    All that a call has but once is in it. References make sequences of unequal length, which no call takes together, and a
    mask is the call's.
    """
    if order.references or order.mask is not None or order.operation != "generation":
        return None
    size = f"{order.width}x{order.height}"
    settings = (order.revision, order.guidance, order.max_sequence_length, order.negative_prompt)
    return f"{order.model}:{size}:{order.steps}:{settings!r}"
