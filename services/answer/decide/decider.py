"""The decision: answer, ask back, hand over or decline; whichever costs least in expectation.

`hear` gathers what three witnesses say: the house's rules, the classifier trained on its examples,
and the evidence that the search found. `decide` is called once for a reply, by `generate.ladder`,
or by `generate.stream` with a fourth witness, the header of a model's reply. What the question may
be (answerable, a gap in the sources, off topic, vague, or one of the house's reasons for a person)
gets probabilities, and a table of costs chooses.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from services.answer.contract import Decision, Draft, Evidence, Question
from services.answer.decide import rules
from services.answer.decide.costs import ANSWERABLE, GAP, OutcomeCost, choices
from services.answer.decide.intent import (
    OFF_TOPIC,
    PLAIN,
    VAGUE,
    features,
    fit_house,
    house_examples,
    learned_languages,
)
from services.answer.decide.wording import left_open, offered, topic_of
from services.answer.search import Searched
from services.answer.search.names import names_in
from twofold.clients.embedder import Embedder
from twofold.counted import counted
from twofold.injection import gives_orders
from twofold.policy import HousePolicy
from twofold.reply import Escalation, Header
from twofold.text.blocks import sentences
from twofold.text.languages import may_be

WEAK_RULE = 60.0
STRONG_RULE = 2000.0
"""Odds that a matching rule gives its reason, before the classifier is heard."""
RULE_FLOOR = {True: 0.01, False: 0.0005}
"""The least that the classifier may give a reason whose rule matched, firm or not."""

SHARES = {PLAIN: 0.68, OFF_TOPIC: 0.07, VAGUE: 0.1}
"""What kinds a help desk gets; the rest needs a person. The examples hold other shares, because
rare kinds need as many examples as common ones."""
ANSWERS_HELD = 0.76
"""Share of plain questions about us that a help center answers, before looking. On the tune halves
.72 hands over .058 instead of .040 of the customer turns for nothing; .80 misses 6 instead of 4 of
the example suite's 33 hand-overs."""
NO_AMOUNT = 0.2
"""A message that names no sum makes "over the limit" this much likelier."""
NO_RETURN = 0.05
"""The same of one in which no money goes back: "you give the 249 dollar plan away" is a question of
price, whatever refunds look like it."""
GRAVE_SENTENCE = 0.8
"""How surely a sentence alone must read as a grave matter, to count for the message it is in."""
SENTENCES = 8
"""Of a message, so read: the first and the last."""
TOPIC_WORD = 0.2
"""A house topic word makes "off topic" this much likelier."""
OWN = 0.03
"""A word for what a customer has with whom it asks makes "off topic" this much likelier: "how do I
reset my Netflix password" is among the examples, and "my password" looks like it."""
SETTLED = 0.1
"""A conversation that tells what a short follow-up is about makes "vague" this much likelier."""


STRANGE, FAMILIAR = 0.3, 0.6
"""Cosines of a message to the nearest example of the house: at the first the classifier is guessing
and what it says of the message counts for nothing, from the second on in full. Guesses handed over
a quarter of the questions that a help center far from the examples answers."""
NEEDS_A_PERSON = 1.0
"""Log odds of the evidence up to which it speaks as much for a person as for a page: what a person
has to decide has its pages as well, but none that answers so plainly. Left out of
that are grave reasons, of which missing one costs more than a page is worth, and that nothing has
helped so far, which no page speaks about."""

GUESSED = 0.45
"""From this probability on that the sources answer, a message that reads a little like many reasons
for a person, and like none of them much, is answered."""

HELPS = 1.4
"""Log odds of the evidence from which what the sources say stands below a hand-over as well."""

NAMED = 3
"""Topics that a customer is asked to choose among."""
HOPELESS = 0.1
"""Below this probability that the sources answer, a model's ANSWER is not believed."""


_OWN = re.compile(
    r"\b(?:my|our|mein\w*|unser\w*) (?:accounts?|passwords?|login|log-in|subscriptions?|plan"
    r"|invoices?|bills?|payments?(?: methods?)?|(?:credit )?cards?|workspaces?|e-?mail address"
    r"|konto|passwort|abo|rechnung(?:en)?|tarif|zahlung\w*)\b(?! (?:at|on|with|from|bei|in) [A-Z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What is known before a word is written.

    `settled` is what no source and no model could change: hand over, decline, or a courtesy. Else
    `kinds` holds the probabilities of what the question may be.
    """

    question: Question
    settled: Decision | None
    kinds: Mapping[str, float] = field(default_factory=dict)
    matched: tuple[rules.MatchedRule, ...] = ()
    offer: str = ""
    """The reason for a person that it may be as well: an answer offers one."""
    between: tuple[str, ...] = ()
    """Titles to choose among, should the question be too vague."""
    signals: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answerable(self) -> float:
        """The probability that the sources answer."""
        return self.kinds.get(ANSWERABLE, 0.0)


class Decider:
    """Decides under one house policy. Made once per process: it trains the house's classifier."""

    def __init__(self, house: HousePolicy, embedder: Embedder) -> None:
        self._house = house
        self._model = fit_house(house, embedder)
        examples = house_examples(house)
        self._shift = _shift(Counter(kind for _, kind in examples))
        self._learned = learned_languages([text for text, _ in examples])
        self._never_less = house.grave | {house.limits.failures_reason}
        self._topics = _any_of(house.topics)
        self._embed = embedder.embed
        self._vector_of = lru_cache(maxsize=64)(lambda text: embedder.embed([text])[0])

    def hear(self, searched: Searched) -> Witnesses:
        """Returns what rules, classifier and evidence say of a searched question."""
        evidence = searched.evidence
        heard = self._message(searched.question, searched.found.vector)
        odds = {"answerable": evidence.answerable, "foreign": evidence.foreign}
        seen = {name: round(x, 4) for name, x in (odds | evidence.clues._asdict()).items()}
        signals = {**heard.signals, "evidence": seen}
        if evidence.unknown:
            signals["unknown"] = list(evidence.unknown)
        if heard.settled is not None:
            settled = replace(heard.settled, signals={**heard.settled.signals, "evidence": seen})
            return replace(heard, settled=settled, signals=signals)
        kinds = _weigh(heard.kinds, evidence, self._never_less)
        if not may_be(heard.question.asked, self._learned):
            kinds = _by_evidence(evidence)
            signals["language"] = "none of the house's examples: the evidence decides"
        signals["kinds"] = _rounded(kinds)
        heard = replace(heard, kinds=kinds, between=_between(searched), signals=signals)
        if offer := self._only_offered(heard):
            return replace(heard, offer=offer, signals={**signals, "offers": offer})
        return replace(heard, settled=self._for_a_person(heard, kinds))

    def hear_unsearched(self, question: Question, failed: str) -> Witnesses:
        """Returns what the rules say, alone, where the sources cannot be searched.

        `failed` names what does not answer; it may be the embedder, so no text is embedded.
        """
        decision = self._message(question, None).settled
        if decision is None:
            decision = self._escalate(question, GAP, "the sources cannot be searched", {})
        signals = {**decision.signals, "failed": failed}
        return Witnesses(question, replace(decision, searched=False, signals=signals))

    def decide(self, heard: Witnesses, header: Header | None = None) -> Decision:
        """Returns what the reply does. `header` is what a model wants, where one writes."""
        if heard.settled is not None:
            return heard.settled
        if header is None and heard.offer:
            why = f"the sources cover it (P={heard.answerable:.2f}); a person is offered"
            return Decision("ANSWER", None, why, heard.signals, consent=heard.offer)
        if header is None:
            return self._by_cost(heard)
        signals = {**heard.signals, "header": header.action}
        if header.action == "ANSWER":
            if heard.answerable < HOPELESS and (doubt := self._by_cost(heard)).action != "ANSWER":
                return replace(doubt, signals={**doubt.signals, **signals})
            why = "the model answers, the evidence allows it"
            return Decision("ANSWER", None, why, signals, consent=heard.offer or None)
        if header.escalation is None:
            return Decision(header.action, None, f"the model chose {header.action}", signals)
        reason = header.escalation.reason
        why = f"the model escalates: {reason}"
        if reason == GAP:
            return self._gap(heard.question, why, signals)
        return self._to_person(heard.question, reason, why, signals)

    def nothing_to_show(self, heard: Witnesses, why: str) -> Decision:
        """Returns the hand-over that replaces an ANSWER of which nothing may be shown."""
        return self._gap(heard.question, why, heard.signals)

    def answering_in_part(
        self, decision: Decision, draft: Draft, question: Question
    ) -> tuple[Decision, str]:
        """Returns the decision for an ANSWER that leaves some of several questions unanswered, or
        may have, which offers a person, and what is said of these."""
        open_ = {"unanswered": list(draft.unanswered), "doubtful": list(draft.doubtful)}
        signals = {**decision.signals, **{name: each for name, each in open_.items() if each}}
        said = left_open(self._house, draft.unanswered, draft.doubtful, question)
        return replace(decision, consent=GAP, signals=signals), said

    def helps_meanwhile(self, decision: Decision, searched: Searched) -> bool:
        """Returns whether who is handed over for a reason of the house is told what the sources say
        as well: they seem to answer."""
        to = decision.escalation
        reason = self._house.reasons.get(to.reason) if to is not None and to.reason != GAP else None
        return reason is not None and reason.pages and searched.evidence.answerable >= HELPS

    def offering(self, decision: Decision, question: Question) -> str:
        """Returns what stands below an ANSWER that offers a person; empty where it offers none."""
        if decision.consent is None:
            return ""
        return offered(self._house, decision.consent, question.locale)

    def _by_cost(self, heard: Witnesses) -> Decision:
        question, kinds = heard.question, heard.kinds
        best, second, *_ = choices(kinds, self._house.reasons)
        signals = _with_costs(heard.signals, best, second)
        if best.outcome == GAP and kinds[ANSWERABLE] >= max(GUESSED, kinds[GAP]):
            why = f"the sources cover it (P={kinds[ANSWERABLE]:.2f}), whatever else it may be"
            return Decision("ANSWER", None, why, signals)
        if best.outcome == GAP:
            why = f"about us, but the sources do not cover it (P={kinds[GAP]:.2f})"
            return self._gap(question, why, signals)
        if best.outcome == "ANSWER":
            why = f"the sources cover it (P={kinds[ANSWERABLE]:.2f})"
            return Decision("ANSWER", None, why, signals)
        if best.outcome == "DECLINE":
            why = f"outside what we answer (P={kinds[OFF_TOPIC]:.2f}), and the sources are silent"
            return Decision("DECLINE", None, why, signals)
        why = f"too vague to answer (P={kinds[VAGUE]:.2f})"
        if (to := rules.handed_to(question)) is not None:
            return Decision("ESCALATE", to, f"{why}: about what was handed over", signals)
        why = f"{why}, and the sources do not settle it"
        if heard.between:
            signals["between"] = list(heard.between)
        return Decision("CLARIFY", None, why, signals, choices=heard.between)

    def _message(self, question: Question, vector: npt.NDArray[np.float32] | None) -> Witnesses:
        """Returns what rules and classifier say of the message alone; `kinds` then holds PLAIN.

        `vector` is that of `question.standalone`, (d,); without one only the rules are asked.
        """
        settled = self._by_words(question)
        if settled is not None:
            return Witnesses(question, settled)
        intent = {PLAIN: 1.0} if vector is None else self._intent(question, vector)
        matched = rules.matching(self._house, question)
        signals: dict[str, Any] = {"intent": _rounded(intent)}
        if matched:
            signals["rules"] = {rule.reason: rule.on for rule in matched}
        amount = max(rules.amounts(question.asked), default=None)
        if amount is not None:
            signals["amount"] = amount
        weighed = self._weighed(question, intent, matched, amount)
        heard = Witnesses(question, None, weighed, matched, signals=signals)
        if not matched:
            return heard  # what the classifier alone reads has to stand against the evidence
        kinds = {ANSWERABLE: 0.0, **weighed}
        kinds[ANSWERABLE] = kinds.pop(PLAIN, 0.0)
        return replace(heard, settled=self._for_a_person(heard, kinds))

    def _by_words(self, question: Question) -> Decision | None:
        """Returns the decision that the conversation itself settles: orders, consent, thanks,
        who is here, failures in a row."""
        orders = gives_orders(question.asked)
        if orders is not None:
            why = f"gives the assistant orders: {orders!r}"
            return Decision("DECLINE", None, why, {"orders": orders})
        asked_for = rules.consent_given(question)
        if asked_for is not None:
            return self._escalate(question, asked_for, "the customer agreed to be handed over", {})
        if rules.only_courteous(question):
            return Decision(
                "CLARIFY", None, "nothing is asked", {"courtesy": True},
                courtesy=True, thanks=not rules.only_greets(question),
            )  # fmt: skip
        if rules.asks_who_answers(question):
            why = "asks about the assistant itself"
            return Decision("CLARIFY", None, why, {"about": True}, about=True)
        failures = rules.failures_in_a_row(question)
        limits = self._house.limits
        if failures >= limits.failures:
            why = f"{counted(failures, 'failed answer')} in a row (limit {limits.failures})"
            return self._escalate(question, limits.failures_reason, why, {"failures": failures})
        return None

    def _for_a_person(self, heard: Witnesses, kinds: Mapping[str, float]) -> Decision | None:
        """Returns the hand-over for a reason of the house, where that costs least: no model is
        asked."""
        best, second, *_ = choices(kinds, self._house.reasons)
        if best.outcome not in self._house.reasons or best.outcome == GAP:
            return None
        return self._reads_as(best.outcome, heard, _with_costs(heard.signals, best, second))

    def _only_offered(self, heard: Witnesses) -> str:
        """Returns the reason for a person that costs least, where no rule says it, a page may speak
        against it and the sources likelier answer: the customer decides. Empty where none is."""
        best = choices(heard.kinds, self._house.reasons)[0].outcome
        if best not in self._house.reasons or best == GAP or heard.matched:
            return ""
        certain = best in self._never_less
        return "" if certain or heard.answerable < heard.kinds[best] else best

    def _weighed(
        self,
        question: Question,
        intent: Mapping[str, float],
        matched: Sequence[rules.MatchedRule],
        amount: float | None,
    ) -> dict[str, float]:
        """Returns the classifier's probabilities, corrected by what the rules matched."""
        limits, weighed = self._house.limits, dict(intent)
        if limits.money_reason in weighed:
            if amount is None:
                weighed[limits.money_reason] *= NO_AMOUNT
            elif amount <= limits.money:
                weighed[limits.money_reason] = 0.0
            if not rules.wants_back(question):
                weighed[limits.money_reason] *= NO_RETURN
        for rule in matched:
            # The classifier cannot overrule the rules of a reason that it never learned.
            firm = rule.firm or rule.reason not in intent
            least = max(weighed.get(rule.reason, 0.0), RULE_FLOOR[firm])
            weighed[rule.reason] = least * (STRONG_RULE if firm else WEAK_RULE)
        refused = rules.consent_refused(question)
        if refused is not None:
            weighed[refused] = 0.0
        if self._topics is not None and self._topics.search(question.standalone):
            weighed[OFF_TOPIC] = weighed.get(OFF_TOPIC, 0.0) * TOPIC_WORD
        if _OWN.search(question.asked) and not names_in(question.asked):
            weighed[OFF_TOPIC] = weighed.get(OFF_TOPIC, 0.0) * OWN
        if question.standalone != question.asked:
            weighed[VAGUE] = weighed.get(VAGUE, 0.0) * SETTLED
        return _normal(weighed)

    def _intent(self, question: Question, vector: npt.NDArray[np.float32]) -> dict[str, float]:
        """Returns the probability of each kind: of reasons by the last message, of its subject
        by the conversation."""
        whole = self._classified(question.standalone, vector)
        if question.standalone == question.asked:
            return self._with_gravest(whole, question.asked)
        last = self._classified(question.asked, self._vector_of(question.asked))
        kinds = (PLAIN, OFF_TOPIC, VAGUE)
        left = sum(last.get(kind, 0.0) for kind in kinds)
        of_whole = sum(whole.get(kind, 0.0) for kind in kinds) or 1.0
        both = last | {kind: whole.get(kind, 0.0) * left / of_whole for kind in kinds}
        return self._with_gravest(both, question.asked)

    def _with_gravest(self, likely: dict[str, float], text: str) -> dict[str, float]:
        """Returns the kinds with the gravest sentence heard, if it asks nothing: in a long tale a
        threat is one of many, and the whole reads like something else."""
        spans = sentences(text)
        said = [text[start:end] for start, end in spans if text[end - 1] != "?"]
        if len(spans) < 2 or not said or self._model is None:
            return likely
        half = SENTENCES // 2
        ends = [*said[:half], *said[half:][-half:]]
        for one, vector in zip(ends, self._embed(ends), strict=True):
            alone = self._classified(one, vector)
            reason = max(self._house.grave, key=lambda each: alone.get(each, 0.0), default=PLAIN)
            p = alone.get(reason, 0.0)
            if p >= GRAVE_SENTENCE and p > (before := likely.get(reason, 0.0)):
                rest = (1 - p) / (1 - before)
                likely = {kind: each * rest for kind, each in likely.items()} | {reason: p}
        return likely

    def _classified(self, text: str, vector: npt.NDArray[np.float32]) -> dict[str, float]:
        if self._model is None:
            return {PLAIN: 1.0}
        seen = features([text], vector[np.newaxis], self._model.words)[0]
        found = self._model.of(seen)
        likely = _normal({kind: p * self._shift[kind] for kind, p in found.items()})
        return _as_far_as_known(likely, self._model.nearest(seen))

    def _reads_as(self, reason: str, heard: Witnesses, signals: Mapping[str, Any]) -> Decision:
        rule = next((rule for rule in heard.matched if rule.reason == reason), None)
        why = f"reads as {reason} (P={heard.kinds.get(reason, 0.0):.2f})"
        if rule is not None:
            why = f"rule of {reason} on {rule.on!r}"
        return self._to_person(heard.question, reason, why, signals)

    def _to_person(
        self, question: Question, reason: str, why: str, signals: Mapping[str, Any]
    ) -> Decision:
        if self._house.reasons[reason].consent and rules.consent_pending(question) != reason:
            signals = {**signals, "consent": reason}
            return Decision("CLARIFY", None, f"{why}; consent first", signals, consent=reason)
        return self._escalate(question, reason, why, signals)

    def _gap(self, question: Question, why: str, signals: Mapping[str, Any]) -> Decision:
        topic = topic_of(question.asked, question.locale)
        signals = {**signals, "topic": topic}
        return replace(self._escalate(question, GAP, why, signals), topic=topic)

    def _escalate(
        self, question: Question, reason: str, why: str, signals: Mapping[str, Any]
    ) -> Decision:
        """Who has the conversation in hand keeps it, where it brings no matter of its own."""
        held = None
        if reason == GAP:
            held = rules.held_by(question) if question.leans else None
        elif not self._house.is_matter(reason):
            held = rules.held_by(question, self._house.grave)
        team = held if held in self._house.teams else self._house.reasons[reason].team
        return Decision("ESCALATE", Escalation(team, reason), why, signals)


def _shift(counts: Mapping[str, int]) -> dict[str, float]:
    """Returns, for each kind, its share at a help desk over its share of the examples (label
    shift)."""
    total = sum(counts.values())
    reasons = sum(n for kind, n in counts.items() if kind not in SHARES)
    rest = (1 - sum(SHARES.values())) * total / reasons if reasons else 0.0
    return {
        kind: SHARES[kind] * total / n if kind in SHARES else rest for kind, n in counts.items()
    }


def _as_far_as_known(likely: Mapping[str, float], nearest: float) -> dict[str, float]:
    """Returns the classifier's view, trusted as far as it knows similar messages; the rest is
    PLAIN."""
    known = min(1.0, max(0.0, (nearest - STRANGE) / (FAMILIAR - STRANGE)))
    left = {kind: p * known for kind, p in likely.items() if kind != PLAIN}
    return left | {PLAIN: 1.0 - sum(left.values())}


def _by_evidence(evidence: Evidence) -> dict[str, float]:
    """Weighs a question in a language of which the house has no examples, by evidence alone.

    It is never off topic, for nobody here could tell; what has no answer goes to a person.
    """
    answered = SHARES[PLAIN] * ANSWERS_HELD
    others = 1 - answered - SHARES[VAGUE]
    odds = answered / others * math.exp(evidence.answerable)
    return {ANSWERABLE: odds / (1 + odds), GAP: 1 / (1 + odds), OFF_TOPIC: 0.0, VAGUE: 0.0}


def _weigh(
    intent: Mapping[str, float], evidence: Evidence, never_less: Collection[str]
) -> dict[str, float]:
    """Weighs kinds by the evidence (Bayes).

    A vague question and one that is off topic find what a gap finds, so evidence can only speak
    against them. A question for a person fits half as one with a page and half as a gap; the
    page's half counts up to NEEDS_A_PERSON, for those in `never_less` without a bound.
    """
    odds = {ANSWERABLE: evidence.answerable, OFF_TOPIC: min(0.0, evidence.foreign)}
    fits = {GAP: 1.0, VAGUE: 1.0} | {kind: math.exp(logit) for kind, logit in odds.items()}
    most = {kind: math.inf if kind in never_less else NEEDS_A_PERSON for kind in intent}
    kinds = {
        kind: p * fits.get(kind, (math.exp(min(evidence.answerable, most[kind])) + fits[GAP]) / 2)
        for kind, p in intent.items()
    }
    plain = intent.get(PLAIN, 0.0)
    kinds.pop(PLAIN, None)
    kinds[ANSWERABLE] = plain * ANSWERS_HELD * fits[ANSWERABLE]
    kinds[GAP] = plain * (1 - ANSWERS_HELD) * fits[GAP]
    return _normal(kinds)


def _between(searched: Searched) -> tuple[str, ...]:
    """Returns titles to choose among, where the few words asked do stand in the sources."""
    if searched.evidence.clues.passage < 0.5:
        return ()
    titles = (candidate.chunk.title for candidate in searched.found.candidates[: 2 * NAMED])
    return tuple(dict.fromkeys(titles))[:NAMED]


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


def _with_costs(
    signals: Mapping[str, Any], best: OutcomeCost, second: OutcomeCost
) -> dict[str, Any]:
    costs = _rounded({best.outcome: best.cost, second.outcome: second.cost})
    return {**signals, "costs": costs}
