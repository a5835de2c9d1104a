"""amqtt as a process of its own: the broker where there is no Mosquitto.

It speaks MQTT 3.1.1 only and is no match for Mosquitto's speed; a demo is what it is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys


async def serve(host: str, port: int) -> None:
    """Answers at this address until SIGTERM or SIGINT."""
    from amqtt.broker import Broker

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(config)
    await broker.start()
    await stop.wait()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 5)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
