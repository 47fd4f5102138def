"""What the tasks of the new-data DAG do in Airflow: the form in, the asset event out."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context

from ml_tasks.announce import Announcement, announce, check_takable, flag_in, take_flag
from ml_tasks.config import load_config
from ml_tasks.errors import ConfigError, StageSkipped
from operators.assets import NEW_DATA
from operators.stage_task import readable_errors
from operators.task_context import RETRAINING, config_file, retraining_is_paused


def look_for_data() -> dict[str, Any]:
    """Announces the folder of the form, or the raw folder if a flag stands in it.

    Airflow makes the event of the asset once this task has ended well, with what is set here.

    Raises:
        AirflowSkipException: there is nothing new.
        AirflowFailException, AirflowException: see `readable_errors`.
    """
    context = get_current_context()
    folder = (context["params"].get("data_dir") or "").strip()
    with readable_errors():
        config = load_config(config_file(), {"paths.raw": folder} if folder else {})
        flag = flag_in(config.paths.raw)
        if folder or flag:
            _check_heard(context, by_hand=bool(folder))
        if flag and not folder:
            check_takable(flag)
        made = announce(config, config.paths.raw if folder else None)
    context["outlet_events"][NEW_DATA].extra = made.extra()
    return made.model_dump(mode="json")


def _check_heard(context: Any, by_hand: bool) -> None:
    """Airflow keeps no event for a paused DAG: what is announced to it is lost.

    Raises:
        ConfigError: somebody announces data by hand.
        StageSkipped: a flag is there; it stays until the retraining is switched on.
    """
    if not retraining_is_paused(context):
        return
    text = f"the DAG {RETRAINING} is paused and would not hear of the new data; switch it on"
    if by_hand:
        raise ConfigError(f"{text} and announce them again")
    raise StageSkipped(f"{text}. The flag stays until then")


def take_the_flag(announced: dict[str, Any]) -> None:
    """Takes away the flag of an announcement that has been made.

    Raises:
        AirflowException: it cannot be taken away; tried again.
    """
    with readable_errors():
        take_flag(Announcement.model_validate(announced))
