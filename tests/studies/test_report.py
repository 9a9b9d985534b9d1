"The sentence and the tables that a study ends with."
import math, sys
import pytest
from smfnet.studies.report import _spread, beside_paper, by_seed, paired, study_table, verdict

def made(**k): return [{'class':'mean', 'input':i, 'seed':s, 'IoU':v} for i,vs in k.items() for s,v in enumerate(vs)]
CLEAR = made(SMFNet=[.50,.51,.52], vi=[.40,.41,.42], ir=[.60,.611,.619], average=[.48,.52,.52])
WITH_CARS = CLEAR + [{**r, 'class':'car', 'IoU':.7} for r in CLEAR]

def test_interval_of_paired_seeds():
    "Differences 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1; Student's t with two degrees of freedom has its 97.5 % quantile at 4.302653."
    assert paired({0:.5,1:.6,2:.7}, {0:.4,1:.4,2:.4,3:9.}) == pytest.approx((.2, 4.302653*.1/3**.5), abs=1e-6)
    assert paired({0:.5}, {0:.25}) == (.25, math.inf)
    with pytest.raises(ValueError, match='no seed in common'): paired({0:1.}, {1:1.})

def test_without_scipy_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.stats', None)
    with pytest.raises(ImportError, match=r'smfnet\[stats\]'): paired({0:.5,1:.6}, {0:.4,1:.4})

def test_spread_of_one_seed_is_unknown():
    assert _spread([1,2,3]) == (2,1) and math.isnan(_spread([1])[1])

def test_values_are_ordered_by_seed():
    assert by_seed(CLEAR, 'IoU')['vi'] == {0:.40, 1:.41, 2:.42} and by_seed(CLEAR, 'IoU', 'car') == {}

def test_verdict_says_higher_lower_and_cannot_tell():
    text = verdict(CLEAR, 'IoU')
    assert text == ('mean IoU: SMFNet scores higher than vi (+0.100 ± 0.000); SMFNet scores lower than ir (-0.100 ± 0.002); '
                    'for average (+0.003 ± 0.038) 3 seeds cannot tell a difference at this budget.')
    assert verdict([{**r, 'class':'car'} for r in CLEAR], 'IoU', cls='car') == text.replace('mean', 'car')

def test_verdict_says_what_it_cannot_say():
    assert verdict(CLEAR, 'IoU', floor=.61).startswith('Void: the best kind of image (ir)')
    assert verdict([], 'IoU') == 'No run has finished.' and 'was not among' in verdict(made(vi=[.4,.5]), 'IoU')
    assert verdict(made(SMFNet=[.5], vi=[.4]), 'IoU') == 'mean IoU: for SMFNet against vi (+0.100) 1 seed cannot tell a difference at this budget.'

def test_study_table():
    table = study_table(WITH_CARS, 'IoU', name='mIoU')
    assert '| ir | 3 | ± 0.0095 | **0.7000** | **0.6100** |' in table and '| vi | 3 | ± 0.0100 |' in table and table.count('\n') == 5

def test_rows_beside_the_paper_are_marked_within_their_source():
    both = beside_paper(2, {'ours': WITH_CARS}, 'IoU', columns={'car':'Car'})
    assert '| published, M3FD | SMFNet | not said | – | **0.7230** | **0.9250** | **0.8620** | **0.9030** | **0.7380** | **0.8560** | **0.8350** |' in both
    assert '| ours | ir | 3 | ± 0.0095 | – | **0.7000** | – | – | – | – | **0.6100** |' in both
    assert both.count('\n') == 11 + 4
