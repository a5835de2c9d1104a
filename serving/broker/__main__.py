"""``python -m serving.broker``: a broker that lets anybody in."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from edge_client.cli.parser import OneLineParser
from serving.broker.local import BACKENDS, start_broker
from serving.options import UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m serving.broker``; returns the exit status (2 on wrong use)."""
    parser = OneLineParser(
        "python -m serving.broker",
        description="Runs an MQTT broker until SIGTERM or Ctrl-C: Mosquitto where it is "
        "installed, else an embedded one. Anybody who reaches the port is let in; ml4iot-broker "
        "makes one with TLS and users.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=1883, help="0: a free one; default: 1883")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: auto")
    chosen = parser.parse_args(argv)
    if not 0 <= chosen.port <= 65535:
        parser.error(f"port {chosen.port}: a port is between 0 and 65535")
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    try:
        return _run(chosen)
    except (UsageError, TimeoutError) as error:
        print(f"serving.broker: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _run(chosen: argparse.Namespace) -> int:
    with start_broker(chosen.port, chosen.host, chosen.backend) as broker:
        print(f"{broker.what} listens at {broker.address}", flush=True)
        status = broker.process.wait()
    print(f"serving.broker: {broker.what} ended with status {status}", file=sys.stderr)
    return 1


def _interrupt() -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
