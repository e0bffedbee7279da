"""The exceptions under the names of the Python implementation (agentnet-realm 0.1.1).

They are defined in ``agentnet.errors``.
"""

from __future__ import annotations

from agentnet.errors import (
    ERROR_CLASS_BY_CODE,
    AgentBusyError,
    AgentDuplicateError,
    AgentExpiredError,
    AgentHandlerError,
    AgentNetError,
    AgentRateLimitedError,
    AgentRequestError,
    AgentSDKError,
    AgentServiceDegradedError,
    AgentTimeoutError,
    ConnectError,
    DeliveryError,
    RegistryError,
    RegistryProtocolError,
    TaskError,
)
from agentnet.errors import DeliveryRejectedError as DeliveryRejected
from agentnet.errors import DeliveryTimeoutError as DeliveryAckTimeout
from agentnet.errors import DeliveryUnusableError as DeliveryAckUnusable
from agentnet.errors import RegistryRefusedError as RegistryRemoteError
from agentnet.errors import RegistryTimeoutError as RegistryTimeout

ConnectionError = ConnectError
TransportError = AgentNetError

__all__ = [
    "ERROR_CLASS_BY_CODE",
    "AgentBusyError",
    "AgentDuplicateError",
    "AgentExpiredError",
    "AgentHandlerError",
    "AgentNetError",
    "AgentRateLimitedError",
    "AgentRequestError",
    "AgentSDKError",
    "AgentServiceDegradedError",
    "AgentTimeoutError",
    "ConnectionError",
    "DeliveryAckTimeout",
    "DeliveryAckUnusable",
    "DeliveryError",
    "DeliveryRejected",
    "RegistryError",
    "RegistryProtocolError",
    "RegistryRemoteError",
    "RegistryTimeout",
    "TaskError",
    "TransportError",
]
