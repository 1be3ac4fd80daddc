"""What every predictor can be told."""

from chatacter.chassis.settings import CommaSeparated, ServiceSettings


class PredictorSettings(ServiceSettings):
    """Settings of any service that serves models."""

    accept_model_licenses: CommaSeparated = ()
    """Licences of weights that you have read and accept, separated by commas, as `GET /v1/models` names them. Weights
    whose licence limits what may be done with them (`CPML` of XTTS forbids commercial use) are not loaded without."""
