"""What every predictor can be told."""

from typing import Annotated, Literal

from pydantic import Field

from chatacter.chassis.settings import CommaSeparated, ServiceSettings


class PredictorSettings(ServiceSettings):
    """Settings of any service that serves models."""

    accept_model_licenses: CommaSeparated = ()
    """Licences of weights that you have read and accept, separated by commas, as `GET /v1/models` names them. Weights
    whose licence limits what may be done with them (`CPML` of XTTS forbids commercial use) are not loaded without."""
    ray_address: str | None = None
    """With the engine `ray`: the cluster to join, `auto` or HOST:PORT. Unset: one of its own on this machine, which
    ends with it."""
    ray_replicas: Annotated[int, Field(ge=1, le=256)] = 1
    """With the engine `ray`: replicas of the model, each in a process of its own."""
    ray_replica_gpus: Annotated[float, Field(ge=0, le=16)] = 0.0
    """With the engine `ray`: GPUs that one replica has; `0.25` lets four share one."""
    ray_replica_cpus: Annotated[float, Field(ge=0, le=256)] = 1.0
    """With the engine `ray`: cores that are counted for one replica."""


Engine = Literal["inprocess", "ray"]
