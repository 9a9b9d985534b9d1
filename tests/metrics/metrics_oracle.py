"""The nine fusion metrics again, one image at a time, straight from their definitions.

Written to be read beside a formula and not to be fast: numpy, `scipy.signal.convolve2d` and scikit-image, nothing
shared between two metrics, nothing imported from the package. Images are (h w) arrays of grey levels 0...255.
"""
import numpy as np
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity


def grey(x):
    "[0, 1] or uint8 image to rounded grey levels in float64."
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype == np.uint8 else np.round(x.astype(np.float64) * 255)


def EN(f, base='bits'):
    p = np.histogram(f, bins=256, range=(-.5, 255.5))[0] / f.size
    p = p[p > 0]
    return max(0., float(-np.sum(p * (np.log2(p) if base == 'bits' else np.log(p)))))


def SD(f, ddof=0):
    return float(np.std(f, ddof=ddof))


def SF(f, convention='paper'):
    rows, cols = np.diff(f, axis=1) ** 2, np.diff(f, axis=0) ** 2
    if convention == 'textbook': return float(np.sqrt(rows.sum() / f.size + cols.sum() / f.size))
    return float(np.sqrt(rows.mean() + cols.mean()))


def mutual_information(a, b):
    joint = np.histogram2d(a.ravel(), b.ravel(), bins=256, range=[[-.5, 255.5]] * 2)[0] / a.size
    pa, pb = joint.sum(1), joint.sum(0)
    seen = joint > 0
    return max(0., float(np.sum(joint[seen] * np.log(joint[seen] / np.outer(pa, pb)[seen]))))


def MI(f, ir, vi, base='nats'):
    mi = mutual_information(f, ir) + mutual_information(f, vi)
    return mi / np.log(2) if base == 'bits' else mi


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    n = np.sqrt((a ** 2).sum()) * np.sqrt((b ** 2).sum())
    return float((a * b).sum() / n) if n > 1e-9 else 0.


def SCD(f, ir, vi):
    return correlation(f - vi, ir) + correlation(f - ir, vi)


def gaussian(n, sigma):
    i = np.arange(n) - (n - 1) / 2
    k = np.exp(-(i[:, None] ** 2 + i[None] ** 2) / (2 * sigma ** 2))
    return k / k.sum()


def vif_one(ref, dist, sigma_n2=2., tiny=1e-10):
    ref, dist = ref - ref.mean(), dist - dist.mean()    # variances do not change, their rounding errors shrink
    num = den = 0.
    for scale in range(1, 5):
        n = 2 ** (5 - scale) + 1
        w = gaussian(n, n / 5)
        if scale > 1:
            ref = convolve2d(ref, w, mode='valid')[::2, ::2]
            dist = convolve2d(dist, w, mode='valid')[::2, ::2]
        m1, m2 = convolve2d(ref, w, mode='valid'), convolve2d(dist, w, mode='valid')
        v1 = np.maximum(convolve2d(ref * ref, w, mode='valid') - m1 * m1, 0)
        v2 = np.maximum(convolve2d(dist * dist, w, mode='valid') - m2 * m2, 0)
        v12 = convolve2d(ref * dist, w, mode='valid') - m1 * m2
        g = v12 / (v1 + tiny)
        sv = v2 - g * v12
        flat = v1 < tiny
        g[flat], sv[flat], v1[flat] = 0, v2[flat], 0
        flat = v2 < tiny
        g[flat], sv[flat] = 0, 0
        sv[g < 0] = v2[g < 0]
        g[g < 0] = 0
        sv[sv < tiny] = tiny
        num += np.sum(np.log10(1 + g ** 2 * v1 / (sv + sigma_n2)))
        den += np.sum(np.log10(1 + v1 / sigma_n2))
    return float(num / den) if den > 1e-7 else 0.


def VIF(f, ir, vi, combine='sum'):
    return (vif_one(ir, f) + vif_one(vi, f)) / (2 if combine == 'mean' else 1)


SOBEL_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOBEL_Y = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])


def edges(x):
    sx, sy = convolve2d(x, SOBEL_X, mode='same'), convolve2d(x, SOBEL_Y, mode='same')
    angle = np.full_like(sx, np.pi / 2)
    ok = sx != 0
    angle[ok] = np.arctan(sy[ok] / sx[ok])
    return np.sqrt(sx ** 2 + sy ** 2), angle


def preserved(ga, aa, gf, af, convention):
    G = np.zeros_like(ga)
    more, less, same = ga > gf, ga < gf, ga == gf
    G[more], G[less] = gf[more] / ga[more], ga[less] / gf[less]
    G[same] = gf[same] if convention == 'paper' else 1
    d = np.abs(aa - af)
    A = 1 - d / (np.pi / 2) if convention == 'paper' else np.abs(d - np.pi / 2) / (np.pi / 2)
    return 0.9994 / (1 + np.exp(-15 * (G - .5))) * 0.9879 / (1 + np.exp(-22 * (A - .8)))


def Qabf(f, ir, vi, convention='paper'):
    (gf, af), (gi, ai), (gv, av) = edges(f), edges(ir), edges(vi)
    qi, qv = preserved(gi, ai, gf, af, convention), preserved(gv, av, gf, af, convention)
    total = np.sum(gi + gv)
    return float(np.sum(qi * gi + qv * gv) / total) if total > 0 else 0.


def AG(f, convention='paper'):
    gy, gx = np.gradient(f)
    return float(np.mean(np.sqrt((gx ** 2 + gy ** 2) / (2 if convention == 'textbook' else 1))))


def SSIM(f, ir, vi, data_range=2, window='uniform', combine='sum'):
    o = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False) if window == 'gaussian' else {}
    total = sum(structural_similarity(s, f, data_range=data_range, **o) for s in (ir, vi))
    return float(total) / (2 if combine == 'mean' else 1)


def score(f, ir, vi):
    "All nine by name, in the order of the package's table."
    return dict(EN=EN(f), SD=SD(f), SF=SF(f), MI=MI(f, ir, vi), SCD=SCD(f, ir, vi), VIF=VIF(f, ir, vi),
                Qabf=Qabf(f, ir, vi), AG=AG(f), SSIM=SSIM(f, ir, vi))
