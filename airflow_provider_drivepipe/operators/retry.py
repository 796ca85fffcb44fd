"""When a failed try is worth another one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from airflow_provider_drivepipe.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DataGateError,
    EmptyInputError,
    ItemQualityError,
    PartitionShrinksError,
    QuotaError,
    TransientError,
    UnbalancedCountsError,
)

_USELESS = {
    ConfigurationError: "a retry cannot mend the scenario, the connection or a table",
    AuthenticationError: "a retry cannot mend the access key or the role",
    UnbalancedCountsError: "rows went missing; look before anything is paid again",
    PartitionShrinksError: "the input lost rows, or the run may say allow_shrink",
    ItemQualityError: "the items stay as they are; mend what asks for them, or leave flagged ones out",
    EmptyInputError: "the place is empty, or the scenario may say allow_empty",
    DataGateError: "the partition is published; Clear the task to work on the failed rows again",
}
_WORTH_IT = {
    QuotaError: (timedelta(minutes=10), "waiting for the quota or rate limit"),
    TransientError: (timedelta(minutes=1), "the service could not be reached"),
}


def drivepipe_retry_policy() -> ExceptionRetryPolicy:
    """Return the retry policy of this package's operators.

    Fails at once where a retry is useless, waits where it helps; anything else follows ``retries`` and
    ``retry_delay``. Pass ``retry_policy`` to an operator to decide otherwise.
    """
    rules = [
        RetryRule(exception=error, action=RetryAction.FAIL, reason=reason)
        for error, reason in _USELESS.items()
    ]
    rules += [
        RetryRule(exception=error, action=RetryAction.RETRY, retry_delay=delay, reason=reason)
        for error, (delay, reason) in _WORTH_IT.items()
    ]
    return ExceptionRetryPolicy(rules=rules)


def with_retry_policy(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operator's arguments with this package's retry policy, unless they name another.

    So does a policy in the DAG's ``default_args``, which Airflow fills in further down.
    """
    if "retry_policy" in (arguments.get("default_args") or {}):
        return dict(arguments)
    return {"retry_policy": drivepipe_retry_policy(), **arguments}
