"""``ml4iot-gateway``: SenML clients in front, TensorFlow Serving behind."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from edge_client.cli.parser import OneLineParser
from edge_client.errors import EdgeError
from serving.announce import open_log
from serving.gateway.auth import TOKEN_VARIABLE, read_token
from serving.gateway.options import GatewayOptions
from serving.gateway.request_log import log
from serving.launcher import start_server
from serving.options import ServeOptions, UsageError, base_url, bind, bind_error
from serving.request_log import open_request_log

_DESCRIPTION = """\
Answers recordings sent as SenML with the label and probabilities of the big model, which runs in
TensorFlow Serving: the one at --backend, or one started here for MODEL_FOLDER as ml4iot-serve does.

  POST or PUT /v1/classify, /big_model, /slow_model   a recording, as SenML in JSON or CBOR
  GET /v1/description, /healthz, /metrics

It ends on SIGTERM or Ctrl-C, after the requests in flight.
"""
_EPILOG = f"""\
A token is wanted from clients (Authorization: Bearer ...) where --token-file or ${TOKEN_VARIABLE}
names one.

examples:
  ml4iot-gateway models/big
  ml4iot-gateway --backend http://127.0.0.1:8501 --name big --port 8080
  curl -H 'Content-Type: application/json' --data @clip.json http://127.0.0.1:8080/big_model
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2 on wrong use)."""
    # Until the gateway answers: a server started for it must not be left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parse(argv)
    try:
        options = options.checked()
        with bind(options.host, options.port) as bound:
            _run(options, bound)
    except (UsageError, EdgeError, TimeoutError) as error:
        print(f"ml4iot-gateway: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before anything answers; later it is the way to end
        return 130
    return 0


def _parse(argv: Sequence[str] | None) -> GatewayOptions:
    parser = OneLineParser(
        "ml4iot-gateway",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model_folder", nargs="?", type=Path, metavar="MODEL_FOLDER", help="versions of the model")
    add("--backend", default="", metavar="URL", help="TensorFlow Serving's REST interface")
    add("--name", default="", help="the model's name (default: the folder's, or big)")
    add("--slow", type=Path, metavar="BUNDLE", help="answers /slow_model; without it, Big does")
    add("--host", default="127.0.0.1", help="default: %(default)s")
    add("--port", type=int, default=8080, help="0: a free one; default: %(default)s")
    add("--max-batch", type=int, default=32, help="recordings in one call; default: %(default)s")
    add("--in-flight", type=int, default=2, help="calls at a time; default: %(default)s")
    add("--queue", type=int, default=256, help="requests that wait; default: %(default)s")
    add("--timeout", type=float, default=5.0, metavar="S", dest="timeout_s", help="default: 5 s")
    add("--max-bytes", type=int, default=4 * 2**20, help="of a body; default: %(default)s")
    add("--patience", type=float, default=30.0, metavar="S", dest="patience_s",
        help="for a backend that is not up yet; default: 30 s")  # fmt: skip
    add("--token-file", type=Path, metavar="FILE", help="the token that clients must show")
    add("--log-file", type=Path, metavar="FILE", help="default: in the user's state folder")
    return GatewayOptions(**vars(parser.parse_args(argv)))


def _run(options: GatewayOptions, bound: socket.socket) -> None:
    # Only now, for --help and wrong use are to be instant.
    from serving.gateway.server import serve
    from serving.gateway.slow import SlowModel

    port = bound.getsockname()[1]
    token = read_token(options.token_file)
    slow = None
    if options.slow is not None:
        slow = SlowModel(options.slow, options.queue, options.timeout_s)
    log_file = open_log(options.log_file, f"gateway-{port}.log")
    open_request_log(log_file, log)
    with _with_backend(options) as options:
        model = f"{options.backend}/v1/models/{options.name}"
        line = (
            f"ml4iot-gateway serves {base_url(options.host, port)} "
            f"(backend {model}, log {log_file})"
        )
        try:
            serve(options, token, slow, bound, lambda: print(line, flush=True))
        except OSError as error:
            raise bind_error(options.host, port, error) from error


@contextlib.contextmanager
def _with_backend(options: GatewayOptions) -> Iterator[GatewayOptions]:
    """The options with a backend's URL; a server of our own runs until the block is left."""
    if options.model_folder is None:
        yield options
        return
    served = ServeOptions(options.model_folder, options.name, port=0)
    with contextlib.ExitStack() as stack:
        with Console(stderr=True).status(f"Starting a server for {options.model_folder} ..."):
            server = stack.enter_context(start_server(served))
        yield replace(options, backend=server.url)


if __name__ == "__main__":
    sys.exit(main())
