"""Draw house_prices.png: two cities in one list of prices. Run with the path of california_housing.csv."""

import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import dem

table = pd.read_csv(sys.argv[1])
cities = ((37.33, -121.89), (36.75, -119.78))  # San José and Fresno
near = [np.hypot(table.latitude - lat, 0.8 * (table.longitude - lon)) < 0.12 for lat, lon in cities]
districts = table[(near[0] | near[1]) & (table.median_house_value < 500_000)]  # higher prices are cut off
prices = pd.DataFrame({"median price in a district (1,000 dollars)": districts.median_house_value / 1000})

found = dem.select(prices, dem.Mixture(family="lognormal", random_state=0), n_components=range(1, 7))
figure = Figure(figsize=(10.5, 4), layout="constrained")
left, right = figure.subplots(1, 2)
dem.plot.densities(found.best_estimator_, prices, ax=left)
dem.plot.criterion(found, ax=right)
figure.savefig("house_prices.png", dpi=100)
