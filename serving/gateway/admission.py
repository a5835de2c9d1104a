"""From a body to what a model is asked: whatever the model would refuse is refused here.

TensorFlow Serving answers 400 to a whole batch where one of its inputs is bad, so nothing bad may
get that far.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_client.audio import fit_clip
from edge_client.payload import QuantisedFeatures, Recording, decode
from edge_client.senml import Form, Limits, parse
from serving.gateway.big import BigModel, check_specification
from serving.gateway.errors import MalformedError, SpecificationError

# A clip is three records; a client may tell more, but thousands would hold up the others.
LIMITS = Limits(records=100, items=1000)


@dataclass(frozen=True)
class Question:
    """What the big model is asked: 16-bit PCM, or features of a specification."""

    data: bytes
    specification: str | None = None


@dataclass(frozen=True)
class Asked:
    """A question, and the form the client put it in."""

    form: Form
    question: Question


def big_question(body: bytes, form: Form | None, model: BigModel) -> Asked:
    """What to ask the big model.

    Raises:
        EdgeError: the body is not what it should be.
        SpecificationError: features that this model does not take.
        MalformedError: features of another size than this model's.
    """
    pack = parse(body, form, limits=LIMITS)
    content = decode(pack, model.samples)
    if isinstance(content, Recording):
        clip = fit_clip(content.audio, content.rate, model.sample_rate, model.samples)
        return Asked(pack.form, Question(clip.astype("<i2", copy=False).tobytes()))
    check_specification(model, content.specification)
    assert model.description is not None  # or the check would have failed
    frames, bins = model.description.features.shape
    if len(content.data) != frames * bins:
        raise MalformedError(
            f"{len(content.data)} features, where {frames} x {bins} of them are wanted"
        )
    return Asked(pack.form, Question(content.data, content.specification))


def recording(body: bytes, form: Form | None, samples: int) -> tuple[Form, Recording]:
    """A recording for the slow model. Raises EdgeError or `SpecificationError`."""
    pack = parse(body, form, limits=LIMITS)
    content = decode(pack, samples)
    if isinstance(content, QuantisedFeatures):
        raise SpecificationError("the slow model takes no features; send audio")
    return pack.form, content
