"""Scores of members and folds: of images that they never saw, and of no others."""

import numpy as np

from foldwise.review.member_scores import fold_scores
from foldwise.scoring.probability import sigmoid


def test_the_mean_over_views_of_the_wanted_images() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "oof_id": np.array(["a", "b", "c"]),
        "oof_logits": rng.normal(0, 2, (2, 3, 4)).astype(np.float32),
        "test_id": np.array(["t", "u"]),
        "test_logits": rng.normal(0, 2, (2, 2, 4)).astype(np.float32),
    }
    found = fold_scores("cnn", 1, arrays, {"c", "u", "elsewhere"}, False)
    assert set(found.places) == {"c", "u"}
    for id, part, row in (("c", "oof", 2), ("u", "test", 1)):
        wanted = sigmoid(arrays[f"{part}_logits"][:, row].astype(float)).mean(0)
        own = found.of(id)
        assert own is not None
        assert np.allclose(own, wanted, atol=1e-3)
    assert found.of("a") is None
    one = fold_scores("cnn", 1, arrays, {"c"}, True).of("c")
    assert one is not None
    assert abs(one.sum() - 1) < 0.01
