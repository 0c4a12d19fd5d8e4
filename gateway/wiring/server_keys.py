"""The keys of the [[servers]], held against routes.toml."""

from gateway.core.policy import Policies
from gateway.settings import Settings, SettingsError


def check_keys(settings: Settings, policies: Policies) -> None:
    """A key that nobody is given is a name misspelt: its server would be asked without one. Raises SettingsError."""
    unknown = settings.keys_of_providers.keys() - {server.name for server in policies.routes.servers}
    if unknown:
        raise SettingsError(
            f"IMAGEGATE_PROVIDER_KEYS has a key of {min(unknown)}, which is none of the [[servers]] in routes.toml"
        )
