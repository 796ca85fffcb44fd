"""Rules of keys that every family has: what is no key, what is missing, what has no effect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_provider_drivepipe.scenario.model import Scenario

NOT_YET = {
    "gpu_quota": "GPU quotas are not supported; AI functions manage their own service-side quota",
    "gpu_count": "GPU quotas are not supported; AI functions manage their own service-side quota",
    "need_oss_writeback": "frames are always written back to OSS, prepared images as prepared_images says",
    "oss_endpoint": "the endpoint comes from the Airflow connection (oss_endpoint)",
    "oss_region": "the region comes from the Airflow connection (oss_region)",
    "oss_role_arn": "the role comes from the Airflow connection (oss_role_arn)",
    "model_project": "the model project comes from the Airflow connection (model_project)",
}

_CREDENTIAL_WORDS = (
    "secret",
    "password",
    "passwd",
    "token",
    "access_key",
    "accesskey",
    "credential",
    "api_key",
)
_CREDENTIAL_NAMES = ("ak", "sk", "aksk", "dashscope_api_key")
_NOT_CREDENTIALS = ("label_max_tokens",)

Finding = tuple[str, str]
"""Key and message."""


def looks_like_credential(key: str) -> bool:
    """Whether a key seems to hold an access key, a token or a password."""
    name = key.lower().replace("-", "_")
    if name in _NOT_CREDENTIALS:
        return False
    return name in _CREDENTIAL_NAMES or any(word in name for word in _CREDENTIAL_WORDS)


def unknown_keys(keys: Sequence[str], model: type[Scenario]) -> Iterator[Finding]:
    """Yield a message for every key that is none of a family's scenarios."""
    for key in keys:
        if key in model.model_fields:
            continue
        if key in NOT_YET:
            yield key, NOT_YET[key]
        elif looks_like_credential(key):
            yield (
                key,
                (
                    "credentials do not belong into a scenario file: put them into the Airflow connection "
                    "named by conn_id, and remove them from this file"
                ),
            )
        else:
            close = get_close_matches(key, model.model_fields, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield key, f"unknown key{hint}"


def missing(key: str, model: type[Scenario]) -> str:
    """Return what to say of a key that is missing."""
    return f"missing: {model.model_fields[key].description}; for example {key}: {model.uses()[key].example}"


def needed_keys(
    values: Mapping[str, Any], targets: Collection[str], model: type[Scenario]
) -> Iterator[Finding]:
    """Yield a message for every key that is missing and that a target needs."""
    for key, use in model.uses().items():
        if use.needed and use.target in targets and not values.get(key):
            yield key, missing(key, model)


def useless_keys(
    values: Mapping[str, Any], shape: str, targets: Collection[str], model: type[Scenario]
) -> Iterator[Finding]:
    """Yield a message for every key that has no effect; where shape or targets are not known, they decide
    nothing."""
    for key, use in model.uses().items():
        if use.target and targets and use.target not in targets and values.get(key) is not None:
            yield (
                key,
                f"has no effect without the target {use.target}: add the target, or remove the key",
            )
        if use.shape and shape and use.shape != shape and key in values:
            yield key, f"has no effect with input_shape {shape}: use {use.shape}, or remove the key"
