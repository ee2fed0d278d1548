"""Nothing that anybody writes runs, or has anything fetched, wherever it is shown.

The network is the witness: `visit` fails where its page asks a host that is not ours. The page's
own policy would stop what slipped through; that nothing slips through, the elements show.
"""

from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Frame, expect

from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from services.widget.sites import Placed
from tests.e2e.widget.browsing import DeskVisit, Visit
from tests.e2e.widget.payloads import PAYLOADS
from tests.e2e.widget.serving import Place, Says, citation

ALLOWED = {
    *(
        "P",
        "H3",
        "UL",
        "OL",
        "LI",
        "PRE",
        "CODE",
        "BLOCKQUOTE",
        "HR",
        "DIV",
        "TABLE",
        "THEAD",
        "TBODY",
    ),
    *("TR", "TH", "TD", "STRONG", "EM", "A", "BUTTON", "SPAN", "MARK", "SECTION"),
}
ATTRIBUTES = {
    "class",
    "href",
    "target",
    "rel",
    "dir",
    "tabindex",
    "type",
    "aria-label",
    "title",
    "start",
    "role",
}
SURVEY = """(selector) => {
  const nodes = [...document.querySelectorAll(selector)]
    .flatMap((node) => [node, ...node.querySelectorAll("*")]);
  for (const node of nodes)
    for (const name of ["mouseover", "focus", "toggle", "error"])
      node.dispatchEvent(new Event(name));
  return {
    tags: [...new Set(nodes.map((node) => node.tagName))],
    names: [...new Set(nodes.flatMap((node) => node.getAttributeNames()))],
    links: nodes.filter(({ tagName }) => tagName === "A")
      .map(({ href, rel, innerText }) => [href, rel, innerText]),
    text: nodes.map((node) => node.innerText).join(""),
    hit: [window.hit, window.hits],
  };
}"""
STEERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


def check(frame: Frame, selector: str, *more: str) -> None:
    """Only what Markdown means came out of it, and every link says where it goes."""
    found = frame.evaluate(SURVEY, selector)
    assert set(found["tags"]) <= ALLOWED | set(more)
    assert set(found["names"]) <= ATTRIBUTES
    assert found["hit"] == [None, None]
    assert not set(found["text"]) & set(STEERING)
    for href, rel, text in found["links"]:
        assert href.startswith(("http://", "https://"))
        assert {"noopener", "noreferrer", "nofollow"} <= set(rel.split())
        assert href.split("/")[2] in text


def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) >= 100


def test_in_a_question_and_in_a_models_output(chat: Visit, place: Place) -> None:
    for number, payload in enumerate(PAYLOADS):
        place.between.says[payload.strip()] = Says(
            f"{payload} [1]",
            [citation(title=payload, quote=payload, url=payload)],
            size=1 + number % 5,
            recorded=False,
        )
        chat.write(payload)
        expect(chat.app.locator(".feedback")).to_have_count(number + 1)
    assert chat.app.locator(".bubble").count() == len(PAYLOADS)
    check(chat.frame, ".answer .prose")
    check(chat.frame, ".bubble")
    chat.refused_on_purpose = True  # There is no such page: the quote is shown.
    chat.app.locator(".chip").last.click()
    expect(chat.app.locator(".source .prose")).to_be_visible()
    check(chat.frame, ".source")


def test_in_an_agents_reply(chat: Visit, desk: DeskVisit, place: Place) -> None:
    chat.ask("How do I invite a member?")
    chat.ask_person(Your_name="Reads Replies")
    desk.pick("Reads Replies").take()
    handoff = desk.page.request.get(f"{place.our}/desk/v1/handoffs?state=taken").json()["handoffs"]
    id = next(card["id"] for card in handoff if card["visitor"] == "Reads Replies")
    for payload in PAYLOADS:
        body = {"id": str(uuid4()), "text": payload, "name": "Mara Lind"}
        sent = desk.page.request.post(f"{place.our}/desk/v1/handoffs/{id}/reply", data=body)
        assert sent.status == 201, sent.text()
    expect(chat.app.locator(".by-agent")).to_have_count(len(PAYLOADS))
    expect(desk.page.locator(".said.ours:not(.assistant)")).to_have_count(len(PAYLOADS))
    check(chat.frame, ".by-agent .prose")
    check(desk.page.main_frame, ".transcript .prose")


def test_in_a_visitors_name(place: Place, desk: DeskVisit, visit: Visit, site: Placed) -> None:
    sent: list[dict[str, str]] = []
    visit.page.on(
        "request",
        lambda each: (
            sent.append({"ticket": each.post_data_json["ticket"], **each.headers})
            if each.url.endswith("/sessions")
            else None
        ),
    )
    visit.go(place.page(site)).open()
    api, headers = f"{place.our}/widget/v1/{site.id}", {"twofold-origin": place.host}
    for payload in PAYLOADS:
        begun = {"ticket": sent[0]["ticket"], "origin": place.host}
        token = visit.context.request.post(f"{api}/sessions", data=begun).json()["token"]
        body = {"consent": True, "name": payload[:80], "message": "hello"}
        wanted = {**headers, "authorization": f"Bearer {token}"}
        made = visit.context.request.post(f"{api}/handoff", data=body, headers=wanted)
        assert made.status == 201, made.text()
    desk.page.reload()
    expect(desk.page.locator(".live.on")).to_be_visible()
    assert desk.page.locator(".card").count() >= len(PAYLOADS)
    check(desk.page.main_frame, ".queue .card b", "B")
    desk.pick("onerror")
    check(desk.page.main_frame, ".detail-head h2, .said h3", "H2", "TIME")


@pytest.fixture
def attacked(place: Place, tmp_path: Path) -> None:
    text = "\n\n".join(f"## Part {n}\n\n{payload}" for n, payload in enumerate(PAYLOADS))
    (tmp_path / "attack.md").write_text(
        f'---\ntitle: "<img src=x onerror=top.hit=1>"\n---\n\n{text}\n'
    )
    sync(place.parts.stack, place.parts.stack.settings.workspace, Folder("attacks", tmp_path))


@pytest.mark.usefixtures("attacked")
def test_in_a_documents_text(chat: Visit, place: Place) -> None:
    cited = {**citation(title="Attack", quote="Part 7"), "document": "attacks/attack.md"}
    place.between.says["attack"] = Says("See there. [1]", [cited])
    chat.ask("attack")
    chat.app.locator(".chip").first.click()
    expect(chat.app.locator(".source section").nth(50)).to_be_attached()
    check(chat.frame, ".source .prose")
