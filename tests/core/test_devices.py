"Seeds, devices, and the allocator."
import random, subprocess, sys
import numpy as np
import pytest
import torch
from smfnet.core import devices
from smfnet.core.devices import get_device, idle_threads, set_seed

def draw(seed):
    set_seed(seed)
    return random.random(), np.random.rand(), torch.rand(1).item()

def test_a_seed_fixes_all_generators():
    assert draw(3) == draw(3)
    assert all(a != b for a,b in zip(draw(3), draw(4)))
    draw(2**40)                                            # NumPy takes 32 bits only
    with pytest.raises(ValueError, match='seed must be 0 or larger, not -1'): set_seed(-1)

def test_device():
    assert get_device('cpu') == torch.device('cpu')
    assert get_device().type == ('cuda' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(ValueError, match="'toaster' is unknown"): get_device('toaster')

def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for d in ('cuda', 'cuda:1'):
        with pytest.raises(ValueError, match='sees no GPU; use device'): get_device(d)

@pytest.mark.parametrize('device', ['meta', *(d for d in ('mps','xpu') if not getattr(getattr(torch, d, None), 'is_available', lambda: False)())])
def test_a_device_that_this_torch_has_not_is_said(device):
    with pytest.raises(ValueError, match=f"device '{device}' was asked for, but this torch cannot compute on it"): get_device(device)

@pytest.mark.parametrize('free,share,want', [(800, 99, 8), (410, 99, 4), (20, 99, 1), (800, 2.5, 2), (800, .5, 1), (None, 99, 8)])
def test_idle_threads(monkeypatch, free, share, want):
    "Eight cores, of whose 800 ticks some were free; a control group that may take so many cores; nothing known."
    times = iter([(1000, 5000), (1000 + (free or 0), 5800)])
    monkeypatch.setattr(devices, '_core_times', lambda: None if free is None else next(times))
    monkeypatch.setattr(devices, '_core_share', lambda: share)
    monkeypatch.setattr(devices.os, 'sched_getaffinity', lambda _: range(8), raising=False)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 8)
    assert idle_threads(0) == want

@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_ticks_of_the_cores():
    (a,b),(c,d) = devices._core_times(), devices._core_times()
    assert 0 < a <= c and a <= b <= d and devices._core_share() > 0

@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the setting is of glibc, on Linux')
def test_kept_memory_is_not_faulted_in_again():
    "In a process of its own: the setting cannot be taken back."
    code = '''if True:
        import resource, torch
        from smfnet.core.devices import keep_memory
        torch.set_num_threads(1)
        def pages(n):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(n): torch.ones(64, 2**18)     # 64 MiB, 16384 pages
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        kept = keep_memory()
        pages(16)                                        # until the heap has grown to its steady size
        print(kept, pages(8))'''
    kept, pages = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    if kept == 'False': pytest.skip('this libc is not glibc')
    assert int(pages) < 16384, 'freed blocks went back to the kernel'
