"""Values that are handed to libraries, as YAML spells them."""

from typing import Any

import pytest
import yaml

from foldwise.core.errors import UserError
from foldwise.core.settings import validated
from foldwise.model.settings import Model
from foldwise.training.settings import Train, make_recipe

NUMBERS = ["1e-1", "1E-06", "+2e3", "-3e-2", "1.5e3", ".5e1", "1.e2"]
TEXTS = ["1e", "e5", "0x1e5", "1e-1x", "nan", "inf", "12", "1.5", "", "1_0e3", " 1e3"]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_that_yaml_takes_for_text_are_numbers_to_libraries(text: str) -> None:
    content = yaml.safe_load(f"{{rate: {text}, inner: {{list: [relu, {text}]}}}}")
    found = validated({"backbone": "timm/x", "options": content}, Model).options
    assert found == {"rate": float(text), "inner": {"list": ["relu", float(text)]}}
    assert isinstance(found["rate"], float)
    spelled = f"[{{OneOf: {{transforms: [{{Blur: {{p: {text}}}}}], p: {text}}}}}]"
    train: Any = {"augment": yaml.safe_load(spelled)}
    inner = {"OneOf": {"transforms": [{"Blur": {"p": float(text)}}], "p": float(text)}}
    assert validated(train, Train).augment == (inner,)
    model = Model(backbone="timm/x", train=train)
    assert make_recipe("m", model, Train(), 0.1, 1, 0).train.augment == (inner,)


@pytest.mark.parametrize("text", TEXTS)
def test_other_texts_stay_texts(text: str) -> None:
    options = {"name": text, "names": [text]}
    assert validated({"backbone": "timm/x", "options": options}, Model).options == options


@pytest.mark.parametrize("text", ["{160: 4, 128: 6}", "{'128': 6, '160': 4}"])
def test_sides_may_come_as_text_and_in_any_order(text: str) -> None:
    train = validated({"resize": yaml.safe_load(text)}, Train)
    made = make_recipe("m", Model(backbone="timm/x"), train, 0.1, 10, 0)
    assert made.sizes == (128,) * 6 + (160,) * 4
    again = Train.model_validate(train.model_dump(mode="json"))
    assert again == train
    with pytest.raises(UserError, match=r"params.yaml: train.resize"):
        validated({"resize": {"big": 6}}, Train, ("train",))
