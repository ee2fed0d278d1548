"""Eighth step: answer, ask back, hand over or decline; whichever costs least in expectation.

What the question may be (answerable, a gap in the sources, off topic, vague, or one of the house's
reasons for a person) gets probabilities from three witnesses: the house's rules, the classifier
trained on its examples, and the evidence that retrieval found. A table of costs then chooses.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from services.answer import rules
from services.answer.contract import Decision, Evidence, Found, Question
from services.answer.costs import ANSWERABLE, GAP, Choice, choices
from services.answer.evidence import CLUES, between, clues, likelihoods
from services.answer.intent import OFF_TOPIC, PLAIN, VAGUE, features, fit_house, house_examples
from twofold.clients.embedder import Embedder
from twofold.clients.sparse import Bm25Encoder
from twofold.house import HousePolicy
from twofold.reply import Escalation
from twofold.security import gives_orders

WEAK_RULE = 60.0
STRONG_RULE = 2000.0
"""Odds that a matching rule gives its reason, before the classifier is heard."""
RULE_FLOOR = {True: 0.01, False: 0.0005}
"""The least that the classifier may give a reason whose rule matched, firm or not."""

SHARES = {PLAIN: 0.68, OFF_TOPIC: 0.07, VAGUE: 0.1}
"""What kinds a help desk gets; the rest needs a person. The examples hold other shares, because
rare kinds need as many examples as common ones."""
ANSWERS_HELD = 0.93
"""Share of plain questions about us that a help center answers, before looking."""
NO_AMOUNT = 0.2
"""A message that names no sum makes "over the limit" this much likelier."""
TOPIC_WORD = 0.2
"""A house topic word makes "off topic" this much likelier."""
SETTLED = 0.1
"""A conversation that tells what a short follow-up is about makes "vague" this much likelier."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the message says of itself, before any source is looked at.

    `settled` is what no source could change: hand over, decline, or a courtesy. None means look for
    an answer.
    """

    question: Question
    settled: Decision | None
    intent: Mapping[str, float] = field(default_factory=dict)
    matched: tuple[rules.Rule, ...] = ()
    signals: Mapping[str, Any] = field(default_factory=dict)


class Decider:
    """Decides under one house policy. Made once per process: it trains the house's classifier."""

    def __init__(self, house: HousePolicy, embedder: Embedder) -> None:
        self._house = house
        self._model = fit_house(house, embedder)
        self._shift = _shift(Counter(kind for _, kind in house_examples(house)))
        self._stopwords = Bm25Encoder()
        self._topics = _any_of(house.topics)
        self._vector_of = lru_cache(maxsize=64)(lambda text: embedder.embed([text])[0])

    def read(self, question: Question, vector: npt.NDArray[np.float32] | None) -> Reading:
        """Rules and classifier on the message.

        `vector` is that of `question.standalone`, (d,); without one only the rules are heard.
        """
        settled = self._by_words(question)
        if settled is not None:
            return Reading(question, settled)
        intent = {PLAIN: 1.0} if vector is None else self._intent(question, vector)
        matched = rules.matching(self._house, question)
        signals: dict[str, Any] = {"intent": _rounded(intent)}
        if matched:
            signals["rules"] = {rule.reason: rule.on for rule in matched}
        amount = max(rules.amounts(question.asked), default=None)
        if amount is not None:
            signals["amount"] = amount
        weighed = self._weighed(question, intent, matched, amount)
        reading = Reading(question, None, weighed, matched, signals)
        return replace(reading, settled=self._by_intent(reading))

    def after(self, reading: Reading, found: Found, evidence: Evidence) -> Decision:
        """The final word, for a reply maker that cannot judge for itself."""
        if reading.settled is not None:
            return reading.settled
        question = reading.question
        seen = clues(question, found, evidence)
        fits = likelihoods(seen)
        kinds = _weigh(reading.intent, fits)
        best, second, *_ = choices(kinds, self._house.reasons)
        read: dict[str, Any] = {
            **reading.signals,
            "evidence": {name: round(value, 4) for name, value in zip(CLUES, seen, strict=True)},
            "fits": _rounded(fits),
            "kinds": _rounded(kinds),
        }
        if best.outcome in self._house.reasons and best.outcome != GAP:
            return self._hand_over(best, second, replace(reading, signals=read))
        signals = _with_costs(read, best, second)
        if best.outcome == GAP:
            why = f"about us, but the sources do not cover it (P={kinds[GAP]:.2f})"
            return self._escalate(GAP, why, signals | {"topic": self.topic(question)})
        if best.outcome == "ANSWER":
            why = f"the sources cover it (P={kinds[ANSWERABLE]:.2f})"
            return Decision("ANSWER", None, why, signals)
        if best.outcome == "CLARIFY" and (to := rules.handed_to(question)) is not None:
            why = f"too vague to answer (P={kinds[VAGUE]:.2f}): about what was handed over"
            return Decision("ESCALATE", to, why, signals)
        if best.outcome == "CLARIFY":
            signals["between"] = between(found, evidence)
            why = f"too vague to answer (P={kinds[VAGUE]:.2f}), and the sources do not settle it"
            return Decision("CLARIFY", None, why, signals)
        why = f"outside what we answer (P={kinds[OFF_TOPIC]:.2f}), and the sources are silent"
        return Decision("DECLINE", None, why, signals)

    def unsearched(self, question: Question, failed: str) -> Decision:
        """The final word where the sources cannot be searched: the rules alone, or a person.

        `failed` names what does not answer; it may be the embedder, so no text is embedded.
        """
        decision = self.read(question, None).settled
        if decision is None:
            decision = self._escalate(GAP, "the sources cannot be searched", {})
        return replace(decision, signals=decision.signals | {"failed": failed})

    def wording(self, decision: Decision, question: Question, now: float) -> str:
        """The house's sentences for a decision at `now` (epoch seconds); empty for ANSWER."""
        say = self._house.say(question.locale)
        if decision.action == "ANSWER":
            return ""
        if decision.action == "DECLINE":
            return say.decline.strip()
        if decision.action == "CLARIFY":
            consent = decision.signals.get("consent")
            if consent in self._house.reasons:
                return say.consent.format(team=say.teams[self._house.reasons[consent].team]).strip()
            if "courtesy" in decision.signals:
                return (say.courtesy or say.clarify).strip()
            named = decision.signals.get("between") or ()
            if len(named) > 1:
                topics = ", ".join(f"“{title}”" for title in named)
                return say.clarify_between.format(topics=topics).strip()
            return say.clarify.strip()
        if decision.escalation is None:
            raise ValueError("an ESCALATE decision carries its team and reason")
        team, reason = decision.escalation
        topic = decision.signals.get("topic")
        template = say.escalate
        if reason == GAP and "failed" in decision.signals:
            template = say.unavailable or template
        elif reason == GAP and topic:
            template = say.not_in_sources
        elif rules.has_team(question, team):
            template = say.escalate_again or template
        text = template.format(team=say.teams[team], topic=topic).strip()
        if self._house.hours.open_at(now, team):
            return text
        return f"{text} {say.off_hours.strip()}"

    def topic(self, question: Question) -> str:
        """What was looked for, in the question's own words."""
        return self._stopwords.topic(question.asked, question.locale)

    def _by_words(self, question: Question) -> Decision | None:
        """What the conversation settles by itself: orders, consent, thanks, failures in a row."""
        orders = gives_orders(question.asked)
        if orders is not None:
            why = f"gives the assistant orders: {orders!r}"
            return Decision("DECLINE", None, why, {"orders": orders})
        asked_for = rules.consent_given(self._house, question)
        if asked_for is not None:
            return self._escalate(asked_for, "the customer agreed to be handed over", {})
        if rules.only_courteous(question):
            return Decision("CLARIFY", None, "nothing is asked", {"courtesy": True})
        failures = rules.failures_in_a_row(self._house, question)
        limits = self._house.limits
        if failures >= limits.failures:
            why = f"{failures} failed answers in a row (limit {limits.failures})"
            return self._escalate(limits.failures_reason, why, {"failures": failures})
        return None

    def _by_intent(self, reading: Reading) -> Decision | None:
        """A reason of the house, where that costs least even if the sources held an answer."""
        kinds = {ANSWERABLE: 0.0, **reading.intent}
        kinds[ANSWERABLE] = kinds.pop(PLAIN, 0.0)
        best, second, *_ = choices(kinds, self._house.reasons)
        if best.outcome not in self._house.reasons or best.outcome == GAP:
            return None
        return self._hand_over(best, second, reading)

    def _weighed(
        self,
        question: Question,
        intent: Mapping[str, float],
        matched: Sequence[rules.Rule],
        amount: float | None,
    ) -> dict[str, float]:
        """What the classifier says, corrected by what the words say."""
        limits, weighed = self._house.limits, dict(intent)
        if limits.money_reason in weighed:
            if amount is None:
                weighed[limits.money_reason] *= NO_AMOUNT
            elif amount <= limits.money:
                weighed[limits.money_reason] = 0.0
        for rule in matched:
            # A reason that the classifier never learned has none to overrule its rules.
            firm = rule.firm or rule.reason not in intent
            least = max(weighed.get(rule.reason, 0.0), RULE_FLOOR[firm])
            weighed[rule.reason] = least * (STRONG_RULE if firm else WEAK_RULE)
        refused = rules.consent_refused(self._house, question)
        if refused is not None:
            weighed[refused] = 0.0
        if self._topics is not None and self._topics.search(question.standalone):
            weighed[OFF_TOPIC] = weighed.get(OFF_TOPIC, 0.0) * TOPIC_WORD
        if question.standalone != question.asked:
            weighed[VAGUE] = weighed.get(VAGUE, 0.0) * SETTLED
        return _normal(weighed)

    def _intent(self, question: Question, vector: npt.NDArray[np.float32]) -> dict[str, float]:
        """Reasons are read off the last message, its subject off the conversation."""
        whole = self._classified(question.standalone, vector)
        if question.standalone == question.asked:
            return whole
        last = self._classified(question.asked, self._vector_of(question.asked))
        kinds = (PLAIN, OFF_TOPIC, VAGUE)
        left = sum(last.get(kind, 0.0) for kind in kinds)
        of_whole = sum(whole.get(kind, 0.0) for kind in kinds) or 1.0
        return last | {kind: whole.get(kind, 0.0) * left / of_whole for kind in kinds}

    def _classified(self, text: str, vector: npt.NDArray[np.float32]) -> dict[str, float]:
        if self._model is None:
            return {PLAIN: 1.0}
        found = self._model.of(features([text], vector[np.newaxis])[0])
        return _normal({kind: p * self._shift[kind] for kind, p in found.items()})

    def _hand_over(self, best: Choice, second: Choice, reading: Reading) -> Decision:
        reason = best.outcome
        signals = _with_costs(reading.signals, best, second)
        rule = next((rule for rule in reading.matched if rule.reason == reason), None)
        why = f"reads as {reason} (P={reading.intent.get(reason, 0.0):.2f})"
        if rule is not None:
            why = f"rule of {reason} on {rule.on!r}"
        asked = rules.consent_asked(self._house, reading.question.history)
        if self._house.reasons[reason].consent and not asked:
            return Decision("CLARIFY", None, f"{why}; consent first", signals | {"consent": reason})
        return self._escalate(reason, why, signals)

    def _escalate(self, reason: str, why: str, signals: dict[str, Any]) -> Decision:
        team = self._house.reasons[reason].team
        return Decision("ESCALATE", Escalation(team, reason), why, signals)


def _shift(counts: Mapping[str, int]) -> dict[str, float]:
    """Kind -> its share at a help desk over its share of the examples (label shift)."""
    total = sum(counts.values())
    reasons = sum(n for kind, n in counts.items() if kind not in SHARES)
    rest = (1 - sum(SHARES.values())) * total / reasons if reasons else 0.0
    return {
        kind: SHARES[kind] * total / n if kind in SHARES else rest for kind, n in counts.items()
    }


def _weigh(intent: Mapping[str, float], fits: Mapping[str, float]) -> dict[str, float]:
    """Bayes over kinds. Evidence says nothing of a question for a person: it fits it as it fits
    the average kind."""
    kinds = {kind: p * fits.get(kind, 1 / len(fits)) for kind, p in intent.items()}
    plain = intent.get(PLAIN, 0.0)
    kinds.pop(PLAIN, None)
    kinds[ANSWERABLE] = plain * ANSWERS_HELD * fits[ANSWERABLE]
    kinds[GAP] = plain * (1 - ANSWERS_HELD) * fits[GAP]
    return _normal(kinds)


def _any_of(words: Sequence[str]) -> re.Pattern[str] | None:
    if not words:
        return None
    choices = "|".join(re.escape(word) for word in words)
    return re.compile(rf"(?<!\w)(?:{choices})(?:(?<=_)|(?!\w))", re.IGNORECASE)


def _normal(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: round(p, 4) for name, p in numbers.items() if p >= 0.005}


def _with_costs(signals: Mapping[str, Any], best: Choice, second: Choice) -> dict[str, Any]:
    costs = _rounded({best.outcome: best.cost, second.outcome: second.cost})
    return {**signals, "costs": costs}
