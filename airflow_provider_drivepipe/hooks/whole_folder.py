"""A folder in OSS whose content changes as a whole, although OSS replaces only one object at a time.

The files of each version are in a folder of their own below it. One small object, ``manifest.json``, names
the present version and is put when all its files are there: who reads it first sees all of one version.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.exceptions import ConfigurationError, DrivepipeError
from airflow_provider_drivepipe.hooks.errors import oss_errors

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

logger = logging.getLogger(__name__)

POINTER = "manifest.json"

_VERSION = re.compile(r"[0-9a-f]{16}")


class WholeFolder:
    """The folder at ``place``; versions are 16 hex digits. One run at a time may publish to it.

    The version before the present one stays, for readers that are under way; older ones are deleted. Methods
    raise errors of our tree.
    """

    def __init__(self, hook: DrivepipeHook, place: OssUri) -> None:
        self._hook = hook
        self.place = place

    def pointer(self) -> dict[str, Any] | None:
        """Return what the pointer says, None where there is none."""
        import alibabacloud_oss_v2 as oss

        bucket, key = self.place.bucket, self.place.join(POINTER).key
        with self._errors():
            if not self._hook.oss.is_object_exist(bucket, key):
                return None
            found = self._hook.oss.get_object(oss.GetObjectRequest(bucket=bucket, key=key))
            text = found.body.content if found.body else b""
        try:
            pointer = json.loads(text)
            if _VERSION.fullmatch(pointer["folder"]):
                return dict(pointer)
        except (ValueError, TypeError, LookupError):
            pass
        raise ConfigurationError(f"{self.place.join(POINTER)} is something else's; choose another prefix")

    def publish(self, version: str, files: Sequence[Path], said: Mapping[str, object]) -> bool:
        """Make ``files`` the present version; return whether anything had to be written for that.

        :param said: what the pointer says besides ``folder`` and ``previous``.
        """
        changed = not self.holds(version, [file.name for file in files])
        if changed:
            for file in files:
                self.put(version, file.name, file)
            self.point(version, said)
        self.tidy()
        return changed

    def holds(self, version: str, names: Iterable[str]) -> bool:
        """Whether ``version`` is the present one, and all these files of it are there."""
        pointer = self.pointer()
        wanted = {f"{version}/{name}" for name in names}
        return pointer is not None and pointer["folder"] == version and wanted <= set(self._objects())

    def put(self, version: str, name: str, file: Path) -> None:
        """Put a file of a version that is being made; nobody reads it before :meth:`point`."""
        self._put(f"{version}/{name}", file)

    def point(self, version: str, said: Mapping[str, object]) -> None:
        """Make a version the present one: all its files are there."""
        before = self.pointer() or {"folder": None, "previous": None}
        previous = before["previous" if before["folder"] == version else "folder"]
        pointer = {"folder": version, "previous": previous, **said}
        self._put(POINTER, json.dumps(pointer, ensure_ascii=False, indent=2).encode())

    def tidy(self) -> None:
        """Delete what is neither of the present version nor of the one before."""
        pointer = self.pointer() or {"folder": None, "previous": None}
        kept = (pointer["folder"], pointer["previous"])
        self._delete([name for name in self._objects() if name.partition("/")[0] not in kept])

    def _errors(self) -> AbstractContextManager[None]:
        settings = self._hook.oss_settings
        return oss_errors(settings.conn_id, settings.require_oss().endpoint, self.place.bucket)

    def _objects(self) -> Iterator[str]:
        """Yield the objects of all versions, by their names below the folder."""
        import alibabacloud_oss_v2 as oss

        start = f"{self.place.key}/"
        request = oss.ListObjectsV2Request(bucket=self.place.bucket, prefix=start, max_keys=1000)
        with self._errors():
            for page in self._hook.oss.list_objects_v2_paginator().iter_page(request):
                names = [str(found.key).removeprefix(start) for found in page.contents or []]
                yield from (name for name in names if _VERSION.fullmatch(name.partition("/")[0]))

    def _put(self, name: str, content: Path | bytes) -> None:
        import alibabacloud_oss_v2 as oss

        request = oss.PutObjectRequest(bucket=self.place.bucket, key=self.place.join(name).key)
        with self._errors():
            if isinstance(content, Path):
                self._hook.oss.put_object_from_file(request, str(content))
            else:
                request.body = content
                self._hook.oss.put_object(request)

    def _delete(self, names: Sequence[str]) -> None:
        """Delete objects; a failure is a warning, for the next run deletes them as well."""
        import alibabacloud_oss_v2 as oss

        try:
            for name in names:
                with self._errors():
                    key = self.place.join(name).key
                    self._hook.oss.delete_object(oss.DeleteObjectRequest(bucket=self.place.bucket, key=key))
        except DrivepipeError as error:
            logger.warning("older files below %s could not be deleted: %s", self.place, error)
