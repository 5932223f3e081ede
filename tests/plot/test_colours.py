"""Colours that colour-blind readers can tell apart, and text that can be read on them."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from dem.plot.colours import PALETTE, luminance, style, text_on

BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What a colour looks like to readers with each kind, in linear RGB (Machado, Oliveira and Fernandes 2009)."""
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
CLEARLY = 15
"""A difference of CIELAB colours that is seen at a glance; 2 can just be seen."""


def lab(colour, seen_by):
    """Return the CIELAB coordinates of a colour, as it is seen."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(seen_by @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_every_reader(kind):
    seen = {colour: lab(colour, np.asarray(BLINDNESS[kind])) for colour in PALETTE}
    near = {pair for pair in combinations(PALETTE, 2) if np.linalg.norm(seen[pair[0]] - seen[pair[1]]) < CLEARLY}
    assert near == set()


def test_text_on_every_colour_has_the_contrast_of_the_guidelines():
    for colour in PALETTE:
        light, dark = sorted((luminance(colour), luminance(text_on(colour))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour  # WCAG 2, level AA


def test_components_that_share_a_colour_differ_otherwise():
    looks = [style(k) for k in range(32)]
    assert len(set(looks)) == 32
