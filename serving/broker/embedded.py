"""amqtt as a process of its own: the broker where there is no Mosquitto.

It speaks MQTT 3.1.1 only and is no match for Mosquitto's speed; a demo is what it is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.broker.folder import SERVER, USERS

_ANONYMOUS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}


async def serve(
    host: str, port: int, plugins: Mapping[str, Any], encryption: Mapping[str, Any]
) -> None:
    """Answers at this address until SIGTERM or SIGINT.

    Args:
        host: where it listens.
        port: the same.
        plugins: of amqtt, by class, with their settings.
        encryption: amqtt's settings of a listener for TLS; none for none.
    """
    from amqtt.broker import Broker

    listener = {"type": "tcp", "bind": f"{host}:{port}", **encryption}
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker({"listeners": {"default": listener}, "plugins": dict(plugins)})
    await broker.start()
    await stop.wait()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 5)


def main(host: str, port: str, folder: str = "") -> None:
    """Lets anybody in; with the operator's folder, its users over TLS."""
    logging.basicConfig(level=logging.ERROR)
    if not folder:
        asyncio.run(serve(host, int(port), _ANONYMOUS, {}))
        return
    users, server = str(Path(folder, USERS)), str(Path(folder, SERVER))
    module = "serving.broker.embedded_rights"
    plugins = {f"{module}.{name}": {"users": users} for name in ("Passwords", "Rights")}
    asyncio.run(
        serve(host, int(port), plugins, {"ssl": True, "certfile": server, "keyfile": server})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
