"""What Airflow's provider discovery reads."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_drivepipe"
_INTEGRATION = "DrivePipe"


def _modules(kind: str, *names: str) -> list[dict[str, Any]]:
    return [
        {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{kind}.{name}" for name in names]}
    ]


def _text(label: str, description: str, secret: bool = False) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "null"]}
    if secret:
        schema["format"] = "password"
    return {"label": label, "description": description, "schema": schema}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's hooks, operators, sensors, triggers, extra links and its connection type."""
    return {
        "package-name": "airflow-provider-drivepipe",
        "name": "DrivePipe",
        "description": "Driving-video pipelines on Alibaba Cloud OSS, MaxCompute and MaxFrame.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.alibabacloud.com/help/en/maxcompute/",
                "tags": ["service"],
            }
        ],
        "operators": _modules(
            "operators",
            "dataset_export",
            "frame_extract",
            "frame_search",
            "generate",
            "image_prepare",
            "keyframe_expand",
            "label",
            "oss_manifest",
            "qa_export",
            "qa_metrics",
            "stage",
        ),
        "hooks": _modules("hooks", "checks", "drivepipe", "maxframe"),
        "sensors": _modules("sensors", "odps_partition"),
        "triggers": _modules("triggers", "maxframe", "odps_partition"),
        "asset-uris": [
            {
                "schemes": ["odps"],
                "handler": f"{_PACKAGE}.assets.sanitize_uri",
                "to_openlineage_converter": f"{_PACKAGE}.lineage.asset_dataset",
            }
        ],
        "extra-links": [f"{_PACKAGE}.links.logview.LogViewLink", f"{_PACKAGE}.links.report.ReportLink"],
        "connection-types": [
            {
                "connection-type": "drivepipe",
                "hook-class-name": f"{_PACKAGE}.hooks.checks.ConnectionHook",
                "hook-name": "DrivePipe (OSS + MaxCompute)",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {
                        "host": "MaxCompute endpoint",
                        "login": "Access key ID",
                        "password": "Access key secret",
                    },
                    "placeholders": {"host": "https://service.cn-shanghai.maxcompute.aliyun.com/api"},
                },
                "conn-fields": {
                    "project": _text("MaxCompute project", "Project that jobs run in and tables live in"),
                    "region": _text("Region", "For example cn-shanghai; turns on V4 signatures"),
                    "security_token": _text("STS token", "Only with temporary access keys", secret=True),
                    "oss_endpoint": _text("OSS endpoint", "For example oss-cn-shanghai.aliyuncs.com"),
                    "oss_region": _text("OSS region", "Defaults to the region above"),
                    "oss_access_key_id": _text(
                        "OSS access key ID", "Only where OSS has an access key of its own"
                    ),
                    "oss_access_key_secret": _text(
                        "OSS access key secret", "Goes with the OSS access key ID", secret=True
                    ),
                    "oss_role_arn": _text(
                        "OSS role ARN",
                        "RAM role that MaxFrame mounts OSS with, acs:ram::…:role/…",
                    ),
                    "model_project": _text(
                        "Model project", "Project that holds the models, e.g. bigdata_public_modelset"
                    ),
                    "quota_name": _text("Quota name", "MaxCompute quota of SQL and MaxFrame jobs"),
                    "inference_quota": _text(
                        "Inference quota", "Quota that AI functions run in; empty for the service's own"
                    ),
                    "dpe_python_version": _text(
                        "DPE Python version", "Minor version of the DPE image, 3.11 unless you use your own"
                    ),
                },
            }
        ],
    }
