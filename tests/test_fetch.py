"""Fetching the CC0 material: from a local server, with everything that can go wrong."""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuw.engine.errors import DownloadError
from fuw.starter.fetch import SOURCES, Group, Source, combined_hash, fetch, present, problems

FILES = {"train/shirt/a.jpg": b"first", "test/shirt/b.jpg": b"second"}
COMMIT = "0123456789abcdef"


def packed(files: dict[str, bytes]) -> bytes:
    """An archive as GitHub packs it: everything below one folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(f"things-{COMMIT}/{name}")
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A source pinned to FILES."""
    truth = tmp_path / "truth"
    truth.mkdir()
    for name, data in FILES.items():
        (truth / Path(name).name).write_bytes(data)
    digest = combined_hash(truth, ["a.jpg", "b.jpg"])
    pattern = r"(?:train|test)/shirt/(?P<rest>[^/]+\.jpg)"
    return Source("some/things", COMMIT, "CC0-1.0", (Group("garments/shirt", pattern, 2, digest),))


class Host:
    """A server of archives at http://127.0.0.1; `serve` puts one there."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"

    def serve(self, data: bytes) -> None:
        target = self.folder / "some" / "things" / "tar.gz" / COMMIT
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """No log lines between the tests' output."""

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Host(folder, server.server_address[1])
        server.shutdown()


def test_fetches_only_what_is_named(tmp_path: Path, source: Source, host: Host) -> None:
    host.serve(packed({**FILES, "train/dress/c.jpg": b"no", "code.py": b"no"}))
    fetch(tmp_path / "data", host.url, [source])
    found = sorted(p.relative_to(tmp_path / "data") for p in (tmp_path / "data").rglob("*.*"))
    assert found == [Path("garments/shirt/a.jpg"), Path("garments/shirt/b.jpg")]
    assert not problems(tmp_path / "data", source)


def test_what_is_there_is_kept(
    tmp_path: Path, source: Source, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.serve(packed(FILES))
    fetch(tmp_path / "data", host.url, [source])
    fetch(tmp_path / "data", "http://127.0.0.1:1", [source])  # nobody listens there
    assert "already there" in capsys.readouterr().out


def test_a_changed_file_is_fetched_again(tmp_path: Path, source: Source, host: Host) -> None:
    host.serve(packed(FILES))
    fetch(tmp_path / "data", host.url, [source])
    (tmp_path / "data/garments/shirt/a.jpg").write_bytes(b"other")
    assert problems(tmp_path / "data", source)
    fetch(tmp_path / "data", host.url, [source])
    assert (tmp_path / "data/garments/shirt/a.jpg").read_bytes() == b"first"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (packed({**FILES, "train/shirt/a.jpg": b"swapped"}), "SHA-256"),
        (packed({"train/shirt/a.jpg": b"first"}), "1 files instead of 2"),
        (packed(FILES)[:60], "broken"),
        (b"<html>not an archive</html>", "broken"),
    ],
    ids=["swapped", "missing", "truncated", "page"],
)
def test_what_is_not_pinned_is_not_kept(
    tmp_path: Path, source: Source, host: Host, data: bytes, says: str
) -> None:
    host.serve(data)
    with pytest.raises(DownloadError, match=says):
        fetch(tmp_path / "data", host.url, [source])
    assert not list((tmp_path / "data").iterdir())


def test_nobody_answers(tmp_path: Path, source: Source) -> None:
    with pytest.raises(DownloadError, match="127.0.0.1:1/some/things"):
        fetch(tmp_path / "data", "http://127.0.0.1:1", [source])


def test_an_unknown_commit(tmp_path: Path, source: Source, host: Host) -> None:
    with pytest.raises(DownloadError, match="Not Found|not found"):
        fetch(tmp_path / "data", host.url, [source])


def test_a_path_that_leaves_the_folder_is_left_out(
    tmp_path: Path, source: Source, host: Host
) -> None:
    host.serve(packed({**FILES, "train/shirt/../../../evil.jpg": b"evil"}))
    fetch(tmp_path / "data", host.url, [source])
    assert not list(tmp_path.rglob("evil.jpg"))


def test_every_source_is_pinned() -> None:
    for s in SOURCES:
        assert len(s.commit) == 40 and int(s.commit, 16)
        for g in s.groups:
            assert g.files > 0 and len(g.sha256) == 64 and int(g.sha256, 16)
            assert "(?P<rest>" in g.pattern


def test_present_sees_only_the_groups_files(tmp_path: Path, source: Source) -> None:
    for name in ("a.jpg", "notes.txt", "deeper/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert present(tmp_path, source.groups[0]) == ["a.jpg"]
