"""The [[servers]] of routes.toml: what they say, and that nothing wrong in them is passed over."""

from decimal import Decimal

import pytest

from gateway.core.policy import Policies, parse
from gateway.core.policy_problems import PolicyError
from gateway.wiring.policy_files import packaged_policies, policy_texts

SHIPPED = policy_texts(packaged_policies())
SERVER = 'name = "vllm"\nurl = "http://gpu-1.internal:8000"'


def parsed(server: str, legs: str = '["empiriolabs"]') -> Policies:
    route = f'default = "flux-2-klein-4b"\n[[routes]]\nmodel = "flux-2-klein-4b"\nlegs = {legs}\n'
    return parse({**SHIPPED, "routes.toml": f"{route}[[servers]]\n{server}\n"})


def test_a_server_needs_a_name_and_an_address_alone() -> None:
    (server,) = parsed(SERVER).routes.servers
    assert (server.name, server.url) == ("vllm", "http://gpu-1.internal:8000")
    assert (server.references, server.masks, server.idempotent, server.most_at_once, server.deadline) == (
        4,
        False,
        False,
        4,
        300,
    )
    assert "output_format" not in server.fields


def test_what_the_shipped_example_says_is_a_server() -> None:
    commented = SHIPPED["routes.toml"].partition("# [[servers]]\n")[2]
    text = "\n".join(line.removeprefix("#").strip() for line in commented.splitlines())
    (server,) = parsed("\n".join(line for line in text.splitlines() if "=" in line or not line)).routes.servers
    assert server.fields == ["response_format", "output_format", "seed", "num_inference_steps", "guidance_scale"]


def test_a_leg_there_has_its_own_price_and_its_own_name_of_the_model() -> None:
    leg = '{ provider = "vllm", price = 0.0, model = "FLUX" }'
    policies = parsed(SERVER, f'[{leg}, "empiriolabs"]')
    assert policies.route("flux-2-klein-4b").legs[0].model == "FLUX"
    assert (policies.price("flux-2-klein-4b", "vllm"), policies.price("flux-2-klein-4b", "empiriolabs")) == (0, 8500)
    assert parsed(SERVER, '[{ provider = "vllm", price = 0 }]').routes.routes[0].legs[0].price == Decimal(0)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ('name = "vllm"', "servers.0.url"),
        ('url = "http://a"', "servers.0.name"),
        (f'{SERVER}\nkey = "sk-1"', "servers.0.key"),
        (f'{SERVER}\nfields = ["steps"]', "servers.0.fields.0"),
        (f"{SERVER}\nreferences = 17", "servers.0.references"),
        (f"{SERVER}\nmost_at_once = 0", "servers.0.most_at_once"),
        (f"{SERVER}\ndeadline = 0", "servers.0.deadline"),
        (f'{SERVER}\nmasks = "yes"', "servers.0.masks"),
        (SERVER.replace('"vllm"', '"V LLM"'), "servers.0.name"),
        (SERVER.replace('"vllm"', '"workers"'), "the name of another provider"),
        (SERVER.replace(":8000", ":8000/v1/"), "leave /v1 out"),
        *(
            (SERVER.replace("http://gpu-1.internal:8000", url), "servers.0.url: .*plain http")
            for url in ("gpu-1:8000", "http://u:p@gpu", "http://gpu:99999", "http://gpu?x=1", "http://gpu#x", "ftp://g")
        ),
    ],
)
def test_anything_wrong_is_refused_and_named(server: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told) as refused:
        parsed(server)
    assert str(refused.value).startswith("routes.toml: ")
