"The authors' weights in use: tile by tile, from the command line, as a method to score, and against the images that the authors committed."
import os, sys
from pathlib import Path
import numpy as np
import pytest
import torch
from torch.testing import assert_close
from smfnet.data.images import read_image, write_image
from smfnet.fusing.api import fuse, fuse_batch
from smfnet.fusing.cli import main
from smfnet.fusing.memory import memory_need
from smfnet.fusing.streams import stream
from smfnet.network.model import SMFNet
from smfnet.network.release import ReleaseConfig, ReleaseNet
from smfnet.network.weights import load_model
from smfnet.scoring.sets import named_methods

sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'network'))
from published import made, missing, release_folder

@pytest.fixture(scope='module')
def file(tmp_path_factory):
    "A file like the published one."
    path = tmp_path_factory.mktemp('release')/'model_VIF.pth'
    torch.save(made(), path)
    return path

@pytest.fixture(scope='module')
def small():
    torch.manual_seed(0)
    net = ReleaseNet(ReleaseConfig(dim=16, heads=2)).eval()
    for p in net.parameters(): p.data += .05*torch.randn_like(p)
    return net

@pytest.mark.parametrize('size,side', [((41,67),32), ((16,16),32), ((33,96),96), ((65,34),33)])
def test_tiles_equal_the_whole(small, size, side):
    ir,vi = torch.rand(2,1,1,*size)
    with torch.inference_mode(): assert_close(stream(ir, vi, small, side=side), small(ir, vi), atol=2e-5, rtol=0)

def test_tiles_of_the_file_equal_the_whole_also_from_disk(file, tmp_path):
    net, (ir,vi) = load_model(file, 'cpu'), torch.rand(2,1,1,37,52)
    with torch.inference_mode(): assert_close(stream(ir, vi, net, side=32, folder=tmp_path), net(ir, vi), atol=1e-4, rtol=0)
    assert not any(tmp_path.iterdir())

def test_a_large_pair_is_fused_in_tiles_and_needs_more_memory_than_the_papers(small, monkeypatch):
    monkeypatch.setattr('smfnet.fusing.api._WHOLE_PX', 100)
    ir,vi = torch.rand(2,2,1,24,31)
    with torch.inference_mode(): assert_close(fuse_batch(ir, vi, small, max_memory='100M'), small(ir, vi), atol=2e-5, rtol=0)
    assert memory_need((480,640), ReleaseNet()) > memory_need((480,640), SMFNet())

@pytest.fixture
def images(tmp_path):
    for i,k in enumerate(('ir','vi')): write_image(tmp_path/f'{k}.png', np.random.RandomState(i).rand(24,30).astype(np.float32))

def test_the_command_fuses_with_the_file(file, tmp_path, images):
    args = [str(tmp_path/o) for o in ('ir.png','vi.png','out.png')] + ['--weights', str(file), '--device', 'cpu', '--minmax']
    assert main(args) == 0
    got, want = read_image(tmp_path/'out.png'), fuse(tmp_path/'ir.png', tmp_path/'vi.png', weights=load_model(file, 'cpu'), minmax=True)
    assert got.shape == want.shape and abs(got-want).max() <= .51/255 and (got.min(), got.max()) == (0, 1)

def test_the_command_names_the_fault_of_a_file(tmp_path, images, capsys):
    torch.save(dict(DIDF_Encoder={}), tmp_path/'model_IVF.pth')
    assert main([str(tmp_path/o) for o in ('ir.png','vi.png','out.png')] + ['--weights', str(tmp_path/'model_IVF.pth')]) != 0
    err = capsys.readouterr().err
    assert not (tmp_path/'out.png').exists() and err.count('\n') == 1 and 'model_IVF.pth' in err and 'lacks DIDF_Decoder' in err

def test_evaluate_takes_it_as_a_method(file):
    method = named_methods('average,SMFNet', weights=str(file))['SMFNet']
    ir,vi = torch.rand(2,1,20,24)
    with torch.inference_mode(): assert_close(method(ir, vi), load_model(file, 'cpu')(ir[None], vi[None])[0], atol=1e-5, rtol=0)

def authors_images():
    "Why the final check is skipped; '' when all that it needs is there."
    data = os.environ.get('SMFNET_DATA')
    if not data: return 'SMFNET_DATA is not set'
    if not (Path(data)/'fused/SMFNet-authors/TNO').is_dir(): return 'SMFNET_DATA holds no fused/SMFNet-authors/TNO'
    return missing('model_VIF.pth')

@pytest.mark.slow
@pytest.mark.skipif(bool(authors_images()), reason=authors_images())
@pytest.mark.parametrize('name', ('01','02','03'))
def test_the_images_that_the_authors_committed(name):
    "The published weights make the published images, stretched as the release stretches them: within one grey level nearly everywhere."
    data = Path(os.environ['SMFNET_DATA'])
    want = read_image(data/f'fused/SMFNet-authors/TNO/{name}.png')
    ir,vi = ((lambda x: x.mean(2) if x.ndim == 3 else x)(read_image(data/f'TNO/test/{k}/{name}.png')) for k in ('ir','vi'))
    got = fuse(ir, vi, weights=release_folder()/'model_VIF.pth', device='cpu', minmax=True)
    gap = abs(got-want)*255
    assert (gap <= 1.01).mean() > .99, f'{name}: on average {gap.mean():.2f} grey levels apart, at most {gap.max():.0f}'
