"""Read annotated boxes from COCO JSON files."""

import json
from pathlib import Path


def read_coco_boxes(path: Path) -> dict:
    """The boxes (x, y, width, height, label) of a COCO file, by the photo's path, which is relative to the file."""
    content, boxes = json.loads(path.read_text()), {}
    photos = {image["id"]: str(path.parent / image["file_name"]) for image in content["images"]}
    labels = {category["id"]: category["name"] for category in content["categories"]}
    for one in content["annotations"]:
        boxes.setdefault(photos[one["image_id"]], []).append((*one["bbox"], labels[one["category_id"]]))
    return boxes
