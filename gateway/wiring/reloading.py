"""Policies that change while the gateway runs: read anew, and taken over whole or not at all."""

import asyncio

from gateway.core.policy import Policies
from gateway.core.policy_changes import price_changes, servers_changed
from gateway.core.policy_problems import PolicyError, Problem
from gateway.pipeline.crew import Crew
from gateway.pipeline.in_force import InForce
from gateway.settings import Settings
from gateway.telemetry.recorder import Recorder
from gateway.wiring.policy_files import policy_directory, read_policies
from gateway.wiring.words import makers

_RESTART = "changed, and connections and keys of servers are those of the start: restart the gateway to use them"


class Reloading:
    def __init__(self, settings: Settings, policies: InForce, crew: Crew, recorder: Recorder) -> None:
        self._settings = settings
        self._policies = policies
        self._crew = crew
        self._recorder = recorder
        policies.heed(lambda now: recorder.policies(now.digest, makers(now)))

    def watch(self, asked: asyncio.Event) -> None:
        """Read them whenever `asked` is set, one time after the other: what is set meanwhile is read for once more."""

        async def next_time() -> None:
            await asked.wait()
            asked.clear()
            await self.reload()

        self._crew.listen("policies", 0.0, next_time)

    async def reload(self) -> bool:
        """Are the policies in the files in force now? If not, those before are, all of them."""
        old = self._policies.now
        try:
            new = await asyncio.to_thread(self._read, old)
        except (PolicyError, OSError) as error:
            told = {"error": str(error), "directory": str(policy_directory(self._settings)), "digest": old.digest}
            self._recorder.policies_refused()
            self._recorder.log("error", "policies_refused", told)
            return False
        self._policies.replace(new)
        gone, added = old.models.keys() - new.models.keys(), new.models.keys() - old.models.keys()
        fields = {
            "digest": new.digest,
            "before": old.digest,
            "prices": price_changes(old, new),
            "new_models": ", ".join(sorted(added)) or None,
            "gone_models": ", ".join(sorted(gone)) or None,
        }
        self._recorder.log("info", "policies_reloaded", fields)
        return True

    def _read(self, old: Policies) -> Policies:
        new = read_policies(self._settings)
        if servers_changed(old, new):
            raise PolicyError(Problem("routes.toml", "servers", _RESTART))
        return new
