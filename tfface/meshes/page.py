"""A web page of one file with the head in it, to be turned, zoomed and lit in any browser, without a network."""

import numpy as np

from tfface.encoding import png_bytes
from tfface.errors import InputError


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
    for name, mesh, textured in kinds:
        options = (
            {"texture": texture, "texture_file_format": "png", "uvs": mesh.uv} if textured else {"color": 0xD6D2CC}
        )
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
    plot.camera_fov = 25.0
    page = plot.get_snapshot(9)
    # The page's own title is the time of day.
    start, end = page.index("<title>") + len("<title>"), page.index("</title>")
    return (page[:start] + f"tfface: {title}" + page[end:]).encode()
