"""What has to hold before a release, checked one by one: ``make release-check``.

Builds both distributions into ``dist/``. Ends with 1 when anything does not hold.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.metadata import InvalidMetadata, Metadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from trove_classifiers import classifiers as known_classifiers

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TESTED_PYTHONS = ("3.11", "3.12")

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_HEADING = re.compile(r"^## (\S+) \((unreleased|\d{4}-\d{2}-\d{2})\)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https://|#)([^)\s]+)\)")


@dataclass(frozen=True)
class Distribution:
    """A distribution: its project folder, its package, and what the wheel holds from elsewhere.

    :param more: folders of the project, each with its place below the package.
    """

    name: str
    project: Path
    package: Path
    more: tuple[tuple[Path, str], ...] = ()

    @property
    def file_stem(self) -> str:
        """What the names of its files start with."""
        return f"{self.name.replace('-', '_')}-{version_of(self.package)}"


PROVIDER = Distribution(
    "airflow-provider-drivepipe",
    ROOT,
    ROOT / "airflow_provider_drivepipe",
    ((ROOT / "dags", "examples"),),
)
LOCAL_CLOUD = Distribution(
    "maxcompute-local", ROOT / "maxcompute_local", ROOT / "maxcompute_local" / "src" / "maxcompute_local"
)
ALL = (PROVIDER, LOCAL_CLOUD)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check everything; return 1 when something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--final", action="store_true", help="the changelog has to have a date")
    parser.add_argument(
        "--constraints",
        type=Path,
        metavar="FILE",
        help="Airflow's official constraints: say which of our requirements they do not meet",
    )
    options = parser.parse_args(arguments)
    build()
    metadata = {each.name: read_metadata(each) for each in ALL}
    found = {
        "versions agree": [*versions(), *local_extra(metadata[PROVIDER.name])],
        "the changelog has the version": [
            *changelog((ROOT / "CHANGELOG.md").read_text("utf-8"), options.final)
        ],
        "metadata are complete": [p for each in metadata.values() for p in metadata_problems(each)],
        "wheels hold the packages": [p for each in ALL for p in wheel_problems(each)],
        "source distributions build them": [p for each in ALL for p in sdist_problems(each)],
    }
    for what, problems in found.items():
        print(f"{'no' if problems else 'ok'}  {what}")
        for problem in problems:
            print(f"      {problem}")
    if options.constraints:
        print("\nAirflow's constraints do not meet:")
        print("\n".join(unmet(metadata.values(), options.constraints.read_text("utf-8"))) or "nothing")
    return int(any(found.values()))


def build() -> None:
    """Build a source distribution of each, and a wheel from that."""
    for old in DIST.glob("*"):
        old.unlink()
    for each in ALL:
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, each.project]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def version_of(package: Path) -> str:
    """Return the version that a package says."""
    return _VERSION.findall((package / "__init__.py").read_text("utf-8"))[0]


def versions() -> Iterator[str]:
    """Yield what is wrong with the versions: both are the same, three numbers."""
    found = {each.name: version_of(each.package) for each in ALL}
    if len(set(found.values())) > 1:
        yield f"versions differ: {found}"
    for name, version in found.items():
        if not re.fullmatch(r"\d+\.\d+\.\d+", version):
            yield f"{name} has version {version}, which is not three numbers"


def local_extra(provider: Metadata) -> Iterator[str]:
    """Yield what is wrong with the extra that brings the local cloud: it takes the version beside it."""
    version = version_of(LOCAL_CLOUD.package)
    wanted = [each for each in provider.requires_dist or () if each.name == LOCAL_CLOUD.name]
    if [version in each.specifier and bool(each.specifier) for each in wanted] != [True]:
        yield f"the extra 'local' asks for {[str(each) for each in wanted]}, {version} is built"


def changelog(text: str, final: bool) -> Iterator[str]:
    """Yield what is wrong with the first entry: the version, a date when it is final, and some words."""
    heading = _HEADING.search(text)
    version = version_of(PROVIDER.package)
    if heading is None or heading[1] != version:
        yield f"the first heading of CHANGELOG.md is not '## {version} (unreleased)', or with a date"
        return
    if final and heading[2] == "unreleased":
        yield f"the changelog calls {version} unreleased"
    if not text[heading.end() :].partition("\n## ")[0].strip():
        yield f"the changelog says nothing of {version}"


def wheel(of: Distribution) -> Path:
    """Return the wheel that was built."""
    return DIST / f"{of.file_stem}-py3-none-any.whl"


def read_metadata(of: Distribution) -> Metadata:
    """Return the metadata of a wheel; those that are not valid raise an error that says so."""
    with zipfile.ZipFile(wheel(of)) as archive:
        raw = archive.read(f"{of.file_stem}.dist-info/METADATA")
    try:
        return Metadata.from_email(raw, validate=True)
    except* InvalidMetadata as error:
        raise SystemExit(f"metadata of {of.name}: {[str(each) for each in error.exceptions]}") from error


def metadata_problems(of: Metadata) -> Iterator[str]:
    """Yield what is missing or wrong in the metadata of a wheel."""
    for field in (
        "summary",
        "license_expression",
        "license_files",
        "keywords",
        "description",
        "requires_python",
    ):
        if not getattr(of, field):
            yield f"{of.name} has no {field}"
    for label in ("Homepage", "Source", "Documentation", "Changelog", "Issues"):
        if not (of.project_urls or {}).get(label, "").startswith("https://"):
            yield f"{of.name} has no URL {label}"
    for classifier in set(of.classifiers or ()) - known_classifiers:
        yield f"{of.name} has a classifier that nobody knows: {classifier}"
    for python in TESTED_PYTHONS:
        said = f"Programming Language :: Python :: {python}" in (of.classifiers or ())
        if not said or python not in (of.requires_python or ()):
            yield f"{of.name} does not say that it runs on Python {python}"
    for link in _LINK.findall(of.description or ""):
        yield f"{of.name}: the link {link} of its description leads nowhere from a package index"


def wheel_problems(of: Distribution) -> Iterator[str]:
    """Yield what a wheel lacks of its package, and what else is in it."""
    package = of.package.name
    wanted = {f"{package}/{name}" for name in files_below(of.package)}
    for folder, place in of.more:
        wanted |= {f"{package}/{place}/{name}" for name in files_below(folder)}
    with zipfile.ZipFile(wheel(of)) as archive:
        held = set(archive.namelist())
    info = f"{of.file_stem}.dist-info/"
    yield from (f"{of.name}: the wheel lacks {name}" for name in sorted(wanted - held))
    yield from (
        f"{of.name}: the wheel holds {name}" for name in sorted(held - wanted) if not name.startswith(info)
    )
    if f"{package}/py.typed" not in held:
        yield f"{of.name}: the wheel lacks py.typed"
    if f"{info}licenses/LICENSE" not in held:
        yield f"{of.name}: the wheel lacks the license"


def sdist_problems(of: Distribution) -> Iterator[str]:
    """Yield what a source distribution lacks, and what else is in it."""
    with tarfile.open(DIST / f"{of.file_stem}.tar.gz") as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    package = of.package.relative_to(of.project).as_posix()
    wanted = {f"{package}/{name}" for name in files_below(of.package)}
    wanted |= {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"}
    yield from (f"{of.name}: the source distribution lacks {name}" for name in sorted(wanted - held))
    for name in sorted(held):
        if name.startswith(("tests/", ".ci/", "docker/", "maxcompute_local/")):
            yield f"{of.name}: the source distribution holds {name}"


def files_below(folder: Path) -> list[str]:
    """Return the files of a folder as relative paths, without what Python and editors leave."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = (path for path in found if not any(part.startswith(".") for part in path.parts))
    return [path.as_posix() for path in shown if path.suffix != ".pyc"]


def unmet(all_metadata: Iterable[Metadata], constraints: str) -> list[str]:
    """Return which requirements a constraints file does not meet, extras for development left out."""
    pins: dict[str, Version] = {}
    for line in constraints.splitlines():
        try:
            pin = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue
        pins[canonicalize_name(pin.name)] = Version(str(pin.specifier).removeprefix("=="))
    return sorted(
        f"  {metadata.name}: {requirement.name}{requirement.specifier}, they pin {pins[name]}"
        for metadata in all_metadata
        for requirement in metadata.requires_dist or ()
        if "dev" not in str(requirement.marker or "")
        and (name := canonicalize_name(requirement.name)) in pins
        and pins[name] not in requirement.specifier
    )


if __name__ == "__main__":
    raise SystemExit(main())
