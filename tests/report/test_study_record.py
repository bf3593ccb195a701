"""The files that a search leaves, read; and what is none of them."""

import json
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.report.study_record import TRIAL_COLUMNS, as_numbers, read_study_record
from tests.studies import FILES, section_of, write_no_study, write_study


def test_a_key_may_be_called_as_a_column_is(left: Path) -> None:
    write_study(left)
    path = left / FILES[1]
    header, rest = path.read_text().split("\n", 1)
    path.write_text(header.replace("models.cnn.dropout", "epochs") + "\n" + rest)
    record = read_study_record(*(left / each for each in FILES))
    assert record
    assert list(record.trials.columns) == list(TRIAL_COLUMNS)
    assert record.values.columns[-1] == "epochs"
    assert record.trials["epochs"].iloc[0] == 27
    assert section_of(left).every[0]["epochs"] == "27"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, "", "{", "[]", "a,b\n1,2\n", "\x00\x01"])
def test_what_no_study_left_is_one_line(left: Path, name: str, content: str | None) -> None:
    write_study(left)
    path = left / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_study_record(*(left / each for each in FILES))
    (line,) = caught.value.args
    assert "\n" not in line
    assert f"{name}: " in line
    assert "git checkout HEAD -- " in line


def test_a_winner_that_is_no_trial_is_refused(left: Path) -> None:
    content = write_study(left)
    content["winner"]["trial"] = 99
    (left / FILES[0]).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tune\.csv: .*no trial 99, which tune\.json names"):
        section_of(left)


def test_nothing_is_read_where_there_was_no_study(left: Path) -> None:
    write_no_study(left)
    assert read_study_record(*(left / each for each in FILES)) is None


@pytest.mark.parametrize("text", ["true", "null", "[1]", '"1"', "NaN", "Infinity", "abc"])
def test_what_is_no_number_makes_a_key_one_of_values(text: str) -> None:
    assert as_numbers(["1", text]) is None
