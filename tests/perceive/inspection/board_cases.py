"""Drawn boards: dark traces and pads on bright ground, and the six kinds of defect."""

import cv2
import numpy as np

from sightline.perceive.inspection.golden_template import BoardExample

SIDE_PX = 240


def template(seed):
    """uint8[240, 240]: nine traces, each with a pad, a bend and a via."""
    random = np.random.default_rng(seed)
    board = np.full((SIDE_PX, SIDE_PX), 255, np.uint8)
    for i in range(9):
        y = 22 + 24 * i
        bend = int(random.integers(70, 130))
        points = np.array([[14, y], [bend, y], [bend + 8, y + 6], [SIDE_PX - 15, y + 6]], np.int32)
        cv2.polylines(board, [points], False, 0, 10)
        cv2.circle(board, (14, y), 9, 0, -1)
        via = int(random.integers(bend + 20, SIDE_PX - 40))
        cv2.circle(board, (via, y + 6), 9, 0, -1)
        cv2.circle(board, (via, y + 6), 3, 255, -1)
    return board


def marred(seed):
    """The board with one defect of each kind on traces of their own, and their boxes and kinds."""
    random = np.random.default_rng(seed)
    board = template(seed)
    boxes, kinds = [], []
    for kind, row in zip(range(1, 7), random.permutation(8)[:6].tolist(), strict=True):
        x, y = int(random.integers(30, 50)), 22 + 24 * row
        size = int(random.integers(0, 2))
        match kind:
            case 1:
                box = (x, y - 6, x + 7 + size, y + 7)
                shade = 255
            case 2:
                box, shade = (x, y, x + 6 + size, y + 25), 0
            case 3:
                box, shade = (x, y - 6, x + 8 + size, y), 255
            case 4:
                box, shade = (x, y + 3, x + 5, y + 12 + size), 0
            case 5:
                box, shade = (x, y + 9, x + 6 + size, y + 15), 0
            case _:
                box, shade = (x, y - 2, x + 7 + size, y + 3), 255
        board[box[1] : box[3], box[0] : box[2]] = shade
        boxes.append((box[0] - 8, box[1] - 8, box[2] + 8, box[3] + 8))
        kinds.append(kind)
    return board, np.array(boxes, np.float32), np.array(kinds, np.int64)


def examples(count, *, begin=0):
    found = []
    for seed in range(begin, begin + count):
        board, boxes, kinds = marred(seed)
        found.append(
            BoardExample(
                picture=moved(board, seed=seed), template=template(seed), boxes=boxes, kinds=kinds
            )
        )
    return found


def moved(board, *, seed=0, turn_deg=0.0, zoom=1.0, shift_px=None):
    """The board as a camera saw it that lies a little elsewhere."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-0.6, 0.6, 2) if shift_px is None else shift_px
    matrix = cv2.getRotationMatrix2D((SIDE_PX / 2, SIDE_PX / 2), turn_deg, zoom)
    matrix[:, 2] += (x, y)
    return cv2.warpAffine(
        board, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderValue=255
    )
