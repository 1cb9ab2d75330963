"""`tfface track`: from a video file to an overlay, JSON lines and a table; clear words for what is no video."""

import csv
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.fakes import FakeNetworks
from tfface.cli import main
from tfface.commands import track
from tfface.detection import Detection
from tfface.errors import OutputError
from tfface.reconstructor import Reconstructor
from tfface.tracking import tracker as room
from tfface.tracking.video import VideoFile


def watch(path):
    """Codec, frames per second, and the frames of a video, RGB."""
    capture = cv2.VideoCapture(str(path))
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return codec, capture.get(cv2.CAP_PROP_FPS), frames


@pytest.fixture
def video(tmp_path, monkeypatch):
    """Twenty frames; those from the eighth on are dark, and dark frames have no face."""
    monkeypatch.setattr(
        Reconstructor, "from_pretrained", classmethod(lambda cls, path=None, config=None: cls(FakeNetworks(), config))
    )
    monkeypatch.setattr(
        room,
        "detect",
        lambda image, detector: [Detection((60, 40, 110, 110), 0.9, detector)] if image.mean() > 20 else [],
    )
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 2.0, (176, 144))
    for number in range(20):
        writer.write(np.full((144, 176, 3), 120 if number < 8 else 0, np.uint8))
    writer.release()
    return path


def test_every_frame_is_written_with_its_faces(video, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["track", str(video), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["blendshapes.csv", "frames.jsonl", "overlay.mp4"]
    frames = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert [frame["frame"] for frame in frames] == list(range(20)) and frames[3]["seconds"] == 1.5
    assert [len(frame["faces"]) for frame in frames][:8] == [1] * 8 and frames[-1]["faces"] == []
    face = frames[0]["faces"][0]
    assert face["id"] == 0 and len(face["landmarks_px"]) == 68 and face["mm_per_px"] > 0
    with open(out / "blendshapes.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(frame["faces"]) for frame in frames) and set(rows[0]) == {
        "frame",
        "seconds",
        "face",
        "jawOpen",
    }
    codec, rate, pictures = watch(out / "overlay.mp4")
    assert codec == "h264" and rate == 2.0 and len(pictures) == 20
    assert pictures[0].shape == (144, 176, 3)
    assert pictures[0].std() > 10 > pictures[-1].std()  # a mesh over the first, nothing over the last
    assert "of 20 frames with a face" in capsys.readouterr().out


def test_a_video_without_faces_says_so(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(room, "detect", lambda image, detector: [])
    assert main(["track", str(video), "--out", str(tmp_path / "out"), "--no-overlay", "--max-frames", "3"]) == 1
    assert "no face found in any frame" in capsys.readouterr().err
    assert len((tmp_path / "out" / "frames.jsonl").read_text().splitlines()) == 3
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_a_name_too_long_for_a_file_is_no_video(tmp_path, capsys):
    for name in ("a" * 300 + ".mp4", "1" * 300, "²"):
        assert main(["track", name, "--out", str(tmp_path / "out")]) == 2
        assert name in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"not a video"])
def test_what_is_no_video_is_named(content, tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    if content:
        path.write_bytes(content)
    assert main(["track", str(path), "--out", str(tmp_path / "out")]) == 2
    assert str(path) in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_nothing_half_written_is_left_behind(video, tmp_path, monkeypatch):
    def fails(self, image, time):
        raise RuntimeError("broken")

    monkeypatch.setattr(room.FaceTracker, "__call__", fails)
    with pytest.raises(RuntimeError):
        main(["track", str(video), "--out", str(tmp_path / "out")])
    assert not list((tmp_path / "out").iterdir())


def test_ctrl_c_leaves_files_that_end_with_the_same_frame(video, tmp_path, monkeypatch):
    out, added = tmp_path / "out", []

    def interrupted(self, picture, add=VideoFile.add):
        added.append(picture)
        if len(added) == 3:
            signal.raise_signal(signal.SIGINT)
        add(self, picture)

    monkeypatch.setattr(VideoFile, "add", interrupted)
    assert main(["track", str(video), "--out", str(out)]) == 0
    assert len((out / "frames.jsonl").read_text().splitlines()) == len(watch(out / "overlay.mp4")[2]) == 3
    assert sorted(p.name for p in out.iterdir()) == ["blendshapes.csv", "frames.jsonl", "overlay.mp4"]


def test_ctrl_c_once_more_loses_nothing(video, tmp_path, monkeypatch):
    def interrupted(self, *error, leave=VideoFile.__exit__):
        signal.raise_signal(signal.SIGINT)
        return leave(self, *error)

    monkeypatch.setattr(VideoFile, "__exit__", interrupted)
    out = tmp_path / "out"
    assert main(["track", str(video), "--out", str(out), "--max-frames", "3"]) == 0
    assert len((out / "frames.jsonl").read_text().splitlines()) == len(watch(out / "overlay.mp4")[2]) == 3
    assert sorted(p.name for p in out.iterdir()) == ["blendshapes.csv", "frames.jsonl", "overlay.mp4"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk to pretend with")
def test_a_full_disk_is_named(video, tmp_path, monkeypatch, capsys):
    full = {"frames.jsonl": "/dev/full"}
    monkeypatch.setattr(
        track, "open", lambda path, *how, **more: open(full.get(path.name[1:-5], path), *how, **more), raising=False
    )
    out = tmp_path / "out"
    assert main(["track", str(video), "--out", str(out)]) == 1
    assert "frames.jsonl: can't be written (No space left on device)" in capsys.readouterr().err
    assert "frames.jsonl" not in os.listdir(out) and not [name for name in os.listdir(out) if "part" in name]


@pytest.mark.parametrize("height, width, rate", [(145, 177, 24000 / 1001), (144, 177, 30000 / 1001), (33, 34, 12.5)])
def test_frames_of_any_size_keep_their_rate_number_and_colours(height, width, rate, tmp_path):
    picture = np.full((height, width, 3), (200, 60, 40), np.uint8)
    with VideoFile(tmp_path / "a.mp4", rate, height, width) as video:
        for _ in range(9):
            video.add(picture)
        with pytest.raises(ValueError, match="expected a frame of shape"):
            video.add(picture[1:])
    codec, found, frames = watch(tmp_path / "a.mp4")
    assert codec == "h264" and found == pytest.approx(rate, rel=1e-6) and len(frames) == 9
    assert frames[0].shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(frames[-1], np.broadcast_to(picture[0, 0], frames[-1].shape), atol=4)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_encoder_that_fails_is_quoted(tmp_path):
    with (
        pytest.raises(OutputError, match=r"a\.mp4: expected to write a video, but ffmpeg says: .*No such file"),
        VideoFile(tmp_path / "gone" / "a.mp4", 25.0, 48, 64) as video,
    ):
        for _ in range(100):
            video.add(np.zeros((48, 64, 3), np.uint8))


def test_nothing_but_its_own_sentence_is_on_stderr(tmp_path):
    path = tmp_path / "clip.mp4"
    command = [sys.executable, "-m", "tfface.cli", "track", str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"tfface: {path}: expected a video")
