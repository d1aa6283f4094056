from fractions import Fraction

import numpy as np
import pytest

from lipscope.certification.summary import summary
from lipscope.tui.radii.classes import class_rows
from tests.tui.pictured import write_synthetic


@pytest.fixture
def certificates(model):
    return write_synthetic(model)


def test_the_mean_is_that_of_the_correct_images_as_certify_prints_it(certificates):
    eps = Fraction(36, 255)
    rows = class_rows(certificates, eps)
    for row, told in zip(rows, summary(certificates, "m", [eps])["classes"], strict=True):
        mine = certificates.label == row.label
        right = mine & certificates.correct
        assert (row.images, row.correct) == (mine.sum(), right.sum())
        assert row.mean_radius == pytest.approx(np.mean(certificates.radius[np.flatnonzero(right)]))
        assert row.mean_radius == pytest.approx(told["mean_radius_of_correct"])
        assert row.name == told["name"] == f"pattern {row.label}"
        assert row.certified == sum(certificates.radius[i] > 36 / 255 for i in np.flatnonzero(right))


def test_a_class_without_a_correct_image_has_no_mean(model):
    label = np.arange(1000) % 10
    certificates = write_synthetic(model, label=label, predicted=np.where(label == 3, 4, label), classes=())
    rows = class_rows(certificates, Fraction(1, 255))
    assert rows[3].mean_radius is None
    assert rows[3].certified == 0
    assert rows[3].name == "3"
