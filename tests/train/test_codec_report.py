"""The codec comparison shows truth first, and its table has a line for each codec and split."""

import json

import numpy as np

from tv2tv_core.model.codec import build_codec
from tv2tv_core.train.codec_report import sheet, table

CODECS = {
    "small": build_codec({"kind": "pixel", "width": 8, "deep": 16, "blocks": 1}),
    "latent": build_codec({"kind": "vae", "widths": [16, 16, 16], "blocks": 1}),
}


def chunks(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, 4, 96, 160, 3), dtype=np.uint8)


def test_the_sheet_has_truth_in_its_first_column():
    pictures = chunks(2)
    made = sheet(CODECS, pictures, scale=2)
    assert made.shape == (2 * 192, 3 * 320, 3) and made.dtype == np.uint8
    assert np.array_equal(made[::2, ::2][96:, :160], pictures[1, 3])
    assert not np.array_equal(made[:192, 320:640], made[:192, :320])


def test_the_table_has_a_line_for_each_codec_and_split(tmp_path):
    for split in ("heldout", "heldout_map"):
        folder = tmp_path / split / "one"
        folder.mkdir(parents=True)
        np.save(folder / "frames.npy", chunks(1))
        (folder / "episode.json").write_text(json.dumps({"chunks": [{}]}))
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(CODECS, tmp_path).splitlines()[2:]]
    assert [(row[0], row[3]) for row in cells] == [
        (name, split) for name in CODECS for split in ("heldout", "heldout_map")
    ]
    assert all(float(row[4]) > 0 and 0 < float(row[6]) < 60 for row in cells)
