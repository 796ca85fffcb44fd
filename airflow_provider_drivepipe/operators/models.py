"""What the operators that call models share: access to the models, and how answers become rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook

if TYPE_CHECKING:
    from airflow_provider_drivepipe.pipelines.context import ModelAccess


def model_access(hook: MaxFrameHook) -> ModelAccess:
    """Return the model project and the key pair with which the model service reads images."""
    from airflow_provider_drivepipe.pipelines.context import ModelAccess

    key = hook.oss_settings.require_oss().access_key
    return ModelAccess(hook.settings.require_model_project(), key.id, key.secret)
