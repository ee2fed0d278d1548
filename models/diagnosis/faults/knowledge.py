"""What goes wrong with knowledge, each way on real stores.

A fault takes the site of a case that is answered rightly, breaks something, and gives the case as
it is to be asked; None where it does not fit the case. It knows nothing of who will look for it.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from models.diagnosis.faults import words
from models.diagnosis.faults.site import DAY, Site
from models.suite.suite import Case, CaseTurn

BURYING = 40
CROWDING = 9
TURNS = 3


def removed(site: Site) -> Case | None:
    """The page is gone at its source, and a sync has seen it."""
    for held in site.gold():
        site.drop(held.chunks)
        site.set_version(held, points=[])
        site.set_document(held, live=None, removed_at=time.time(), raw_hash="")
        site.remove_file(held)
    return site.case


def never_written(site: Site) -> Case | None:
    """There never was such a page."""
    for held in site.gold():
        site.drop(held.chunks)
        site.forget(held)
        site.remove_file(held)
    return site.case


def failed(site: Site) -> Case | None:
    """The page is at its source and could not be read."""
    for held in site.gold():
        site.drop(held.chunks)
        site.forget(held)
        site.fail(held, "extract", "the file is encrypted")
    return site.case


def quarantined(site: Site) -> Case | None:
    """Somebody hid the page from every answer."""
    for held in site.gold():
        site.set_version(held, quarantined=True)
        site.change(held.chunks, lambda chunk: replace(chunk, quarantined=True))
    return site.case


def lost(site: Site) -> Case | None:
    """The ledger has the page, the index lost its passages."""
    for held in site.gold():
        site.drop(held.chunks)
    return site.case


def expired(site: Site) -> Case | None:
    then = time.time() - DAY
    for held in site.gold():
        site.set_version(held, applied_until=then)
        site.change(held.chunks, lambda chunk: replace(chunk, expires_at=int(then)))
    return site.case


def not_yet(site: Site) -> Case | None:
    """The page takes effect next week."""
    then = time.time() + 7 * DAY
    for held in site.gold():
        site.set_version(held, applied_from=then)
        site.change(held.chunks, lambda chunk: replace(chunk, effective_from=int(then)))
    return site.case


def for_others(site: Site) -> Case | None:
    """The page is for an audience that the asker is none of."""
    for held in site.gold():
        site.set_version(held, audience=["board"])
        site.change(held.chunks, lambda chunk: replace(chunk, audience=("board",)))
    return site.case


def superseded(site: Site) -> Case | None:
    """A newer version of the page no longer says it."""
    done = False
    for held in site.gold():
        sections = words.sections_with(held.version["sections"], lambda t: _edited(site, t))
        if sections and sections != held.version["sections"]:
            site.next_version(held, sections)
            site.rewrite_file(held, "\n\n".join(section["text"] for section in sections))
            done = True
    return site.case if done else None


def behind(site: Site) -> Case | None:
    """What answers is older than the page is at its source: the sync has not run."""
    done = False
    for held in site.gold():
        changed = [replace(chunk, text=_edited(site, chunk.text)) for chunk in held.chunks]
        if all(one == two for one, two in zip(changed, held.chunks, strict=True)):
            continue
        kept = [chunk for chunk in changed if chunk.text.strip()]
        site.drop(held.chunks)
        site.add(kept)
        site.set_version(
            held,
            sections=words.sections_with(held.version["sections"], lambda t: _edited(site, t)),
            points=[chunk.id for chunk in kept],
            raw_hash="of an older file",
        )
        site.set_document(held, raw_hash="of an older file")
        done = True
    return site.case if done else None


def garbled(site: Site) -> Case | None:
    """The reader of documents made letter soup of what matters."""
    return _misread(site, lambda text: words.garbled(text, site.facts))


def left_out(site: Site) -> Case | None:
    """The reader of documents dropped the table, list or sentence that matters."""
    return _misread(site, lambda text: words.without(text, site.facts))


def split(site: Site) -> Case | None:
    """What belongs together stands in two passages."""
    done = False
    for held in site.gold():
        for chunk in held.chunks:
            halves = words.cut_in(chunk.text, site.facts)
            if halves is None or not all(halves):
                continue
            parts = [
                replace(chunk, id=f"{chunk.id[:-2]}{n:02x}", text=half)
                for n, half in enumerate(halves, start=0xF0)
            ]
            site.drop([chunk])
            site.add(parts)
            points = [point for point in held.version["points"] if point != chunk.id]
            site.set_version(held, points=[*points, *(part.id for part in parts)])
            done = True
    return site.case if done else None


def buried(site: Site) -> Case | None:
    """So many pages read like the question that the one that answers it is not found."""
    return _distracted(site, BURYING)


def crowded(site: Site) -> Case | None:
    """A handful of pages reads like the question: the right one is found, behind them."""
    return _distracted(site, CROWDING)


def misembedded(site: Site) -> Case | None:
    """The page's passages stand in the index where other texts would."""
    texts = ["The weather on the northern coast stays mild until late in October."]
    for held in site.gold():
        site.misplace(held.chunks, texts * len(held.chunks))
    return site.case


def small_context(site: Site) -> Case | None:
    """Too little fits the reply maker's context."""
    site.narrow(1, 300)
    return site.case


def contradicted(site: Site) -> Case | None:
    """Another article says it with another number, and is closer to the question."""
    made = _otherwise(site)
    if made is None:
        return None
    title, text = made
    site.plant([(title, text)], embedded_as=[f"{site.case.question}\n{text}"])
    return site.case


def overruled(site: Site) -> Case | None:
    """A policy says it with another number, and a policy binds."""
    made = _otherwise(site)
    if made is None:
        return None
    site.plant([made], kind="policy")
    return site.case


def polluted(site: Site) -> Case | None:
    """The conversation was about other things."""
    if site.case.history:
        return None
    before = site.random.sample(list(site.others), min(TURNS, len(site.others)))
    turns = [
        turn
        for other in before
        for turn in (
            CaseTurn(role="user", text=other.case.question),
            CaseTurn(role="assistant", text=other.outcome.text),
        )
    ]
    return site.case.model_copy(update={"history": tuple(turns)})


def misled(site: Site) -> Case | None:
    """The question itself is put as if it went on with another subject."""
    if site.case.history or not site.others:
        return None
    other = site.random.choice(list(site.others))
    turns = (
        CaseTurn(role="user", text=other.case.question),
        CaseTurn(role="assistant", text=other.outcome.text),
        CaseTurn(role="user", text=f"And what else about that? {other.case.question}"),
        CaseTurn(role="assistant", text=other.outcome.text),
    )
    question = f"and this: {site.case.question}"
    return site.case.model_copy(update={"history": turns, "question": question})


def _edited(site: Site, text: str) -> str:
    """The text with another value where the facts are numbers, else without them."""
    false = words.falsified(text, site.facts, site.random)
    return words.without(text if false is None else false, site.facts)


def _misread(site: Site, change: Callable[[str], str]) -> Case | None:
    done = False
    for held in site.gold():
        changed = [replace(chunk, text=change(chunk.text)) for chunk in held.chunks]
        if all(one == two for one, two in zip(changed, held.chunks, strict=True)):
            continue
        kept = [chunk for chunk in changed if chunk.text.strip()]
        site.drop(held.chunks)
        site.add(kept)
        sections = words.sections_with(held.version["sections"], change)
        site.set_version(held, sections=sections, points=[chunk.id for chunk in kept])
        done = True
    return site.case if done else None


def _distracted(site: Site, many: int) -> Case | None:
    sayings = [
        passage.text
        for other in site.others
        for passage in other.packed[:2]
        if not site.holds(passage.text)
    ]
    if len(sayings) < many // 2:
        return None
    question = site.case.question
    texts = [
        (f"{question} ({n})", f"{question}\n\n{site.random.choice(sayings)[:300]}")
        for n in range(many)
    ]
    site.plant(texts, embedded_as=[f"{question}\n{question} {n}" for n in range(many)])
    return site.case


def _otherwise(site: Site) -> tuple[str, str] | None:
    """Title and text of a page that says a gold passage with other numbers."""
    for held in site.gold():
        for chunk in held.chunks:
            false = words.falsified(chunk.text, site.facts, site.random)
            if false is not None and site.holds(chunk.text):
                return held.version["title"], false
    return None
