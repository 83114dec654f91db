"""Camera files: what they may say, and errors that name file and field."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml

from records.camera_cases import yard_camera
from sightline.errors import ContractError
from sightline.limits import DEFAULT_LIMITS
from sightline.sense.camera_files import (
    load_camera,
    parse_camera,
)

TSAI = """<?xml version="1.0" encoding="UTF-8"?>
<Camera name="yard">
  <Geometry width="768" height="576" ncx="768" nfx="768" dx="0.005" dy="0.005" dpx="0.005"
            dpy="0.005"/>
  <Intrinsic focal="5.0" kappa1="0.004" cx="384" cy="288" sx="1.0"/>
  <Extrinsic tx="0" ty="0" tz="20000" rx="2.4" ry="0.1" rz="0"/>
</Camera>
"""
PIXELS = np.array([[300.0, 250.0], [400.0, 300.0], [100.0, 500.0]])


def pinhole_form(**change):
    camera = yard_camera()
    form = {
        "kind": "pinhole",
        "image_size_px": [1280, 720],
        "focal_px": [1000.0, 1010.0],
        "centre_px": [640.0, 360.0],
        "rotation": camera.pose.rotation.tolist(),
        "translation_m": camera.pose.translation_m.tolist(),
        "pixel_origin": "corner",
    }
    return {k: v for k, v in (form | change).items() if v is not None}


def homography_form(**change):
    form = {
        "kind": "homography",
        "image_size_px": [640, 480],
        "ground_from_pixel": [[0.02, 0.001, -5.0], [0.0004, 0.03, -6.0], [1e-5, 4e-4, 0.4]],
        "pixel_origin": "corner",
    }
    return form | change


def points_form(**change):
    camera = yard_camera()
    pixels = np.array([[100.0, 500], [1100, 450], [1200, 700], [60, 690], [640, 600]])
    ground = camera.ground_from_pixel(pixels)
    points = [
        {"pixel_px": p, "ground_m": g}
        for p, g in zip(pixels.tolist(), ground.tolist(), strict=True)
    ]
    form = {
        "kind": "points",
        "image_size_px": [1280, 720],
        "points": points,
        "pixel_origin": "corner",
    }
    return form | change


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_pinhole_file_is_the_camera_it_describes(tmp_path):
    path = written(tmp_path / "yard.yaml", yaml.safe_dump(pinhole_form()))
    assert load_camera(path).digest == yard_camera().digest


def test_a_rotation_vector_is_opencvs():
    rotation = yard_camera().pose.rotation
    vector, _ = cv2.Rodrigues(rotation)
    form = pinhole_form(rotation=None, rotation_vector_rad=vector.ravel().tolist())
    found = parse_camera(form, where="yard").pose.rotation
    np.testing.assert_allclose(found, rotation, atol=1e-12)


def test_no_rotation_at_all_is_a_vector_of_zero():
    form = pinhole_form(rotation=None, rotation_vector_rad=[0, 0, 0], translation_m=[0.0, 1.0, 5.0])
    np.testing.assert_array_equal(parse_camera(form, where="yard").pose.rotation, np.eye(3))


def test_opencvs_pixels_are_shifted_by_half_a_pixel():
    ours = parse_camera(pinhole_form(pixel_origin="corner"), where="yard")
    theirs = parse_camera(pinhole_form(pixel_origin="centre"), where="yard")
    np.testing.assert_allclose(
        theirs.ground_from_pixel(PIXELS + 0.5), ours.ground_from_pixel(PIXELS), atol=1e-9
    )


def test_a_homographys_pixels_are_shifted_the_same_way():
    ours = parse_camera(homography_form(pixel_origin="corner"), where="yard")
    theirs = parse_camera(homography_form(pixel_origin="centre"), where="yard")
    np.testing.assert_allclose(
        theirs.ground_from_pixel(PIXELS + 0.5), ours.ground_from_pixel(PIXELS), atol=1e-9
    )


def test_a_matrix_for_row_and_column_takes_them_in_that_order():
    by_column = parse_camera(homography_form(), where="yard")
    by_row = parse_camera(homography_form(pixel_order="row_column"), where="yard")
    np.testing.assert_allclose(
        by_row.ground_from_pixel(PIXELS), by_column.ground_from_pixel(PIXELS[:, ::-1]), atol=1e-9
    )


def test_marked_points_give_the_camera_that_saw_them():
    found = parse_camera(points_form(), where="yard").ground_from_pixel(PIXELS)
    np.testing.assert_allclose(found, yard_camera().ground_from_pixel(PIXELS), atol=1e-6)


def test_a_marked_point_that_does_not_fit_is_named():
    form = points_form(max_residual_m=0.1)
    form["points"][4]["ground_m"][0] += 5.0
    with pytest.raises(ContractError, match=r"within 0.1 m of the fit, got .* m at points\.\d"):
        parse_camera(form, where="yard")


def test_a_tsai_file_is_read_in_metres(tmp_path):
    camera = load_camera(written(tmp_path / "yard.xml", TSAI))
    assert camera.image_size_px == (768, 576)
    assert camera.pose.translation_m.tolist() == [0.0, 0.0, 20.0]
    assert camera.lens.distortion == "tsai"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (pinhole_form(focal_px=[0, 1000]), r"cam, focal_px\.0: .*above 0"),
        (pinhole_form(focal_px=None), "cam, focal_px: expected `focal_px`, which is needed"),
        (pinhole_form(focal=3), "cam, focal: "),
        (pinhole_form(rotation=None), "either rotation or rotation_vector_rad"),
        (pinhole_form(rotation=np.diag([1.0, 1.0, -1.0]).tolist()), "cam, rotation of the pose"),
        (pinhole_form(rotation=None, rotation_vector_rad=[0, 0, 90]), "angles in radians"),
        (pinhole_form(distortion=[0.1] * 8), "cam, distortion: .*at most 5"),
        (pinhole_form(translation_m=[0, 0, float("inf")]), r"cam, translation_m\.2: .*finite"),
        (pinhole_form(image_size_px=[1 << 20, 720]), r"cam, image_size_px\.0"),
        (homography_form(ground_from_pixel=[[1, 2], [3, 4]]), r"cam, ground_from_pixel\.\d"),
        (homography_form(ground_from_pixel=[[1, 1, 1]] * 3), "a regular matrix"),
        (homography_form(pixel_order="xy"), "cam, pixel_order"),
        (points_form(points=points_form()["points"][:3]), "cam, points: .*at least 4"),
        (points_form(points=points_form()["points"][:1] * 4), "no three of four on a line"),
        (points_form(points=points_form()["points"] * 1000), "cam, points: .*at most 1000"),
        ({"kind": "fisheye"}, "cam, the document"),
        ({}, "cam, the document"),
        ([1, 2], "cam, the document"),
        (None, "cam, the document"),
    ],
)
def test_a_wrong_form_names_file_and_field(form, message):
    with pytest.raises(ContractError, match=message):
        parse_camera(form, where="cam")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "kind: [", "a.yaml.*: expected a readable YAML file"),
        (
            "a.yaml",
            "kind: points\nkind: points\n",
            "line 2, column 1: expected each key once, got 'kind' again",
        ),
        ("a.yaml", "[" * 50_000, "a.yaml.*: expected at most 64 levels within each other"),
        ("a.yaml", "x" * (DEFAULT_LIMITS.max_document_bytes + 1), "expected at most 1048576 bytes"),
        ("a.xml", "<Camera>", "a.xml: expected readable XML"),
        ("a.xml", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "XML without a document type"),
        ("a.xml", "<Camera/>", "a.xml, Geometry: expected `Geometry`, which is needed"),
        ("a.xml", TSAI.replace('focal="5.0"', 'focal="wide"'), r"a.xml, Intrinsic\.focal: "),
        ("a.xml", TSAI.replace('focal="5.0"', 'focal="nan"'), r"a.xml, Intrinsic\.focal: "),
        ("a.xml", TSAI.replace('rx="2.4"', 'rx="137.5"'), r"a.xml, Extrinsic\.rx: "),
        ("a.xml", TSAI.replace(' kappa1="0.004"', ""), r"a.xml, Intrinsic\.kappa1: "),
        ("a.xml", TSAI.replace('dpx="0.005"', 'dpx="0.010"'), "dpx equal to dx"),
        ("a.xml", TSAI.replace("</Camera>", "<Geometry/></Camera>"), "a second Geometry"),
        ("a.json", "{}", "ending in .yaml, .yml or .xml"),
    ],
)
def test_a_file_that_is_none_names_itself(tmp_path, name, text, message):
    with pytest.raises(ContractError, match=message):
        load_camera(written(tmp_path / name, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ContractError, match=r"none\.yaml: expected a readable"):
        load_camera(tmp_path / "none.yaml")


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes("<Camera/>".encode("utf-16"))
    with pytest.raises(ContractError, match=r"a\.xml: expected a readable UTF-8 file"):
        load_camera(path)
