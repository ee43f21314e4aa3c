"""The slots of `hydra/launcher=devices`, counted for machines that need not be there."""

import pytest

from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError
from ticketsearch.launchers.chosen import keys, taken_off
from ticketsearch.launchers.devices import Devices


def names(settings: Devices, gpus: int, cores: int = 8, seen: str | None = None) -> list[str]:
    return [slot.name for slot in settings.places(gpus, cores, seen)]


def env(settings: Devices, gpus: int, key: str, cores: int = 8, seen: str | None = None) -> list[str]:
    return [slot.env[key] for slot in settings.places(gpus, cores, seen)]


def test_without_a_gpu_there_is_a_slot_for_each_core() -> None:
    assert names(Devices(), 0, cores=3) == ["cpu/1", "cpu/2", "cpu/3"]
    assert names(Devices(threads=2), 0, cores=5) == ["cpu/1", "cpu/2"]
    assert names(Devices(threads=2), 0, cores=1) == ["cpu/1"]
    assert names(Devices(devices=("cpu",), slots=2), 4) == ["cpu/1", "cpu/2"]
    assert env(Devices(devices=("cpu",), threads=2), 4, "OMP_NUM_THREADS") == ["2"] * 4
    assert env(Devices(devices=("cpu",)), 4, "CUDA_VISIBLE_DEVICES", cores=1) == [""]  # a CPU's run touches no GPU


def test_a_gpu_is_one_slot_or_several_shares_far_apart() -> None:
    assert names(Devices(), 2) == names(Devices(devices=("cuda",)), 2) == ["cuda:0", "cuda:1"]
    shared = Devices(per_device=2)
    assert names(shared, 2) == ["cuda:0/1", "cuda:1/1", "cuda:0/2", "cuda:1/2"]
    assert env(shared, 2, "CUDA_VISIBLE_DEVICES") == ["0", "1", "0", "1"]
    assert env(shared, 2, "OMP_NUM_THREADS") == ["2"] * 4
    assert names(Devices(per_device=2, slots=3), 2) == ["cuda:0/1", "cuda:1/1", "cuda:0/2"]
    assert names(Devices(devices=("cuda:2", "cuda:0")), 3) == ["cuda:2", "cuda:0"]


def test_gpus_are_those_that_this_process_sees() -> None:
    chosen = Devices(devices=("cuda:1",))
    assert env(chosen, 2, "CUDA_VISIBLE_DEVICES", seen="5, GPU-8a7b") == ["GPU-8a7b"]


@pytest.mark.parametrize(
    ("settings", "gpus", "told"),
    [
        (Devices(devices=("cuda",)), 0, "no device 'cuda'"),
        (Devices(devices=("cuda:0", "cuda:7")), 2, "no device 'cuda:7'"),
        (Devices(slots=3), 2, "slots=3"),
    ],
)
def test_what_the_machine_has_not_is_refused(settings: Devices, gpus: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        names(settings, gpus)


def test_the_words_of_the_launcher_are_taken_off_and_their_commas_are_no_sweep() -> None:
    words = ["pruner=lth,omp", "hydra/launcher=devices", "hydra.launcher.devices=cuda:0,cuda:1", "seed=1"]
    left, chosen = taken_off([*words, "hydra.launcher.per_device=2", "+hydra.launcher.slots=4"], sweep=True)
    assert left == ["pruner=lth,omp", "seed=1"]
    assert chosen == Devices(devices=("cuda:0", "cuda:1"), per_device=2, slots=4)
    assert taken_off(["hydra.launcher.devices=[cuda:0]", "hydra/launcher=devices"], sweep=True)[1] == Devices(
        ("cuda:0",)
    )
    assert taken_off(["seed=1", "hydra/launcher=basic"], sweep=True) == (["seed=1"], None)
    assert taken_off(["seed=1"], sweep=False) == (["seed=1"], None)


def test_completion_knows_the_launcher_and_its_settings() -> None:
    assert keys("", OWN) == {"hydra/launcher": ("basic", "devices", "slurm", "submitit_slurm")}
    settings = {f"hydra.launcher.{name}" for name in ("devices", "per_device", "slots", "threads")}
    assert keys("devices", OWN).keys() == settings | {"hydra/launcher"}
