"""Ports for servers that are started here."""

import random
import socket
from contextlib import suppress

_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections, above those that Ray gives its workers."""


def free_port(host: str = "127.0.0.1") -> int:
    """One that nobody listens on, and that nobody is given in the seconds until it is listened on.

    Raises:
        OSError: None is free, or there is no such address here.
    """
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        found: int = probe.getsockname()[1]
        return found
