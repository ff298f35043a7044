"""Train one job or a sweep: python train.py [group=option] [key=value]; --help lists them."""

import hydra
from omegaconf import DictConfig

from regraft.launch import guard, job


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    return job(cfg)


if __name__ == "__main__":
    guard(main)
