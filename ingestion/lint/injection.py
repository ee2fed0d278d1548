"""Text that tries to instruct a model: by its form, and by being out of place on its page.

Retrieved text is marked as data wherever a model reads it; this is so that people see who planted
what. Nothing that is found here is ever followed, and nothing is safe because it was not found.
"""

import re
from collections.abc import Iterator, Sequence

from ingestion.lint.findings import Finding
from ingestion.lint.pages import Page, PagePart
from twofold.clients.embedder import Embedder

APART = 0.1
"""Cosine of a request with what stands around it and with the page's title, below which it is out
of place. Measured in tests/ingestion/test_lint.py."""
CONTEXT_CHARS = 400
SHOWN_CHARS = 300

_REPLY = r"(?:response|reply|answer|output|completion)"
_CHANGE = (
    r"(?:add|include|insert|integrate|append|prepend|incorporate|modify|augment|enhance|render"
    r"|replace|remove|rearrange|scramble|jumble|misspell|anagram|group|combine|convert|substitute"
    r"|introduce|provide|translate|use|write|end|begin|start|finish|format|encode|reword|rewrite)"
)
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Orders about the reply: no page tells customers how to write one.
        rf"^\W*(?:please\s+|always\s+)?{_CHANGE}\b[^\n]{{0,200}}?\byour\s+"
        rf"(?:own\s+|next\s+|final\s+)?{_REPLY}\b",
        rf"^\W*{_CHANGE}\s+your\s+message\b",
        rf"^\W*in\s+your\s+(?:own\s+|next\s+|final\s+)?{_REPLY}\b,?\s+(?!you\b|we\b|please\b)\w+",
        rf"\b(?:letters|words|vowels|spaces)\b[^.]{{0,200}}\byour\s+(?:{_REPLY}|message)\b",
        rf"^\W*{_CHANGE}\b[^.]{{0,200}}\b(?:every\s+(?:\w+\s+)?(?:letter|word|vowel)|vowels?\s+with)\b",
        # Orders to a model.
        r"\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,40}\b(?:previous|prior|above|earlier"
        r"|preceding|all|any|your|system|safety)\b[^.]{0,30}\b(?:instructions?|prompts?|rules?"
        r"|guidelines?|directions?|polic(?:y|ies)|context)\b",
        r"\b(?:your|the|hidden|initial|reveal[^.]{0,20})\s+system\s+prompt\b",
        r"\bas\s+an?\s+(?:ai|language\s+model|assistant|chatbot)\b[^.]{0,200}\byou\b",
        r"\byou\s+are\s+(?:now|no\s+longer)\s+(?:an?\b|the\b|in\b|free\b)",
        r"\b(?:attention|note|message|instructions?)\s+(?:to|for)\s+(?:the\s+)?(?:ai|llm|language"
        r"\s+model|assistant|chatbot|model)s?\b",
        r"\b(?:do\s+not|don't|never)\s+(?:tell|inform|mention\s+(?:this|it)\s+to|reveal\s+this\s+to)"
        r"\s+(?:the\s+)?(?:user|customer|reader)",
        r"\b(?:pretend|act)\s+(?:to\s+be|as\s+(?:if|though|an?))\b[^.]{0,200}\b(?:ai|assistant|model|dan"
        r"|unrestricted)\b",
        r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|^\W*(?:system|assistant)\s*:\s",
        # Text that only a machine reads.
        "[\U000e0020-\U000e007f]{4,}",
    )
)
_REQUEST = re.compile(
    r"^\W*(?:(?:can|could|would)\s+you\b|please\b|(?:what|who|how|why|when|where)(?:\s|'s\b|’s\b)"
    r"|explain\b|describe\b|translate\b|draft\b|write\b|compose\b|develop\b|provide\b|break\s+down\b"
    r"|summari[sz]e\b|list\b|give\b|tell\b|show\b|convert\b|create\b|generate\b|imagine\b)",
    re.IGNORECASE,
)


def injections(pages: Sequence[Page], embedder: Embedder | None = None) -> Iterator[Finding]:
    """Yields texts that give an assistant orders; with an embedder, also requests that have
    nothing to do with the page they stand on."""
    asked: list[tuple[Page, int]] = []
    for page in pages:
        for at, part in enumerate(page.parts):
            if any(pattern.search(part.text) for pattern in _PATTERNS):
                yield _finding(page, part)
            elif _REQUEST.match(part.text):
                asked.append((page, at))
    if embedder is not None and asked:
        yield from _out_of_place(asked, embedder)


def _out_of_place(asked: Sequence[tuple[Page, int]], embedder: Embedder) -> Iterator[Finding]:
    texts = [page.parts[at].text for page, at in asked]
    around = [_around(page, at) for page, at in asked]
    titles = [page.title for page, _ in asked]
    said, near, named = (embedder.embed(each) for each in (texts, around, titles))
    closest = [max(float(a @ b), float(a @ c)) for a, b, c in zip(said, near, named, strict=True)]
    for (page, at), cosine in zip(asked, closest, strict=True):
        if cosine < APART:
            part = page.parts[at]
            yield Finding(
                "out_of_place",
                f"{page.title!r} holds a request that has nothing to do with it",
                [page.place(part.text[:SHOWN_CHARS], part.line)],
                "Look who wrote it, and take it out if it is addressed to a model.",
            )


def _around(page: Page, at: int) -> str:
    """Returns the sentences around one, without it."""
    near = [part.text for part in page.parts[max(0, at - 4) : at] + page.parts[at + 1 : at + 5]]
    return " ".join(near)[:CONTEXT_CHARS] or page.title


def _finding(page: Page, part: PagePart) -> Finding:
    return Finding(
        "injection",
        f"{page.title!r} holds text that addresses a model",
        [page.place(part.text[:SHOWN_CHARS], part.line)],
        "Look who wrote it and take it out; until then hide the page with --quarantine.",
    )
