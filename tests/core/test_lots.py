"""Randomness fetched in bulk: no byte twice, no number likelier than another."""

import secrets
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.lots import Lots


def test_no_byte_is_given_out_twice() -> None:
    pages = count()
    lots = Lots(lambda size: next(pages).to_bytes(2) * (size // 2))
    taken = b"".join(lots.take(2) for _ in range(5000))
    # each page of 4096 bytes was used to its end, and then the next
    assert Counter(taken[at : at + 2] for at in range(0, len(taken), 2)).most_common(2) == [
        (b"\0\0", 2048),
        (b"\0\1", 2048),
    ]
    assert next(pages) == 3


def test_what_does_not_fit_the_rest_is_taken_from_the_next_page() -> None:
    fresh: list[bytes] = []

    def source(size: int) -> bytes:
        fresh.append(secrets.token_bytes(size))
        return fresh[-1]

    lots = Lots(source)
    assert [lots.take(4000), lots.take(200)] == [fresh[0][:4000], fresh[1][:200]]


@given(st.integers(min_value=1, max_value=2**200))
def test_a_number_is_below_its_bound(bound: int) -> None:
    lots = Lots(secrets.token_bytes)
    assert all(0 <= lots.below(bound) < bound for _ in range(10))


def test_each_number_is_as_likely() -> None:
    """Every byte there is, once: of 256 the 6 highest are thrown away, and each of 250 comes once."""
    lots = Lots(lambda size: bytes(range(256)) * (size // 256))
    assert sorted(lots.below(250) for _ in range(250)) == list(range(250))


@pytest.mark.parametrize("size", [-1, 4097])
def test_more_than_a_page_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="at once"):
        Lots(secrets.token_bytes).take(size)


def test_nothing_is_below_nothing() -> None:
    with pytest.raises(ValueError, match="below 0"):
        Lots(secrets.token_bytes).below(0)
