"""The course's example: several architectures fine-tuned on one data set."""

from hydra import compose, initialize_config_dir

from regraft.paths import conf_folder


def test_the_sweep_fine_tunes_vgg_inception_and_resnet():
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        cfg = compose("config", ["sweep=ensemble"], return_hydra_config=True)
    assert cfg.hydra.sweeper.params == {"backbone": "vgg16,inception_v3,resnet50"}
    assert cfg.strategy.name == "finetune"
