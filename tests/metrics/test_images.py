"What all metrics share: grey levels, three images at once, histograms, windows."
import math
import pytest
import torch
from smfnet.metrics import images as M
from smfnet.metrics.paper import EN, MI, score

# grey levels

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(16, 16)


def test_grey_levels_are_those_of_an_8_bit_file():
    assert M.to_grey255(torch.tensor([[0., 100/255], [.5, 1.]])).tolist() == [[[0, 100], [128, 255]]]
    want = LEVELS[None].double()
    for x in (
        LEVELS,
        LEVELS[None],
        LEVELS.numpy(),
        LEVELS.float() / 255,
        LEVELS.numpy().astype('>u2') * 257,
        (LEVELS.double() / 255).numpy().astype('>f4'),
    ):
        assert torch.equal(M.to_grey255(x), want)


@pytest.mark.parametrize(
    'bad,error,word',
    [
        (LEVELS.float(), ValueError, 'must lie in'),
        (torch.rand(3, 8, 8), ValueError, 'luma'),
        (LEVELS.long(), TypeError, 'int64'),
        ([[0.0, 1.0]], TypeError, 'not list'),
        (torch.full((4, 4), float('nan')), ValueError, 'NaN'),
        (torch.rand(0, 5), ValueError, 'no pixels'),
    ],
)
def test_what_is_no_grey_image_is_refused(bad, error, word):
    with pytest.raises(error, match=f'fused .*{word}'): score(bad, LEVELS, LEVELS)


# shared work

def test_triple_remembers_and_gives_back_in_kind():
    t = M.Triple(LEVELS, LEVELS, LEVELS)
    assert t.once('answer', lambda: 42) == t.once('answer', lambda: 0) == 42
    assert t.give(torch.tensor([1.5])) == 1.5 and torch.equal(
        M.Triple(LEVELS[None, None]).give(torch.tensor([1.5])), torch.tensor([1.5])
    )
    assert M.as_triple(t) is t and EN(t) == 8 == EN(LEVELS)
    with pytest.raises(ValueError, match='pass ir and vi'): MI(LEVELS)


def test_joint_histogram():
    assert torch.equal(
        M._joint_histogram(M.Triple(LEVELS, LEVELS, 255 - LEVELS), 'vi')[0], torch.eye(256).flip(0).double()
    )
    assert torch.equal(M._joint_histogram(M.Triple(LEVELS*0, LEVELS, LEVELS))[0,0], torch.ones(256).double())


def test_separable_filtering_is_a_convolution():
    x, taps = torch.rand(2,75,70).double(), torch.tensor([1.,3,1,2,1]).double()
    ref = torch.nn.functional.conv2d(x[:,None], torch.outer(taps,taps)[None,None])[:,0]
    torch.testing.assert_close(M._filter_valid(x, taps), ref)
    torch.testing.assert_close(M._filter_valid(x, taps, step=2), ref[:,::2,::2])


def test_gaussian_taps():
    g = M._gaussian_taps(3, .6)
    assert math.isclose(g.sum(), 1) and math.isclose(g[0]/g[1], math.exp(-1/.72))


def test_window_sums_are_exact_in_single_precision():
    x = torch.randint(0, 256, (2,9,11)).float()
    assert torch.equal(M._sums7(x**2), (x**2).unfold(1,7,1).unfold(2,7,1).sum((-2,-1)))
    assert torch.equal(M._sums7(torch.full((1,7,7), 255.**2)), torch.full((1,1,1), 49*255.**2))


def test_histogram_of_one_image_and_of_a_triple():
    "Counted alone or as the margin of a joint histogram, the same; each image of a batch by itself."
    x = torch.randint(0, 256, (2,1,9,11), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    alone, beside = M._histogram(M.Triple(x)), M._histogram(M.Triple(x, 255-x, x//2))
    assert torch.equal(alone, beside) and alone.shape == (2,256) and torch.equal(alone.sum(1), torch.full((2,), 99.).double())
    assert [int(o) for o in alone[1].nonzero().flatten()] == sorted(set(x[1].flatten().tolist()))


@pytest.mark.parametrize('window, size', [('uniform',7), ('gaussian',11)])
def test_window_means(window, size):
    "Of a constant, the constant; of a ramp, its value in the middle of the window; nothing where the window does not fit."
    ramp = torch.arange(20.).double().expand(1,13,20)
    m = M._window_means(ramp, window)
    assert m.shape == (1, 14-size, 21-size)
    torch.testing.assert_close(m, (torch.arange(21-size) + size//2).double().expand(m.shape))


def test_a_choice_is_one_of_those_named():
    M._one_of('base', 'bits', 'bits', 'nats')
    with pytest.raises(ValueError, match="base must be 'bits' or 'nats', not 'bans'"): M._one_of('base', 'bans', 'bits', 'nats')
