"""Python requirements of functions: which of them this interpreter meets, and what the others are."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement


def split(requirements: Iterable[Requirement]) -> tuple[list[str], list[str]]:
    """Return what is installed, as ``name==version``, and the requirements that are not met."""
    found, unmet = [], []
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            unmet.append(str(requirement))
            continue
        # Extras and locations are for pip to judge.
        if requirement.specifier.contains(installed, prereleases=True) and not requirement.url:
            found.append(f"{requirement.name}=={installed}")
        else:
            unmet.append(str(requirement))
    return found, unmet


def parse(requirements: Iterable[str]) -> list[Requirement]:
    """Return requirements one by one; ValueError for one that cannot be read, such as an option of pip."""
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
