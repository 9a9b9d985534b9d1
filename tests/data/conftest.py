"Small data sets on disk that several rooms are tested with."
import numpy as np
import pytest
from smfnet.data.datasets import find_pairs
from smfnet.data.images import write_image

@pytest.fixture(scope='session')
def make_set():
    "A function that fills a folder with pairs of noise."
    def make(folder, n=12, size=(64,80)):
        rng = np.random.default_rng(0)
        for i in range(n):
            for s in ('ir', 'vi'): write_image(folder/s/f'{i:03d}.png', rng.random(size))
        return folder
    return make

@pytest.fixture(scope='module')
def folder(make_set, tmp_path_factory):
    "A data set of twelve pairs, to be read only."
    return make_set(tmp_path_factory.mktemp('set'))

@pytest.fixture
def road(tmp_path):
    "A data root with RoadScene/train: noise over a gradient, one pair in colour, one smaller than a patch."
    rng = np.random.default_rng(0)
    for n,(h,w) in {'a':(150,340), 'b':(128,128), 'c':(300,200), 'small':(100,300)}.items():
        for s in ('ir', 'vi'):
            x = np.linspace(0, .8, w, dtype=np.float32) + .2*rng.random((h,w), np.float32)
            if (s,n) == ('vi','c'): x = np.stack([x, x*x, 1-x], -1)
            write_image(tmp_path/'RoadScene/train'/s/f'{n}.png', x)
    return tmp_path

@pytest.fixture
def pairs(road): return find_pairs('RoadScene/train', road)
