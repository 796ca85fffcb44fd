"""What Airflow reads of the package agrees with the package: provider info, plugin, entry points."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_drivepipe
from airflow_provider_drivepipe.get_provider_info import get_provider_info
from airflow_provider_drivepipe.plugin import DrivepipePlugin

PACKAGE = Path(airflow_provider_drivepipe.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]


def modules(folder: str) -> list[ModuleType]:
    names = sorted(path.stem for path in (PACKAGE / folder).glob("[!_]*.py"))
    return [importlib.import_module(f"{PACKAGE.name}.{folder}.{name}") for name in names]


def classes(module: ModuleType, base: type) -> list[type]:
    """Return what a module defines for others to use."""
    found = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)]
    return [c for c in found if c.__module__ == module.__name__ and not inspect.isabstract(c)]


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("operators", BaseOperator),
        ("sensors", BaseSensorOperator),
        ("triggers", BaseTrigger),
        ("hooks", BaseHook),
    ],
)
def test_provider_info_lists_every_module(kind: str, base: type) -> None:
    [listed] = get_provider_info()[kind]
    assert sorted(listed["python-modules"]) == [m.__name__ for m in modules(kind) if classes(m, base)]


def test_what_provider_info_names_is_there() -> None:
    info = get_provider_info()
    [connection_type] = info["connection-types"]
    [uris] = info["asset-uris"]
    for path in (*info["extra-links"], connection_type["hook-class-name"], uris["handler"]):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)
    hook = importlib.import_module(connection_type["hook-class-name"].rpartition(".")[0])
    hook_class = getattr(hook, connection_type["hook-class-name"].rpartition(".")[2])
    assert hook_class.conn_type == connection_type["connection-type"]
    assert hook_class.hook_name == connection_type["hook-name"]


def test_the_plugin_registers_every_timetable() -> None:
    found = {
        c
        for module in modules("timetables")
        for c in classes(module, object)
        if c.__name__.endswith("Timetable")
    }
    assert set(DrivepipePlugin.timetables) == found


def test_entry_points_lead_to_provider_info_and_plugin() -> None:
    assert get_provider_info()["package-name"] == PROJECT["name"]
    declared = PROJECT["entry-points"]
    assert declared["apache_airflow_provider"] == {
        "provider_info": f"{get_provider_info.__module__}:{get_provider_info.__qualname__}"
    }
    assert declared["airflow.plugins"] == {
        DrivepipePlugin.name: f"{DrivepipePlugin.__module__}:{DrivepipePlugin.__qualname__}"
    }
    for group, points in declared.items():
        installed = {p.name: p.value for p in entry_points(group=group) if p.dist.name == PROJECT["name"]}
        assert installed == points
