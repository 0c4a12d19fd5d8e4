"""The answer to a dry run in the API's description."""

from gateway.core import errors
from gateway.core.money import WINDOWS
from gateway.edge.openapi_answers import CACHE_WORDS, Schema
from gateway.edge.openapi_schemas import nullable, object_of

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_NUMBER = {"type": "number"}
_HELD = "What the call would hold at most; 0 for a `hit`, a `joined` and a `replayed`, which cost nothing."


def _money(description: str) -> Schema:
    return object_of({"microdollars": _WHOLE, "dollars": _TEXT | {"description": "A plain decimal."}}, description)


_ORDER = object_of(
    {
        "operation": _TEXT | {"enum": ["generation", "edit", "variation"]},
        "model": _TEXT | {"description": "Its id, whatever name was asked for."},
        "size": _TEXT | {"description": "`WIDTHxHEIGHT`, in pixels."},
        "n": _WHOLE,
        "seed": nullable(_WHOLE) | {"description": "Null: none was given, and one is drawn when it is made."},
        "num_inference_steps": _WHOLE,
        "guidance_scale": _NUMBER,
        "max_sequence_length": _WHOLE,
        "output_format": _TEXT | {"enum": ["png", "webp", "jpeg"]},
        "response_format": _TEXT | {"enum": ["url", "b64_json"]},
        "references": _WHOLE | {"description": "Images that it builds on."},
        "price_per_image": _money("Of each image that is made."),
        "ignored": {"type": "array", "items": _TEXT, "description": "Fields without effect."},
        "fingerprint": nullable(_TEXT) | {"description": "Equal orders have the same one; null without a seed."},
    },
    "The order with all that was left open decided, but for the prompt, which is as it was sent.",
)
_BUDGET = object_of(
    {
        "budget": _TEXT | {"description": "As it was set: `25/month`."},
        "scope": _TEXT | {"description": "`org`, `team:NAME` or `key:ID`."},
        "window": _TEXT | {"enum": list(WINDOWS)},
        "limit": _money("Of each window."),
        "spent": _money("In this window."),
        "held": _money("By jobs that run or are unconfirmed."),
        "remaining": _money("Neither spent nor held."),
        "resets_at": nullable(_TEXT | {"format": "date-time"}),
    },
    "A budget as it stands.",
)
_REFUSAL = object_of(
    {
        "status": _WHOLE,
        "type": _TEXT,
        "code": _TEXT,
        "message": _TEXT,
        "param": nullable(_TEXT),
        "retry_after": nullable(_NUMBER) | {"description": "Seconds after which to ask again."},
    },
    "The first error that the call would be answered with now.",
)
_QUOTE = object_of(
    {
        "object": _TEXT | {"const": "imagegate.quote"},
        "order": _ORDER,
        "cost": _money(_HELD) | {"description": _HELD},
        "cache": _TEXT | {"enum": list(CACHE_WORDS), "description": "As `x-imagegate-cache` would be."},
        "provider": _TEXT | {"description": "Who would make the images, or made them."},
        "wait_seconds": nullable(_NUMBER)
        | {"description": "An estimate: the wait for a turn and for the images; null if nobody knows."},
        "budgets": {"type": "array", "items": _BUDGET, "description": "All that would pay for it."},
        "allowed": {"type": "boolean", "description": "Would it be made, or given?"},
        "refusal": nullable(_REFUSAL) | {"description": "Why not."},
    },
    "The answer to `x-imagegate-dry-run: true`.",
)


def quote_schemas() -> Schema:
    """Components by name."""
    return {"Quote": _QUOTE}


def _dollars(microdollars: int, dollars: str) -> Schema:
    return {"microdollars": microdollars, "dollars": dollars}


QUOTE_EXAMPLE = {
    "object": "imagegate.quote",
    "order": {
        "operation": "generation",
        "model": "flux-2-klein-4b",
        "size": "1024x1024",
        "n": 1,
        "seed": 7,
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
        "max_sequence_length": 512,
        "output_format": "webp",
        "response_format": "url",
        "references": 0,
        "price_per_image": _dollars(8500, "0.0085"),
        "ignored": [],
        "fingerprint": "5d2c8a0f4b1e9376c5d4e3f2a1b09876543210fedcba9876543210fedcba9876",
    },
    "cost": _dollars(8500, "0.0085"),
    "cache": "miss",
    "provider": "empiriolabs",
    "wait_seconds": 3.2,
    "budgets": [
        {
            "budget": "5/month",
            "scope": "team:design",
            "window": "month",
            "limit": _dollars(5_000_000, "5"),
            "spent": _dollars(4_994_500, "4.9945"),
            "held": _dollars(0, "0"),
            "remaining": _dollars(5500, "0.0055"),
            "resets_at": "2026-12-01T00:00:00.000Z",
        }
    ],
    "allowed": False,
    "refusal": {
        "status": errors.BudgetSpent.status,
        "type": errors.BudgetSpent.type,
        "code": errors.BudgetSpent.code,
        "message": "team:design: the budget of $5 per month does not cover this order "
        "($4.9945 spent, $0 held by open jobs, $0.0085 asked). It resets at 2026-12-01T00:00:00.000Z.",
        "param": None,
        "retry_after": None,
    },
}
