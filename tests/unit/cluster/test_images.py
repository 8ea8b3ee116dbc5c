"""Images are loaded into a node, or it is said that there is none."""

from pathlib import Path

import pytest

from pinnace.cluster import images
from pinnace.cluster.errors import ClusterError, Exit


def test_a_cluster_without_a_node_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no node") as caught:
        images.load([tmp_path / "image.tar"], tmp_path, {"runtime": "none"})
    assert caught.value.exit is Exit.IMAGE_REFUSED


def test_a_node_that_is_still_starting_refuses_instead_of_forgetting_them(tmp_path: Path) -> None:
    from tests import images as made

    archive = made.oci_archive(tmp_path / "i.tar", ["docker.io/library/a:b"], b"", {})
    with pytest.raises(ClusterError, match="try again") as caught:
        images.load([archive], tmp_path, {"runtime": "containerd"})
    assert caught.value.exit is Exit.IMAGE_REFUSED
