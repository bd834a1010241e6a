"""Loopback servers: an OAuth token endpoint, and SMTP servers that require TLS or a sign-in."""

from __future__ import annotations

import base64
import gc
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import CERT_NONE, PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any
from urllib.parse import parse_qsl

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from local_stack.ports import LOOPBACK, free_port


@dataclass
class TokenEndpoint:
    """Returns `token-1`, `token-2`, …, after `answers`, one per request.

    With `replaces`, each response contains a new refresh token.
    """

    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    replaces: bool = False
    lives: int = 3600
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.requests.append(form)
        if self.answers:
            return self.answers.pop(0)
        number = len(self.requests)
        replaced = {"refresh_token": f"refresh-{number}"} if self.replaces else {}
        return 200, {"access_token": f"token-{number}", "expires_in": self.lives, **replaced}


@contextmanager
def token_endpoint() -> Iterator[TokenEndpoint]:
    endpoint = TokenEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = endpoint.answer(dict(parse_qsl(body)))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    endpoint.url = f"http://{LOOPBACK}:{server.server_port}/token"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Server:
    """An SMTP server that records mails and sign-ins; `passes` holds the valid passwords and tokens."""

    port: int = 0
    passes: set[str] = field(default_factory=set)
    mails: list[bytes] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> Any:  # noqa: N802
        user, auth, *_ = base64.b64decode(args[1]).decode().split("\1")
        self.tried.append(auth.removeprefix("auth=Bearer "))
        if user == "user=ann" and self.tried[-1] in self.passes:
            return AuthResult(success=True, auth_data=user)
        await server.push("334 " + base64.b64encode(b'{"status":"400"}').decode())
        assert await server._reader.readline() == b"\r\n"
        return AuthResult(success=False, handled=False)

    def authenticate(self, _s: SMTP, _n: Session, _e: Envelope, _m: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.tried.append(data.password.decode())
        return AuthResult(success=self.tried[-1] in self.passes, handled=False)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(bytes(envelope.original_content or b""))
        self.secured.append(session.ssl is not None)
        return "250 2.0.0 accepted"


def _greet(port: int) -> None:
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = CERT_NONE
    with socket.create_connection((LOOPBACK, port), 5) as raw, context.wrap_socket(raw) as secured:
        assert secured.recv(3) == b"220"


@contextmanager
def smtp_server(
    *,
    implicit_tls: SSLContext | None = None,
    starttls: SSLContext | None = None,
    auth_excluded: list[str] | None = None,
    wants_sign_in: bool = False,
) -> Iterator[Server]:
    """Serve SMTP with implicit TLS, with STARTTLS (then required), or without TLS."""
    kept = Server(free_port())
    controller = Controller(
        kept,
        hostname=LOOPBACK,
        port=kept.port,
        ssl_context=implicit_tls,
        tls_context=starttls,
        require_starttls=starttls is not None,
        authenticator=kept.authenticate if wants_sign_in else None,
        auth_required=wants_sign_in,
        auth_require_tls=starttls is not None,
        auth_exclude_mechanism=auth_excluded,
        ready_timeout=20,
    )
    if implicit_tls:
        controller._trigger_server = lambda: _greet(
            kept.port
        )  # the original connects with the server's TLS context
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()
        gc.collect()  # aiosmtpd leaves the transport below TLS open and warns when it is collected
