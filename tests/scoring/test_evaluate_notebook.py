"nbs/evaluate.ipynb through papermill: what it writes, and where."
import json
import numpy as np
import pytest
from PIL import Image
from smfnet.core.files import project_root
from smfnet.data.pairs import list_images
from smfnet.scoring.score import evaluate, read_rows

def test_run_notebook(tmp_path, folders):
    "Baselines and a folder of fused images through papermill; the infrared in kelvins, with missing pixels."
    papermill = pytest.importorskip('papermill')
    for k in ('ir','vi'): (tmp_path/'mine'/k).mkdir(parents=True)
    for f in list_images(folders/'vi').values(): (tmp_path/'mine'/'vi'/f.name).write_bytes(f.read_bytes())
    for f in list_images(folders/'ir').values():
        x = 290 + np.asarray(Image.open(f)).astype(np.float32)/8
        x[:9] = -9999
        Image.fromarray(x).save(tmp_path/'mine'/'ir'/f'{f.stem}.tif')
    papermill.execute_notebook(
        project_root() / 'nbs' / 'evaluate.ipynb',
        tmp_path / 'o.ipynb',
        kernel_name='python3',
        progress_bar=False,
        cwd=tmp_path,
        parameters=dict(
            datasets=str(tmp_path / 'mine'),
            methods='average,laplacian',
            fused=f"saved={folders / 'max'}",
            shown=1,
            out='out',
            stretch='0,100',
            nodata='-9999',
        ),
    )
    got = json.loads((tmp_path/'out'/'evaluate.json').read_text())
    assert {r['method']: r['images'] for r in got['means']['mine']} == {'average':4, 'laplacian':4, 'saved':4}
    rows = read_rows(tmp_path/'out'/'rows.csv')
    same = evaluate(tmp_path/'mine'/'ir', tmp_path/'mine'/'vi', folders/'max', metrics='VIF', stretch=(0, 100), nodata=-9999)
    assert len(rows) == 12 and [r['VIF'] for r in rows if r['method'] == 'saved'] == pytest.approx([r['VIF'] for r in same], abs=1e-5)
    assert (tmp_path/'out'/'grid-mine.png').stat().st_size > 5000
    assert not (project_root()/'out').exists() # outputs go where the caller is

def test_a_method_without_images_stops_the_notebook(tmp_path, folders):
    papermill = pytest.importorskip('papermill')
    (tmp_path/'empty').mkdir()
    with pytest.raises(papermill.PapermillExecutionError, match='no fused image of scenes for lost'):
        papermill.execute_notebook(
            project_root() / 'nbs' / 'evaluate.ipynb',
            tmp_path / 'o.ipynb',
            kernel_name='python3',
            progress_bar=False,
            cwd=tmp_path,
            parameters=dict(datasets='scenes', scenes=1, methods='average', fused=f"lost={tmp_path / 'empty'}"),
        )
