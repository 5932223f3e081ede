"""The words by which users ask for outputs of rows."""

import numpy as np
import pytest

from dem.em.row_output import RowOutput, TopOutput, deviation, filled, find_output, output_table

OUTPUTS = output_table(
    RowOutput("label", "the most probable component", np.dtype("i1")),
    TopOutput("top-index", "the most probable components", np.dtype("i1"), 3, most=5),
    filled(4, np.dtype("f4")),
    deviation(4, np.dtype("f4")),
)


@pytest.mark.parametrize(
    ("word", "dtype", "shape", "canonical"),
    [
        ("label", "i1", (7,), "label"),
        ("top-index", "i1", (7, 3), "top-index:3"),
        ("top-index:5", "i1", (7, 5), "top-index:5"),
        ("filled", "f4", (7, 4), "filled"),
        ("deviation:float64", "f8", (7, 4), "deviation"),
    ],
)
def test_a_word_is_an_output(word, dtype, shape, canonical):
    output = find_output(OUTPUTS, word)
    assert (output.dtype, output.shape(7), output.word) == (dtype, shape, canonical)
    assert output.row_bytes == np.empty(output.shape(1), output.dtype).nbytes


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("odds", "there is no output 'odds': choose one of label, top-index, filled, deviation"),
        ("label:3", "'label:3': 'label' has no variants, so write it without ':3'"),
        ("top-index:0", "'top-index:0': choose 1 to 5 of the 5 components, as in 'top-index:3'"),
        ("top-index:6", "choose 1 to 5"),
        ("top-index:", "choose 1 to 5"),
        (3, "the name of an output must be a text such as 'label', got 3"),
        ("filled:int8", "'filled:int8': choose float16, float32 or float64, as in 'filled:float32'"),
    ],
)
def test_a_word_that_is_no_output_is_refused(word, said):
    with pytest.raises(ValueError, match=said):
        find_output(OUTPUTS, word)
