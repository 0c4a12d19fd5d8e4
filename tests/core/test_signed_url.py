"""Signed URLs: good for one picture, one key and a time; any change to them is for nothing."""

from urllib.parse import parse_qsl, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.signed_url import Signed, sign, verify

SECRET = b"s" * 32
NEWER = b"n" * 32
NAME = f"{'a' * 64}.png"
KEY = "AbC123xyz789"
EXPIRES = 1_795_400_000
NOW = EXPIRES - 1
URL = sign(SECRET, NAME, KEY, EXPIRES)
SIGNED = Signed(KEY, EXPIRES)


def taken_apart(url: str) -> tuple[str, dict[str, str]]:
    split = urlsplit(url)
    return split.path.removeprefix("/files/"), dict(parse_qsl(split.query))


def visit(url: str, *secrets: bytes, now: int = NOW) -> Signed | None:
    name, query = taken_apart(url)
    return verify(secrets or (SECRET,), name, query, now)


def test_a_good_url_names_the_key_and_the_time_it_was_signed_for() -> None:
    assert URL.startswith(f"/files/{NAME}?")
    assert visit(URL) == SIGNED


@given(st.integers(len("/files/"), len(URL) - 1), st.characters(min_codepoint=32, max_codepoint=126))
@example(len(URL) - 1, "A")  # the last character of the signature has bits to spare
def test_a_url_with_one_other_character_is_refused(place: int, other: str) -> None:
    changed = URL[:place] + other + URL[place + 1 :]
    if taken_apart(changed) != taken_apart(URL):
        assert visit(changed) is None


@given(st.text(), st.fixed_dictionaries({}, optional={field: st.text() for field in "kesx"}))
@example(NAME, {"k": KEY, "e": str(EXPIRES), "s": "é" * 43})
@example(NAME, {"k": KEY, "e": "٣" * 10, "s": "A" * 43})
@example(NAME, {"k": KEY, "e": "9" * 5000, "s": "A" * 43})
@example(NAME, {})
def test_made_up_urls_are_refused(name: str, query: dict[str, str]) -> None:
    assert verify((SECRET,), name, query, NOW) is None


def test_one_part_never_runs_into_the_next() -> None:
    query = taken_apart(URL)[1]
    assert verify((SECRET,), f"{NAME}\n{KEY}", {**query, "k": ""}, NOW) is None
    assert verify((SECRET,), NAME[:-1], {**query, "k": NAME[-1] + KEY}, NOW) is None
    assert verify((SECRET,), NAME, {**query, "k": f"{KEY}\n{EXPIRES}"}, NOW) is None


def test_a_url_dies_at_its_time_and_that_time_is_signed() -> None:
    assert visit(URL, now=EXPIRES) is None
    assert visit(URL.replace(f"e={EXPIRES}", f"e={EXPIRES + 1}"), now=EXPIRES) is None
    assert visit(URL.replace("e=", "e=0")) is None


def test_the_ring_rotates_without_breaking_what_is_out() -> None:
    assert visit(URL, NEWER, SECRET) == SIGNED
    assert visit(sign(NEWER, NAME, KEY, EXPIRES), NEWER, SECRET) == SIGNED
    assert visit(URL, NEWER) is None
