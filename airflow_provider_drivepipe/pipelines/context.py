"""What every graph needs from outside: the pyodps entry, the OSS mount and the model service's access."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_drivepipe.contracts import Stage

PYAV_REQUIREMENT = "av>=16,<19"
PILLOW_REQUIREMENT = "Pillow>=11"
"""Requirements of the frame engine: DPE's stock image has no ffmpeg, PyAV's wheel bundles its libraries."""


@dataclass(frozen=True)
class MountOptions:
    """How workers see OSS: ``root`` (a full OSS URI) appears at ``path``, opened with a RAM role."""

    root: str
    path: str
    role_arn: str


@dataclass(frozen=True)
class ModelAccess:
    """Where models come from, and how the model service gets at images: which column, which key pair for OSS.

    :param image_column: holds an OSS URI, or with ``inline`` a JPEG in Base64.
    """

    project: str
    oss_access_key_id: str
    oss_access_key_secret: str = field(repr=False)
    image_column: str = "image_url"
    inline: bool = False

    def storage_options(self) -> dict[str, str]:
        """Return what ``ContentPart.image`` needs: the service cannot use the caller's role."""
        return {
            "access_key_id": self.oss_access_key_id,
            "access_key_secret": self.oss_access_key_secret,
        }


@contextmanager
def graph_building(odps: Any) -> Iterator[None]:
    """Make ``odps`` the entry that MaxFrame's functions without an entry argument use.

    ``md.to_odps_table`` has none, and looks the target table up while the graph is built. The catalog
    endpoint has to be set before a model is loaded.
    """
    from maxframe.dataframe.type_infer import TypeInferWarning
    from odps import options
    from odps.config import option_context

    with option_context(), warnings.catch_warnings():
        # Rows keep their index through our functions, which is what MaxFrame warns that it assumes.
        warnings.simplefilter("ignore", TypeInferWarning)
        options.catalog.endpoint = f"http://{odps.get_catalog_host()}"
        odps.to_global()
        yield


def who_answers(odps: Any, project: str, models: Mapping[Stage, str]) -> dict[str, str]:
    """Return for each stage what its answers come from: its model, or what its catalog says stands in for it.

    A model card says so in its option ``answeredBy``.
    """
    found = {}
    with graph_building(odps):
        for stage, name in models.items():
            model = odps.get_model(name, project)
            model.reload()
            found[str(stage)] = str((model.options or {}).get("answeredBy", name))
    return found


def declared_dtypes(dtypes: Mapping[str, Any]) -> Any:
    """Return column dtypes as MaxFrame's ``dtypes=`` wants them: a Series of pandas dtype objects."""
    import pandas as pd

    return pd.Series({name: pd.api.types.pandas_dtype(dtype) for name, dtype in dtypes.items()})
