"""Images from files: docker-archive and OCI layout tarballs."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinnace.kubelet.containerd import ContainerdFailed, import_image
from pinnace.kubelet.images import normalize

#: Bytes of an index or a manifest that are read.
LIMIT = 8 << 20


class ImageFileError(Exception):
    """A file that holds no image, or that the runtime does not take; the text names the file."""


def names_in(file: Path) -> list[str]:
    """The full names of the images in a tarball. Raises ImageFileError."""
    try:
        with tarfile.open(file) as archive:
            members = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
            if "index.json" in members:
                return _oci_names(_json(archive, members["index.json"], file), file)
            if "manifest.json" in members:
                return _docker_names(_json(archive, members["manifest.json"], file), file)
    except OSError as error:
        raise ImageFileError(f"{file}: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError) as error:
        raise ImageFileError(f"{file} is not a tar file: {str(error).partition(chr(10))[0].rstrip(':')}") from error
    raise ImageFileError(
        f"{file} is no image: it has neither manifest.json (docker-archive) nor index.json (OCI layout)"
    )


def _json(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> Any:
    opened = archive.extractfile(member)
    try:
        return json.loads(opened.read(LIMIT) if opened is not None else b"")
    except (ValueError, RecursionError) as error:
        raise ImageFileError(f"{file}: {member.name} is not JSON: {error}") from error


def _oci_names(index: Any, file: Path) -> list[str]:
    found = []
    try:
        for entry in index["manifests"]:
            notes = entry.get("annotations") or {}
            name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
            if name:
                found.append(normalize(name))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ImageFileError(f"{file}: index.json is not an OCI index: {error}") from error
    if not found:
        raise ImageFileError(f"{file}: its images have no names (annotation org.opencontainers.image.ref.name)")
    return found


def _docker_names(manifest: Any, file: Path) -> list[str]:
    try:
        found = [normalize(name) for entry in manifest for name in entry.get("RepoTags") or ()]
    except (TypeError, AttributeError, ValueError) as error:
        raise ImageFileError(f"{file}: manifest.json is not a docker-archive's: {error}") from error
    if not found:
        raise ImageFileError(f"{file}: its images have no tags; save them by name: docker save NAME:TAG")
    return found


async def load(files: Sequence[Path], socket: Path | None) -> list[str]:
    """Take the images in the files into the containerd at ``socket``; into none if None, for simulated nodes have every
    image. All files are looked at before the first is taken in. The names, in order. Raises ImageFileError."""
    names = [name for file in files for name in names_in(file)]
    if socket is None:
        return names
    for file in files:
        try:
            await import_image(socket, file)
        except ContainerdFailed as error:
            raise ImageFileError(str(error)) from error
    return names
