"""The policies as shipped, and a second model: its id has a slash, a colon and capitals, one of its aliases is no pattern."""

from gateway.wiring.policy_files import packaged_policies, policy_texts

SHIPPED = "flux-2-klein-4b"
FREE = "black-forest-labs/FLUX.1:free"
DRAFT = "house/draft"

_ROUTE = f'\n[[routes]]\nmodel = "{FREE}"\nlegs = ["empiriolabs"]\n'


def two_models(aliases: str = f'["{DRAFT}", "draft-*"]') -> dict[str, str]:
    """Files by name; `aliases` are the second model's. It comes first, as its file does, and takes no reference images."""
    texts = dict(policy_texts(packaged_policies()))
    second = texts[f"models/{SHIPPED}.toml"]
    for old, new in (
        (f'id = "{SHIPPED}"', f'id = "{FREE}"'),
        ('aliases = ["gpt-image-*", "chatgpt-image-*", "dall-e-*"]', f"aliases = {aliases}"),
        ("price = 0.0085", "price = 0.0000005"),
        ("references = 4", "references = 0"),
    ):
        assert second.count(old) == 1
        second = second.replace(old, new)
    return texts | {"models/a-second.toml": second, "routes.toml": texts["routes.toml"] + _ROUTE}
