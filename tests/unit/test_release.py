"""What release_check says of changelogs, versions and constraints; the whole is `make release-check`."""

import importlib.util
import sys
from pathlib import Path

import pytest
from packaging.metadata import Metadata

FILE = Path(__file__).parents[2] / ".ci" / "release_check.py"


@pytest.fixture(scope="module")
def release_check():
    spec = importlib.util.spec_from_file_location("release_check", FILE)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def version(release_check):
    return release_check.version_of(release_check.PROVIDER.package)


def metadata(*requires, name="airflow-provider-drivepipe"):
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        "Version: 1.0",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    return Metadata.from_email("\n".join(lines).encode())


def test_both_distributions_have_one_version_and_the_changelog_has_it(release_check):
    assert list(release_check.versions()) == []
    assert list(release_check.changelog((FILE.parents[1] / "CHANGELOG.md").read_text(), final=False)) == []


def test_the_changelog_needs_the_version_words_and_at_last_a_date(release_check, version):
    def said(text, final=False):
        return list(release_check.changelog(text, final))

    entry = f"# Changelog\n\n## {version} ({{}})\n\nWords.\n\n## 0.0.1 (2026-01-01)\n\nMore.\n"
    assert said(entry.format("unreleased")) == []
    assert said(entry.format("2026-12-01"), final=True) == []
    assert said(entry.format("unreleased"), final=True) == [f"the changelog calls {version} unreleased"]
    assert "first heading" in said(entry.format("soon"))[0]
    assert said(entry.format("unreleased").replace("Words.", "")) == [
        f"the changelog says nothing of {version}"
    ]


def test_the_extra_takes_the_local_cloud_beside_it(release_check, version):
    def said(wanted):
        return list(release_check.local_extra(metadata(f"{wanted}; extra == 'local'")))

    assert said(f"maxcompute-local>={version},<9") == []
    assert "is built" in said("maxcompute-local>=9")[0]
    assert "is built" in said("maxcompute-local")[0], "any version of it would be taken"


def test_metadata_that_lack_something_are_named(release_check):
    found = list(release_check.metadata_problems(metadata()))
    assert "airflow-provider-drivepipe has no summary" in found
    assert "airflow-provider-drivepipe has no URL Homepage" in found
    assert "airflow-provider-drivepipe does not say that it runs on Python 3.12" in found


def test_constraints_that_do_not_meet_our_requirements_are_named(release_check):
    constraints = "# Airflow\ncloudpickle==3.1.1\nPyYAML==6.0.3  # fine\npytest==7.0\n"
    ours = metadata("cloudpickle<3,>=2", "pyyaml>=6", "pytest>=8; extra == 'dev'", "rich>=14")
    assert release_check.unmet([ours], constraints) == [
        "  airflow-provider-drivepipe: cloudpickle<3,>=2, they pin 3.1.1"
    ]
