"""What only the training itself can know, as values: losses, the path of the weights, the best epoch, time."""

import math

from torch import Tensor

from ticketsearch.metrics.base import Value
from ticketsearch.training.state import Trained


def facts(trained: Trained, start: dict[str, Tensor], parameters: list[str]) -> list[Value]:
    """Per-epoch losses and accuracies (variant `epoch-k`), the weights' path, and the best validation epoch.

    `trajectory_length` is the sum over epochs of the L2 distance between the parameters at the epoch's two ends;
    variant `net` is the distance from start to end. Sahu et al. (2022) define neither the steps nor the norm.

    Args:
        trained: the trained ticket.
        start: the weights that training started from, masked.
        parameters: the state dict's entries that are parameters.
    """
    history = trained.progress.history
    values = []
    for record in history:
        variant = f"epoch-{int(record['epoch'])}"
        values.append(Value("loss", record["loss"], -1, "nats", "train", variant=variant))
        values.append(Value("accuracy", record["accuracy"], 1, "", "train", variant=variant))
        if "val_accuracy" in record:
            values.append(Value("accuracy", record["val_accuracy"], 1, "", "val", variant=variant))
    net = math.sqrt(sum(float((trained.weights[name] - start[name]).double().square().sum()) for name in parameters))
    values.append(Value("trajectory_length", sum(record["path"] for record in history), None, split="train"))
    values.append(Value("trajectory_length", net, None, split="train", variant="net"))
    values.append(Value("steps", trained.progress.step, None, split="train"))
    if trained.progress.searched:
        values.append(Value("search_steps", trained.progress.searched, None, split="train"))
    if trained.progress.best_epoch is not None:
        values.append(Value("best_epoch", trained.progress.best_epoch, None, split="val"))
    return values


def speed(trained: Trained) -> list[Value]:
    """What depends on the machine: seconds of training and training images a second."""
    seconds = trained.progress.seconds
    images = sum(record["images"] for record in trained.progress.history)
    taken = [Value("seconds", seconds, -1, "s", "train")]
    if not images:  # a ticket that is not trained
        return taken
    return [*taken, Value("images_per_second", images / seconds, 1, "1/s", "train")]
