"""Images, a network, and an empty folder of features."""

from pathlib import Path

import pytest

from tests.features.asking import Asked


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(tmp_path, monkeypatch)
