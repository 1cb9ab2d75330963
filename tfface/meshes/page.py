"""A web page of one file with the head in it, to be turned, zoomed and lit in any browser, without a network."""

import numpy as np

from tfface.encoding import png_bytes
from tfface.errors import InputError

_VIEW_DEGREES = 25.0
# k3d's angle of view is the upright one; where the window is narrow, the head's width has to fit, too.
_FIT = """
    const upright = Math.tan(%g * Math.PI / 360);
    const fit = () => {
        const side = Math.min(1, 1.2 * window.innerWidth / window.innerHeight);
        K3DInstance.setCameraFOV(Math.atan(upright / side) * 360 / Math.PI);
    };
    fit();
    window.addEventListener("resize", fit);
"""


def page_bytes(face, title: str = "face") -> bytes:
    """The page: the photo's texture on the head with its detail, and the same as clay, fine and coarse.

    Which of them is seen is chosen in the page's own menu (Objects); the mouse turns, wheel and two fingers zoom.

    Args:
      face: a reconstructed `Face`.
      title: of the page.

    Raises:
      InputError: k3d, which draws the page, isn't installed.
    """
    try:
        import k3d
    except ImportError as error:
        raise InputError(f"expected k3d for a web page, but {error}; `pip install 'tfface[html]'` brings it") from error
    from tfface.meshes.detail import displaced_head

    fine = displaced_head(face)
    coarse = face.textured()
    plot = k3d.plot(
        name=title,
        grid_visible=False,
        axes_helper=0,
        background_color=0xF3F1EC,
        camera_auto_fit=False,
        menu_visibility=True,
        lighting=1.2,
        snapshot_type="full",
    )
    kinds = (("photo", fine, True), ("clay, fine", fine, False), ("clay, coarse", coarse, False))
    texture = png_bytes(face.texture.image)
    # k3d's v grows downwards from the picture's first row, a mesh's upwards from its last.
    uvs = np.float32(fine.uv * [1.0, -1.0] + [0.0, 1.0])
    for name, mesh, textured in kinds:
        options = {"texture": texture, "texture_file_format": "png", "uvs": uvs} if textured else {"color": 0xD6D2CC}
        plot += k3d.mesh(
            np.float32(mesh.vertices),
            np.uint32(mesh.triangles),
            normals=np.float32(mesh.normals),
            flat_shading=False,
            roughness=0.7,
            name=name,
            **options,
        )
        plot.objects[-1].visible = textured
    low, high = fine.vertices.min(axis=0), fine.vertices.max(axis=0)
    centre, far = (low + high) / 2.0, 1.7 * float(np.linalg.norm(high - low))
    plot.camera = [*(float(v) for v in centre + [0.0, 0.0, far]), *(float(v) for v in centre), 0.0, 1.0, 0.0]
    plot.camera_fov = _VIEW_DEGREES
    page = plot.get_snapshot(9, additional_js_code=_FIT % _VIEW_DEGREES)
    # The page's own title is the time of day, and a telephone would take the page for one of a desk's width.
    start, end = page.index("<title>"), page.index("</title>")
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (page[:start] + f"{view}<title>tfface: {title}" + page[end:]).encode()
