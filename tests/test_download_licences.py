"""What `fuw-export --download` asks first, leaves alone, and fetches from Google Drive."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from download_site import QUICK, Handler, Site, detail, good, run, serving, spec_of

from fuw import cli
from fuw.engine.errors import DownloadError
from fuw.engine.networks import NETWORKS, network
from fuw.engine.spec import NetSpec
from fuw.export import download as module
from fuw.export import fetch
from fuw.export.download import download


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as here:
        yield here


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
