"""When a failed try is worth another one."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from airflow_provider_drivepipe.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DataGateError,
    EmptyInputError,
    PartitionShrinksError,
    QuotaError,
    TransientError,
    UnbalancedBooksError,
)

_USELESS = {
    ConfigurationError: "a retry cannot mend the scenario, the connection or a table",
    AuthenticationError: "a retry cannot mend the access key or the role",
    UnbalancedBooksError: "rows went missing; look before anything is paid again",
    PartitionShrinksError: "the input lost rows, or the run may say allow_shrink",
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
