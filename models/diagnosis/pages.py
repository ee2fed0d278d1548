"""What became of the pages that hold an answer: whether the asker could have been shown it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models.diagnosis.verdicts import Cause, Counterfactual
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case
from twofold.counted import counted
from twofold.index.contract import PUBLIC
from twofold.text import blocks as prose
from twofold.text.blocks import squeeze

Fact = tuple[str, ...]


class Lost(NamedTuple):
    """Where the answer was lost before any search, and what to give a replay to undo it."""

    cause: Cause
    counterfactual: Counterfactual
    document: str
    evidence: str
    page: Mapping[str, Any] | None
    """Of `ReplayRequest.pages`; None where there is nothing to give."""


class Asker(NamedTuple):
    """Who asks, and as of when (epoch seconds)."""

    audience: str
    as_of: float


class Page:
    """Tells how ledger, index and source have a gold page."""

    def __init__(
        self, name: str, state: Mapping[str, Any] | None, now: Mapping[str, Any] | None
    ) -> None:
        self.name = state["document"] if state else name
        self._state = state or {}
        self._now = now
        versions = self._state.get("versions", [])
        self.live = next((v for v in versions if v["number"] == self._state["live"]), None)
        self._others = [v for v in versions if v is not self.live]
        self.passages: Sequence[Mapping[str, Any]] = self._state.get("passages", [])

    @property
    def known(self) -> bool:
        return bool(self._state)

    def shows(self, fact: Fact | None, asker: Asker) -> bool:
        """Returns whether a passage that the asker may see holds the fact, whole and in its
        sentence."""
        seen = [p["text"] for p in self.passages if self._visible(p, asker)]
        return self._held(fact, seen) and not self._torn(fact, seen)

    def lost(self, fact: Fact | None, asker: Asker) -> Lost | None:
        """Returns why this page does not show it; None where that is not known."""
        if not self.known:
            return None
        if self.live is None:
            return self._gone(fact)
        if not self._in_text(self.live["text"], fact):
            return self._says_otherwise(fact)
        given = {"document": self.name}
        if self.live["quarantined"] or any(p["quarantined"] for p in self.passages):
            return Lost(
                "not_ingested", "released", self.name, f"{self.name} is in quarantine", given
            )
        if len(self.passages) < self._state["points"] and not self._held(
            fact, [p["text"] for p in self.passages]
        ):
            held = counted(self._state["points"], "passage")
            evidence = f"of the {held} of {self.name} the index holds {len(self.passages)}"
            return Lost("not_ingested", "reindexed", self.name, evidence, given)
        if (shut := self._shut(asker)) is not None:
            return Lost("hidden", "made_visible", self.name, shut, given)
        texts = [p["text"] for p in self.passages]
        if not self._held(fact, texts) or self._torn(fact, texts):
            evidence = f"no passage of {self.name} holds the whole sentence with {_name(fact)}"
            whole = {**given, "whole": True}
            return Lost("split_apart", "whole_sections", self.name, evidence, whole)
        return None

    def _gone(self, fact: Fact | None) -> Lost | None:
        failure = self._state.get("failure")
        if failure is not None:
            why = f"{self.name} could not be read ({failure['step']}: {failure['reason']})"
            return Lost("not_ingested", "reindexed", self.name, why, self._as_now())
        if self._now is not None:
            why = f"{self.name} is at its source and not in the index"
            return Lost("not_ingested", "reindexed", self.name, why, self._as_now())
        last = next((v for v in reversed(self._others) if self._in_text(v["text"], fact)), None)
        given = {"document": self.name, "version": last["number"]} if last else None
        why = f"{self.name} was removed at its source"
        return Lost("not_in_sources", "other_version", self.name, why, given)

    def _says_otherwise(self, fact: Fact | None) -> Lost | None:
        """Returns why the live page does not hold the fact: another version may, or its source."""
        assert self.live is not None  # noqa: S101  asked of live pages
        if self._now is not None and self._in_text(self._now["text"], fact):
            if self._now["raw_hash"] == self.live["raw_hash"]:
                why = f"{self.name} says {_name(fact)} at its source, what was read of it does not"
                return Lost("broken_extraction", "reindexed", self.name, why, self._as_now())
            why = f"{self.name} says {_name(fact)} at its source since the last sync"
            return Lost("stale", "other_version", self.name, why, self._as_now())
        for version in reversed(self._others):
            if self._in_text(version["text"], fact):
                number = version["number"]
                why = f"version {number} of {self.name} says {_name(fact)}, the live one does not"
                given = {"document": self.name, "version": number}
                return Lost("stale", "other_version", self.name, why, given)
        return None

    def _as_now(self) -> Mapping[str, Any] | None:
        return {"document": self.name, "text": self._now["text"]} if self._now else None

    def _shut(self, asker: Asker) -> str | None:
        """Returns why the asker may not see the page; None where it may."""
        if any(self._visible(p, asker) for p in self.passages):
            return None
        for passage in self.passages:
            if not {asker.audience, PUBLIC} & set(passage["audience"]):
                return f"{self.name} is for {', '.join(passage['audience'])}, not {asker.audience}"
            if passage["effective_from"] > asker.as_of:
                return f"{self.name} is not yet in effect"
            if passage["expires_at"] <= asker.as_of:
                return f"{self.name} has expired"
        return None

    @staticmethod
    def _visible(passage: Mapping[str, Any], asker: Asker) -> bool:
        return (
            not passage["quarantined"]
            and bool({asker.audience, PUBLIC} & set(passage["audience"]))
            and passage["effective_from"] <= asker.as_of < passage["expires_at"]
        )

    @staticmethod
    def _in_text(text: str, fact: Fact | None) -> bool:
        return bool(text.strip()) if fact is None else says(text, fact)

    @staticmethod
    def _held(fact: Fact | None, texts: Sequence[str]) -> bool:
        return bool(texts) if fact is None else any(says(text, fact) for text in texts)

    def _torn(self, fact: Fact | None, texts: Sequence[str]) -> bool:
        """Returns whether every sentence of the page with the fact is cut between passages."""
        if fact is None or self.live is None:
            return False
        text = self.live["text"]
        sentences = [
            squeeze(text[span.start : span.end])
            for block in prose.blocks(text)
            if block.kind != "code"
            for span in prose.parts(text, block)
            if says(text[span.start : span.end], fact)
        ]
        plain = [squeeze(each) for each in texts]
        return bool(sentences) and not any(
            sentence in each for sentence in sentences for each in plain
        )


async def gold_pages(client: AnswerClient, case: Case) -> list[Page]:
    """Returns the case's gold pages. Sources are asked only for what the ledger does not have."""
    pages: list[Page] = []
    for name in case.expect.documents:
        states = await client.states(name)
        for state in states:
            source, _, external_id = state["document"].partition("/")
            page = Page(name, state, None)
            if page.live is None or unsaid([page], case.expect.spellings):
                page = Page(name, state, await client.read_again(source, external_id))
            pages.append(page)
        if not states:
            pages += await _unknown(client, name)
    return pages


async def _unknown(client: AnswerClient, name: str) -> list[Page]:
    """Returns a page that no sync has seen, as the sources have it."""
    for source in await client.sources():
        now = await client.read_again(source, name)
        if now is not None:
            document = f"{source}/{name}"
            state: dict[str, Any] = {"document": document, "live": None, "points": 0}
            return [Page(name, state, now)]
    return [Page(name, None, None)]


def where_lost(pages: Sequence[Page], facts: Sequence[Fact], asker: Asker) -> Lost | None:
    """Returns the first reason why some fact could be shown by none of the pages; None where all
    could."""
    wanted: Sequence[Fact | None] = facts or [None]
    for fact in wanted:
        if any(page.shows(fact, asker) for page in pages):
            continue
        found = [lost for page in pages if (lost := page.lost(fact, asker)) is not None]
        if found:
            # A page that is there and shut tells more than one that is gone.
            return min(found, key=lambda lost: lost.cause == "not_in_sources")
        if not any(page.known for page in pages):
            names = ", ".join(page.name for page in pages)
            why = f"no source ever had {names}, or not by that name"
            return Lost("not_in_sources", "sources_checked", pages[0].name, why, None)
    return None


def unsaid(pages: Sequence[Page], facts: Sequence[Fact]) -> list[Fact]:
    """Facts that no gold page that answers holds."""
    return [
        fact
        for fact in facts
        if not any(page.live and says(page.live["text"], fact) for page in pages)
    ]


def _name(fact: Fact | None) -> str:
    return repr(fact[0]) if fact else "it"
