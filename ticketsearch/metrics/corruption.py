"""Corruptions: how often the model errs, and how sure it is then, on images that are noisy, blurred or bleached."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, MinLen
from torch import Tensor, nn

from ticketsearch.data import corruptions
from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.data.corruptions import EXTRA, KINDS
from ticketsearch.data.stored import data_folder
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.bins import expected_calibration_error
from ticketsearch.metrics.sweep import Sweep

Severity = Annotated[int, Ge(1), Le(5)]


@dataclass(frozen=True)
class Corruption(Metric):
    """Error, NLL and ECE on every corruption and severity of Hendrycks & Dietterich (2019), raw; variant
    `KIND-SEVERITY`, and without a variant the mean over all that were measured. mCE is derived from these rows
    (`ticketsearch.analysis.mce`). Frost is laid over by pictures in the folder `frost` of the datasets' folder, as
    published; without it the frost is grown from noise, and its variant is `procedural_frost-SEVERITY`. Variant `clean`
    is the error on the same images as they are.

    The images go through a folded copy of the model, in bfloat16 where that is native; `sweep_difference` says how far
    its logits are from the exact ones on the clean images, and its variant what was used.

    Attributes:
        kinds: the corruptions: the 15 of the benchmark; the 4 extra ones can be added.
        severities: from 1 to 5.
        table: how strong they are: `cifar`: as CIFAR-10-C was made; `imagenet`: as ImageNet-C.
        images: how many test images, the first of them; null: `dataset.sample`.
        files: take the published CIFAR-10-C and CIFAR-100-C in the dataset's folder in place of corrupting the images.
        bins: of the ECE, of equal width.
        frost: which frost: filled in with the beginning of the SHA-256 of the pictures, or `grown`.
    """

    kinds: Annotated[tuple[str, ...], MinLen(1)] = KINDS
    severities: Annotated[tuple[Severity, ...], MinLen(1)] = (1, 2, 3, 4, 5)
    table: Literal["cifar", "imagenet"] = "cifar"
    images: Annotated[int, Ge(1)] | None = None
    files: bool = False
    bins: Annotated[int, Ge(1)] = 15
    frost: str = ""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - {*KINDS, *EXTRA})
        if unknown:
            raise ValueError(f"kinds: no corruption {unknown[0]!r}; there are {' '.join((*KINDS, *EXTRA))}")
        if len(set(self.kinds)) < len(self.kinds) or len(set(self.severities)) < len(self.severities):
            raise ValueError("kinds and severities are listed once each")

    def suited(self, dataset: Dataset) -> Self:
        needed = "frost" in self.kinds and not self.files
        return replace(super().suited(dataset), frost=_which_frost(dataset) if needed else "")

    def lacks(self, dataset: Dataset) -> frozenset[str]:
        return frozenset(filter(None, (self._missing(kind, dataset) for kind in self.kinds)))

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        clean = data.test[: self.images]
        sweep = Sweep(model, clean.images, ctx.logits("test", data.test)[: len(clean)])
        values, wrong = [_clean_error(ctx.logits("test", data.test), clean)], list[Tensor]()
        for kind in self.kinds:
            missing = self._missing(kind, ctx.dataset)
            for severity in self.severities:
                variant = f"{self._named(kind, ctx.dataset)}-{severity}"
                if missing:
                    values += _skipped(variant, missing)
                    continue
                logits = sweep.logits(self._corrupted(kind, severity, clean, ctx.dataset))
                wrong.append((logits.argmax(1) != clean.labels).double())
                values += self._values(logits.double(), clean.labels, variant)
        how = str(sweep.dtype).removeprefix("torch.") if sweep.fast else "exact"
        if math.isfinite(sweep.difference):
            values.append(Value("sweep_difference", sweep.difference, None, variant=how))
        return [*values, *_means(values[1:], wrong)]

    def _missing(self, kind: str, dataset: Dataset) -> str:
        """Why a corruption cannot be looked at; '' if it can."""
        if not self.files:
            return corruptions.refusal(kind, self.table, dataset.shape, _frost(dataset))
        if not dataset.corrupted or dataset.only is not None:
            return "corruption.files: there are published ones of all classes of CIFAR-10 and CIFAR-100"
        file = Path(dataset.corrupted) / f"{kind}.npy"
        return "" if (data_folder(dataset.root) / file).is_file() else f"{file} is not in the folder of datasets"

    def _named(self, kind: str, dataset: Dataset) -> str:
        """What a corruption is called: one that is not as published has a name of its own."""
        grown = kind == "frost" and not self.files and corruptions.frost_is_procedural(_frost(dataset))
        return "procedural_frost" if grown else kind

    def _corrupted(self, kind: str, severity: int, clean: Split, dataset: Dataset) -> Tensor:
        """The images of `clean`, corrupted, on their device."""
        if not self.files:
            return corruptions.corrupted(clean.images, kind, severity, self.table, frost=_frost(dataset))
        where = (data_folder(dataset.root), dataset.corrupted)
        labels = torch.from_numpy(corruptions.official_labels(*where)[: len(clean)])
        if not torch.equal(labels, clean.labels.cpu()):
            raise ValueError(f"{dataset.corrupted} is of other test images: its labels differ")
        published = corruptions.official(*where, kind)[severity - 1, : len(clean)].copy()  # the file is read-only
        return torch.from_numpy(published).to(clean.images.device)

    def _values(self, logits: Tensor, labels: Tensor, variant: str) -> list[Value]:
        error = float((logits.argmax(1) != labels).double().mean())
        nll = F.cross_entropy(logits, labels, reduction="none")
        ece = expected_calibration_error(logits.softmax(1), labels, self.bins)
        spread = float(nll.std(correction=0)) / math.sqrt(len(labels))
        return [
            Value("corruption_error", error, -1, "", "test", math.sqrt(error * (1 - error) / len(labels)), variant),
            Value("corruption_nll", float(nll.mean()), -1, "nats", "test", spread, variant),
            Value("corruption_ece", ece, -1, variant=variant),
        ]


def _clean_error(logits: Tensor, clean: Split) -> Value:
    error = float((logits[: len(clean)].argmax(1) != clean.labels).double().mean())
    return Value("corruption_error", error, -1, stderr=math.sqrt(error * (1 - error) / len(clean)), variant="clean")


def _which_frost(dataset: Dataset) -> str:
    """Tells frosts apart; a folder without all of the pictures has none."""
    folder = _frost(dataset)
    if corruptions.frost_is_procedural(folder):
        return "grown"
    return "" if corruptions.missing(folder) else corruptions.fingerprint(folder)[:12]


def _frost(dataset: Dataset) -> Path | None:
    """The folder of frost pictures, where there is one."""
    folder = data_folder(dataset.root) / "frost"
    return folder if folder.is_dir() else None


def _skipped(variant: str, why: str) -> Iterator[Value]:
    for name, unit in (("corruption_error", ""), ("corruption_nll", "nats"), ("corruption_ece", "")):
        yield Value(name, math.nan, -1, unit, variant=variant, skipped=why)


def _means(values: list[Value], wrong: list[Tensor]) -> Iterator[Value]:
    """The mean over everything that was measured; images are shared, so its error comes from their mean errors."""
    for name in ("corruption_error", "corruption_nll", "corruption_ece"):
        own = [value for value in values if value.name == name]
        found = [value.value for value in own if not value.skipped]
        if not found:
            yield Value(name, math.nan, -1, own[0].unit, skipped=own[0].skipped)
            continue
        error = None
        if name == "corruption_error":
            each = torch.stack(wrong).mean(0)
            error = float(each.std(correction=0)) / math.sqrt(len(each))
        yield Value(name, sum(found) / len(found), -1, own[0].unit, stderr=error)
