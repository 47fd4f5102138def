"""The ports of the local stack: free, held by our own processes, or taken by others."""

from __future__ import annotations

from ml_tasks.doctor.findings import Finding, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.demo import DemoOptions
from ml_tasks.local_stack.engine import Engine
from ml_tasks.local_stack.ports import holder, is_free
from ml_tasks.local_stack.registry import holds_port
from ml_tasks.local_stack.service import require_service_port
from ml_tasks.records import Record

NAME = "ports"


class PortFacts(Record):
    """One port of `make demo`; `holder` is empty where it is free."""

    variable: str
    port: int
    holder: str = ""
    ours: bool = False


class PortsFacts(Record):
    """All of them; `refusal` names a variable that holds no port number."""

    ports: tuple[PortFacts, ...] = ()
    refusal: str = ""


def look(place: Place, engine_address: str = "") -> PortsFacts:
    """Tries each port; `engine_address` is where the engine that runs our containers answers."""
    try:
        options = DemoOptions.from_environment(place.environment)
    except StackError as error:
        return PortsFacts(refusal=str(error))
    names = [name for name in DemoOptions.__dataclass_fields__ if name.endswith("_port")]
    ours = {
        pid
        for each in processes.listed(place.state)
        if each.alive
        for pid in processes.members(each)
    }
    found = []
    for name in names:
        port = int(getattr(options, name))
        if is_free(port):
            found.append(PortFacts(variable=name.upper(), port=port))
            continue
        by = holder(port)
        mine = by.pid in ours or _container_of_ours(place, name, port, engine_address)
        found.append(PortFacts(variable=name.upper(), port=port, holder=str(by), ours=mine))
    return PortsFacts(ports=tuple(found))


def judge(facts: PortsFacts) -> list[Finding]:
    """One line for each port that another holds, else one for all."""
    if facts.refusal:
        return [to_mend(NAME, facts.refusal, "or unset it")]
    wrong = [
        to_mend(
            NAME,
            f"port {each.port} is taken by {each.holder}",
            f"stop it, or set {each.variable} for `make demo`",
        )
        for each in facts.ports
        if each.holder and not each.ours
    ]
    free = ", ".join(str(each.port) for each in facts.ports if not each.holder)
    ours = ", ".join(str(each.port) for each in facts.ports if each.ours)
    shown = [f"{word}: {ports}" for word, ports in (("free", free), ("ours", ours)) if ports]
    return wrong or [ok(NAME, "; ".join(shown))]


def _container_of_ours(place: Place, name: str, port: int, address: str) -> bool:
    """Whether one of the containers that `make demo` starts holds the port."""
    if not address or name not in ("service_port", "registry_port"):
        return False
    engine = Engine(address)
    try:
        if name == "service_port":
            require_service_port(place.state, engine, port)
            return True
        return holds_port(place.state, engine, port)
    except StackError:
        return False
