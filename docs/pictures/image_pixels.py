"""Draw image_pixels.png: the classes of the pixels of a photograph, which comes with scikit-learn."""

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy import array
from sklearn.datasets import load_sample_image

import dem

photograph = load_sample_image("china.jpg")
pixels = photograph.reshape(-1, 3) / 255.0
model = dem.GaussianMixture(4, random_state=0).fit(pixels)

figure = Figure(figsize=(9, 2.6), layout="constrained")
axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.4])
axes[0].imshow(photograph)
colours = array([to_rgb(dem.plot.style(k).colour) for k in range(4)])
axes[1].imshow(colours[model.predict(pixels).reshape(photograph.shape[:2])])
dem.plot.mixture(model, pixels, labels=["red", "green", "blue"], columns=(0, 2), ax=axes[2])
for ax, title in zip(axes, ["photograph", "most probable component", "pixels by component"], strict=True):
    ax.set_title(title, fontsize="medium")
for ax in axes[:2]:
    ax.set_axis_off()
figure.savefig("image_pixels.png", dpi=85)
