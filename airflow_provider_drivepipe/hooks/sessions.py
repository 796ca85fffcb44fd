"""What a MaxFrame session says of itself: the Airflow task instance that it was opened for.

A session is a MaxCompute instance, and the settings of its task are kept with it and can be read back from
any process. The exact tags are one setting of ours. Beside them stand MaxCompute's own job identifiers
(``EXT_PLATFORM_ID`` and so on), for its console and its accounts; they are cut to documented lengths: nothing
is read back from them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from urllib.parse import urlsplit

TAGS_SETTING = "drivepipe.session.tags"

_PLATFORM = "airflow-drivepipe"
_MAX_NODE_NAME = 128
_MAX_TASK_ID = 128
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.:+-]")


@dataclass(frozen=True)
class SessionTags:
    """The task instance that a session works for. ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    def text(self) -> str:
        """Return all of it as one text."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}/{self.map_index}/{self.try_number}"


@dataclass(frozen=True)
class Session:
    """A live session that this package opened.

    ``installation`` is the address of the Airflow that opened it (``[api] base_url``), empty when that is not
    configured.
    """

    session_id: str
    tags: SessionTags
    installation: str
    started: datetime | None
    owner: str


def installation() -> str:
    """Return the address of this Airflow (``[api] base_url``), which tells its sessions from others'.

    Two installations may run DAGs of the same name, with the same runs, in one project.
    """
    from airflow.sdk.configuration import conf

    url = urlsplit(str(conf.get("api", "base_url", fallback="") or ""))
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl().rstrip("/")


def tag_settings(tags: SessionTags, opened_by: str) -> dict[str, str]:
    """Return the settings of a session's task that carry its tags and the installation that opens it."""
    node = f"{tags.dag_id}.{tags.task_id}"
    instance = f"{tags.run_id}:{tags.map_index}:{tags.try_number}"
    return {
        TAGS_SETTING: json.dumps({**asdict(tags), "installation": opened_by}),
        "EXT_PLATFORM_ID": _PLATFORM,
        "EXT_NODE_ID": hashlib.sha256(node.encode()).hexdigest()[:32],
        "EXT_NODE_NAME": _NOT_PLAIN.sub("_", node)[:_MAX_NODE_NAME],
        "EXT_TASK_ID": _NOT_PLAIN.sub("_", instance)[-_MAX_TASK_ID:],
    }


def read_tags(settings: str | None) -> tuple[SessionTags, str] | None:
    """Return tags and installation from a task's settings, JSON as submitted; None when they hold no tags."""
    values = _json_object(_json_object(settings).get(TAGS_SETTING))
    texts = [values.get(name) for name in ("dag_id", "run_id", "task_id", "installation")]
    numbers = [values.get(name) for name in ("map_index", "try_number")]
    match texts, numbers:
        case [str(dag_id), str(run_id), str(task_id), str(opened_by)], [int(map_index), int(try_number)]:
            return SessionTags(dag_id, run_id, task_id, map_index, try_number), opened_by
    return None


def _json_object(text: object) -> Mapping[str, object]:
    if not isinstance(text, str):
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
