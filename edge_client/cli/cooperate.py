"""Let several devices decide together, over an MQTT broker.

  ml4iot-edge cooperate node BUNDLE --broker HOST:PORT
  ml4iot-edge cooperate ask INPUT... --broker HOST:PORT

Each node answers on <prefix>prediction/<id> whatever is published on <prefix>audio/<id>; whoever
asks publishes recordings and combines the answers that came in time.  Nodes join and leave as they
like.  --prefix / gives the topics /audio/<id> and /prediction/<id> of the coursework.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_client.cli.broker_options import add_broker_arguments, broker_of
from edge_client.cli.messages import native_silence, say
from edge_client.cli.numbers import number, whole
from edge_client.cli.parser import OneLineParser
from edge_client.cli.seldom import Seldom
from edge_client.cooperation.rules import RULES
from edge_client.cooperation.topics import DEFAULT_PREFIX
from edge_client.errors import EdgeError

if TYPE_CHECKING:
    from edge_client.cooperation.ensemble import Ensemble
    from edge_client.payload import Recording

HELP = "decide together with other devices"

_NODE = """\
Answer clips with the model of a bundle until SIGTERM or Ctrl-C.

What cannot be answered (no SenML, no audio, NaN, more than 1 MiB) is counted; when clips come
faster than they can be answered, the oldest are dropped. A broker that goes away is waited for.
"""
_ASK = """\
Publish recordings, and combine what the nodes answer in time.

One JSON object a line on standard output, in the order of the recordings:
  {"path", "label", "scores": {label: probability}, "answered_by": [node...],
   "missing": [node...], "latency_ms"}
The answer is final as soon as all nodes known to be there have answered, or when --wait is over;
label is null where nobody has. A recording that cannot be read costs one line on standard error;
the others are still asked, and the exit status is 2.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    roles = parser.add_subparsers(metavar="ROLE", required=True, parser_class=OneLineParser)
    layout = argparse.RawDescriptionHelpFormatter
    node = roles.add_parser("node", help="answer clips", description=_NODE, formatter_class=layout)
    node.add_argument("bundle", metavar="BUNDLE", help="the model, a .bundle file")
    node.add_argument("--id", help="of this node (default: the model's name and a random number)")
    node.add_argument(
        "--queue",
        type=whole(1, 1000),
        default=64,
        metavar="CLIPS",
        help="the most that wait to be answered (default: %(default)s)",
    )
    _add_broker(node)
    node.set_defaults(role=_node)

    ask = roles.add_parser("ask", help="ask about clips", description=_ASK, formatter_class=layout)
    ask.add_argument(
        "inputs", metavar="INPUT", nargs="*", help="WAV files (16-bit PCM) and folders of them"
    )
    ask.add_argument("--list", metavar="FILE", help="also the recordings this text file names")
    ask.add_argument("--root", metavar="FOLDER", help="where the paths of --list begin")
    ask.add_argument(
        "--ensemble", metavar="FILE", help="models, weights and combination (cooperation.json)"
    )
    ask.add_argument("--combine", choices=RULES, help="default: the ensemble's, or sum (of logits)")
    ask.add_argument(
        "--wait",
        type=number(0.001, 600, "number of seconds"),
        default=1.0,
        metavar="S",
        help="the longest that answers to a clip are waited for (default: %(default)s)",
    )
    ask.add_argument(
        "--in-flight",
        type=whole(1, 1000),
        default=16,
        metavar="N",
        help="clips asked at a time (default: %(default)s)",
    )
    ask.add_argument(
        "--nodes",
        type=whole(0, 1000),
        metavar="N",
        help="begin when so many are there, or after five seconds (default: one for each member "
        "of the ensemble, or 1; 0: nodes that do not announce themselves)",
    )
    ask.add_argument(
        "--payload",
        default="pcm-json",
        metavar="NAME",
        help="how clips are sent: pcm-json, pcm-cbor, pcm-draft (to nodes of the coursework), "
        "flac-json or flac-cbor (default: %(default)s)",
    )
    ask.add_argument(
        "--summary",
        action="store_true",
        help="end with lines on standard error: accuracy where folders are named as labels, "
        "clips a second, latencies, and what became of all answers",
    )
    ask.add_argument("--report", metavar="FILE.json", help="write the summary as JSON")
    _add_broker(ask)
    ask.set_defaults(role=_ask)


def run(chosen: argparse.Namespace) -> int:
    """Runs the command; raises :class:`EdgeError` for wrong use and bad input."""
    role: int = chosen.role(chosen)
    return role


def _add_broker(parser: argparse.ArgumentParser) -> None:
    add_broker_arguments(parser)
    parser.add_argument(
        "--prefix",
        default=DEFAULT_PREFIX,
        help="of all topics, ending in / (default: %(default)s; coursework: /)",
    )


def _node(chosen: argparse.Namespace) -> int:
    import secrets
    from threading import Event

    from edge_client.bundle.file import read_bundle
    from edge_client.cooperation.node import Node
    from edge_client.cooperation.topics import Topics, check_node_id
    from edge_client.predictor import AudioPredictor

    broker, topics = broker_of(chosen), Topics(chosen.prefix)
    bundle = read_bundle(chosen.bundle)
    name = bundle.manifest.name
    node_id = check_node_id(chosen.id or f"{name}-{secrets.token_hex(4)}")
    with native_silence():
        predictor = AudioPredictor(bundle, chosen.bundle)
    model = f"{name}:{bundle.manifest.version}"
    node = Node(predictor, model, node_id, broker, topics, chosen.queue)
    stop = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    node.run(
        stop,
        on_ready=lambda: say(
            f"node {node_id} answers {topics.prefix}audio/... with {model} (broker {broker})"
        ),
        on_refused=Seldom().say,
    )
    say(f"node {node_id} leaves: {node.counts}")
    return 0


def _ask(chosen: argparse.Namespace) -> int:
    from edge_client.cooperation.collector import Collector
    from edge_client.cooperation.ensemble import read_ensemble
    from edge_client.cooperation.publisher import Publisher
    from edge_client.cooperation.report import Tally
    from edge_client.cooperation.topics import Topics
    from edge_client.run.report import write_report

    if not chosen.inputs and not chosen.list:
        raise EdgeError("no INPUT; name recordings or a --list of them")
    broker, topics = broker_of(chosen), Topics(chosen.prefix)
    ensemble = read_ensemble(chosen.ensemble) if chosen.ensemble else None
    rule = chosen.combine or (ensemble.combination if ensemble else "sum")
    collector = Collector(chosen.wait, rule, ensemble)
    nodes = _nodes(chosen, ensemble)
    publisher = Publisher(broker, topics, collector, chosen.in_flight, nodes, chosen.payload)
    clips, tally = _Clips(chosen), Tally(ensemble.labels if ensemble else ())
    with publisher:
        began = ended = time.perf_counter()
        for decision in publisher.ask(clips):
            path = clips.paths.pop(decision.number)
            tally.add(path.absolute().parent.name, decision)
            ended = time.perf_counter()
            _print(
                {
                    "path": str(path),
                    "label": decision.label,
                    "scores": {name: round(value, 6) for name, value in decision.scores.items()},
                    "answered_by": decision.answered_by,
                    "missing": decision.missing,
                    "latency_ms": round(decision.latency_ms, 3),
                }
            )
    began = clips.first_at or began
    report = tally.report(ended - began, rule, collector.counts, publisher.lost)
    if chosen.report:
        write_report(Path(chosen.report), report.to_json())
    if chosen.summary:
        sys.stdout.flush()
        for line in report.lines():
            say(line)
    return 2 if clips.failures else 0


def _nodes(chosen: argparse.Namespace, ensemble: Ensemble | None) -> int:
    if chosen.nodes is not None:
        nodes: int = chosen.nodes
        return nodes
    return len(ensemble.members) if ensemble is not None else 1


class _Clips:
    """The recordings a command line names, read when their turn comes."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self.paths: dict[int, Path] = {}  # by number, until taken out
        self.failures = 0
        self.first_at = 0.0  # of time.perf_counter

    def __iter__(self) -> Iterator[Recording]:
        from edge_client.audio import fit_clip, read_wav
        from edge_client.cli.recordings import find
        from edge_client.cooperation.publisher import SAMPLE_RATE, SAMPLES
        from edge_client.payload import Recording

        number = 0
        for found in find(self._chosen.inputs, self._chosen.list, self._chosen.root):
            try:
                if isinstance(found, EdgeError):
                    raise found
                audio, rate = read_wav(found)
            except EdgeError as error:
                say(error)
                self.failures += 1
                continue
            self.first_at = self.first_at or time.perf_counter()
            self.paths[number] = found
            number += 1
            yield Recording(fit_clip(audio, rate, SAMPLE_RATE, SAMPLES), SAMPLE_RATE, time.time())


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
