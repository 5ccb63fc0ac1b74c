"""Downloads against a server on this machine: good, cut, resumed, lying, dead, full."""

import errno
import hashlib
import http.server
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from fuw import cli
from fuw.engine.errors import DownloadError
from fuw.engine.networks import NETWORKS, network
from fuw.engine.spec import NetSpec
from fuw.export import download as module
from fuw.export import fetch
from fuw.export.download import Patience, Report, download
from fuw.export.fetch import part_of

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


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("w") / "w.pth"
    torch.save({"a.weight": torch.arange(200_000.0)}, path)
    return path.read_bytes()


@pytest.fixture
def site(weights: bytes) -> Iterator[Site]:
    answering = [name for name, value in vars(Handler).items()
                 if callable(value) and name not in ("do_GET", "log_message", "reply")]  # fmt: skip
    site = Site(weights, {f"/{name}": getattr(Handler, name) for name in answering})
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
    with pytest.raises(DownloadError, match="u2netp: "):
        report.raise_for_failures()
    assert report.render() and report.to_json()[0]["status"] == "failed"
    return row.detail


@pytest.mark.parametrize("path", ["file", "no_ranges", "busy_twice", "moved", "cut"])
def test_arrives_whole(site: Site, tmp_path: Path, path: str) -> None:
    report = run(spec_of(site, path), tmp_path)
    assert good(report, site, tmp_path), report.render()
    assert "official file (hash agrees)" in report.rows[0].detail


@pytest.mark.parametrize("hash_name", ["sha256", "sha512", "md5"])
def test_each_hash_is_checked(site: Site, tmp_path: Path, hash_name: str) -> None:
    right = hashlib.new(hash_name, site.weights).hexdigest().upper()
    spec = spec_of(site, "file", **{"sha256": None, hash_name: right})
    assert good(run(spec, tmp_path), site, tmp_path)
    wrong = spec_of(site, "file", **{"sha256": None, hash_name: "0" * len(right)})
    assert f"another file came: {len(site.weights):,} bytes, {hash_name}" in detail(
        run(wrong, tmp_path / "b"))  # fmt: skip
    assert list((tmp_path / "b").iterdir()) == []


def test_resumes_where_it_stopped(site: Site, tmp_path: Path) -> None:
    spec, path = spec_of(site, "file"), tmp_path / "u2netp.pth"
    part_of(path).write_bytes(site.weights[:1234])
    assert good(run(spec, tmp_path), site, tmp_path)
    assert site.asked == [("/file", "bytes=1234-")]


def test_a_server_without_ranges_begins_anew(site: Site, tmp_path: Path) -> None:
    part_of(tmp_path / "u2netp.pth").write_bytes(site.weights[:1234])
    assert good(run(spec_of(site, "no_ranges"), tmp_path), site, tmp_path)


def test_a_complete_part_is_only_checked(site: Site, tmp_path: Path) -> None:
    part_of(tmp_path / "u2netp.pth").write_bytes(site.weights)
    assert good(run(spec_of(site, "file"), tmp_path), site, tmp_path)


@pytest.mark.parametrize("extra", [b"", b"!"])
def test_a_part_of_another_file_is_thrown_away(site: Site, tmp_path: Path, extra: bytes) -> None:
    """Too long, or of the same length as what is missing: the hash tells, and it begins anew."""
    part = site.weights + extra if extra else b"not this file" * 50
    part_of(tmp_path / "u2netp.pth").write_bytes(part)
    assert good(run(spec_of(site, "file"), tmp_path), site, tmp_path)


def test_without_a_hash_it_never_resumes_and_is_called_unverified(
    site: Site, tmp_path: Path
) -> None:
    part_of(tmp_path / "u2netp.pth").write_bytes(site.weights[:1234])
    report = run(spec_of(site, "file", sha256=None), tmp_path)
    assert good(report, site, tmp_path) and "origin unknown" in report.rows[0].detail
    assert site.asked == [("/file", None)]


@pytest.mark.parametrize(("path", "words"), [
    ("gone", "HTTP 404"),
    ("quota", "quota or confirmation page"),
    ("disguised_page", "what came is an HTML page"),
    ("other_file", "another file came"),
    ("always_busy", "HTTP 503 .* \\(3 attempts\\)"),
    ("huge", "more than any checkpoint"),
    ("http://127.0.0.1:9/x", "refused"),
    ("https://nowhere.invalid/x", "no such server|no network|refused|failed"),
])  # fmt: skip
def test_a_dead_address_is_one_sentence(
    site: Site, tmp_path: Path, path: str, words: str
) -> None:
    spec = spec_of(site, path)
    sentence = detail(run(spec, tmp_path))
    assert re.search(words, sentence), sentence
    assert spec.checkpoint.sources[0] in sentence and spec.checkpoint.home in sentence
    assert list(tmp_path.iterdir()) == []


def test_mirrors_are_tried_in_turn(site: Site, tmp_path: Path) -> None:
    report = run(spec_of(site, "gone", "quota", "other_file", "file", "never"), tmp_path)
    assert good(report, site, tmp_path)
    assert [path for path, _ in site.asked] == ["/gone", "/quota", "/other_file", "/file"]


def test_every_dead_mirror_is_named(site: Site, tmp_path: Path) -> None:
    sentence = detail(run(spec_of(site, "gone", "quota"), tmp_path))
    assert "/gone: HTTP 404" in sentence and "/quota: a quota" in sentence


def test_a_connection_cut_for_good_keeps_the_part(site: Site, tmp_path: Path) -> None:
    half = len(site.weights) // 2

    def half_then_nothing(handler: Handler) -> None:
        if handler.headers.get("Range"):
            handler.reply(206, b"", len(site.weights) - half,
                          Content_Range=f"bytes {half}-/{len(site.weights)}")  # fmt: skip
        else:
            handler.reply(200, site.weights[:half], len(site.weights))

    site.answers["/half"] = half_then_nothing
    assert "the connection was cut after" in detail(run(spec_of(site, "half"), tmp_path))
    assert part_of(tmp_path / "u2netp.pth").read_bytes() == site.weights[:half]
    site.asked.clear()
    assert good(run(spec_of(site, "file"), tmp_path), site, tmp_path)
    assert site.asked == [("/file", f"bytes={half}-")]


def test_a_disk_that_fills_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write_until_full(out: Any, chunk: bytes) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(out.write(chunk))

    with monkeypatch.context() as patched:
        patched.setattr(fetch, "_write", write_until_full)
        sentence = detail(run(spec_of(site, "file", "file"), tmp_path))
    assert "no room in" in sentence and "goes on where it stopped" in sentence
    assert part_of(tmp_path / "u2netp.pth").stat().st_size == written[0]
    assert good(run(spec_of(site, "file"), tmp_path), site, tmp_path)


def test_a_disk_too_small_is_told_before_the_first_byte(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "no room in" in detail(run(spec_of(site, "file"), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in detail(run(spec_of(site, "file"), tmp_path / "file" / "below"))


def test_two_downloads_of_one_file(site: Site, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="file locks of POSIX")
    with part_of(tmp_path / "u2netp.pth").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another download" in detail(run(spec_of(site, "file"), tmp_path))


# ---- licences, and what is there already -----------------------------------------------------


def test_nothing_is_asked_of_the_network_before_the_licence(site: Site, tmp_path: Path) -> None:
    shown: list[str] = []

    def refuse(licence: str, specs: Sequence[NetSpec]) -> bool:
        shown.append(module.licence_text(licence, specs))
        return False

    report = run(spec_of(site, "file"), tmp_path, ask=refuse)
    assert report.rows[0].status == "refused" and not report.ok and site.asked == []
    assert shown[0].startswith("Licence: Apache-2.0") and "u2netp.pth" in shown[0]


def test_each_licence_is_asked_once(site: Site, tmp_path: Path) -> None:
    asked: list[tuple[str, list[str]]] = []

    def once(licence: str, specs: Sequence[NetSpec]) -> bool:
        asked.append((licence, [s.name for s in specs]))
        return licence.startswith("MIT")

    first = replace(spec_of(site, "file"), name="one")
    second = replace(first, name="two", checkpoint=replace(first.checkpoint, file="two.pth"))
    third = replace(first, name="three",
                    checkpoint=replace(first.checkpoint, licence="MIT", file="three.pth"))
    report = download([first, second, third], tmp_path, once, patience=QUICK)
    assert asked == [("Apache-2.0", ["one", "two"]), ("MIT", ["three"])]
    assert [row.status for row in report.rows] == ["refused", "refused", "downloaded"]


def test_what_is_there_is_neither_fetched_nor_overwritten(site: Site, tmp_path: Path) -> None:
    spec, path = spec_of(site, "file"), tmp_path / "u2netp.pth"
    path.write_bytes(site.weights)
    assert run(spec, tmp_path).rows[0].status == "there"
    path.write_bytes(b"my own")
    row = run(spec, tmp_path).rows[0]
    assert row.status == "kept" and "not the official" in row.detail
    assert path.read_bytes() == b"my own" and site.asked == []


def test_progress_comes_to_the_end(site: Site, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    run(spec_of(site, "file"), tmp_path, progress=lambda *step: steps.append(step))
    assert steps[-1] == ("u2netp", len(site.weights), len(site.weights))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_plain_http_needs_a_known_hash() -> None:
    assert fetch.secure("https://example.org/x", hash_known=False)
    assert fetch.secure("http://example.org/x", hash_known=True)
    assert not fetch.secure("http://example.org/x", hash_known=False)


def test_plain_http_without_a_hash_is_not_tried(site: Site, tmp_path: Path) -> None:
    spec = spec_of(site, "http://example.org/u2netp.pth", sha256=None)
    assert "neither encrypted nor checked" in detail(run(spec, tmp_path))


# ---- Google Drive ----------------------------------------------------------------------------


def drive(monkeypatch: pytest.MonkeyPatch, body: bytes | Exception) -> list[dict[str, Any]]:
    """A gdown that writes `body`; returns the calls it gets."""
    calls: list[dict[str, Any]] = []

    def fetches(id: str, output: str, quiet: bool, progress: Any = None) -> str:
        calls.append({"id": id})
        if isinstance(body, Exception):
            raise body
        Path(output).write_bytes(body)
        progress(len(body), None)
        return output

    def lists(url: str, quiet: bool, skip_download: bool) -> list[Any]:
        calls.append({"url": url})
        return [SimpleNamespace(id="17", path="checkpoints/u2netp.pth"),
                SimpleNamespace(id="18", path="test.zip")]  # fmt: skip

    monkeypatch.setitem(sys.modules, "gdown",
                        SimpleNamespace(download=fetches, download_folder=lists))
    return calls


def test_google_drive_file_and_folder(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = drive(monkeypatch, site.weights)
    assert good(run(spec_of(site, "gdrive:abc"), tmp_path / "a"), site, tmp_path / "a")
    spec = spec_of(site, "gdrive-folder:F?resourcekey=R#u2netp.pth")
    assert good(run(spec, tmp_path / "b"), site, tmp_path / "b")
    assert calls == [{"id": "abc"}, {"url": "https://drive.google.com/drive/folders/F?resourcekey=R"},
                     {"id": "17"}]  # fmt: skip


def test_google_drive_failures(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(site, "gdrive:abc")
    drive(monkeypatch, RuntimeError("Failed to retrieve file url:\n\n  Too many users"))
    assert "Too many users; open https://drive.google.com/file/d/abc/view" in detail(
        run(spec, tmp_path))  # fmt: skip
    drive(monkeypatch, b"<!DOCTYPE html><title>Quota exceeded</title>")
    assert "Google Drive's quota or confirmation page" in detail(run(spec, tmp_path))
    absent = spec_of(site, "gdrive-folder:F#other.pth")
    assert "no other.pth in" in detail(run(absent, tmp_path))
    monkeypatch.setitem(sys.modules, "gdown", None)
    assert "pip install 'fuw[export]'" in detail(run(spec, tmp_path))
    drive(monkeypatch, RuntimeError("quota"))
    assert good(run(spec_of(site, "gdrive:abc", "file"), tmp_path), site, tmp_path)


# ---- the command line ------------------------------------------------------------------------


@pytest.fixture
def command(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`fuw-export --download` for a U2NetP that comes from our server."""
    monkeypatch.setitem(NETWORKS, "u2netp", spec_of(site, "file"))

    def invoke(folder: Path, *options: str, answer: str = "") -> Any:
        return CliRunner().invoke(cli.export, [
            "--download", "--weights", str(folder), "--networks", "u2netp", *options],
            input=answer)  # fmt: skip

    return invoke


def test_the_command_asks_for_the_licence(
    command: Callable[..., Any], site: Site, tmp_path: Path
) -> None:
    refused = command(tmp_path, answer="n\n")
    assert refused.exit_code == DownloadError.exit_code and site.asked == []
    assert "Licence: Apache-2.0" in refused.output
    accepted = command(tmp_path, answer="y\n")
    assert accepted.exit_code == 0, accepted.output
    assert (tmp_path / "u2netp.pth").read_bytes() == site.weights


def test_the_command_with_accepted_licences(
    command: Callable[..., Any], site: Site, tmp_path: Path
) -> None:
    done = command(tmp_path, "--accept-licences")
    assert done.exit_code == 0 and "downloaded" in done.output
    again = command(tmp_path, "--accept-licences")
    assert again.exit_code == 0 and "there" in again.output and len(site.asked) == 1


def test_the_command_fails_with_a_sentence(
    command: Callable[..., Any], site: Site, tmp_path: Path
) -> None:
    site.answers["/file"] = Handler.quota
    failed = command(tmp_path, "--accept-licences")
    assert failed.exit_code == DownloadError.exit_code and "quota" in failed.output
    assert "Traceback" not in failed.output and list(tmp_path.iterdir()) == []


# ---- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_says_where_its_file_is(name: str) -> None:
    checkpoint = network(name).checkpoint
    assert checkpoint.sources and checkpoint.home.startswith("https://") and checkpoint.licence
    for source in checkpoint.sources:
        assert source.startswith(("https://", "http://", "gdrive:", "gdrive-folder:"))
        assert fetch.secure(source, bool(module._hashes(checkpoint))) or "gdrive" in source
    for value, digits in ((checkpoint.sha256, 64), (checkpoint.sha512, 128), (checkpoint.md5, 32)):
        assert value is None or re.fullmatch(f"[0-9a-f]{{{digits}}}", value)
