"A box and its line in a label file."
from smfnet.data.scenes.scene import Box, M3FD_CLASSES, MFNET_CLASSES

def test_yolo():
    "Centre and size as fractions of the picture, width before height."
    assert Box(1, 10, 20, 30, 60).yolo(100, 200) == '1 0.100000 0.400000 0.100000 0.400000'

def test_vocabularies():
    assert len(MFNET_CLASSES) == 9 and MFNET_CLASSES[2] == 'person' and M3FD_CLASSES[0] == 'People'
