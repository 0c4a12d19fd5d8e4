"""The catalogue: which model a name means, and an ask made whole and priced against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TypeVar

from gateway.core import ask as asks
from gateway.core.ask import Ask, Edit, Generation
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.order import Codec, Order, Reference, ResponseFormat
from gateway.core.picture_size import overruled, picture_size
from gateway.core.policy import ModelPolicy, Policies

_USER_LENGTH = 64

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Catalogue:
    policies: Policies
    #: refuse what a model cannot honour instead of naming it in a header
    strict: bool = False

    def model(self, name: str | None) -> ModelPolicy:
        """The model that `name` (an id, an alias, or None for the default) means. Raises NotFound."""
        models = self.policies.models
        if name is None:
            return models[self.policies.routes.default]
        if name in models:
            return models[name]
        for model in models.values():
            if model.answers_to(name):
                return model
        raise NotFound(f"The model '{name[:64]}' does not exist.", code="model_not_found", param="model")

    def check_references(self, name: str | None, count: int, param: str) -> None:
        """May the model that `name` means build on so many images? Raises InvalidRequest naming `param`, and NotFound."""
        _references_fit(count, self.model(name), param)

    def order(
        self,
        ask: Ask,
        references: Sequence[Reference],
        draw_seed: Callable[[], int],
        mask: Reference | None = None,
    ) -> Order:
        """Everything decided: size, seed, codec, price. Raises InvalidRequest naming the field, and NotFound."""
        model = self.model(ask.model)
        alias = ask.model if ask.model is not None and ask.model != model.id else None
        width, height = picture_size(ask, model, alias, references)
        ignored = (*asks.ignored(ask), *overruled(ask, model, width, height))
        if ignored and self.strict:
            raise InvalidRequest(
                f"'{ignored[0]}' has no effect on {model.id}.", code="unsupported_parameter", param=ignored[0]
            )
        prompt = ask.prompt if isinstance(ask, Generation | Edit) else model.variation_prompt
        _texts_fit(ask, prompt, model)
        _references_fit(len(references), model, "image")
        return Order(
            operation=ask.operation,
            model=model.id,
            prompt=prompt,
            negative_prompt=ask.negative_prompt or None,
            seed=draw_seed() if ask.seed is None or ask.seed < 0 else ask.seed,
            width=width,
            height=height,
            steps=_within(ask.num_inference_steps, "num_inference_steps", model.limits.steps, model.defaults.steps),
            guidance=_within(
                ask.guidance_scale, "guidance_scale", model.limits.guidance, float(model.defaults.guidance)
            ),
            max_sequence_length=_within(
                ask.max_sequence_length,
                "max_sequence_length",
                model.limits.max_sequence_length,
                model.defaults.max_sequence_length,
            ),
            count=asks.one_of(ask, "n", "num_images") or 1,
            codec=_codec(ask, model, alias),
            response_format=_response_format(ask, model, alias),
            unit_price=model.unit_price,
            policy=self.policies.digest,
            revision=model.revision,
            ignored=ignored,
            references=tuple(references),
            mask=mask,
            partials=(ask.partial_images or 0) if ask.stream else 0,
        )


def end_user(ask: Ask) -> str | None:
    """Who the shared key was used for: `safety_identifier` wins over `user`, 64 characters are kept."""
    return (ask.safety_identifier or ask.user or "")[:_USER_LENGTH] or None


def _texts_fit(ask: Ask, prompt: str, model: ModelPolicy) -> None:
    if not prompt.strip():
        # a provider may refuse it, which would look like the provider's fault and be worth a retry
        raise InvalidRequest("'prompt' is blank.", param="prompt")
    for name, text in (("prompt", prompt), ("negative_prompt", ask.negative_prompt)):
        if text is not None and len(text) > model.limits.prompt:
            raise InvalidRequest(f"'{name}' has more than {model.limits.prompt} characters.", param=name)
        if text is not None and not _encodes(text):
            raise InvalidRequest(f"'{name}' holds a lone surrogate, which is no text.", param=name)


def _references_fit(count: int, model: ModelPolicy, param: str) -> None:
    most = model.limits.references
    if count > most:
        raise InvalidRequest(f"{model.id} builds on at most {most} images.", param=param)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(value: _Number | None, name: str, limits: Sequence[int | Decimal], default: _Number) -> _Number:
    if value is None:
        return default
    least, most = limits
    if not least <= value <= most:
        raise InvalidRequest(f"'{name}' must be {least} to {most}.", param=name)
    return value


def _codec(ask: Ask, model: ModelPolicy, alias: str | None) -> Codec:
    asked: Codec | None = asks.one_of(ask, "format", "output_format")
    if asked is not None:
        return asked
    return model.defaults.codec if alias is None else model.alias_defaults.codec


def _response_format(ask: Ask, model: ModelPolicy, alias: str | None) -> ResponseFormat:
    if ask.return_base64 and ask.response_format == "url":
        raise InvalidRequest("'return_base64' and 'response_format' differ.", param="return_base64")
    if ask.return_base64 or ask.stream:
        return "b64_json"
    if ask.response_format is not None:
        return ask.response_format
    if alias is not None:
        for pattern, value in model.alias_defaults.response_format.items():
            if fnmatchcase(alias, pattern):
                return value
    return model.defaults.response_format
