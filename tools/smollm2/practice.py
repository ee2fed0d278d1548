"""Reading practice: documents, questions about them, and the sentences that answer.

`python -m tools.smollm2.practice --data FOLDER --rows N --out practice.jsonl`

A row is the prompt's head as the service renders it (the `tuned` profile with its documents) and
several questions about these same documents, each with the reply it should get: `ANSWER` and the
sentence that answers with its mark, or the hand-over for what the documents do not hold. Numbers
and the company's name are others in every row, so that no fact is worth learning.
"""

import argparse
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.tiny import facts
from tools.tiny.corpus import invented
from twofold.index.contract import KINDS, Chunk
from twofold.index.sparse import Bm25Encoder
from twofold.policy import NOT_IN_SOURCES
from twofold.prompt import documents_block
from twofold.reply import Escalation, render
from twofold.text.blocks import sentences

ABSENT: Final = render("ESCALATE", escalation=Escalation("support", NOT_IN_SOURCES))
LENGTH: Final = (240, 1500)
"""Characters of all documents of a row."""
QUESTIONS: Final = 5
WORDS: Final = 45
"""Of a reply's sentence at most."""
_ENCODER = Bm25Encoder()
_NUMBER = re.compile(r"(?<![\w.,:/-])\d{2,4}(?![\w/]|[.,:]\d|-\d)")
_INVERTED = re.compile(
    r"(who|what|when|where|how long|how high|how large|how much) (is|was|are|were) "
    r"((?:\S+ ){0,7}\S+?)\??",
    re.IGNORECASE,
)
_SPACED = re.compile(r" (?=[.,;:?!)%]|'s\b)|(?<=\() ")


class Turn(NamedTuple):
    role: str
    content: str


class Asked(NamedTuple):
    """A question with what was said before it, and the reply on the wire."""

    question: str
    reply: str
    history: tuple[Turn, ...] = ()


class Row(NamedTuple):
    system: str
    asked: tuple[Asked, ...]
    source: str

    def data(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "source": self.source,
            "asked": [
                {
                    "messages": [t._asdict() for t in (*a.history, Turn("user", a.question))],
                    "reply": a.reply,
                }
                for a in self.asked
            ],
        }


class Item(NamedTuple):
    """A question, and the sentences of `passage` that answer it (none: nothing does)."""

    question: str
    says: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()


class Passage(NamedTuple):
    title: str
    text: str
    items: tuple[Item, ...]


Pool = Mapping[str, Sequence[Passage]]
"""Passages by what they have in common: an article, a hotel, a page."""
Key = tuple[str, str, str]
"""What passages have in common, their title, their text."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="pairs_qa, retrieval_doc2dial")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    makers = _makers(args.data, rng)
    weights = [weight for weight, _ in makers.values()]
    with args.out.open("w", encoding="utf-8") as out:
        for _ in range(args.rows):
            name = rng.choices(list(makers), weights)[0]
            row = None
            while row is None:
                row = makers[name][1]()
            out.write(json.dumps(row.data(), ensure_ascii=False) + "\n")
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    print(json.dumps({"rows": args.rows, "sha256": digest}))


def _makers(data: Path, rng: random.Random) -> dict[str, tuple[float, Callable[[], Row | None]]]:
    """Kind of row -> its share, and what makes one."""
    squad, faq, pages = _squad(data), _faq(data), _doc2dial(data)
    return {
        "squad": (0.42, lambda: _of_pool(squad, "squad", rng)),
        "faq": (0.2, lambda: _of_pool(faq, "faq", rng)),
        "doc2dial": (0.13, lambda: _of_pool(pages, "doc2dial", rng)),
        "facts": (0.17, lambda: _of_facts(rng)),
        "steps": (0.08, lambda: _of_steps(rng)),
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _squad(data: Path) -> Pool:
    """SQuAD and its like: several questions to a passage, some of them answered by none of it."""
    found: dict[Key, list[Item]] = defaultdict(list)
    for name in ("pairs_squad2", "pairs_wiki"):
        for row in _lines(data / "pairs_qa" / f"{name}.jsonl"):
            if row["source"] in ("boolq_dev", "qed_dev", "or_sharc") or row["split"] != "train":
                continue
            says: tuple[str, ...] = ()
            if row["label"]:
                sentence = _holding(row["passage"], row.get("answer") or "", row["question"])
                if sentence is None:
                    continue
                says = (sentence,)
            title = row.get("title") or row["group"].rpartition(":")[2]
            found[title, title, row["passage"]].append(Item(row["question"], says))
    return _grouped(found)


def _faq(data: Path) -> Pool:
    """Questions of support pages: the passage below each is its answer."""
    found: dict[Key, list[Item]] = defaultdict(list)
    taken = re.compile(r"dstc9_faq|dstc11_track5|msdocs_|sendgrid_docs|cdc_covid_faq|medquad")
    for name in ("pairs_support", "pairs_medical"):
        for row in _lines(data / "pairs_qa" / f"{name}.jsonl"):
            if not taken.match(row["source"]) or not row["label"] or row["split"] != "train":
                continue
            text = row["passage"]
            first, newline, rest = text.partition("\n")
            body = rest if newline and first.endswith("?") else text
            if row["source"] == "dstc11_track5" and body is text:
                continue  # a review: it answers in part
            said = [body[s.start : s.end] for s in sentences(body)]
            if not said or "\n" in said[0] or len(said[0].split()) > WORDS:
                continue
            says = tuple(said[: 2 if len(said[0].split()) < 9 and len(said) > 1 else 1])
            if any("\n" in each for each in says):
                continue
            history = tuple(
                Turn("assistant" if t["role"] == "agent" else "user", t["text"])
                for t in (row.get("history") or ())[-2:]
            )
            title = row.get("title") or "FAQ"
            found[row["group"], title, text].append(Item(row["question"], says, history))
    return _grouped(found)


def _doc2dial(data: Path) -> Pool:
    """Conversations over pages of public services, the tune half."""
    folder = data / "retrieval_doc2dial"
    sections = {row["id"]: row for row in _lines(folder / "sections.jsonl")}
    gold = {
        qid: section
        for qid, _, section, _ in (
            line.split("\t")
            for line in (folder / "qrels_section.tsv").read_text(encoding="utf-8").splitlines()
        )
    }
    found: dict[Key, list[Item]] = defaultdict(list)
    for row in _lines(folder / "queries.jsonl"):
        section = sections.get(gold.get(row["id"], ""))
        if row["split"] != "tune" or section is None:
            continue
        says = _unspaced(row["grounding"]["text"])
        text = _unspaced(section["text"])
        whole = says in text and says.endswith((".", "!", "?")) and "\n" not in says
        if not whole or not 3 < len(says.split()) <= WORDS or len(row["text"].split()) < 4:
            continue
        history = tuple(
            Turn("assistant" if t["role"] == "agent" else "user", t["text"])
            for t in row["history"][-2:]
        )
        key = (section["doc_id"], section["title"], text)
        found[key].append(Item(row["text"], (says,), history))
    return _grouped(found)


def _grouped(found: Mapping[Key, Sequence[Item]]) -> Pool:
    pool: dict[str, list[Passage]] = defaultdict(list)
    for (group, title, text), items in found.items():
        pool[group].append(Passage(title, text, tuple(dict.fromkeys(items))))
    return pool


def _unspaced(text: str) -> str:
    return _SPACED.sub("", text).strip()


def _holding(text: str, answer: str, question: str) -> str | None:
    """The sentence of `text` that holds the answer and shares most with the question."""
    said = [text[s.start : s.end] for s in sentences(text)]
    asked = _ENCODER.terms(question, "en")
    able = [s for s in said if answer and answer.lower() in s.lower() and "\n" not in s]
    if not able and len(answer.split()) > 6:  # the answer is a sentence itself, written anew
        meant = _ENCODER.terms(answer, "en")
        near = [s for s in said if "\n" not in s]
        able = [s for s in near if len(meant & _ENCODER.terms(s, "en")) >= 0.7 * len(meant)]
    able = [s for s in able if 3 <= len(s.split()) <= WORDS]
    return max(able, key=lambda s: len(asked & _ENCODER.terms(s, "en")), default=None)


def _of_pool(pool: Pool, source: str, rng: random.Random) -> Row | None:
    """Some passages, mostly of one subject, shown in part, and questions about them and others."""
    count = rng.choices((1, 2, 3, 4, 5, 6), (0.15, 0.3, 0.25, 0.15, 0.1, 0.05))[0]
    subject = rng.choice(list(pool))
    near = rng.sample(pool[subject], min(len(pool[subject]), count + 1))
    others = [rng.choice(pool[rng.choice(list(pool))]) for _ in range(count + 2)]
    chosen = near[:count] if rng.random() < 0.65 else near[:1]
    chosen = (chosen + others)[:count]
    outside = [p for p in (*near, *others) if p not in chosen]
    rng.shuffle(chosen)
    shown = [_shortened(p, rng.randint(*LENGTH) // count, rng) for p in chosen]
    known = " ".join(p.text for p in shown)
    held = [(n, item) for n, p in enumerate(shown, 1) for item in p.items if item.says]
    rng.shuffle(held)
    unheld = [item for p in shown for item in p.items if not item.says]
    far = [i for p in outside for i in p.items if i.says and not all(s in known for s in i.says)]
    rng.shuffle(unheld)
    rng.shuffle(far)
    asked = [_answered(n, item, rng) for n, item in held[:QUESTIONS]]
    if not asked and rng.random() < 0.7:
        return None
    room = max(1, round(len(asked) * 0.35))
    absent = [item for pair in zip(unheld[:2], far[:2], strict=False) for item in pair]
    absent = (absent or [*far, *unheld])[:room]
    if len({n for n, _ in held}) > 1 and rng.random() < 0.35:
        first, second = held[0], next(pair for pair in held if pair[0] != held[0][0])
        asked[-1] = _both(first, second, rng)
    elif asked and absent and rng.random() < 0.3 and (gap := _inverted(absent[-1].question)):
        n, item = rng.choice(held)
        question = f"{casual(item.question, rng)} {rng.choice(('And', 'also,'))} "
        question += absent[-1].question[0].lower() + absent[-1].question[1:]
        text = f"{marked(item.says, n)} The sources do not say {gap}."
        asked.append(Asked(question, render("ANSWER", text)))
    asked += [Asked(casual(i.question, rng), ABSENT, _earlier(i.history, rng)) for i in absent]
    rng.shuffle(asked)
    return row_of(shown, asked, source, rng)


def _answered(n: int, item: Item, rng: random.Random) -> Asked:
    reply = render("ANSWER", marked(item.says, n))
    return Asked(casual(item.question, rng), reply, _earlier(item.history, rng))


def _both(first: tuple[int, Item], second: tuple[int, Item], rng: random.Random) -> Asked:
    """Two questions in one: a sentence and a mark for each."""
    other = second[1].question
    joint = rng.choice((" And ", " Also, ", " and ", "\n"))
    question = f"{casual(first[1].question, rng)}{joint}{other[0].lower()}{other[1:]}"
    said = " ".join(marked(item.says, n) for n, item in (first, second))
    return Asked(question, render("ANSWER", said))


def _earlier(history: tuple[Turn, ...], rng: random.Random) -> tuple[Turn, ...]:
    return history if rng.random() < 0.7 else history[-2:]


def marked(says: Sequence[str], n: int) -> str:
    return " ".join(f"{each.strip()} [{n}]" for each in says)


def _inverted(question: str) -> str | None:
    """`what the fee is` of `What is the fee?`; None for other questions."""
    match = _INVERTED.fullmatch(question.strip())
    return f"{match[1].lower()} {match[3]} {match[2]}" if match else None


def casual(question: str, rng: random.Random) -> str:
    """At times as people type: small letters, no mark, a word before it."""
    if rng.random() < 0.3:
        question = question.lower().rstrip("?")
    if rng.random() < 0.12:
        question = (
            f"{rng.choice(('hi,', 'Hello!', 'quick question:', 'please tell me,'))} {question}"
        )
    return question.strip()


def _shortened(passage: Passage, size: int, rng: random.Random) -> Passage:
    """A window of whole sentences of about `size` characters, and the questions it still answers.

    Questions that the whole passage does not answer stay; of the others, those whose sentence is
    cut off become ones that nothing here answers.
    """
    spans = sentences(passage.text)
    if len(passage.text) > size and len(spans) > 1:
        start = rng.randrange(len(spans))
        end = start + 1
        while end < len(spans) and spans[end].end - spans[start].start <= size:
            end += 1
        while start > 0 and spans[end - 1].end - spans[start - 1].start <= size:
            start -= 1
        passage = passage._replace(text=passage.text[spans[start].start : spans[end - 1].end])
    kept = tuple(i for i in passage.items if all(s.strip() in passage.text for s in i.says))
    return passage._replace(items=kept)


def _of_facts(rng: random.Random) -> Row | None:
    """Invented facts about invented things, in sentences, lists and tables."""
    count = rng.randint(1, 4)
    things = facts.names(rng, rng.randint(2, 4))
    passages: list[Passage] = []
    tables: dict[int, str] = {}
    every = facts.facts(rng, things, count * 3 + 2)
    for n in range(1, count + 1):
        title = f"{rng.choice(things)} {rng.choice(('guide', 'limits', 'plans', 'FAQ', 'terms'))}"
        if rng.random() < 0.4:
            table = facts.table(rng, facts.names(rng, 3), things[0], rng.randint(2, 4))
            tables[n] = table.head
            text = "\n".join((table.head, *(row.statement for row in table.rows)))
            own = table.rows
        else:
            own = [every.pop() for _ in range(3)]
            joint = rng.choice((" ", "\n\n", "\n- "))
            text = "- " * (joint == "\n- ") + joint.join(fact.statement for fact in own)
        items = tuple(Item(fact.question, (fact.statement,)) for fact in own)
        passages.append(Passage(title, text, items))
    asked = []
    held = [(n, item) for n, p in enumerate(passages, 1) for item in p.items]
    for n, item in rng.sample(held, min(QUESTIONS - 1, len(held))):
        if n in tables:
            text = f"{tables[n]}\n{item.says[0]}\n\n[{n}]"
            asked.append(Asked(casual(item.question, rng), render("ANSWER", text)))
        else:
            asked.append(_answered(n, item, rng))
    plain = [pair for pair in held if pair[0] not in tables]
    if len(plain) > 1 and rng.random() < 0.5:
        asked.append(_both(*rng.sample(plain, 2), rng))
    for fact in every[:2]:
        gap = _inverted(fact.question)
        if gap and plain and rng.random() < 0.4:
            n, item = rng.choice(plain)
            question = f"{item.question} And {fact.question[0].lower()}{fact.question[1:]}"
            text = f"{marked(item.says, n)} The sources do not say {gap}."
            asked.append(Asked(question, render("ANSWER", text)))
        else:
            asked.append(Asked(casual(fact.question, rng), ABSENT))
    rng.shuffle(asked)
    return row_of(passages, asked, "facts", rng)


_ACTS: Final = (
    *("create", "delete", "export", "rename", "share", "pause", "restore", "invite", "connect"),
    *("change", "verify", "archive", "rotate", "replay", "cancel", "upgrade", "merge", "move"),
)
_OBJECTS: Final = (
    *("report", "key", "project", "member", "invoice", "webhook", "backup", "token", "calendar"),
    *("filter", "template", "address", "plan", "folder", "device", "team", "form", "certificate"),
)
_STEPS: Final = (
    *("Open **{a} → {b}**.", "Click **{b}**.", "Choose the {o} you want to {v}.", "Go to **{a}**."),
    *("Enter the code from your app.", "Type the name of the {o}.", "Confirm with **{b}**."),
    *("Scroll to **{a}**.", "Pick {n} or more entries.", "Wait {n} seconds.", "Click **Save**."),
    *("Sign in as Owner.", "Copy the value that is shown.", "Run `{x} {v} --{o}`."),
)


def _of_steps(rng: random.Random) -> Row | None:
    """Guides with numbered steps; each step of a reply carries its mark."""
    pairs = rng.sample([(v, o) for v in _ACTS for o in _OBJECTS], rng.randint(2, 3) + 2)
    shown, asked = [], []
    for n, (verb, what) in enumerate(pairs[:-2], start=1):
        steps = [
            f"{at}. {step}"
            for at, step in enumerate(
                (
                    s.format(
                        a=invented(rng).capitalize(), b=invented(rng).capitalize(),
                        o=what, v=verb, n=rng.randint(2, 60), x=invented(rng),
                    )
                    for s in rng.sample(_STEPS, rng.randint(2, 4))
                ),
                start=1,
            )
        ]  # fmt: skip
        note = f"Only {rng.choice(('an Owner', 'an Admin', 'a member'))} can {verb} a {what}."
        text = f"{note}\n\n" + "\n".join(steps)
        shown.append(Passage(f"{verb.capitalize()} a {what}", text, ()))
        reply = render("ANSWER", "\n".join(f"{step} [{n}]" for step in steps))
        asked.append(Asked(casual(_how(verb, what, rng), rng), reply))
        if rng.random() < 0.6:
            question = rng.choice((f"Who can {verb} a {what}?", f"am I allowed to {verb} a {what}"))
            asked.append(Asked(question, render("ANSWER", f"{note} [{n}]")))
    for verb, what in pairs[-2:]:
        asked.append(Asked(casual(_how(verb, what, rng), rng), ABSENT))
    rng.shuffle(asked)
    return row_of(shown, asked, "steps", rng)


def _how(verb: str, what: str, rng: random.Random) -> str:
    return rng.choice(
        (
            f"How do I {verb} a {what}?",
            f"What are the steps to {verb} a {what}?",
            f"I want to {verb} our {what}, how does that work?",
            f"where can I {verb} my {what}",
        )
    )


def row_of(
    shown: Sequence[Passage], asked: Sequence[Asked], source: str, rng: random.Random
) -> Row | None:
    if not asked:
        return None
    new: dict[str, str] = {}

    def put(text: str) -> str:
        return _NUMBER.sub(lambda match: _other(match[0], new, rng), text)

    chunks = [
        Chunk("", "", "", "", "", 1, put(p.title), (), put(p.text), position=0,
              kind=rng.choices(KINDS, (6, 1, 3))[0])
        for p in shown
    ]  # fmt: skip
    company = rng.choice((invented(rng).capitalize(), "Our company", invented(rng).upper()))
    system = f"{company} support.\n\n" + documents_block(chunks)
    return Row(
        system,
        tuple(
            Asked(
                put(a.question),
                _put_reply(a.reply, put),
                tuple(t._replace(content=put(t.content)) for t in a.history),
            )
            for a in asked
        ),
        source,
    )


def _put_reply(reply: str, put: Callable[[str], str]) -> str:
    header, newline, text = reply.partition("\n")
    return header + newline + put(text)


def _other(number: str, new: dict[str, str], rng: random.Random) -> str:
    """Another number of as many digits; the same for the same number within a row."""
    if number not in new:
        low = 10 ** (len(number) - 1)
        new[number] = str(rng.randint(low, 10 * low - 1))
    return new[number]


if __name__ == "__main__":
    main()
