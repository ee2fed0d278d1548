"""The house's sentences for a decision."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from services.answer.contract import Decision, Question
from services.answer.decide import rules
from services.answer.search.asks import asks, bare, questions_in, sentence_that_asks
from twofold.policy import NOT_IN_SOURCES, HousePolicy, Templates
from twofold.text.languages import base, words_in

TOPIC_WORDS: Final = 24
"""A question of so many is said back whole; of a longer one the sentence that asks."""
LEAST_WORDS: Final = 6
LEAST_POINTING: Final = 10
"""A shorter piece says nothing, or points to what stands before it ("how do i set this up")."""
_POINTS = re.compile(
    r"\b(?:it|this|that|these|those|them|there|das|es|dies\w*|dort)\b", re.IGNORECASE
)
_SIGNS = re.compile(r"[][(){}<>*_`|~#@/\\\"“”]|:(?!\d)|\.(?=[^\W\d])")
"""What makes a link, an address or Markdown of words."""
_LEADS_IN = re.compile(
    r"\A(?:(?:and|or|but|so|also|then|und|oder|aber|auch|dann) )+", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_CLAUSE = re.compile(
    r"(?<=[,;:])\s|\s[–-]\s|(?<=[、，；])"
    r"|\s(?=(?:and|but|or|because|so|while|und|aber|oder|weil|sodass|et|mais|y|pero|e|però|maar)\s)",
    re.IGNORECASE,
)
"""Where a reader takes breath."""
SILENT_ON = {
    "en": "Our help center has no answer on {topic}.",
    "de": "Zu {topic} hat unser Hilfezentrum keine Antwort.",
    "fr": "Notre centre d'aide ne dit rien sur {topic}.",
    "es": "Nuestro centro de ayuda no dice nada sobre {topic}.",
    "it": "Il nostro centro assistenza non dice nulla su {topic}.",
    "pt": "A nossa central de ajuda não tem resposta sobre {topic}.",
    "nl": "Ons helpcentrum heeft geen antwoord over {topic}.",
}
THIS = {
    "en": "this",
    "de": "dieser Frage",
    "fr": "cette question",
    "es": "esta pregunta",
    "it": "questa domanda",
    "pt": "esta pergunta",
    "nl": "deze vraag",
}
"""What stands for a question that is too long to be said back."""
UNSURE_OF = {
    "en": "I am not sure that this answers {topic}.",
    "de": "Ich bin nicht sicher, ob das {topic} beantwortet.",
    "fr": "Je ne suis pas sûr que cela réponde à {topic}.",
    "es": "No estoy seguro de que esto responda a {topic}.",
    "it": "Non sono sicuro che questo risponda a {topic}.",
    "pt": "Não tenho certeza de que isto responda a {topic}.",
    "nl": "Ik weet niet zeker of dit {topic} beantwoordt.",
}
MEANWHILE = {
    "en": "Meanwhile, our help center says this:",
    "de": "Das sagt inzwischen unser Hilfezentrum dazu:",
    "fr": "En attendant, voici ce qu'en dit notre centre d'aide :",
    "es": "Mientras tanto, nuestro centro de ayuda dice esto:",
    "it": "Nel frattempo, ecco che cosa dice il nostro centro assistenza:",
    "pt": "Entretanto, a nossa central de ajuda diz o seguinte:",
    "nl": "Intussen zegt ons helpcentrum dit:",
}
"""Said below a hand-over, before what the sources say."""
NEAREST = {
    "en": "I am not sure that our help center answers this. The nearest that it says:",
    "de": "Ich bin nicht sicher, ob unser Hilfezentrum das beantwortet. Am nächsten kommt dem:",
    "fr": "Je ne suis pas sûr que notre centre d'aide réponde à cela. Le plus proche :",
    "es": "No estoy seguro de que nuestro centro de ayuda responda a esto. Lo más cercano:",
    "it": "Non sono sicuro che il nostro centro assistenza risponda. La cosa più vicina:",
    "pt": "Não tenho certeza de que a nossa central de ajuda responda a isto. O mais próximo:",
    "nl": "Ik weet niet zeker of ons helpcentrum dit beantwoordt. Het dichtst erbij komt:",
}
"""Said before what may be no answer to the only question of a message."""
YOURS = {
    "en": "your question",
    "de": "Ihre Frage",
    "fr": "votre question",
    "es": "su pregunta",
    "it": "la sua domanda",
    "pt": "a sua pergunta",
    "nl": "uw vraag",
}
THE_REST = {
    "en": "the rest of what you ask",
    "de": "dem Rest Ihrer Frage",
    "fr": "le reste de votre question",
    "es": "el resto de su pregunta",
    "it": "il resto della sua domanda",
    "pt": "o resto da sua pergunta",
    "nl": "de rest van uw vraag",
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


def topic_of(message: str, locale: str, else_: Mapping[str, str] = THIS) -> str:
    """Returns what a message asks, in its own words, quoted; `else_` where it is a long story.

    A link, an address or a mark of Markdown that somebody wrote is said back as words.
    """
    quoted = _words(_quotable(_LEADS_IN.sub("", bare(message))))
    return f"“{quoted}”" if quoted else _of(else_, locale)


def left_open(
    house: HousePolicy, unanswered: Sequence[str], doubtful: Sequence[str], question: Question
) -> str:
    """Returns what is put below an answer: which other questions have none, to which of several it
    may be none, and whether a person shall see to them."""
    locale = question.locale
    lacks = _of(SILENT_ON, locale)
    topics = dict.fromkeys(topic_of(each, locale, THE_REST) for each in unanswered)
    said = [lacks.format(topic=topic) for topic in topics]
    if doubtful and not in_doubt(doubtful, question):
        topics = dict.fromkeys(topic_of(each, locale, YOURS) for each in doubtful)
        said += [_of(UNSURE_OF, locale).format(topic=topic) for topic in topics]
    say = house.say(locale)
    team = say.teams[house.reasons[NOT_IN_SOURCES].team]
    return " ".join((*said, _offer(say, team)))


def in_doubt(doubtful: Sequence[str], question: Question) -> str:
    """Returns what is put before an answer that may be none to the only question of a message;
    empty where there are several, or it is in no doubt."""
    alone = bool(doubtful) and len(questions_in(question)) == 1
    return _of(NEAREST, question.locale) if alone else ""


def offered(house: HousePolicy, reason: str, locale: str) -> str:
    """Returns the question whether a person shall see to what an answer may not settle."""
    say = house.say(locale)
    return _offer(say, say.teams[house.reasons[reason].team])


def from_the_sources(locale: str) -> str:
    """Returns what stands between a hand-over and what the sources say."""
    return _of(MEANWHILE, locale)


def _of(sentences: Mapping[str, str], locale: str) -> str:
    return sentences.get(base(locale), sentences["en"])


def _quotable(text: str) -> str:
    """Returns the text, or of a long one the only sentence that asks; cut where a clause ends.
    Empty where nothing of it can stand alone."""
    if words_in(text) <= TOPIC_WORDS:
        return text
    sentence = sentence_that_asks(text)
    if len(asks(text)) > 1 or (sentence == text and len(_SENTENCE.split(text.strip())) > 1):
        return ""
    least = LEAST_POINTING if _POINTS.search(sentence) else LEAST_WORDS
    if least <= words_in(sentence) <= TOPIC_WORDS:
        return sentence
    starts = (sentence[: match.start()] for match in _CLAUSE.finditer(sentence))
    kept = [each for each in starts if least <= words_in(each) <= TOPIC_WORDS]
    return f"{kept[-1].rstrip(' ,;:')}…" if kept else ""


def _words(text: str) -> str:
    return " ".join(_SIGNS.sub(" ", text).split()).strip(" ?？!！.。,;:-–")


def _ask_back(house: HousePolicy, say: Templates, decision: Decision) -> str:
    if decision.consent is not None:
        return _offer(say, say.teams[house.reasons[decision.consent].team])
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


def _offer(say: Templates, team: str) -> str:
    return say.consent.format(team=team).strip()


def _hand_over(say: Templates, decision: Decision, again: bool) -> str:
    gap = decision.escalation is not None and decision.escalation.reason == NOT_IN_SOURCES
    if gap and not decision.searched:
        return say.unavailable or say.escalate
    if gap and decision.topic:
        return say.not_in_sources
    return say.escalate_again or say.escalate if again else say.escalate
