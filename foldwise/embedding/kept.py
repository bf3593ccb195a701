"""The features that `predict` kept, of one member."""

from collections.abc import Sequence

from foldwise.core import files
from foldwise.core.damage import reading
from foldwise.embedding.space import FeatureSpace, FoldFeatures, common_space


def read_feature_space(member: str, folds: Sequence[int]) -> FeatureSpace | None:
    """All images in one space, by the features of a member; None where none were kept.

    Args:
        member: whose.
        folds: all of its folds.

    Raises:
        UserError: a file is missing or damaged.
    """
    found = {}
    for fold in folds:
        path = files.LAST_FEATURES / member / f"{fold}.npz"
        arrays = files.read_arrays(path, "predict")
        with reading(path, "predict"):
            for part in ("oof", "test"):
                if arrays[f"{part}_features"].ndim != 2 or len(arrays[f"{part}_id"]) != len(
                    arrays[f"{part}_features"]
                ):
                    raise ValueError("its ids and features do not agree")
        found[fold] = FoldFeatures(
            arrays["oof_id"],
            arrays["oof_features"],
            arrays["test_id"],
            arrays["test_features"],
        )
    with reading(files.LAST_FEATURES / member, "predict"):
        return common_space(found)
