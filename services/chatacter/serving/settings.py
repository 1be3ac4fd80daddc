"""What every predictor can be told."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.settings import CommaSeparated, ServiceSettings

NO_PORT: Final = "GRPC_PORT: an application of Ray Serve's opens no port of its own. Leave it out, and ask by REST."


class PredictorSettings(ServiceSettings):
    """Settings of any service that serves models."""

    accept_model_licenses: CommaSeparated = ()
    """Licences of weights that you have read and accept, separated by commas, as `GET /v1/models` names them. Weights
    whose licence limits what may be done with them (`CPML` of XTTS forbids commercial use) are not loaded without."""
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port for KServe's second protocol over gRPC, at the address in `HOST` and without TLS, like `PORT`. 0: off.
    Not in an application of Ray Serve's; `chatacter up` leaves it off."""
    ray_address: str | None = None
    """With the engine `ray`: the cluster to join, `auto` or HOST:PORT. Unset: one of its own on this machine, which
    ends with it."""
    ray_replicas: Annotated[int, Field(ge=1, le=256)] = 1
    """With the engine `ray`: replicas of the model, each in a process of its own."""
    ray_replica_gpus: Annotated[float, Field(ge=0, le=16)] = 0.0
    """With the engine `ray`: GPUs that one replica has; `0.25` lets four share one."""
    ray_replica_cpus: Annotated[float, Field(ge=0, le=256)] = 1.0
    """With the engine `ray`: cores that are counted for one replica."""

    @classmethod
    def for_ray_serve(cls) -> Self:
        """Read the environment of a process of Ray Serve's. Raises `Misconfigured` for what cannot work there."""
        settings = cls.known()
        if settings.grpc_port:
            raise Misconfigured(NO_PORT)
        return settings


Engine = Literal["inprocess", "ray"]
