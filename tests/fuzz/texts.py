"""Doors for small text files: key points, pairs, manifests, store records, locks, bench reports."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import fuw
from fuw.bench import compare
from fuw.engine.dataset import read_pairs
from fuw.engine.files import sweep
from fuw.engine.locks import Lock
from fuw.engine.openpose_json import read_openpose_json
from fuw.engine.store import Key, Store
from fuw.engine.weights import MANIFEST, find_models
from fuzz.damage import in_bytes, in_json
from fuzz.door import Door

STARTER = Path(fuw.__file__).parent / "models" / "starter"
KEY = Key("seg", "0" * 16, "1" * 64, "fp32", "1024x768", 1, "made_up", "1.0", arch="none")
BOTH = (in_bytes, in_json, in_json)


def doors() -> list[Door]:
    """A door for each kind of text."""
    person = {"person_id": [-1], "pose_keypoints_2d": list(range(75)),
              "hand_left_keypoints_2d": [0.5] * 63, "hand_right_keypoints_2d": []}
    keypoints = json.dumps({"version": 1.3, "people": [person, person]}).encode()
    return [
        Door("keypoints", keypoints, read_openpose_json, damages=BOTH),
        Door("pairs", b"00001_00.jpg 00002_00.jpg\n" * 20, read_pairs),
        Door("manifest", (STARTER / MANIFEST).read_bytes(),
             lambda path: find_models(path.parent, "fp32", (1024, 768)), MANIFEST, damages=BOTH),
        Door("bench-report", _report(), _compared, damages=BOTH),
        Door("store-record", _record(), _store, f"{KEY.name}.json", _engine, BOTH),
        Door("lock", _lock(), _locked, "x.lock", damages=BOTH),
        Door("part", b"half", lambda path: sweep(path.parent), ".a.jpg.1.99999999.part"),
    ]


def _report() -> bytes:
    row = {"p50": 12.5, "p90": 14.0, "p99": 15.0, "n": 20}
    run = {"size": [1024, 768], "weights": "starter",
           "configurations": {"openvino fp32": {"rows": {"alias": row, "total": row}}}}
    return json.dumps({"format": 2, "starts": {"warm": row}, "runs": [run]}).encode()


def _compared(path: Path) -> object:
    return compare.compare(compare.read(path), compare.read(path))


def _made() -> tuple[bytes, bytes]:
    """Record and engine of a store with one engine."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Store(Path(folder)).put(KEY, lambda made: made.write_bytes(bytes(range(256)) * 40))
        os.utime(path, ns=(10**18, 10**18))
        record = json.loads(path.with_suffix(".json").read_text())
        record["mtime_ns"] = 10**18
        return json.dumps(record).encode(), path.read_bytes()


def _record() -> bytes:
    return _made()[0]


def _engine(folder: Path) -> None:
    """A store's folder as its builder left it, without the record that is the case."""
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    engine = folder / f"{KEY.name}.engine"
    engine.write_bytes(bytes(range(256)) * 40)
    os.utime(engine, ns=(10**18, 10**18))


def _store(record: Path) -> object:
    """Everything that reads a record: load, say why not, list, prune, build anew."""
    store = Store(record.parent, wait_seconds=0.1)
    found = store.get(KEY)
    why = store.explain(KEY)
    assert (found is None) == (why is not None)
    store.entries()
    store.prune()
    return store.put(KEY, lambda made: made.write_bytes(b"new"))


def _lock() -> bytes:
    from dataclasses import asdict

    from fuw.engine.locks import Owner
    return json.dumps(asdict(Owner.me())).encode()


def _locked(path: Path) -> object:
    lock = Lock(path)
    lock.holder()
    if lock.try_acquire():
        lock.release()
    return lock
