"""What we rely on of Hydra's inside: where Hydra changes it, this says what breaks."""

import inspect
import re

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from regraft import hydra_internals as inside
from regraft.errors import RegraftError
from regraft.finalists import batched, jobs_of

LOADER, FILES, APP = inside.ConfigLoaderImpl, inside.ConfigRepository, inside.app.Hydra
RELIED_ON = {
    "files of teams are refused what they may not say (hydra_loader.Loader)": [
        (LOADER._load_single_config, "self default repo"),
        (LOADER._process_config_searchpath, "self config_name parsed_overrides repo"),
    ],
    "YAML that fills the memory is refused, and read once (hydra_loader.Repository)": [
        (FILES.load_config, "self config_path"),
        (FILES._find_object_source, "self config_path object_type"),
    ],
    "an error names the file and line (provenance, validate)": [
        (LOADER.compute_defaults_list, "self config_name overrides run_mode"),
        (
            LOADER.load_configuration,
            "self config_name overrides run_mode from_shell validate_sweep_overrides",
        ),
        (inside.IConfigRepository.get_sources, "self"),
    ],
    "where YAML is looked for (hydra_internals.search_path)": [
        (inside.ConfigSearchPathImpl.append, "self provider path anchor"),
    ],
    "jobs of a sweep are checked before the first (precheck)": [
        (LOADER.load_sweep_config, "self master_config sweep_overrides"),
    ],
    "a sweep goes on (resume)": [
        (inside.Callbacks.__init__, "self config"),
        (
            APP.compose_config,
            "self config_name overrides run_mode with_log_configuration from_shell "
            "validate_sweep_overrides",
        ),
    ],
    "words and flags in any order (command)": [(inside.get_args_parser, "")],
}


@pytest.mark.parametrize("what", RELIED_ON)
def test_what_breaks_where_hydra_changes(what):
    for function, parameters in RELIED_ON[what]:
        found = " ".join(inspect.signature(function).parameters)
        assert found == parameters, f"{what}: {function.__qualname__} takes {found}"


def test_hydra_builds_its_loader_by_the_name_that_is_replaced():
    made = inspect.getsource(APP.create_main_hydra2)
    assert "ConfigLoaderImpl(" in made, "files of teams are loaded without a look at them"


def test_hydra_only_warns_of_what_our_callback_raises():
    """Which is made an error (launch.guard), or a sweep with wrong words would begin."""
    source = inspect.getsource(inside.Callbacks._notify)
    assert 'f"Callback {type(c).__name__}.{function_name} raised' in source


def test_no_other_room_looks_inside(repository):
    inner = re.compile(r"\bhydra\._internal\b")
    sources = sorted((repository / "src").rglob("*.py"))
    looking = [file.name for file in sources if inner.search(file.read_text(encoding="utf-8"))]
    assert looking == ["hydra_internals.py"]


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1", "strategy=finetune,scratch", "optimizer.lr=0.1"],
        ["seed=range(0,3)", "+tags=[a,b]", "~debug", "++x.y={a:1}"],
        ["seed=0,1", "seed=2"],  # the later one, in the place of the first
        ["head.dropout=choice(0.1,0.2)", "data.root='/a b'", "trainer.devices=[0,1]"],
        ["strategy=shuffle(a,b,c)"],
        [],
    ],
)
def test_jobs_are_those_that_hydras_own_sweeper_makes(words):
    def parsed():
        return OverridesParser.create().parse_overrides(words)

    ours, [theirs] = jobs_of(parsed()), BasicSweeper.split_arguments(parsed(), None)
    assert sorted(ours) == sorted(theirs) if "shuffle" in str(words) else ours == theirs
    for most in (None, -1, 1, 2, 100):
        batches = BasicSweeper.split_overrides_to_chunks(theirs, most)
        assert [*batched(theirs, most)] == [*batches]


def test_an_interval_has_no_jobs():
    with pytest.raises(RegraftError, match="by hydra/sweeper=optuna only"):
        jobs_of(OverridesParser.create().parse_overrides(["optimizer.lr=interval(0,1)"]))
