"""Attribution of a live answer: nobody wrote down what was expected, so only what the record, the
sources and a person's correction show is said; whatever they do not show is `unknown`.
"""

from collections.abc import Mapping
from typing import Any, cast

from models.diagnosis.attribute import SEEN, SHOWN, attribute
from models.diagnosis.checks import formed
from models.diagnosis.replays import ReplayedCase, outcome_of, replay_case
from models.diagnosis.verdicts import LAYERS, Cause, Counterfactual, Verdict, remedy_of
from models.suite.client import AnswerClient
from models.suite.suite import Case, CaseTurn, Expected
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.reply import Action
from twofold.text.statements import statements
from twofold.text.support import Passages, words

COVERED = 0.7
"""Probability that the sources answer, from which on not answering was needless."""
BARE = 0.3
"""The same, up to which they have a gap."""
CORRECTION_WORDS = 5
"""A comment with fewer words corrects nothing."""
SEARCHED = 50


async def attribute_live(
    client: AnswerClient, record: Mapping[str, Any], feedback: str, house: HousePolicy
) -> Verdict:
    """Returns which layer failed an answer. Raises what the client raises.

    `record`: GET /v1/answers/{id}. `feedback`: the customer's comment or an agent's correction,
    empty where nothing was written."""
    answer = record["answer"]
    case = await _case(client, record)
    if failed := record["signals"].get("failed"):
        evidence = f"the sources could not be searched ({failed})"
        return _verdict(case, "unknown", None, SEEN, evidence)
    packed = await client.packed(answer["answer_id"])
    replayed = _as_recorded(case, record, packed, await replay_case(client, case))
    whole = len(packed["passages"]) == packed["packed"]
    if answer["action"] == "ANSWER" and whole and formed(replayed, house):
        # Judges the words alone: everything else about the answer may be right.
        found = await attribute(client, replayed, house)
        if found is not None and found.layer == "behaviour":
            return found
    if (corrected := await _corrected(client, case, replayed, feedback)) is not None:
        return corrected
    dropped = next((v for v in record["verdicts"] if not v["ok"]), None)
    if answer["action"] == "ANSWER":
        if dropped is not None and dropped["problem"] in ("unsupported", "number", "contradicted"):
            evidence = f"{dropped['sentence'][:120]!r} was taken out: {dropped['problem']}"
            return _verdict(
                case, "unsupported_claim", None, SEEN, evidence, modelled=bool(replayed.asked)
            )
        return await _led_astray(client, case, replayed) or _unknown(case, replayed)
    return await _unanswered(client, case, replayed) or _unknown(case, replayed)


async def _case(client: AnswerClient, record: Mapping[str, Any]) -> Case:
    """Returns the question as it was asked; what it got stands in for what it should have got."""
    answer = record["answer"]
    conversation = await client.conversation(answer["conversation_id"])
    turns: list[CaseTurn] = []
    for turn in conversation["turns"]:
        if turn["answer"]["answer_id"] == answer["answer_id"]:
            break
        turns.append(CaseTurn(role="user", text=turn["question"]))
        turns.append(CaseTurn(role="assistant", text=turn["answer"]["text"]))
    to = answer["escalation"] or {}
    cited = tuple({c["document"].partition("/")[2]: None for c in answer["citations"]})
    answered = answer["action"] == "ANSWER"
    return Case(
        id=answer["answer_id"],
        question=record["question"],
        history=tuple(turns),
        audience=record["audience"][-1] if record["audience"] else "public",
        locale=record["locale"],
        expect=Expected(
            action=cast("Action", answer["action"]),
            documents=(cited or ("",)) if answered else (),
            team=to.get("team"),
            reason=to.get("reason"),
        ),
    )


def _as_recorded(
    case: Case, record: Mapping[str, Any], packed: Mapping[str, Any], now: ReplayedCase
) -> ReplayedCase:
    """Returns what was answered then, beside what the search finds now."""
    answer = record["answer"]
    chunks = {seen["chunk"]: seen["document"] for seen in record["retrieved"]}
    by_document = {document: chunk for chunk, document in reversed(chunks.items())}
    quoted = {
        c["n"]: next(
            (
                each["chunk"]
                for each in now.told["candidates"]
                if each["document"] == c["document"] and c["quote"] and c["quote"] in each["text"]
            ),
            by_document.get(c["document"], ""),
        )
        for c in answer["citations"]
    }
    told = {
        **now.told,
        "action": answer["action"],
        "escalation": answer["escalation"],
        "text": answer["text"],
        "served_by": answer["served_by"],
        "citations": [{**c, "chunk": quoted[c["n"]]} for c in answer["citations"]],
        "why": record["signals"].get("why", ""),
        "signals": record["signals"],
        "packed": record["packed"],
        "passages": packed["passages"],
    }

    return ReplayedCase(outcome_of(case, told), told)


async def _corrected(
    client: AnswerClient, case: Case, replayed: ReplayedCase, feedback: str
) -> Verdict | None:
    """Returns the verdict by what a person said instead: where it stands in the sources, and how
    far it came."""
    locale = case.locale or "en"
    said = [
        s.bare.strip()
        for s in statements(feedback)
        if len(words(s.bare)) >= CORRECTION_WORDS and not s.bare.rstrip().endswith("?")
    ]
    if not said:
        return None
    found = await client.search(
        {"query": " ".join(said)[:1000], "limit": SEARCHED, "audience": case.audience}
    )
    holders = [
        each
        for each in found["candidates"]
        if any(
            not Passages([f"{each['title']}\n{each['text']}"], locale).problem(text, (1,))
            for text in said
        )
    ]
    if not holders:
        return None
    best = holders[0]
    page = best["document"]
    if best["chunk"] in replayed.told["packed"]:
        cause: Cause = _UNANSWERED.get(replayed.told["action"], "ignored_evidence")
        evidence = f"the correction stands in {page}, which the reply was made from"
        return _verdict(case, cause, None, SEEN, evidence, page, modelled=bool(replayed.asked))
    candidates = [each["chunk"] for each in replayed.told["candidates"]]
    place = (
        f"candidate {candidates.index(best['chunk']) + 1}" if best["chunk"] in candidates else ""
    )
    given = await replay_case(client, case, pages=[{"document": page}], place="first")
    held = Passages([given.outcome.judged], locale)
    flipped = given.outcome.action == "ANSWER" and any(not held.problem(s, (1,)) for s in said)
    cause = "retrieved_but_cut" if place else "not_retrieved"
    evidence = f"the correction stands in {page}, {place or 'which was not found'}"
    by: Counterfactual | None = "found" if flipped else None
    return _verdict(case, cause, by, SHOWN if flipped else SEEN, evidence, page)


async def _led_astray(client: AnswerClient, case: Case, replayed: ReplayedCase) -> Verdict | None:
    """Returns whether the conversation made the search worse."""
    if not case.history:
        return None
    alone = await replay_case(client, case.model_copy(update={"history": ()}))
    with_turns, without = replayed.told["answerable"], alone.told["answerable"]
    if without >= COVERED > with_turns and alone.outcome.action == "ANSWER":
        evidence = (
            f"without the conversation the sources answer it (P={without:.2f}, not"
            f" {with_turns:.2f})"
        )
        return _verdict(case, "misunderstood_follow_up", "without_conversation", SEEN, evidence)
    return None


_UNANSWERED: dict[str, Cause] = {
    "ESCALATE": "over_escalation", "CLARIFY": "needless_question", "DECLINE": "needless_refusal"
}  # fmt: skip


async def _unanswered(client: AnswerClient, case: Case, replayed: ReplayedCase) -> Verdict | None:
    """Returns the verdict where no answer came: a gap in the sources, or passages that were not
    used."""
    if (astray := await _led_astray(client, case, replayed)) is not None:
        return astray
    answerable = replayed.told["signals"].get("kinds", {}).get("answerable")
    if answerable is None:
        return None
    reason = (replayed.told["escalation"] or {}).get("reason")
    gap = reason == NOT_IN_SOURCES
    if answerable <= BARE and gap:
        evidence = f"nothing that was found answers it (P={answerable:.2f})"
        return _verdict(case, "not_in_sources", "sources_checked", SEEN, evidence)
    told = await replay_case(client, case, told="ANSWER")
    if answerable >= COVERED and told.outcome.action == "ANSWER" and told.outcome.citations:
        cause = _UNANSWERED[replayed.outcome.action]
        page = told.outcome.citations[0].document
        evidence = f"{page} answers it (P={answerable:.2f}), and it was not asked to"
        return _verdict(case, cause, "told_to_answer", SHOWN, evidence, page)
    return None


def _unknown(case: Case, replayed: ReplayedCase) -> Verdict:
    evidence = f"{replayed.outcome.action}: {replayed.outcome.why}; nothing shows what was wrong"
    return _verdict(case, "unknown", None, 0.0, evidence)


def _verdict(
    case: Case,
    cause: Cause,
    by: Counterfactual | None,
    confidence: float,
    evidence: str,
    document: str = "",
    *,
    modelled: bool = False,
) -> Verdict:
    return Verdict(
        case=case.id,
        layer=LAYERS[cause],
        cause=cause,
        flipped_by=by,
        confidence=confidence,
        evidence=evidence,
        document=document,
        remedy=remedy_of(cause, modelled=modelled),
    )
