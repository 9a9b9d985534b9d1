"Boxes from files, and data sets that have them."
import os
import numpy as np
import pytest
import torch
from smfnet.data.datasets import find_pairs
from smfnet.data.images import write_image
from smfnet.data.scenes.render import render_scene, save_scenes
from smfnet.data.scenes.scene import M3FD_CLASSES
from smfnet.studies.boxes import BOX_SETS, _check_boxes, box_folders, find_boxed, mirror_boxes, read_boxes, read_voc, read_yolo, scene_boxes

XML = """<annotation><size><width>100</width><height>50</height><depth>3</depth></size><object><name>{}</name><bndbox>
<xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>45</ymax></bndbox></object></annotation>"""

def written(path, text): path.write_text(text); return path

def test_yolo_text(tmp_path):
    assert read_yolo(written(tmp_path/'a.txt', '0 0.2 0.5 0.2 0.8\n\n2 0.9 0.5 0.2 0.1\n'), ids=(0,2)).tolist() == [[0,.2,.5,.2,.8], [1,.9,.5,.2,.1]]
    assert read_yolo(written(tmp_path/'b.txt', ''), (0,2)).shape == (0,5)
    with pytest.raises(ValueError, match="line 1: '0 .2 .5 .2' should be"): read_yolo(written(tmp_path/'b.txt', '0 .2 .5 .2\n'), (0,))
    with pytest.raises(ValueError, match='with a class of 0, 2'): read_yolo(written(tmp_path/'b.txt', '7 .2 .5 .2 .2\n'), (0,2))

def test_voc_annotation_counts_from_one(tmp_path):
    assert np.allclose(read_voc(written(tmp_path/'a.xml', XML.format('People')), M3FD_CLASSES), [[0,.2,.5,.2,.8]])
    with pytest.raises(ValueError, match="the class 'cow'"): read_voc(written(tmp_path/'b.xml', XML.format('cow')), M3FD_CLASSES)
    with pytest.raises(ValueError, match='not whole XML'): read_voc(written(tmp_path/'b.xml', '<annotation><object>'), M3FD_CLASSES)
    with pytest.raises(ValueError, match='lacks size'): read_voc(written(tmp_path/'b.xml', '<annotation></annotation>'), M3FD_CLASSES)

def test_boxes_stay_in_the_image():
    with pytest.raises(ValueError, match='leaves the image'): _check_boxes([(0,.95,.5,.2,.1)], 'x')
    with pytest.raises(ValueError, match='empty'): _check_boxes([(0,.5,.5,0,.1)], 'x')
    assert _check_boxes([(0,.9,.5,.2,.1)], 'x').shape == (1,5)

def test_mirrored_boxes():
    box = torch.tensor([[0, .3, .5, .2, .1]])
    assert torch.allclose(mirror_boxes(box), torch.tensor([[0, .7, .5, .2, .1]])) and torch.allclose(mirror_boxes(mirror_boxes(box)), box)

def test_boxes_of_a_scene_are_those_of_its_file(tmp_path):
    save_scenes(tmp_path, 1, size=(64,96))
    s = render_scene(0, (64,96))
    assert np.allclose(scene_boxes(s), read_yolo(next((tmp_path/'boxes').glob('*.txt')), tuple(range(6))), atol=1e-3) and len(scene_boxes(s)) == len(s.boxes)

def test_m3fd_is_read_as_it_unpacks(tmp_path):
    with pytest.raises(ValueError, match='neither a folder nor'): box_folders('M4FD', tmp_path)
    save_scenes(tmp_path/'s', 2, size=(64,96))
    m = tmp_path/'M3FD_Detection'
    m.mkdir()
    for a,b in (('ir','Ir'), ('vi','Vis'), ('boxes','Annotation')): (tmp_path/'s'/a).rename(m/b)
    pairs,found,names = find_boxed('M3FD', tmp_path)
    assert [p.name for p in pairs] == ['00000','00001'] and names == M3FD_CLASSES
    assert np.allclose(found[0][0,3:]*[96,64], [(b.x1-b.x0, b.y1-b.y0) for b in render_scene(0, (64,96)).boxes][0], atol=1e-3)
    assert len(find_boxed(m)[0]) == 2 and read_boxes(m/'Annotation', 'no such scene', BOX_SETS['M3FD']).shape == (0,5)
    (m/'Annotation').rename(m/'labels')
    for f in (m/'labels').iterdir(): f.rename(f.with_stem(f.stem+'x'))
    with pytest.raises(ValueError, match='holds no box for any of the 2 pairs'): find_boxed(m)

@pytest.mark.parametrize('name', ['M3FD', 'LLVIP/train', 'LLVIP/test'])
def test_a_missing_data_set_names_its_page_and_layout(name, tmp_path):
    o = BOX_SETS[name]
    with pytest.raises(FileNotFoundError) as e: box_folders(name, tmp_path)
    assert all(w in str(e.value) for w in (o.source, o.ir+'/', o.vi+'/', o.boxes+'/'))

def test_llvip_is_read_as_it_unpacks(tmp_path):
    for o in ('infrared','visible'): write_image(tmp_path/'LLVIP'/o/'test'/'190001.jpg', np.full((16,20), .5, np.float32))
    (tmp_path/'LLVIP'/'Annotations').mkdir()
    (tmp_path/'LLVIP'/'Annotations'/'190001.xml').write_text('<annotation><size><width>20</width><height>16</height></size><object><name>person</name>'
        '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>8</ymax></bndbox></object></annotation>')
    pairs, boxes, classes = find_boxed('LLVIP/test', tmp_path)
    assert classes == ('person',) and pairs[0].name == '190001'
    np.testing.assert_allclose(boxes[0], [[0, .25, .25, .5, .5]])

@pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set')
def test_msrs_boxes_are_read_and_do_not_leak():
    train, test = find_boxed('MSRS/train'), find_boxed('MSRS/detection_test')
    assert len(test[0]) == 23 and sum(map(len, test[1])) == 51 and train[2] == ('person','car')
    assert not {p.name for p in train[0]} & {p.name for p in (*test[0], *find_pairs('MSRS/test'))}
