"""What every graph needs from outside: the pyodps entry, and access to models and what they see."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_drivepipe.stages.stage import KeyPair


@dataclass(frozen=True)
class ModelAccess:
    """Where models come from, and the key pair with which the model service reads media from OSS.

    :param oss_key: needed only for media that are OSS URIs.
    """

    project: str
    oss_key: KeyPair | None = None

    def storage_options(self) -> dict[str, str]:
        """Return what a content part needs: the service cannot use the caller's role."""
        if self.oss_key is None:
            raise ValueError("no key pair to read media with")
        return {"access_key_id": self.oss_key.id, "access_key_secret": self.oss_key.secret}


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


def who_answers(odps: Any, project: str, models: Mapping[str, str]) -> dict[str, str]:
    """Return for each stage what its answers come from: its model, or what its catalog says stands in for it.

    A model card says so in its option ``answeredBy``.
    """
    found = {}
    with graph_building(odps):
        for stage, name in models.items():
            model = odps.get_model(name, project)
            model.reload()
            found[stage] = str((model.options or {}).get("answeredBy", name))
    return found


def declared_dtypes(dtypes: Mapping[str, Any]) -> Any:
    """Return column dtypes as MaxFrame's ``dtypes=`` wants them: a Series of pandas dtype objects."""
    import pandas as pd

    return pd.Series({name: pd.api.types.pandas_dtype(dtype) for name, dtype in dtypes.items()})
