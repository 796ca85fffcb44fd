"""SQL instances of a run that has nothing to do; baseline: the first run of the same partition."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators import MaxFrameStageOperator
from airflow_provider_drivepipe.stages.content import TextColumn
from airflow_provider_drivepipe.stages.embed import Embed
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run

ROWS = 100


def instances(cloud: LocalCloud, run_id: str) -> int:
    """Run the task; return how many SQL instances it took, those of sessions and of jobs' sinks left out."""
    operator = MaxFrameStageOperator(
        task_id="vectors",
        source_table="notes",
        output_table="vectors",
        unit_key="id",
        stages=(Embed("vector", "text-embedding-v4", TextColumn("note"), dimension=8),),
        deferrable=False,
    )
    with cloud.control.counting() as counted:
        Run(run_id=run_id).execute(operator)
    others = sum(counted.get(f"maxframe.{kind}", 0) for kind in ("create_session", "submit_dag"))
    return counted["odps.create_instance"] - others


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cloud = LocalCloud(Path(folder), odps_port=0, oss_port=0).start()
        try:
            os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] = connection_json(cloud.settings)
            hook = MaxFrameHook()
            hook.execute_sql("CREATE TABLE notes (id STRING, note STRING) PARTITIONED BY (ds STRING)")
            values = ", ".join(f"('{n}', 'note {n}')" for n in range(ROWS))
            hook.execute_sql(f"INSERT INTO TABLE notes PARTITION (ds='20261120') VALUES {values}")
            first, again = instances(cloud, "first"), instances(cloud, "again")
        finally:
            cloud.stop()
    figures = {"ratio": round(first / again, 2), "ours": again, "baseline": first, "unit": "SQL instances"}
    print(json.dumps({"name": "rerun_statements", **figures}))


if __name__ == "__main__":
    main()
