"""Tell from its bytes what a file that is called a checkpoint really is. Needs no torch."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

from fuw.export.checkpoint_errors import Unreadable

Kind = Literal["torch-zip", "torch-legacy", "pickle", "safetensors", "protobuf"]

MAX_BYTES = 2 << 30  # five times the largest official checkpoint
_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first object of a torch file before 1.6
_PICKLE = re.compile(rb"\x80[\x00-\x05]|c[\w.]+\r?\n[\w.]+\r?\n|[(}\]][dlqip]")
_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"(\xb5/\xfd": "a zstd archive",
}
_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file (Keras or .caffemodel.h5)",
    b"\x93NUMPY": "a single NumPy array",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GGUF": "a GGUF language model",
    b"%PDF": "a PDF document",
}
_QUOTA = (b"quota exceeded", b"too many users have viewed", b"download quota", b"virus scan w")


def kind(path: Path) -> Kind:
    """The container of the weights in `path`.

    Raises:
        Unreadable: missing, a folder, empty, too big, a web page, a pointer, an archive, a text,
            or another program's format; each is called by its name.
    """
    _require_file(path)
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_kind(path)
    if _LEGACY_MAGIC in head[:24]:
        return "torch-legacy"
    if _PICKLE.match(head):
        return "pickle"
    _refuse_binary(head)
    if _is_safetensors(head, path.stat().st_size):
        return "safetensors"
    _refuse_text(head)
    if not any(head[:1024]):
        raise Unreadable("begins with nothing but zeros: its download was never filled in")
    return "protobuf"  # has no mark of its own: the reader of the wire format decides


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise Unreadable("is a folder, not a file", "give the checkpoint file inside it")
    if not path.exists():
        raise Unreadable("does not exist")
    size = path.stat().st_size
    if size == 0:
        raise Unreadable("is empty (0 bytes)")
    if size > MAX_BYTES:
        raise Unreadable(f"has {size:,} bytes, more than any checkpoint that this package reads")


def _zip_kind(path: Path) -> Kind:
    if not zipfile.is_zipfile(path):
        raise Unreadable("is cut short: a zip file without its table of contents at the end")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Unreadable(f"is a damaged zip file ({error})") from error
    names = [entry.filename for entry in entries]
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise Unreadable("would unpack to more bytes than any checkpoint has")
    if any(name.endswith(("constants.pkl", "/code/")) or "/code/" in name for name in names):
        raise Unreadable(
            "is a TorchScript program, not a state dict",
            "save `module.state_dict()` with torch.save instead",
        )
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        _check_sums(path, entries)
        return "torch-zip"
    if names and all(name.endswith(".npy") for name in names):
        raise Unreadable("is a NumPy .npz archive, not a PyTorch file")
    inside = ", ".join(names[:3]) or "nothing"
    raise Unreadable(f"is a zip archive (inside: {inside}) that PyTorch did not write",
                     "unzip it and give the checkpoint file inside it")  # fmt: skip


def _check_sums(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """PyTorch does not compare the check sums of the numbers; a flipped bit would go unseen."""
    bad = []
    with zipfile.ZipFile(path) as archive:
        for entry in entries:
            try:
                with archive.open(entry) as file:
                    while file.read(1 << 20):
                        pass
            except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError):
                bad.append(entry.filename)
    # PyTorch can write files without sums: then none of them agrees
    if bad and len(bad) < len(entries):
        raise Unreadable(f"is damaged: {len(bad)} of its {len(entries)} parts do not agree with "
                         f"their check sums (the first: {bad[0]})")  # fmt: skip


def _refuse_binary(head: bytes) -> None:
    for magic, words in _ARCHIVES.items():
        if head.startswith(magic):
            raise Unreadable(f"is {words}", "unpack it and give the checkpoint file inside it")
    if head[257:262] == b"ustar":
        raise Unreadable("is a tar archive", "unpack it and give the checkpoint file inside it")
    for magic, words in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise Unreadable(f"is {words}, not weights that this package reads")
    # ModelProto begins with ir_version (field 1, a small varint); NetParameter has a string there
    if re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42\x72]", head):
        raise Unreadable("is an ONNX file: an export, not a checkpoint")


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= size - 8


def _refuse_text(head: bytes) -> None:
    start = head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        raise Unreadable(
            "is a Git-LFS pointer (three lines of text), not the weights",
            "run `git lfs pull` in that repository or download the file itself",
        )
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<script", b"<body")):
        if any(mark in head.lower() for mark in _QUOTA):
            raise Unreadable(
                "is Google Drive's quota or confirmation page saved under the checkpoint's name",
                "open the address in a browser later and save the file itself",
            )
        raise Unreadable("is an HTML page saved under the checkpoint's name",
                         "open the address in a browser and save the file itself")  # fmt: skip
    if start.startswith((b"<?xml", b"<error")):
        raise Unreadable("is a server's XML error message saved under the checkpoint's name")
    if start.startswith((b'{"', b"[{", b"{\n", b"{ ")):
        raise Unreadable("is a JSON text, not weights")
    if _is_text(head[:4096]):
        if re.search(rb"^\s*(layers?|input|name)\s*[:{]", head[:4096], re.MULTILINE):
            raise Unreadable("is a .prototxt: the definition of the layers without their weights",
                             "give the .caffemodel that lies beside it")  # fmt: skip
        raise Unreadable(f"is a text file (it begins {head[:40].decode('latin1')!r})")


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head)
