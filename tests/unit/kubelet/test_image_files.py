"""Image archives: what is in them, and what is no image."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from pinnace.kubelet import image_files, pause
from pinnace.kubelet.image_files import ImageFileError, names_in


def tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_docker_archives(tmp_path: Path) -> None:
    manifest = json.dumps([{"RepoTags": ["nginx:v2", "localhost:5000/x:1"]}]).encode()
    found = names_in(tar(tmp_path / "a.tar", manifest_json=manifest))
    assert found == ["docker.io/library/nginx:v2", "localhost:5000/x:1"]


def test_oci_layouts(tmp_path: Path) -> None:
    path = tmp_path / "pause.tar"
    path.write_bytes(pause.image_archive("x86_64"))
    assert names_in(path) == [pause.IMAGE]


def test_what_is_no_image(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not an image" * 100)
    cases = [
        (garbage, "garbage is not a tar file"),
        (tmp_path / "absent", "No such file"),
        (tar(tmp_path / "b.tar", readme=b"x"), "neither manifest.json"),
        (tar(tmp_path / "c.tar", manifest_json=b"{"), "manifest.json is not JSON"),
        (tar(tmp_path / "d.tar", manifest_json=b"[1]"), "is not a docker-archive's"),
        (tar(tmp_path / "e.tar", manifest_json=b"[{}]"), "no tags"),
        (tar(tmp_path / "f.tar", index_json=b"[]"), "not an OCI index"),
    ]
    for path, words in cases:
        with pytest.raises(ImageFileError, match=words):
            names_in(path)


async def test_nothing_is_loaded_if_one_file_is_bad(tmp_path: Path) -> None:
    good = tmp_path / "pause.tar"
    good.write_bytes(pause.image_archive("x86_64"))
    assert await image_files.load([good], None) == [pause.IMAGE]
    with pytest.raises(ImageFileError):
        await image_files.load([good, tmp_path / "absent"], tmp_path / "no.sock")


def test_the_pause_program_is_an_elf_file() -> None:
    for machine in ("x86_64", "aarch64"):
        program = pause.program(machine)
        assert program.startswith(b"\x7fELF")
        assert len(program) < 256
    with pytest.raises(ValueError, match="no pause program for sparc"):
        pause.program("sparc")
