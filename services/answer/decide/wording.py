"""The house's sentences for a decision."""

import re
from typing import Final

from services.answer.contract import Decision, Question
from services.answer.decide import rules
from services.answer.search.asks import sentence_that_asks
from twofold.characters import UNSPACED
from twofold.policy import NOT_IN_SOURCES, HousePolicy, Templates
from twofold.text.languages import base

TOPIC_WORDS: Final = 12
TOPIC_CHARACTERS: Final = 24
"""Of a script that does not part its words."""
_SIGNS = re.compile(r"[][(){}<>*_`|~#@/\\\"“”]|:(?!\d)|\.(?=[^\W\d])")
"""What makes a link, an address or Markdown of words."""
_LEADS_IN = re.compile(
    r"\A(?:(?:and|or|but|so|also|then|und|oder|aber|auch|dann) )+", re.IGNORECASE
)
SILENT_ON = {
    "en": "Our help center has no answer on {topic}.",
    "de": "Zu {topic} hat unser Hilfezentrum keine Antwort.",
}


def wording(house: HousePolicy, decision: Decision, question: Question, now: float) -> str:
    """Returns the house's sentence for the decision at `now` (epoch seconds); empty for ANSWER,
    whose words come from the sources."""
    say = house.say(question.locale)
    if decision.action == "ANSWER":
        return ""
    if decision.action == "DECLINE":
        return say.decline.strip()
    if decision.action == "CLARIFY":
        return _ask_back(house, say, decision)
    if decision.escalation is None:
        raise ValueError("an ESCALATE decision carries its team and reason")
    team, reason = decision.escalation.team, decision.escalation.reason
    again = rules.has_team(question, team)
    parts = [_hand_over(say, decision, again).format(team=say.teams[team], topic=decision.topic)]
    if not again:
        parts.append(house.meanwhile(reason, question.locale))
    if not house.hours.open_at(now, team):
        parts.append(say.off_hours)
    return " ".join(text for part in parts if (text := part.strip()))


def topic_of(message: str) -> str:
    """Returns what a message asks, in its own words, quoted; cut where it is long.

    A link, an address or a mark of Markdown that somebody wrote is said back as words.
    """
    asked = sentence_that_asks(message)
    if (unspaced := UNSPACED.search(asked)) is not None and len(unspaced[0]) > 1:
        start = " ".join(asked.split()).rstrip("?？。")
        return f"“{start[:TOPIC_CHARACTERS]}{'…' * (len(start) > TOPIC_CHARACTERS)}”"
    parts = _SIGNS.sub(" ", _LEADS_IN.sub("", asked)).split()
    words = [word for each in parts if (word := each.strip("?!.,;…"))]
    return f"“{' '.join(words[:TOPIC_WORDS])}{'…' * (len(words) > TOPIC_WORDS or not words)}”"


def silent_on(topic: str, locale: str) -> str:
    """Returns the sentence, put beside an answer, that a part of the question has none."""
    return SILENT_ON.get(base(locale), SILENT_ON["en"]).format(topic=topic)


def _ask_back(house: HousePolicy, say: Templates, decision: Decision) -> str:
    if decision.consent is not None:
        team = house.reasons[decision.consent].team
        return say.consent.format(team=say.teams[team]).strip()
    if decision.thanks and say.thanks:
        return say.thanks.strip()
    if decision.courtesy:
        return (say.courtesy or say.clarify).strip()
    if decision.about and say.about:
        return say.about.format(company=house.company, product=house.product).strip()
    if decision.about:
        return (say.courtesy or say.clarify).strip()
    if len(decision.choices) > 1:
        topics = ", ".join(f"“{title}”" for title in decision.choices)
        return say.clarify_between.format(topics=topics).strip()
    return say.clarify.strip()


def _hand_over(say: Templates, decision: Decision, again: bool) -> str:
    gap = decision.escalation is not None and decision.escalation.reason == NOT_IN_SOURCES
    if gap and not decision.searched:
        return say.unavailable or say.escalate
    if gap and decision.topic:
        return say.not_in_sources
    return say.escalate_again or say.escalate if again else say.escalate
