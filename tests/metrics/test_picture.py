"Eq. 29, Eq. 30 and the skies: by hand, against a plain loop, and on published images."
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from smfnet.metrics.picture import SKY_SHARE, edge_distance, intensity_distance, picture_measures, sky_ratio

DATA = os.environ.get('SMFNET_DATA')
needs_data = pytest.mark.skipif(not DATA, reason='SMFNET_DATA is not set: no fused images to measure')


def triple(seed, h=23, w=31):
    return [np.random.default_rng(seed + i).integers(0, 256, (h, w)).astype(np.uint8) for i in range(3)]


def test_brightness_is_the_mean_distance_from_the_brighter_source():
    f, a, b = triple(0)
    assert math.isclose(intensity_distance(f, a, b), np.abs(f.astype(float) - np.maximum(a, b)).mean())
    assert intensity_distance(np.maximum(a, b), a, b) == 0


def test_edges_are_those_of_plain_sobel_masks():
    k = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    steep = lambda x: sum(np.abs(convolve(x.astype(float), m, mode='nearest')) for m in (k, k.T))
    f, a, b = triple(3)
    assert math.isclose(edge_distance(f, a, b), np.abs(steep(f) - np.maximum(steep(a), steep(b))).mean())


def test_edges_are_equation_30_of_the_objective_times_255():
    from smfnet.losses.stage_two import StageTwoLoss
    f, a, b = (torch.from_numpy(o)[None, None]/255 for o in triple(6))
    assert math.isclose(255*StageTwoLoss().edges(f, a, b).item(), edge_distance(f[0], a[0], b[0]), rel_tol=1e-5)


def test_a_sky_is_bright_in_the_visible_and_dark_in_the_infrared():
    vi, ir = np.full((20, 20), 100, np.uint8), np.full((20, 20), 40, np.uint8)
    vi[:10], ir[12:] = 200, 220
    fused = np.full((20, 20), 50, np.uint8)
    fused[:10] = 150
    assert sky_ratio(fused, ir, vi) == .75


def test_an_image_without_sky_has_no_value():
    vi, ir = np.full((100, 100), 100, np.uint8), np.zeros((100, 100), np.uint8)
    vi.flat[:int(1e4*SKY_SHARE) - 1] = 200
    assert math.isnan(sky_ratio(vi, ir, vi))
    vi.flat[:int(1e4*SKY_SHARE)] = 200
    assert sky_ratio(vi, ir, vi) == 1


@pytest.mark.parametrize('level,edge', [(170, 171), (90, 89)])
def test_the_thresholds_are_170_and_90(level, edge):
    flat = lambda g: np.full((9, 9), g, np.uint8)
    of = lambda g: sky_ratio(flat(0), flat(0), flat(g)) if level == 170 else sky_ratio(flat(0), flat(g), flat(255))
    assert math.isnan(of(level)) and of(edge) == 0


def test_a_batch_is_one_at_a_time():
    x = [np.stack(o)[:, None] for o in zip(triple(0), triple(3), triple(6))]
    batch = picture_measures(*x)
    assert list(batch) == ['intensity', 'edges', 'sky']
    for i in range(3):
        one = picture_measures(*[o[i, 0] for o in x])
        for k in batch:
            assert batch[k].shape == (3,) and batch[k][i].item() == pytest.approx(one[k], abs=1e-9, nan_ok=True)


def measure(method, dataset):
    "picture_measures of every image of a method."
    from smfnet.scoring.score import grey
    for p in sorted((Path(DATA)/'fused'/method/dataset).glob('*.*')):
        yield picture_measures(
            *[
                grey(o)
                for o in (p, *(next((Path(DATA) / dataset / 'test' / k).glob(p.stem + '.*')) for k in ('ir', 'vi')))
            ]
        )


@needs_data
def test_the_authors_own_images():
    rows = list(measure('SMFNet-authors', 'TNO'))
    if not rows: pytest.skip('SMFNET_DATA holds no fused/SMFNet-authors/TNO')
    assert np.mean([r['intensity'] for r in rows]) == pytest.approx(7.504, abs=2e-3)
    assert np.mean([r['edges'] for r in rows]) == pytest.approx(11.324, abs=2e-3)


@needs_data
@pytest.mark.parametrize(
    'method,dataset,want',
    [('SwinFusion', 'TNO', 0.995), ('CDDFuse-variant', 'TNO', 0.962), ('CDDFuse-variant', 'RoadScene', 0.945)],
)
def test_skies_of_published_images(method, dataset, want):
    rows = list(measure(method, dataset))
    if not rows: pytest.skip(f'SMFNET_DATA holds no fused/{method}/{dataset}')
    assert np.nanmean([r['sky'] for r in rows]) == pytest.approx(want, abs=1e-3)
