"""Start of the engine interpreter: ``python -I bootstrap.py host <control socket fd>``, or ``job <job fd>``.

The latter runs one DAG in an environment of its own (see ``environments``).
Leaves only the interpreter's own packages importable, then loads this directory as
``maxcompute_local_engine``.
"""

from __future__ import annotations

import importlib
import importlib.util
import site
import sys
import sysconfig
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

PACKAGE = "maxcompute_local_engine"
BASE_FILE = "maxcompute-local-engine.pth"
"""In an environment's site-packages: the folders of the engine's own packages, one per line."""


def interpreter_paths(path: list[str]) -> list[str]:
    """Return the entries of ``sys.path`` that belong to the interpreter.

    Dropped are the folders that ``.pth`` files add for editable installs: a DPE worker has no checkout.
    """
    own = {Path(p).resolve() for p in (*sysconfig.get_paths().values(), *site.getsitepackages())}
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    own |= {stdlib / "lib-dynload", stdlib.parent / f"python{sys.version_info[0]}{sys.version_info[1]}.zip"}
    base = Path(sysconfig.get_path("purelib"), BASE_FILE)
    if base.exists():
        own |= {Path(line).resolve() for line in base.read_text(encoding="utf-8").splitlines()}
    return [entry for entry in path if Path(entry).resolve() in own]


def load_package() -> None:
    """Load this directory as the package ``maxcompute_local_engine``, without putting it on ``sys.path``."""
    directory = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        PACKAGE, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load the engine from {directory}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Set up imports, then serve commands on the control socket."""
    sys.path[:] = interpreter_paths(sys.path)
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if finder in (BuiltinImporter, FrozenImporter, PathFinder)
    ]
    load_package()
    importlib.import_module(f"{PACKAGE}.absent").install()
    role, fd = sys.argv[1], int(sys.argv[2])
    if role == "host":
        importlib.import_module(f"{PACKAGE}.host").serve(fd)
    else:
        importlib.import_module(f"{PACKAGE}.process").take_over(fd)


if __name__ == "__main__":
    main()
