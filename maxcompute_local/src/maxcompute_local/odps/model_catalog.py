"""The catalog interface, as far as models go."""

from __future__ import annotations

from typing import Any, Protocol

from starlette.responses import JSONResponse, Response

from maxcompute_local.odps.catalog import DEFAULT_SCHEMA
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.stats import Stats


class ModelSource(Protocol):
    """Where models come from; descriptions are as the catalog interface shows them."""

    def list_models(self, project: str, schema: str) -> list[dict[str, Any]]:
        """Return the models of a schema."""
        ...

    def get_model(self, project: str, schema: str, name: str) -> dict[str, Any] | None:
        """Return one model, or None."""
        ...


class ModelCatalog:
    """Answers the calls below ``/api/catalog/v1alpha``."""

    def __init__(self, models: ModelSource, stats: Stats) -> None:
        self._models = models
        self._stats = stats

    def has_project(self, project: str) -> bool:
        """Return whether a project has models in its default schema."""
        return bool(self._models.list_models(project, DEFAULT_SCHEMA))

    def handle(self, segments: list[str]) -> Response:
        """Answer a GET; NotFound for everything that is not there."""
        match segments:
            case ["projects", project, "schemas", schema, "models"]:
                self._stats.count("odps.catalog.list_models")
                return _listing(self._models.list_models(project, schema))
            case ["projects", project, "schemas", schema, "models", name] if name.endswith(":listVersions"):
                self._stats.count("odps.catalog.list_model_versions")
                return _listing([self._model(project, schema, name.removesuffix(":listVersions"))])
            case ["projects", project, "schemas", schema, "models", name]:
                self._stats.count("odps.catalog.get_model")
                # A version may follow the name; there is one of each model.
                return JSONResponse(self._model(project, schema, name.partition("@")[0]))
        raise OdpsError(404, "NotFound", f"no such resource: {'/'.join(segments)}", "ODPS-0420061")

    def _model(self, project: str, schema: str, name: str) -> dict[str, Any]:
        model = self._models.get_model(project, schema, name)
        if model is None:
            raise OdpsError(
                404,
                "NotFound",
                f"model {name} not found in projects/{project}/schemas/{schema}",
                "ODPS-0420061",
            )
        return model


def _listing(models: list[dict[str, Any]]) -> Response:
    return JSONResponse({"models": models, "nextPageToken": ""})
