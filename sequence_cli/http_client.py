"""Opens the CLI's HTTP clients: timeouts for each wait, errors in one line, and no proxy to this machine.

A proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, also socks5://) is used for other hosts only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sequence_cli.errors import AnswerError, UnreachableError
from sequence_store.loopback import is_loopback

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30  # between two parts of an answer


@contextmanager
def open_client(
    url: str, server: str, *, headers: Mapping[str, str] | None = None, read_seconds: float = ANSWER_SECONDS
) -> Iterator[httpx.Client]:
    """Open a client of the server at `url`; `server` names it and its setting in messages.

    Raises UnreachableError if the server does not respond or breaks its answer off, AnswerError if the URL
    cannot be requested.
    """
    import httpx

    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=read_seconds)
    try:
        client = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=not is_loopback(url))
    except (httpx.InvalidURL, ValueError, ImportError) as error:  # also of a proxy's URL or the key
        raise AnswerError(f"{server} at {url} cannot be requested: {_reason(error)}") from None
    try:
        with client:
            yield client
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
        raise AnswerError(f"{server} at {url} cannot be requested: {_reason(error)}") from None
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise UnreachableError(f"{server} at {url} does not respond ({type(error).__name__})") from None
    except httpx.TimeoutException:
        raise UnreachableError(f"{server} at {url} did not answer within {read_seconds:.0f} s") from None
    except httpx.HTTPError as error:
        raise UnreachableError(f"{server} at {url} broke its answer off ({_reason(error)})") from None


def request_json(url: str, server: str, *, body: Any = None, seconds: float = ANSWER_SECONDS) -> Any:
    """Return the JSON of a GET, or of a POST of `body` as JSON, within about `seconds`.

    Raises UnreachableError, or AnswerError if the answer is an error or no JSON.
    """
    deadline = time.monotonic() + seconds
    method = "GET" if body is None else "POST"
    with open_client(url, server, read_seconds=seconds) as client:
        with client.stream(method, url, json=body) as answer:
            content = b""
            for block in answer.iter_bytes():
                content += block
                if time.monotonic() > deadline:
                    raise UnreachableError(f"{server} at {url} did not end its answer within {seconds:.0f} s")
        if not answer.is_success:
            error = UnreachableError if answer.is_server_error else AnswerError
            raise error(f"{server} at {url} answered with status {answer.status_code}")
    return parse_json(content, f"{server} at {url}", answer.status_code)


def parse_json(content: bytes, server: str, status: int) -> Any:
    """Return the document; raise AnswerError if it is not JSON."""
    try:
        return json.loads(content)
    except ValueError:
        raise AnswerError(
            f"{server} answered with status {status} and no JSON; is it another server?"
        ) from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
