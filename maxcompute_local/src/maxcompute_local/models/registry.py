"""Which models there are, where, and who answers for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxcompute_local.models.backend import MODEL_NOT_FOUND, Backend, ModelError
from maxcompute_local.models.catalog import (
    PUBLIC_PROJECT,
    Model,
    Task,
    builtin_models,
    load_models,
)

DEFAULT_SCHEMA = "default"
"""Schema that holds the models of every project."""


class ModelRegistry:
    """The models of all projects. Later definitions of a name in a project replace earlier ones."""

    def __init__(
        self, default_project: str, root: Path | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Offer the built-in models, then those of ``<root>/models.json`` if that file is there.

        Raises ModelConfigError when the file has mistakes.
        """
        self._default_project = default_project
        self._models: dict[tuple[str, str], Model] = {}
        self._lock = threading.Lock()
        for model in builtin_models():
            self._add(model)
        if root is not None and (root / "models.json").is_file():
            for model in load_models(root / "models.json", environ):
                self._add(model)

    def register(
        self, name: str, task: Task | str, backend: Backend, project: str | None = None, card: str = ""
    ) -> None:
        """Add a model or replace it; without ``project``, in the public and in the default project."""
        self._add(Model(name, Task(task), backend, card, project))

    def list_models(self, project: str, schema: str = DEFAULT_SCHEMA) -> list[dict[str, Any]]:
        """Return the catalog entries of a project's schema, sorted by name."""
        if schema != DEFAULT_SCHEMA:
            return []
        with self._lock:
            models = [
                model for (owner, _), model in self._models.items() if owner == project and model.in_catalog
            ]
        return [model.to_catalog() for model in sorted(models, key=lambda model: model.name)]

    def get_model(self, project: str, schema: str, name: str) -> dict[str, Any] | None:
        """Return one catalog entry, None when there is no such model."""
        if schema != DEFAULT_SCHEMA:
            return None
        with self._lock:
            model = self._models.get((project, name))
        return model.to_catalog() if model and model.in_catalog else None

    def find(self, name: str, project: str | None = None) -> Model:
        """Return a model; without ``project``, the default project is asked before the public one.

        Raises ModelError (404) when there is none.
        """
        projects = (project,) if project else (self._default_project, PUBLIC_PROJECT)
        with self._lock:
            for owner in projects:
                if (owner, name) in self._models:
                    return self._models[owner, name]
        raise ModelError(404, MODEL_NOT_FOUND, f"no model {name!r} in project {' or '.join(projects)}")

    def backend(self, name: str, project: str | None = None) -> Backend:
        """Return who answers for a model; see ``find``."""
        return self.find(name, project).backend

    def _add(self, model: Model) -> None:
        owners = (model.project,) if model.project else (PUBLIC_PROJECT, self._default_project)
        with self._lock:
            for owner in owners:
                self._models[owner, model.name] = model
