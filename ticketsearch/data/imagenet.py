"""ImageNet (Russakovsky et al. 2015) and Tiny ImageNet, at sizes at which all of their images fit into memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge

from ticketsearch.data.decoded import Filter
from ticketsearch.data.listing import Picture, by_file, by_folder, folders
from ticketsearch.data.pictures import Pictures


@dataclass(frozen=True)
class TinyImageNet(Pictures):
    """200 classes of ImageNet (Le & Yang 2015): 100,000 training pictures of 64x64 pixels, and 10,000 of validation,
    whose classes are in `val/val_annotations.txt`. These are tested on, since those of test have no labels; 10,000 of
    train, the last in the order of the SHA-256 of their places, validate.
    """

    ood: ClassVar[tuple[str, ...]] = ("dtd", "svhn", "gaussian")

    validation: Annotated[int, Ge(0)] = 10_000
    pad: Annotated[int, Ge(0)] = 4
    flip: bool = True
    folder: str = field(default="tiny-imagenet-200", metadata={"identity": False})
    classes: Annotated[int, Ge(2)] = 200

    def tests(self, classes: Sequence[str]) -> list[Picture]:
        return by_file(self.place, "val", "val/val_annotations.txt", classes)


@dataclass(frozen=True)
class ImageNet(Pictures):
    """ILSVRC 2012, made small as in ImageNet64x64 (Chrabaszcz et al. 2017): both sides of a picture become 64 pixels,
    by Pillow's box filter; random crops from 4 pixels of padding and flips, as in their code
    (PatrykChrabaszcz/Imagenet32_Scripts). Full resolution, where images do not fit into memory, is not there yet.

    `train` has a folder for each of the 1,000 classes, and so has `val`; or `val` has the 50,000 pictures themselves,
    and `val.txt` beside it names each and its class, as `n01440764` or as the number in the order of these names. They
    are tested on; 10,000 of train, the last in the order of the SHA-256 of their places, validate.
    """

    recipe: ClassVar[str] = "imagenet"
    ood: ClassVar[tuple[str, ...]] = ("imagenet_o", "dtd", "gaussian")

    validation: Annotated[int, Ge(0)] = 10_000
    pad: Annotated[int, Ge(0)] = 4
    flip: bool = True
    folder: str = field(default="imagenet", metadata={"identity": False})
    classes: Annotated[int, Ge(2)] = 1000
    crop: bool = False
    filter: Filter = "box"

    def tests(self, classes: Sequence[str]) -> list[Picture]:
        if folders(self.place / "val"):
            return by_folder(self.place, "val", classes)
        return by_file(self.place, "val", "val.txt", classes)
