"""The batched metrics against plain numpy, scipy and scikit-image, and against a published row."""
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from smfnet.metrics import paper as M

sys.path.insert(0, str(Path(__file__).parent))
import metrics_oracle as oracle

pytestmark = pytest.mark.filterwarnings('error')
LEAST = dict(EN=1, SD=1, SF=2, MI=1, SCD=1, VIF=41, Qabf=1, AG=2, SSIM=7)
SOURCELESS = {'EN', 'SD', 'SF', 'AG'}


# images that break metrics

def pixel(rng, h, w):
    x = np.full((h, w), rng.integers(256))
    x[rng.choice([0, h - 1, h // 2]), rng.choice([0, w - 1, w // 2])] = rng.integers(256)
    return x


KINDS = dict(
    noise=lambda r, h, w: r.integers(0, 256, (h, w)),
    faint=lambda r, h, w: 128 + r.integers(-1, 2, (h, w)),
    constant=lambda r, h, w: np.full((h, w), r.integers(256)),
    black=lambda r, h, w: np.zeros((h, w), int),
    white=lambda r, h, w: np.full((h, w), 255),
    saturated=lambda r, h, w: np.clip(r.normal(128, 300, (h, w)).round(), 0, 255),
    pixel=pixel,
    board=lambda r, h, w: 255 * ((np.arange(h)[:, None] + np.arange(w)) % 2),
    stripes=lambda r, h, w: np.broadcast_to(255 * (np.arange(w) // 3 % 2), (h, w)),
    ramp=lambda r, h, w: np.add.outer(3 * np.arange(h), 2 * np.arange(w)) % 256,
    halves=lambda r, h, w: np.where(np.arange(w) < w / 2, 0, 255) + np.zeros((h, 1)),
)


def triples(least, n=220):
    "`n` triples (fused, ir, vi) of uint8 images, from the smallest legal size upwards, every kind in every place."
    rng, kinds = np.random.default_rng(least), list(KINDS)
    for i in range(n):
        h, w = (least, least) if i % 5 == 0 else (least + rng.integers(0, 9, 2))
        names = [kinds[i % 11], kinds[i // 11 % 11], kinds[rng.integers(11)]]
        x = [np.asarray(KINDS[k](rng, h, w)).astype(np.uint8) for k in rng.permutation(names)]
        if i % 7 == 0: x[2] = x[0]
        if i % 21 == 0: x[1] = x[0]
        yield x


def close(got, want, tell=''):
    assert np.isfinite(got), tell
    assert abs(got - want) <= 1e-6 * abs(want) + 1e-9, f'{got} is not {want}: {tell}'


def both(name, x, **kw):
    "The metric and its oracle on one uint8 triple."
    f, g = getattr(M, name), getattr(oracle, name)
    a = x[:1] if name in SOURCELESS else x
    return f(*a, **kw), g(*[oracle.grey(o) for o in a], **kw)


@pytest.mark.parametrize('name', M.METRICS)
def test_agrees_with_its_oracle(name):
    n = 0
    for x in triples(LEAST[name]):
        close(*both(name, x), (name, n, x[0].shape))
        n += 1
    assert n >= 200


OPTIONS = [
    ('EN', dict(base='nats')),
    ('SD', dict(ddof=1)),
    ('SF', dict(convention='textbook')),
    ('MI', dict(base='bits')),
    ('VIF', dict(combine='mean')),
    ('Qabf', dict(convention='textbook')),
    ('AG', dict(convention='textbook')),
    ('SSIM', dict(data_range=255)),
    ('SSIM', dict(data_range=255, window='gaussian')),
    ('SSIM', dict(combine='mean')),
]


@pytest.mark.parametrize('name,kw', OPTIONS)
def test_options_agree_with_their_oracles(name, kw):
    least = 11 if 'window' in kw else 2 if name == 'SD' else LEAST[name]
    changed = 0
    for x in triples(least, 44):
        got, want = both(name, x, **kw)
        close(got, want, (name, kw))
        changed += abs(got - both(name, x)[0]) > 1e-6 if 'window' not in kw else 1
    assert changed, f'{kw} made no difference'


def test_batch_is_one_at_a_time():
    rng = np.random.default_rng(1)
    x = [
        np.stack([KINDS[k](rng, 45, 50) for k in ks])[:, None].astype(np.uint8)
        for ks in (
            ['noise', 'constant', 'pixel', 'ramp'],
            ['ramp', 'white', 'noise', 'board'],
            ['halves', 'noise', 'faint', 'ramp'],
        )
    ]
    batch = M.score(*x)
    assert tuple(batch) == M.METRICS
    for i in range(4):
        one = M.score(*[o[i, 0] for o in x])
        for k in M.METRICS:
            assert batch[k].shape == (4,) and batch[k].dtype == torch.float64 and isinstance(one[k], float)
            assert abs(batch[k][i].item() - one[k]) < 1e-10, k


def test_any_form_of_one_image():
    x = [np.random.default_rng(i).integers(0, 256, (47, 52)).astype(np.uint8) for i in range(3)]
    want = M.score(*x)
    for form in (
        torch.from_numpy,
        lambda o: torch.from_numpy(o)[None],
        lambda o: torch.from_numpy(o).float() / 255,
        lambda o: o / 255,
        lambda o: o.astype(np.float32) / 255,
        lambda o: np.asfortranarray(o),
        lambda o: o[::-1][::-1],
    ):
        assert M.score(*map(form, x)) == want


def test_sources_may_be_swapped():
    for i, (f, a, b) in enumerate(triples(41, 40)):
        one, two = M.score(f, a, b), M.score(f, b, a)
        for k in M.METRICS: close(one[k], two[k], (i, k))


@pytest.mark.parametrize('name', M.METRICS)
def test_smallest_size(name):
    n = LEAST[name]
    x = [np.random.default_rng(i).integers(0, 256, (n, n)).astype(np.uint8) for i in range(3)]
    assert np.isfinite(getattr(M, name)(*x))
    if n > 1:
        for cut in (np.s_[1:, :], np.s_[:, 1:]):
            with pytest.raises(ValueError, match=f'{name} needs images of at least {n}×{n} pixels'):
                getattr(M, name)(*[o[cut] for o in x])
    with pytest.raises(ValueError, match='no pixels'): getattr(M, name)(*[o[:0] for o in x])


@pytest.mark.parametrize('name', M.METRICS)
def test_different_sizes_are_an_error_that_names_both(name):
    f, s = np.zeros((50, 60), np.uint8), np.zeros((50, 61), np.uint8)
    with pytest.raises(ValueError, match=r'fused \(50, 60\) and ir \(50, 61\)'): M.score(f, s, f, [name])
    with pytest.raises(ValueError, match=r'fused \(50, 60\) and vi \(50, 61\)'): M.score(f, f, s, [name])


def test_score_picks_and_refuses():
    x = [np.random.default_rng(i).integers(0, 256, (9, 9)).astype(np.uint8) for i in range(3)]
    assert list(M.score(*x, metrics=['SSIM', 'EN'])) == ['SSIM', 'EN']
    with pytest.raises(ValueError, match='EN SD SF MI SCD VIF Qabf AG SSIM'): M.score(*x, metrics=['PSNR'])
    with pytest.raises(ValueError, match='VIF needs'): M.score(*x)
    with pytest.raises(ValueError, match='must lie in'): M.score(*[o.astype(float) for o in x], metrics='EN')


# the full range

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(16, 16)


def test_full_range():
    x = torch.tensor([[.2, .4], [.3, .6]])
    torch.testing.assert_close(M.full_range(x), torch.tensor([[0., .5], [.25, 1.]]))
    assert np.array_equal(M.full_range(x.numpy()), M.full_range(x).numpy())
    assert torch.equal(M.full_range(torch.full((1,3,3), .3)), torch.full((1,3,3), .3)) # a constant image stays
    a, b = M.full_range(torch.stack([x, x/2])[:,None])                                  # each image by itself
    torch.testing.assert_close(a, b)
    with pytest.raises(TypeError, match='uint8'): M.full_range(LEVELS)


# one metric at a time

def test_mutual_information_of_independent_images_is_zero():
    ir = torch.tensor([[0, 0], [1, 1]], dtype=torch.uint8)
    assert M._mutual_information(M._joint_histogram(M.Triple(ir, ir, ir.T.contiguous()), 'vi')).item() == 0


def test_difference_correlation_without_variance_is_zero():
    assert M._difference_correlation(torch.eye(3)[None], 1, 2).item() == 0
    assert M._difference_correlation(torch.zeros(1,3,3), 1, 2).item() == 0


def test_an_edge_free_image_has_vertical_orientation():
    strength, angle = M._sobel_edges(torch.zeros(1,4,4))
    assert strength.max() == 0 and torch.equal(angle, torch.full((1,4,4), math.pi/2))


def test_ssim_of_one_image_is_the_sum_over_its_sources():
    x = [
        127 + torch.randint(0, 3, (40, 40), generator=torch.Generator().manual_seed(i)).to(torch.uint8)
        for i in range(3)
    ]
    assert math.isclose(
        M._ssim_image(torch.stack(x).double(), 255, 'uniform').sum().item(), M.SSIM(*x, data_range=255), rel_tol=1e-9
    )


@pytest.mark.parametrize(
    'name,kw,word',
    [
        ('EN', dict(base='bans'), 'bans'),
        ('SD', dict(ddof=2), 'ddof'),
        ('SF', dict(convention='folklore'), 'folklore'),
        ('AG', dict(convention=''), 'convention'),
        ('Qabf', dict(convention='folklore'), 'folklore'),
        ('VIF', dict(combine='product'), 'product'),
        ('SSIM', dict(data_range=0), 'positive'),
        ('SSIM', dict(window='round'), 'round'),
    ],
)
def test_an_unknown_option_is_refused(name, kw, word):
    x = [np.random.default_rng(i).integers(0, 256, (45, 45)).astype(np.uint8) for i in range(3)]
    with pytest.raises(ValueError, match=word): getattr(M, name)(*x, **kw)


def test_options_have_their_own_least_size():
    with pytest.raises(ValueError, match='2 pixels'): M.SD(torch.ones(1,1), ddof=1)
    with pytest.raises(ValueError, match='11×11'): M.SSIM(*[torch.ones(10,10)]*3, window='gaussian')


# what pictures score that a reader can work out

def test_by_hand():
    u8 = lambda *rows: torch.tensor(rows, dtype=torch.uint8)
    a, b, board = u8([2,4,6,8]), u8([4,2,8,6]), ((torch.arange(8)[:,None] + torch.arange(8)) % 2).float()
    half, pixel = u8([0,0],[1,1]), u8([0,10])
    for got, want in (
        (M.EN(u8([0,0],[128,255])), 1.5),
        (M.SD(u8([0,0],[2,2])), 1), (M.SD(u8([0,0],[2,2]), ddof=1), math.sqrt(4/3)), (M.SD(torch.tensor([[0.,1.]])), 127.5),
        (M.SF(u8([0,3],[4,7])), 5), (M.SF(u8([0,3],[4,7]), convention='textbook'), math.sqrt(12.5)), (M.SF(board), 255*math.sqrt(2)),
        (M.MI(half, half, half.T.contiguous()), math.log(2)), (M.MI(half, half, half.T.contiguous(), base='bits'), 1),
        (M.SCD(a+b, a, b), 2), (M.SCD((a+b)//2, a, b), 2/math.sqrt(5)), (M.SCD(a, a, b), 1/math.sqrt(5)),
        (M.Qabf(pixel, pixel, pixel), .97533), (M.Qabf(pixel//2, pixel, pixel), .97533/2), (M.Qabf(pixel, pixel, pixel, convention='textbook'), .97479),
        (M.AG(u8([0,3],[4,7])), 5), (M.AG(board), 255*(4*math.sqrt(2)+24)/64),
        (M.SSIM(*(torch.full((7,7), g, dtype=torch.uint8) for g in (100,50,50))), 1.6),
    ): assert got == pytest.approx(want, abs=1e-5)


def test_vif_of_one_window():
    "Variances 4 and 2 and covariance 2: ln(4/3) nats of ln 3 arrive; a negative gain or a flat source brings none."
    v = torch.tensor([4., 2., 2.]).double()
    assert M._vif_terms(*v).item() == pytest.approx(math.log(4/3)) and M._vif_terms(v[0], v[0], v[0]).item() == pytest.approx(math.log(3))
    assert M._vif_terms(v[0], v[1], -v[2]) == 0 == M._vif_terms(v[0]*0, v[1], v[2]*0)


def test_what_equal_inverted_and_stretched_images_score():
    f, a, b = torch.randint(0, 256, (3, 45, 48), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    half, flat = f//2, f*0
    assert [M.VIF(f,f,f), M.SSIM(f,f,f), M.MI(f,f,f)] == pytest.approx([2, 2, 2*M.EN(f, base='nats')], abs=1e-6)
    assert M.VIF(255-f, f, f) == 0 and M.SSIM(255-f, f, f) < -1 and M.MI(255-f, a, b) == pytest.approx(M.MI(f, a, b))
    assert 1 < M.VIF(2*half, half, half)/2 < 4 # contrast beyond the source's
    assert M.SCD(f,f,f) == 0 and M.Qabf(f, flat, flat) == 0 and M.Qabf(f, f, flat) == pytest.approx(.9753, abs=1e-3)
    assert M.Qabf(a, a, b) > M.Qabf(f, a, b) and M.Qabf(flat, a, b) < .001


def test_two_nearly_parallel_edges():
    "-89 and +89 degrees are 2 apart modulo 180, and 178 apart in the scripts behind the tables."
    e = lambda deg: (torch.full((1,), 2.).double(), torch.full((1,), math.radians(deg)).double())
    near = M._edge_preservation(e(0), e(2), 'textbook')
    torch.testing.assert_close(M._edge_preservation(e(-89), e(89), 'textbook'), near)
    assert M._edge_preservation(e(-89), e(89)) < 1e-6 < near


def test_faint_noise_is_lost_structure_only_without_constants():
    one = [127 + torch.randint(0, 3, (40,40), generator=torch.Generator().manual_seed(i)).to(torch.uint8) for i in range(3)]
    assert M.SSIM(*one) < .2 and M.SSIM(*one, data_range=255) > 1.9


def test_which_metrics_noise_raises_and_which_it_lowers():
    y, x = torch.meshgrid(torch.linspace(-1,1,96), torch.linspace(-1,1,128), indexing='ij')
    ir, vi = .2 + .75*torch.exp(-((x-.3)**2 + (y-.1)**2)/.03), .5 + .2*torch.sin(14*x+3*y) + .15*(y > .2)
    mean = (ir+vi)/2
    noisy = (mean + 16/255*torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))).clamp(0,1)
    clean, spoiled = M.score(mean, ir, vi), M.score(noisy, ir, vi)
    assert {k for k in clean if spoiled[k] > clean[k]} >= {'EN','SD','SF','AG'} and spoiled['AG'] > 2*clean['AG']
    assert all(spoiled[k] < clean[k] for k in ('MI','VIF','Qabf','SSIM'))


def test_a_stretch_raises_contrast_by_its_gain():
    y, x = torch.meshgrid(torch.linspace(-1,1,96), torch.linspace(-1,1,128), indexing='ij')
    f = .3 + .2*torch.exp(-((x-.3)**2 + (y-.1)**2)/.03) + .1*torch.sin(14*x+3*y)
    for k in ('SD','SF','AG'):
        f1, f0 = (getattr(M,k)(o) for o in (M.full_range(f), f))
        assert f1/f0 == pytest.approx((1/(f.max()-f.min())).item(), rel=.03)


# a published row: DIDFuse on TNO, Table 1

PUBLISHED = dict(EN=6.8621, SD=46.8716, SF=11.7683, MI=1.6953, Qabf=.4033, AG=6.0095, SSIM=.8414)


@pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: no fused images to score')
def test_calibration():
    from smfnet.data.colour import luma
    from smfnet.data.images import read_image
    root = Path(os.environ['SMFNET_DATA'])
    files = sorted((root / 'fused/DIDFuse/TNO').glob('*.*'))
    if not files: pytest.skip('SMFNET_DATA holds no fused/DIDFuse/TNO')
    assert len(files) == 25
    rows = []
    for p in files:
        ir, vi = (next((root / 'TNO/test' / m).glob(p.stem + '.*')) for m in ('ir', 'vi'))
        grey = [luma(x) if x.ndim == 3 else x for x in map(read_image, (p, ir, vi))]
        rows.append(M.score(*grey))
    mean = {k: np.mean([r[k] for r in rows]) for k in M.METRICS}
    for k, v in PUBLISHED.items(): assert abs(mean[k] / v - 1) < 1e-4, (k, mean[k])
    assert abs(mean['VIF'] - .592956) < 1e-6 and abs(mean['VIF'] / .5931 - 1) < 3e-4
