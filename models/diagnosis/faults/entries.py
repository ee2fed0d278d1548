"""What goes wrong with a suite, while the answer is right; and what goes wrong in both layers."""

from models.diagnosis.faults import behaviour, knowledge, words
from models.diagnosis.faults.site import Site
from models.suite.facts import says
from models.suite.suite import Case, Expected


def wrong_fact(site: Site) -> Case | None:
    """The entry expects a value that no page ever gave."""
    for at, fact in enumerate(site.facts):
        false = words.other_number(fact[0], site.random)
        texts = [chunk.text for held in site.gold() for chunk in held.chunks]
        if false == fact[0] or any(says(text, (false,)) for text in texts):
            continue
        facts = [*site.case.expect.facts]
        facts[at] = false
        return _expecting(site, facts=tuple(facts))
    return None


def wrong_page(site: Site) -> Case | None:
    """The entry names another page than the one that holds the answer."""
    own = set(site.case.expect.documents)
    others = [
        name for other in site.others for name in other.case.expect.documents if name not in own
    ]
    if not others:
        return None
    return _expecting(site, documents=(site.random.choice(others),))


def wrong_action(site: Site) -> Case | None:
    """The entry wants a person for what the pages answer plainly."""
    reason = site.random.choice([name for name in site.house.reasons if name != "not_in_sources"])
    team = site.house.reasons[reason].team
    wanted = Expected(action="ESCALATE", team=team, reason=reason)
    return site.case.model_copy(update={"expect": wanted})


def hidden_and_flatters(site: Site) -> Case | None:
    knowledge.for_others(site)
    return behaviour.flatters(site)


def lost_and_uncited(site: Site) -> Case | None:
    knowledge.misembedded(site)
    return behaviour.drops_citations(site)


def expired_and_leaks(site: Site) -> Case | None:
    knowledge.expired(site)
    return behaviour.leaks_header(site)


def _expecting(site: Site, **changed: object) -> Case:
    wanted = site.case.expect.model_copy(update=changed)
    return site.case.model_copy(update={"expect": wanted})
