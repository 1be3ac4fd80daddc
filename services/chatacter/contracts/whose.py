"""Whose data an inner call concerns: told by Chattr to the predictors, and believed from callers inside only."""

from typing import Final

TENANT_HEADER: Final = "x-chatacter-tenant"
CALLER_HEADER: Final = "x-chatacter-caller"
