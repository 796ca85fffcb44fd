"""Points the tests in the maxframe wheel at the local cloud, and expects those that are out of scope to fail.

A pytest plugin for a process of its own (see test_maxframe_own.py), loaded before maxframe's conftest.py.
The SDK is not changed. What its tests import from the closed part of MaxFrame is provided here:

* ``maxframe.serialization.deserializer``, by the local cloud's own implementation;
* ``framedriver_app``, a service of its own for sessions ``mf://``. Here such a session is one of the
  MaxCompute service (``mfo://``), which is the one that the SDK uses by default.
"""

from __future__ import annotations

import os
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import maxframe
import maxframe.conftest
import pytest
from maxframe import session
from maxframe_client.session import register_session_schemes
from maxframe_client.session.task import MaxFrameTaskSession

from maxcompute_local.maxframe.engine import deserializer

CONFIGURATION = "DRIVEPIPE_MAXFRAME_TEST_CONF"
"""Environment variable with the path of the configuration file of maxframe's tests."""

OUT_OF_SCOPE = Path(__file__).with_name("maxframe_out_of_scope.toml")
_PACKAGES = Path(maxframe.__file__).parent.parent


@pytest.fixture
def framedriver_app() -> types.SimpleNamespace:
    return types.SimpleNamespace(port=0)


def _provide_closed_modules() -> None:
    deserializer.install()
    name = "maxframe_framedriver"
    for part in ("", ".app", ".app.tests"):
        sys.modules[name + part] = types.ModuleType(name + part)
    module = types.ModuleType(f"{name}.app.tests.test_framedriver_webapp")
    module.framedriver_app = framedriver_app
    sys.modules[module.__name__] = module
    register_session_schemes()
    session._schemes_to_isolated_session_cls["mf"] = MaxFrameTaskSession


maxframe.conftest._test_conf_file_name = os.environ[CONFIGURATION]
_provide_closed_modules()


def _listed() -> Iterator[str]:
    for group in tomllib.loads(OUT_OF_SCOPE.read_text())["group"]:
        yield from group["tests"]


def _name(path: Path, test: str = "") -> str:
    return f"{path.relative_to(_PACKAGES).as_posix()}{test}"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out whole files, which may not even import."""
    return True if _name(collection_path) in set(_listed()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect the listed tests to fail; one that passes, or does not exist any more, is an error."""
    listed = set(_listed())
    unused = set(listed)
    for item in items:
        name = _name(item.path, f"::{item.name}")
        matches = {name, name.partition("[")[0]} & listed
        unused -= matches
        if matches:
            item.add_marker(pytest.mark.xfail(reason=f"in {OUT_OF_SCOPE.name}", strict=True))
    package = config.args[0]
    stale = [one for one in unused if one.startswith(f"{package}/") and not _is_file(one)]
    if stale:
        raise pytest.UsageError(f"{OUT_OF_SCOPE.name} lists tests that do not exist: {sorted(stale)}")


def _is_file(listed: str) -> bool:
    return "::" not in listed and (_PACKAGES / listed).is_file()
