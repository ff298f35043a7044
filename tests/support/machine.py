"""How fast this machine trains: images a second of ResNet-18 at 96 pixels, with all its cores.

Machines differ five- to tenfold, so `make test` says it first: what its tests may take depends
on it.
"""

import statistics
import time

import timm
import torch

from regraft.environment import cores

BATCH, PIXELS, ROUNDS, STEPS = 32, 96, 3, 2


def images_per_second() -> float:
    """The median of three rounds of two steps of SGD, after one that warms up."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.randn(BATCH, 3, PIXELS, PIXELS), torch.arange(BATCH) % 10

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    step()
    speeds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        speeds.append(STEPS * BATCH / (time.perf_counter() - began))
    return statistics.median(speeds)


def main() -> None:
    torch.set_num_threads(cores())
    speed, vectors = images_per_second(), torch.backends.cpu.get_cpu_capability()
    print(
        f"This machine trains {speed:.0f} images a second of ResNet-18 at {PIXELS} px "
        f"({cores()} cores, {vectors}, torch {torch.__version__})."
    )


if __name__ == "__main__":
    main()
