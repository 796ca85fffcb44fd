"""The REST calls on instances: submit, poll, results, progress, stop, and the calls of task services."""

from __future__ import annotations

import base64
import json
import time

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from maxcompute_local.odps.catalog import OWNER
from maxcompute_local.odps.errors import invalid_argument
from maxcompute_local.odps.instances import SQL_TASK, Instances
from maxcompute_local.odps.sql.result import MAX_CSV_ROWS, to_csv
from maxcompute_local.odps.tasks import Instance
from maxcompute_local.odps.wire import Call, attribute, cdata, element, rfc822, xml
from maxcompute_local.stats import Stats

LONG_POLL_SECONDS = 5.0
MAX_LISTED = 100
"""Most instances on one page of a list."""


class InstanceApi:
    """Answers the calls below ``/projects/<project>/instances``."""

    def __init__(self, instances: Instances, stats: Stats) -> None:
        self._instances = instances
        self._stats = stats

    def create(self, call: Call, project: str, base_url: str) -> Response:
        """Submit a job."""
        self._stats.count("odps.create_instance")
        instance = self._instances.create(project, call.xml())
        location = f"{base_url}/projects/{project}/instances/{instance.id}"
        return Response(status_code=201, headers={"Location": location})

    def list(self, call: Call, project: str) -> Response:
        """List instances, newest first, a page at a time. All have the same owner."""
        self._stats.count("odps.list_instances")
        limit = max(1, min(call.integer("maxitems", MAX_LISTED), MAX_LISTED))
        found = self._instances.list(
            project,
            status=call.query.get("status"),
            started=_date_range(call.query.get("daterange")),
            after=call.query.get("marker"),
            limit=limit + 1,
        )
        marker = found[limit - 1].id if len(found) > limit else ""
        items = "".join(
            f"<Instance>{element('Name', i.id)}{element('Owner', OWNER)}"
            f"{element('StartTime', rfc822(i.start_time))}"
            f"{element('EndTime', rfc822(i.end_time)) if i.end_time else ''}"
            f"{element('Status', i.status)}</Instance>"
            for i in found[:limit]
        )
        return xml(f"<Instances>{element('Marker', marker)}{element('MaxItems', limit)}{items}</Instances>")

    async def handle(self, call: Call, project: str, instance_id: str) -> Response:
        """Answer a call on one instance."""
        instance = await run_in_threadpool(self._instances.get, project, instance_id)
        # Only SQL ends soon; clients of other services poll them for other reasons.
        if "instancestatus" in call.query and call.method == "GET" and instance.tasks[0].type == SQL_TASK:
            await self._instances.wait(instance_id, LONG_POLL_SECONDS)
        return await run_in_threadpool(self._answer, call, instance)

    def _answer(self, call: Call, instance: Instance) -> Response:
        query = call.query
        if call.method == "PUT":
            if "info" in query:
                return self._put_info(call, instance)
            self._stats.count("odps.stop_instance")
            self._instances.stop(instance)
            return Response()
        if "info" in query:
            self._stats.count("odps.instance_info")
            service = self._instances.service(instance)
            body = service.get_info(instance, call.parameter("taskname"), call.parameter("key"))
            return Response(body, media_type="application/json")
        if "result" in query:
            self._stats.count("odps.instance_result")
            return self._result(instance)
        self._stats.count("odps.instance_status")
        if "taskstatus" in query:
            return _task_status(instance)
        if "source" in query:
            return _source(instance)
        if "instanceprogress" in query:
            return _progress(instance)
        if "instancesummary" in query:
            return JSONResponse({"Instance": {"JsonSummary": "{}", "Summary": ""}})
        if "detail" in query or "instancedetail" in query:
            return JSONResponse({"mapReduce": {"jobs": []}})
        if "cached" in query:
            return _overview(instance)
        return xml(f"<Instance>{element('Status', instance.status)}</Instance>", _times(instance))

    def _put_info(self, call: Call, instance: Instance) -> Response:
        self._stats.count("odps.instance_info")
        body = call.xml()
        answer = self._instances.service(instance).put_info(
            instance, call.parameter("taskname"), body.findtext("Key") or "", body.findtext("Value") or ""
        )
        return Response(answer, media_type="application/json")

    def _result(self, instance: Instance) -> Response:
        rows = self._instances.rows(instance)
        descriptor = ""
        kind = "text"
        if instance.error is not None:
            text = instance.error
        elif rows is not None:
            kind = "csv"
            zone = instance.tasks[0].settings.get("odps.sql.timezone")
            text = to_csv(rows.columns, rows.read(0, MAX_CSV_ROWS), zone)
            description = {
                "IsSelect": True,
                "SelectResultStatus": "COMPLETE" if rows.count <= MAX_CSV_ROWS else "TRUNCATED",
                "Schema": {"Columns": [{"Name": c.name, "Type": c.type} for c in rows.columns]},
            }
            descriptor = f"<ResultDescriptor>{cdata(json.dumps(description))}</ResultDescriptor>"
        else:
            text = instance.result_text or ""
        encoded = base64.b64encode(text.encode()).decode()
        tasks = "".join(
            f"<Task Type={attribute(task.type)}>{element('Name', task.name)}"
            f'<Result Transform="Base64" Format="{kind}">{cdata(encoded)}</Result>'
            f"{descriptor}{element('Status', instance.task_status)}</Task>"
            for task in instance.tasks
        )
        return xml(f"<Instance><Tasks>{tasks}</Tasks></Instance>")


def _date_range(text: str | None) -> tuple[float, float]:
    """Read ``<from>:<to>``, seconds since the epoch, each of which may be missing."""
    first, _, last = (text or ":").partition(":")
    try:
        return float(first or "-inf"), float(last or "inf")
    except ValueError as error:
        raise invalid_argument(f"daterange is not two times in seconds: {text!r}") from error


def _times(instance: Instance) -> dict[str, str]:
    headers = {"x-odps-owner": OWNER, "x-odps-start-time": rfc822(instance.start_time)}
    if instance.end_time is not None:
        headers["x-odps-end-time"] = rfc822(instance.end_time)
    return headers


def _task_status(instance: Instance) -> Response:
    end = element("EndTime", rfc822(instance.end_time)) if instance.end_time is not None else ""
    tasks = "".join(
        f"<Task Type={attribute(task.type)}>{element('Name', task.name)}"
        f"{element('StartTime', rfc822(instance.start_time))}{end}"
        f"{element('Status', instance.task_status)}<Histories/></Task>"
        for task in instance.tasks
    )
    body = f"<Instance>{element('Status', instance.status)}<Tasks>{tasks}</Tasks></Instance>"
    return xml(body, _times(instance))


def _source(instance: Instance) -> Response:
    tasks = "".join(
        f"<{task.type}>{element('Name', task.name)}"
        f"<Config><Property>{element('Name', 'settings')}"
        f"<Value>{cdata(json.dumps(dict(task.settings)))}</Value></Property></Config>"
        f"{element('Command', task.command) if task.command else ''}"
        f"{f'<Query>{cdata(task.query)}</Query>' if task.query else ''}</{task.type}>"
        for task in instance.tasks
    )
    guid = "".join(element("Guid", task.guid) for task in instance.tasks if task.guid)
    return xml(
        f"<Job><Priority>9</Priority>{guid}<Tasks>{tasks}</Tasks><DAG><RunMode>Sequence</RunMode></DAG></Job>"
    )


def _progress(instance: Instance) -> Response:
    done = int(instance.terminated)
    counters = "".join(
        element(name, value)
        for name, value in (
            ("BackupWorkers", 0),
            ("TerminatedWorkers", done),
            ("RunningWorkers", 1 - done),
            ("TotalWorkers", 1),
            ("InputRecords", 0),
            ("OutputRecords", 0),
            ("FinishedPercentage", 100 * done),
        )
    )
    return xml(f'<Progress><Stage ID="M1_job_0">{counters}</Stage></Progress>')


def _overview(instance: Instance) -> Response:
    task = instance.tasks[0]
    return JSONResponse(
        {
            "instanceId": instance.id,
            "instancePriority": 9,
            "instanceProcess": 100 if instance.terminated else 0,
            "jobName": "",
            "projectName": instance.project,
            "startTime": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(instance.start_time)),
            "taskType": task.type,
            "taskName": task.name,
            "userAccount": OWNER,
            "status": instance.status,
            "subStatusHistory": [],
        }
    )
