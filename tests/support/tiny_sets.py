"""Published data sets in small: files of the format that their publishers chose."""

import csv
import json
import pickle
from itertools import chain

import numpy as np
from PIL import Image
from scipy.io import savemat


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (value % 256, 10, 20)).save(path)


def cifar10(root, *, train=(4, 4, 4), test=6, kind="cifar10"):
    """Batches of so many images; image n of a batch is of class n % 2 and has n everywhere."""
    fine = kind == "cifar100"
    folder = root / ("cifar-100-python" if fine else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    batches = {f"data_batch_{index + 1}": count for index, count in enumerate(train)}
    batches |= {"test_batch": test}
    if fine:
        batches = {"train": sum(train), "test": test}
    for name, count in batches.items():
        labels = [n % 2 for n in range(count)]
        pixels = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 3072, axis=1)
        pixels[:, :1024] += 100  # red is first
        words = {"fine_labels": labels, "coarse_labels": labels} if fine else {"labels": labels}
        (folder / name).write_bytes(pickle.dumps({"data": pixels, **words}))
    names = ["aquarium_fish", "apple"]
    meta = {"fine_label_names" if fine else "label_names": names}
    (folder / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(meta))
    return folder


def flowers102(root):
    """Six images of three classes: of each one to train on, one for test; and val like train."""
    folder = root / "flowers-102"
    for number in range(1, 10):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", number)
    savemat(folder / "imagelabels.mat", {"labels": [[1, 2, 3] * 3]})
    savemat(folder / "setid.mat", {"trnid": [[1, 2, 3]], "valid": [[6, 5, 4]], "tstid": [[7, 9]]})
    return folder


def oxford_pets(root, count=4):
    folder = root / "oxford-iiit-pet"
    breeds = {"Abyssinian": 1, "american_bulldog": 2}
    lists = {"trainval": range(count), "test": range(count, count + 2)}
    for name, numbers in lists.items():
        rows = [f"{breed}_{n} {label} 1 1" for breed, label in breeds.items() for n in numbers]
        for row in rows:
            picture(folder / "images" / f"{row.split()[0]}.jpg")
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return folder


def food101(root, count=4):
    folder = root / "food-101"
    dishes = ("baby_back_ribs", "apple_pie")
    for name, numbers in {"train": range(count), "test": range(count, count + 2)}.items():
        images = {dish: [f"{dish}/{n}" for n in numbers] for dish in dishes}
        for image in chain.from_iterable(images.values()):
            picture(folder / "images" / f"{image}.jpg")
        (folder / "meta").mkdir(exist_ok=True)
        (folder / "meta" / f"{name}.json").write_text(json.dumps(images))
    return folder


def dtd(root):
    folder = root / "dtd" / "dtd"
    for index, name in enumerate(("train", "val", "test")):
        images = [f"{texture}/{texture}_{index}.jpg" for texture in ("zigzagged", "banded")]
        for image in images:
            picture(folder / "images" / image)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{name}1.txt").write_text("\n".join(images) + "\n")
    return root / "dtd"


def eurosat(root, count=6):
    folder = root / "eurosat" / "2750"
    for kind in ("SeaLake", "Forest"):
        for n in range(count):
            picture(folder / kind / f"{kind}_{n}.jpg", n)
    return root / "eurosat"


def fer2013(root, form="fer2013.csv", train=12):
    """`form` is the file's name; classes angry and happy take turns, image n has n everywhere."""
    header = {
        "fer2013.csv": ["emotion", "pixels", "Usage"],
        "icml_face_data.csv": ["emotion", " Usage", " pixels"],
        "train.csv": ["emotion", "pixels"],
    }[form]
    folder = root / "fer2013"
    folder.mkdir(parents=True, exist_ok=True)
    usages = ["Training"] * train
    if form != "train.csv":
        usages += ["PublicTest"] * 4 + ["PrivateTest"] * 6
    with (folder / form).open("w", newline="") as file:
        writer = csv.DictWriter(file, [name.strip() for name in header], extrasaction="ignore")
        file.write(",".join(header) + "\n")
        for n, usage in enumerate(usages):
            pixels = " ".join([str(n)] * 2304)
            writer.writerow({"emotion": n % 2 * 3, "pixels": pixels, "Usage": usage})
    return folder
