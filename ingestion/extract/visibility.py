"""Whether a page is told to the public, by the keys that the tools of the field use for it.

Nobody is told of a page that is not published, or published and not to be found:

- `draft`, `published: false`, `publish: false`, `unpublished`, `archived`, `headless`, `wip`
  (Jekyll, Hugo, Docusaurus, Eleventy, Astro, Zendesk), `status` and `state` with a word such as
  `draft`, `private`, `pending` (Intercom, WordPress, Pelican), `build.render: never` (Hugo),
  `permalink: false` (Eleventy), `password`
- `unlisted`, `hidden`, `private`, `noindex`, `robots: noindex`, `seo.noindex` (Docusaurus,
  Mintlify, GitBook, ReadMe), `search: false`, `search.exclude`, `search_exclude` (MkDocs, Just the
  Docs, Hextra), `sitemap: false`, `sitemap.disable` (Jekyll, Hugo), `visible: false` (Grav),
  `ai_chatbot_availability: false` (Intercom)

Some readers are told of a page with `audience` (ours), `visibility` and `access` (Ghost and
others), `groups` (Mintlify), `roles`, `visible_to`, `internal`, `members_only`, `login_required`,
`user_segment_id` (Zendesk).

Case, `-` and `_` in a key do not count. A value of these keys that says neither yes nor no is
refused.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from twofold.errors import InvalidInput
from twofold.index.contract import PUBLIC

INTERNAL, CUSTOMER = "internal", "customer"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HIDES = _words("""
draft isdraft unlisted isunlisted hidden ishidden hide private isprivate unpublished noindex
robotsnoindex searchexclude excludesearch excludefromsearch nosearch searchhidden hiddenfromsearch
hidefromsearch exclude wip archived isarchived headless trashed deleted disabled sitemapexclude
eleventyexcludefromcollections disable skip norender
""")
_SHOWS = _words("""
published ispublished publish public ispublic searchable search visible isvisible listed indexed
indexable index sitemap enabled permalink render live aichatbotavailability aiagentavailability fin
""")
"""Keys that hide a page by saying no."""
_ENDED = _words("unpublished archived deleted trashed")
"""Keys that a day says yes to."""
_OF_MANY_KINDS = _words("search permalink sitemap index render live fin hide exclude skip secret")
"""Keys that hold addresses, lists and names elsewhere: only yes and no count."""
_FOR_STAFF = _words("""
internal isinternal internalonly staffonly agentsonly agentonly teamonly restricted confidential
secret protected
""")
_FOR_CUSTOMERS = _words("""
loginrequired requireslogin requirelogin requiresauth requireauth authrequired membersonly
customersonly signedinonly
""")
_NAMES = _words("""
audiences groups roles visibleto restrictedto allowedroles allowedgroups allowedaudiences
permissions usersegments
""")
"""Keys that name who may read, beside `audience`."""
_SEGMENTS = _words("usersegmentid usersegmentids")
_WORDED = _words("visibility access accesslevel privacy")
_STATES = _words("status state publicationstatus publishstatus poststatus stage workflowstate")
"""Keys that say many things: only words of ours count."""
_NESTED = _words("""
search seo sitemap build params extra meta metadata robots robotsmeta page options
""")
"""Keys whose own keys count as if they stood beside them."""

_HIDDEN_WORDS = _words("""
draft drafts private unpublished archived hidden unlisted pending review inreview trash trashed
deleted retired scheduled future wip inprogress workinprogress none noone never onlyme password
notpublished
""")
_OPEN_WORDS = _words("""
public published everyone everybody all anyone anybody world open free external live visible listed
default online active
""")
_INTERNAL_WORDS = _words("""
internal internalonly internaluse staff staffonly employee employees agent agents team teammates
company organization organisation restricted confidential secret
""")
_CUSTOMER_WORDS = _words("""
customer customers client clients member members membersonly paid registered signedin signedinusers
loggedin loggedinusers authenticated subscribers subscriber
""")
_PUBLIC_WORDS = _words("""
public everyone everybody all anyone anybody world external guest guests visitor visitors
anonymous *
""")
_AUDIENCE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,62}")
_YES = _words("true yes on y 1")
_NO = _words("false no off n 0 never")
_DAY = re.compile(r"\d{4}|\d{1,2}[./]|[A-Z][a-z]{2,8} \d")
"""How the value of a key begins that holds a day where others hold true or false."""

SAYS_WHO = (
    _HIDES | _FOR_STAFF | _FOR_CUSTOMERS | _NAMES | _SEGMENTS | _WORDED
    | _words("""audience published publish public searchable search robots expirydate expiresat
    unpublishdate publishdate effectivefrom""")
) - _words("""hide exclude skip disable secret disabled deleted access groups roles permissions
    protected restricted""")  # fmt: skip
"""Keys, in their normal form, that hardly stand at the head of a page as text."""


class Readers(NamedTuple):
    """`hidden` is why nobody is told of the page; `audience` the readers that a key other than
    `audience` leaves it."""

    hidden: str = ""
    audience: tuple[str, ...] = ()


def normal(key: str) -> str:
    """Returns a key without what tools write differently: `publish_date`, `publishDate`."""
    return re.sub(r"[\s_-]", "", str(key)).lower()


def readers(values: Mapping[str, Any]) -> Readers:
    """Returns what all keys together say. Raises InvalidInput naming a key that cannot be read."""
    hidden = ""
    audience: tuple[str, ...] = ()
    for key, value, shown in _flat(values):
        said = _said(key, value, shown)
        hidden = hidden or said.hidden
        audience = audience or said.audience
    return Readers(hidden, audience)


def audience_of(key: str, value: Any) -> tuple[str, ...]:
    """Returns names as people write them: `Admin`, "staff, customers"; what means everybody is
    public."""
    names = re.split(r"[,;|]", value) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise _wrong(key, value)
    return tuple(dict.fromkeys(_reader(key, value, name) for name in names))


def _reader(key: str, value: Any, name: Any) -> str:
    if isinstance(name, str) and normal(name) in _PUBLIC_WORDS:
        return PUBLIC
    written = re.sub(r"\s+", "-", name.strip().lower()) if isinstance(name, str) else ""
    if not _AUDIENCE.fullmatch(written):
        raise _wrong(key, value)
    return written


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Yields (key in its normal form, value, key as written), those of known groups of keys too."""
    for key, value in values.items():
        name = normal(key)
        if isinstance(value, dict) and name in _NESTED:
            for inner, each in value.items():
                within = normal(inner)
                if name == "build" and within == "list":
                    within = "render"
                yield within, each, f"{key}.{inner}"
        else:
            yield name, value, str(key)


def _said(key: str, value: Any, shown: str) -> Readers:
    if value is None:
        return Readers()
    if key in _HIDES:
        return Readers(_why(shown, value) if _yes(shown, value, key) else "")
    if key in _SHOWS:
        return Readers(_why(shown, value) if _yes(shown, value, key) is False else "")
    if key == "password":
        return Readers(f"`{shown}` protects it" if value else "")
    if key == "robots" or key == "googlebot":
        words = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        closed = re.search(r"\b(?:noindex|none)\b", words, re.IGNORECASE)
        return Readers(_why(shown, value) if closed else "")
    if key in _FOR_STAFF | _FOR_CUSTOMERS:
        meant = INTERNAL if key in _FOR_STAFF else CUSTOMER
        return Readers("", (meant,) if _yes(shown, value, key) else ())
    if key in _SEGMENTS:
        ids = value if isinstance(value, list) else [value]
        return Readers("", tuple(f"segment:{id}" for id in ids if id))
    if key in _NAMES:
        return Readers("", audience_of(shown, value) if value != [] else ())
    if key in _WORDED or key in _STATES:
        return _worded(key, value, shown)
    return Readers()


def _worded(key: str, value: Any, shown: str) -> Readers:
    if isinstance(value, list):
        return Readers("", audience_of(shown, value)) if key in _WORDED else Readers()
    word = normal(value) if isinstance(value, str) else str(value).lower()
    if word in _HIDDEN_WORDS or (key in _WORDED and word in _NO):
        return Readers(_why(shown, value))
    if word in _INTERNAL_WORDS:
        return Readers("", (INTERNAL,))
    if word in _CUSTOMER_WORDS:
        return Readers("", (CUSTOMER,))
    if key in _STATES or word in _OPEN_WORDS or word in _YES:
        return Readers()
    return Readers("", audience_of(shown, value))


def _yes(shown: str, value: Any, key: str) -> bool | None:
    """Returns None where the value is of another kind: a date, a list of what to hide."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, str | int) and word in _YES | _NO:
        return word in _YES
    if key == "search" and word in ("exclude", "excluded", "hidden", "none"):
        return False
    if key in _OF_MANY_KINDS or not word:
        return None
    if isinstance(value, date) or _DAY.match(str(value)):
        return True if key in _ENDED else None
    if not isinstance(value, str | int | float):
        return None
    raise InvalidInput(f"Front matter: {shown} is {_short(value)}; it must be true or false.")


def _why(shown: str, value: Any) -> str:
    written = str(value).lower() if isinstance(value, bool) else _short(value).strip("'")
    return f"`{shown}: {written}`"


def _wrong(key: str, value: Any) -> InvalidInput:
    return InvalidInput(
        f"Front matter: {key} is {_short(value)}; it must be a list of names such as [public],"
        " [customer] or [internal]."
    )


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) < 80 else shown[:77] + "..."
