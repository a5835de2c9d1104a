"""The bundle in which a model reaches a device.

``file`` reads and writes it, ``manifest`` says what it holds, ``parse`` refuses manifests that are
not understood, ``errors`` says why.
"""

from edge_client.bundle.errors import (
    BundleDamagedError,
    BundleError,
    BundleFormatError,
    BundleHashError,
    BundleManifestError,
    BundleMembersError,
    BundleTooLargeError,
)
from edge_client.bundle.file import Bundle, bundle_bytes, pack_model, read_bundle, write_bundle
from edge_client.bundle.manifest import (
    AudioInput,
    Budget,
    Deferral,
    FastMode,
    ForecastOutput,
    Golden,
    LabelOutput,
    Learned,
    Manifest,
    ModelFile,
    Origin,
    Quantization,
    RecordInput,
    TensorQuantization,
)

__all__ = [
    "AudioInput",
    "Budget",
    "Bundle",
    "BundleDamagedError",
    "BundleError",
    "BundleFormatError",
    "BundleHashError",
    "BundleManifestError",
    "BundleMembersError",
    "BundleTooLargeError",
    "Deferral",
    "FastMode",
    "ForecastOutput",
    "Golden",
    "LabelOutput",
    "Learned",
    "Manifest",
    "ModelFile",
    "Origin",
    "Quantization",
    "RecordInput",
    "TensorQuantization",
    "bundle_bytes",
    "pack_model",
    "read_bundle",
    "write_bundle",
]
