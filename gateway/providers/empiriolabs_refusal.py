"""What EmpirioLabs' errors mean to us. Its own words never go further than this page."""

from collections.abc import Sequence

from gateway.core.job import Failure

#: Statuses and `error.code`s that speak of our key or our credit (upstream documentation).
ACCOUNT_STATUSES = frozenset({401, 402, 403})
_ACCOUNT_CODES = frozenset({"missing_api_key", "invalid_api_key", "insufficient_credits"})

OUR_ACCOUNT = Failure("upstream_unavailable", "The provider refuses this gateway's key or credit.")
BUSY = Failure("upstream_error", "The provider takes no more requests at the moment.")
MOVED = Failure("upstream_error", "The provider's address has moved.")
NOT_SENT = Failure("upstream_error", "The provider cannot be reached.")
NOT_HANDED_OVER = Failure("upstream_error", "A reference image could not be handed over to the provider.")

_MODERATED = Failure("moderation_blocked", "The provider's content rules refused this request.")
_BY_CODE = {
    "model_not_found": Failure("upstream_error", "The provider does not offer this model."),
    "model_unavailable": Failure("upstream_error", "The provider's machines for this model are offline."),
}
_PARAMETERS = frozenset(
    {
        "prompt",
        "negative_prompt",
        "size",
        "width",
        "height",
        "aspect_ratio",
        "num_inference_steps",
        "guidance_scale",
        "seed",
        "num_images",
        "n",
        "format",
        "response_format",
        "max_sequence_length",
        "image",
    }
)


def refuses_account(answer: dict[str, object]) -> bool:
    return _text(answer, "code") in _ACCOUNT_CODES


def failure(answer: dict[str, object], markers: Sequence[str], otherwise: str) -> Failure:
    """Why nothing was made. `markers`: lower-case pieces of a code, type or message that mean moderation; `otherwise`: the
    words for an error that is on no list."""
    said = " ".join(_text(answer, name) for name in ("code", "type", "message")).lower()
    if any(marker in said for marker in markers):
        return _MODERATED
    if refuses_account(answer):
        return OUR_ACCOUNT
    if listed := _BY_CODE.get(_text(answer, "code")):
        return listed
    parameter = _text(answer, "param")
    if parameter in _PARAMETERS:
        return Failure("upstream_error", f"The provider refuses the value of {parameter}.")
    return Failure("upstream_error", otherwise)


def _text(answer: dict[str, object], name: str) -> str:
    """A member of `error`; its message may also be `error` itself, or stand beside it [public clients read all three]."""
    error = answer.get("error")
    if isinstance(error, str):
        error = {"message": error}
    holder = error if isinstance(error, dict) else answer
    value = holder.get(name)
    return value if isinstance(value, str) else ""
