"""What is taken of Hydra's inside, as there is no public way to it; no other room imports it.

tests/unit/test_hydra_internals.py says of each what it is for, and fails where Hydra changes it.
"""

from collections.abc import Iterable
from typing import Any

from hydra._internal import hydra as app
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.utils import get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins

__all__ = [
    "Callbacks",
    "ConfigLoaderImpl",
    "ConfigRepository",
    "IConfigRepository",
    "get_args_parser",
    "load_with",
    "search_path",
]


def load_with(loader: type[ConfigLoaderImpl]) -> None:
    """Make Hydra load every config of this process with this class."""
    vars(app)["ConfigLoaderImpl"] = loader


def search_path(sources: Iterable[tuple[str, str]]) -> ConfigSearchPath:
    """Providers and their paths, asked in this order, without Hydra's global state."""
    Plugins.instance()  # what plugins keep in Hydra's store, such as launchers
    path: Any = ConfigSearchPathImpl()
    for provider, where in sources:
        path.append(provider, where)
    return path
