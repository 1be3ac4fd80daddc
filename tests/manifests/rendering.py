"""The chart as people install it: each values file with each way of serving, rendered once."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from scripts.manifests import helm
from scripts.manifests.helm import CHART, Manifest
from scripts.manifests.programs import ROOT

# Flags of Knative without which it refuses what models with GPUs ask for.
FEATURES = [
    f"kubernetes.podspec-{field}"
    for field in ("affinity", "nodeselector", "persistent-volume-claim", "priorityclassname", "tolerations")
]
# How predictors are served and scaled; a values file's own way is one of them.
MODES: dict[str, dict[str, Any]] = {
    "own": {},
    "keda": {"mode": "Standard", "autoscaler": "keda"},
    "hpa": {"mode": "Standard", "autoscaler": "hpa"},
    "none": {"mode": "Standard", "autoscaler": "none"},
    "knative": {"mode": "Knative", "autoscaler": "", "knative": {"features": FEATURES}},
    "plain": {"mode": "Deployment", "autoscaler": "none"},
}
# Combinations that the ready-made files leave out.
FURTHER = ROOT / "tests" / "manifests" / "values"


@dataclass(frozen=True)
class Installation:
    """One way to install the chart."""

    file: Path = CHART / "values.yaml"
    mode: str = "own"
    given: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.file.stem}-{self.mode}"

    @property
    def files(self) -> tuple[Path, ...]:
        return () if self.file == CHART / "values.yaml" else (self.file,)

    @property
    def said(self) -> dict[str, Any]:
        """The values that stand over those of the file."""
        serving = {"inference": {"serving": MODES[self.mode]}} if MODES[self.mode] else {}
        return helm.merged(helm.least(self.files), serving, self.adapted(), self.given)

    def adapted(self) -> dict[str, Any]:
        """What an operator changes who serves this file's models in another way than it was written for."""
        found = helm.merged(*map(read, self.files)).get("inference", {}).get("models", {})
        models: dict[str, dict[str, Any]] = {name: {} for name in found}
        for name, model in found.items():
            if self.mode in {"hpa", "none", "plain"}:
                models[name]["scaling"] = {"scaleToZero": False, "autoscaler": ""}
            if self.mode == "knative" and "grpc" in model:
                models[name]["grpc"] = {"port": 0, "from": []}
            if self.mode == "plain":
                language = model.get("modality") == "language"
                models[name] |= {"storageUri": "", "enabled": model.get("enabled", True) and not language}
        answer = {**helm.LEAST["model"], "fromInference": ""} if self.mode == "plain" else {}
        return {"inference": {"models": models}, "model": answer}

    @property
    def values(self) -> dict[str, Any]:
        """All values, as templates see them."""
        return helm.merged(helm.defaults(), *map(read, self.files), self.said)

    def text(self) -> str:
        return rendered(self) if not self.given else helm.template(self.files, self.said)

    def manifests(self) -> list[Manifest]:
        return helm.objects(self.text())


@cache
def rendered(installation: Installation) -> str:
    return helm.template(installation.files, installation.said)


def read(file: Path) -> dict[str, Any]:
    return helm.objects(file.read_text("utf-8"))[0]


def installations() -> list[Installation]:
    """Every values file with every way of serving."""
    files = [*sorted(CHART.glob("values*.yaml")), *sorted(FURTHER.glob("*.yaml"))]
    return [Installation(file, mode) for file in files if file.name != "values.schema.yaml" for mode in MODES]
