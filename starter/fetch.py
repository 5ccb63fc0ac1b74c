"""Fetch the CC0 material for rendering figures: `python -m fuw.starter.fetch DIR`.

Each source is a public repository at a pinned commit, fetched as one archive over HTTPS. Only the
files named here are kept, and each group of files is checked against its SHA-256 before it is put
in place, so DIR either holds exactly what the starter weights were made from or lacks it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fuw.cli import guarded
from fuw.engine.errors import DownloadError

HOST = "https://codeload.github.com"
TIMEOUT_S = 60
LARGEST_ARCHIVE = 2 << 30  # bytes
LARGEST_FILE = 64 << 20


@dataclass(frozen=True)
class Group:
    """Files that are checked together: paths that match `pattern` go to `folder`.

    pattern is matched against the whole path inside the repository; its named part `rest` is the
    path below `folder`. sha256: of the lines "<sha256 of file>  <rest>", sorted.
    """

    folder: str
    pattern: str
    files: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A public repository at a commit."""

    repository: str
    commit: str
    licence: str
    groups: tuple[Group, ...]


def _garments(kind: str, files: int, sha256: str) -> Group:
    split = "(?:train|validation|test)"
    return Group(f"garments/{kind}", rf"{split}/{kind}/(?P<rest>[^/]+\.jpg)", files, sha256)


def _assets(folder: str, files: int, sha256: str) -> Group:
    kept = r"(?P<rest>[^/]+/[^/]+\.(?:obj|mhclo))"
    return Group(f"makehuman/assets/{folder}", rf"base/{folder}/{kept}", files, sha256)


# Shape targets: adults only, and only the folders that `figures.human` reads.
ADULTS = r"macrodetails/(?:height/|proportions/)?[^/]*(?:young|old)[^/]*"
DETAILS = (
    "(?:arms|buttocks|cheek|chin|ears|eyebrows|eyes|forehead|head|hip|legs|mouth|neck|nose|stomach|"
    "torso)/[^/]+"
)
FACES = "expression/units/caucasian/[^/]+"
SOURCES = (
    Source(
        "alexeygrigorev/clothing-dataset-small",
        "11961516512414bf9f6c150a832cfd21b54a6b54",
        "CC0-1.0",
        (
            _garments(
                "t-shirt", 928, "79429a8c2905f8ea7a1fb2b6b510e965edf238b9129e8ba2bfbdb91ca9f6cc73"
            ),
            _garments(
                "longsleeve",
                576,
                "4ea871ca7ea0e1769528b295eb376f36001356b992aeea1aa4bd8fc013b10e99",
            ),
            _garments(
                "shirt", 345, "e4a914b8a4b0d174f605758e4432355fe345ec2773539bfcda801b2fbf04a00d"
            ),
            _garments(
                "outwear", 246, "59245176461328b7217d9d7baa098f77538a0df07f843c359dcfe359fbf45597"
            ),
        ),
    ),
    Source(
        "makehumancommunity/mpfb2",
        "80919fa4682335c41847f761a4d79dcad4124732",
        "CC0-1.0 (LICENSE.ASSETS.md; only the data is used, not the GPL code)",
        (
            Group(
                "makehuman/3dobjs",
                r"src/mpfb/data/3dobjs/(?P<rest>base\.obj)",
                1,
                "025875d630cf7b36bec63db709500bcffb4ee51ee821e05811e70ce4f13e3e98",
            ),
            Group(
                "makehuman/targets",
                rf"src/mpfb/data/targets/(?P<rest>(?:{ADULTS}|{DETAILS}|{FACES})\.target\.gz)",
                682,
                "2c43e19b79601fc7f0a943c045d0138361b1c7a3b3c18a8dcc08630802e12f4e",
            ),
            Group(
                "makehuman/uv_layers",
                r"src/mpfb/data/uv_layers/(?P<rest>[^/]+\.json\.gz)",
                13,
                "e8be15fb81fd08b1e7acabf61ea18a8e173c7da574923cafb33a636bfd32bff9",
            ),
        ),
    ),
    Source(
        "makehumancommunity/makehuman",
        "a8bc2d54ff0ac92e78ff71431b1023eda42bf482",
        "CC0-1.0 (data/rigs; only the data is used, not the AGPL code)",
        (
            Group(
                "makehuman/rigs",
                r"makehuman/data/rigs/(?P<rest>default\.mhskel|default_weights\.mhw)",
                2,
                "5435132992c1c115ce04957ed8ddef166269d50710e1d14b0a8e319e00d6bb0e",
            ),
        ),
    ),
    Source(
        "makehumancommunity/makehuman-assets",
        "8cf9645b975a98eea056b140df11a1d278da0d10",
        "CC0-1.0",
        (
            _assets("hair", 20, "597352cccce6719878a5558638d06389e10b5d545c5b26210de8bdf03c3c7b9b"),
            _assets(
                "clothes", 40, "795598564ccd69353bf3c5f789e3b7bc2a0231619077057a70c64ffa88270e06"
            ),
            _assets(
                "eyebrows", 24, "a8dd25632cc7dd1ebf3dea47c32c0e403259f1ce61ad60e98600e3b5754b7cf7"
            ),
        ),
    ),
)


def combined_hash(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 over the lines "<sha256>  <name>" of files in a folder, sorted by name."""
    total = hashlib.sha256()
    for name in sorted(names):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        total.update(f"{digest}  {name}\n".encode())
    return total.hexdigest()


def present(folder: Path, group: Group) -> list[str]:
    """Names below `folder` that belong to a group, whatever else lies there."""
    if not folder.is_dir():
        return []
    depth = group.pattern.rpartition("(?P<rest>")[2]
    rest = re.compile(depth[: depth.rindex(")")])
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(n for n in names if rest.fullmatch(n))


def problem(root: Path, group: Group) -> str:
    """What is wrong with a group's files below `root`; empty where they are the pinned ones."""
    folder = root / group.folder
    names = present(folder, group)
    if len(names) != group.files:
        return f"{group.folder} holds {len(names)} files instead of {group.files}"
    found = combined_hash(folder, names)
    if found != group.sha256:
        return f"{group.folder} has SHA-256 {found[:16]}... instead of {group.sha256[:16]}..."
    return ""


def problems(root: Path, source: Source) -> list[str]:
    """What is wrong with a source's files below `root`."""
    return [p for group in source.groups if (p := problem(root, group))]


def download(url: str, target: Path) -> None:
    """Fetch a URL into a file. Raises DownloadError, naming the URL and the cause."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, target.open("wb") as f:
            size = 0
            while block := answer.read(1 << 20):
                size += len(block)
                if size > LARGEST_ARCHIVE:
                    raise DownloadError(f"{url} is larger than 2 GiB, so it is not the archive")
                f.write(block)
    except (urllib.error.URLError, OSError, ValueError) as e:
        cause = getattr(e, "reason", None) or e
        raise DownloadError(f"{url} could not be fetched ({cause}); try again later") from e


def members(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Regular files of an archive with their path below its single top folder."""
    for info in archive:
        parts = PurePosixPath(info.name).parts
        if info.isfile() and len(parts) > 1 and ".." not in parts and not info.name.startswith("/"):
            yield "/".join(parts[1:]), info


def unpack(path: Path, source: Source, root: Path) -> None:
    """Take the source's files out of its archive into `root`; nothing else is written."""
    rules = [(re.compile(g.pattern), g) for g in source.groups]
    try:
        with tarfile.open(path, "r:gz") as archive:
            for name, info in members(archive):
                for pattern, group in rules:
                    if match := pattern.fullmatch(name):
                        _extract(archive, info, root / group.folder / match["rest"])
    except (tarfile.TarError, EOFError, OSError) as e:
        raise DownloadError(f"{source.repository}: the archive is broken ({e}); fetch again") from e


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo, target: Path) -> None:
    if info.size > LARGEST_FILE:
        raise DownloadError(f"{info.name} has {info.size} bytes, more than any file we need")
    stream = archive.extractfile(info)
    if stream is None:
        raise DownloadError(f"{info.name} cannot be read from the archive; fetch again")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as f:
        shutil.copyfileobj(stream, f)


def fetch(root: Path, host: str = HOST, sources: Iterable[Source] = SOURCES) -> None:
    """Bring all sources into `root`; what is there already and unchanged is kept.

    Raises DownloadError; then no unchecked file is left under its final name.
    """
    root.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if not problems(root, source):
            print(f"{source.repository}: already there")
            continue
        print(f"{source.repository}: fetching {source.commit[:12]} ({source.licence})")
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as scratch:
            packed, fresh = Path(scratch) / "archive.tar.gz", Path(scratch) / "files"
            download(f"{host}/{source.repository}/tar.gz/{source.commit}", packed)
            unpack(packed, source, fresh)
            if wrong := problems(fresh, source):
                raise DownloadError(
                    f"{source.repository} at {source.commit[:12]} is not what was pinned: "
                    f"{'; '.join(wrong)}. Nothing was kept of it; fetch again, or from another host"
                )
            for group in source.groups:
                _put(fresh / group.folder, root / group.folder)


def _put(fresh: Path, final: Path) -> None:
    if final.exists():
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    fresh.rename(final)


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m fuw.starter.fetch", description=__doc__)
    p.add_argument("folder", type=Path, help="where the material goes (about 200 MB)")
    p.add_argument("--host", default=HOST, help="a mirror of codeload.github.com")
    p.add_argument("--check", action="store_true", help="only check what is there")
    a = p.parse_args()
    if a.check:
        wrong = [p for source in SOURCES for p in problems(a.folder, source)]
        if wrong:
            raise DownloadError(
                f"{a.folder}: {'; '.join(wrong)}. Run `python -m fuw.starter.fetch {a.folder}`"
            )
        print(f"{a.folder}: all {sum(g.files for s in SOURCES for g in s.groups)} files as pinned")
    else:
        fetch(a.folder, a.host)


if __name__ == "__main__":
    guarded(main)()
