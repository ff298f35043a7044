"""What hostile presets would make Hydra do, they do in a program that does not look."""

import subprocess
import sys

from regraft.paths import conf_folder

# Each of these lines is one of tests/unit/test_hostile.py, where it is refused.
AT_ONCE = ["hydra_callbacks", "hydra_job_logging", "hydra_env_option", "leads_up", "hydra_run_dir"]
PLAIN = """
import os, sys, hydra
from hydra.core.global_hydra import GlobalHydra
@hydra.main(version_base="1.3", config_path=sys.argv.pop(1), config_name="config")
def main(cfg): pass
folder = sys.argv.pop(1)
for preset in sys.argv[1:]:
    os.mkdir(preset)
    os.chdir(preset)
    sys.argv[1:] = ["--config-dir", folder, f"preset={preset}"]
    try: main()
    except (Exception, SystemExit): pass
    GlobalHydra.instance().clear()
    os.chdir("..")
"""


def test_what_presets_would_make_hydra_do_works_in_any_other_program(repository, tmp_path):
    hostile = repository / "tests" / "support" / "hostile" / "conf"
    command = [sys.executable, "-c", PLAIN, str(conf_folder()), str(hostile), *AT_ONCE]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    done = {path.parent.name for path in tmp_path.glob("*/canary")}
    assert done == {*AT_ONCE}
