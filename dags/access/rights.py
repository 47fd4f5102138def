"""Who may do what in Airflow: the rights of a viewer, an operator and an administrator.

A right is FAB's pair of an action and a resource. Every role holds exactly what stands here, set
again at each start of the stack: what is added by hand on Airflow's page goes at the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Right = tuple[str, str]

# What people say on the command line, and Airflow's name of it.
ROLES: Mapping[str, str] = MappingProxyType(
    {"viewer": "Viewer", "operator": "Operator", "admin": "Admin"}
)

# Beside what Airflow gives a viewer: without it the entry Models and the tabs Results are missing,
# since Airflow's page asks for the list of plugins to show them.
_VIEWER: frozenset[Right] = frozenset({("can_read", "Plugins")})

# Beside a viewer's. Nothing that deletes: runs and their logs are how one can say why a model was
# shipped. No pools: two slots in `production` would let two releases move it at once.
_OPERATOR: frozenset[Right] = frozenset(
    {
        ("can_edit", "DAGs"),  # pause and go on; Airflow asks for it with all that follows
        ("can_create", "DAG Runs"),  # trigger
        ("can_edit", "DAG Runs"),  # clear, mark, note
        ("can_create", "Task Instances"),
        ("can_edit", "Task Instances"),
        ("can_edit", "HITL Detail"),  # answer a Required Action: decide whether a model ships
        ("menu_access", "HITL Detail"),
        ("can_create", "Assets"),  # say by hand that new data are there
    }
)


def rights(of_airflows_viewer: frozenset[Right]) -> Mapping[str, frozenset[Right]]:
    """Exactly what each role holds; the administrator's are Airflow's own, which are all."""
    viewer = of_airflows_viewer | _VIEWER
    return {"Public": frozenset(), "Viewer": viewer, "Operator": viewer | _OPERATOR}
