"""Life of one DAG's process: from the fork to the result file.

A DAG whose functions require packages that this interpreter lacks goes on in another one, as the same
process.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from . import environments, family
from .errors import ChunkError, error_info
from .execution import RequirementsUnmet, execute, prepare
from .job import LOG_FILE, RESULT_FILE, WORK_DIRECTORY, Job, is_for_pip, write_json
from .progress import Messages

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


def run(job: Job) -> NoReturn:
    """Run a DAG in this process, record its result and exit."""
    code = 1
    try:
        pip_settings = _prepare(job)
        write_json(job.path(RESULT_FILE), _outcome(job, pip_settings))
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        _flush()
        # Never return into the parent's code, and run none of its exit handlers.
        os._exit(code)


def take_over(fd: int) -> NoReturn:
    """Run the DAG that the same process has begun in another interpreter; its job is in a pipe."""
    with os.fdopen(fd, "rb") as pipe:
        job = Job.from_json(json.load(pipe))
    prepare()
    run(job)


def _prepare(job: Job) -> dict[str, str]:
    """Set this process up for its job; return the environment variables of pip."""
    family.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    log = os.open(job.path(LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]  # real files
    pip_settings = dict(os.environ)
    for name in filter(is_for_pip, pip_settings):
        del os.environ[name]
    os.environ.update(ODPS_ENDPOINT=job.endpoint, ODPS_PROJECT_NAME=job.project, ODPS_BEARER_TOKEN=job.token)
    work = job.path(WORK_DIRECTORY)
    work.mkdir(exist_ok=True)
    os.chdir(work)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    # They log the generated code, in which pickled functions are most of the text, and every table session.
    for chatty in ("maxframe", "odps"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return pip_settings


def _outcome(job: Job, pip_settings: Mapping[str, str]) -> dict[str, Any]:
    try:
        try:
            return {"status": "SUCCEEDED", "results": execute(job)}
        except RequirementsUnmet as error:
            python = environments.interpreter(
                job.environments,
                error.requirements,
                environment=pip_settings,
                say=Messages(job).warn,
                log=sys.stdout.write,
            )
            _hand_over(job, python)
    except ChunkError as error:
        return {"status": "FAILED", "error": error.info}
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, it is the DAG's error)
        traceback.print_exc()
        return {"status": "FAILED", "error": error_info(error)}


def _hand_over(job: Job, python: Path) -> NoReturn:
    """Go on with the DAG in another interpreter. The job, which holds a token, goes through a pipe."""
    reader, writer = os.pipe()
    os.write(writer, json.dumps(job.to_json()).encode())
    os.close(writer)
    os.set_inheritable(reader, True)
    _flush()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ODPS_")}
    os.execve(python, [str(python), "-I", "-X", "utf8", str(_BOOTSTRAP), "job", str(reader)], environment)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
