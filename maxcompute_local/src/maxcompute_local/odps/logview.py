"""The LogView page: what became of an instance, for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import PurePath

from starlette.responses import HTMLResponse, Response

from maxcompute_local.odps import errors
from maxcompute_local.odps.auth import ACCESS_PURPOSE, LOGVIEW_PURPOSE, Tokens
from maxcompute_local.odps.instances import Instances
from maxcompute_local.odps.tasks import Instance

_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto;white-space:pre-wrap}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}"
)
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def logview_purpose(project: str, instance_id: str) -> str:
    """Return the purpose of a token that opens the page of one instance."""
    return f"{LOGVIEW_PURPOSE}:{project}/{instance_id}"


def purpose_of_policy(policy: object) -> str:
    """Return the purpose of a token with a policy: the page of one instance, or every call there is.

    Raises an InvalidArgument error for a policy that grants something in between.
    """
    statement = _single_statement(policy)
    resource = str(statement.get("Resource", ""))
    name = resource.rpartition(":")[2]
    actions = statement.get("Action")
    grants_all = actions in ("odps:*", ["odps:*"], "*", ["*"])
    if name == "*" and grants_all and statement.get("Effect") == "Allow":
        return ACCESS_PURPOSE
    parts = PurePath(name).parts
    if len(parts) == 4 and parts[0] == "projects" and parts[2] == "instances":
        return logview_purpose(parts[1], parts[3])
    raise errors.invalid_argument(
        f"a token for the resource {resource!r} with these actions is not supported by the local cloud, "
        "which signs tokens for the LogView of an instance and for all actions on everything ('acs:odps:*:*')"
    )


def _single_statement(policy: object) -> Mapping[str, object]:
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    if isinstance(statements, list) and len(statements) == 1 and isinstance(statements[0], dict):
        return statements[0]
    raise errors.invalid_argument("a token's policy must have one statement")


def page(
    instances: Instances, tokens: Tokens, project: str, instance_id: str, token: str, dag_id: str | None
) -> Response:
    """Return the page of an instance to the holder of its token."""
    if tokens.purpose(token) != logview_purpose(project, instance_id):
        return _page("LogView", "<p>This link is not valid, or no longer.</p>", 403)
    instance = instances.get(project, instance_id)
    if instances.has_service(instance):
        return _service_page(instances, instance, dag_id)
    facts = [
        ("Project", instance.project),
        ("Task", ", ".join(f"{task.name} ({task.type})" for task in instance.tasks)),
        ("Status", f"{instance.status}, {instance.task_status}"),
        ("Started", _time(instance.start_time)),
        ("Ended", _time(instance.end_time) if instance.end_time is not None else ""),
    ]
    body = _table(facts) + _error(instance)
    body += "".join(f"<h2>Query</h2><pre>{escape(task.query)}</pre>" for task in instance.tasks)
    if instance.result_text:
        body += f"<h2>Result</h2><pre>{escape(instance.result_text)}</pre>"
    return _page(f"Instance {instance.id}", body, 200)


def _service_page(instances: Instances, instance: Instance, dag_id: str | None) -> Response:
    """Return the page of a session: its jobs first, for a session ends by being stopped in any case."""
    facts = [
        ("Session", instance.id),
        ("Project", instance.project),
        ("Task", ", ".join(f"{task.name} ({task.type})" for task in instance.tasks)),
        ("Opened", _time(instance.start_time)),
        ("Closed", _time(instance.end_time) if instance.end_time is not None else "still open"),
    ]
    jobs = instances.service(instance).logview(instance, dag_id)
    kinds = ", ".join(task.type for task in instance.tasks)
    title = f"{kinds} job {dag_id}" if dag_id else f"{kinds} session {instance.id}"
    return _page(title, f"{jobs}{_error(instance)}<h2>Session</h2>{_table(facts)}", 200)


def _table(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts if value)
    return f"<table>{rows}</table>"


def _error(instance: Instance) -> str:
    return "" if instance.error is None else f"<h2>Error</h2><pre>{escape(instance.error)}</pre>"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))


def _page(title: str, body: str, status: int) -> Response:
    return HTMLResponse(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>",
        status,
        _HEADERS,
    )
