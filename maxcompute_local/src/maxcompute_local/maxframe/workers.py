"""The Python of MaxFrame workers: this installation, with pandas of the generation that MaxCompute runs."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maxcompute_local.errors import LocalCloudError
from maxcompute_local.maxframe.engine import environments
from maxcompute_local.maxframe.engine import requirements as requirements_of

logger = logging.getLogger(__name__)

PANDAS = "pandas<3"
"""What workers have unless they are told otherwise."""

_KEEP_UNUSED_SECONDS = 30 * 86400.0


@dataclass(frozen=True)
class Worker:
    """An interpreter that runs DAGs, and the Python requirements that it was chosen for."""

    python: Path
    requirements: tuple[str, ...] = ()


def prepare(requirements: Sequence[str] | None) -> Worker:
    """Return a worker that meets Python requirements, after building an environment for it where needed.

    Environments are shared by all local clouds of a user: they lie in ``$XDG_CACHE_HOME/maxcompute-local``,
    by default in ``~/.cache/maxcompute-local``. Those that were not used for 30 days are deleted.

    :param requirements: None for :data:`PANDAS`; where that cannot be installed, the worker has the pandas
        of this installation, and a warning says so.

    Raises LocalCloudError with pip's message when requirements that were given cannot be installed.
    """
    if requirements is not None:
        return Worker(_interpreter(requirements), tuple(requirements))
    try:
        return Worker(_interpreter([PANDAS]), (PANDAS,))
    except (LocalCloudError, OSError) as error:
        logger.warning(
            "MaxFrame workers have the pandas installed here, not %s as MaxCompute has: %s", PANDAS, error
        )
        return Worker(Path(sys.executable))


def _interpreter(wanted: Sequence[str]) -> Path:
    try:
        _, unmet = requirements_of.split(requirements_of.parse(wanted))
        if not unmet:
            return Path(sys.executable)
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "maxcompute-local")
        folder.mkdir(parents=True, exist_ok=True)
        python = environments.interpreter(
            folder / "environments",
            wanted,
            environment=os.environ,
            say=lambda text: logger.warning("MaxFrame workers: %s", text),
            log=logger.debug,
        )
    except (ImportError, ValueError) as error:
        raise LocalCloudError(str(error)) from error
    environments.purge(folder / "environments", time.time() - _KEEP_UNUSED_SECONDS, keep=python)
    return python
