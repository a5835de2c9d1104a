"""The kinds of artifact this pipeline passes on beside TFX's own."""

from __future__ import annotations

from tfx.types.artifact import Artifact


class FeatureSpecification(Artifact):
    """A folder with ``specification.json``: what a model takes, as a bundle's manifest says it."""

    TYPE_NAME = "FeatureSpecification"


class DataApproval(Artifact):
    """A folder with ``report.json``: what the data gate looked at; exists only if it passed."""

    TYPE_NAME = "DataApproval"


class Candidates(Artifact):
    """A folder with one folder a compression recipe: the candidate's file and its description."""

    TYPE_NAME = "Candidates"


class ConstraintReport(Artifact):
    """A folder with ``report.json``: what each budget required and what was measured."""

    TYPE_NAME = "ConstraintReport"


class EdgeBundle(Artifact):
    """A folder with ``<version>.bundle``, the one file a device fetches."""

    TYPE_NAME = "EdgeBundle"


class DeferralCurve(Artifact):
    """A folder with ``curve.json`` and ``curve.svg``: what asking a bigger model buys."""

    TYPE_NAME = "DeferralCurve"


class ModelEnsemble(Artifact):
    """A folder with ``cooperation.json``: which bundles decide together, and how."""

    TYPE_NAME = "ModelEnsemble"
