"""Connections are read whole, in all three types, and never show their secrets."""

import pytest
from airflow.sdk import Connection

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.get_provider_info import get_provider_info
from airflow_provider_drivepipe.hooks.connection import read_settings
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook, check_python, user_agent

SECRET = "s3cr3t-value"


def drivepipe(**extra) -> Connection:
    import json

    return Connection(
        conn_id="c",
        conn_type="drivepipe",
        host="https://service.cn-x.maxcompute.aliyun.com/api",
        login="ak",
        password=SECRET,
        extra=json.dumps({"project": "p", **extra}),
    )


def test_drivepipe_connection_is_read_whole():
    settings = read_settings(
        drivepipe(
            region="cn-x",
            oss_endpoint="https://oss-cn-x.aliyuncs.com",
            oss_role_arn="acs:ram::1:role/r",
            model_project="m",
            quota_name="q",
            inference_quota="iq",
            security_token="t",
        )
    )
    mc = settings.require_maxcompute()
    assert (mc.project, mc.region, mc.quota_name, mc.access_key.security_token) == ("p", "cn-x", "q", "t")
    assert mc.inference_quota == "iq"
    oss = settings.require_oss()
    assert (oss.netloc, oss.region, oss.access_key.id) == ("oss-cn-x.aliyuncs.com", "cn-x", "ak")
    assert settings.require_role_arn() == "acs:ram::1:role/r"
    assert settings.require_model_project() == "m"


def test_separate_oss_key_pair_wins():
    oss = read_settings(
        drivepipe(
            oss_endpoint="127.0.0.1:9", oss_region="r", oss_access_key_id="o", oss_access_key_secret="x"
        )
    ).require_oss()
    assert (oss.access_key.id, oss.access_key.secret, oss.netloc) == ("o", "x", "127.0.0.1:9")


@pytest.mark.parametrize(
    ("endpoint", "places"),
    [
        ("127.0.0.1:9", ("127.0.0.1:9",)),
        ("http://oss.example.org", ("oss.example.org",)),
        ("oss-cn-x.aliyuncs.com", ("oss-cn-x.aliyuncs.com", "oss-cn-x-internal.aliyuncs.com")),
        (
            "https://oss-cn-x-internal.aliyuncs.com",
            ("oss-cn-x.aliyuncs.com", "oss-cn-x-internal.aliyuncs.com"),
        ),
    ],
)
def test_an_image_may_be_named_by_the_public_and_the_internal_endpoint(endpoint, places):
    assert read_settings(drivepipe(oss_endpoint=endpoint, oss_region="r")).require_oss().netlocs == places


def test_secrets_do_not_show():
    settings = read_settings(drivepipe(oss_endpoint="e", oss_region="r", security_token="token-value"))
    assert SECRET not in repr(settings)
    assert "token-value" not in repr(settings)


def test_alibaba_providers_connections_are_read():
    mc = Connection(
        conn_id="m",
        conn_type="maxcompute",
        extra='{"access_key_id": "i", "access_key_secret": "s", "project": "p", "endpoint": "http://e"}',
    )
    assert read_settings(mc).require_maxcompute().endpoint == "http://e"
    oss = Connection(
        conn_id="o",
        conn_type="oss",
        extra='{"auth_type": "AK", "access_key_id": "i", "access_key_secret": "s", "region": "cn-hangzhou"}',
    )
    assert read_settings(oss).require_oss().netloc == "oss-cn-hangzhou.aliyuncs.com"


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("require_oss", "oss_endpoint"),
        ("require_role_arn", "oss_endpoint"),
        ("require_model_project", "model_project"),
    ],
)
def test_missing_part_says_what_to_set(part, named):
    with pytest.raises(ConfigurationError, match=named):
        getattr(read_settings(drivepipe()), part)()


def test_missing_keys_are_named_together():
    with pytest.raises(ConfigurationError, match="login, password"):
        read_settings(Connection(conn_id="c", conn_type="drivepipe", host="h"))


def test_other_connection_type_is_refused():
    with pytest.raises(ConfigurationError, match="type 'http'"):
        read_settings(Connection(conn_id="c", conn_type="http"))


def test_python_version_mismatch_says_what_to_do():
    with pytest.raises(ConfigurationError, match=r"DPE workers run 2\.7"):
        check_python(read_settings(drivepipe(dpe_python_version="2.7")))


def test_user_agent_is_stable_per_run_and_differs_between_runs():
    assert user_agent("d/r1") == user_agent("d/r1") != user_agent("d/r2")
    prefix, _, rest = user_agent("d/r1").partition("video-frame-pipeline/")
    assert prefix == "AlibabaCloud-Agent-Skills/alibabacloud-maxframe-"
    assert len(rest.split()[0]) == 32


def test_every_field_that_is_read_can_be_typed_in_the_form():
    [connection_type] = get_provider_info()["connection-types"]
    assert connection_type["connection-type"] == DrivepipeHook.conn_type
    assert set(connection_type["conn-fields"]) == {
        "project",
        "region",
        "security_token",
        "oss_endpoint",
        "oss_region",
        "oss_access_key_id",
        "oss_access_key_secret",
        "oss_role_arn",
        "model_project",
        "quota_name",
        "inference_quota",
        "dpe_python_version",
    }


def test_provider_info_names_modules_that_exist():
    import importlib

    info = get_provider_info()
    for kind in ("operators", "hooks", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for link in info["extra-links"]:
        module, _, name = link.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("given", ["3.12", "python3.12"])
def test_python_version_is_read_with_and_without_its_name(given):
    assert read_settings(drivepipe(dpe_python_version=given)).dpe_python_version == "3.12"
