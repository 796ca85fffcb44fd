"""The connection form: requests as Airflow's UI sends them, recorded in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.system.conftest import System

NAME = "made_in_the_form"
NULLS = ("security_token", "oss_access_key_id", "oss_access_key_secret", "quota_name")


@pytest.fixture
def saved(system: System) -> Iterator[dict[str, str]]:
    """Save a connection to the local cloud as the form does; return the fields that the list then knows."""
    connection = json.loads(system.cloud.connection)
    fields = {
        "conn_type": connection["conn_type"],
        "connection_id": NAME,
        "extra": json.dumps({**connection["extra"], **dict.fromkeys(NULLS)}),
        "host": connection["host"],
        "login": connection["login"],
    }
    system.api.call("POST", "/connections", {**fields, "password": connection["password"]})
    yield fields
    system.api.call("DELETE", f"/connections/{NAME}")


def test_a_saved_connection_is_tested_from_the_list(system: System, saved: dict[str, str]) -> None:
    # The list has neither the secret nor a port: it sends asterisks and 0.
    request = {**saved, "description": "", "password": "***", "port": 0, "schema": ""}
    answer = system.api.call("POST", "/connections/test", request)
    assert answer["status"], answer["message"]
    for part in ("project: ok", "tunnel: ok", "OSS: ok", "role: ok", "models: ok"):
        assert part in answer["message"]
    assert json.loads(system.cloud.connection)["password"] not in answer["message"]
    # A secret of one's own is not replaced by the stored one.
    answer = system.api.call("POST", "/connections/test", {**request, "password": "not-the-secret"})
    assert not answer["status"]
    assert "project: FAILED" in answer["message"]
