"""What diffusers' pipelines refuse of references and masks, or make otherwise and say nothing."""

from PIL import Image

from gateway.worker.engine import Batch, Failure

#: The inpaint pipeline makes larger pictures smaller, and says nothing.
_MOST_MASKED_PIXELS = 1024 * 1024
#: What the pipeline refuses as a reference.
_LEAST_REFERENCE_SIDE = 64
_MOST_REFERENCE_RATIO = 8


def refusal(batch: Batch) -> Failure | None:
    if batch.mask is not None and batch.shape.width * batch.shape.height > _MOST_MASKED_PIXELS:
        return Failure("too_large", f"with a mask {_MOST_MASKED_PIXELS} pixels are the most")
    if any(max(each.size) > _MOST_REFERENCE_RATIO * min(each.size) for each in batch.references):
        return Failure("too_large", f"a reference is longer than {_MOST_REFERENCE_RATIO} times its width")
    return None


def grown(reference: Image.Image) -> Image.Image:
    """At least as large as the pipeline takes it."""
    short = min(reference.size)
    if short >= _LEAST_REFERENCE_SIDE:
        return reference
    width, height = (-(-side * _LEAST_REFERENCE_SIDE // short) for side in reference.size)
    return reference.resize((width, height), Image.Resampling.LANCZOS)
