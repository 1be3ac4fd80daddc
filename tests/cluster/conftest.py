"""One API server for all tests of this folder; without one they skip, and say why."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api_server import ASSETS, CONTEXT, CRDS, KUBECONFIG, Cluster, own_server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if CONTEXT:
        here = Cluster(KUBECONFIG, CONTEXT)
        add_crds(here)
        yield here
    elif ASSETS:
        with own_server(Path(ASSETS), tmp_path_factory.mktemp("api")) as here:
            add_crds(here)
            yield here
    else:
        pytest.skip(
            "no API server: neither CHATACTER_TEST_CONTEXT nor KUBEBUILDER_ASSETS (etcd, kube-apiserver) is set"
        )


def add_crds(cluster: Cluster) -> None:
    """Install the operators' CRDs where a folder of them is named; a context may have them already."""
    if CRDS:
        done = cluster.kubectl("apply", "--server-side", "--recursive", "-f", CRDS)
        assert not done.returncode, done.stderr
        waited = cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        assert not waited.returncode, waited.stderr
    known = cluster.kubectl("api-resources", "--output=name").stdout.split()
    missing = {"inferenceservices.serving.kserve.io", "scaledobjects.keda.sh"} - set(known)
    if missing:
        pytest.skip(f"CHATACTER_TEST_CRDS names no CRDs, and the API server does not know {', '.join(sorted(missing))}")
