"""Classify clips with the small model of a bundle, and ask the big one where that pays.

One JSON object a line on standard output, as soon as a clip is done, so that those the big
model is asked about may come after later ones; "path" says which clip it is:
  {"path", "label", "scores": {label: probability}, "margin",
   "latency_ms": {"features", "inference", "total", and for asked clips "queued", "big"},
   "decided_by": "little", "big", or why there is no answer of the big model: "little_budget"
                 (this hour's is used up), "little_busy" (its queue or this device's is full),
                 "little_unreachable" (anything else)}
In fast-slow mode it is "fast" and "slow" instead of "little" and "big".

Whatever happens to the network, each clip gets an answer.  Ctrl-C ends with the summary.  With the
name of an installed model, another version of it is used as soon as it is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_client.cli.messages import say
from edge_client.cli.models import add_model_argument
from edge_client.cli.numbers import number, whole
from edge_client.cli.status_line import StatusLine
from edge_client.errors import EdgeError
from edge_client.run.modes import BIG_LITTLE, FAST_SLOW

if TYPE_CHECKING:
    from edge_client.run.clip import Answer

HELP = "classify clips, asking a big model where that pays"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_model_argument(parser, "the small model")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="*", help="WAV files (16-bit PCM) and folders of them"
    )
    parser.add_argument("--list", metavar="FILE", help="also the recordings this text file names")
    parser.add_argument(
        "--root", metavar="FOLDER", help="where the paths of --list begin (default: here)"
    )
    sound = parser.add_argument_group("microphone")
    sound.add_argument(
        "--microphone", action="store_true", help="listen instead of reading files, until Ctrl-C"
    )
    sound.add_argument("--device", metavar="D", help="its number or a part of its name")
    sound.add_argument(
        "--gate",
        metavar="RMS",
        type=number(0, 1),
        default=0.01,
        help="a clip begins when sound is louder than this share of full scale "
        "(default: %(default)s)",
    )
    asking = parser.add_argument_group("asking")
    asking.add_argument("--big", metavar="URL", help="the gateway of the big model")
    asking.add_argument(
        "--policy",
        metavar="P",
        help="never, always, margin, entropy, temperature or learned (default: the bundle's)",
    )
    asking.add_argument(
        "--threshold",
        metavar="T",
        type=number(),
        help="ask when the policy's doubt is above T (default: the bundle's for that policy); in "
        "fast-slow mode when the margin is below T",
    )
    asking.add_argument(
        "--payload",
        metavar="NAME",
        help="what is sent: pcm-json, pcm-cbor, pcm-draft, flac-json, flac-cbor, features-json or "
        "features-cbor (default: features-cbor; pcm-cbor with --slow)",
    )
    asking.add_argument(
        "--bytes-per-hour",
        metavar="N",
        type=whole(0),
        help="of request bodies, second tries included, in any sixty minutes of this run",
    )
    asking.add_argument(
        "--requests-per-hour", metavar="N", type=whole(0), help="the same of requests"
    )
    asking.add_argument(
        "--timeout",
        metavar="S",
        type=number(0.01, 3600),
        default=2.0,
        help="seconds for one question, its second try included (default: %(default)s)",
    )
    asking.add_argument(
        "--concurrency",
        metavar="N",
        type=whole(1, 64),
        default=4,
        help="questions under way at once; four times as many may wait (default: %(default)s)",
    )
    asking.add_argument(
        "--token-file", metavar="FILE", help="holds the token that the gateway asks for"
    )
    keeping = parser.add_argument_group("keeping clips on which the big model overruled")
    keeping.add_argument(
        "--keep",
        metavar="FOLDER",
        help="keep them as FOLDER/<label>/<speaker>_overruled_<n>.wav, for nobody else to read; "
        "without this nothing is kept",
    )
    keeping.add_argument(
        "--keep-bytes",
        metavar="N",
        type=whole(0),
        default=64 * 2**20,
        help="of all clips in that folder; further ones are not kept (default: %(default)s)",
    )
    parser.add_argument(
        "--mode",
        choices=(BIG_LITTLE, FAST_SLOW),
        default=BIG_LITTLE,
        help="fast-slow: the bundle's cheap front end first and its full one where that is not "
        "clear (default: %(default)s)",
    )
    parser.add_argument(
        "--slow", metavar="URL", help="in fast-slow mode, ask this gateway's /slow_model instead"
    )
    parser.add_argument("--report", metavar="FILE.json", help="write the summary as JSON")
    parser.add_argument("--summary", action="store_true", help="end with a table on standard error")


def run(chosen: argparse.Namespace) -> int:
    """Runs the command; raises :class:`EdgeError` for wrong use and bad input."""
    from edge_client.cli.run_setup import prepare
    from edge_client.run.interrupt import until_interrupted
    from edge_client.run.loop import Loop
    from edge_client.run.report import report, table, write_report
    from edge_client.run.tally import Tally

    fault = None
    with prepare(chosen) as prepared, until_interrupted() as stop:
        tally, progress = Tally(), StatusLine(every_s=0.5, among_answers=False)
        began, cpu = time.monotonic(), time.process_time()

        def give(answer: Answer) -> None:
            tally.add(answer)
            _print(answer, prepared.setup.first.labels, at_once=chosen.microphone)
            progress.show(lambda: tally.so_far(prepared.total, time.monotonic() - began))

        def tell(text: object) -> None:
            progress.clear()
            say(text)

        loop = Loop(prepared.setup, give, tell, stop, prepared.follow)
        try:
            loop(prepared.clips)
        except EdgeError as error:
            fault = error  # told last; what was done until then still counts
        seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
        progress.clear()
        sys.stdout.flush()
        values = report(
            prepared.circumstances,
            tally,
            prepared.client,
            prepared.setup.feedback,
            seconds,
            cpu_seconds,
        )
    if chosen.summary:
        for row in table(values):
            print(row, file=sys.stderr)
    if chosen.report is not None:
        write_report(Path(chosen.report), values)
    if fault is not None:
        raise fault
    if loop.failures:
        return 2
    return 130 if stop.is_set() and not chosen.microphone else 0


def _print(answer: Answer, labels: Sequence[str], at_once: bool) -> None:
    from edge_client.cli.recordings import line

    scores = dict(zip(labels, answer.scores.tolist(), strict=True))
    values = line(answer.clip.path, answer.label, scores, answer.margin, answer.latency_ms)
    sys.stdout.write(json.dumps(values | {"decided_by": answer.decided_by}) + "\n")
    if at_once:
        sys.stdout.flush()
