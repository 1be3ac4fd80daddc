"""Each values file with each way of serving gives a cluster nothing but sound objects."""

import pytest

from scripts.manifests import helm
from tests.manifests import schemas
from tests.manifests.conformity import faults
from tests.manifests.rendering import Installation, installations

pytestmark = pytest.mark.manifests

every = pytest.mark.parametrize("installation", installations(), ids=str)


@every
def test_it_lints(installation: Installation) -> None:
    helm.lint(installation.files, installation.said)


@every
def test_kubernetes_knows_every_field(installation: Installation) -> None:
    core = [each for each in installation.manifests() if not schemas.is_custom(each)]
    assert core
    assert [fault for each in core for fault in schemas.faults(each)] == []


@every
def test_the_operators_know_every_field(installation: Installation) -> None:
    schemas.custom_schemas_or_skip()
    custom = [each for each in installation.manifests() if schemas.is_custom(each)]
    assert [fault for each in custom for fault in schemas.faults(each)] == []


@every
def test_names_ports_selectors_and_security_hold(installation: Installation) -> None:
    assert faults(installation.manifests(), installation.values) == []
