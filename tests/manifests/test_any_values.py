"""Whatever the schema allows is either refused with a sentence of ours or renders nothing but sound objects."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from scripts.manifests import helm
from tests.manifests import schemas
from tests.manifests.conformity import faults
from tests.manifests.drawn_values import changes
from tests.manifests.guards import guards

pytestmark = pytest.mark.manifests

GUARDS = list(guards())
SCHEMAS_WORDS = "values don't meet the specifications of the schema(s)"


@given(changes())
# A render costs too much for shrinking; six places are read as they are.
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_values_are_refused_or_render_sound_objects(drawn: dict[str, Any]) -> None:
    note(json.dumps(drawn))
    said = helm.merged(helm.LEAST, drawn)
    try:
        manifests = helm.objects(helm.template((), said))
    except helm.Refused as refused:
        words = str(refused)
        if SCHEMAS_WORDS not in words and not any(guard.said_in(words) for guard in GUARDS):
            raise
        return
    known = [each for each in manifests if not schemas.is_custom(each) or schemas.CUSTOM.is_dir()]
    assert [fault for each in known for fault in schemas.faults(each)] == []
    assert faults(manifests, helm.merged(helm.defaults(), said)) == []
