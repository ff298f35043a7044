import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException

from regraft.complaints import explain
from regraft.errors import RegraftError
from regraft.paths import conf_folder


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RegraftError("say\n this"), "say this"),
        (KeyboardInterrupt(), "interrupted"),
        (
            FileNotFoundError(2, "No such file or directory", "/a/b"),
            "/a/b: No such file or directory",
        ),
        (
            ValueError("Config group override must be a string or a list. Got NoneType"),
            "an option of a group is a word; to switch one off choose none: augment=none",
        ),
        (
            type("FailedJobError", (Exception,), {"__module__": "submitit.core.utils"})("a\nb"),
            "a job ended without a result; see .submitit in the sweep's folder (a b)",
        ),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero; debug=on shows where"),
    ],
)
def test_every_exception_is_one_line(error, text):
    assert explain(error) == text


@pytest.mark.parametrize(
    ("word", "made_of", "text"),
    [
        ("hydra/launcher=slurm", "submitit_slurm", "pip install 'regraft[launchers]'"),
        ("hydra/launcher=local", "submitit_local", "pip install 'regraft[launchers]'"),
        ("hydra/launcher=submitit_slurm", "submitit_slurm", "pip install 'regraft[launchers]'"),
        ("hydra/sweeper=optuna", "optuna", "pip install 'regraft[search]'"),
    ],
)
def test_what_comes_with_an_extra_names_the_extra(word, made_of, text, monkeypatch):
    Plugins.instance()
    group = word.partition("=")[0]
    # As without the extra, where the option is not in Hydra's store.
    store = ConfigStore.instance().repo["hydra"][group.partition("/")[2]]
    monkeypatch.delitem(store, f"{made_of}.yaml", raising=False)
    GlobalHydra.instance().clear()
    with (
        initialize_config_dir(str(conf_folder()), version_base="1.3"),
        pytest.raises(MissingConfigException) as caught,
    ):
        compose("config", [word])
    assert explain(caught.value) == f"{group}={made_of} is not installed: {text}"
