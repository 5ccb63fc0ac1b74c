"""Files on Google Drive, through gdown: an optional package that knows Drive's pages."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from fuw.export.fetch import DeadAddress, Progress, part_of

FILE, FOLDER = "gdrive:", "gdrive-folder:"


def is_drive(source: str) -> bool:
    """Whether `source` is one of ours to fetch."""
    return source.startswith((FILE, FOLDER))


def page_of(source: str) -> str:
    """The address to open in a browser."""
    if source.startswith(FOLDER):
        return f"https://drive.google.com/drive/folders/{source[len(FOLDER):].partition('#')[0]}"
    return f"https://drive.google.com/file/d/{source[len(FILE):]}/view"


def fetch_drive(source: str, path: Path, progress: Progress) -> Path:
    """Download "gdrive:ID", or the named file of "gdrive-folder:ID[?resourcekey=..]#NAME".

    Returns:
        `part_of(path)`, complete but not yet checked.

    Raises:
        DeadAddress: gdown is not installed, or Drive does not give the file (quota, removed,
            access by request).
    """
    try:
        import gdown
    except ImportError:
        raise DeadAddress(
            "Google Drive needs the package gdown (pip install 'fuw[export]'), or a browser: "
            + page_of(source)
        ) from None
    part = part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_id = source[len(FILE):] if source.startswith(FILE) else _in_folder(gdown, source)
        options: dict[str, Any] = {"quiet": True}
        if "progress" in inspect.signature(gdown.download).parameters:
            options["progress"] = progress
        done = gdown.download(id=file_id, output=str(part), **options)
    except DeadAddress:
        raise
    except Exception as error:  # gdown raises its own, requests' and OSError alike
        raise DeadAddress(f"Google Drive: {_words(error)}; open {page_of(source)} in a "
                          "browser") from error  # fmt: skip
    if done is None or not part.exists():
        raise DeadAddress(f"Google Drive gave nothing; open {page_of(source)} in a browser")
    return part


def _in_folder(gdown: Any, source: str) -> str:
    """The id of the file of that name in a folder or a folder below it."""
    address, _, name = source.partition("#")
    listed = gdown.download_folder(url=page_of(address), quiet=True, skip_download=True)
    for file in listed or []:
        if Path(file.path).name == name:
            return str(file.id)
    raise DeadAddress(f"Google Drive: no {name} in {page_of(source)}")


def _words(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words[:200] if words else type(error).__name__
