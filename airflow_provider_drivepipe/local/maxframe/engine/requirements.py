"""Python requirements of functions, checked against what the engine's interpreter has installed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement


def check(requirements: Iterable[str]) -> list[str]:
    """Return what is installed for each requirement, as ``name==version``.

    Raises ImportError that names every unmet requirement, ValueError for one that cannot be read.
    """
    found, unmet = [], []
    for requirement in _parsed(requirements):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            unmet.append(f"{requirement} (not installed)")
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            found.append(f"{requirement.name}=={installed}")
        else:
            unmet.append(f"{requirement} (installed: {installed})")
    if unmet:
        raise ImportError(
            f"Python requirements are not met by the local engine: {', '.join(unmet)}. "
            "Install them into the environment that runs the local cloud's engine."
        )
    return found


def _parsed(requirements: Iterable[str]) -> list[Requirement]:
    parsed = []
    for text in requirements:
        try:
            parsed.append(Requirement(text))
        except InvalidRequirement:
            # One argument may hold several requirements, as on a command line.
            try:
                parsed += [Requirement(part) for part in shlex.split(text)]
            except InvalidRequirement as error:
                raise ValueError(f"not a Python requirement: {text!r} ({error})") from error
    return parsed
