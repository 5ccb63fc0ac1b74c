"""A few moments of `kill_moments.py`; the full measure is 50 for each command."""

from pathlib import Path

import kill_moments
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", kill_moments.VICTIMS)
def test_killed_it_leaves_whole_files_and_a_rerun_finishes(name: str, tmp_path: Path) -> None:
    told = kill_moments.run(name, moments=2, seed=0, work=tmp_path)
    assert told["killed"] == 2 and told["torn"] == 0


def test_a_torn_file_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"whole")
    wanted = kill_moments.files(tmp_path)
    assert kill_moments.torn(tmp_path, wanted) == []
    (tmp_path / "a.jpg").write_bytes(b"who")
    (tmp_path / ".b.jpg.1.2.part").touch()
    assert kill_moments.torn(tmp_path, wanted) == ["a.jpg"]
    assert [p.name for p in kill_moments.unfinished(tmp_path)] == [".b.jpg.1.2.part"]
