"The small network tile by tile (fusing.student_tiles)."
import pytest
import torch
from smfnet.fusing.api import fuse_batch
from smfnet.fusing.memory import plan_memory
from smfnet.fusing.student_tiles import draw_student, stream_student, student_mean
from smfnet.network.student import StudentConfig, StudentNet

@pytest.fixture(scope='module')
def student():
    torch.manual_seed(0)
    net = StudentNet(StudentConfig(dim=8, blocks=3)).eval()
    for p in (net.gates[2].weight, net.head.weight): torch.nn.init.normal_(p, std=.1)
    return net

@pytest.mark.parametrize('size', [(64,96), (75,101), (33,120), (66,67)])
def test_tiles_give_the_whole_image(student, size, tmp_path):
    ir,vi = torch.rand(2,1,1,*size)
    with torch.inference_mode():
        whole = student(ir, vi)
        assert torch.allclose(student_mean(ir, vi, student, side=8), student.first(ir, vi).mean((2,3)), atol=1e-6)
        for folder in (None, tmp_path):
            assert torch.allclose(stream_student(ir, vi, student, side=8, folder=folder), whole, atol=1e-5)

def test_another_mean_gives_another_image(student):
    ir,vi = torch.rand(2,1,1,40,48)
    with torch.inference_mode():
        mean = student_mean(ir, vi, student)
        assert torch.allclose(draw_student(ir, vi, student, mean), student(ir, vi), atol=1e-6)
        assert not torch.allclose(draw_student(ir, vi, student, mean+1), student(ir, vi), atol=1e-4)

def test_fuse_batch_streams_what_is_large(student, monkeypatch):
    monkeypatch.setattr('smfnet.fusing.api._WHOLE_PX', 0)
    ir,vi = torch.rand(2,2,1,70,150)
    with torch.inference_mode(): whole = student(ir, vi)
    assert torch.allclose(fuse_batch(ir, vi, student, max_memory='3M'), whole, atol=1e-5)

def test_the_small_network_needs_little_memory():
    assert plan_memory((10_000,10_000), StudentNet(), '3G') == dict(side=160, folder=None)
