"""What goes wrong with a request, as the client is told it."""

from __future__ import annotations

from math import ceil

from serving.refusal import Refusal


class GatewayError(Refusal):
    """A request that the gateway does not answer with a label."""


class MalformedError(GatewayError):
    """The request says nothing that can be classified."""

    status = 400


class TokenError(GatewayError):
    """No token, or not the right one."""

    status = 401

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class RouteError(GatewayError):
    """Nothing is here."""

    status = 404


class MethodError(GatewayError):
    """Something is here, for other methods."""

    status = 405

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self._allowed = allowed

    def headers(self) -> dict[str, str]:
        return {"Allow": self._allowed}


class SlowClientError(GatewayError):
    """The body does not come."""

    status = 408

    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}


class SpecificationError(GatewayError):
    """Features that the big model of the moment does not take."""

    status = 409


class TooLargeError(GatewayError):
    """A body beyond the limit."""

    status = 413

    def __init__(self, message: str, endless: bool) -> None:
        super().__init__(message)
        self._endless = endless

    def headers(self) -> dict[str, str]:
        # What is left of a body of moderate size is read and thrown away, for a client that is
        # hung up on while it sends never reads the answer.
        return {"Connection": "close"} if self._endless else {}


class ContentTypeError(GatewayError):
    """A body in no form that is taken."""

    status = 415


class BusyError(GatewayError):
    """More requests than can be served; try again after `after_s` seconds."""

    status = 429

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, ceil(self.after_s)))}


class NonsenseError(GatewayError):
    """The backend's answer is none."""

    status = 502


class AwayError(GatewayError):
    """The backend cannot be reached, or has no model."""

    status = 503


class TooSlowError(GatewayError):
    """No answer in time."""

    status = 504
