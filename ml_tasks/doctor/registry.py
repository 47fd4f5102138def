"""The image registry and its login, and whether what is in production is known to the ledger."""

from __future__ import annotations

from ml_tasks.config_release import registry_of_this_place
from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.errors import ChampionError, RegistryRefused, RegistryUnavailable
from ml_tasks.records import Record
from ml_tasks.release.champion import PRODUCTION, find_champion
from ml_tasks.release.registry_api import Registry

NAME, IN_PRODUCTION = "registry", "production"


class RegistryFacts(Record):
    """What the registry answered, and what is known of production."""

    address: str
    push: bool = True  # release.push and no SKIP_DOCKER
    login: str = ""  # where one was found
    unreachable: str = ""
    refusal: str = ""
    digest: str | None = None  # of `production`
    proof: str = ""  # by what production is known
    trouble: str = ""  # why it is not


def look(place: Place) -> RegistryFacts:
    """Asks the registry for `production`, as a run does when it begins."""
    release = place.config.release
    here = registry_of_this_place(place.environment)
    release = release.model_copy(update={key.partition(".")[2]: v for key, v in here.items()})
    config = place.config.model_copy(update={"release": release})
    push = release.push and place.environment.get("SKIP_DOCKER", "") in ("", "0")
    facts = RegistryFacts(address=release.registry_url or release.registry, push=push)
    try:
        with Registry(release) as registry:
            login = registry.login
            digest = registry.digest(PRODUCTION)
        facts = facts.model_copy(update={"login": login.source if login else "", "digest": digest})
    except RegistryUnavailable as error:
        facts = facts.model_copy(update={"unreachable": str(error)})
    except RegistryRefused as error:
        facts = facts.model_copy(update={"refusal": str(error)})
    reached = not (facts.unreachable or facts.refusal)
    try:
        proof = find_champion(config, ask_registry=push and reached).proof
    except (ChampionError, RegistryUnavailable) as error:
        return facts.model_copy(update={"trouble": str(error)})
    return facts.model_copy(update={"proof": proof})


def judge(facts: RegistryFacts) -> list[Finding]:
    """A line for the registry and one for production."""
    return [_registry(facts), _production(facts)]


def _registry(facts: RegistryFacts) -> Finding:
    if facts.unreachable:
        words = f"nothing answers at {facts.address}"
        if not facts.push:
            return note(NAME, f"{words}; nothing is pushed, so it is not needed")
        remedy = "start it (`make demo` does), or set release.registry, or release.push: false"
        return to_mend(NAME, words, remedy)
    if facts.refusal:
        return to_mend(NAME, facts.refusal, "then `mammo doctor` again")
    login = f", login {facts.login}" if facts.login else ""
    return ok(NAME, f"answers at {facts.address}{login}")


def _production(facts: RegistryFacts) -> Finding:
    if facts.trouble:
        return to_mend(IN_PRODUCTION, facts.trouble, "docs/gate.md lists each of these messages")
    if facts.push and (facts.unreachable or facts.refusal):
        return note(IN_PRODUCTION, f"{facts.proof}; a run will ask it first")
    return ok(IN_PRODUCTION, facts.proof)
