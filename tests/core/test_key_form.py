"""The form of API keys: what is minted is read back, what was mistyped is not."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keys import BASE62, WORKER_PREFIX, base62, derive, digest, key_id, mint

keys = st.randoms(use_true_random=False).map(lambda chance: mint(chance.choice)[1])


@given(st.randoms(use_true_random=False))
def test_a_minted_key_tells_its_public_id(chance: random.Random) -> None:
    public, key = mint(chance.choice)
    assert re.fullmatch(r"sk-ig-[0-9A-Za-z]{12}-[0-9A-Za-z]{38}", key)
    assert key_id(key) == public


@given(keys, st.data())
def test_a_key_with_one_other_character_is_refused(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    other = data.draw((st.sampled_from(BASE62) | st.characters()).filter(lambda found: found != key[place]))
    assert key_id(key[:place] + other + key[place + 1 :]) is None


@given(keys, st.data())
def test_a_key_with_two_neighbours_swapped_is_refused(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 2).filter(lambda at: key[at] != key[at + 1]))
    assert key_id(key[:place] + key[place + 1] + key[place] + key[place + 2 :]) is None


@given(keys, st.text(st.characters(exclude_categories=[]), min_size=1, max_size=3))
def test_a_key_with_something_around_it_is_refused(key: str, more: str) -> None:
    assert key_id(key + more) is None
    assert key_id(more + key) is None
    assert key_id(key[:-1]) is None


@given(st.text(st.characters(exclude_categories=[])))
def test_junk_is_refused(text: str) -> None:
    assert key_id(text) is None


@pytest.mark.parametrize(("number", "text"), [(0, "000000"), (61, "00000z"), (62, "000010"), (2**32 - 1, "4gfFC3")])
def test_base62_is_left_filled(number: int, text: str) -> None:
    assert base62(number, 6) == text


def test_each_use_of_the_secret_has_a_key_of_its_own() -> None:
    secret = b"s" * 32
    assert len({derive(secret, "keys"), derive(secret, "urls"), derive(b"t" * 32, "keys"), secret}) == 4


def test_a_digest_needs_the_pepper_and_the_whole_key() -> None:
    assert digest(b"pepper", "key") == digest(b"pepper", "key")
    assert len({digest(b"pepper", "key"), digest(b"other", "key"), digest(b"pepper", "kez"), b"key"}) == 4


@given(st.randoms(use_true_random=False))
def test_a_worker_token_is_no_key_and_a_key_no_worker_token(chance: random.Random) -> None:
    public, token = mint(chance.choice, WORKER_PREFIX)
    assert re.fullmatch(r"ig-worker-[0-9A-Za-z]{12}-[0-9A-Za-z]{38}", token)
    assert (key_id(token, WORKER_PREFIX), key_id(token)) == (public, None)
    assert key_id(mint(chance.choice)[1], WORKER_PREFIX) is None
    assert key_id(token[:-1] + ("a" if token[-1] != "a" else "b"), WORKER_PREFIX) is None
