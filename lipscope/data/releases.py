"""The official releases of CIFAR-10 and CIFAR-100: file names, sizes, checksums, addresses, class names.

The MD5s of the archives are those of the data sets' home page; those of the pickled files are the ones that
torchvision publishes. MD5 is what the authors published; it tells a damaged or another file, not a forger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lipscope.data.dataset import Split


@dataclass(frozen=True)
class Archive:
    """The .tar.gz of a release.

    Args:
        name: the file name.
        md5: of its bytes, in hexadecimal.
        size: in bytes.
    """

    name: str
    md5: str
    size: int


@dataclass(frozen=True)
class Form:
    """One official form of a release: a folder of files and the archive that unpacks to it.

    Args:
        kind: ``"binary"`` (fixed records) or ``"python"`` (pickles).
        folder: the name of the folder.
        train, test: the files of each split, in order.
        archive: the .tar.gz.
        names: the file of class names: text, one a line, in the binary form; a pickle that is never opened in
            the python form, since the official names are known.
        md5: the checksum of each pickled file; binary files need none, reading them runs no code.
    """

    kind: Literal["binary", "python"]
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    archive: Archive
    names: str
    md5: Mapping[str, str] = field(default_factory=dict)

    def files(self, split: Split) -> tuple[str, ...]:
        """The files of a split, in order."""
        return self.train if split == "train" else self.test


@dataclass(frozen=True)
class Release:
    """A data set as its authors published it.

    Args:
        name: the name in lipscope.
        label_limits: how many values each label byte of a binary record may take; the last is the class.
        classes: the class names.
        labels_key: where a pickled file keeps the labels.
        binary, python: the two forms.
        url: the official address of the binary archive.
        sizes: the official number of images of each split.
    """

    name: str
    label_limits: tuple[int, ...]
    classes: tuple[str, ...]
    labels_key: str
    binary: Form
    python: Form
    url: str
    sizes: Mapping[str, int]

    @property
    def forms(self) -> tuple[Form, Form]:
        """Both forms, the one that runs no code first."""
        return self.binary, self.python

    @property
    def record_size(self) -> int:
        """Bytes of a binary record: the labels, then 3x32x32 pixels."""
        return len(self.label_limits) + 3072

    @property
    def url_variable(self) -> str:
        """The environment variable that names a mirror, e.g. ``LIPSCOPE_CIFAR10_URL``."""
        return f"LIPSCOPE_{self.name.upper()}_URL"


CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"

CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR10 = Release(
    name="cifar10",
    label_limits=(10,),
    classes=tuple(CIFAR10_NAMES.split()),
    labels_key="labels",
    binary=Form(
        kind="binary",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test=("test_batch.bin",),
        archive=Archive("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170_052_171),
        names="batches.meta.txt",
    ),
    python=Form(
        kind="python",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
        archive=Archive("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170_498_071),
        names="batches.meta",
        md5={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sizes={"train": 50_000, "test": 10_000},
)

CIFAR100 = Release(
    name="cifar100",
    label_limits=(20, 100),
    classes=tuple(CIFAR100_NAMES.split()),
    labels_key="fine_labels",
    binary=Form(
        kind="binary",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        archive=Archive("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168_513_733),
        names="fine_label_names.txt",
    ),
    python=Form(
        kind="python",
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        archive=Archive("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169_001_437),
        names="meta",
        md5={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
    ),
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    sizes={"train": 50_000, "test": 10_000},
)

RELEASES: Mapping[str, Release] = {release.name: release for release in (CIFAR10, CIFAR100)}
