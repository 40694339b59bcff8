from __future__ import annotations

import itertools

import numpy as np
import pytest

from mnist_digits.plots.style import ABOVE, BELOW, GAP, caption, sheet, show, show_pixels


def test_places_of_a_grid_leave_room_for_captions_and_do_not_overlap() -> None:
    _, whole = sheet(9, 4)
    places = whole.titled("A title").grid(2, 5, ABOVE, BELOW)
    assert len(places) == 10
    assert [place.top for place in places] == sorted(place.top for place in places)
    for one, other in itertools.pairwise(places[:5]):
        assert other.left - (one.left + one.width) == pytest.approx(GAP)
    assert places[5].top - (places[0].top + places[0].height) == pytest.approx(ABOVE + BELOW + GAP)
    assert places[0].top > ABOVE
    assert places[-1].top + places[-1].height + BELOW < 4
    assert places[-1].left + places[-1].width < 9


@pytest.mark.parametrize(
    ("shape", "filled"), [((28, 28), (2, 1, 2, 2)), ((10, 60), (0, 1.5, 6, 1))]
)
def test_a_picture_keeps_its_shape_in_the_middle_of_its_place(
    shape: tuple[int, int], filled: tuple[float, ...]
) -> None:
    figure, whole = sheet(6, 4)
    picture = show(whole.stacked(1, 2, 1)[1], np.zeros(shape))
    assert (picture.left, picture.top, picture.width, picture.height) == pytest.approx(filled)
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (left, top, right - left, bottom - top) == pytest.approx(filled)


def test_captions_stand_above_and_below_the_picture() -> None:
    figure, whole = sheet(2, 2)
    picture = show_pixels(whole.grid(1, 1, ABOVE, BELOW)[0], np.zeros((28, 28)))
    caption(picture, "$7$", "99%")
    figure.draw_without_rendering()
    above, below = figure.axes[0].texts
    inches = figure.dpi
    bottom_of_above = 2 - above.get_window_extent().y0 / inches
    top_of_below = 2 - below.get_window_extent().y1 / inches
    assert 0 <= bottom_of_above <= picture.top
    assert picture.top + picture.height <= top_of_below <= 2
    assert above.get_text() == "$7$"
    assert not above.get_parse_math()
