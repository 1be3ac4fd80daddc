"""An API server to talk to: etcd and kube-apiserver of a folder, on loopback, or a context of the kubeconfig."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scripts.manifests.programs import run

# A test's environment is clean, so these are read before it is.
ASSETS = os.environ.get("KUBEBUILDER_ASSETS")
CONTEXT = os.environ.get("CHATACTER_TEST_CONTEXT")
# Where the operators' CRDs lie: a file or a folder that `kubectl apply -f` takes.
CRDS = os.environ.get("CHATACTER_TEST_CRDS")
KUBECONFIG = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
START_SECONDS = 60


@dataclass(frozen=True)
class Cluster:
    """Where the API server is, and how to reach it."""

    kubeconfig: str
    context: str

    def kubectl(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return run("kubectl", "--kubeconfig", self.kubeconfig, "--context", self.context, *arguments, given=given)

    def helm(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        where = ("--kubeconfig", self.kubeconfig, "--kube-context", self.context)
        return run("helm", *arguments, *where, given=given)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def running(*command: str, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def own_server(assets: Path, folder: Path) -> Iterator[Cluster]:
    """Start etcd and kube-apiserver; whoever holds the token may do everything."""
    token, etcd, peer, port = secrets.token_hex(16), free_port(), free_port(), free_port()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "accounts.key").write_bytes(key.private_bytes(*form))
    (folder / "tokens.csv").write_text(f'{token},tester,tester,"system:masters"\n')
    with ExitStack() as stack:
        stack.enter_context(
            running(
                str(assets / "etcd"),
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                log=folder / "etcd.log",
            )
        )
        stack.enter_context(
            running(
                str(assets / "kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{etcd}",
                f"--secure-port={port}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={folder / 'certificates'}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://127.0.0.1",
                f"--service-account-key-file={folder / 'accounts.key'}",
                f"--service-account-signing-key-file={folder / 'accounts.key'}",
                # No controller makes the accounts' tokens here.
                "--disable-admission-plugins=ServiceAccount",
                log=folder / "kube-apiserver.log",
            )
        )
        cluster = Cluster(write_kubeconfig(folder / "kubeconfig", port, token), "own")
        await_ready(cluster, folder / "kube-apiserver.log")
        yield cluster


def write_kubeconfig(path: Path, port: int, token: str) -> str:
    server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": server}],
        "users": [{"name": "tester", "user": {"token": token}}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "tester"}}],
        "current-context": "own",
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


def await_ready(cluster: Cluster, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not cluster.kubectl("get", "--raw", "/readyz").returncode:
            return
        time.sleep(0.5)
    raise AssertionError(f"the API server did not become ready:\n{log.read_text('utf-8', 'replace')[-3000:]}")
