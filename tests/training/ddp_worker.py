"""One update of a small network in as many processes as the command line says; the first process keeps the result."""

import sys
from pathlib import Path

import torch
from torch import nn

from spikescan.data import Split
from spikescan.layers import RateReadout, Sequential
from spikescan.neurons import DSN
from spikescan.tasks import Classification
from spikescan.training import Experiment, evaluate, launch_fabric
from spikescan.training.epoch import Learner, run_epoch
from spikescan.training.optimisers import sgd
from spikescan.training.schedules import constant


def main(processes: int, path: Path) -> None:
    torch.manual_seed(0)
    # 11 samples in batches of 5 leave one for the last, of which two processes cannot both have a share.
    split = Split(torch.randn(11, 6, 3), torch.randint(2, (11,)), torch.randint(1, 7, (11,)))
    network = Sequential(nn.Linear(3, 4), nn.LayerNorm(4), DSN(4), nn.Linear(4, 2), RateReadout())
    fabric = launch_fabric(
        Experiment(accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto")
    )
    model, optimiser = fabric.setup(network, sgd(network, lr=0.1, momentum=0.9))
    learner = Learner(
        fabric, model, optimiser, constant(), Classification(), split, clip_norm=1.0, batch_size=5, epochs=2, seed=0
    )
    gradients = []
    optimiser.optimizer.register_step_pre_hook(
        lambda *_: gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    )
    trained = []
    for epoch in (1, 2):
        events = run_epoch(learner, epoch)
        while True:
            try:
                next(events)
            except StopIteration as end:
                trained.append((end.value.loss, end.value.score))
                break
    evaluation = evaluate(fabric, model, Classification(), split, batch_size=5)
    if fabric.is_global_zero:
        found = {
            "gradients": gradients,
            "weights": network.state_dict(),
            "trained": trained,
            "evaluation": [evaluation.loss, evaluation.score, *evaluation.firing_rates.values()],
            "processes": fabric.world_size,
        }
        torch.save(found, path)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
