"""What a real node is configured with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinnace.cluster import realnode
from pinnace.cluster.errors import ClusterError, Exit


def test_the_node_s_configuration_file(tmp_path: Path) -> None:
    chosen = realnode.configuration(tmp_path)
    assert chosen.staticPodPath == str(tmp_path / "node" / "manifests")
    assert chosen.evictionHard["nodefs.available"] == "1Gi", "no share of a disk that others use too"
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "kubelet.yaml").write_text("maxPods: 7\n")
    assert realnode.configuration(tmp_path).maxPods == 7
    (tmp_path / "node" / "kubelet.yaml").write_text("maxPodz: 7\n")
    with pytest.raises(ClusterError, match=r"node/kubelet\.yaml: maxPodz: not a field that this kubelet has") as caught:
        realnode.configuration(tmp_path)
    assert caught.value.exit == Exit.USAGE
