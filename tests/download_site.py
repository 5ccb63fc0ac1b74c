"""A download server on this machine: good, slow of wit, lying, dead."""

import hashlib
import http.server
import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fuw.engine.networks import network
from fuw.engine.spec import NetSpec
from fuw.export.download import Patience, Report, download

QUICK = Patience(tries=3, pause=0.001, timeout=5)


@dataclass
class Site:
    """What the server answers by path, and what it was asked."""

    weights: bytes
    answers: dict[str, Callable[["Handler"], None]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:  # noqa: N802, the base class's name
        self.site.asked.append((self.path, self.headers.get("Range")))
        self.site.answers.get(self.path, Handler.not_found)(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""

    def reply(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def not_found(self) -> None:
        self.reply(404, b"<html>not here</html>", Content_Type="text/html")

    def file(self) -> None:
        """A server that knows ranges."""
        body, asked = self.site.weights, self.headers.get("Range")
        if not asked:
            return self.reply(200, body)
        start = int(re.findall(r"\d+", asked)[0])
        if start >= len(body):
            return self.reply(416, b"", Content_Range=f"bytes */{len(body)}")
        return self.reply(206, body[start:], Content_Range=f"bytes {start}-/{len(body)}")

    def no_ranges(self) -> None:
        self.reply(200, self.site.weights)

    def cut(self) -> None:
        """Breaks off after a third of what is asked for."""
        asked = self.headers.get("Range")
        start = int(re.findall(r"\d+", asked)[0]) if asked else 0
        rest = self.site.weights[start:]
        self.reply(206 if asked else 200, rest[: max(len(rest) // 3, 1)], len(rest),
                   Content_Range=f"bytes {start}-/{len(self.site.weights)}")  # fmt: skip

    def quota(self) -> None:
        self.reply(200, b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>",
                   Content_Type="text/html; charset=utf-8")  # fmt: skip

    def disguised_page(self) -> None:
        self.reply(200, b"<!DOCTYPE html><title>Sign in</title>",
                   Content_Type="application/octet-stream")  # fmt: skip

    def other_file(self) -> None:
        self.reply(200, self.site.weights[:-1] + b"?")

    def busy_twice(self) -> None:
        if len(self.site.asked) <= 2:
            self.reply(503, b"")
        else:
            self.file()

    def always_busy(self) -> None:
        self.reply(503, b"")

    def moved(self) -> None:
        self.reply(302, b"", Location="/file")

    def huge(self) -> None:
        self.reply(200, b"x", 3 << 30)


@cache
def weights() -> bytes:
    """The file that the server has: a checkpoint of 800 kB."""
    data = io.BytesIO()
    torch.save({"a.weight": torch.arange(200_000.0)}, data)
    return data.getvalue()


@contextmanager
def serving() -> Iterator[Site]:
    """A server on this machine that answers under the name of every kind of answer."""
    answering = [name for name, value in vars(Handler).items()
                 if callable(value) and name not in ("do_GET", "log_message", "reply")]  # fmt: skip
    site = Site(weights(), {f"/{name}": getattr(Handler, name) for name in answering})
    handler = type("Here", (Handler,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield site
        server.shutdown()


def spec_of(site: Site, *paths: str, **changes: Any) -> NetSpec:
    """U2NetP, but from this server, with the hash of its file."""
    official = network("u2netp")
    values = {"sha256": hashlib.sha256(site.weights).hexdigest(), "bytes": len(site.weights)}
    checkpoint = replace(official.checkpoint, sources=tuple(
        path if ":" in path else f"{site.address}/{path}" for path in paths),
        **{**values, **changes})  # fmt: skip
    return replace(official, checkpoint=checkpoint)


def accept(licence: str, specs: Sequence[NetSpec]) -> bool:
    return True


def run(spec: NetSpec, folder: Path, **options: Any) -> Report:
    return download([spec], folder, options.pop("ask", accept), patience=QUICK, **options)


def good(report: Report, site: Site, folder: Path) -> bool:
    return (report.ok and report.rows[0].status == "downloaded"
            and (folder / "u2netp.pth").read_bytes() == site.weights
            and [p.name for p in folder.iterdir()] == ["u2netp.pth"])  # fmt: skip


def detail(report: Report) -> str:
    """The one sentence of a failure, after the checks that all of them share."""
    row = report.rows[0]
    assert row.status == "failed" and not report.ok and not row.path.exists()
    assert "\n" not in row.detail and "Traceback" not in row.detail
    assert row.network == "u2netp" and row.detail in report.render()
    assert report.to_json()[0]["status"] == "failed"
    return row.detail
