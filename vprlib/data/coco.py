"""Read annotated boxes from COCO JSON files."""

import json
from pathlib import Path

Box = tuple[float, float, float, float, str]


def read_coco_boxes(path: Path) -> dict[str, list[Box]]:
    """Read the boxes of a COCO file.

    Args:
        path: the JSON file; the photos' names in it are relative to its folder.

    Returns:
        path of a photo -> its boxes (x, y, width, height, label), in pixels. Photos without boxes are left out.
    """
    content = json.loads(path.read_text())
    boxes: dict[str, list[Box]] = {}
    photos = {image["id"]: str(path.parent / image["file_name"]) for image in content["images"]}
    labels = {category["id"]: category["name"] for category in content["categories"]}
    for annotation in content["annotations"]:
        box = (*annotation["bbox"], labels[annotation["category_id"]])
        boxes.setdefault(photos[annotation["image_id"]], []).append(box)
    return boxes
