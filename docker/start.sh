#!/usr/bin/env bash
# Runs Airflow's four processes; the container ends when one of them does.
set -euo pipefail
export AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags
eval "$(drivepipe local env --root "$DRIVEPIPE_LOCAL_ROOT")"
airflow api-server --host 0.0.0.0 --port 8080 --workers 1 &
airflow scheduler --skip-serve-logs &
airflow dag-processor &
airflow triggerer --skip-serve-logs &
wait -n
