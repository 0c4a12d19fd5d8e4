"""What is said of policies: all that is wrong, what is odd, and what changes from one set to the next."""

from decimal import Decimal

import pytest
from policy_sets import SHIPPED_SET, edited
from two_models import FREE, SHIPPED, two_models

from gateway.core.policy import parse
from gateway.core.policy_changes import price_changes, servers_changed
from gateway.core.policy_problems import PolicyError
from gateway.core.policy_warnings import warnings

SERVER = '\n[[servers]]\nname = "vllm"\nurl = "http://gpu"\n'
MODEL_FILE = f"models/{SHIPPED}.toml"


def told(texts: dict[str, str]) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        parse(texts)
    assert str(refused.value) == "; ".join(map(str, refused.value.problems))
    return [str(problem) for problem in refused.value.problems]


def test_all_that_is_wrong_is_said_at_once_and_in_words() -> None:
    broken = edited(
        ("after = 3900", "after = 3\nbefore = 1"),
        ('outcome = "charge"', 'outcome = "ask"'),
        ("price = 0.0085", 'price = "x"'),
        ("images_per_call = 4", "images_per_call = 4.5"),
        ("created = 2026-01-15", 'created = "2026-01-15"'),
    )
    assert told(broken) == [
        "gateway.toml: unconfirmed.after: must be at least 60",
        "gateway.toml: unconfirmed.outcome: must be 'charge' or 'release'",
        "gateway.toml: unconfirmed.before: is no key of this table",
        f"{MODEL_FILE}: created: must be a date, such as 2026-01-15, without quotes",
        f"{MODEL_FILE}: price: must be a number, such as 10 or 1.5",
        f"{MODEL_FILE}: images_per_call: must be a whole number",
    ]


def test_a_whole_number_is_a_number_wherever_one_is_asked_for() -> None:
    whole = parse(
        edited(
            ("price = 0.0085", "price = 2"),
            ("warn_at = [0.8, 0.95]", "warn_at = [1]"),
            ("guidance = [0.0, 8.0]", "guidance = [0, 8]"),
            ("guidance = 1.0", "guidance = 1"),
        )
    )
    model = whole.models[SHIPPED]
    assert model.unit_price == 2_000_000
    assert whole.gateway.budgets.warn_at == [Decimal(1)]
    assert (model.limits.guidance, model.defaults.guidance) == ([Decimal(0), Decimal(8)], Decimal(1))
    yes = edited(("price = 0.0085", "price = true"))
    assert told(yes) == [f"{MODEL_FILE}: price: must be a number, such as 10 or 1.5"]


def test_what_files_say_of_each_other_is_told_together() -> None:
    routes = 'default = "a"\n[[routes]]\nmodel = "b"\nlegs = ["c"]'
    assert told({**SHIPPED_SET, "routes.toml": routes}) == [
        "routes.toml: no file in models/ describes a",
        "routes.toml: no file in models/ describes b",
        "routes.toml: b has a leg at c, which is no provider",
        f"routes.toml: the model {SHIPPED} has no route",
    ]


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    assert "canary" not in " ".join(told(edited(("after = 3900", 'after = "sk-canary"'))))


def test_what_is_shipped_is_not_odd() -> None:
    assert warnings(parse(SHIPPED_SET)) == []


@pytest.mark.parametrize(
    ("aliases", "odd"),
    [
        ('["draft-*"]', []),
        (f'["{SHIPPED}"]', [f"model {FREE}: aliases.0: {SHIPPED} is the id of a model, and means that one alone"]),
        (
            '["draft", "gpt-image-*"]',
            [f"model {SHIPPED}: aliases.0: gpt-image-* means {FREE}, whose aliases come first"],
        ),
        ('["dall-*"]', [f"model {SHIPPED}: aliases.2: dall-e-* means {FREE}, whose aliases come first"]),
    ],
)
def test_a_name_that_means_another_model_is_odd(aliases: str, odd: list[str]) -> None:
    assert [str(each) for each in warnings(parse(two_models(aliases)))] == odd


def test_a_leg_that_is_dearer_than_its_model_and_a_server_of_no_route_are_odd() -> None:
    dear = edited(('provider = "workers", wait', 'provider = "workers", price = 0.01, wait'))
    found = [str(each) for each in warnings(parse({**dear, "routes.toml": dear["routes.toml"] + SERVER}))]
    assert [each.partition(" is above")[0] for each in found] == [
        "routes.toml: routes.0.legs.0.price: $0.01",
        "routes.toml: servers.0: no route has a leg at vllm",
    ]


def test_prices_that_change_are_told_of_models_and_of_their_legs() -> None:
    old = parse(SHIPPED_SET)
    leg = parse(edited(('provider = "empiriolabs" }', 'provider = "empiriolabs", price = 0.007 }')))
    assert price_changes(old, old) is None
    assert price_changes(old, leg) == f"{SHIPPED} at empiriolabs $0.0085 -> $0.007"
    assert price_changes(old, parse(two_models())) is None  # one that is new had no price


def test_servers_have_changed_when_one_has_and_not_when_they_stand_in_another_order() -> None:
    routes, other = SHIPPED_SET["routes.toml"], SERVER.replace("vllm", "sglang")
    one, two, three, slower = (
        parse({**SHIPPED_SET, "routes.toml": routes + servers})
        for servers in (SERVER, SERVER + other, other + SERVER, SERVER + "deadline = 9")
    )
    assert servers_changed(one, two)
    assert servers_changed(one, slower)
    assert not servers_changed(two, three)
