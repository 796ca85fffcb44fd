"""Which packages functions can import: those of a DPE worker, and what the functions declare.

The engine runs in the user's own installation, with Airflow and much else. A function that works only because
something happens to be installed there would fail in MaxCompute, so all that is not declared is hidden.
"""

from __future__ import annotations

import importlib.metadata
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import DistributionFinder
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement

from .bootstrap import BASE_FILE

WORKER_PACKAGES = ("maxframe", "pip", "setuptools", "pytest")
"""What a worker has anyway, with all that these require: pandas, numpy, pyarrow, scipy, requests, ….

pytest makes ``assert`` of a function in a test call it, though its author declared no such thing.
"""


@dataclass(frozen=True)
class _Package:
    modules: frozenset[str]
    requires: tuple[Requirement, ...]


class Packages:
    """A finder of modules that skips packages of the user's installation until they are admitted.

    What lies elsewhere is found as always: environments made for requirements, mounts on ``sys.path``.

    :param installation: the folders of the user's installation.
    :param environments: those of the environments that were made on top of it.
    """

    def __init__(self, installation: Sequence[Path], environments: Sequence[Path]) -> None:
        self._folders = {str(folder.resolve()) for folder in installation}
        asked_for = dict(_installed(environments))
        self._packages = dict(_installed(installation)) | asked_for
        self._asked_for = asked_for.keys()
        self._admitted: set[str] = set()
        self._hidden: frozenset[str] = frozenset()
        self.admit(Requirement(name) for name in WORKER_PACKAGES)

    def admit(self, requirements: Iterable[Requirement]) -> bool:
        """Let functions import what requirements name, and what those packages require themselves.

        Returns whether they can import more than before.
        """
        waiting = [(requirement.name, frozenset(requirement.extras)) for requirement in requirements]
        seen = set()
        while waiting:
            name, extras = waiting.pop()
            name = _normal(name)
            package = self._packages.get(name)
            if package is None or (name, extras) in seen:
                continue
            seen.add((name, extras))
            self._admitted.add(name)
            waiting += [
                (needed.name, frozenset(needed.extras))
                for needed in package.requires
                if needed.marker is None
                or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))
            ]
        admitted = (self._packages[name].modules for name in self._admitted | self._asked_for)
        everything = (package.modules for package in self._packages.values())
        before, self._hidden = self._hidden, frozenset().union(*everything).difference(*admitted)
        return self._hidden != before

    def package_of(self, module: str) -> str | None:
        """Return the package of a module that is installed but hidden; None for any other module."""
        top = module.partition(".")[0]
        if top not in self._hidden:
            return None
        return next(name for name, package in sorted(self._packages.items()) if top in package.modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as ``PathFinder`` does; see ``importlib.abc.MetaPathFinder``."""
        if path is None and fullname in self._hidden:
            path = [entry for entry in sys.path if str(Path(entry).resolve()) not in self._folders]
        return PathFinder.find_spec(fullname, path, target)

    def invalidate_caches(self) -> None:
        """Forget what was found; see ``importlib.abc.MetaPathFinder``."""
        PathFinder.invalidate_caches()

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        """Find what packages say of themselves; see ``importlib.metadata.DistributionFinder``."""
        return PathFinder.find_distributions(context or DistributionFinder.Context())

    @contextmanager
    def only(self) -> Iterator[None]:
        """Hide what is hidden from all imports for a while."""
        finders = list(sys.meta_path)
        self._take_over()
        try:
            yield
        finally:
            sys.meta_path[:] = finders

    def confine(self) -> None:
        """Hide what is hidden for the rest of this process, also what the engine has imported itself."""
        self._take_over()
        for name in [name for name in sys.modules if name.partition(".")[0] in self._hidden]:
            del sys.modules[name]

    def explain(self, error: BaseException) -> None:
        """Say in the error of a module that was not found how to declare its package."""
        package = self.package_of(error.name or "") if isinstance(error, ModuleNotFoundError) else None
        if package is None or not isinstance(error, ModuleNotFoundError):
            return
        error.msg = (
            f"{error.msg}. It is installed here, but a MaxFrame worker only has what its function declares: "
            f"@with_python_requirements({package!r})"
        )
        error.args = (error.msg,)

    def _take_over(self) -> None:
        sys.meta_path[:] = [self if finder is PathFinder else finder for finder in sys.meta_path]


@cache
def visible() -> Packages:
    """Return the packages of this interpreter that functions see."""
    own = Path(sysconfig.get_path("purelib"))
    if not (own / BASE_FILE).exists():
        return Packages([own, Path(sysconfig.get_path("platlib")), *map(Path, site.getsitepackages())], [])
    *between, installation = map(Path, (own / BASE_FILE).read_text(encoding="utf-8").splitlines())
    return Packages([installation], [*between, own])


def _installed(folders: Iterable[Path]) -> Iterator[tuple[str, _Package]]:
    found = importlib.metadata.distributions(path=sorted({str(folder) for folder in folders}))
    for distribution in found:
        yield (
            _normal(distribution.name),
            _Package(
                frozenset(_modules(distribution)),
                tuple(Requirement(text) for text in distribution.requires or ()),
            ),
        )


def _modules(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """Yield the names of the top-level modules of a package."""
    for file in distribution.files or ():
        top, _, rest = file.as_posix().partition("/")
        if rest and top.isidentifier():
            yield top
        elif not rest and file.suffix in (".py", ".so"):
            yield file.name.partition(".")[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
