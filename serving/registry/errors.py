"""Why the registry does not do what it was asked to."""

from __future__ import annotations

from serving.refusal import Refusal


class RegistryError(Refusal):
    """A request that the registry refuses; the message is one line for the client."""


class BadRequestError(RegistryError):
    """Nothing that can be done: a field, a bundle or metadata is not what it should be."""

    status = 400


class SignatureError(BadRequestError):
    """Metadata that too few of the keys signed that must sign it."""


class TokenNeededError(RegistryError):
    """No token, or none that is known."""

    status = 401

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class ForbiddenError(RegistryError):
    """A token that allows other things."""

    status = 403


class NotFoundError(RegistryError):
    """No such model, version, channel, rollout or device."""

    status = 404


class ConflictError(RegistryError):
    """What is there already stands against it."""

    status = 409


class BusyError(RegistryError):
    """As many as it does at once wait for the same already."""

    status = 429

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class StorageError(RegistryError):
    """The folder cannot be written: no space left, or no permission."""

    status = 507
