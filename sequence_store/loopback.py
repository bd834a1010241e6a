"""Keeps requests to this machine away from the proxies of the environment.

A proxy (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) is on another machine or cannot be trusted with addresses that
it would resolve to itself. Requests to other hosts still use it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address
from urllib.parse import urlsplit

HOSTS = ("127.0.0.1", "localhost", "::1")
_NAMES = ("no_proxy", "NO_PROXY")  # libraries read one, the other or both


# For httpx: None means no proxy.
DIRECT_MOUNTS = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return NO_PROXY and no_proxy of the environment, with the hosts of this machine added."""
    given = next((environment[name] for name in _NAMES if environment.get(name)), "")
    chosen: dict[str, str] = {}
    for name in _NAMES:
        hosts = [host.strip() for host in (environment.get(name) or given).split(",") if host.strip()]
        chosen[name] = ",".join(hosts + [host for host in HOSTS if host not in hosts])
    return chosen


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Make every library that reads `environment` connect to this machine directly."""
    environment.update(without_proxy(environment))
