"""What an administrator may do with teams and their keys."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from msgspec import UNSET

from gateway.core import keys as key_form
from gateway.core.catalogue import Catalogue
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.instants import iso, read_duration, read_end
from gateway.core.money import Budget, parse_budget
from gateway.pipeline.in_force import InForce
from gateway.pipeline.repeating import repeated
from gateway.ports import Clock, Key, Keys, KeyState, KeyTerms, Ledger, Team, TeamTerms

#: Never `.` nor `..`, which no URL can hold as a part of its path.
_TEAM = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")
_NAME_LENGTH = 64
#: Longer would be no grace but a second key under the same name.
_LONGEST_GRACE = 30 * 86_400 * 1000


class KeyAdministration:
    def __init__(
        self,
        *,
        keys: Keys,
        ledger: Ledger,
        policies: InForce,
        clock: Clock,
        pepper: bytes,
        key_made: Callable[[str, str], None] | None,
    ) -> None:
        self._keys = keys
        self._ledger = ledger
        self._policies = policies
        self._clock = clock
        self._pepper = pepper
        self._key_made = key_made

    async def create_key(
        self,
        team: str,
        name: str,
        budgets: Sequence[str],
        terms: KeyTerms | None = None,
        *,
        made_by: str = "",
        choose: Callable[[str], str] = secrets.choice,
    ) -> tuple[Key, str]:
        """A new key and its whole text, which is kept nowhere and so can be shown only now. A new team is made along."""
        check_team(team, "team")
        said = self._checked(replace(terms or KeyTerms(), name=name))
        limits = read_budgets(budgets)
        key_id, secret = key_form.mint(choose)
        digest = key_form.digest(self._pepper, secret)
        key = said.apply(Key(key_id, team, name, digest, self._clock.now(), made_by=made_by))
        if limits:
            # Before the key: a crash between the two leaves a budget without a key, never a key without its budget.
            await repeated(self._clock, lambda: self._ledger.set_budgets(f"key:{key_id}", limits))
        await repeated(self._clock, lambda: self._keys.add_key(key))
        if self._key_made is not None:
            self._key_made(team, key_id)
        return key, secret

    async def keys(self, team: str | None = None) -> Sequence[tuple[Key, KeyState]]:
        """Oldest first, and of each whether it may be used now."""
        # the teams last: a key's team is there before the key is
        keys = await self._keys.list_keys(team)
        teams = {team.name: team for team in await self._keys.list_teams()}
        return [(key, key.state(teams[key.team], self._clock.now())) for key in keys]

    async def key(self, key_id: str) -> tuple[Key, KeyState]:
        found = await self._keys.find_key(key_id)
        if found is None:
            raise NotFound(f"there is no key {key_id[:64]!r}", code="key_not_found", param="id")
        key, team = found
        return key, key.state(team, self._clock.now())

    async def change_key(self, key_id: str, terms: KeyTerms) -> tuple[Key, KeyState]:
        """Only what `terms` says; a revoked key stays revoked whatever is changed."""
        await self._keys.change_key(key_id, self._checked(terms))
        return await self.key(key_id)

    async def rotate(
        self, key_id: str, grace: str, *, force: bool = False, choose: Callable[[str], str] = secrets.choice
    ) -> tuple[Key, KeyState, str]:
        """A second secret under the same id, shown only now; the first one is good for `grace` (such as `24h`) more.

        While that of an earlier rotation still is, only by `force`: it would end at once, and may be the one in use.
        """
        lasts = _read_grace(grace)
        key, state = await self.key(key_id)
        if key.revoked_at is not None:
            raise InvalidRequest(f"the key {key_id} is revoked: a new secret would open nothing", param="id")
        now = self._clock.now()
        if key.old_until is not None and now < key.old_until and not force:
            raise InvalidRequest(
                f"the key {key_id} was rotated already, and its old secret works until {iso(key.old_until)}: another "
                "rotation would end that at once. Wait until then, or force it",
                param="force",
            )
        secret = key_form.mint_for(key_id, choose)
        digest, old_until = key_form.digest(self._pepper, secret), now + lasts
        await repeated(self._clock, lambda: self._keys.rotate_key(key_id, digest, old_until))
        # Not read anew: a store that goes down now would lose the secret, which is nowhere else.
        return replace(key, digest=digest, old_digest=key.digest, old_until=old_until), state, secret

    async def revoke(self, key_id: str) -> tuple[Key, KeyState]:
        """From now on the key is refused, for good; revoking twice keeps the first time."""
        await self._keys.revoke_key(key_id, self._clock.now())
        return await self.key(key_id)

    def expiry(self, text: str) -> int:
        """`30d`, `2026-12-31` or an instant as ms since the epoch."""
        try:
            return read_end(text, self._clock.now())
        except ValueError as error:
            raise InvalidRequest(str(error), param="expires") from error

    async def create_team(self, name: str, budgets: Sequence[str]) -> Team:
        """A team before its first key. What was set for it under `budgets` stays when none is named here."""
        check_team(name, "name")
        limits = read_budgets(budgets)
        team = Team(name, self._clock.now())
        # First: of two that make it the loser must not touch the winner's budgets. Without a key it spends nothing.
        if not await self._keys.add_team(team):
            raise InvalidRequest(f"there is a team {name} already", param="name")
        if limits:
            await self._ledger.set_budgets(f"team:{name}", limits)
        return team

    async def teams(self) -> Sequence[Team]:
        """By name."""
        return await self._keys.list_teams()

    async def team(self, name: str) -> Team:
        team = await self._keys.find_team(name)
        if team is None:
            raise NotFound(f"there is no team {name[:64]!r}", code="team_not_found", param="name")
        return team

    async def change_team(self, name: str, terms: TeamTerms) -> Team:
        """Disabling one has all its keys refused until it is enabled again."""
        await self._keys.change_team(name, terms)
        return await self.team(name)

    def _checked(self, terms: KeyTerms) -> KeyTerms:
        """The same, each name once. Raises InvalidRequest."""
        if terms.name is not UNSET:
            _check_name(terms.name)
        if terms.most_pixels is not UNSET and terms.most_pixels is not None:
            self._check_pixels(terms.most_pixels)
        if terms.models is not UNSET:
            terms = replace(terms, models=self._read_models(terms.models))
        if terms.endpoints is not UNSET:
            terms = replace(terms, endpoints=tuple(dict.fromkeys(terms.endpoints)))
        return terms

    def _check_pixels(self, pixels: int) -> None:
        """A key that can make no image at all is a slip of the pen: a side for a size."""
        least = min(model.limits.side[0] for model in self._policies.now.models.values()) ** 2
        if pixels < least:
            raise InvalidRequest(
                f"no image has so few pixels as {pixels}: the smallest has {least}", param="max_pixels"
            )

    def _read_models(self, names: Sequence[str]) -> tuple[str, ...]:
        """Real ids alone: what an alias means is the policies' to change, and a key would silently follow."""
        for name in names:
            try:
                model = Catalogue(self._policies.now).model(name)
            except NotFound as error:
                known = ", ".join(self._policies.now.models)
                raise InvalidRequest(f"{name[:64]!r} is no model here: there are {known}", param="models") from error
            if model.id != name:
                raise InvalidRequest(f"{name[:64]!r} is an alias: write {model.id}", param="models")
        return tuple(dict.fromkeys(names))


def check_team(team: str, param: str) -> None:
    if not _TEAM.fullmatch(team):
        raise InvalidRequest(
            f"{team[:64]!r} is no team name: 1 to 64 letters, digits, dots, dashes, underscores", param=param
        )


def read_budgets(texts: Sequence[str]) -> Sequence[Budget]:
    budgets: dict[str, Budget] = {}
    for text in texts:
        try:
            budget = parse_budget(text)
        except ValueError as error:
            raise InvalidRequest(str(error), param="budgets") from error
        if budget.window in budgets:
            raise InvalidRequest(f"two budgets for one window ({budget.window}): which one holds?", param="budgets")
        budgets[budget.window] = budget
    return tuple(budgets.values())


def _check_name(name: str) -> None:
    if len(name) > _NAME_LENGTH or not (name == "" or name.isprintable()):
        raise InvalidRequest(f"a key's name has at most {_NAME_LENGTH} printable characters", param="name")


def _read_grace(text: str) -> int:
    try:
        grace = read_duration(text)
    except ValueError as error:
        raise InvalidRequest(str(error), param="grace") from error
    if grace > _LONGEST_GRACE:
        raise InvalidRequest("a grace of more than 30d would be a second key: make one", param="grace")
    return grace
