"""Releases into a running vLLM: loaded once under their own name, verified, warm, and out again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.registry import Registry
from models.serve.args import check_files
from models.serve.vllm import Served, Vllm
from twofold.errors import Conflict
from twofold.ledger.releases import Release
from twofold.prompt import Message, Profile, instructions
from twofold.reply import grammar

GRACE_S = 60.0
"""A retired release stays loaded for so long: services learn of it within seconds, and replies that
it has begun end within theirs."""
GREETING = "Hello"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Brings a running server to what the registry says. All of it may be done again."""

    registry: Registry
    server: Vllm
    grace_s: float = GRACE_S
    clock: Callable[[], float] = time.time

    def ready(self, release: Release) -> bool:
        """Returns the release is loaded, listed as made upon its base, and answers under its name.
        False where it was there already.

        Raises Conflict where the server holds another adapter under that name, or serves another
        base: a name that was used is never loaded again with something else.
        """
        check_files(release)
        served = self.server.served()
        if release.name in served:
            _check(release, served, self.server.url)
            return False
        _base_of(release, served, self.server.url)
        try:
            self.server.load(release.name, release.adapter_path)
        except Conflict:
            # Somebody else loaded it in between.
            _check(release, self.server.served(), self.server.url)
            return False
        _check(release, self.server.served(), self.server.url)
        self._greet(release.name, release.profile)
        return True

    def warm(self) -> list[str]:
        """Loads what should be there and asks every name once, so that no customer is the first
        to. Returns the names."""
        profiles: dict[str, Profile] = {}
        asked = set()
        for release in self.registry.wanted():
            profiles[release.name] = release.profile
            if self.ready(release):
                asked.add(release.name)
        for name, served in self.server.served().items():
            if not served.parent:
                profiles[name] = "full"
        for name, profile in profiles.items():
            if name not in asked:
                self._greet(name, profile)
        return list(profiles)

    def sweep(self) -> list[str]:
        """Unloads what was retired or refused longer than `grace_s` ago. Returns the names."""
        kept = {release.name for release in self.registry.wanted()}
        served = self.server.served()
        gone = [
            release.name
            for release in self.registry.all()
            if release.state in ("retired", "refused")
            and release.name in served
            and release.name not in kept
            and release.changed_at <= self.clock() - self.grace_s
        ]
        for name in gone:
            self.server.unload(name)
        return gone

    def _greet(self, name: str, profile: Profile) -> None:
        house = self.registry.house
        messages: Sequence[Message] = (
            Message("system", instructions(house, profile)),
            Message("user", GREETING),
        )
        self.server.ask(name, messages, grammar(house.reason_teams))


def _check(release: Release, served: dict[str, Served], url: str) -> None:
    """Raises Conflict unless `served` has the release as it was published."""
    found = served.get(release.name)
    if found is None:
        raise Conflict(f"{url} took {release.name!r} and does not list it. See its log.")
    if Path(found.root).resolve() != Path(release.adapter_path).resolve():
        raise Conflict(
            f"{url} holds {found.root} under the name {release.name!r}, not"
            f" {release.adapter_path}. A name is never loaded twice: start the server again, with"
            " the arguments of twofold model serve-args."
        )
    base = _base_of(release, served, url)
    if found.parent != base:
        raise Conflict(f"{url} has {release.name!r} upon {found.parent!r}, not upon {base!r}.")


def _base_of(release: Release, served: dict[str, Served], url: str) -> str:
    """Returns the name of the served base that the release was made upon. Raises Conflict
    without one."""
    for name, each in served.items():
        if not each.parent and (name == release.base or _same(each.root, release.base_path)):
            return name
    bases = ", ".join(f"{n} ({each.root})" for n, each in served.items() if not each.parent)
    raise Conflict(
        f"{release.name!r} was made upon {release.base} ({release.base_path}); {url} serves"
        f" {bases or 'no base'}."
    )


def _same(one: str, other: str) -> bool:
    return one == other or Path(one).resolve() == Path(other).resolve()
