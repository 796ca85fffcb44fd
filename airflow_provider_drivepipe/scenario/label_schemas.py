"""Built-in label schemas: JSON Schema documents that a model's answer has to fit."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

BUILT_IN = ("driving-scene/v1",)


def load_label_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema called ``name``; raise ValueError naming the known ones."""
    if name not in BUILT_IN:
        raise ValueError(f"no label schema {name!r}; built in: {', '.join(BUILT_IN)}")
    resource = name.replace("-", "_").replace("/", "_") + ".json"
    text = files("airflow_provider_drivepipe.scenario").joinpath("schemas", resource).read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
