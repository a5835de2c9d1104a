"""Why a bundle was refused."""

from __future__ import annotations

from edge_client.errors import EdgeError


class BundleError(EdgeError):
    """A bundle that is not taken; each reason has a class of its own."""


class BundleDamagedError(BundleError):
    """Not a bundle, or cut short, or not readable as the zip it should be."""


class BundleMembersError(BundleError):
    """Other files in it than a manifest and the model the manifest names."""


class BundleTooLargeError(BundleError):
    """Something in it is larger than allowed, or than it says."""


class BundleFormatError(BundleError):
    """Written in a format this client does not read."""


class BundleManifestError(BundleError):
    """A field of the manifest is unknown, missing or impossible."""


class BundleHashError(BundleError):
    """The model is not the one the manifest describes."""
