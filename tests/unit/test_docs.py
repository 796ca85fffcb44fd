"""The documentation names what exists, all of it."""

import re
from pathlib import Path

import pytest
import yaml

from airflow_provider_drivepipe.cli.main import COMMANDS
from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.scenario.model import Scenario

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def first_cells(page):
    return set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / page).read_text(), re.MULTILINE))


def test_every_scenario_field_is_documented():
    assert set(Scenario.model_fields) <= first_cells("scenario-reference.md")


def test_every_reason_is_documented():
    assert {str(r) for r in Reason} == first_cells("failures.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_targets_exist(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|`)drivepipe ([a-z]+)", text, re.MULTILINE)) <= set(COMMANDS)


COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICE_KEYS = {
    "build",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "network_mode",
    "ports",
    "restart",
    "volumes",
}


def test_compose_file_has_the_form_of_the_specification():
    assert {k for k in COMPOSE if not k.startswith("x-")} == {"services", "volumes"}
    for name, service in COMPOSE["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert ("image" in service) != ("build" in service), name
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for other, wanted in service.get("depends_on", {}).items():
            assert other in COMPOSE["services"]
            condition = wanted["condition"]
            assert condition in ("service_healthy", "service_completed_successfully", "service_started")
            assert condition != "service_healthy" or "healthcheck" in COMPOSE["services"][other]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"], volume
        assert all(isinstance(v, str) for v in service.get("environment", {}).values()), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        mode = service.get("network_mode", "")
        assert not mode or mode.removeprefix("service:") in COMPOSE["services"]
        assert not (mode and "ports" in service), "a shared namespace publishes no ports of its own"


def test_compose_file_holds_no_secret():
    text = (ROOT / "docker-compose.yaml").read_text()
    for match in re.findall(r"(?:PASSWORD|SECRET): (.*)", text):
        assert match.startswith("${"), match
