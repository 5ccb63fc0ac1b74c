"""The engine store: what was not built whole, by us, from exactly these things, is no engine."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from fuw.engine import store as module
from fuw.engine.errors import BackendError, StoreError
from fuw.engine.locks import Lock, Owner
from fuw.engine.store import Key, Store

KEY = Key("alias", "5f" * 8, "c7" * 32, "fp16", "1024x768", 1, "tensorrt", "10.16.0", "575.1",
          "NVIDIA H200", "sm_90")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def writes(content: bytes) -> module.Build:
    return lambda path: (path.write_bytes(content), None)[1]


def never(path: Path) -> None:
    raise AssertionError("built again")


def test_built_once_then_found(store: Store) -> None:
    assert store.get(KEY) is None
    path = store.put(KEY, writes(b"engine"))
    assert path.read_bytes() == b"engine" and store.get(KEY) == path and store.explain(KEY) is None
    assert store.put(KEY, never) == path
    assert sorted(p.suffix for p in store.root.iterdir() if p.name[0] != ".") == [
        ".engine", ".json"]  # fmt: skip
    assert path.stat().st_mode & 0o077 == 0 and store.root.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", [f.name for f in fields(Key)])
def test_every_field_makes_another_engine_and_is_named(store: Store, name: str) -> None:
    store.put(KEY, writes(b"engine"))
    other = replace(KEY, **{name: 4 if name == "batch" else "else"})
    assert store.get(other) is None
    why = store.explain(other)
    assert why is not None
    if name != "network":
        assert why.startswith(f"{name.replace('_', ' ')} was ") and why.count(";") == 0
    store.put(other, writes(b"other"))
    assert store.get(KEY) != store.get(other)


def test_explain_names_the_nearest(store: Store) -> None:
    assert store.explain(KEY) == "no engine of alias was built here yet"
    store.put(replace(KEY, precision="fp32", driver="1"), writes(b"a"))
    store.put(replace(KEY, driver="560.0"), writes(b"b"))
    assert store.explain(KEY) == "driver was 560.0, is 575.1"


TAMPERED = {
    "no record": lambda e, r: r.unlink(),
    "no engine": lambda e, r: e.unlink(),
    "torn record": lambda e, r: r.write_text(r.read_text()[:40]),
    "record of nothing": lambda e, r: r.write_text("[]"),
    "shorter": lambda e, r: e.write_bytes(b"engin"),
    "same length, other bytes": lambda e, r: e.write_bytes(b"ENGINE"),
    "another key in the record": lambda e, r: r.write_text(
        r.read_text().replace("fp16", "fp32")),
    "a key of other kinds": lambda e, r: r.write_text(
        r.read_text().replace('"network": "alias"', '"network": ["alias"]')),
    "nested beyond end": lambda e, r: r.write_text("[" * 100_000),
    "built at no time": lambda e, r: r.write_text(
        r.read_text().replace('"bytes": 6', '"bytes": 7').replace(
            '"built": ', f'"built": {10**400}, "at": ')),
    "record of another version": lambda e, r: r.write_text(
        r.read_text().replace('"batch"', '"batches"')),
    "others may write the engine": lambda e, r: e.chmod(0o602),
    "others may write the record": lambda e, r: r.chmod(0o602),
    "others may write the folder": lambda e, r: e.parent.chmod(0o777),
    "others may write the folder above": lambda e, r: e.parent.parent.chmod(0o777),
    "a link": lambda e, r: (e.rename(e.with_name("x")), e.symlink_to(e.with_name("x"))),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_is_not_trusted(store: Store, what: str) -> None:
    path = store.put(KEY, writes(b"engine"))
    TAMPERED[what](path, path.with_suffix(".json"))
    assert store.get(KEY) is None
    assert store.explain(KEY)
    assert all(entry.problem for entry in store.entries())
    again = store.put(KEY, writes(b"engine"))
    assert again.read_bytes() == b"engine" and store.get(KEY) == again


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["engine", "record", "folder"])
def test_what_belongs_to_another_user_is_not_trusted(store: Store, what: str) -> None:
    path = store.put(KEY, writes(b"engine"))
    given = {"engine": path, "record": path.with_suffix(".json"), "folder": store.root}[what]
    os.chown(given, 54321, 54321)
    assert store.get(KEY) is None
    assert f"{given} belongs to another user" in (store.explain(KEY) or "")


def test_a_touched_but_equal_engine_is_still_good(store: Store) -> None:
    path = store.put(KEY, writes(b"engine"))
    os.utime(path, (1, 1))
    assert store.get(KEY) == path


def test_a_failing_builder_leaves_nothing(store: Store) -> None:
    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise BackendError("out of memory")

    with pytest.raises(BackendError, match="out of memory"):
        store.put(KEY, fails)
    with pytest.raises(StoreError, match="wrote no file"):
        store.put(KEY, lambda path: None)
    assert store.get(KEY) is None and [p.name for p in store.root.iterdir()] == [".guard"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_falls_back_with_one_sentence(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def full_at_first(path: Path) -> None:
        if path.is_relative_to(store.root):
            with open("/dev/full", "wb") as out:
                out.write(b"x" * 10)
        path.write_bytes(b"engine")

    path = store.put(KEY, full_at_first)
    assert path.read_bytes() == b"engine" and not path.is_relative_to(store.root)
    assert len(caplog.records) == 1 and "no space left" in caplog.text
    assert store.get(KEY) == path and store.put(KEY, never) == path


@pytest.mark.parametrize("place", ["file", "file/below", "open"])
def test_an_unusable_folder_falls_back(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    store = Store(tmp_path / place)
    path = store.put(KEY, writes(b"engine"))
    assert path.read_bytes() == b"engine" and store.get(KEY) == path
    assert "cannot be used" in caplog.text and str(tmp_path / place) in caplog.text


def test_nowhere_to_write_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="--cache DIR"):
        Store(tmp_path / "file" / "cache").put(KEY, writes(b"engine"))


def test_a_read_only_cache_can_still_be_loaded_from(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.put(KEY, writes(b"engine"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert store.get(KEY) == path and store.put(KEY, never) == path


# ---- locks -----------------------------------------------------------------------------------


def test_two_threads_build_once(store: Store) -> None:
    builds: list[float] = []

    def slow(path: Path) -> None:
        builds.append(time.time())
        time.sleep(0.2)
        path.write_bytes(b"engine")

    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(store.put(KEY, slow)))
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1 and len(set(paths)) == 1 and len(paths) == 4


def test_two_processes_build_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom test_store import KEY\nfrom fuw.engine.store import Store\n"
        "def slow(path):\n    print('built'); time.sleep(1); path.write_bytes(b'engine')\n"
        "print(Store(Path(sys.argv[1])).put(KEY, slow).read_bytes())"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "cache"), str(Path(__file__).parent)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate(timeout=120)[0] for process in running)
    assert said.count("built") == 1 and said.count("b'engine'") == 2


def test_different_keys_do_not_wait(store: Store) -> None:
    def nested(path: Path) -> None:
        store.put(replace(KEY, network="gmm"), writes(b"inner"))
        path.write_bytes(b"outer")

    assert store.put(KEY, nested).read_bytes() == b"outer"


def lock_of(store: Store) -> Lock:
    store.root.mkdir(exist_ok=True, mode=0o700)
    return Lock(store.root / f"{KEY.name}.lock")


@pytest.mark.parametrize(("change", "why"), [
    ({"pid": 2**22 + 1}, "no such process"),
    ({"started": "1"}, "its number belongs to a later process"),
    ({"boot": "another"}, "the machine was started anew"),
])  # fmt: skip
def test_a_dead_owners_lock_is_taken_over(store: Store, change: dict[str, str], why: str) -> None:
    lock = lock_of(store)
    owner = replace(Owner.me(), **change)
    lock.path.write_text(json.dumps(owner.__dict__))
    assert lock.holder() is None, why
    assert store.put(KEY, writes(b"engine")).read_bytes() == b"engine"
    assert not lock.path.exists()


def test_a_living_owners_lock_is_respected(store: Store) -> None:
    lock = lock_of(store)
    assert lock.try_acquire()
    impatient = Store(store.root, wait_seconds=0.1)
    with pytest.raises(StoreError, match=f"process {os.getpid()} on .* has held"):
        impatient.put(KEY, never)
    lock.release()
    assert impatient.put(KEY, writes(b"engine"))


def test_another_machines_lock_lasts_an_hour(store: Store) -> None:
    lock = lock_of(store)
    lock.path.write_text(json.dumps(replace(Owner.me(), host="elsewhere", pid=1).__dict__))
    assert lock.holder() is not None
    os.utime(lock.path, (time.time() - 3700,) * 2)
    assert lock.holder() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}', "[" * 100_000, *(
    json.dumps({**vars(Owner.me()), "pid": pid}) for pid in ("1", None, 10**30, -1, 2.0))])
def test_a_torn_lock_is_nobodys(store: Store, content: str) -> None:
    lock = lock_of(store)
    lock.path.write_text(content)
    assert lock.try_acquire()


def test_a_lock_taken_over_is_not_released_by_its_first_owner(store: Store) -> None:
    first, second = lock_of(store), lock_of(store)
    assert first.try_acquire()
    first.path.unlink()
    assert second.try_acquire()
    first.release()
    assert second.path.exists()


# ---- killed builders -------------------------------------------------------------------------

BUILDER = """
import os, sys, signal, random, time
from pathlib import Path
from dataclasses import replace
sys.path.insert(0, sys.argv[2])
from test_store import KEY
from fuw.engine.store import Store

def slow(path):
    with path.open("wb") as out:
        for part in range(8):
            out.write(bytes([part]) * 4096)
            out.flush()
            time.sleep(0.0005)

store = Store(Path(sys.argv[1]))
rng = random.Random(7)
for trial in range(30):
    child = os.fork()
    if not child:
        for turn in range(1000):
            store.put(replace(KEY, options=str((trial + turn) % 40)), slow)
            if turn % 5 == 4:  # also kill in the middle of removing and building again
                store.prune(unused_days=0)
        os._exit(0)
    time.sleep(rng.uniform(0.0, 0.08))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for option in range(40):
        path = store.get(replace(KEY, options=str(option)))
        if path is not None:
            data = path.read_bytes()
            assert data == b"".join(bytes([p]) * 4096 for p in range(8)), (trial, option)
print("30 killed")
"""


def test_thirty_killed_builders_leave_nothing_to_trust(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", BUILDER, str(root), here], timeout=120,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.strip() == "30 killed", done.stderr
    store = Store(root, wait_seconds=5)
    for option in range(40):  # no dead lock stands in the way, and leftovers are swept
        store.put(replace(KEY, options=str(option)), writes(b"whole"))
    store.prune()
    left = [p.name for p in root.iterdir() if p.suffix not in (".engine", ".json")]
    assert [name for name in left if name != ".guard" and ".lock." not in name] == []


def test_a_waiter_goes_on_when_the_builder_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom test_store import KEY\nfrom fuw.engine.store import Store\n"
        "def stuck(path):\n    path.write_bytes(b'half'); print('building', flush=True)\n"
        "    time.sleep(60)\nStore(Path(sys.argv[1])).put(KEY, stuck)"
    )
    here = str(Path(__file__).parent)
    builder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "cache"), here],
                               stdout=subprocess.PIPE)  # fmt: skip
    assert builder.stdout is not None and builder.stdout.readline() == b"building\n"
    timer = threading.Timer(random.uniform(0.1, 0.3), builder.send_signal, [signal.SIGKILL])
    timer.start()
    threading.Thread(target=builder.wait).start()
    path = Store(tmp_path / "cache", wait_seconds=30).put(KEY, writes(b"engine"))
    assert path.read_bytes() == b"engine"
    builder.stdout.close()


# ---- listing and pruning ---------------------------------------------------------------------


def test_entries_tell_what_is_there(store: Store) -> None:
    assert store.entries() == [] and store.prune() == []
    good = store.put(KEY, writes(b"engine"))
    bad = store.put(replace(KEY, network="gmm"), writes(b"xy"))
    bad.with_suffix(".json").unlink()
    entries = {e.path: e for e in store.entries()}
    assert entries[good].key == KEY and entries[good].bytes == 6 and not entries[good].problem
    assert entries[bad].key is None and "killed" in entries[bad].problem
    assert store.prune() == [bad] and store.get(KEY) == good


def test_prune_removes_what_a_newer_one_has_replaced(store: Store) -> None:
    old = store.put(KEY, writes(b"old"))
    newer = store.put(replace(KEY, driver="580.0"), writes(b"new"))
    other = store.put(replace(KEY, checkpoint="other weights"), writes(b"other"))
    assert store.prune() == [old]
    assert newer.exists() and other.exists()


def test_foreign_files_are_neither_listed_nor_removed(store: Store) -> None:
    engine = store.put(KEY, writes(b"engine"))
    (store.root / ".git.old").mkdir()
    for name in ("manifest.json", "model.engine", "poetry.lock", "notes.txt", ".x.y"):
        (store.root / name).touch()
    before = sorted(store.root.iterdir())
    assert [entry.path for entry in store.entries()] == [engine]
    assert store.prune() == [] and sorted(store.root.iterdir()) == before


def test_prune_by_time_of_last_use(store: Store) -> None:
    path = store.put(KEY, writes(b"engine"))
    os.utime(path.with_suffix(".json"), (time.time() - 10 * 86400,) * 2)
    assert store.prune(unused_days=11) == []
    assert store.prune(unused_days=9) == [path]
    assert store.entries() == []


def test_loading_counts_as_use(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    path = store.put(KEY, writes(b"engine"))
    os.utime(path.with_suffix(".json"), (1, 1))
    with caplog.at_level(logging.WARNING):
        store.get(KEY)
    assert not caplog.records and store.prune(unused_days=1) == []
