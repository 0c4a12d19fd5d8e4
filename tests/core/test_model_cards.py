"""Model cards: which names are shown, in which order, to whom, and what each card says."""

import msgspec
import pytest
from two_models import DRAFT, FREE, SHIPPED, two_models

from gateway.core.allowed import Allowed
from gateway.core.ask import Generation, read
from gateway.core.catalogue import Catalogue
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.model_cards import ModelCard, find, listing
from gateway.core.policy import parse

CATALOGUE = Catalogue(parse(two_models()))
EVERYTHING = Allowed()
RATIOS = {
    "1:1": "1024x1024",
    "16:9": "1344x768",
    "9:16": "768x1344",
    "4:3": "1152x864",
    "3:4": "864x1152",
    "3:2": "1248x832",
    "2:3": "832x1248",
}


def shown(card: ModelCard) -> object:
    """As it is answered: what is unset is left out."""
    return msgspec.json.decode(msgspec.json.encode(card))


def names(catalogue: Catalogue, *allowed: str) -> list[str]:
    return [card.id for card in listing(catalogue, Allowed(allowed))]


def test_a_card_of_the_shipped_model_says_what_the_contract_says() -> None:
    assert shown(find(CATALOGUE, SHIPPED, EVERYTHING)) == {
        "id": SHIPPED,
        "object": "model",
        "created": 1_768_435_200,  # 2026-01-15T00:00Z
        "owned_by": "black-forest-labs",
        "operations": ["generation", "edit", "variation"],
        "providers": ["workers", "empiriolabs"],
        "price": {"currency": "USD", "per_image": "0.0085"},
        "limits": {
            "n": [1, 10],
            "side": [256, 2048],
            "pixels": 1_048_576,
            "prompt": 32_000,
            "references": 4,
            "num_inference_steps": [1, 12],
            "guidance_scale": [0.0, 8.0],
            "max_sequence_length": [64, 512],
        },
        "sizes": list(RATIOS.values()),
        "aspect_ratios": RATIOS,
        "aliases": ["gpt-image-*", "chatgpt-image-*", "dall-e-*"],
    }


@pytest.mark.parametrize("name", ["gpt-image-1", "dall-e-3", "chatgpt-image-"])
def test_another_name_is_the_same_model_with_openais_sizes_beside(name: str) -> None:
    own = shown(find(CATALOGUE, SHIPPED, EVERYTHING))
    assert isinstance(own, dict)
    del own["aliases"]
    standard = ["1536x1024", "1024x1536", "1792x1024", "1024x1792"]
    own |= {"id": name, "root": SHIPPED, "sizes": [*RATIOS.values(), *standard]}
    assert shown(find(CATALOGUE, name, EVERYTHING)) == own


def test_a_model_without_references_only_generates() -> None:
    assert find(CATALOGUE, FREE, EVERYTHING).operations == ["generation"]


def test_a_price_is_what_is_charged_and_plain() -> None:
    assert find(CATALOGUE, FREE, EVERYTHING).price.per_image == "0.000001"


def test_the_images_of_a_request_are_those_that_are_read() -> None:
    least, most = find(CATALOGUE, FREE, EVERYTHING).limits.n
    for n in (least, most):
        assert read({"prompt": "a cat", "n": n}, Generation).n == n
    for n in (least - 1, most + 1):
        with pytest.raises(InvalidRequest):
            read({"prompt": "a cat", "n": n}, Generation)


def test_models_are_listed_before_their_other_names_and_patterns_never() -> None:
    assert names(CATALOGUE) == [FREE, SHIPPED, DRAFT]


def test_what_may_not_be_used_is_not_listed_under_any_name() -> None:
    assert names(CATALOGUE, SHIPPED) == [SHIPPED]
    assert names(CATALOGUE, FREE) == [FREE, DRAFT]
    assert names(CATALOGUE, "gone") == []


@pytest.mark.parametrize("name", [FREE, DRAFT, "draft-7"])
def test_what_may_not_be_used_is_not_found_as_what_does_not_exist_is_not(name: str) -> None:
    assert find(CATALOGUE, name, EVERYTHING).owned_by == "black-forest-labs"
    with pytest.raises(NotFound) as hidden:
        find(CATALOGUE, name, Allowed((SHIPPED,)))
    with pytest.raises(NotFound) as unknown:
        find(CATALOGUE, "nothing", EVERYTHING)
    assert hidden.value.message == unknown.value.message.replace("nothing", name)
    assert (hidden.value.code, hidden.value.param) == (unknown.value.code, unknown.value.param)


def test_a_name_that_is_claimed_twice_is_listed_once_as_what_it_means() -> None:
    catalogue = Catalogue(parse(two_models(f'["{SHIPPED}", "{DRAFT}", "{DRAFT}"]')))
    cards = [(card.id, card.root) for card in listing(catalogue, EVERYTHING)]
    assert cards == [(FREE, msgspec.UNSET), (SHIPPED, msgspec.UNSET), (DRAFT, FREE)]


def test_a_card_says_no_more_than_the_key_may_ask_for() -> None:
    allowed = Allowed(endpoints=("edit", "generation"), most_images=2, most_pixels=1344 * 768)
    card = find(CATALOGUE, "dall-e-3", allowed)
    assert card.operations == ["generation", "edit"]
    assert (card.limits.n, card.limits.pixels) == ((1, 2), 1344 * 768)
    ratios = {ratio: RATIOS[ratio] for ratio in ("16:9", "9:16", "4:3", "3:4")}
    assert card.aspect_ratios == ratios
    # OpenAI's own sizes by what they are mapped to
    assert card.sizes == [*ratios.values(), "1792x1024", "1024x1792"]


def test_a_model_that_a_key_can_ask_for_nothing_is_not_shown() -> None:
    allowed = Allowed(endpoints=("edit",))
    assert [card.id for card in listing(CATALOGUE, allowed)] == [SHIPPED]
    with pytest.raises(NotFound):
        find(CATALOGUE, DRAFT, allowed)
