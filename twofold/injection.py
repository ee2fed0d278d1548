"""Text that tries to give the assistant orders."""

import re
import unicodedata

from twofold.text.links import visible

_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,20}\b(?:your|all|any|previous|prior|earlier|above|the"
    r" system|these|those)\b.{0,30}\b(?:instructions?|rules|guidelines|prompts?|restrictions)\b"
    r"|\byou are now\b.{0,60}\b(?:no|without|un)\s?-?(?:restrict|limit|rule|filter|censor)"
    r"|\b(?:developer|god|dan|jailbreak) mode\b|\bdo anything now\b"
    r"|\b(?:your|the) (?:system|hidden|initial|original) (?:prompt|instructions?|message)\b"
    r"|(?-i:\bSYSTEM(?: MESSAGE| NOTE| OVERRIDE)?:)"
    r"|\b(?:reply|respond|answer) (?:only|just|with nothing but) (?:with|by saying)\b"
    r"|\bnew (?:system )?instructions?\b.{0,20}\bfrom\b"
    r"|</?(?:documents?|system|instructions?|assistant|user)>|\[/?INST\]|<\|im_(?:start|end)"
    r"|\b(?:ignoriere|vergiss|missachte)\b.{0,40}\b(?:anweisungen|regeln|vorgaben|richtlinien)\b"
    r"|\bdu bist (?:jetzt|ab jetzt|ab sofort|nun)\b.{0,60}\b(?:ohne|keine)\b",
    re.IGNORECASE | re.DOTALL,
)

_KINDS = (
    r"(?:pass ?words?|passphrases?|passcodes?|pin(?: codes?| numbers?)?|cvv|security codes?"
    r"|(?:one[- ]time|verification|login|recovery|backup|2fa) codes?|seed phrases?|private keys?"
    r"|card (?:numbers?|details)|credentials|passwort|kennwort|tan|kartennummer|zugangsdaten"
    r"|(?:codes?|numbers?|digits)(?: that| which)? (?:we|(?:your|the) bank)(?: just)?"
    r" (?:sent|texted))"
)
_PAGES = r"(?:fields?|box(?:es)?|form|screen|window|dialog|page|feld|formular|fenster|seite)"
"""Where one types without handing anything over: a page shows it beside what it says."""
_HANDED_OVER = re.compile(
    r"\b(?:send|e-?mail|text|forward|tell|give|share|post|reply with|read out|sende|schicke?|nenne"
    r"|teile?)\b[^.?!\n]{0,40}?\b(?:your|the|deine?|ihre?|das)\b[^.?!\n]{0,25}?"
    rf"\b{_KINDS}\b"
    r"|\b(?:enter|type|submit|provide|confirm|verify|eingeben|gib|geben)\b[^.?!\n]{0,40}?"
    rf"\b{_KINDS}\b[^.?!\n]{{0,40}}?\b(?:at|on|to|via|by|auf|bei|an)\s{{1,3}}"
    r"(?:https?:|www\.|[\w-]{1,63}\.[a-z]{2}|[\w.+-]{1,63}@|\+?\d{3})"
    # Only what speaks to this chat: a quoted text means itself by "here".
    r"|\b(?:enter|entering|type|typing|write|writing|paste|put|provide|confirm|tippe?|schreibe?|gib)\b"
    rf"[^.?!\n]{{0,40}}?\b{_KINDS}\b(?:(?!\b{_PAGES}\b)[^.?!\n]){{0,40}}?"
    r"\b(?:here|below|(?:in|into|to) (?:this|the|our) (?:chat|conversation|assistant)|to us"
    r"|hier|unten|in (?:diesen|den) chat)\b",
    re.IGNORECASE,
)
_LATIN = str.maketrans(
    "аАеЕоОрРсСуУхХіІјЈѕЅԁһӏВКМНТαΑΒεΕΗΙιΚκΜΝνοΟρΡΤτυΥΧχΖ",
    "aAeEoOpPcCyYxXiIjJsSdhlBKMHTaABeEHIiKkMNvoOpPTtuYXxZ",
)
"""Letters of other scripts that are drawn like Latin ones: a reader sees the word."""
_CLAUSE_ENDS = re.compile(r"[,;:.!?\n]")
_NEGATED = re.compile(
    r"(?:\b(?:not|never|nobody|no one|nie|niemals|niemandem|nicht|kein\w{0,2})\b|n['\u2019]t\b)"
    r"(?!\s{1,3}(?:hesitate|wait|forget|fail))",
    re.IGNORECASE,
)
_AROUND = 80
"""Characters before and behind, within which a sentence warns of what it names."""


def gives_orders(text: str) -> str | None:
    """Returns what in `text` tries to change how the assistant works; None in ordinary text.

    It knows the plain attempts. What it misses changes nothing either: text is never a command.
    """
    match = _ORDERS.search(text)
    return match[0] if match else None


def asks_for_secrets(text: str) -> bool:
    """Returns whether a sentence tells its reader to hand somebody a password, a code or a card
    number, and does not warn of it: no help center does."""
    if not text.isascii():
        text = visible(unicodedata.normalize("NFKC", text)).translate(_LATIN)
    for match in _HANDED_OVER.finditer(text):
        before = _CLAUSE_ENDS.split(text[max(0, match.start() - _AROUND) : match.start()])[-1]
        behind = _CLAUSE_ENDS.split(text[match.end() : match.end() + _AROUND])[0]
        if not _NEGATED.search(before + match[0] + behind):
            return True
    return False
