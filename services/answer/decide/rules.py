"""What a message says by its very words: reasons of the house, sums of money, yes and no to a
person, and that the last answer did not help."""

import re
from collections.abc import Collection
from typing import NamedTuple

from services.answer.contract import Question, Turn
from twofold.policy import HousePolicy
from twofold.reply import Escalation
from twofold.text.languages import may_be
from twofold.text.numbers import read

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
_AGREES = (
    r"yes|yep|yeah|sure|please(?: do)?|go ahead|do (?:it|that)|ja|gerne?|bitte|klar|oui|volontiers"
    r"|sí|sì|si(?=\W*\Z)|claro|certo|sim|graag"
)
_YES = re.compile(rf"^\W*(?:{_AGREES}|ok(?:ay)?)\b", re.IGNORECASE)
_ONLY_YES = re.compile(rf"\A\W*+(?:{_AGREES})\b(?:[^\w?]++\w++){{0,4}}[^\w?]*\Z", re.IGNORECASE)
"""Nothing but a yes: beside an answer a person was only offered, and most go on asking."""
_HELLO = (
    r"hi|hiya|hello|hey|how(?:.?s| is| are) (?:you|your day|things|everything|it)"
    r"(?: (?:going|doing))?(?: today)?|good (?:morning|afternoon|evening|day)"
    r"|hallo|guten (?:tag|morgen|abend)|moin"
    r"|servus|grüezi|bonjour|bonsoir|salut|hola|buen[oa]s (?:días|tardes|noches)|ciao|buongiorno"
    r"|buonasera|olá|oi|bom dia|boa (?:tarde|noite)|hoi|goede(?:morgen|middag|navond)"
    r"|(?:is )?any(?:one|body) (?:here|there|around)|(?:ist )?(?:hier |da )?jemand (?:hier|da)"
)
_PLEASANT = (
    rf"{_HELLO}|(?:many |no )?thanks?|thank y?o?u|thx|tysm|ty|cheers|great|perfect|nice|cool|super"
    r"|awesome|wonderful|excellent|brilliant|lovely|amazing|yay|alright|ok(?:ay)?|got it|i see"
    r"|noted|understood|(?:great|good|nice) (?:job|work|help|service|support|answer)"
    r"|you(?:.re| are)? (?:great|awesome|the best|a star|(?:saved|made) (?:my|the|our) day)"
    r"|makes sense|(?:i.?ll |i will |will )(?:do|try)(?: (?:that|it|this))?"
    r"|(?:it|that|this|all) (?:works|worked|helped|helps|fixed|solved|did)"
    r"(?: (?:it|now|me|fine|for me|perfectly|the trick|like a charm))*+"
    r"|(?:works|working|fixed|solved) (?:now|it)|bye|goodbye|see you|take care"
    r"|have a (?:nice|good|great|lovely) (?:one|day|evening|night|weekend|week)"
    r"|much appreciated|(?:i )?appreciate it|(?:that|it)(?:.?s| was| is) (?:great|perfect|good)"
    r"|(?:that(?:.?s| was| is) )?(?:all|exactly|just|precisely|what)(?: what)? (?:i|we) "
    r"(?:need(?:ed)?|want(?:ed)?|(?:was|were) looking for)(?: to know)?"
    r"|that(?:.?s| was| is) (?:all|it)(?: for (?:now|today))?"
    r"|(?:i have )?no (?:more|other|further) questions|(?:i need )?nothing else"
    r"|no(?:pe)?(?=\W++(?:that|all|thank))"
    r"|all good|sorted|solved|(?:i )?(?:found|figured) (?:it|them)(?: out)?|never ?mind"
    r"|danke(?: schön| sehr| dir| ihnen)?|(?:vielen|besten|herzlichen) dank|dankeschön|alles klar"
    r"|prima|klasse|verstanden|passt|tschüss?|auf wiedersehen|bis bald|nein(?=\W++danke)"
    r"|(?:einen )?schöne[ns] (?:tag|abend|feierabend|wochenende)|das war.?s"
    r"|gefunden|hat geklappt|erledigt|(?:das |jetzt )*+(?:funktioniert|klappt|geht|läuft)"
    r"(?: es| jetzt| wieder)*+|(?:das )?hat (?:mir )?(?:sehr )?geholfen"
    r"|merci(?: beaucoup| bien)?|parfait|génial|d.accord|entendu|compris|ça (?:marche|fonctionne)"
    r"|c.est (?:bon|parfait)|au revoir|à bientôt|bonne (?:journée|soirée)"
    r"|(?:muchas |mil )?gracias|perfecto|vale|listo|entendido|de acuerdo|ya funciona|adiós"
    r"|hasta (?:luego|pronto)|(?:mille |molte )?grazie(?: mille)?|perfetto|ottimo|va bene|capito"
    r"|funziona|arrivederci|a presto|(?:muito )?obrigad[oa]|perfeito|ótimo|entendi|certo|funcionou"
    r"|adeus|até (?:logo|breve)|tchau|(?:hartelijk |erg )?bedankt|dank (?:u|je)(?: wel)?"
    r"|dankjewel|dankuwel|top|begrepen|het werkt|tot ziens|fijne (?:dag|avond)"
)
_FILLER = (
    r"so much|very much|a lot|a million|a ton|again|there|then|please|you|mate|guys|team|everyone"
    r"|and|und|noch|euch|ihnen|bitte|now"
    r"|pour l.aide|per l.aiuto|et|y|e|en"
)
_FOR = (
    r"for (?:your|the|all|that|this)|für (?:die|ihre|eure|das)|pour (?:votre|tout)|por (?:su|tu|la)"
    r"|per (?:la|tutto)|pela|voor (?:de|uw|je|alles)"
)
# What they thank for ends where the next word is a known one. Decided once: read in every possible
# way, "thanks for the for the for the ..." takes exponential time.
_THANKED = rf"(?:{_FOR})(?: \w++){{0,2}}?(?=\W*\Z|\W+(?:{_PLEASANT}|{_FILLER}|{_FOR})(?!\w))"
_COURTESY = re.compile(
    rf"\A\W*+(?>(?:{_PLEASANT})(?!\w))(?:\W++(?>(?:{_PLEASANT}|{_FILLER}|{_THANKED})(?!\w)))*+\W*+\Z",
    re.IGNORECASE,
)
_ONLY_HELLO = re.compile(
    rf"\A\W*+(?>(?:{_HELLO}|there|again|you|and|und)(?!\w)\W*+)++\Z", re.IGNORECASE
)
_GREETING = re.compile(
    rf"\A\W*+(?:(?>(?:{_PLEASANT}|there|so|but|and|wait|sorry|by the way|btw|und|aber|sag mal)"
    r"(?!\w))\W++)++",
    re.IGNORECASE,
)
_BEING = (
    r"(?:an? |the )?(?:(?:real|actual|live|human|ai|chat|computer|virtual|support) )*+"
    r"(?:person|human|being|people|bots?|chatbots?|robots?|machine|ai|assistant|computer|program"
    r"|agent|llm|real)"
)
_WESEN = (
    r"(?:ein(?:e[mnrs]?)? )?(?:(?:echte|richtige)[mnrs]? )?+"
    r"(?:mensch(?:en)?|person|bot|chatbot|roboter|maschine|ki|computer|programm|assistent(?:in)?)"
)
_WHO_ANSWERS = re.compile(
    r"\A\W*+(?:who(?: are|.?re) you(?: exactly| really)?|who(?: is|.?s) (?:this|there)"
    r"|who(?: am i|.?m i) (?:talking|speaking|chatting|writing) (?:to|with)"
    r"|what(?: are|.?re) you(?: exactly| for| here for| able to do| capable of)?"
    r"|what(?: is|.?s) your name|do you have a name|introduce yourself"
    rf"|(?:are you|is this|am i (?:talking|speaking|chatting|writing) (?:to|with)) {_BEING}"
    r"(?: or [a-z ]{1,30}+)?"
    r"|what can you (?:do|answer|help(?: me| us)?(?: with)?)(?: for (?:me|us))?"
    r"|what do you (?:do|know)|how can you help(?: me| us)?"
    r"|what (?:can|should|may) i ask(?: you)?(?: about)?"
    r"|wer (?:bist du|sind sie|seid ihr|ist da|antwortet (?:mir )?hier)"
    r"|(?:mit wem|mit was) (?:spreche|rede|chatte|schreibe) ich(?: hier)?"
    r"|was (?:bist du|sind sie)|wie (?:heißt du|heißen sie)"
    r"|(?:bist du|sind sie|ist (?:das|hier)|(?:spreche|rede|chatte|schreibe) ich(?: hier)? mit)"
    rf" {_WESEN}(?: oder [a-zäöüß ]{{1,30}}+)?"
    r"|was (?:kannst du|können sie|könnt ihr|machst du|machen sie)(?: alles| hier| für mich)*+"
    r"(?: tun| machen)?"
    r"|(?:wobei|womit|wie) (?:kannst du|können sie|könnt ihr)(?: mir| uns)? helfen"
    r"|was (?:kann|darf) ich (?:dich|sie|euch|hier)(?: alles)? fragen)"
    rf"(?:\W++(?>(?:{_FILLER}|actually|eigentlich)(?!\w)))*+\W*+\Z",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"\b(?:back|return(?:s|ed)?\b|re-?fund|re-?pa[iy]|reimburs|owe|credit(?! card)|cancel|revers"
    r"|charge-?back)|zurück|erstatt|gutsch|rückzahl|storn",
    re.IGNORECASE,
)
_NO = re.compile(r"^\W*(no|nope|not (now|yet)|don.t|nein|nicht|non|não|nee)\b", re.IGNORECASE)


class MatchedRule(NamedTuple):
    """A rule of the house that matched, and on what."""

    reason: str
    on: str
    firm: bool


def matching(house: HousePolicy, question: Question) -> tuple[MatchedRule, ...]:
    """Returns the house's rules that the message matches."""
    rules = []
    for name, reason in house.reasons.items():
        money = name == house.limits.money_reason
        text = question.standalone if money else question.asked
        if not (on := reason.match(text)):
            continue
        # The pattern for money back is half of the money rule; the amount, often given in another
        # message, is the other half.
        if money and max(amounts(text), default=0.0) <= house.limits.money:
            continue
        rules.append(MatchedRule(name, on, reason.grave or reason.firm))
    return tuple(rules)


def amounts(text: str) -> list[float]:
    """Returns the sums of money in `text`: "$1,140", "2.490 €", "2.5k USD".

    A customer may write either decimal mark in any language. Of both readings the larger one
    counts, since a sum over the limit goes to a person."""
    readings = zip(read(text, "en"), read(text, "de"), strict=True)
    return [
        max(float(number.value) for number in both)
        for both in readings
        if both[0].currency and all(number.is_quantity for number in both)
    ]


def wants_back(question: Question) -> bool:
    """Returns whether anything is to go back, in a language whose words for it we know."""
    text = question.standalone
    return _BACK.search(text) is not None or not may_be(text, ("en", "de"))


def failures_in_a_row(question: Question) -> int:
    """Returns how many of our latest messages in a row did not help: they asked back, found
    nothing, or the customer said so."""
    failures = 0
    follow = question.asked
    for turn in reversed(question.history):
        if turn.role == "user":
            follow = turn.text
        elif turn.action == "CLARIFY" and not turn.failed:
            continue  # asked for consent, or answered a greeting
        elif turn.failed or _UNHELPED.search(follow):
            failures += 1
        else:
            break
    return failures


def only_courteous(question: Question) -> bool:
    """Returns whether the message is only a greeting, thanks or a goodbye.

    A yes to a hand-over that asked nothing counts as well: somebody takes over already; and so
    does a bare no to the offer of a person.
    """
    last = question.history[-1].action if question.history else None
    text = _YES.sub("ok", question.asked) if last == "ESCALATE" else question.asked
    text = _NO.sub("ok", text) if consent_pending(question) else text
    if _COURTESY.fullmatch(text) is None:
        return False
    return "?" not in text or only_greets(question)


def only_greets(question: Question) -> bool:
    """Returns whether the message is a greeting, with no thanks and no goodbye in it."""
    return _ONLY_HELLO.fullmatch(question.asked) is not None


def asks_who_answers(question: Question) -> bool:
    """Returns whether the message only asks who or what answers here, and what it can do."""
    _, _, last = question.asked.rpartition(": ")
    said = (question.asked, last)
    return any(_WHO_ANSWERS.fullmatch(_GREETING.sub("", each)) for each in said)


def handed_to(question: Question) -> Escalation | None:
    """Returns the team and reason that our last message handed the conversation to; None where
    it did not."""
    last = question.history[-1] if question.history else None
    return last.escalation if last is not None and last.action == "ESCALATE" else None


def held_by(question: Question, lasting: Collection[str] = ()) -> str | None:
    """Returns the team that the conversation was handed to last; None where it never was, or
    something was answered since: only a reason among `lasting` outlives that."""
    answered = False
    for turn in reversed(question.history):
        answered |= turn.action == "ANSWER"
        if (to := turn.escalation) is not None and (not answered or to.reason in lasting):
            return to.team
    return None


def has_team(question: Question, team: str) -> bool:
    """Returns whether the team has the conversation already."""
    given = (turn.escalation for turn in question.history if turn.action == "ESCALATE")
    return any(to is not None and to.team == team for to in given)


def consent_pending(question: Question) -> str | None:
    """Returns the reason for which our last message asked consent; None where it asked none."""
    last = _our_last(question)
    return last.consent if last is not None else None


def consent_given(question: Question) -> str | None:
    last = _our_last(question)
    beside = last is not None and last.action == "ANSWER"
    yes = (_ONLY_YES if beside else _YES).search(question.asked)
    return consent_pending(question) if yes else None


def _our_last(question: Question) -> Turn | None:
    return next((turn for turn in reversed(question.history) if turn.role == "assistant"), None)


def consent_refused(question: Question) -> str | None:
    return consent_pending(question) if _NO.search(question.asked) else None
