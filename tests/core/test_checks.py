"What is refused where an image enters."
import pytest
import torch
from smfnet.core.checks import check_image, check_same, check_unit

X = torch.rand(2,1,5,7)

def test_a_good_image_comes_back_as_it_is():
    assert check_image(X, 'ir') is X and check_unit(X) is X
    assert check_image(torch.rand(1,3,4,4), channels=None).shape[1] == 3 and check_image(X.half()).dtype == torch.half

@pytest.mark.parametrize('x, error, says', [
    (X[0],                  ValueError, r'ir must have the four axes .* \(1, 5, 7\)'),
    (torch.rand(2,3,5,7),   ValueError, r'ir must have c=1 .* \(2, 3, 5, 7\)'),
    ((X*255).byte(),        TypeError,  'ir must be floating point .* torch.uint8'),
    (X.numpy(),             TypeError,  'ir must be a torch tensor .* ndarray')])
def test_a_wrong_image_is_named(x, error, says):
    with pytest.raises(error, match=says): check_image(x, 'ir')

def test_two_sizes():
    check_same(X, X+1)
    with pytest.raises(ValueError, match=r'ir \(2, 1, 5, 7\) and vi \(2, 1, 5, 6\) differ'): check_same(X, X[...,:6])
    with pytest.raises(ValueError, match='fused .* and ir '): check_same(X, X[:1], 'fused', 'ir')

def test_range():
    check_unit(torch.tensor([-.00005, 1.00005]))   # rounding is forgiven
    for bad in (torch.tensor([-.001, .5]), torch.tensor([.5, 1.001]), X*255):
        with pytest.raises(ValueError, match='vi must lie in .*divide an 8-bit image by 255'): check_unit(bad, 'vi')

@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_not_finite(value):
    x = X.clone(); x[0,0,2,2] = value
    with pytest.raises(ValueError, match='vi contains NaN or infinity'): check_unit(x, 'vi')

def test_a_gradient_passes():
    x = X.clone().requires_grad_()
    check_unit(check_image(x)).sum().backward()
    assert (x.grad == 1).all()
