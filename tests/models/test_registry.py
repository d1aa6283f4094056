from __future__ import annotations

from typing import Any

import pytest

from lipscope.errors import CheckpointError
from lipscope.models.architecture import Config
from lipscope.models.registry import ARCHITECTURES, build, configuration
from lipscope.models.resnet import ResNetConfig
from tests.models.makers import small_config


@pytest.mark.parametrize("config", [small_config(), ResNetConfig(channels=2)], ids=lambda config: config.architecture)
def test_known_architectures_build(config: Config) -> None:
    assert config.architecture in ARCHITECTURES
    net = build(config.to_json(), "a file")
    assert net.head.classes == 10
    assert configuration(config.to_json()) == config


@pytest.mark.parametrize("name", ["densenet", "", None, 3, ["lipconvnet"], {"lipconvnet": 1}, "x" * 1000])
def test_unknown_architectures_are_refused(name: Any) -> None:
    with pytest.raises(CheckpointError, match="unknown architecture") as caught:
        build({**small_config().to_json(), "architecture": name}, "a file")
    assert caught.value.where == "a file"
    assert "lipconvnet" in caught.value.why
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "changes",
    [{"mean": 5}, {"mean": "abc"}, {"std": ["a", "b", "c"]}, {"std": [1e999] * 3}, {"dropout": 1}, {"channels": "many"},
     {"mean": [[1], [2], [3]]}, {"mean": None}, {"blocks": 10**9}],
    ids=repr,
)  # fmt: skip
def test_malformed_configurations_are_the_file_s_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        build({**small_config().to_json(), **changes}, "a file")
    assert "a file" in caught.value.where
