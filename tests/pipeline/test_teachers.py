"""Which version teaches or answers which, and the line for one that cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.deferral.recipe import DeferralRecipe, Target
from components.errors import InputError
from components.trainer.recipe import Architecture, Distillation, Training
from components.version import CompressionRecipe, Version
from edge_client.features.spec import AudioFeatures
from pipeline.keyword_spotting import big_of, teacher_of, teachers_first

BIG = Version("big", Architecture("res_net"), Training(3), AudioFeatures("log_mel"))
SMALL = Version(
    "small",
    Architecture("ds_cnn"),
    Training(3, distillation=Distillation("big")),
    AudioFeatures("log_mel"),
)


def test_the_teacher_is_trained_before_its_student() -> None:
    assert teachers_first([SMALL, BIG]) == [BIG, SMALL]
    assert teacher_of(SMALL, [SMALL, BIG]) == BIG
    assert teacher_of(BIG, [SMALL, BIG]) is None


def test_a_teacher_that_cannot_teach_is_refused() -> None:
    with pytest.raises(InputError, match="ML4IOT_VERSIONS: add big, from which small learns"):
        teacher_of(SMALL, [SMALL])
    pupil = replace(BIG, training=Training(3, distillation=Distillation("other")))
    with pytest.raises(InputError, match=r"small: .*'big', which learns from another itself"):
        teacher_of(SMALL, [SMALL, pupil])
    # The same shape, so that nothing later would notice.
    other = replace(BIG, features=AudioFeatures("log_mel", low_hz=60))
    with pytest.raises(InputError, match=r"small: .*'big', whose features are others"):
        teacher_of(SMALL, [SMALL, other])


def test_the_big_model_a_small_one_asks_is_a_served_one_of_the_run() -> None:
    asking = replace(
        SMALL,
        compression=(CompressionRecipe("int8", ()),),
        deferral=DeferralRecipe("big", Target(share=0.1)),
    )
    assert big_of(asking, [asking, BIG]) == BIG
    assert big_of(BIG, [asking, BIG]) is None
    with pytest.raises(InputError, match="ML4IOT_VERSIONS: add big, which small asks"):
        big_of(asking, [asking])
    device = replace(BIG, compression=asking.compression)
    with pytest.raises(InputError, match=r"small: .*'big', which is made for devices"):
        big_of(asking, [asking, device])
