"""What the comparison with PatchCore says; the peer itself is in an environment of its own."""

from pathlib import Path

from benchmarks.patchcore import aurocs
from sightline.sense.frames.part_pictures import PartPicture


def picture(class_name: str, *, is_good: bool = False) -> PartPicture:
    name = f"{class_name}.png"
    return PartPicture(
        path=Path(name), name=name, class_name=class_name, part=name, is_good=is_good, mask=None
    )


def test_each_class_is_held_against_all_good_pictures():
    pictures = [picture("good", is_good=True)] * 2 + [picture("crack"), picture("hole")]
    found = aurocs([0.1, 0.5, 0.9, 0.3], pictures)
    assert found == {"auroc": {"crack": 1.0, "hole": 0.5}, "mean_auroc_of_classes": 0.75}
