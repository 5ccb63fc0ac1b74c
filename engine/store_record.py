"""What the store writes beside an engine, and when an engine may be trusted."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fuw.engine.files import sha256
from fuw.engine.trust import distrust

NAME = re.compile(r".+\.[0-9a-f]{20}")  # of `Key.name`: nothing else in the folder is touched


@dataclass(frozen=True)
class Key:
    """What an engine was built from; a difference in any field makes it another engine.

    Attributes:
        spec: `NetSpec.hash(variant)`.
        checkpoint: SHA-256 of the weights' file.
        size: of the picture, "1024x768".
        runtime: "tensorrt", "tensorrt_rtx", "openvino", "onnxruntime", ...
        driver, gpu, arch: of the device, "" on a CPU; `arch` is "sm_90" or the CPU's features.
        options: what else the builder was told, for example "level=3".
    """

    network: str
    spec: str
    checkpoint: str
    precision: str
    size: str
    batch: int
    runtime: str
    runtime_version: str
    driver: str = ""
    gpu: str = ""
    arch: str = ""
    options: str = ""

    @property
    def name(self) -> str:
        """File name without suffix: readable parts, then a digest of all fields."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:20]
        words = f"{self.network}-{self.size}-b{self.batch}.{self.precision}.{self.runtime}"
        return "".join(c if c.isalnum() or c in "._-" else "_" for c in words) + f".{digest}"


@dataclass(frozen=True)
class Entry:
    """One engine in the store, or what is left of one.

    Attributes:
        key: None where the JSON is missing or torn.
        problem: why it is not trusted, "" where it is.
        built, used: seconds since 1970.
    """

    path: Path
    key: Key | None
    bytes: int
    built: float
    used: float
    problem: str = ""


def engine_path(root: Path, key: Key) -> Path:
    """Where the engine of `key` lies in the store `root`."""
    return root / f"{key.name}.engine"


def record_path(path: Path) -> Path:
    """The JSON beside the engine `path`."""
    return path.with_suffix(".json")


def problem_of(root: Path, path: Path, key: Key | None) -> str:
    """Why the engine at `path` is not what `key` asks for, or may not be loaded; "" if it may."""
    record = record_path(path)
    if not record.exists() or not path.exists():
        return "not built, or its builder was killed"
    for place in (root, path, record):
        reason = distrust(place)
        if reason:
            return reason
    facts = _facts(record)
    if facts is None:
        return "its record is torn"
    there = _key(facts)
    if there is None or record_path(path).stem != there.name:
        return "its record belongs to another engine"
    if key is not None and there != key:
        return "; ".join(differences(there, key))
    stat = path.stat()
    if stat.st_size != facts.get("bytes"):
        return f"it has {stat.st_size:,} bytes where {facts.get('bytes'):,} were built"
    # the hash of every engine at every start would cost a second; the times are compared instead
    if stat.st_mtime_ns != facts.get("mtime_ns") and sha256(path) != facts.get("sha256"):
        return "its bytes have changed since it was built"
    return ""


def entry_of(root: Path, path: Path) -> Entry:
    """What `path`, or what is left of it, says of itself."""
    facts = _facts(record_path(path)) or {}
    built, size = facts.get("built"), path.stat().st_size if path.exists() else 0
    used = record_path(path).stat().st_mtime if record_path(path).exists() else 0.0
    when = built if isinstance(built, float) else used
    return Entry(path, _key(facts), size, when, used, problem_of(root, path, None))


def _facts(record: Path) -> dict[str, object] | None:
    try:
        facts = json.loads(record.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and isinstance(facts.get("bytes"), int) else None


def _key(facts: dict[str, object]) -> Key | None:
    values = facts.get("key")
    if not isinstance(values, dict) or set(values) != {f.name for f in fields(Key)}:
        return None  # another version of this program
    key = Key(**values)
    return key if all(type(value) is (int if name == "batch" else str)
                      for name, value in asdict(key).items()) else None


def differences(was: Key, wanted: Key) -> list[str]:
    """What separates two keys, in words; hashes are shortened."""
    then, now = asdict(was), asdict(wanted)
    return [
        f"{name.replace('_', ' ')} was {str(then[name])[:16] or 'none'}, "
        f"is {str(now[name])[:16] or 'none'}"
        for name in then if then[name] != now[name]
    ]  # fmt: skip


def superseded(entry: Entry, entries: list[Entry]) -> bool:
    """Whether a newer engine of the same network, weights, size and device is there."""
    stays = ("network", "checkpoint", "precision", "size", "batch", "runtime", "gpu", "options")
    return entry.key is not None and any(
        other.key is not None and other.built > entry.built and not other.problem
        and all(getattr(other.key, name) == getattr(entry.key, name) for name in stays)
        for other in entries
    )  # fmt: skip
