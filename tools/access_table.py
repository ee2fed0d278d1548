"""Writes docs/access.md: what opens each endpoint, for which audiences, and whose objects it shows.

`python -m tools.access_table` makes it anew from the rules that the service itself goes by.
"""

from pathlib import Path

from services.answer.endpoints.admission import ADMIN_RULE, RULES, AccessRule

FILE = Path(__file__).parents[1] / "docs" / "access.md"
OPENING = """# Who may do what

Made from the code by `python -m tools.access_table`. The first row that fits a request counts.

A key has one workspace, some scopes and some audiences beyond `public`. What was asked with a key
belongs to that key's name, so that the key which follows it has it too, and to the `customer` that
was named: other keys and other customers find nothing there. The scope `admin` has all the others
in it, and what was asked with any key of its workspace. What a caller may not see does not exist
for it (404); an audience that it may not ask for is refused (403).

Without a key, only this machine's own user may call, and only a server that never had a key and
listens on the loopback address: a request that came through a proxy, or from a page of another
site, is not theirs. `/metrics` (scope `metrics`) and `/openapi.json` (any key) are open to this
machine; `/healthz` and `/readyz` to everybody. A proxy on this machine that adds no header of its
own cannot be told from its user: make a key before you put one in front.

| Request | Scope | Audiences | Whose |
|---|---|---|---|
"""


def table() -> str:
    return OPENING + "".join(map(_row, (*RULES, ADMIN_RULE)))


def _row(rule: AccessRule) -> str:
    verb = "any" if rule.verb == "*" else rule.verb
    scopes = " or ".join(f"`{scope}`" for scope in rule.scopes) or "none: signed"
    shown = "any key" if len(rule.scopes) > 4 else scopes
    path = rule.path.replace("*", "{id}")
    return f"| {verb} `{path}` | {shown} | {rule.audience} | {rule.owner} |\n"


if __name__ == "__main__":
    FILE.write_text(table())
