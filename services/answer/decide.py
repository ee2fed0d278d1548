"""Eighth step: answer, ask back, hand over or decline; whichever costs least in expectation.

What the question may be (answerable, a gap in the sources, off topic, vague, or one of the house's
reasons for a person) gets probabilities from three witnesses: the house's rules, the classifier
trained on its examples, and the evidence that retrieval found. A table of costs then chooses.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.answer.contract import Decision, Evidence, Found, Question, Turn
from services.answer.intent import OFF_TOPIC, PLAIN, VAGUE, features, fit_house, house_examples
from twofold.clients.embedder import Embedder
from twofold.clients.sparse import Bm25Encoder
from twofold.house import NOT_IN_SOURCES, HousePolicy
from twofold.reply import Escalation
from twofold.security import gives_orders

ANSWERABLE = "answerable"
GAP = NOT_IN_SOURCES

COSTS: Mapping[str, Mapping[str, float]] = {
    "ANSWER": {ANSWERABLE: 0.0, GAP: 3.0, OFF_TOPIC: 5.0, VAGUE: 3.0},
    "CLARIFY": {ANSWERABLE: 2.0, GAP: 2.0, OFF_TOPIC: 2.0, VAGUE: 0.0},
    "DECLINE": {ANSWERABLE: 6.0, GAP: 4.0, OFF_TOPIC: 0.0, VAGUE: 4.0},
    GAP: {ANSWERABLE: 3.0, GAP: 0.0, OFF_TOPIC: 2.0, VAGUE: 1.5},
}
"""Cost of an outcome (row) when the question is of a kind (column), in minutes of an agent's time
or a customer's. A wrong answer costs as much as handing over a question that had an answer.
On the tune half of the example suite action accuracy stays between .85 and .88 while these costs
move by a third."""
OVER_ESCALATED = 4.0
MISROUTED = 2.0
"""A person sees it, but the wrong one."""
MISSED = 4.0
"""A person should have seen it, and nobody did."""
MISSED_GRAVELY = 7.0
GRAVE = frozenset(
    {"account_takeover", "account_recovery", "vulnerability_report", "data_request"}
    | {"legal_threat", "safety_threat", "outage_report"}
)
"""A house that names its own reasons after these gets the same care; any other costs MISSED."""
FIRM = GRAVE | {"person_requested"}
"""Reasons whose rules the classifier cannot overrule."""

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

CLUES = ("cosine", "fused", "keywords", "coverage", "passage", "agreement", "stranger", "code")
# What the clues say of each kind of question against a gap, as log odds where all kinds are as
# frequent: weights of CLUES, then a bias. Made by benchmarks/fit_evidence.py.
EVIDENCE: Mapping[str, tuple[float, ...]] = {
    ANSWERABLE: (3.92, 0.85, 0.57, 0.12, -0.07, 0.76, -2.15, 2.18, -5.05),
    OFF_TOPIC: (-5.90, -1.23, 0.48, -2.21, 0.23, 0.11, 0.47, -0.65, 3.35),
    VAGUE: (-5.43, -1.21, 0.58, -0.46, 2.90, 0.57, -2.84, -1.89, 1.29),
}

_CURRENCY = r"(?:us)?\$|usd|eur|€|£|dollars?|euros?|bucks"
_NUMBER = r"\d[\d.,]*\d|\d"
_AMOUNT = re.compile(
    rf"(?:{_CURRENCY})\s*(?P<after>{_NUMBER})(?P<k1>\s?k\b)?"
    rf"|(?P<before>{_NUMBER})(?P<k2>\s?k)?\s*(?:{_CURRENCY})(?!\w)",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b\w*[a-z][A-Z]\w*")
_NAME_OR_CAPITAL = re.compile(r"(?<=[\w,;] )[A-Z]\w*[a-z]{2}\w*|\b\w*[a-z][A-Z]\w*")
_CODE = re.compile(r"\b[A-Za-z]{1,6}-\d+\b|\b\w*[a-z]_\w*|\b[1-5]\d\d\b(?![.,]?\d)")
_CALENDAR = re.compile(
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|christmas|easter)",
    re.IGNORECASE,
)
_UNHELPED = re.compile(
    r"\b(still|again)\b[^.?!]{0,30}\b(not|no|n.t|same|fails?|failing|broken|error|wrong)\b"
    r"|\b(did|does|do|was|is|has|have)( not|n.t)( \w+)? (help|work|fix|solve|change|true|right)"
    r"|\b(not helpful|no (luck|help|use|change)|same (problem|error|issue|result)|that.s wrong"
    r"|(already|just) (tried|did|done))\b"
    r"|\b(hilft|half|geholfen|geht|ging|funktioniert|klappt)\b[^.?!]{0,30}\b(nicht|nichts)\b"
    r"|\b(immer noch|weiterhin)\b[^.?!]{0,30}\b(nicht|kein\w*|fehler)\b"
    r"|\b(nicht|nichts) (geholfen|gebracht)\b",
    re.IGNORECASE,
)
_YES = re.compile(
    r"^\W*(yes|yep|yeah|sure|ok(ay)?|please( do)?|go ahead|do (it|that)|ja|gerne?|bitte|klar)\b",
    re.IGNORECASE,
)
_NO = re.compile(r"^\W*(no|nope|not (now|yet)|don.t|nein|nicht)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_][\w'-]*")
TOPIC_WORDS = 6


class Rule(NamedTuple):
    """A rule of the house that matched, and on what."""

    reason: str
    on: str
    firm: bool


class Choice(NamedTuple):
    """One thing we could do, and what it costs in expectation."""

    outcome: str
    cost: float


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the message says of itself, before any source is looked at."""

    intent: dict[str, float]
    rules: tuple[Rule, ...]
    signals: dict[str, Any] = field(default_factory=dict)


class Decider:
    """Decides under one house policy. Made once per process: it trains the house's classifier."""

    def __init__(self, house: HousePolicy, embedder: Embedder) -> None:
        self._house = house
        self._model = fit_house(house, embedder)
        self._shift = _shift(Counter(kind for _, kind in house_examples(house)))
        self._stopwords = Bm25Encoder()
        self._topics = _any_of(house.topics)
        self._vector_of = lru_cache(maxsize=64)(lambda text: embedder.embed([text])[0])

    def before(self, question: Question, vector: npt.NDArray[np.float32]) -> Decision | None:
        """What no source could change: hand over, or decline. None means look for an answer.

        `vector` is that of `question.standalone`, (d,).
        """
        orders = gives_orders(question.asked)
        if orders is not None:
            why = f"gives the assistant orders: {orders!r}"
            return Decision("DECLINE", None, why, {"orders": orders})
        asked_for = self._consent_given(question)
        if asked_for is not None:
            return self._escalate(asked_for, "the customer agreed to be handed over", {})
        failures = failures_in_a_row(self._house, question)
        limits = self._house.limits
        if failures >= limits.failures:
            why = f"{failures} failed answers in a row (limit {limits.failures})"
            return self._escalate(limits.failures_reason, why, {"failures": failures})
        reading = self._read(question, vector)
        kinds = {ANSWERABLE: 0.0} | reading.intent
        kinds[ANSWERABLE] = kinds.pop(PLAIN, 0.0)
        best, *others = self._choices(kinds)
        if best.outcome not in self._house.reasons or best.outcome == GAP:
            return None
        return self._hand_over(best, others[0], question, reading)

    def after(
        self,
        question: Question,
        found: Found,
        evidence: Evidence,
        before: Decision | None,
    ) -> Decision:
        """The final word, for a reply maker that cannot judge for itself."""
        if before is not None:
            return before
        reading = self._read(question, found.vector)
        seen = clues(question, found, evidence)
        fits = likelihoods(seen)
        kinds = _weigh(reading.intent, fits)
        best, second, *_ = self._choices(kinds)
        reading.signals.update(
            evidence={name: round(value, 4) for name, value in zip(CLUES, seen, strict=True)},
            fits=_rounded(fits),
            kinds=_rounded(kinds),
        )
        if best.outcome == GAP:
            reading.signals["topic"] = self.topic(question)
            why = f"about us, but the sources do not cover it (P={kinds[GAP]:.2f})"
            return self._escalate(GAP, why, _with_costs(reading.signals, best, second))
        if best.outcome in self._house.reasons:
            return self._hand_over(best, second, question, reading)
        signals = _with_costs(reading.signals, best, second)
        if best.outcome == "ANSWER":
            why = f"the sources cover it (P={kinds[ANSWERABLE]:.2f})"
            return Decision("ANSWER", None, why, signals)
        if best.outcome == "CLARIFY":
            signals["between"] = _between(found, evidence)
            why = f"too vague to answer (P={kinds[VAGUE]:.2f}), and the sources do not settle it"
            return Decision("CLARIFY", None, why, signals)
        why = f"outside what we answer (P={kinds[OFF_TOPIC]:.2f}), and the sources are silent"
        return Decision("DECLINE", None, why, signals)

    def wording(self, decision: Decision, locale: str, now: float) -> str:
        """The house's sentences for a decision at `now` (epoch seconds); empty for ANSWER."""
        say = self._house.say(locale)
        if decision.action == "ANSWER":
            return ""
        if decision.action == "DECLINE":
            return say.decline.strip()
        if decision.action == "CLARIFY":
            consent = decision.signals.get("consent")
            if consent in self._house.reasons:
                return say.consent.format(team=say.teams[self._house.reasons[consent].team]).strip()
            between = decision.signals.get("between") or ()
            if len(between) > 1:
                topics = ", ".join(f"“{title}”" for title in between)
                return say.clarify_between.format(topics=topics).strip()
            return say.clarify.strip()
        if decision.escalation is None:
            raise ValueError("an ESCALATE decision carries its team and reason")
        team, reason = decision.escalation
        template = say.not_in_sources if reason == GAP else say.escalate
        topic = decision.signals.get("topic") or "…"
        text = template.format(team=say.teams[team], topic=topic).strip()
        if self._house.hours.open_at(now, team):
            return text
        return f"{text} {say.off_hours.strip()}"

    def _read(self, question: Question, vector: npt.NDArray[np.float32]) -> _Reading:
        intent = self._intent(question, vector)
        known = frozenset(intent)
        rules = self._rules(question)
        signals: dict[str, Any] = {"intent": _rounded(intent)}
        if rules:
            signals["rules"] = {rule.reason: rule.on for rule in rules}
        amount = max(amounts(question.asked), default=None)
        if amount is not None:
            signals["amount"] = amount
            limits = self._house.limits
            if amount <= limits.money and limits.money_reason in intent:
                intent[limits.money_reason] = 0.0
        elif self._house.limits.money_reason in intent:
            intent[self._house.limits.money_reason] *= NO_AMOUNT
        for rule in rules:
            # A reason that the classifier never learned has none to overrule its rules.
            firm = rule.firm or rule.reason not in known
            least = max(intent.get(rule.reason, 0.0), RULE_FLOOR[firm])
            intent[rule.reason] = least * (STRONG_RULE if firm else WEAK_RULE)
        refused = self._consent_refused(question)
        if refused is not None:
            intent[refused] = 0.0
        if self._topics is not None and self._topics.search(question.standalone):
            intent[OFF_TOPIC] = intent.get(OFF_TOPIC, 0.0) * TOPIC_WORD
        if question.standalone != question.asked:
            intent[VAGUE] = intent.get(VAGUE, 0.0) * SETTLED
        return _Reading(_normal(intent), rules, signals)

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

    def _rules(self, question: Question) -> tuple[Rule, ...]:
        rules = []
        for name, reason in self._house.reasons.items():
            money = name == self._house.limits.money_reason
            text = question.standalone if money else question.asked
            match = reason.matcher.search(text) if reason.matcher else None
            if match is None:
                continue
            # What asks for money back is half of the money rule; the amount, often told in another
            # message, makes it whole.
            if money and max(amounts(text), default=0.0) <= self._house.limits.money:
                continue
            rules.append(Rule(name, match.group().strip(), name in FIRM))
        return tuple(rules)

    def _choices(self, kinds: Mapping[str, float]) -> list[Choice]:
        """Everything we could do, cheapest first."""
        reasons = [name for name in self._house.reasons if name != GAP]
        choices = []
        for outcome in (*COSTS, *reasons):
            cost = 0.0
            for kind, probability in kinds.items():
                cost += probability * _cost(outcome, kind)
            choices.append(Choice(outcome, cost))
        return sorted(choices, key=lambda choice: choice.cost)

    def _hand_over(
        self, best: Choice, second: Choice, question: Question, reading: _Reading
    ) -> Decision:
        reason = best.outcome
        signals = _with_costs(reading.signals, best, second)
        rule = next((rule for rule in reading.rules if rule.reason == reason), None)
        why = f"reads as {reason} (P={reading.intent.get(reason, 0.0):.2f})"
        if rule is not None:
            why = f"rule of {reason} on {rule.on!r}"
        if self._house.reasons[reason].consent and not self._consent_asked(question):
            return Decision("CLARIFY", None, f"{why}; consent first", signals | {"consent": reason})
        return self._escalate(reason, why, signals)

    def _escalate(self, reason: str, why: str, signals: dict[str, Any]) -> Decision:
        team = self._house.reasons[reason].team
        return Decision("ESCALATE", Escalation(team, reason), why, signals)

    def _consent_asked(self, question: Question) -> str | None:
        """The reason that our last message asked consent for."""
        last = next((turn for turn in reversed(question.history) if turn.role == "assistant"), None)
        return None if last is None else consent_question(self._house, last.text)

    def _consent_given(self, question: Question) -> str | None:
        return self._consent_asked(question) if _YES.search(question.asked) else None

    def _consent_refused(self, question: Question) -> str | None:
        return self._consent_asked(question) if _NO.search(question.asked) else None

    def topic(self, question: Question) -> str:
        """The words of the question that carry it, quoted: what was looked for."""
        words = [
            word
            for word in _WORD.findall(question.asked)
            if self._stopwords.query(word, question.locale).indices
        ]
        return f"“{' '.join(words[:TOPIC_WORDS])}”" if words else "…"


def amounts(text: str) -> list[float]:
    """Sums of money in `text`, with either decimal mark: "$1,140", "2.490 €", "2.5k USD"."""
    found = []
    for match in _AMOUNT.finditer(text):
        number = match["after"] or match["before"]
        thousand = match["k1"] or match["k2"]
        found.append(_number(number) * (1000 if thousand else 1))
    return found


def clues(question: Question, found: Found, evidence: Evidence) -> tuple[float, ...]:
    """The numbers named in CLUES: the evidence, and what names and codes the question holds.

    A stranger is a name ("Kafka", "iPhone") that no candidate holds. German capitalises every
    noun, so there only an inner capital makes a name; acronyms are no names, product or not. A code
    ("D-22", "bwp_", 429) counts where a candidate holds it.
    """
    text = "\n".join(candidate.chunk.embedded_text for candidate in found.candidates).lower()
    pattern = _NAME if question.locale == "de" else _NAME_OR_CAPITAL
    names = [match.group() for match in pattern.finditer(question.asked)]
    stranger = any(not _CALENDAR.fullmatch(name) and name.lower() not in text for name in names)
    return (
        evidence.cosine,
        evidence.fused,
        evidence.keywords,
        evidence.coverage,
        evidence.passage,
        float(evidence.agreement),
        float(stranger),
        float(any(code.lower() in text for code in _CODE.findall(question.asked))),
    )


def likelihoods(seen: Sequence[float]) -> dict[str, float]:
    """How well `seen` (CLUES) fits each kind of question; the fits of all kinds sum to 1."""
    logits = {GAP: 0.0}
    for kind, (*weights, bias) in EVIDENCE.items():
        logits[kind] = bias + sum(w * x for w, x in zip(weights, seen, strict=True))
    return _normal({kind: math.exp(logit) for kind, logit in logits.items()})


def failures_in_a_row(house: HousePolicy, question: Question) -> int:
    """Our latest messages that did not help: asked back, found nothing, or were told so."""
    failures = 0
    follow = question.asked
    for turn in reversed(question.history):
        if turn.role == "user":
            follow = turn.text
        elif consent_question(house, turn.text) is not None:
            continue
        elif _failed(house, turn) or _UNHELPED.search(follow):
            failures += 1
        else:
            break
    return failures


def consent_question(house: HousePolicy, text: str) -> str | None:
    """The reason that `text`, a message of ours, asks consent for."""
    for name, reason in house.reasons.items():
        for say in house.templates.values() if reason.consent else ():
            if text.strip() == say.consent.format(team=say.teams[reason.team]).strip():
                return name
    return None


def _failed(house: HousePolicy, turn: Turn) -> bool:
    if turn.action == "CLARIFY":
        return True
    handed_over = tuple(say.escalate.partition("{")[0] for say in house.templates.values())
    return turn.action == "ESCALATE" and not turn.text.startswith(handed_over)


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


def _cost(outcome: str, kind: str) -> float:
    if outcome == kind:
        return 0.0
    to_person = outcome not in COSTS or outcome == GAP
    if kind in COSTS["ANSWER"]:
        return COSTS[outcome][kind] if outcome in COSTS else _over_escalated(kind)
    if to_person:
        return MISROUTED
    return MISSED_GRAVELY if kind in GRAVE else MISSED


def _over_escalated(kind: str) -> float:
    return MISROUTED if kind == GAP else OVER_ESCALATED


def _between(found: Found, evidence: Evidence) -> list[str]:
    """Titles to choose among, where the few words asked do stand in the sources."""
    if evidence.passage < 0.5:
        return []
    titles = dict.fromkeys(candidate.chunk.title for candidate in found.candidates[:6])
    return list(titles)[:3]


def _number(text: str) -> float:
    whole, mark, rest = text.rpartition("," if text.rfind(",") > text.rfind(".") else ".")
    if mark and len(rest) != 3:
        return float(re.sub(r"[.,]", "", whole) + "." + rest)
    return float(re.sub(r"[.,]", "", text))


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


def _with_costs(signals: dict[str, Any], best: Choice, second: Choice) -> dict[str, Any]:
    return signals | {"costs": _rounded({best.outcome: best.cost, second.outcome: second.cost})}
