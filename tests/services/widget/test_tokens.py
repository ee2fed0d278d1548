"""Nobody gets in by a token that is not theirs, here and now: forged, old, replayed, misplaced."""

import base64
import json
import random
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from services.widget import sessions, tokens
from services.widget.sites import Placed
from services.widget.tokens import Tokens
from tests.services.answer.asking import QUESTION
from tests.services.widget.visiting import SHOP, Visitor, World

OTHER = "https://evil.example.net"
BLOG = "https://blog.example.com"
"""Another page that may embed the same site."""
TRIES = 500


def later(world: World, seconds: float) -> Tokens:
    """The world's tokens as they are made `seconds` from now."""
    secret = world.widget.tokens._secret
    return Tokens(secret, clock=lambda: time.time() + seconds)


class Forger:
    """Makes tokens that should open nothing, each in another way."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = random.Random(11)
        self.site, self.other = world.site(origins=[SHOP, BLOG]), world.site(origins=[SHOP, OTHER])
        self.victim = world.visitor(self.site)
        self.elsewhere = world.visitor(self.other)
        self.claims = jwt.decode(self.token, options={"verify_signature": False})

    @property
    def token(self) -> str:
        token: str = self.victim.session["token"]
        return token

    def all(self) -> Iterator[tuple[str, str]]:
        """(token, origin) as a request would show them."""
        ways: tuple[Callable[[], tuple[str, str]], ...] = (
            self.flipped, self.signed_by_another, self.unsigned, self.other_algorithm,
            self.expired, self.wrong_origin, self.of_another_site, self.ticket, self.identity,
            self.changed, self.cut, self.ended,
        )  # fmt: skip
        while True:
            yield self.dice.choice(ways)()

    def flipped(self) -> tuple[str, str]:
        at = self.dice.randrange(len(self.token) - 1)  # the last character has unused bits
        letter = self.dice.choice([c for c in "abcXYZ019-_" if c != self.token[at]])
        return self.token[:at] + letter + self.token[at + 1 :], SHOP

    def signed_by_another(self) -> tuple[str, str]:
        return jwt.encode(self.claims, secrets.token_urlsafe(48), "HS256"), SHOP

    def unsigned(self) -> tuple[str, str]:
        header = self.dice.choice(["none", "None", "NONE", "nOnE"])
        head = base64.urlsafe_b64encode(json.dumps({"alg": header, "typ": "JWT"}).encode())
        body = self.token.split(".")[1]
        return f"{head.rstrip(b'=').decode()}.{body}.", SHOP

    def other_algorithm(self) -> tuple[str, str]:
        key = self.world.widget.tokens._session_key
        return jwt.encode(self.claims, key + key, self.dice.choice(["HS384", "HS512"])), SHOP

    def expired(self) -> tuple[str, str]:
        old = later(self.world, -tokens.TOKEN_S - self.dice.randrange(1, 10_000))
        return old.token(self.claims["sid"], self.claims["sub"], self.site.id, SHOP)[0], SHOP

    def wrong_origin(self) -> tuple[str, str]:
        near = [SHOP + ".evil.example", SHOP.replace("https", "http"), SHOP + "/", SHOP.upper()]
        return self.token, self.dice.choice([*near, BLOG, BLOG, OTHER, "", "null"])

    def of_another_site(self) -> tuple[str, str]:
        return self.elsewhere.session["token"], SHOP

    def ticket(self) -> tuple[str, str]:
        return self.world.widget.tokens.ticket(self.site.id, SHOP), SHOP

    def identity(self) -> tuple[str, str]:
        more = {**self.claims, "jti": str(uuid4())}
        return self.world.identity(self.site, **more), SHOP

    def changed(self) -> tuple[str, str]:
        head, _, sign = self.token.split(".")
        claims = {**self.claims, self.dice.choice(["sub", "sid"]): str(uuid4())}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return f"{head}.{body}.{sign}", SHOP

    def cut(self) -> tuple[str, str]:
        return self.token[: self.dice.randrange(1, len(self.token) - 1)], SHOP

    def ended(self) -> tuple[str, str]:
        made = self.world.widget.tokens
        return made.token(str(uuid4()), self.claims["sub"], self.site.id, SHOP)[0], SHOP


@pytest.mark.heavy
def test_of_500_false_tokens_none_is_accepted(here: World) -> None:
    forger = Forger(here)
    forger.victim.ask(QUESTION)
    accepted = []
    for _, (token, origin) in zip(range(TRIES), forger.all(), strict=False):
        thief = Visitor(here, forger.site, origin)
        thief.session = {"token": token}
        answer = thief("GET", "/thread")
        if answer.status_code not in (401, 403):
            accepted.append((token, origin, answer.status_code, answer.text))
    assert accepted == []
    assert forger.victim("GET", "/thread").status_code == 200


def test_an_expired_token_says_so_and_a_renewal_goes_on_with_the_thread(here: World) -> None:
    visitor = here.visitor(here.site())
    visitor.ask(QUESTION)
    renewal = visitor.session["renewal"]
    claims = jwt.decode(visitor.session["token"], options={"verify_signature": False})
    old = later(here, -tokens.TOKEN_S - 1)
    visitor.session["token"] = old.token(claims["sid"], claims["sub"], visitor.site.id, SHOP)[0]
    refused = visitor("GET", "/thread")
    assert refused.status_code == 401
    assert refused.json()["type"] == "urn:twofold:problem:token-expired"
    visitor.session = visitor("POST", "/sessions/renew", {"renewal": renewal}).json()
    assert len(visitor.thread()["items"]) == 1


def test_a_renewal_works_twice_in_a_moment_and_later_ends_its_session(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = here.visitor(here.site())
    first = visitor.session["renewal"]
    again = [visitor("POST", "/sessions/renew", {"renewal": first}) for _ in range(2)]
    assert [each.status_code for each in again] == [200, 200]
    newest = again[-1].json()["renewal"]
    monkeypatch.setattr(sessions, "TWICE_S", -1.0)
    visitor.session = visitor("POST", "/sessions/renew", {"renewal": newest}).json()
    stolen = visitor("POST", "/sessions/renew", {"renewal": newest})
    assert stolen.status_code == 401
    assert stolen.json()["type"] == "urn:twofold:problem:session-ended"
    assert visitor("GET", "/thread").status_code == 401, "what was made of it ends as well"


def test_a_session_that_was_ended_opens_nothing(here: World) -> None:
    visitor = here.visitor(here.site())
    assert visitor("DELETE", "/session").status_code == 204
    assert visitor("GET", "/thread").status_code == 401
    renewed = visitor("POST", "/sessions/renew", {"renewal": visitor.session["renewal"]})
    assert renewed.status_code == 401


def test_a_renewal_of_another_site_opens_nothing(here: World) -> None:
    mine, theirs = here.visitor(here.site()), here.visitor(here.site())
    answer = mine("POST", "/sessions/renew", {"renewal": theirs.session["renewal"]})
    assert answer.status_code == 401
    body = {"renewal": theirs.session["renewal"]}
    assert mine.begin(**body).json()["visitor"]["id"] != theirs.session["visitor"]["id"]


def test_a_site_that_drops_an_origin_drops_its_sessions(here: World) -> None:
    site = here.site(origins=[SHOP, OTHER])
    visitor = here.visitor(site, OTHER)
    assert visitor("GET", "/thread").status_code == 200
    here.widget.sites.edit(site.id, {"origins": [SHOP]})
    assert visitor("GET", "/thread").status_code == 403
    assert Visitor(here, site, OTHER).begin().status_code == 403


def test_a_frame_of_another_origin_is_no_frame_of_ours(here: World) -> None:
    visitor = here.visitor(here.site())
    assert visitor("GET", "/thread", Origin=OTHER).status_code == 403
    assert visitor("GET", "/thread", Origin=here.url).status_code == 200


def tickets(here: World, site: Placed) -> dict[str, dict[str, Any]]:
    made = here.widget.tokens
    other = here.site()
    return {
        "of another site": {"ticket": made.ticket(other.id, SHOP), "origin": SHOP},
        "of another origin": {"ticket": made.ticket(site.id, SHOP), "origin": OTHER},
        "not a ticket": {"ticket": made.token("a", "b", site.id, SHOP)[0], "origin": SHOP},
        "old": {"ticket": later(here, -tokens.TICKET_S - 1).ticket(site.id, SHOP), "origin": SHOP},
        "nonsense": {"ticket": "ey.ey.ey", "origin": SHOP},
    }


def test_no_session_begins_with_a_ticket_that_is_not_for_it(here: World) -> None:
    site = here.site()
    for name, body in tickets(here, site).items():
        answer = Visitor(here, site)("POST", "/sessions", body)
        assert answer.status_code == 401, name


# --- identities that a host signs ---------------------------------------------------------------


def test_a_signed_visitor_is_known_by_its_host_s_name_for_it(here: World) -> None:
    site = here.site(identity={"mode": "optional", "audiences": ["customer"]})
    anonymous = here.visitor(site)
    anonymous.ask(QUESTION)
    token = here.identity(site, name="Mara", email="mara@example.com", audience="customer")
    signed = anonymous("POST", "/identity", {"identity": token}).json()
    assert signed["visitor"]["kind"] == "identified"
    assert signed["visitor"]["name"] == "Mara"
    assert anonymous("GET", "/thread").status_code == 401, "the token from before is spent"
    anonymous.session = signed
    assert len(anonymous.thread()["items"]) == 1, "what was said before goes along"
    again = here.visitor(site, identity=here.identity(site))
    assert again.session["visitor"]["id"] == signed["visitor"]["id"]
    assert len(again.thread()["items"]) == 1


def refusals(here: World, site: Placed) -> dict[str, str]:
    now = int(time.time())
    other = here.site()
    fresh = {"sub": "a", "aud": site.id, "exp": now + 60, "jti": str(uuid4())}
    return {
        "no exp": here.identity(site, exp=None),
        "no jti": here.identity(site, jti=None),
        "no sub": here.identity(site, sub=None),
        "no aud": here.identity(site, aud=None),
        "of another site": here.identity(other),
        "for several": here.identity(site, aud=[site.id, other.id]),
        "old": here.identity(site, exp=now - 3600),
        "good for ever": here.identity(site, exp=now + 30 * 86_400),
        "exp of text": here.identity(site, exp=str(now + 60)),
        "sub of a number": here.identity(site, sub=7),
        "audience of a number": here.identity(site, audience=7),
        "not yet": here.identity(site, nbf=now + 3600),
        "another secret": jwt.encode(fresh, "x" * 48, "HS256"),
        "unsigned": jwt.encode(fresh, None, "none"),
        "another algorithm": jwt.encode(
            fresh, here.widget.tokens.identity_secret(site.id, 1) * 2, "HS512"
        ),
        "nonsense": "a.b.c",
        "long": "a" * 8000,
    }


def test_what_no_host_signed_for_us_now_signs_nobody_in(here: World) -> None:
    site = here.site()
    for name, token in refusals(here, site).items():
        answer = Visitor(here, site).begin(identity=token)
        assert answer.status_code == 401, (name, answer.text)
        assert answer.json()["type"] == "urn:twofold:problem:identity-refused", name


def test_an_identity_is_taken_once(here: World) -> None:
    site = here.site()
    token = here.identity(site)
    assert Visitor(here, site).begin(identity=token).status_code == 201
    replayed = [Visitor(here, site).begin(identity=token) for _ in range(20)]
    assert {each.status_code for each in replayed} == {401}
    same = here.identity(site, jti="again"), here.identity(site, jti="again", sub="other")
    statuses = [Visitor(here, site).begin(identity=each).status_code for each in same]
    assert statuses == [201, 401]


def test_an_audience_must_be_one_that_the_site_hands_out(here: World) -> None:
    site = here.site(identity={"audiences": ["customer"]})
    refused = Visitor(here, site).begin(identity=here.identity(site, audience=["internal"]))
    assert refused.status_code == 403
    assert "internal" in refused.json()["detail"]


def test_an_audience_that_a_site_hands_out_no_more_is_nobody_s(here: World) -> None:
    site = here.site(identity={"audiences": ["customer"]})
    visitor = here.visitor(site, identity=here.identity(site, audience=["customer"]))

    def asked_for() -> Any:
        id = visitor.ask("When are invoices issued?")["meta"]["answer_id"]
        return httpx.get(f"{here.url}/v1/answers/{id}").json()["audience"]

    assert asked_for() == ["customer"]
    here.widget.sites.edit(site.id, {"identity": {"audiences": []}})
    assert asked_for() == []


def test_a_rotated_secret_leaves_time_to_change_over(here: World) -> None:
    site = here.site()
    old = here.widget.sites.rotate(site.id)
    assert Visitor(here, site).begin(identity=here.identity(site)).status_code == 201
    assert Visitor(here, site).begin(identity=here.identity(old)).status_code == 201
    here.widget.sites.rotate(site.id)
    assert Visitor(here, site).begin(identity=here.identity(site)).status_code == 401


def test_a_site_for_customers_takes_nobody_else(here: World) -> None:
    site = here.site(identity={"mode": "required"})
    refused = Visitor(here, site).begin()
    assert refused.json()["type"] == "urn:twofold:problem:identity-needed"
    visitor = here.visitor(site, identity=here.identity(site))
    assert visitor("GET", "/thread").status_code == 200


def test_a_site_without_identities_refuses_them(here: World) -> None:
    site = here.site(identity={"mode": "none"})
    assert Visitor(here, site).begin(identity=here.identity(site)).status_code == 401
