"""What a connection is checked for, smallest first: one list for the form's *Test*, ``doctor``, ``validate``.

A check makes what it needs in the project and the bucket under a name of its own, and says so to the
:class:`Site`, which removes it.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.exceptions import ConfigurationError, DrivepipeError, RemoteJobError
from airflow_provider_drivepipe.hooks.drivepipe import check_python
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.sql import create_table, drop_table
from airflow_provider_drivepipe.worker.answer_rows import succeeded
from airflow_provider_drivepipe.worker.answers import Response, answer_text, call_failure, embedding_vector

if TYPE_CHECKING:
    from airflow_provider_drivepipe.stages.graph import ModelAccess

NAME = "drivepipe_doctor"
"""What the names of everything that checks make begin with, and the DAG id in the tags of their session."""
_MOUNT_PATH = "/mnt/drivepipe"
_TABLE_DAYS = 1
_INPUT = (Column("name", "string"),)
_RESULT = (Column("response", "string"), Column("success", "boolean"))
_SHOWN = 200
_PICTURE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62r"
    "Z4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk"
    "pKT/wAARCAAgACADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAP/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAA"
    "AAAAAAAAAAAAAAP/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwCYC6QAAAAAD//Z"
)
"""A JPEG of 32 by 32 pixels."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_CHECKED = "not checked"


class NotChecked(Exception):
    """There is nothing to try; the text says why."""


class Site:
    """What checks work on, and what they have made there.

    :param bucket: bucket to work in; without one, the first that the connection sees is looked at, and
        written to only when it is the only one.
    :param models: by stage, the models to look up and to call; without them, the first of the model project
        is looked up.
    """

    def __init__(
        self, hook: MaxFrameHook, bucket: str | None = None, models: Mapping[str, str] | None = None
    ) -> None:
        self.hook = hook
        self.bucket = bucket
        self.other_buckets = 0
        self.models = models
        self.key = f"{NAME}_{uuid.uuid4().hex[:12]}"
        self.input = f"{self.key}_in"
        self.result = f"{self.key}_out"
        self.object = f"{self.key}/picture.jpg"
        self.has_object = False
        self.session_id = ""
        self.tokens = 0
        self._made: list[tuple[str, Callable[[], object]]] = []

    def made(self, what: str, remove: Callable[[], object]) -> None:
        """Remember what a check is about to make, and how it is removed; removing nothing is no error."""
        self._made.append((what, remove))

    def clean_up(self) -> list[str]:
        """Remove everything that checks made, last first; return what could not be removed, and why."""
        left = []
        while self._made:
            what, remove = self._made.pop()
            try:
                remove()
            except DrivepipeError as error:
                left.append(f"{what}: {error}")
        return left


@dataclass(frozen=True)
class Check:
    """Something that a scenario needs.

    :param try_it: returns what was found. Raises NotChecked, or an error.
    :param mend: what to grant or enable when it fails.
    :param needs: names of checks without which this one cannot be tried.
    :param in_test: whether the form's *Test* tries it: it costs no tokens and writes nothing to OSS.
    """

    name: str
    try_it: Callable[[Site], str]
    mend: str
    needs: tuple[str, ...] = ()
    in_test: bool = True


@dataclass(frozen=True)
class Outcome:
    """How a check ended, and what it took."""

    check: Check
    state: State
    said: str
    seconds: float = 0.0
    tokens: int = 0


def run_checks(site: Site, checks: Sequence[Check]) -> Iterator[Outcome]:
    """Try checks one by one, also after one that failed, but for those that need it."""
    good: set[str] = set()
    for check in checks:
        lacking = [name for name in check.needs if name not in good]
        if lacking:
            yield Outcome(check, State.NOT_CHECKED, f"needs {', '.join(lacking)}")
            continue
        started, tokens = time.monotonic(), site.tokens
        state, said = _try(check, site)
        if state is State.OK:
            good.add(check.name)
        yield Outcome(check, state, said, time.monotonic() - started, site.tokens - tokens)


def _try(check: Check, site: Site) -> tuple[State, str]:
    try:
        return State.OK, check.try_it(site)
    except NotChecked as reason:
        return State.NOT_CHECKED, str(reason)
    except DrivepipeError as error:
        return State.FAILED, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a service or its SDK raises is what was found
        return State.FAILED, f"{type(error).__name__}: {error}"


def test_text(outcomes: Sequence[Outcome], conn_id: str) -> tuple[bool, str]:
    """Return whether nothing failed, and the outcomes as one text: what failed first, what nobody tried last.

    :param conn_id: what messages call the connection; Airflow tests it under a random id that says nothing.
    """
    order = (State.FAILED, State.OK, State.NOT_CHECKED)
    parts = [
        f"{o.check.name}: {state}, {o.said}{f' ({o.check.mend})' if state is State.FAILED else ''}"
        for state in order
        for o in outcomes
        if o.state is state
    ]
    left = [check.name for check in CHECKS if not check.in_test]
    parts.append(f"{State.NOT_CHECKED} here, but by 'drivepipe doctor': {', '.join(left)}")
    text = "; ".join(parts).replace(f"connection {conn_id!r}", "this connection")
    return all(o.state is not State.FAILED for o in outcomes), text


# MaxCompute.


def _python(site: Site) -> str:
    check_python(site.hook.settings)
    return f"client and DPE workers run {site.hook.settings.dpe_python_version}"


def _project(site: Site) -> str:
    settings = site.hook.settings.maxcompute
    if settings is None:
        raise NotChecked("the connection has no MaxCompute endpoint")
    with site.hook.errors():
        site.hook.odps.get_project(settings.project).reload()
    return settings.project


def _sql(site: Site) -> str:
    [[one]] = site.hook.execute_sql("SELECT 1")
    return f"SELECT 1 gives {one}"


def _table(site: Site) -> str:
    for name, columns in ((site.input, _INPUT), (site.result, _RESULT)):
        site.made(f"table {name}", partial(site.hook.execute_sql, drop_table(name)))
        site.hook.execute_sql(create_table(name, columns, lifecycle_days=_TABLE_DAYS))
    return "can be created"


def _tunnel(site: Site) -> str:
    with site.hook.errors():
        table = site.hook.odps.get_table(site.input)
        with table.open_writer() as writer:
            writer.write([[site.key]])
        with table.open_reader() as reader:
            rows = [list(record.values) for record in reader]
    if rows != [[site.key]]:
        raise RemoteJobError(f"wrote one row into {site.input} and read {len(rows)} back")
    return "one row written and read"


# OSS.


def _bucket(site: Site) -> str:
    import alibabacloud_oss_v2 as oss

    settings = site.hook.oss_settings.oss
    if settings is None:
        raise NotChecked("the connection has no OSS endpoint")
    with oss_errors(site.hook.oss_settings.conn_id, settings.endpoint, site.bucket):
        if site.bucket is not None:
            site.hook.oss.list_objects_v2(oss.ListObjectsV2Request(bucket=site.bucket, max_keys=1))
            return f"bucket {site.bucket} can be listed"
        buckets = site.hook.oss.list_buckets(oss.ListBucketsRequest(max_keys=100)).buckets or []
    if not buckets:
        raise NotChecked("the connection sees no bucket")
    site.bucket, site.other_buckets = buckets[0].name, len(buckets) - 1
    others = f" and {site.other_buckets} others" if site.other_buckets else ""
    return f"sees bucket {site.bucket}{others}"


def _put(site: Site) -> str:
    import alibabacloud_oss_v2 as oss

    if site.other_buckets:
        raise NotChecked(
            "there is more than one bucket, and none is written to unasked: give --bucket or --scenario"
        )
    client, bucket = site.hook.oss, site.bucket
    trial = f"{site.key}/trial"
    for key in (site.object, _copy(site), trial):
        site.made(f"object oss://{bucket}/{key}", partial(_delete, site, key))
    with _oss_errors(site):
        for key in (site.object, trial):
            client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=_PICTURE))
        content = client.get_object(oss.GetObjectRequest(bucket=bucket, key=site.object)).body.content
    _delete(site, trial)
    if content != _PICTURE:
        raise RemoteJobError(f"oss://{bucket}/{site.object} does not hold what was written")
    site.has_object = True
    return f"object written, read and deleted in {bucket}"


def _delete(site: Site, key: str) -> None:
    import alibabacloud_oss_v2 as oss

    with _oss_errors(site):
        site.hook.oss.delete_object(oss.DeleteObjectRequest(bucket=site.bucket, key=key))


def _oss_errors(site: Site) -> AbstractContextManager[None]:
    settings = site.hook.oss_settings
    return oss_errors(settings.conn_id, settings.require_oss().endpoint, site.bucket)


def _copy(site: Site) -> str:
    return f"{site.object}.copy"


# MaxFrame.


def _session(site: Site) -> str:
    site.session_id = site.hook.open_session(SessionTags(NAME, site.key, "doctor", -1, 1))
    site.made(f"session {site.session_id}", lambda: site.hook.stop_session(site.session_id))
    return "can be opened"


def _run(site: Site, graph: Callable[[Any], Any]) -> Response:
    """Run a job over the scratch table; return the response of its one row, or raise RemoteJobError."""
    import maxframe.dataframe as md

    from airflow_provider_drivepipe.pipelines.probes import into_table
    from airflow_provider_drivepipe.stages.graph import graph_building

    with site.hook.errors(), graph_building(site.hook.odps):
        rows = md.read_odps_table(site.input, odps_entry=site.hook.odps)
        sink = into_table(graph(rows), site.result)
    site.hook.run_job(site.session_id, [sink])
    found = site.hook.execute_sql(f"SELECT response, success FROM {site.result}")
    if len(found) != 1:
        raise RemoteJobError(f"a job over one row gave {len(found)}")
    [[text, success]] = found
    response = Response.of(text)
    site.tokens += response.tokens("total_tokens") or response.tokens("input_tokens", "prompt_tokens")
    if not succeeded(success):
        failure = call_failure(response)
        raise RemoteJobError(f"{failure.reason}: {failure.message}")
    return response


def _function(site: Site) -> str:
    from airflow_provider_drivepipe.pipelines import probes

    return _run(site, probes.call_function).text


def _mount(site: Site) -> str:
    from airflow_provider_drivepipe.pipelines import probes
    from airflow_provider_drivepipe.stages.worker_call import MountOptions

    settings = site.hook.oss_settings.require_oss()
    if not settings.role_arn:
        raise NotChecked("the connection has no oss_role_arn")
    root = site.hook.oss_root(site.bucket or "")
    mount = MountOptions(str(root), _MOUNT_PATH, settings.role_arn)
    copy = (site.object, _copy(site)) if site.has_object else None
    said = _run(site, lambda rows: probes.use_mount(rows, mount, copy)).text
    return f"{settings.role_arn} mounts {root}: {said}"


def _engine(site: Site) -> str:
    from airflow_provider_drivepipe.pipelines import probes

    return _run(site, probes.use_frame_engine).text


# Models.


def _models(site: Site) -> str:
    project = site.hook.settings.model_project
    if not project:
        raise NotChecked("the connection has no model_project")
    if site.models is not None:
        names = sorted(set(site.models.values()))
    else:
        with site.hook.errors(), site.hook.catalog():
            names = [model.name for model in site.hook.odps.list_models(project)][:1]
        if not names:
            raise ConfigurationError(f"project {project} shows no models")
    site.hook.require_models(names)
    return f"{project} has {', '.join(names) or 'no model that is asked for'}"


def _access(site: Site) -> ModelAccess:
    from airflow_provider_drivepipe.stages.graph import ModelAccess

    key = site.hook.oss_settings.require_oss().access_key
    return ModelAccess(site.hook.settings.require_model_project(), key)


def _picture(site: Site) -> str:
    return f"{site.hook.oss_root(site.bucket or '')}/{site.object}"


def _model_of(site: Site, stage: str) -> str:
    model = (site.models or {}).get(stage)
    if model is None:
        raise NotChecked(f"no model is named for stage {stage}")
    return model


def _generate(site: Site) -> str:
    from airflow_provider_drivepipe.pipelines import probes

    model = _model_of(site, "label")
    response = _run(site, lambda rows: probes.answer(rows, _picture(site), model, _access(site)))
    return f"{model} answers {answer_text(response)[:_SHOWN]!r}"


def _embed(site: Site) -> str:
    from airflow_provider_drivepipe.pipelines import probes

    model = _model_of(site, "image_embedding")
    vector = embedding_vector(
        _run(site, lambda rows: probes.vector(rows, _picture(site), model, _access(site)))
    )
    if not isinstance(vector, list):
        raise RemoteJobError(f"{vector.reason}: {vector.message}")
    return f"{model} gives {len(vector)} numbers"


_KEY_READS_OSS = (
    "the key pair of OSS must be allowed oss:GetObject, since the model service fetches pictures with it"
)

CHECKS = (
    Check("Python", _python, "run Airflow's workers on the Python of DPE, or set 'dpe_python_version'"),
    Check(
        "project",
        _project,
        "endpoint, project and key pair must belong together, and the key's user be a member of the project "
        "(ADD USER RAM$<account>:<user>)",
    ),
    Check(
        "SQL",
        _sql,
        "GRANT CreateInstance ON PROJECT <project> TO USER <user>; check 'quota_name'",
        needs=("project",),
    ),
    Check("table", _table, "GRANT CreateTable, List ON PROJECT <project> TO USER <user>", needs=("SQL",)),
    Check(
        "tunnel",
        _tunnel,
        "the owner of a table may use the tunnel: look for a policy or an IP allowlist of the project, and "
        "whether this machine reaches the tunnel's endpoint",
        needs=("table",),
    ),
    Check(
        "OSS",
        _bucket,
        "a RAM policy that allows oss:ListObjects on the bucket (and oss:ListBuckets, to find buckets); "
        "endpoint and region must be those of the bucket",
    ),
    Check(
        "OSS write",
        _put,
        "a RAM policy that allows oss:PutObject, oss:GetObject and oss:DeleteObject in the bucket",
        needs=("OSS",),
        in_test=False,
    ),
    Check(
        "session",
        _session,
        "MaxFrame must be offered in the project's region, and the user be allowed CreateInstance",
        needs=("tunnel", "Python"),
    ),
    Check(
        "DPE function",
        _function,
        "the project needs a quota that runs MaxFrame's DPE engine; check 'quota_name'",
        needs=("session",),
        in_test=False,
    ),
    Check(
        "role",
        _mount,
        "the RAM role in 'oss_role_arn' must trust the service odps.aliyuncs.com and allow oss:ListObjects, "
        "oss:GetObject, oss:PutObject and oss:DeleteObject in the bucket; mounting OSS must be enabled "
        "for the project",
        needs=("session", "OSS"),
    ),
    Check(
        "frame engine",
        _engine,
        "workers must be able to install av and Pillow: a network link to a package index, or an image that "
        "has them",
        needs=("DPE function",),
        in_test=False,
    ),
    Check(
        "models",
        _models,
        "'model_project' must name a project with models that the user may read (Alibaba Cloud's own: "
        "bigdata_public_modelset)",
        needs=("project",),
    ),
    Check(
        "generate",
        _generate,
        f"AI functions must be enabled for the project and its quota; {_KEY_READS_OSS}",
        needs=("session", "models", "OSS write"),
        in_test=False,
    ),
    Check(
        "embed",
        _embed,
        f"AI functions must be enabled for the project and its quota; {_KEY_READS_OSS}",
        needs=("session", "models", "OSS write"),
        in_test=False,
    ),
)
"""Smallest first."""

TEST = tuple(check for check in CHECKS if check.in_test)
"""Those of the form's *Test*."""


class ConnectionHook(MaxFrameHook):
    """The hook of a connection of type ``drivepipe``, which Airflow's form can test."""

    def test_connection(self) -> tuple[bool, str]:
        """Try what a connection is for, and say of each part what was found."""
        site = Site(self)
        try:
            good, text = test_text(list(run_checks(site, TEST)), self.conn_id)
        finally:
            left = site.clean_up()
        return good and not left, "; ".join([text, *(f"not removed: {what}" for what in left)])
