"""The node's configuration file, durations, and static Pods' manifests."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pinnace.api import meta
from pinnace.core.clock import VirtualClock
from pinnace.kubelet import configuration, durations, manifests
from pinnace.kubelet.configuration import Configuration, ConfigurationError
from pinnace.kubelet.manifests import ManifestError, Manifests

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: main, image: busybox}]}\n"


def test_durations() -> None:
    assert [durations.parse(text) for text in ("250ms", "5s", "1m30s", "1.5h")] == [0.25, 5, 90, 5400]
    assert [durations.text(n) for n in (10, 80, 300, 3661)] == ["10s", "1m20s", "5m0s", "1h1m1s"]
    for text in ("", "5", "s", "5 s", "-5s", "5days"):
        with pytest.raises(ValueError, match="is no duration"):
            durations.parse(text)


class TestConfiguration:
    def test_a_file_changes_what_it_names(self, tmp_path: Path) -> None:
        file = tmp_path / "kubelet.yaml"
        assert configuration.load(file, Configuration(maxPods=7)).maxPods == 7, "there is no file"
        file.write_text(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
            "shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s\nevictionHard: {memory.available: 5%}\n"
        )
        made = configuration.load(file, Configuration(maxPods=7))
        assert (made.maxPods, made.evictionHard["memory.available"]) == (7, "5%")
        assert made.evictionHard["nodefs.available"] == "10%", "the others keep their defaults"
        assert made.shutdown_periods() == [(0, 20), (2_000_000_000, 10)]
        assert made.shown()["shutdownGracePeriod"] == "30s"
        assert configuration.parse(made.shown(), Configuration()) == made

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("[", "is not YAML"),
            ("5", "expected an object"),
            ("kind: Pod", "kind: expected KubeletConfiguration, found 'Pod'"),
            ("maxPodz: 5", "maxPodz: not a field that this kubelet has; it has allowedUnsafeSysctls, "),
            ("maxPods: many", "maxPods: expected a whole number, found 'many'"),
            ("maxPods: -1", "maxPods: must not be negative"),
            ("maxPods: true", "maxPods: expected a whole number, found True"),
            ("shutdownGracePeriod: 5", "shutdownGracePeriod: '5' is no duration"),
            ("imageGCHighThresholdPercent: 101", "expected a percentage"),
            ("imageGCHighThresholdPercent: 50", "imageGCLowThresholdPercent: must be less than"),
            ("shutdownGracePeriodCriticalPods: 5s", "must not be more than shutdownGracePeriod"),
            ("shutdownGracePeriodByPodPriority: [{a: 1}]", "expected entries of priority and"),
            (
                "shutdownGracePeriodByPodPriority: [{priority: x, shutdownGracePeriodSeconds: 1}]",
                "shutdownGracePeriodByPodPriority: expected whole numbers",
            ),
            ("[" * 5000, "is not YAML"),
            ("port: 65536", "port: expected a port, found 65536"),
            ("allowedUnsafeSysctls: [5]", "allowedUnsafeSysctls: expected names, found [5]"),
            ("containerLogMaxFiles: 1", "containerLogMaxFiles: must be more than 1"),
            ("evictionHard: {cpu: 1}", "evictionHard: unknown signal 'cpu'"),
            ("evictionHard: {memory.available: much}", "evictionHard: memory.available: "),
            ("containerLogMaxSize: much", "containerLogMaxSize: "),
        ],
    )
    def test_mistakes_are_named(self, tmp_path: Path, text: str, complaint: str) -> None:
        file = tmp_path / "kubelet.yaml"
        file.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            configuration.load(file, Configuration())
        assert str(caught.value).startswith(f"{file}: ")
        assert complaint in str(caught.value)


class TestManifests:
    def test_a_pod_is_made_this_nodes(self) -> None:
        pod = manifests.parse(POD.encode(), "/m/web.yaml", "node-a")
        assert (meta.name(pod), meta.namespace(pod), pod["spec"]["nodeName"]) == ("web-node-a", "default", "node-a")
        assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always", "defaults are filled in"
        assert len(meta.uid(pod)) == 32
        assert meta.uid(manifests.parse(POD.encode(), "/m/web.yaml", "node-a")) == meta.uid(pod)
        assert meta.uid(manifests.parse(POD.encode(), "/m/other.yaml", "node-a")) != meta.uid(pod)
        assert meta.uid(manifests.parse(POD.replace("busybox", "x").encode(), "/m/web.yaml", "node-a")) != meta.uid(pod)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("", "expected one Pod"),
            ("a: [", "is neither YAML nor JSON"),
            ("\x00\x01", "is neither YAML nor JSON"),
            ("[" * 5000, "is neither YAML nor JSON"),
            (POD.replace("busybox", "1" + "0" * 30), "is neither YAML nor JSON"),
            (POD.replace("[{name: main, image: busybox}]", "[{1: 2}]"), 'unknown field "spec.containers[0].1"'),
            (POD + "---\n" + POD, "expected one Pod"),
            ("kind: Service\napiVersion: v1", "expected a Pod of v1, found Service of v1"),
            (POD.replace("{name: web}", "{}"), "the Pod has no metadata.name"),
            (POD.replace("image:", "imgae:"), 'unknown field "spec.containers[0].imgae"'),
            (POD.replace("[{name: main, image: busybox}]", "5"), "is no Pod: "),
            (POD.replace("name: main", "name: Ma_in"), "invalid pod: spec.containers[0].name: Invalid value"),
            (POD.replace("spec: {", "spec: {serviceAccountName: x, "), "may not reference serviceaccounts"),
            (POD.replace("spec: {", "spec: {volumes: [{name: s, secret: {}}], "), "may not reference secrets"),
            (POD.replace("busybox}", "busybox, envFrom: [{configMapRef: {name: x}}]}"), "may not reference configmaps"),
        ],
    )
    def test_what_is_no_pod_is_refused(self, text: str, complaint: str) -> None:
        with pytest.raises(ManifestError) as caught:
            manifests.parse(text.encode(), "f", "node")
        assert complaint in str(caught.value)

    def test_a_directory_is_followed(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        seen = Manifests(tmp_path / "m", "node", VirtualClock())
        assert seen.read() is None, "it is made, and empty"
        file = tmp_path / "m" / "web.yaml"
        file.write_text(POD)
        (tmp_path / "m" / ".hidden.yaml").write_text("garbage: [")
        (tmp_path / "m" / "directory").mkdir()
        found = seen.read()
        assert found is not None and list(found) == ["default/web-node"]
        assert seen.read() is None, "nothing changed"
        with caplog.at_level(logging.WARNING):
            file.write_text("garbage: [")
            assert seen.read() == found, "what it held before goes on"
            assert seen.read() is None
        assert len(caplog.records) == 1 and "is neither YAML nor JSON" in caplog.text
        (tmp_path / "m" / "copy.yaml").write_text(POD)
        assert list(seen.read() or {}) == ["default/web-node"], "the first file of a name counts"
        file.unlink()
        (tmp_path / "m" / "copy.yaml").unlink()
        assert seen.read() == {}

    def test_a_directory_that_cannot_be_had_is_told_of_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "m").write_text("a file")
        seen = Manifests(tmp_path / "m", "node", VirtualClock())
        with caplog.at_level(logging.WARNING):
            assert seen.current() == seen.current() == {}
        assert len(caplog.records) == 1 and "cannot read the manifest directory" in caplog.text
        (tmp_path / "m").unlink()
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "web.yaml").write_text(POD)
        assert list(seen.current()) == ["default/web-node"]
