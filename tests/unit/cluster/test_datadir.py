"""A data directory belongs to one process, and says so; what it does not understand it does not touch."""

from pathlib import Path

import pytest

from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import ClusterError, Exit


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path):
    first = DataDir(tmp_path / "d")
    first.acquire()
    first.announce({"pid": 42, "server": "https://127.0.0.1:6443"})
    with pytest.raises(
        ClusterError, match=r"in use by another Pinnace \(process 42, https://127.0.0.1:6443\)"
    ) as caught:
        DataDir(tmp_path / "d").acquire()
    assert caught.value.exit is Exit.DATA_IN_USE
    assert DataDir(tmp_path / "d").running() == {"pid": 42, "server": "https://127.0.0.1:6443"}
    first.release()
    assert DataDir(tmp_path / "d").running() is None
    second = DataDir(tmp_path / "d")
    second.acquire()
    assert second.running() is None  # what the first one said is not said of the second
    second.release()


def test_a_newer_format_is_left_alone(tmp_path: Path):
    (tmp_path / "format").write_text("99\n")
    directory = DataDir(tmp_path)
    with pytest.raises(ClusterError, match="newer Pinnace") as caught:
        directory.acquire()
    assert caught.value.exit is Exit.DATA_NEWER
    assert not directory.is_held()


def test_a_damaged_format_is_named(tmp_path: Path):
    (tmp_path / "format").write_text("\0\0garbage")
    with pytest.raises(ClusterError, match="format") as caught:
        DataDir(tmp_path).acquire()
    assert caught.value.exit is Exit.DATA_DAMAGED


def test_a_place_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="--data-dir") as caught:
        DataDir(tmp_path / "file" / "d").acquire()
    assert caught.value.exit is Exit.NOT_PERMITTED
