"""``drivepipe doctor`` and the connection's Test against the local cloud, healthy and with faults."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.checks import (
    CHECKS,
    NAME,
    ConnectionHook,
    Outcome,
    Site,
    State,
    run_checks,
)
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from maxcompute_local.server import LocalCloud
from maxcompute_local.settings import ROLE_ARN
from tests.integration.operator_context import Run

MODELS = {"label": "qwen3-vl-plus", "image_embedding": "qwen3-vl-embedding"}


@pytest.fixture
def faults(local_cloud: LocalCloud) -> Iterator[Any]:
    yield local_cloud.control.faults
    local_cloud.control.faults.clear()


@pytest.fixture
def connect(local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets the connection to the local cloud, with changes, and gives its hook."""

    def connect(password: str | None = None, **extra: str | None) -> ConnectionHook:
        values = json.loads(connection_json(local_cloud.settings))
        values["password"] = password or values["password"]
        values["extra"].update(extra)
        monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", json.dumps(values))
        return ConnectionHook()

    return connect


def left_behind(hook: ConnectionHook, bucket: str | None = None) -> list[str]:
    """Return what checks have made and not removed."""
    left = [*hook.list_tables(NAME), *(s.session_id for s in hook.list_sessions() if s.tags.dag_id == NAME)]
    if bucket is not None:
        found = hook.oss.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents or []
        left += [item.key for item in found]
    return left


def outcomes_of(hook: ConnectionHook, bucket: str, names: set[str] | None = None) -> dict[str, Outcome]:
    site = Site(hook, bucket, MODELS)
    chosen = [check for check in CHECKS if names is None or check.name in names]
    found = {outcome.check.name: outcome for outcome in run_checks(site, chosen)}
    assert site.clean_up() == []
    return found


def states(found: dict[str, Outcome], state: State) -> set[str]:
    return {name for name, outcome in found.items() if outcome.state is state}


def test_doctor_tries_everything_and_leaves_nothing(
    airflow_connection: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--conn-id", airflow_connection, "--bucket", bucket]) == 0
    said = capsys.readouterr().out
    for check in CHECKS:
        assert f"\n{check.name} " in said
    assert f"{len(CHECKS)} ok, 0 failed, 0 not checked" in said
    assert "291 bytes read and written" in said
    assert "qwen3-vl-embedding gives 256 numbers" in said
    assert "0 tokens" not in said
    assert left_behind(ConnectionHook(), bucket) == []


def test_the_form_says_what_it_did_not_try(connect: Any, bucket: str) -> None:
    hook = connect()
    good, said = hook.test_connection()
    assert good, said
    assert f"role: ok, {ROLE_ARN} mounts oss://" in said
    left = "OSS write, DPE function, frame engine, generate, embed"
    assert f"not checked here, but by 'drivepipe doctor': {left}" in said
    assert left_behind(hook) == []
    hook = connect(oss_endpoint=None, model_project=None)
    good, said = hook.test_connection()
    assert good, said
    assert "OSS: not checked, the connection has no OSS endpoint" in said
    assert "role: not checked, needs OSS" in said
    assert "models: not checked, the connection has no model_project" in said


def test_a_wrong_secret_is_seen(connect: Any) -> None:
    hook = connect(password="not-the-secret")
    good, said = hook.test_connection()
    assert not good
    assert said.startswith("project: FAILED, this connection, MaxCompute endpoint")
    assert "OSS: FAILED" in said
    assert "SQL: not checked, needs project" in said


def test_a_wrong_secret_of_oss_alone_is_seen(connect: Any, local_cloud: LocalCloud) -> None:
    hook = connect(oss_access_key_id=local_cloud.access_key_id, oss_access_key_secret="not-the-secret")
    found = outcomes_of(hook, "any", {"project", "OSS"})
    assert (states(found, State.OK), states(found, State.FAILED)) == ({"project"}, {"OSS"})


@pytest.mark.parametrize(
    ("calls", "failed", "mend"),
    [
        ("odps.sql.create", {"table"}, "GRANT CreateTable"),
        ("oss.PutObject", {"OSS write"}, "oss:PutObject"),
        ("maxframe.create_session", {"session"}, "MaxFrame"),
    ],
)
def test_what_is_forbidden_fails_and_the_rest_goes_on(
    connect: Any, bucket: str, faults: Any, calls: str, failed: set[str], mend: str
) -> None:
    hook = connect()
    faults.add(calls, "forbidden")
    found = outcomes_of(hook, bucket)
    faults.clear()
    assert states(found, State.FAILED) == failed
    [name] = failed
    assert mend in found[name].check.mend
    needy = {c.name for c in CHECKS if name in c.needs}
    assert needy <= states(found, State.NOT_CHECKED)
    assert {"project", "SQL", "OSS", "models"} <= states(found, State.OK)
    assert left_behind(hook, bucket) == []


def test_jobs_that_fail_are_told_apart(connect: Any, bucket: str, faults: Any) -> None:
    hook = connect(oss_role_arn="no-role")
    faults.add("model.embed", "forbidden")
    found = outcomes_of(hook, bucket)
    assert states(found, State.FAILED) == {"role", "embed"}
    assert states(found, State.NOT_CHECKED) == set()
    assert "InvalidApiKey" in found["embed"].said
    assert "cannot assume the role" in found["role"].said
    assert "odps.aliyuncs.com" in found["role"].check.mend


def test_a_missing_model_is_named_with_those_that_are_there(connect: Any, bucket: str) -> None:
    site = Site(connect(), bucket, {"label": "qwen3-vl-plsu"})
    chosen = [check for check in CHECKS if check.name in ("project", "models")]
    *_, outcome = run_checks(site, chosen)
    assert outcome.state is State.FAILED
    assert "has no model qwen3-vl-plsu; it has local-" in outcome.said


def test_no_bucket_is_written_to_unasked(connect: Any, bucket: str, oss_client: oss.Client) -> None:
    oss_client.put_bucket(oss.PutBucketRequest(bucket=f"{bucket}-2"))
    site = Site(connect())
    found = {o.check.name: o for o in run_checks(site, [c for c in CHECKS if c.name.startswith("OSS")])}
    assert found["OSS write"].state is State.NOT_CHECKED
    assert "--bucket" in found["OSS write"].said


def test_doctor_fails_when_a_check_does(
    connect: Any, faults: Any, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connect()
    faults.add("odps.get_project", "forbidden")
    assert main(["doctor", "--bucket", bucket]) == 1
    said = capsys.readouterr().out
    assert "to mend it: endpoint, project and key pair must belong together" in said
    assert "OSS write     ok" in said


def test_an_interrupted_doctor_leaves_nothing(airflow_connection: str, bucket: str, tmp_path: Path) -> None:
    hook = ConnectionHook(airflow_connection)
    command = [sys.executable, "-m", "airflow_provider_drivepipe.cli.main", "doctor", "--bucket", bucket]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            deadline = time.monotonic() + 120
            # The session is there, and jobs run in it.
            while "session       ok" not in log.read_text("utf-8"):
                assert time.monotonic() < deadline, log.read_text("utf-8")
                assert process.poll() is None, log.read_text("utf-8")
                time.sleep(0.1)
            assert left_behind(hook, bucket)
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 130, log.read_text("utf-8")
        finally:
            process.kill()
            process.wait()
    assert left_behind(hook, bucket) == []


# Scenarios looked up before anything runs.


def scenario_file(folder: Path, bucket: str, **more: str) -> Path:
    name = f"s_{bucket.replace('-', '_')}"
    values = {
        "scenario_name": name,
        "input_shape": "oss_prefix",
        "targets": "[manifest, frame-extraction, labeling]",
        "video_input_table": f"{name}_manifest",
        "output_table": f"{name}_labels",
        "oss_bucket": bucket,
        "oss_prefix": "v/{ds}/",
        "vlm_model": "qwen3-vl-plus",
        **more,
    }
    path = folder / f"{name}.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items()), "utf-8")
    return path


def test_validate_online_looks_up_what_a_scenario_names(
    airflow_connection: str, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = scenario_file(tmp_path, bucket)
    assert main(["validate", "--online", str(good)]) == 0
    assert f"{good}: ok" in capsys.readouterr().out
    assert left_behind(ConnectionHook(airflow_connection), bucket) == []
    bad = scenario_file(tmp_path, f"{bucket}-none", vlm_model="qwen3-vl-plsu")
    assert main(["validate", str(bad)]) == 0
    capsys.readouterr()
    assert main(["validate", "--online", str(bad)]) == 1
    said = capsys.readouterr().err
    assert "OSS: connection 'drivepipe_default'" in said
    assert f"{bucket}-none" in said
    assert "role: not checked, needs OSS" in said
    assert "has no model qwen3-vl-plsu; it has" in said
    table = tmp_path / "images.yaml"
    table.write_text(
        "scenario_name: images\ninput_shape: image_table\nsource_table: no_such_table\n"
        "output_table: no_such_labels\ntargets: [labeling]\nvlm_model: qwen3-vl-plus\n",
        "utf-8",
    )
    assert main(["validate", "--online", str(table)]) == 1
    assert "tables: there is no table no_such_table to read" in capsys.readouterr().err


def test_plan_measure_says_what_is_not_there_and_looks_up_models(
    airflow_connection: str, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scenario_file(tmp_path, bucket)
    measure = ["plan", str(path), "--measure", "--partition", "20261120"]
    assert main(measure) == 1
    said = capsys.readouterr().err
    assert "has no rows in ds=20261120, or is not there" in said
    assert "or --partition VALUE --measure" not in said
    scenario_file(tmp_path, bucket, vlm_model="qwen3-vl-plsu")
    assert main(measure) == 1
    assert "has no model qwen3-vl-plsu" in capsys.readouterr().err


def test_a_wrong_model_fails_before_the_manifest_is_listed(
    airflow_connection: str, bucket: str, tmp_path: Path
) -> None:
    dag = build_dag(load_scenario(scenario_file(tmp_path, bucket, vlm_model="qwen3-vl-plsu")))
    manifest = dag.get_task("manifest")
    with pytest.raises(ConfigurationError, match="has no model qwen3-vl-plsu; it has"):
        Run().execute(manifest)
    assert ConnectionHook(airflow_connection).table_comment(manifest.output_table) is None
