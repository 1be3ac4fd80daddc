"""What docs/deployment.md tells people to install renders, as the words stand there."""

import re
import shlex

import pytest

from scripts.manifests import helm
from scripts.manifests.programs import ROOT, run

pytestmark = pytest.mark.manifests

PAGE = ROOT / "docs" / "deployment.md"
BLOCK = re.compile(r"^```bash (helm|kustomize)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ONLY_WITH_A_CLUSTER = {"--reset-then-reuse-values"}
BLOCKS = BLOCK.findall(PAGE.read_text("utf-8"))


def words(kind: str) -> list[list[str]]:
    return [shlex.split(text.replace("\\\n", " "), comments=True) for found, text in BLOCKS if found == kind]


@pytest.mark.parametrize("command", words("helm"), ids=range(len(words("helm"))))
def test_the_chart_installs_as_told(command: list[str]) -> None:
    assert command[:4] == ["helm", "upgrade", "--install", "chatacter"]
    arguments = [word for word in command[4:] if word not in ONLY_WITH_A_CLUSTER]
    done = run("helm", "template", "chatacter", str(ROOT / arguments[0]), *absolute(arguments[1:]))
    assert not done.returncode, done.stderr
    names = {each["metadata"]["name"] for each in helm.objects(done.stdout) if each["kind"] == "Deployment"}
    assert "chatacter-chattr" in names


@pytest.mark.parametrize("command", words("kustomize"), ids=range(len(words("kustomize"))))
def test_kustomize_builds_as_told(command: list[str]) -> None:
    assert command[:3] == ["kubectl", "apply", "-k"]
    done = run("kubectl", "kustomize", ROOT / command[3])
    assert not done.returncode, done.stderr


def test_there_are_commands_to_try() -> None:
    assert len(words("helm")) >= 4
    assert words("kustomize")


def absolute(arguments: list[str]) -> list[str]:
    return [str(ROOT / word) if word.startswith("charts/") else word for word in arguments]
