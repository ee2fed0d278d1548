"""Faults planted among clean rows of the example company, and how many of them lint finds."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from models.data import seeds
from models.data.build import divided
from models.data.collect import Built, collect
from models.data.lint import RowFinding, lint
from models.data.lint.findings import places
from models.data.lint.gone import Live, ask_live
from models.data.lint.length import estimated
from models.data.plan import DatasetPlan
from models.data.rows import MADE, Dataset, Manifest, Row, Split
from models.data.sentences import sentences
from models.data.vary import rendered
from models.suite.client import AnswerClient
from models.suite.suite import CaseTurn, load_suite
from services.standalone.evals import Local
from twofold.house_file import load_house
from twofold.policy import HousePolicy
from twofold.settings import Settings
from twofold.stack import open_stack
from twofold.text.numbers import numbers

EXAMPLE = Path(__file__).parents[3] / "examples" / "brackwater"
COPIES = 8
MOST_TOKENS = 4096
PER_KIND = 12


class World(NamedTuple):
    """Rows to plant in, and what lint asks beside them."""

    house: HousePolicy
    train: list[Row]
    held: list[Row]
    live: Live


class Fault(NamedTuple):
    """A kind of fault, the check that has to find it, and how it is planted; None where a row
    cannot have it."""

    name: str
    concern: str
    plant: Callable[[Row, random.Random, World], Row | None]
    cross: bool = False
    """Planted among the held-out rows instead of the training rows."""
    keep: bool = False
    """The row it is a copy of stays in the dataset."""


def build_world(home: Path, copies: int = COPIES, cases: int = 0) -> World:
    """The example company's rows. `cases` of the suite and of the dialogues are enough for a test;
    0 takes all."""
    settings = Settings(home=home, house=EXAMPLE / "house.yaml")
    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder("help", EXAMPLE / "help-center"))
    house = load_house(settings.house_file)
    plan = DatasetPlan(house, copies=copies)
    every = [
        *[*seeds.of_suite(load_suite(EXAMPLE / "eval", "tune"))][: cases or None],
        *seeds.of_dialogues(EXAMPLE / "dialogues" / "approved.yaml")[: cases or None],
        *[*seeds.of_house(house)][:: 1 + 10 * bool(cases)],
    ]

    async def ask() -> tuple[Built, Live]:
        async with Local(settings).service() as http:
            client = AnswerClient(http)
            built = await collect(client, every, plan, lambda done: None)
            shown = places(dataset_of(house, {"train": built.rows}))
            return built, await ask_live(client, shown)

    built, live = asyncio.run(ask())
    splits = divided(built.rows, plan)
    return World(house, splits["train"], splits["eval"], live)


class Result(NamedTuple):
    """Planted and found, by fault; clean rows, and those that something was found in, by check."""

    planted: Counter[str]
    found: Counter[str]
    clean: int
    alarms: Counter[str]
    alarmed: list[RowFinding]

    @property
    def recall(self) -> float:
        return self.found.total() / self.planted.total()

    @property
    def false_alarms(self) -> float:
        return self.alarms.total() / self.clean


def measure(world: World, clean: int, seed: int, per_kind: int = PER_KIND) -> Result:
    """Plant `per_kind` faults of each kind, lint, and count rows."""
    rng = random.Random(seed)
    train = rng.sample(world.train, len(world.train))
    faults: dict[str, Fault] = {}
    planted: list[Row] = []
    crossing: list[Row] = []
    used: set[str] = set()
    for fault in FAULTS:
        left = per_kind
        for row in train:
            if not left:
                break
            if row.id in used or (made := fault.plant(row, rng, world)) is None:
                continue
            made = made.model_copy(update={"id": f"{made.id}{MADE}{fault.name}"})
            made = made.model_copy(update={"ref": made.id.partition(":")[2]})
            if not fault.keep:
                used.add(row.id)
            elif fault.cross:
                used.add(row.id)
                planted.append(row)
            faults[made.id] = fault
            (crossing if fault.cross else planted).append(made)
            left -= 1
    originals = [row for row in planted if row.id not in faults]
    rest = [row for row in train if row.id not in used]
    whole = [*originals, *rest][:clean]
    kept = {row.id for row in whole}
    planted = [row for row in planted if row.id in faults]
    # What a duplicate is one of has to stand before it.
    rows = [*whole, *rng.sample(planted, len(planted))]
    dataset = dataset_of(world.house, {"train": rows, "eval": [*world.held, *crossing]})
    findings = lint(
        dataset,
        world.house,
        live=world.live,
        count=estimated,
        most_tokens=MOST_TOKENS,
        progress=lambda done, total: None,
    )
    hits = {(each.id, each.concern) for each in findings}
    counted = Counter(fault.name for fault in faults.values())
    found = Counter(fault.name for id, fault in faults.items() if (id, fault.concern) in hits)
    clean_ids = kept | {row.id for row in world.held}
    alarmed = {each.id: each for each in findings if each.id in clean_ids}
    alarms = Counter(each.concern for each in alarmed.values())
    return Result(counted, found, len(clean_ids), alarms, list(alarmed.values()))


def dataset_of(
    house: HousePolicy, rows: Mapping[Split, Sequence[Row]], wanted: Mapping[str, float] = {}
) -> Dataset:
    manifest = Manifest(
        created=0.0, profile="tuned", prompt="", house=house.digest, fingerprint="", files={},
        wanted=dict(wanted), reached={}, left_out={}, masked=0, seed=0,
    )  # fmt: skip
    whole: dict[Split, Sequence[Row]] = {"train": [], "eval": [], "heldout": []}
    return Dataset(Path(), manifest, {**whole, **rows})


# --- planting -----------------------------------------------------------------------------------


def says(*added: str) -> Callable[[Row, random.Random, World], Row | None]:
    """A sentence with a fact that no passage holds, cited like the rest."""

    def plant(row: Row, rng: random.Random, world: World) -> Row | None:
        return _says(row, rng.choice(added)) if row.expected.action == "ANSWER" else None

    return plant


def _says(row: Row, sentence: str) -> Row:
    mark = row.gold[0] if row.gold else 1
    return row.model_copy(update={"target": f"{row.target} {sentence} [{mark}]"})


def other_number(row: Row, rng: random.Random, world: World) -> Row | None:
    """The reply's own number, another one: what a model that knows facts by heart would say."""
    said = (
        [s for s in sentences(row.text) if numbers(s.text)]
        if row.expected.action == "ANSWER"
        else []
    )
    if not said:
        return None
    old = rng.choice(sorted(numbers(said[0].text)))
    if old not in said[0].text:
        return None
    new = str(rng.randint(1000, 9999)) if len(old) < 4 else str(rng.randint(10, 99)) + "000"
    text = said[0].text.replace(old, new, 1)
    return row.model_copy(update={"target": row.target.replace(said[0].text, text, 1)})


def others_fact(row: Row, rng: random.Random, world: World) -> Row | None:
    """A sentence of another row's reply with a number that this row's prompt does not show."""
    if row.expected.action != "ANSWER":
        return None
    shown = "\n".join((*(d.text for d in row.documents), row.question))
    for other in rng.sample(world.train, len(world.train)):
        for said in sentences(other.text) if other.expected.action == "ANSWER" else ():
            if said.kind == "paragraph" and any(
                number not in shown for number in numbers(said.text)
            ):
                return _says(row, said.text)
    return None


def edited(row: Row, rng: random.Random, world: World) -> Row | None:
    """A passage that was changed without the prompt, or the prompt without its passage."""
    if not row.documents:
        return None
    if rng.random() < 0.5:
        first = row.documents[0]
        changed = first.model_copy(update={"text": first.text + " This was added later."})
        return row.model_copy(update={"documents": (changed, *row.documents[1:])})
    system, *rest = row.messages
    content = system.content.replace("You answer", "You reply to", 1)
    content = content if content != system.content else f"{content}\nBe brief."
    messages = (system.model_copy(update={"content": content}), *rest)
    return row.model_copy(update={"messages": messages})


def stale(name: str) -> Callable[[Row, random.Random, World], Row | None]:
    def plant(row: Row, rng: random.Random, world: World) -> Row | None:
        return row.model_copy(update={name: f"{rng.getrandbits(48):012x}"})

    return plant


def same(row: Row, rng: random.Random, world: World) -> Row | None:
    return row


def respaced(row: Row, rng: random.Random, world: World) -> Row | None:
    """The same question in other case and white space."""
    made = row.model_copy(update={"question": f"  {row.question.upper()} "})
    return rendered(made, world.house)


def reworded(row: Row, rng: random.Random, world: World) -> Row | None:
    """The same question and reply with a word more."""
    if row.expected.action != "ANSWER" or len(row.question.split()) < 8:
        return None
    return rendered(row.model_copy(update={"question": f"{row.question} Thanks"}), world.house)


def headed(*headers: str) -> Callable[[Row, random.Random, World], Row | None]:
    def plant(row: Row, rng: random.Random, world: World) -> Row | None:
        return row.model_copy(update={"target": f"{rng.choice(headers)}\n{row.text}"})

    return plant


def worded(*texts: str) -> Callable[[Row, random.Random, World], Row | None]:
    """Words before the reply that the house does not allow."""

    def plant(row: Row, rng: random.Random, world: World) -> Row | None:
        header, _, text = row.target.partition("\n")
        return row.model_copy(update={"target": f"{header}\n{rng.choice(texts)} {text}"})

    return plant


def endless(row: Row, rng: random.Random, world: World) -> Row | None:
    if row.expected.action != "ANSWER" or not row.gold:
        return None
    words = row.documents[row.gold[0] - 1].text.split()
    more = " ".join(words * (1 + 3 * world.house.style.max_words // max(1, len(words))))
    return _says(row, more)


def cites_nothing(row: Row, rng: random.Random, world: World) -> Row | None:
    if row.expected.action != "ANSWER" or not any(s.marks for s in sentences(row.text)):
        return None
    text = " ".join(sentence.text for sentence in sentences(row.text))
    return row.model_copy(update={"target": f"ANSWER\n{text}"})


def cites_another(row: Row, rng: random.Random, world: World) -> Row | None:
    if row.expected.action != "ANSWER" or not any(s.marks for s in sentences(row.text)):
        return None
    mark = rng.choice((0, len(row.documents) + 1, 42))
    text = row.target
    for old in range(1, len(row.documents) + 1):
        text = text.replace(f"[{old}]", f"[{mark}]")
    return row.model_copy(update={"target": text})


def personal(row: Row, rng: random.Random, world: World) -> Row | None:
    mine = rng.choice((
        "My mail is marta.kowalski@mailbox.test.",
        "Call me at +49 170 5554321.",
        "The card is 4111 1111 1111 1111.",
        "IBAN DE89 3704 0044 0532 0130 00, please.",
        "Our server is 198.51.100.23 if that helps.",
    ))  # fmt: skip
    if rng.random() < 0.5:
        made = row.model_copy(update={"question": f"{row.question} {mine}"})
    else:
        turn = CaseTurn(role="user", text=mine)
        made = row.model_copy(update={"history": (turn, *row.history)})
    return rendered(made, world.house)


def superseded(row: Row, rng: random.Random, world: World) -> Row | None:
    if not row.documents:
        return None
    at = rng.randrange(len(row.documents))
    old = row.documents[at].model_copy(update={"version": row.documents[at].version + 1})
    return row.model_copy(
        update={"documents": (*row.documents[:at], old, *row.documents[at + 1 :])}
    )


def swollen(row: Row, rng: random.Random, world: World) -> Row | None:
    if not row.documents:
        return None
    last = row.documents[-1]
    more = last.model_copy(update={"text": "\n\n".join([last.text] * (20_000 // len(last.text)))})
    made = row.model_copy(update={"documents": (*row.documents[:-1], more)})
    return rendered(made, world.house)


FAULTS = (
    Fault("price", "leak", says(
        "Tanager costs $417 a month.", "The plan is $1,315 a year.", "It costs 219 EUR.")),
    Fault("percentage", "leak", says("You get 37.5% back.", "The fee is 83% of it.")),
    Fault("date", "leak", says(
        "It applies from 23 April 2031.", "The deadline is 29 December.", "It ends on July 27.")),
    Fault("limit", "leak", says(
        "At most 4,711 are allowed.", "The limit is 913 a day.", "It takes 787 minutes.")),
    Fault("other number", "leak", other_number),
    Fault("another row's fact", "leak", others_fact),
    Fault("link", "leak", says(
        "See https://app.brackwater.example/zz/settings for it.",
        "Open https://docs.brackwater.example/quokka first.")),
    Fault("address", "leak", says(
        "Write to concierge@brackwater.example about it.", "Mail desk77@brackwater.example.")),
    Fault("code", "leak", says(
        "Set `x_quokka_mode` to on.", "Send the header X-Relay-Quokka.",
        "The error is `tanager_locked`.", "It is ticket RLY-98231.")),
    Fault("name", "leak", says(
        "Ask Theodora in the team for it.", "It runs in Reykjavik.",
        "Choose the Tanager plan.", "This needs Quokkabase.")),
    Fault("product term", "leak", says(
        "Use the dead-letter shelf for it.", "Your overage is waived by SCIM.",
        "An ordered lane keeps it.")),
    Fault("edited", "drift", edited),
    Fault("old prompt", "drift", stale("prompt")),
    Fault("old house", "drift", stale("house")),
    Fault("duplicate", "duplicate", same, keep=True),
    Fault("respaced", "duplicate", respaced, keep=True),
    Fault("reworded across", "crossing", reworded, cross=True, keep=True),
    Fault("same across", "crossing", same, cross=True, keep=True),
    Fault("no header", "policy", headed("Sure, here it is:", "ANSWER:", "answer", "")),
    Fault("unknown reason", "policy", headed(
        "ESCALATE [team=support reason=bad_mood]", "ESCALATE [team=kitchen reason=legal_threat]")),
    Fault("wrong team", "policy", headed(
        "ESCALATE [team=sales reason=legal_threat]", "ESCALATE [team=legal reason=outage_report]")),
    Fault("banned phrase", "policy", worded(
        "Great question!", "Unfortunately this is so.", "I'm happy to help.", "Rest assured.")),
    Fault("promise", "policy", worded(
        "I have refunded it all.", "We will cancel your plan.", "I guarantee it.",
        "Your invoice has been refunded.")),
    Fault("too long", "policy", endless),
    Fault("uncited", "policy", cites_nothing),
    Fault("stray mark", "policy", cites_another),
    Fault("foreign link", "policy", worded("See https://relay-help.test/start first.")),
    Fault("personal", "personal", personal),
    Fault("old version", "gone", superseded),
    Fault("too many tokens", "length", swollen),
)  # fmt: skip
