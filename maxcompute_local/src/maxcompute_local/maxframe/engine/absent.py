"""Packages that a DPE worker does not have: importing them fails here too."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ABSENT = re.compile(r"airflow|airflow_provider_\w+|maxcompute_local")
"""Airflow, what is made for it, and the local cloud."""


class AbsentPackages(MetaPathFinder):
    """Refuses to import :data:`ABSENT` and says how to ship a function that needs them."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  (signature of MetaPathFinder)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Raise ImportError for an absent package; leave all others to the next finder."""
        package = fullname.partition(".")[0]
        if not ABSENT.fullmatch(package):
            return None
        raise ImportError(
            f"cannot import {fullname!r}: a DPE worker does not have this package ({package}). "
            "Ship the function by value: call cloudpickle.register_pickle_by_value(<module of the function>) "
            "before the job is submitted.",
            name=fullname,
        )


def install() -> None:
    """Put the guard in front of all other finders."""
    sys.meta_path.insert(0, AbsentPackages())
