"""The retry policy: fail fast where a retry is useless, wait where it helps."""

import pytest
from airflow.sdk import ExceptionRetryPolicy, RetryAction

from airflow_provider_drivepipe.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DataGateError,
    ItemQualityError,
    PartitionBusyError,
    QuotaError,
    RemoteJobError,
    RemoteJobTimeout,
    TransientError,
    UnbalancedCountsError,
)
from airflow_provider_drivepipe.operators.retry import drivepipe_retry_policy


@pytest.mark.parametrize(
    ("error", "action", "minutes"),
    [
        (ConfigurationError, RetryAction.FAIL, None),
        (AuthenticationError, RetryAction.FAIL, None),
        (DataGateError, RetryAction.FAIL, None),
        (ItemQualityError, RetryAction.FAIL, None),
        (UnbalancedCountsError, RetryAction.FAIL, None),
        (QuotaError, RetryAction.RETRY, 10),
        (TransientError, RetryAction.RETRY, 1),
        (PartitionBusyError, RetryAction.RETRY, 1),
        (RemoteJobError, RetryAction.DEFAULT, None),
        (RemoteJobTimeout, RetryAction.DEFAULT, None),
        (ValueError, RetryAction.DEFAULT, None),
    ],
)
def test_what_follows_an_error(error, action, minutes):
    policy = drivepipe_retry_policy()
    for same in (policy, ExceptionRetryPolicy.deserialize(policy.serialize())):
        decision = same.evaluate(error("x"), 1, 3)
        delay = decision.retry_delay
        assert (decision.action, delay.total_seconds() / 60 if delay else None) == (action, minutes)
