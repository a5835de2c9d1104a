"""From the arguments of ``ml4iot-edge run`` to what runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge_client.audio import Int16, read_wav
from edge_client.big.breaker import Breaker
from edge_client.big.client import CLASSIFY, SLOW_MODEL, BigClient
from edge_client.big.connection import Connection, read_token
from edge_client.budget import HourlyBudget
from edge_client.cli.messages import say
from edge_client.cli.models import Opened, open_model
from edge_client.cli.recordings import find, known_word
from edge_client.cli.run_model import Loaded, Loader, follower
from edge_client.errors import EdgeError
from edge_client.feedback import Feedback
from edge_client.payload import PAYLOADS, Recording, encode_recording
from edge_client.predictor import AudioPredictor
from edge_client.run.asker import Asker
from edge_client.run.clip import Clip
from edge_client.run.loop import Setup
from edge_client.run.modes import BIG_LITTLE, FAST_SLOW
from edge_client.run.report import Circumstances


@dataclass(frozen=True)
class Prepared:
    """All that a run needs."""

    setup: Setup
    follow: Callable[[Setup], Setup]  # what to do before each clip, if something changed
    clips: Iterable[Clip | EdgeError | None]
    total: int | None  # of the clips; None where nobody knows
    client: BigClient | None
    circumstances: Circumstances


@contextmanager
def prepare(chosen: argparse.Namespace) -> Iterator[Prepared]:
    """What the arguments ask for, open until the end of the context.

    Raises:
        EdgeError: arguments that do not go together, or something they name is not as it should
            be.
    """
    _check(chosen)
    with (
        open_model(chosen.bundle, chosen.home, Loader(chosen)) as model,
        _prepared(chosen, model) as prepared,
    ):
        yield prepared


@contextmanager
def _prepared(chosen: argparse.Namespace, model: Opened[Loaded]) -> Iterator[Prepared]:
    loaded, manifest = model.predictor, model.bundle.manifest
    first, decision = loaded.first, loaded.decision
    url = chosen.big if chosen.mode == BIG_LITTLE else chosen.slow
    if decision.policy == "never":
        url = None
    elif url is None and chosen.mode == BIG_LITTLE:
        raise EdgeError("no --big URL; name the gateway, or ask for --policy never")
    feedback = None
    if chosen.keep is not None:
        feedback = Feedback(Path(chosen.keep), first.labels, chosen.keep_bytes)
    clips, total = _clips(chosen, first)
    client = None if url is None else _client(url, first.labels, chosen)
    asker = None if client is None else Asker(client, chosen.concurrency, chosen.timeout)
    try:
        yield Prepared(
            setup=Setup(
                first=first,
                decision=decision,
                names=("little", "big") if chosen.mode == BIG_LITTLE else ("fast", "slow"),
                asker=asker,
                second=loaded.second,
                weight=loaded.weight,
                patient=not chosen.microphone,
                feedback=feedback,
            ),
            follow=follower(model),
            clips=clips,
            total=total,
            client=client,
            circumstances=Circumstances(
                bundle=f"{manifest.name} {manifest.version}",
                mode=chosen.mode,
                decision=decision,
                payload=None if client is None else _payload(chosen),
            ),
        )
    finally:
        if asker is not None:
            asker.close()
        if client is not None:
            client.close()


def _check(chosen: argparse.Namespace) -> None:
    """Arguments that do not go together."""
    if chosen.microphone and (chosen.inputs or chosen.list):
        raise EdgeError("--microphone listens; leave out INPUT and --list")
    if not (chosen.microphone or chosen.inputs or chosen.list):
        raise EdgeError("no INPUT; name recordings, or ask for --microphone")
    if chosen.root and not chosen.list:
        raise EdgeError("--root says where the paths of --list begin; there is no --list")
    if chosen.device is not None and not chosen.microphone:
        raise EdgeError("--device is of the --microphone, which is not asked for")
    if chosen.mode == FAST_SLOW and (chosen.big or chosen.policy):
        raise EdgeError("fast-slow mode goes by the margin; leave out --big and --policy")
    if chosen.mode == BIG_LITTLE and chosen.slow:
        raise EdgeError("--slow is for --mode fast-slow")
    payload = _payload(chosen)
    if payload not in PAYLOADS:
        raise EdgeError(f"--payload {payload!r}: there are {', '.join(PAYLOADS)}")
    if chosen.slow and payload.startswith("features"):
        raise EdgeError(f"--payload {payload}: /slow_model takes audio; choose pcm-cbor")
    if chosen.report is not None and not Path(chosen.report).absolute().parent.is_dir():
        raise EdgeError(f"{chosen.report}: no such folder to write the report to")


def _payload(chosen: argparse.Namespace) -> str:
    payload: str | None = chosen.payload
    return payload or ("pcm-cbor" if chosen.slow else "features-cbor")


def _client(url: str, labels: tuple[str, ...], chosen: argparse.Namespace) -> BigClient:
    token = None if chosen.token_file is None else read_token(Path(chosen.token_file))
    payload = _payload(chosen)
    if payload.startswith("flac"):
        # What is not installed is better told now than at the first doubtful clip.
        encode_recording(Recording(np.zeros(16000, np.int16)), payload)
    return BigClient(
        Connection(url, token, chosen.concurrency),
        labels,
        payload,
        HourlyBudget(chosen.bytes_per_hour, chosen.requests_per_hour),
        Breaker(),
        chosen.timeout,
        CLASSIFY if chosen.mode == BIG_LITTLE else SLOW_MODEL,
    )


def _clips(
    chosen: argparse.Namespace, first: AudioPredictor
) -> tuple[Iterable[Clip | EdgeError | None], int | None]:
    if chosen.microphone:
        return _heard(chosen, first), None
    found = list(find(chosen.inputs, chosen.list, chosen.root))
    return _read(found, frozenset(first.labels)), len(found)


def _read(found: Iterable[Path | EdgeError], labels: frozenset[str]) -> Iterator[Clip | EdgeError]:
    for path in found:
        if isinstance(path, EdgeError):
            yield path
            continue
        try:
            audio, rate = read_wav(path)
        except EdgeError as error:
            yield error
            continue
        # As in Speech Commands: <speaker>_nohash_<n>.wav
        speaker, underscore, _ = path.stem.partition("_")
        word = known_word(path, labels)
        yield Clip(str(path), audio, rate, word, speaker if underscore else None)


def _heard(chosen: argparse.Namespace, first: AudioPredictor) -> Iterator[Clip | None]:
    from edge_client.microphone import Microphone, clips

    rate = first.input.sample_rate
    told = False
    with Microphone(rate, chosen.device) as microphone:
        for audio in clips(microphone.blocks(), first.input.samples, chosen.gate):
            if microphone.lost and not told:
                told = True
                say("microphone: sound was lost; this device does not keep up with it")
            yield None if audio is None else _now(audio, rate)


def _now(audio: Int16, rate: int) -> Clip:
    moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return Clip(f"microphone/{moment}", audio, rate, None, None)
