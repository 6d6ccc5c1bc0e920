"""A real S3 server on loopback (moto's), and a proxy before it that makes trouble on request."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SECRET = "s3cr3t-of-the-tests"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}
BUCKET = "audits"
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass
class Bucket:
    """One bucket as a user addresses it, and what the proxy before it is to do.

    `fault` is asked about every request (method, path, how often this was asked for): None lets it through, a
    status refuses it, "cut" answers half of the body, "reset" closes the connection.
    """

    port: int
    fault: Callable[[str, str, int], int | str | None] = lambda method, path, count: None
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def address(self, path: str) -> str:
        return f"s3://{BUCKET}/{path}?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"

    def count(self, method: str, part: str = "") -> int:
        """How many requests there were."""
        return sum(number for (each, path), number in self.asked.items() if each == method and part in path)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def s3_server(log: Path) -> Iterator[Bucket]:
    """moto's server as a process of its own, with an empty bucket and a proxy before it; AWS keys in the environment."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output, pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **KEYS})
        try:
            _create_bucket(port)
            bucket = Bucket(0)
            proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bucket, port))
            bucket.port = proxy.server_address[1]
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            yield bucket
            proxy.shutdown()
            proxy.server_close()
        finally:
            server.terminate()
            server.wait(10)


def _create_bucket(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("PUT", f"/{BUCKET}")
            assert connection.getresponse().status == 200
            return
        except OSError:
            assert time.monotonic() < end, "moto does not answer"
            time.sleep(0.1)


def _handler(bucket: Bucket, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def forward(self) -> None:
            data = self.body()
            key = (self.command, self.path)
            bucket.asked[key] += 1
            fault = bucket.fault(*key, bucket.asked[key])
            if fault == "reset":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if isinstance(fault, int):
                self.answer(fault, {}, b"<Error><Code>SlowDown</Code><Message>not now</Message></Error>")
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(
                self.command, self.path, body=data, headers={**headers, "Content-Length": str(len(data))}
            )
            answer = connection.getresponse()
            body = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
            self.answer(answer.status, {**kept, "Content-Length": length or "0"}, body, cut=fault == "cut")
            connection.close()

        def body(self) -> bytes:
            """What was sent; chunks are put together."""
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return found

        def answer(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body if self.command != "HEAD" else b"")
            if cut:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = forward

    return Handler
