"""What a model file is packed in for its way to the device."""

from __future__ import annotations

import itertools
import zlib

from components.compression.steps import Context, NoOptions, Stage, register

_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)


@register("zlib", Stage.PACKING, NoOptions)
def pack(data: bytes, options: NoOptions, context: Context) -> bytes:
    """The smallest zlib stream of several strategies; ``zlib.decompress`` reads every one.

    Weights are nearly random bytes, for which the default strategy is often not the best: its
    matches cost more than they save, and small blocks adapt better to weights of different layers.
    """
    streams = (
        _deflate(data, window, memory, strategy)
        for window, memory, strategy in itertools.product((9, 12, 15), range(1, 10), _STRATEGIES)
    )
    return min(streams, key=len)


def _deflate(data: bytes, window: int, memory: int, strategy: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window, memory, strategy)
    return packer.compress(data) + packer.flush()
