import pytest
from smfnet.data.images import write_image
from smfnet.data.scenes.render import scene_pairs
from smfnet.scoring.baselines import average, maximum

@pytest.fixture(scope='session')
def pairs(): return scene_pairs(4, size=(72,90))

@pytest.fixture(scope='session')
def folders(tmp_path_factory, pairs):
    "Four pairs in ir/ and vi/, their averages in avg/ and their maxima, in other formats and in colour, in max/."
    d = tmp_path_factory.mktemp('eval')
    for k,p in enumerate(pairs):
        write_image(d/'ir'/f'{k}.png', p.ir)
        write_image(d/'vi'/f'{k}.png', p.vi)
        write_image(d/'avg'/f'{k}.png', average(p.ir, p.vi))
        write_image(
            d / 'max' / f'{k}{(".tif", ".bmp", ".webp", ".png")[k]}',
            maximum(p.ir, p.vi).expand(3 if k % 2 else 1, -1, -1),
        )
    return d
