"Curves and pictures of a run."
import math
import pytest
from smfnet.network.weights import save_checkpoint
from smfnet.training.launch import fresh_model
from smfnet.training.plots import plot_log, show_held
from smfnet.training.state import RunLog
plt = pytest.importorskip('matplotlib.pyplot')

def test_one_panel_a_term_and_a_running_mean(tmp_path):
    log = RunLog(tmp_path)
    for s in range(60):
        log.write(
            step=s + 1, total=1 / (s + 1) + 0.1 * math.sin(s), lr=1e-4, seconds=s, **dict(sky=1.0) if s == 0 else {}
        )
    log.close()
    fig = plot_log(tmp_path)
    assert (
        [a.get_title() for a in fig.axes[:3]] == ['total', 'sky', 'lr']
        and fig.axes[2].get_xlabel() == 'step'
        and len(fig.axes[0].lines[1].get_xdata()) == 60 - 15 + 1
    )
    plt.close('all')

@pytest.mark.parametrize('stage, columns', [(1,4), (2,3)])
def test_held_out_pairs_are_shown(tmp_path, toy, stage, columns):
    weights = save_checkpoint(fresh_model(toy.TINY), tmp_path/'a.safetensors')
    assert len(show_held(weights, toy.scenes(), stage).axes) == 2*columns
    plt.close('all')

def test_a_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'matplotlib.pyplot', None)
    with pytest.raises(ImportError, match=r'smfnet\[plot\]'): plot_log(tmp_path)
