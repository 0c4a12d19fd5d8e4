"""Routes: whatever is wrong with them refuses the whole set and says where; whatever is accepted can be reckoned with."""

import json
from collections.abc import Mapping
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.policy import Policies, parse
from gateway.core.policy_problems import PolicyError
from gateway.core.route_policy import DEAREST
from gateway.wiring.policy_files import packaged_policies, policy_texts

MODEL = "flux-2-klein-4b"
SERVER = '[[servers]]\nname = "vllm"\nurl = "http://gpu-1:8000"'


@cache
def packaged() -> Mapping[str, str]:
    return policy_texts(packaged_policies())


def with_routes(*lines: str, default: str = MODEL) -> Policies:
    return parse({**packaged(), "routes.toml": "\n".join([f'default = "{default}"', *lines])})


def one_route(legs: str, *more: str) -> Policies:
    return with_routes("[[routes]]", f'model = "{MODEL}"', f"legs = {legs}", *more)


@pytest.mark.parametrize(
    ("legs", "where"),
    [
        ("[]", "routes.0.legs"),
        ('"empiriolabs"', "routes.0.legs"),
        ("[5]", "routes.0.legs.0"),
        ('["nobody"]', "nobody, which is no provider"),
        ('["workers", { provider = "workers", price = 1 }]', "two legs at one provider"),
        ("[{ price = 1 }]", "routes.0.legs.0.provider"),
        ('[{ provider = "workers", price = -0.01 }]', "routes.0.legs.0.price"),
        ('[{ provider = "workers", price = "1" }]', "routes.0.legs.0.price"),
        ('[{ provider = "workers", price = true }]', "routes.0.legs.0.price"),
        ('[{ provider = "workers", price = nan }]', "routes.0.legs.0.price"),
        ('[{ provider = "workers", price = inf }]', "routes.0.legs.0.price"),
        ('[{ provider = "workers", price = 1e30 }]', "routes.0.legs.0.price"),
        ('[{ provider = "workers", wait_below = 0 }]', "routes.0.legs.0.wait_below"),
        ('[{ provider = "workers", wait_below = nan }]', "routes.0.legs.0.wait_below"),
        ('["workers", { provider = "empiriolabs", budget_below = 0 }]', "routes.0.legs.1.budget_below"),
        ('["workers", { provider = "empiriolabs", budget_below = 1.01 }]', "routes.0.legs.1.budget_below"),
        ('["workers", { provider = "empiriolabs", budget_belov = 0.5 }]', "routes.0.legs.1.budget_belov"),
    ],
)
def test_a_leg_that_is_wrong_is_named(legs: str, where: str) -> None:
    with pytest.raises(PolicyError, match=r"^routes\.toml: ") as told:
        one_route(legs)
    assert where in str(told.value)


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["[[routes]]", f'model = "{MODEL}"'], "routes.0.legs"),
        (["[[routes]]", 'model = "none"', 'legs = ["workers"]'], "describes none"),
        ([], "routes"),
        (["routes = []"], f"the model {MODEL} has no route"),
        (["[[routes]]", f'model = "{MODEL}"', 'legs = ["workers"]'] * 2, "a model has two routes"),
        (["[[routes]]", f'model = "{MODEL}"', 'legs = ["workers"]', 'any_engine = "yes"'], "routes.0.any_engine"),
        (["[[routes]]", f'model = "{MODEL}"', 'legs = ["workers"]', SERVER, SERVER], "the name of another provider"),
        (["[[routes]]", f'model = "{MODEL}"', 'legs = ["workers"]', SERVER.replace("vllm", "workers")], "the name of"),
    ],
)
def test_a_route_that_is_wrong_is_named(lines: list[str], where: str) -> None:
    with pytest.raises(PolicyError, match=r"^routes\.toml: ") as told:
        with_routes(*lines)
    assert where in str(told.value)


@pytest.mark.parametrize(
    ("leg", "price"),
    [
        ('"workers"', 0),
        ('{ provider = "workers", price = 0.0001 }', 100),
        ('{ provider = "vllm" }', 8500),
        ('{ provider = "vllm", price = 0 }', 0),
        ('{ provider = "vllm", price = 1 }', 1_000_000),
        ('{ provider = "vllm", price = 0.00000001 }', 1),
        ('{ provider = "vllm", price = 1e-400 }', 1),
        (f'{{ provider = "vllm", price = {DEAREST} }}', DEAREST * 1_000_000),
    ],
)
def test_what_an_image_costs_at_a_leg(leg: str, price: int) -> None:
    policies = one_route(f"[{leg}]", SERVER)
    (own,) = policies.route(MODEL).providers
    assert policies.price(MODEL, own) == price


_numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda each: f"{each:f}"[:60]),
    st.sampled_from(["nan", "inf", "-inf", "0.0", "-0.0", "1e400", "1e-400", "0.5", "1", "10"]),
)
_values = st.recursive(
    st.one_of(_numbers, st.booleans().map(lambda each: str(each).lower()), st.text(max_size=9).map(json.dumps)),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
    max_leaves=4,
)
_names = st.sampled_from(["provider", "price", "wait_below", "budget_below", "model", "other"])
_providers = st.sampled_from(['"workers"', '"empiriolabs"', '"vllm"', '"nobody"'])
_leg = st.one_of(
    _providers,
    st.tuples(_providers, st.dictionaries(_names, st.one_of(_numbers, _values), max_size=3)).map(
        lambda each: "{ " + ", ".join(f"{k} = {v}" for k, v in {"provider": each[0], **each[1]}.items()) + " }"
    ),
    _values,
)


@given(st.lists(_leg, max_size=4), st.one_of(st.just("false"), _values))
def test_whatever_is_written_is_reckoned_with_or_refused(legs: list[str], any_engine: str) -> None:
    try:
        policies = one_route(f"[{', '.join(legs)}]", f"any_engine = {any_engine}", SERVER)
    except PolicyError as error:
        assert str(error).startswith("routes.toml: ")  # noqa: PT017 - either way is right
        return
    route = policies.route(MODEL)
    for leg in route.legs:
        assert 0 <= policies.price(MODEL, leg.provider) <= DEAREST * 1_000_000
        assert leg.wait_below is None or leg.wait_below > 0
        assert leg.budget_below is None or 0 < leg.budget_below <= 1
    assert len(set(route.providers)) == len(route.legs) > 0
