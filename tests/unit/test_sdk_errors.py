"""Errors of the SDKs become ours, without an import that costs seconds."""

import subprocess
import sys

import pytest

from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.hooks.errors import maxcompute_errors

LISTING = """
import sys
from airflow_provider_drivepipe.hooks.errors import maxcompute_errors
from airflow_provider_drivepipe.operators import OssManifestOperator
try:
    with maxcompute_errors("c", "e"):
        raise KeyError("somebody's own")
except KeyError:
    print("maxframe" in sys.modules)
"""


def test_the_listing_does_without_maxframe():
    command = [sys.executable, "-W", "ignore", "-c", LISTING]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert out.splitlines()[-1] == "False"


def test_a_session_that_does_not_answer_is_worth_another_try():
    from maxframe.errors import NoTaskServerResponseError, SessionAlreadyClosedError

    for error in (SessionAlreadyClosedError("s1"), NoTaskServerResponseError("late")):
        with (
            pytest.raises(TransientError, match="does not answer"),
            maxcompute_errors("drivepipe_default", "http://odps"),
        ):
            raise error
