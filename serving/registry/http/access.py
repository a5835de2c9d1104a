"""Who may do what: the dependencies by which routes ask for a token and get the registry."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.registry.errors import ForbiddenError, TokenNeededError
from serving.registry.registry import Registry
from serving.registry.tokens import Holder, Role

_bearer = HTTPBearer(auto_error=False, description="A token made by `ml4iot-registry token add`.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


async def the_registry(request: Request) -> Registry:
    """The registry that this application serves."""
    registry: Registry = request.app.state.registry
    return registry


TheRegistry = Annotated[Registry, Depends(the_registry)]


def holder_with(*roles: Role) -> Callable[[Registry, _Credentials], Awaitable[Holder]]:
    """A dependency that gives the token's holder.

    Routes with it answer 401 without a token that is known, and 403 with one of another role.
    """

    async def check(registry: TheRegistry, credentials: _Credentials) -> Holder:
        if credentials is None:
            raise TokenNeededError("a token is needed; send it as Authorization: Bearer ...")
        holder = registry.tokens.holder(credentials.credentials)
        if holder is None:
            raise TokenNeededError("that token is not known here; ask the registry's operator")
        if holder.role not in roles:
            wanted = " or ".join(roles)
            raise ForbiddenError(f"a token of role {wanted} is needed; this is of {holder.role}")
        return holder

    return check


Pusher = Annotated[Holder, Depends(holder_with("push", "operate"))]
Operator = Annotated[Holder, Depends(holder_with("operate"))]
# A device speaks for itself only: compare the holder's name where the role is `device`.
Reporter = Annotated[Holder, Depends(holder_with("device", "operate"))]


async def _operator_or_here(
    request: Request, registry: TheRegistry, credentials: _Credentials
) -> None:
    """Like `Operator`; where nobody has a token yet, anybody who works on this machine.

    Clients of the coursework know no tokens. That nobody else gets in this way: the connection and
    the name by which we are called are this machine's own, no proxy hands the request on for
    somebody else, and no page of another site makes a browser send it.
    """
    if not registry.tokens.empty:
        await _operate(registry, credentials)
        return
    headers = request.headers
    origin = headers.get("origin")
    here = (
        request.client is not None
        and _is_loopback(request.client.host)
        and _is_loopback(request.url.hostname or "")
        and not any(name in headers for name in _OF_PROXIES)
        and headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        and origin in (None, f"{request.url.scheme}://{request.url.netloc}")
    )
    if not here:
        raise ForbiddenError(
            "as long as nobody has a token, only clients on the registry's own machine may do "
            "this; make one with ml4iot-registry token add"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


_operate = holder_with("operate")
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
OperatorOrHere = Depends(_operator_or_here)
