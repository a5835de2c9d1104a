"""Recordings and features decoded inside a TensorFlow graph, a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

_MAX_CHUNKS = 100  # of a WAV before its audio
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_HEADER = 12  # bytes of a WAV before its first chunk
# Printable ASCII all through: base64 or a path sent as if it were audio.  Real PCM leaves this
# alphabet within a few bytes, where the match ends.
_TEXT = r"[\t\n\r -~]+"


@dataclass(frozen=True)
class _Place:
    """Where the audio of each recording lies, in bytes, and its format chunk (0: there is none)."""

    start: tf.Tensor
    size: tf.Tensor
    layout: tf.Tensor


def decode_clips(recordings: tf.Tensor, samples: int, rate: int) -> tf.Tensor:
    """Clips of one length: longer ones cut at the end, shorter ones padded with zeros.

    A recording is a WAV if it starts with ``RIFF``, else raw PCM; both little-endian, 16-bit,
    mono, at ``rate`` Hz.  Of a WAV the data chunk is found wherever it stands.

    Args:
        recordings: string ``[n]``.
        samples: length of a clip.
        rate: in Hz, which a WAV must have; raw PCM cannot say.

    Returns:
        ``[n, samples]`` float32 in [-1, 1).

    Raises:
        tf.errors.InvalidArgumentError: when run, for a recording that is empty, has half a
            sample, is text (base64 that was not decoded), or is a WAV that is truncated, without
            audio, or of another format; the message names its place in the batch.  Raw PCM of
            another rate or width cannot be told from noise.
    """
    length = tf.strings.length(recordings)
    _require(length > 0, "audio is empty; send 16-bit PCM or a WAV file")
    _require(
        ~tf.strings.regex_full_match(recordings, _TEXT),
        "audio is text; send its bytes (in JSON as {'b64': ...})",
    )
    is_wav = _part(recordings, 0, 4) == b"RIFF"
    place = _find_audio(recordings, length, is_wav)
    _check_layout(recordings, place, is_wav, rate)
    _require(place.size > 0, "WAV has no audio in it")
    _require(place.size <= length - place.start, "WAV is truncated; send all of it")
    _require(place.size % 2 == 0, "audio has an odd number of bytes; 16-bit samples have two")
    audio = tf.strings.substr(recordings, tf.minimum(place.start, length), place.size)
    pcm = tf.io.decode_raw(audio, tf.int16, fixed_length=2 * samples)
    return tf.ensure_shape(tf.cast(pcm, tf.float32) * 2.0**-15, (None, samples))


def decode_features(quantised: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    """Features that a client computed and stored as int8.

    Args:
        quantised: string ``[n]``, each the bytes of ``[frames, bins]`` int8.
        shape: ``(frames, bins)``.

    Returns:
        ``[n, frames, bins]`` float32, whole numbers from -128 to 127.

    Raises:
        tf.errors.InvalidArgumentError: when run, for features of another size; the message names
            their place in the batch.
    """
    frames, bins = shape
    _require(
        tf.strings.length(quantised) == frames * bins,
        f"features are not {frames * bins} bytes, {frames} x {bins} int8; "
        "compute them as the specification says",
    )
    whole = tf.io.decode_raw(quantised, tf.int8, fixed_length=frames * bins)
    return tf.cast(tf.reshape(whole, (-1, frames, bins)), tf.float32)


def _find_audio(recordings: tf.Tensor, length: tf.Tensor, is_wav: tf.Tensor) -> _Place:
    """Walks the chunks of all WAVs at once; raw PCM is audio from its first byte."""
    nothing = tf.zeros_like(length)

    def going_on(chunks: tf.Tensor, position: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (chunks < _MAX_CHUNKS) & tf.reduce_any(position < length)

    def next_chunk(
        chunks: tf.Tensor,
        position: tf.Tensor,
        start: tf.Tensor,
        size: tf.Tensor,
        layout: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        kind = _part(recordings, position, 4)
        chunk_size = _numbers(_part(recordings, position + 4, 4), tf.int32, 1)[:, 0]
        # Sizes of 2 GiB and more read as negative; larger than any recording is all they mean.
        chunk_size = tf.where(chunk_size < 0, tf.int32.max, chunk_size)
        behind = tf.minimum(chunk_size, length) + chunk_size % 2  # chunks start at even offsets
        open_ = position < length
        is_audio = open_ & (kind == b"data")
        return (
            chunks + 1,
            tf.where(is_audio, length, tf.where(open_, position + 8 + behind, position)),
            tf.where(is_audio, position + 8, start),
            tf.where(is_audio, chunk_size, size),
            tf.where(open_ & (kind == b"fmt "), position + 8, layout),
        )

    _, _, start, size, layout = tf.while_loop(
        going_on,
        next_chunk,
        (
            tf.constant(0),
            tf.where(is_wav, _HEADER, length),
            nothing,
            tf.where(is_wav, nothing, length),
            nothing,
        ),
    )
    return _Place(start, size, layout)


def _check_layout(recordings: tf.Tensor, place: _Place, is_wav: tf.Tensor, rate: int) -> None:
    whole = (_part(recordings, 8, 4) == b"WAVE") & (place.layout > 0)
    _require(~is_wav | whole, "WAV is damaged; record it again")
    # Tag, channels, rate (two halves), bytes a second (two halves), alignment, bits; an
    # extensible format says its true tag at byte 24.
    fields = _numbers(_part(recordings, place.layout, 16), tf.uint16, 8)
    true_tag = _numbers(_part(recordings, place.layout + 24, 2), tf.uint16, 1)[:, 0]
    tag = tf.where(fields[:, 0] == _EXTENSIBLE, true_tag, fields[:, 0])
    wanted = (
        (tag == _PCM)
        & (fields[:, 1] == 1)
        & (fields[:, 2] + fields[:, 3] * 2**16 == rate)
        & (fields[:, 7] == 16)
    )
    _require(~is_wav | wanted, f"WAV is not 16-bit PCM, mono, at {rate} Hz; convert it")


def _part(recordings: tf.Tensor, position: tf.Tensor | int, size: int) -> tf.Tensor:
    """``size`` bytes from ``position`` on, fewer where a recording ends."""
    position = tf.minimum(position, tf.strings.length(recordings))
    return tf.strings.substr(recordings, position, tf.fill(tf.shape(position), size))


def _numbers(parts: tf.Tensor, kind: tf.DType, count: int) -> tf.Tensor:
    """``[n, count]`` int32 of little-endian numbers; what is not there counts as 0."""
    numbers = tf.io.decode_raw(parts, kind, fixed_length=count * kind.size)
    return tf.cast(numbers, tf.int32)


def _require(holds: tf.Tensor, message: str) -> None:
    """Fails the whole batch, naming the first recording for which it does not hold."""
    first = tf.argmin(tf.cast(holds, tf.int32))
    tf.debugging.Assert(tf.reduce_all(holds), [message, "input", first])
