"""Policies: what is shipped parses to the contract's figures, and a set with anything wrong in it is refused whole."""

from decimal import Decimal

import pytest
from house import packaged

from gateway.core.policy import parse
from gateway.core.policy_problems import PolicyError
from gateway.core.rate import UNLIMITED, Defaults, Limits
from gateway.wiring.policy_files import packaged_policies, policy_texts

SHIPPED = policy_texts(packaged_policies())
MODEL = "models/flux-2-klein-4b.toml"


def test_the_shipped_policies_are_those_of_the_contract() -> None:
    policies = parse(SHIPPED)
    model = policies.models["flux-2-klein-4b"]
    assert (policies.routes.default, policies.route(model.id).providers) == (
        model.id,
        ["workers", "empiriolabs"],
    )
    assert (model.unit_price, model.images_per_call) == (8500, 4)
    assert (policies.gateway.unconfirmed.after, policies.gateway.unconfirmed.outcome) == (65 * 60, "charge")
    assert policies.gateway.budgets.warn_at == [Decimal("0.8"), Decimal("0.95")]
    assert policies.gateway.limits.defaults == UNLIMITED
    assert (policies.gateway.jobs.keep, policies.gateway.retries.adopt_within) == (7 * 86_400, 15 * 60)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("gateway.toml", 'outcome = "charge"', 'outcome = "ask"', "gateway.toml: unconfirmed.outcome"),
        ("gateway.toml", "after = 3900", "afer = 3900", "unconfirmed.after"),
        ("gateway.toml", "[jobs]", "[jobs", "gateway.toml"),
        ("gateway.toml", "warn_at = [0.8, 0.95]", "warn_at = [0.8, 1.5]", "budgets.warn_at.1"),
        ("gateway.toml", "# images_per_minute = 60", "images_per_minute = -1", "limits.keys.images_per_minute"),
        ("gateway.toml", "# images_per_minute = 60", "images_per_second = 1", "limits.keys.images_per_second"),
        ("gateway.toml", "# images_in_flight = 20", "images_in_flight = 1_000_001", "limits.keys.images_in_flight"),
        ("routes.toml", 'default = "flux-2-klein-4b"', 'default = "flux"', "describes flux"),
        ("routes.toml", '{ provider = "empiriolabs" }', "{}", "routes.0.legs.1"),
        ("routes.toml", 'provider = "empiriolabs"', 'provider = "elsewhere"', "elsewhere, which is no provider"),
        (MODEL, "price = 0.0085", 'price = "0.0085"', "price"),
        (MODEL, "price = 0.0085", "price = -1.0", "price"),
        (MODEL, 'id = "flux-2-klein-4b"', 'id = "flux-3"', "describes flux-2-klein-4b"),
        (MODEL, '"1:1" = "1024x1024"', '"1:1" = "1024"', "WIDTHxHEIGHT"),
        (MODEL, '"1:1" = "1024x1024"', '"5:4" = "1024x768"', "must have 1:1"),
        (MODEL, '"16:9" = "1344x768"', '"16:9" = "2048x1152"', "2048x1152 is outside"),
        (MODEL, '"1536x1024" = "1248x832"', '"1536x1024" = "128x128"', "128x128 is outside"),
        (MODEL, "steps = 4", "steps = 40", "defaults.steps: is outside"),
        (MODEL, "[empiriolabs]", "[elsewhere]", "elsewhere"),
    ],
)
def test_anything_wrong_refuses_the_whole_set_and_says_where(name: str, old: str, new: str, told: str) -> None:
    assert old in SHIPPED[name]
    with pytest.raises(PolicyError, match=told):
        parse({**SHIPPED, name: SHIPPED[name].replace(old, new)})


def test_limits_are_set_for_keys_and_for_teams_and_may_be_left_out() -> None:
    old = "[limits.teams]"
    text = SHIPPED["gateway.toml"].replace("# requests_per_minute = 60", "requests_per_minute = 60")
    text = text.replace(old, f"{old}\nimages_in_flight = 0")
    expected = Defaults(keys=Limits(requests_per_minute=60), teams=Limits(images_in_flight=0))
    assert parse({**SHIPPED, "gateway.toml": text}).gateway.limits.defaults == expected
    before = (
        SHIPPED["gateway.toml"].partition("[budgets]")[0] + "[jobs]" + SHIPPED["gateway.toml"].partition("[jobs]")[2]
    )
    older = parse({**SHIPPED, "gateway.toml": before}).gateway
    assert (older.limits.defaults, older.budgets.warn_at) == (UNLIMITED, [])


@pytest.mark.parametrize("missing", ["gateway.toml", "routes.toml", MODEL])
def test_a_set_lacks_nothing(missing: str) -> None:
    with pytest.raises(PolicyError, match=missing.removeprefix("models/").removesuffix(".toml")):
        parse({name: text for name, text in SHIPPED.items() if name != missing})


@pytest.mark.parametrize(("name", "told"), [("notes.toml", "notes.toml: is no policy"), ("models/z.toml", "twice")])
def test_a_set_has_nothing_twice_and_nothing_else(name: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        parse({**SHIPPED, name: SHIPPED[MODEL]})


def test_the_digest_tells_any_change() -> None:
    assert parse(SHIPPED).digest == parse(dict(reversed(SHIPPED.items()))).digest
    assert len({parse(SHIPPED).digest, packaged(price="0.009").digest, packaged(keep="86400").digest}) == 3


def test_prices_are_exact() -> None:
    assert packaged(price="0.1").models["flux-2-klein-4b"].unit_price == 100_000
    assert packaged(price="0.0000001").models["flux-2-klein-4b"].unit_price == 1
    assert packaged(price="0.0").models["flux-2-klein-4b"].unit_price == 0
