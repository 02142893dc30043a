"""Pictures that read on light and on dark pages."""

import re
from xml.etree import ElementTree

from fourfold.workflow.claims.drawing import DARK, PAPER, adaptive


def contrast(first, second):
    """WCAG 2.1's contrast ratio of two colours."""
    light = []
    for colour in (first, second):
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_every_colour_follows_the_page():
    colour = next(name for name in DARK if name != PAPER)
    svg = f'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><path style="fill: {colour}"/></svg>'
    changed = adaptive(svg)
    root = ElementTree.fromstring(changed)
    assert root[1].attrib["style"] == f"fill: var(--c1, {colour})"
    assert "prefers-color-scheme: dark" in (root[0].text or "")
    assert re.findall(r"--c1: (#\w+)", changed) == [DARK[colour]]


def test_text_in_every_colour_is_readable_on_both_papers():
    grid = "#e4dfd6"
    for light, dark in DARK.items():
        if light not in (PAPER, grid):
            assert contrast(light, PAPER) >= 4.5, light
            assert contrast(dark, DARK[PAPER]) >= 4.5, dark
