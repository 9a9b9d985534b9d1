"The metrics that other papers report: against plain loops and scikit-image, by hand, and in batches."
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from smfnet.data.colour import luma
from smfnet.data.images import read_image
from smfnet.metrics.more import MORE_METRICS
from smfnet.metrics.paper import Triple
from smfnet.metrics.picture import LOWER_IS_BETTER
from smfnet.metrics.windows import WINDOW_METRICS

sys.path.insert(0, str(Path(__file__).parent))
import more_oracle as oracle

DATA = os.environ.get('SMFNET_DATA')
METRICS = MORE_METRICS | WINDOW_METRICS
COARSE = {'FMI_pixel': 2e-4, 'FMI_gradient': 2e-4} # float32 in the package
KINDS = dict(
    noise=lambda r, h, w: r.integers(0, 256, (h, w)),
    faint=lambda r, h, w: 128 + r.integers(-1, 2, (h, w)),
    constant=lambda r, h, w: np.full((h, w), r.integers(1, 256)),
    black=lambda r, h, w: np.zeros((h, w), int),
    saturated=lambda r, h, w: np.clip(r.normal(128, 300, (h, w)).round(), 0, 255),
    pixel=lambda r, h, w: 90 + 100 * (np.arange(h * w).reshape(h, w) == r.integers(h * w)),
    board=lambda r, h, w: 255 * ((np.arange(h)[:, None] + np.arange(w)) % 2),
    ramp=lambda r, h, w: np.add.outer(3 * np.arange(h), 2 * np.arange(w)) % 256,
    smooth=lambda r, h, w: (127 + 100 * np.sin(np.add.outer(np.arange(h) / 5, np.arange(w) / 7) + r.random())).round(),
)


def triples(n=40):
    "Triples (fused, ir, vi) of small uint8 images of odd and even sizes, every kind in every place."
    r, kinds = np.random.default_rng(7), list(KINDS)
    for i in range(n):
        h, w = 12 + r.integers(0, 5, 2)
        names = [kinds[i % 9], kinds[(i // 9 + i) % 9], kinds[r.integers(9)]]
        x = [np.asarray(KINDS[k](r, h, w)).astype(np.uint8) for k in names]
        if i % 7 == 0: x[2] = x[0]
        if i % 14 == 0: x[1] = x[0]
        yield x


def close(got, want, name, tell):
    if math.isnan(want) or math.isinf(want): return got == want or (math.isnan(got) and math.isnan(want))
    tol = COARSE.get(name, 1e-5)
    assert abs(got - want) <= tol * max(1, abs(want)), f'{name}: {got} is not {want} ({tell})'


@pytest.mark.parametrize('name', METRICS)
def test_agrees_with_its_oracle(name):
    for i, x in enumerate(triples(6 if name.startswith('FMI') else 27)):
        a = [o.astype(float) for o in x]
        close(METRICS[name](*x), getattr(oracle, name)(*(a[:1] if name == 'EI' else a)), name, i)


def test_ms_ssim_agrees_with_its_oracle_on_five_scales():
    r = np.random.default_rng(1)
    smooth = [np.kron(r.integers(0, 256, (24, 30)), np.ones((8, 8))) for _ in range(2)]
    x = [np.clip(o + r.normal(0, s, o.shape), 0, 255).astype(np.uint8)[:185] for o, s in
         ((smooth[0], 20), (smooth[0], 5), (255 - smooth[1], 40))]
    close(METRICS['MS_SSIM'](*x), oracle.MS_SSIM(*[o.astype(float) for o in x]), 'MS_SSIM', 'blocks')


@pytest.mark.skipif(not DATA, reason='SMFNET_DATA is not set: no real images to compare')
@pytest.mark.parametrize('name', METRICS)
def test_agrees_with_its_oracle_on_a_real_triple(name):
    root = Path(DATA)
    files = [root/'fused'/'DIDFuse'/'TNO'/'01.png', *(root/'TNO'/'test'/k/'01.png' for k in ('ir', 'vi'))]
    if not files[0].is_file(): pytest.skip('SMFNET_DATA holds no fused/DIDFuse/TNO')
    x = [(luma(read_image(f))*255).round().astype(np.uint8) for f in files]
    x = [o[:200, :230] if name == 'MS_SSIM' else o[100:124, 150:180] for o in x]
    a = [o.astype(float) for o in x]
    close(METRICS[name](*x), getattr(oracle, name)(*(a[:1] if name == 'EI' else a)), name, 'TNO 01')


def test_one_triple_serves_all():
    x = next(triples())
    t = Triple(*x)
    for k, m in METRICS.items(): assert m(t) == pytest.approx(m(*x), nan_ok=True), k


@pytest.mark.parametrize('name', METRICS)
def test_a_batch_is_one_at_a_time(name):
    r = np.random.default_rng(3)
    x = [r.integers(0, 256, (3, 1, 24, 31)).astype(np.uint8) for _ in range(3)]
    got = METRICS[name](*x)
    assert got.shape == (3,)
    for i in range(3): assert got[i].item() == pytest.approx(METRICS[name](*[o[i, 0] for o in x]), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize('name', [k for k in METRICS if k not in ('EI', 'MS_SSIM')])
def test_the_direction_is_the_stated_one(name):
    "A fused image that shows both sources is better than noise."
    y, x = np.mgrid[:64, :80]
    ir = (60 + 120*((x - 50)**2 + (y - 40)**2 < 150)).astype(np.uint8)
    vi = (110 + 60*np.sin(x/3)*np.cos(y/4)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, vi.shape).astype(np.uint8)
    good, bad = (METRICS[name](f, ir, vi) for f in (((ir.astype(int) + vi)//2).astype(np.uint8), noise))
    assert good < bad if name in LOWER_IS_BETTER else good > bad


def test_equal_images_have_the_best_value():
    x = np.random.default_rng(0).integers(0, 256, (180, 190)).astype(np.uint8)
    best = dict(CE=0, RMSE=0, PSNR=math.inf, CC=1, MS_SSIM=1, Nabf=0, FMI_pixel=1, FMI_gradient=1, Qw=1, Qe=1, Qc=1, Qy=1,
                Qcv=0, Qcb=1)
    for k, v in best.items(): assert METRICS[k](x, x, x) == pytest.approx(v, abs=1e-6), k


@pytest.mark.parametrize('name,least', [('Qw', 8), ('Qe', 8), ('Qc', 8), ('Qy', 7), ('FMI_pixel', 3), ('FMI_gradient', 3)])
def test_a_window_must_fit(name, least):
    x = np.random.default_rng(0).integers(0, 256, (3, least, least + 4)).astype(np.uint8)
    assert math.isfinite(METRICS[name](*x))
    with pytest.raises(ValueError, match=f'{name} needs images of at least {least}×{least} pixels'):
        METRICS[name](*x[:, 1:])


@pytest.mark.parametrize('name', [k for k in METRICS if k != 'EI'])
def test_sources_are_asked_for(name):
    with pytest.raises(ValueError, match=f'{name} compares the fused image with its sources'):
        METRICS[name](np.zeros((20, 20), np.uint8))
