"""Volumes made of API data: their content, and how it is written."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from pinnace.api.resources import CONFIG_MAPS, SECRETS
from pinnace.api.types import GVR
from pinnace.kubelet.volumes import atomic, host_path, ownership
from pinnace.kubelet.volumes.atomic import File
from pinnace.kubelet.volumes.payload import Context, PayloadError, files

POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}},
    "spec": {"containers": [{"name": "main"}]},
}
OBJECTS = {
    (CONFIG_MAPS, "c"): {"metadata": {"name": "c"}, "data": {"k": "v"}, "binaryData": {"b": "AAE="}},
    (SECRETS, "s"): {"metadata": {"name": "s"}, "data": {"p": base64.b64encode(b"pass").decode()}},
}


def context() -> Context:
    async def fetch(gvr: GVR, name: str) -> dict[str, Any] | None:
        return OBJECTS.get((gvr, name))

    async def token(audience: str, seconds: int) -> str:
        return f"token-{audience}-{seconds}"

    return Context(POD, ["192.0.2.1"], ["10.0.0.2"], {}, fetch, token)


class TestPayload:
    async def test_config_maps_and_secrets(self) -> None:
        found = await files({"configMap": {"name": "c"}}, context())
        assert found == {"k": File(b"v"), "b": File(b"\0\1")}
        found = await files({"secret": {"secretName": "s", "defaultMode": 0o400}}, context())
        assert found == {"p": File(b"pass", 0o400)}

    async def test_items_choose_and_rename(self) -> None:
        source = {"name": "c", "items": [{"key": "k", "path": "x/y", "mode": 0o600}]}
        assert await files({"configMap": source}, context()) == {"x/y": File(b"v", 0o600)}

    async def test_projected(self) -> None:
        sources = [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"secret": {"name": "s"}},
        ]
        found = await files({"projected": {"sources": sources}}, context())
        assert {name: file.content for name, file in found.items()} == {
            "token": b"token--600",
            "l": b'a="b"',
            "p": b"pass",
        }

    async def test_what_is_missing(self) -> None:
        with pytest.raises(PayloadError, match='configmap "no" not found'):
            await files({"configMap": {"name": "no"}}, context())
        assert await files({"configMap": {"name": "no", "optional": True}}, context()) == {}
        with pytest.raises(PayloadError, match="references non-existent secret key: no"):
            await files({"secret": {"secretName": "s", "items": [{"key": "no", "path": "x"}]}}, context())

    async def test_paths_stay_inside(self) -> None:
        for path in ("../x", "/x", "a/../../x"):
            with pytest.raises(PayloadError, match="inside the volume"):
                await files({"configMap": {"name": "c", "items": [{"key": "k", "path": path}]}}, context())


class TestAtomicWriter:
    def test_layout(self, tmp_path: Path) -> None:
        assert atomic.write(tmp_path, {"a": File(b"1"), "d/e": File(b"2", 0o600)}, "2026_01_01_00_00_00")
        assert (tmp_path / "a").read_bytes() == b"1"
        assert os.readlink(tmp_path / "a") == "..data/a"
        assert os.readlink(tmp_path / "..data").startswith("..2026_01_01_00_00_00.")
        assert (tmp_path / "d/e").stat().st_mode & 0o777 == 0o600
        assert not atomic.write(tmp_path, {"a": File(b"1"), "d/e": File(b"2", 0o600)}, "2026_01_01_00_00_01")

    def test_a_new_version_replaces_the_old_in_one_step(self, tmp_path: Path) -> None:
        atomic.write(tmp_path, {"a": File(b"1"), "gone": File(b"x")}, "2026_01_01_00_00_00")
        first = os.readlink(tmp_path / "..data")
        assert atomic.write(tmp_path, {"a": File(b"2")}, "2026_01_01_00_00_01")
        assert sorted(os.listdir(tmp_path)) == sorted(["a", "..data", os.readlink(tmp_path / "..data")])
        assert first not in os.listdir(tmp_path)
        assert (tmp_path / "a").read_bytes() == b"2"

    def test_what_a_crash_left_is_cleared(self, tmp_path: Path) -> None:
        atomic.write(tmp_path, {"a": File(b"1")}, "2026_01_01_00_00_00")
        (tmp_path / "..2026_01_01_00_00_01.half").mkdir()
        (tmp_path / "..data_tmp").symlink_to("nowhere")
        atomic.write(tmp_path, {"a": File(b"2")}, "2026_01_01_00_00_02")
        assert (tmp_path / "a").read_bytes() == b"2"
        assert len(list(tmp_path.iterdir())) == 3

    def test_a_link_that_leads_away_is_not_followed(self, tmp_path: Path) -> None:
        volume, elsewhere = tmp_path / "volume", tmp_path / "elsewhere"
        volume.mkdir()
        elsewhere.mkdir()
        (elsewhere / "kept").write_text("kept")
        (volume / atomic.DATA).symlink_to(elsewhere)
        assert atomic.write(volume, {"a": File(b"1")}, "2026_11_21_09_14_00")
        assert (volume / "a").read_bytes() == b"1"
        assert (elsewhere / "kept").read_text() == "kept"

    def test_only_a_mode_changed(self, tmp_path: Path) -> None:
        atomic.write(tmp_path, {"a": File(b"1")}, "2026_01_01_00_00_00")
        assert atomic.write(tmp_path, {"a": File(b"1", 0o400)}, "2026_01_01_00_00_01")


def test_host_paths(tmp_path: Path) -> None:
    host_path.prepare(tmp_path / "new", "DirectoryOrCreate")
    assert (tmp_path / "new").is_dir()
    host_path.prepare(tmp_path / "file", "FileOrCreate")
    host_path.prepare(tmp_path / "file", "File")
    host_path.prepare(tmp_path / "absent", "")
    for kind, words in (("Directory", "is not a directory"), ("Socket", "is not a socket")):
        with pytest.raises(PayloadError, match=words):
            host_path.prepare(tmp_path / "file", kind)


def test_a_volume_is_given_to_a_group(tmp_path: Path) -> None:
    group = os.getgid() if os.geteuid() else 4242
    (tmp_path / "v" / "inner").mkdir(parents=True, mode=0o700)
    (tmp_path / "v" / "inner" / "file").write_text("x")
    (tmp_path / "v" / "inner" / "file").chmod(0o600)
    (tmp_path / "outside").write_text("x")
    (tmp_path / "outside").chmod(0o600)
    (tmp_path / "v" / "link").symlink_to(tmp_path / "outside")
    ownership.give(tmp_path / "v", group, "Always")
    inner, file = (tmp_path / "v" / "inner").stat(), (tmp_path / "v" / "inner" / "file").stat()
    assert (inner.st_gid, inner.st_mode & 0o7777) == (group, 0o2770)
    assert (file.st_gid, file.st_mode & 0o7777) == (group, 0o660)
    assert (tmp_path / "outside").stat().st_mode & 0o7777 == 0o600, "links are not followed"
    (tmp_path / "v" / "inner" / "file").chmod(0o600)
    ownership.give(tmp_path / "v", group, "OnRootMismatch")
    assert (tmp_path / "v" / "inner" / "file").stat().st_mode & 0o7777 == 0o600, "the root is right: nothing is touched"
    (tmp_path / "v").chmod(0o700)
    ownership.give(tmp_path / "v", group, "OnRootMismatch")
    assert (tmp_path / "v" / "inner" / "file").stat().st_mode & 0o7777 == 0o660
