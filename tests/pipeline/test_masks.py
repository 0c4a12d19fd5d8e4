"""Orders with a mask: part of what they are, kept like a reference, and made only where a mask is honoured."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedProvider
from house import RED, House, a_call, open_house
from test_references import CAT, HAT, upload

from gateway.core import errors
from gateway.core.ask import Edit, read
from gateway.core.job import Picture
from gateway.ports import Unfit

MASK, OTHER = (replace(upload(data), mask=True) for data in (b"the bytes of a mask", b"those of another"))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


async def test_a_mask_is_of_the_order_and_is_kept(house: House) -> None:
    answer = await house.edit(CAT, MASK, seed=7)
    order = answer.job.order
    assert (order.references, order.mask) == ((CAT.reference,), MASK.reference)
    assert (await house.job()).order == order
    kept = MASK.reference
    assert await house.seen(Picture(kept.name, kept.codec, kept.width, kept.height, kept.size)) == MASK.data


async def test_another_mask_is_another_order(house: House) -> None:
    asked = ((CAT, MASK), (CAT, OTHER), (CAT,), (CAT, replace(MASK, mask=False)), (CAT, MASK))
    caches = [(await house.edit(*uploads, seed=7)).cache for uploads in asked]
    assert caches == ["miss", "miss", "miss", "miss", "hit"]


async def test_nothing_is_bought_held_or_kept_where_no_provider_honours_masks(house: House, tmp_path: Path) -> None:
    house.provider.unfit = Unfit("unable", "no masks", "mask")
    with pytest.raises(errors.InvalidRequest, match="honours a mask") as refused:
        await house.edit(HAT, MASK, seed=7)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "mask")
    quote = await house.quoting.quote(RED, read({"prompt": "a hat"}, Edit), a_call(), (HAT, MASK))
    assert (str(quote.refusal), quote.order.mask) == (str(refused.value), MASK.reference)
    assert (await house.books(), house.provider.submits) == ((0, 0), [])
    assert list((tmp_path / "pictures").rglob("*.png")) == []
