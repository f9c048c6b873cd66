"""A web server on 127.0.0.1 that misbehaves as told."""

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """A file; `steps` are what happens to the next requests, one each, before it is simply served.

    A step: {"status": 500, "headers": {...}}, or {"drop": 1000}: the connection ends after so many bytes, or
    {"hang": 1000}: it waits there until the site ends.
    """

    body: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    obeys_if_range: bool = True
    length: bool = True
    login: str | None = None  # the Authorization header that it asks for
    kind: str = "application/octet-stream"
    steps: list = field(default_factory=list)


class Site:
    """`pages` by path; `asked` are the requests as (path, Range), `sent` the bytes of bodies."""

    def __init__(self):
        self.pages, self.asked, self.sent, self.ended = {}, [], 0, threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.site, self.server.daemon_threads = self, True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        site = self.server.site
        path = self.path.partition("?")[0]
        with site.lock:
            site.asked.append((path, self.headers.get("Range")))
            page = site.pages.get(path)
            step = page.steps.pop(0) if page and page.steps else {}
        if page and page.login not in (None, self.headers.get("Authorization")):
            step = {"status": 401}
        if page is None or "status" in step:
            self.answer(step.get("status", 404), step.get("headers", {}) | {"Content-Length": "0"})
            return
        headers = {"ETag": page.etag, "Last-Modified": page.modified, "Content-Type": page.kind}
        start, status, size = 0, 200, len(page.body)
        told = self.headers.get("If-Range")
        if (
            page.ranges
            and "Range" in self.headers
            and (not page.obeys_if_range or told in (None, page.etag, page.modified))
        ):
            start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
            status = 206 if start < size else 416
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}" if start < size else f"bytes */{size}"
        body = page.body[start:] if status != 416 else b""
        if page.length or status != 200:
            headers["Content-Length"] = str(len(body))
        self.answer(status, headers)
        self.send_body(body, step)

    def answer(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def send_body(self, body, step):
        site, end = self.server.site, step.get("drop", step.get("hang", len(body)))
        with contextlib.suppress(OSError):
            with site.lock:  # before the client can have the last byte and look
                site.sent += len(body[:end])
            self.wfile.write(body[:end])
            if "hang" in step:
                site.ended.wait(60)
            if step:
                self.connection.shutdown(socket.SHUT_RDWR)
