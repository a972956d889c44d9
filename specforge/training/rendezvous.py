"""Where the processes of a training meet: at a file on one machine, at a store on the master's address on several."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore  # where their types are

__all__ = ["Store", "file_store", "interface_towards", "master_store"]

_LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
_VARIABLES: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_GET_ADDRESS: Final = 0x8915  # SIOCGIFADDR of linux/sockios.h
_ADDRESS_PLACE: Final = slice(20, 24)  # of `struct ifreq` with an IPv4 address
_NAME_BYTES: Final = 256
_JOINING: Final = timedelta(minutes=5)
_ANY_PORT: Final = 9  # nothing is sent


def file_store(path: Path, world: int) -> Store:
    """Return a store for processes of one machine; whatever they open is open to this machine only.

    Args:
        path: a file that does not exist yet, in a folder that all processes see.
        world: number of processes.
    """
    _talk_over(_LOOPBACK)
    return FileStore(str(path), world)


def master_store(master: str, attempt: int) -> Store:
    """Return a store for processes of several machines, which another process serves.

    Args:
        master: its `host:port`.
        attempt: number of this attempt; processes of two attempts never meet.
    """
    host, _, port = master.rpartition(":")
    interface = interface_towards(host)
    if interface is not None:
        _talk_over(interface)
    store = TCPStore(host, int(port), is_master=False, timeout=_JOINING)
    return PrefixStore(f"specforge/training/{attempt}", store)


def interface_towards(host: str) -> str | None:
    """Return the network interface whose address this machine has on the way to another; None where it cannot be told.

    Gloo would take the one that the machine's own name leads to, which is often a loopback address.
    """
    if sys.platform != "linux":
        return None
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _ANY_PORT))
        address: str = probe.getsockname()[0]
        if address.startswith("127."):
            return _LOOPBACK
        return next((name for name, own in _interfaces(probe) if own == address), None)
    return None


def _interfaces(probe: socket.socket) -> Iterator[tuple[str, str]]:
    """Yield name and IPv4 address of each interface that has one."""
    import fcntl  # not on Windows, where `interface_towards` ends before

    for _, name in socket.if_nameindex():
        with suppress(OSError):
            found = fcntl.ioctl(probe.fileno(), _GET_ADDRESS, name.encode().ljust(_NAME_BYTES, b"\0"))
            yield name, socket.inet_ntoa(found[_ADDRESS_PLACE])


def _talk_over(interface: str) -> None:
    """Have the ranks talk over one network interface, unless the user chose another."""
    for variable in _VARIABLES:
        os.environ.setdefault(variable, interface)
