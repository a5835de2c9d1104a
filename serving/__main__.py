"""``ml4iot-serve``: the big model behind TensorFlow Serving's REST contract."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_client.cli.parser import OneLineParser
from serving import real_server
from serving.announce import announcement, open_log
from serving.options import BACKENDS, BINARY_VARIABLE, ServeOptions, UsageError, base_url

_DESCRIPTION = """\
Serves a SavedModel over TensorFlow Serving's REST API (/v1/models/NAME:predict and so on).

MODEL_FOLDER holds one folder for each version, named by a number: MODEL_FOLDER/1/saved_model.pb.
New versions that appear in it are taken up, and served once they are loaded, without a failed
request. The server ends on SIGTERM or Ctrl-C, after the requests in flight.
"""
_EPILOG = f"""\
backends:
  tensorflow  tensorflow_model_server, from PATH or named by --binary or ${BINARY_VARIABLE}
  container   {real_server.IMAGE} by docker or podman; fetched where it is not there yet
  embedded    this package's own server, which answers the same contract
  auto        the first of these that is there (the container only if its image is, too)

examples:
  ml4iot-serve models/big
  ml4iot-serve models/big --name big --port 9000 --backend embedded
  curl http://127.0.0.1:8501/v1/models/big/metadata
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2 on wrong use)."""
    options = _parse(argv)
    try:
        return _run(options.checked())
    except UsageError as error:
        print(f"ml4iot-serve: {error}", file=sys.stderr)
        return 2
    except real_server.ServerDied as error:
        print(f"ml4iot-serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before anything answers; later it is the way to end
        return 130


def _parse(argv: Sequence[str] | None) -> ServeOptions:
    parser = OneLineParser(
        "ml4iot-serve",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model_folder", nargs="?", type=Path, metavar="MODEL_FOLDER")
    parser.add_argument("--name", default="", help="the model's name (default: the folder's)")
    parser.add_argument("--config", type=Path, help="a models.config instead of MODEL_FOLDER")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8501, help="0: a free one; default: 8501")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: auto")
    parser.add_argument("--binary", help="a tensorflow_model_server that is not on PATH")
    parser.add_argument("--log-file", type=Path, help="default: in the user's state folder")
    return ServeOptions(**vars(parser.parse_args(argv)))


def _run(options: ServeOptions) -> int:
    backend, program = _choose(options)
    if backend == "embedded":
        # Only now: the other backends do without TensorFlow in this process.
        from serving.embedded import foreground

        return foreground.run(options)
    port = real_server.free_port(options)
    log_file = open_log(options.log_file, f"serve-{port}.log")
    if backend == "tensorflow":
        command = real_server.binary_command(program, options, port)
        what = f"{program}, on every interface of this machine,"
    else:
        command = real_server.container_command(program, options, port)
        what = f"{real_server.IMAGE} in {program}"
    url = base_url(options.host, port)
    line = announcement(what, options, url, log_file)
    return real_server.run(
        command, url, log_file, options.name, when_ready=lambda: print(line, flush=True)
    )


def _choose(options: ServeOptions) -> tuple[str, str]:
    """The backend, and the program that runs it."""
    if options.backend == "embedded":
        return "embedded", ""
    if options.backend in ("auto", "tensorflow"):
        binary = real_server.find_binary(options)
        if binary is not None:
            return "tensorflow", binary
    if options.backend == "tensorflow":
        raise UsageError(
            f"{real_server.BINARY} is not on PATH; name it with --binary, or use --backend embedded"
        )
    engine = real_server.find_engine()
    if options.backend == "container":
        if engine is None:
            raise UsageError("neither docker nor podman answers; use --backend embedded")
        if not real_server.has_image(engine):
            real_server.pull_image(engine)
        return "container", engine
    if engine is not None and options.config is None and real_server.has_image(engine):
        return "container", engine
    return "embedded", ""


if __name__ == "__main__":
    sys.exit(main())
