"""A network of its own with nothing but loopback in it, so that no peer can call home."""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

INSIDE = "BENCH_PEERS_ISOLATED"

# <linux/sockios.h>, <net/if.h>
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def inside() -> bool:
    return bool(os.environ.get(INSIDE))


def enter(arguments: list[str]) -> None:
    """Run this program again in a network of its own. Returns only when none can be made."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return
    command = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        return
    again = [*command, sys.executable, "-m", "bench.peers", *arguments]
    os.execve(unshare, again, {**os.environ, INSIDE: "1"})


def raise_loopback() -> None:
    """A new network's loopback is down."""
    with socket.socket() as sock:
        flags = struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING)
        fcntl.ioctl(sock, SIOCSIFFLAGS, flags)


def reaches_out() -> bool:
    """Whether there is any network interface but loopback."""
    return any(name != "lo" for _, name in socket.if_nameindex())
