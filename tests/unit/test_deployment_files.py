"""docker-compose.yaml, the Dockerfile and the page of deployment hold to their formats and to each other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compose_spec import PyOptions

from airflow_provider_drivepipe.hooks.connection import DEFAULT_DPE_PYTHON
from tests.system.compose import ROOT, compose_file, env_names

TEXT = (ROOT / "docker-compose.yaml").read_text("utf-8")
COMPOSE = compose_file()
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
PAGE = (ROOT / "docs" / "deployment.md").read_text("utf-8")


def test_compose_file_holds_to_the_specification():
    compose = PyOptions(apply_merge=True).from_yaml(TEXT)
    compose.validate()
    assert set(compose.service_names()) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_names_what_is_there(name):
    service = SERVICES[name]
    runs = service["restart"] != "no"
    assert runs == ("healthcheck" in service)
    for other, wanted in service.get("depends_on", {}).items():
        ends = SERVICES[other]["restart"] == "no"
        assert wanted["condition"] == ("service_completed_successfully" if ends else "service_healthy")
        assert SERVICES[other].get("profiles") in (None, service.get("profiles"))
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if "build" in service:
        assert f"AS {service['build']['target']}\n" in DOCKERFILE


def test_the_local_cloud_listens_on_its_address():
    address = SERVICES["local-cloud"]["networks"]["default"]["ipv4_address"]
    both = [service for service in SERVICES.values() if service.get("profiles") == ["local-cloud"]]
    assert [service["environment"]["MAXCOMPUTE_LOCAL_HOST"] for service in both] == [address, address]


def test_secrets_come_from_the_env_file_alone():
    wanted = dict(re.findall(r"\$\{(\w+)(:\?set \1 in \.env)\}", TEXT))
    assert set(re.findall(r"\$\{(\w+)", TEXT)) - {"HOSTNAME"} == set(wanted) == set(env_names())
    for name, value in re.findall(r"^ *(\w*(?:PASSWORD|SECRET|KEY)): (.*)$", TEXT, re.MULTILINE):
        assert value.startswith("${"), name


def test_dockerfile_holds_to_the_rules_of_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    subprocess.run([hadolint, ROOT / "docker" / "Dockerfile"], check=True)


def test_the_image_is_pinned_and_not_root():
    [image] = re.findall(r"^FROM (python:\S+) ", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(rf"python:{re.escape(DEFAULT_DPE_PYTHON)}\.\d+-slim-\w+", image)
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]:
        assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1] == "50000"
    installs = re.findall(r"pip install (?:.|\\\n)*", DOCKERFILE)
    assert len(installs) == 2
    assert all("--constraint /src/constraints.txt" in install for install in installs)
    pinned = (ROOT / "constraints.txt").read_text("utf-8")
    for word in installs[0].split()[2:]:
        assert word.startswith(("-", "/", "\\")) or f"\n{word}==" in pinned
    [airflow] = re.findall(r"^apache-airflow==(.*)$", pinned, re.MULTILINE)
    assert f"apache/airflow:{airflow}-python{DEFAULT_DPE_PYTHON}" in PAGE


def test_the_page_shows_values_and_services():
    [values] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert yaml.safe_load(values)["secret"][0]["envName"] == "AIRFLOW_CONN_DRIVEPIPE_DEFAULT"
    for name in re.findall(r"--(?:scale|profile) ([a-z-]+)", PAGE):
        assert name in SERVICES
