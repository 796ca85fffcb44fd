"""Which ports a server listens on: those asked for, else those it had, else the defaults, else free ones."""

from __future__ import annotations

import errno
import socket

from maxcompute_local.errors import PortInUseError
from maxcompute_local.settings import HOST


def bind(port: int) -> socket.socket:
    """Return a socket bound to ``port`` of :data:`HOST`; 0 takes any free one. OSError when it is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        # Two sockets with SO_REUSEADDR can bind the same port; only one of them can listen.
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def choose(what: str, asked: int | None, stored: int | None, preferred: int, remedy: str) -> socket.socket:
    """Return the socket of one service.

    A port that was asked for or that the root folder has had before is a must: addresses kept in tables hold
    it. Raises PortInUseError naming it. The preferred one is taken when it is free.

    :param what: the service, for messages.
    :param remedy: the command that chooses another port, for messages.
    """
    must = asked if asked is not None else stored
    if must is not None:
        try:
            return bind(must)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "in use" if error.errno == errno.EADDRINUSE else "not allowed here"
            raise PortInUseError(_message(what, must, why, remedy, asked is None)) from error
    try:
        return bind(preferred)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return bind(0)


def _message(what: str, port: int, why: str, remedy: str, kept: bool) -> str:
    text = (
        f"port {port} of {HOST}, wanted for {what}, is {why}. Stop what uses it "
        f"('ss -ltnp' or 'lsof -i :{port}' shows it), or choose another port: {remedy}"
    )
    return f"{text} (addresses that tables hold from earlier runs keep the old port)" if kept else text
