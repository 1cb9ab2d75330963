"""`tfface`: verbs, exit codes, and one bad photo among good ones."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeNetworks, photo
from tfface import reconstructor as room
from tfface.cli import main
from tfface.commands import photos as collecting
from tfface.detection import Detection
from tfface.reconstructor import Reconstructor


@pytest.fixture(autouse=True)
def fake_model(monkeypatch):
    """The shipped model gives way to one with known answers; every photo has one face, dark ones none."""
    monkeypatch.setattr(
        Reconstructor, "from_pretrained", classmethod(lambda cls, path=None, config=None: cls(FakeNetworks(), config))
    )

    def fake_detect(image, detector):
        return [Detection((60, 50, 140, 160), 0.9, detector)] if image.mean() > 10 else []

    monkeypatch.setattr(room, "detect", fake_detect)


@pytest.fixture
def folder(tmp_path):
    """photos/a.jpg, photos/inner/a.png, photos/notes.txt"""
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    Image.fromarray(photo()).save(tmp_path / "photos" / "a.jpg")
    Image.fromarray(photo(seed=1)).save(tmp_path / "photos" / "inner" / "a.png")
    (tmp_path / "photos" / "notes.txt").write_text("not a photo")
    return tmp_path


def usage(*arguments) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, arguments)))
    return caught.value.code


def test_one_photo(folder, capsys):
    code = main(["reconstruct", str(folder / "photos" / "a.jpg"), "--out", str(folder / "out")])
    printed = capsys.readouterr()
    assert code == 0 and "a.jpg: 1 face in" in printed.out and printed.err == ""
    names = sorted(os.listdir(folder / "out" / "a"))
    files = "face0.json face0.mtl face0.obj face0_depth.npy face0_depth.png face0_preview.png face0_texture.png"
    assert names == files.split()


def test_same_names_in_different_places_do_not_collide(folder):
    photos = folder / "photos"
    (photos / "A.png").write_bytes((photos / "inner" / "a.png").read_bytes())
    arguments = [photos / "a.jpg", photos / "inner" / "a.png", photos / "A.png", photos, "--out", folder / "out"]
    assert main(["reconstruct", *map(str, arguments), "--formats", "json"]) == 0
    assert sorted(os.listdir(folder / "out")) == ["A_3", "a", "a_2"]


def test_folders_keep_their_structure(folder):
    assert main(["reconstruct", str(folder / "photos"), "--out", str(folder / "out"), "--formats", "json"]) == 0
    assert (folder / "out" / "a" / "face0.json").exists() and (folder / "out" / "inner" / "a" / "face0.json").exists()


def test_results_are_not_taken_for_photos(folder, monkeypatch):
    monkeypatch.setattr("tfface.preview.preview_sheet", lambda face: np.zeros((40, 40, 3), np.uint8))
    for out in (folder / "photos", folder / "photos" / "out"):
        for _ in range(2):
            arguments = ["reconstruct", str(folder / "photos"), "--out", str(out), "--formats", "preview"]
            assert main(arguments) == 0
        assert len(list(out.rglob("*_preview.png"))) == 2
        for path in out.rglob("*_preview.png"):
            path.unlink()


def test_photos_are_never_overwritten(tmp_path):
    inner = tmp_path / "out" / "face0_preview"
    inner.mkdir(parents=True)
    path = inner / "face0_preview.png"
    Image.fromarray(photo()).save(path)
    before = path.read_bytes()
    assert main(["reconstruct", str(path), "--out", str(tmp_path / "out"), "--formats", "preview"]) == 0
    assert path.read_bytes() == before and (tmp_path / "out" / "face0_preview_2" / "face0_preview.png").exists()


def test_bad_photos_are_named_and_the_rest_is_done(folder, capsys):
    photos = folder / "photos"
    (photos / "text.jpg").write_text("no picture")
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(photos / "night.png")
    code = main(
        ["reconstruct", str(photos), str(folder / "missing.jpg"), "--out", str(folder / "out"), "--formats", "json"]
    )
    printed = capsys.readouterr()
    assert code == 1
    lines = printed.err.strip().splitlines()
    assert len(lines) == 3 and "Traceback" not in printed.err
    for name, word in (
        ("text.jpg", "expected a picture"),
        ("night.png", "no face found"),
        ("missing.jpg", "No such file"),
    ):
        assert any(name in line and word in line for line in lines), printed.err
    assert len(printed.out.splitlines()) == 2


def test_json_is_all_there_is_on_stdout(folder, capsys):
    (folder / "photos" / "text.jpg").write_text("no picture")
    code = main(
        ["reconstruct", str(folder / "photos"), "--out", str(folder / "out"), "--json", "--formats", "obj,json"]
    )
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert code == 1 and document["failed"] == 1 and "text.jpg" in printed.err
    by_name = {os.path.relpath(entry["photo"], folder / "photos"): entry for entry in document["photos"]}
    assert by_name["text.jpg"]["status"] == "error" and "picture" in by_name["text.jpg"]["error"]
    (face,) = by_name["a.jpg"]["faces"]
    assert len(face["landmarks"]) == 68 and set(face["files"]) > {"face0.json", "face0.obj"}
    assert os.path.exists(face["files"]["face0.obj"])


def test_boxes_and_max_faces(folder, capsys):
    command = [
        "reconstruct",
        str(folder / "photos" / "a.jpg"),
        "--out",
        str(folder / "out"),
        "--json",
        "--formats",
        "json",
    ]
    boxes = ["--box", "10,10,60,80", "--box=-5,20,100,140"]
    assert main([*command, *boxes]) == 0
    faces = json.loads(capsys.readouterr().out)["photos"][0]["faces"]
    assert [face["box"] for face in faces] == [[-5, 20, 100, 140], [10, 10, 60, 80]]
    assert main([*command, *boxes, "--max-faces", "1"]) == 0
    assert len(json.loads(capsys.readouterr().out)["photos"][0]["faces"]) == 1
    assert main([*command, "--box", "900,900,950,950"]) == 1
    assert "overlaps" in capsys.readouterr().err


@pytest.mark.parametrize("formats", [["obj", "glb"], ["obj,glb"], ["GLB,", "obj"]])
def test_formats_in_words_or_with_commas_even_before_the_photo(folder, formats):
    out = folder / "out"
    path = str(folder / "photos" / "a.jpg")
    assert main(["reconstruct", path, "--out", str(out), "--formats", *formats]) == 0
    assert sorted(os.listdir(out / "a")) == ["face0.glb", "face0.mtl", "face0.obj", "face0_texture.png"]
    assert main(["reconstruct", "--out", str(folder / "again"), "--formats", *formats, path]) == 0


@pytest.mark.parametrize("option, pose", [(["--frontal"], "neutral"), (["--frontal", "expression"], "expression")])
def test_frontal_even_before_the_photo(folder, option, pose):
    path = str(folder / "photos" / "a.jpg")
    command = ["reconstruct", "--out", str(folder / "out"), "--formats", "ply"]
    assert main([*command, *option, path]) == 0
    assert sorted(os.listdir(folder / "out" / "a")) == ["face0.ply", f"face0_{pose}.ply"]


def test_wrong_usage(folder, capsys):
    path = folder / "photos" / "a.jpg"
    assert usage() == 2
    assert usage("paint") == 2
    assert usage("reconstruct") == 2
    assert usage("reconstruct", path, "--formats", "stl") == 2
    assert usage("reconstruct", path, "--frontal", "smile") == 2
    assert usage("reconstruct", path, "--formats", "json", "--frontal") == 2
    assert usage("reconstruct", path, "--box", "1,2,3") == 2
    assert usage("reconstruct", path, "--box", "9,9,3,3") == 2
    assert usage("reconstruct", path, "--max-faces", "0") == 2
    assert usage("reconstruct", path, "--detail", "-1") == usage("reconstruct", path, "--detail", "nan") == 2
    assert usage("reconstruct", path, "--detector", "dlib") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert usage("--version") == 0 and capsys.readouterr().out.startswith("tfface ")


def test_out_is_a_file_or_cannot_be_made(folder, capsys):
    (folder / "file").write_text("kept")
    for out in (folder / "file", folder / "file" / "inner"):
        assert main(["reconstruct", str(folder / "photos" / "a.jpg"), "--out", str(out)]) == 2
        assert "--out" in (message := capsys.readouterr().err) and "Traceback" not in message
    assert (folder / "file").read_text() == "kept"


def test_unreadable_folder(folder, capsys, monkeypatch):
    def walk(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(root)))
        return iter(())

    monkeypatch.setattr(collecting.os, "walk", walk)
    path = folder / "photos" / "a.jpg"
    code = main(["reconstruct", str(folder / "photos"), str(path), "--out", str(folder / "out"), "--formats", "json"])
    message = capsys.readouterr().err
    assert code == 1 and "can't be read (Permission denied)" in message and (folder / "out" / "a").is_dir()


def test_empty_folder(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["reconstruct", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 1
    assert "without any" in capsys.readouterr().err


def test_full_disk(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code = main(["reconstruct", str(folder / "photos"), "--out", str(folder / "out")])
    message = capsys.readouterr().err
    assert code == 1 and message.count("No space left on device") == 2 and "Traceback" not in message
    assert not [path for path in (folder / "out").rglob("*") if path.is_file()]


def test_surprises_do_not_stop_the_batch(folder, capsys, monkeypatch):
    def surprise(image, detector):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(room, "detect", surprise)
    assert main(["reconstruct", str(folder / "photos"), "--out", str(folder / "out")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and all("RuntimeError: two lines" in line for line in lines)


def test_interrupt(folder, capsys, monkeypatch):
    def interrupt(image, detector):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "detect", interrupt)
    assert main(["reconstruct", str(folder / "photos"), "--out", str(folder / "out")]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_demo_says_where_to_look(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    for name in ("astronaut_preview.png", "astronaut.obj", "astronaut_depth.png"):
        assert str(tmp_path / "demo" / name) in printed and (tmp_path / "demo" / name).exists()


def test_demo_does_without_a_web_page(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "k3d", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "astronaut.glb").exists() and not (tmp_path / "astronaut.html").exists()


def test_a_name_too_long_for_a_file_is_one_bad_photo(folder, capsys):
    names = [str(folder / ("a" * 300 + ".jpg")), str(folder / "photos" / "a.jpg")]
    assert main(["reconstruct", *names, "--out", str(folder / "out")]) == 1
    printed = capsys.readouterr()
    assert "a.jpg: 1 face in" in printed.out and names[0] in printed.err and "Traceback" not in printed.err


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_name_that_cannot_be_shown_stops_nothing(folder, capsys):
    os.rename(folder / "photos" / "a.jpg", os.fsencode(folder / "photos") + b"/\xff.jpg")
    assert main(["reconstruct", str(folder / "photos"), "--out", str(folder / "out")]) == 0
    assert "\\udcff.jpg: 1 face in" in capsys.readouterr().out


def test_results_go_to_stdout_beside_a_bar_too(folder, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    assert main(["reconstruct", str(folder / "photos"), "--out", str(folder / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("1 face in") == 2 and "reconstructing" not in printed.out and printed.err


def test_help_does_not_wait_for_tensorflow():
    code = "import sys, tfface.cli\ntry: tfface.cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules or 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "reconstruct" in done.stdout and "demo" in done.stdout
