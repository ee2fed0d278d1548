"""What goes wrong with behaviour: habits of a reply maker that saw the right passages.

A habit is made for a case, whose facts and pages it knows, so that it hurts.
"""

import json
import re
from collections.abc import Callable

from models.diagnosis.faults import words
from models.diagnosis.faults.site import Site
from models.evaluate.local import BenchCitation, BenchPassage, BenchReply
from models.suite.suite import Case
from twofold.reply import strip_marks

PRAISE = (
    "Thank you so much for reaching out to us today, it is always a pleasure to hear from you!",
    "We completely understand how important it is to you to get this exactly right.",
    "Many of our customers have wondered about the very same thing, so you are in good company.",
)
GOODBYE = (
    "We sincerely hope that this has been helpful and has answered everything you wanted to know.",
    "Please never hesitate to get in touch again at any time if there is anything else at all.",
    "Our whole team wishes you a wonderful day and every success with what you are working on!",
)
INVENTED = "In addition, members of the Aurora circle receive 17 free workshops every quarter."


def ignores_passage(site: Site) -> Case | None:
    """It answers from another passage than the one that holds the answer."""

    def habit(said: BenchReply) -> BenchReply:
        other = _other(site, said)
        if said.action != "ANSWER" or other is None:
            return said
        return _answering(said, _first(other.text), other)

    return _with(site, habit)


def leaves_out(site: Site) -> Case | None:
    """It says everything but what was asked."""

    def habit(said: BenchReply) -> BenchReply:
        if said.action != "ANSWER" or not said.citations:
            return said
        kept = words.without(said.text, site.facts)
        if len(strip_marks(kept).split()) > 4:
            return said._replace(text=kept)
        cited = {c.chunk for c in said.citations}
        for passage in said.passages:
            rest = words.without(passage.text, site.facts)
            if passage.chunk in cited and len(rest.split()) > 4:
                return _answering(said, _first(rest), passage)
        return said

    return _with(site, habit)


def drops_citations(site: Site) -> Case | None:
    def habit(said: BenchReply) -> BenchReply:
        if said.action != "ANSWER":
            return said
        return said._replace(text=strip_marks(said.text), citations=())

    return _with(site, habit)


def swaps_citations(site: Site) -> Case | None:
    """Its marks point to other passages."""

    def habit(said: BenchReply) -> BenchReply:
        other = _other(site, said)
        if said.action != "ANSWER" or other is None:
            return said
        quote = _first(other.text)
        swapped = (BenchCitation(c.n, other.chunk, quote) for c in said.citations)
        return said._replace(citations=tuple(swapped))

    return _with(site, habit)


def leaks_header(site: Site) -> Case | None:
    """The wire's header line stands in what the customer reads."""
    return _with(
        site,
        lambda said: (
            said._replace(text=f"ANSWER [team=support reason=none]\n{said.text}")
            if said.action == "ANSWER"
            else said
        ),
    )


def wraps_in_json(site: Site) -> Case | None:
    """It answers with an object where text was agreed on."""
    return _with(
        site,
        lambda said: (
            said._replace(text=json.dumps({"action": "ANSWER", "text": said.text}))
            if said.action == "ANSWER"
            else said
        ),
    )


def breaks_markup(site: Site) -> Case | None:
    """It opens a code block that it never closes, and marks what is not there."""
    return _with(
        site,
        lambda said: (
            said._replace(text=f"```markdown\n{said.text} [9]") if said.action == "ANSWER" else said
        ),
    )


def flatters(site: Site) -> Case | None:
    """It wraps the answer in courtesies."""
    return _with(
        site,
        lambda said: (
            said._replace(text="\n\n".join([" ".join(PRAISE), said.text, " ".join(GOODBYE)]))
            if said.action == "ANSWER"
            else said
        ),
    )


def rambles(site: Site) -> Case | None:
    """It tells what else the passages hold, truly and with its sources, until it is long."""

    def habit(said: BenchReply) -> BenchReply:
        if said.action != "ANSWER":
            return said
        n = max((c.n for c in said.citations), default=0)
        text, citations = said.text, list(said.citations)
        for passage in said.passages[1:]:
            n += 1
            text += f"\n\n{_plain(passage.text)} [{n}]"
            citations.append(BenchCitation(n, passage.chunk, _first(passage.text)))
        return said._replace(text=text, citations=tuple(citations))

    return _with(site, habit)


def wrong_voice(site: Site) -> Case | None:
    """It says what the house never says."""
    banned = site.house.style.banned
    if not banned:
        return None
    phrase = site.random.choice(banned)
    return _with(
        site,
        lambda said: (
            said._replace(text=f"{phrase[:1].upper()}{phrase[1:]}. {said.text}")
            if said.action == "ANSWER"
            else said
        ),
    )


def calls_a_person(site: Site) -> Case | None:
    """It hands over what it could answer."""
    reason = next(name for name in site.house.reasons if name != "not_in_sources")
    team = site.house.reasons[reason].team
    return _with(
        site,
        lambda said: said._replace(
            action="ESCALATE", team=team, reason=reason, text="A colleague takes over.",
            citations=(),
        ),
    )  # fmt: skip


def sees_a_gap(site: Site) -> Case | None:
    """It says that the sources do not hold what they do."""
    team = site.house.reasons["not_in_sources"].team
    return _with(
        site,
        lambda said: said._replace(
            action="ESCALATE", team=team, reason="not_in_sources", citations=(),
            text="I found nothing about this and hand over to a colleague.",
        ),
    )  # fmt: skip


def keeps_to_itself(site: Site) -> Case | None:
    """It answers what a person should."""

    def habit(said: BenchReply) -> BenchReply:
        if said.action != "ESCALATE" or not said.passages:
            return said
        passage = said.passages[0]
        return _answering(said, _first(passage.text), passage)

    if site.case.expect.action != "ESCALATE":
        return None
    site.behave(habit)
    return site.case


def refuses(site: Site) -> Case | None:
    return _with(
        site,
        lambda said: said._replace(
            action="DECLINE", team=None, reason=None, text="I can't help with that.", citations=()
        ),
    )


def asks_back(site: Site) -> Case | None:
    return _with(
        site,
        lambda said: said._replace(
            action="CLARIFY", team=None, reason=None, citations=(),
            text="Could you tell me a little more about what you mean?",
        ),
    )  # fmt: skip


def invents_number(site: Site) -> Case | None:
    """It says the right sentence with another number."""

    def habit(said: BenchReply) -> BenchReply:
        false = words.falsified(said.text, site.facts, site.random)
        return said if said.action != "ANSWER" or false is None else said._replace(text=false)

    return _with(site, habit)


def adds_claim(site: Site) -> Case | None:
    """It adds what no passage says."""
    return _with(
        site,
        lambda said: (
            said._replace(text=f"{said.text} {INVENTED} [1]") if said.action == "ANSWER" else said
        ),
    )


def _with(site: Site, habit: Callable[[BenchReply], BenchReply]) -> Case | None:
    if site.case.expect.action != "ANSWER":
        return None
    site.behave(habit)
    return site.case


def _other(site: Site, said: BenchReply) -> BenchPassage | None:
    """A passage that was seen, is of no gold page, and holds no fact."""
    gold = site.case.expect.documents
    return next(
        (
            passage
            for passage in said.passages
            if passage.document.partition("/")[2] not in gold and not site.holds(passage.text)
        ),
        None,
    )


def _answering(said: BenchReply, text: str, passage: BenchPassage) -> BenchReply:
    return said._replace(
        action="ANSWER", team=None, reason=None, text=f"{_plain(text)} [1]",
        citations=(BenchCitation(1, passage.chunk, text),),
    )  # fmt: skip


def _first(text: str) -> str:
    """The first piece of a passage that is a whole sentence, else its first piece."""
    found = [text[a:b] for a, b in words.pieces(text)]
    whole = (piece for piece in found if len(piece.split()) > 5 and piece.rstrip()[-1:] in ".!")
    return next(whole, found[0] if found else text[:80])


def _plain(text: str) -> str:
    return re.sub(r"\n{2,}", "\n", text).strip()
