"""A file comes whole, is taken up where it stopped, or is one sentence: cut, lying, dead, full."""

import errno
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from download_site import Handler, Site, detail, good, run, serving, spec_of

from fuw.export import fetch
from fuw.export.fetch import part_of


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as here:
        yield here


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
