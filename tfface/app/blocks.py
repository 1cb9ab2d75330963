"""The page of `tfface app`, built on Gradio, whose wheel carries its own JavaScript."""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import gradio as gr
import numpy as np

from tfface.errors import InputError
from tfface.face import FORMATS
from tfface.images import load_image
from tfface.preview import KEY, halved, views

VIEWS = ("photo", "overlay", "coarse", "fine", "normals", "depth")
DOWNLOADS = tuple(kind for kind in FORMATS if kind != "html" or find_spec("k3d"))
"""What is written: all there is, a web page where the package that draws it is installed."""
_SIZE = 480
_CSS = """
.gradio-container {max-width: 1100px !important; margin: auto}
#head {min-height: 380px}
#kind label:focus-within {outline: 2px solid var(--color-accent); outline-offset: 1px}
"""

# Gradio names every radio button differently, and so a browser doesn't know them for one group with arrow keys.
_JS = """() => document.addEventListener("keydown", event => {
    const buttons = [...document.querySelectorAll("#kind input")], at = buttons.indexOf(event.target);
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
})"""


def _silent(*_, **__):
    """Progress that nobody watches."""


def _refusal(sentence: str) -> gr.Error:
    """What the page tells a person who asked for something that can't be done; nothing for the terminal."""
    return gr.Error(sentence, print_exception=False)


class Page:
    """What the page's controls do; each person's faces are kept in their own session.

    Args:
      reconstructor: a `tfface.Reconstructor`.
      folder: for the files that people load; emptied by whoever made it.
      detector: "mtcnn" or "haar".
    """

    def __init__(self, reconstructor, folder: Path, detector: str = "mtcnn"):
        self.reconstructor, self.folder, self.detector = reconstructor, Path(folder), detector

    def reconstruct(self, path, progress=_silent):
        """(faces, choice of face, note) of the photo in a file; None stands for none."""
        if path is None:
            raise _refusal("Expected a photo; drop one on the left, or click there to choose a file.")
        progress(0.1, desc="finding and reconstructing faces")
        try:
            faces = self.reconstructor(load_image(path), detector=self.detector)
        except InputError as error:
            # A person knows the file by its name, not by where the page keeps it.
            raise _refusal(f"This photo can't be used: {str(error).replace(str(path), Path(path).name)}") from error
        if not faces:
            raise _refusal("No face found. Try a photo in which a face is larger, sharper or less turned away.")
        shown = []
        for index, face in enumerate(faces):
            progress(0.6 + 0.4 * index / len(faces), desc=f"drawing face {index + 1} of {len(faces)}")
            shown.append({"face": face, "views": views(face, 2 * _SIZE)})
        names = [f"face {index + 1}" for index in range(len(faces))]
        choice = gr.Dropdown(choices=names, value=names[0], visible=len(names) > 1)
        return shown, choice, describe(faces[0])

    def head(self, shown, name) -> str:
        """Path of the GLB of the chosen face: the whole head, with its detail and the photo's texture."""
        folder = tempfile.mkdtemp(dir=self.folder)
        return _chosen(shown, name)["face"].save(folder, ["detail"], "head")["head_detail.glb"]

    @staticmethod
    def picture(shown, name, kind: str, azimuth: float, elevation: float) -> np.ndarray | None:
        """One of `VIEWS` of the chosen face, uint8, lit from azimuth (right) and elevation (up), degrees."""
        if not shown:
            return None
        return halved(_chosen(shown, name)["views"].picture(kind, direction(azimuth, elevation)))

    @staticmethod
    def about(shown, name) -> str:
        """A few words on the chosen face."""
        return describe(_chosen(shown, name)["face"]) if shown else ""

    def files(self, shown, name, progress=_silent) -> list[str]:
        """Paths of all files of the chosen face, after that of an archive that holds them all."""
        if not shown:
            raise _refusal("Expected a reconstructed face; reconstruct a photo first.")
        face, folder, paths = _chosen(shown, name)["face"], tempfile.mkdtemp(dir=self.folder), []
        for index, kind in enumerate(DOWNLOADS):
            progress(index / len(DOWNLOADS), desc=f"writing {kind}")
            paths += face.save(folder, [kind], "face").values()
        return [shutil.make_archive(str(Path(tempfile.mkdtemp(dir=self.folder)) / "face"), "zip", folder), *paths]


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """The light's direction `[3]` in image space: x right, y down, z nearer."""
    across, up = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(across) * np.cos(up), -np.sin(up), np.cos(across) * np.cos(up)], np.float32)


def angles(light) -> tuple[int, int]:
    """Azimuth and elevation, whole degrees, of a light's direction `[3]`: `direction` undone."""
    x, y, z = np.asarray(light) / np.linalg.norm(light)
    return round(np.degrees(np.arctan2(x, z))), round(np.degrees(np.arcsin(-y)))


def describe(face) -> str:
    """Pose, scale and the strongest parts of the expression, as Markdown."""
    yaw, pitch, roll = (round(float(angle)) for angle in face.euler_degrees)
    strongest = sorted(face.blendshapes.items(), key=lambda item: -item[1])[:4]
    moved = ", ".join(f"{name} {weight:.2f}" for name, weight in strongest if weight > 0.1) or "none to speak of"
    return (
        f"Yaw {yaw}°, pitch {pitch}°, roll {roll}°; {face.mm_per_px:.2f} mm per pixel, if the head is of "
        f"average size. Expression: {moved}."
    )


def _chosen(shown, name):
    return shown[max(int(str(name).rsplit(" ", 1)[-1]) - 1, 0) if name else 0]


def build(page: Page) -> gr.Blocks:
    """The page's layout; nothing of it comes from another machine."""
    with gr.Blocks(title="tfface", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.Markdown("# tfface\nA detailed 3D face from one photo. Everything stays on this computer.")
        shown = gr.State(None)
        with gr.Row():
            with gr.Column(min_width=280):
                photo = gr.Image(label="Photo", sources=["upload", "clipboard"], height=320, elem_id="photo")
                # Gradio itself would open the file first, and show but a broken picture where it can't. (Of a class of
                # our own it would write a stub beside this file.)
                photo.preprocess = lambda payload: payload.path if payload else None
                start = gr.Button("Reconstruct", variant="primary", elem_id="start")
                choice = gr.Dropdown(label="Face", visible=False, elem_id="choice")
                about = gr.Markdown(elem_id="about")
            with gr.Column(min_width=280):
                head = gr.Model3D(
                    label="Head",
                    clear_color=(0.95, 0.945, 0.925, 1.0),
                    camera_position=(90, 90, None),
                    height=380,
                    elem_id="head",
                )
        with gr.Row():
            with gr.Column(min_width=280):
                picture = gr.Image(
                    label="Seen from the photo's camera",
                    interactive=False,
                    format="png",
                    buttons=["download", "fullscreen"],
                    elem_id="seen",
                )
            with gr.Column(min_width=280):
                kind = gr.Radio(VIEWS, value="fine", label="Show", elem_id="kind")
                across, up = angles(KEY)
                azimuth = gr.Slider(-90, 90, across, step=1, label="Light from the right, degrees", elem_id="azimuth")
                elevation = gr.Slider(-80, 80, up, step=1, label="Light from above, degrees", elem_id="elevation")
                write = gr.Button("Write files", elem_id="write")
                files = gr.Files(label="Files: all of them, and each", interactive=False, elem_id="files")
        look = [shown, choice, kind, azimuth, elevation]

        def reconstruct(path, progress=gr.Progress()):  # noqa: B008 - how Gradio passes it
            return page.reconstruct(path, progress)

        def prepare(state, name, progress=gr.Progress()):  # noqa: B008
            return page.files(state, name, progress)

        # The outputs themselves are out of sight until they have something to show.
        shows = {"show_progress_on": [head], "concurrency_limit": 1}
        done = start.click(reconstruct, [photo], [shown, choice, about], **shows)
        done.success(page.picture, look, picture, show_progress="hidden").success(page.head, [shown, choice], head)
        done.success(lambda: None, None, files)
        choice.input(page.picture, look, picture).then(page.head, [shown, choice], head)
        choice.input(page.about, [shown, choice], about)
        for control in (kind, azimuth, elevation):
            control.change(page.picture, look, picture, show_progress="hidden", trigger_mode="always_last")
        write.click(prepare, [shown, choice], files)
    return blocks


def launch(page: Page, host: str, port: int, block: bool = True) -> gr.Blocks:
    """Serves the page; with `block`, until it is interrupted."""
    fonts = ["system-ui", "sans-serif"]
    blocks = build(page)
    blocks.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        prevent_thread_lock=not block,
        max_file_size="40mb",
        # Gradio's own themes ask Google for their fonts.
        theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
        css=_CSS,
        js=_JS,
    )
    return blocks
