"""By hand, from the rules of the official script."""

import pytest

from fourfold.measures import extract_match, extract_overlap


def test_match_takes_out_signs_white_space_and_case():
    assert extract_match("《红楼梦》。", "红楼梦")
    assert extract_match(" iPhone ", "iphone")
    assert not extract_match("红楼梦的作者", "红楼梦")
    assert not extract_match("1.5", "15")


@pytest.mark.parametrize(
    ("answer", "target", "expected"),
    [
        ("踢爆", "踢爆", 1.0),
        ("即算为踢爆。", "踢爆", 2 * 2 / (5 + 2)),
        ("踢了爆", "踢爆", 2 * 1 / (3 + 2)),
        ("4分钟", "4 分钟", 1.0),
        ("由Nexon公司开发", "Nexon", 2 * 1 / (6 + 1)),
        ("没有", "踢爆", 0.0),
        ("", "踢爆", 0.0),
    ],
)
def test_overlap_is_f1_of_the_longest_common_run(answer, target, expected):
    assert extract_overlap(answer, target) == pytest.approx(expected)
