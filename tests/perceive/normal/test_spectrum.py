"""Energies by octave: as specified, physical, and the same wherever a stream is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.errors import UsageError
from sightline.perceive.normal import spectrum_kernels, spectrum_reference
from sightline.perceive.normal.spectrum import octave_spectrum

SAMPLES = arrays(
    np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32) | st.just(np.nan)
)
WIDTHS = st.sampled_from([(4,), (8, 16), (4, 32)])


@given(values=SAMPLES, width=st.sampled_from([4, 8, 16, 32]), bands=st.integers(1, 6))
def test_the_kernel_is_what_is_specified(values, width, bands):
    ends = np.arange(len(values))
    np.testing.assert_allclose(
        spectrum_kernels.octave_energies(values, ends, width, bands),
        spectrum_reference.octave_energies(values, ends, width, bands),
        rtol=1e-7,
        atol=1e-7,
    )


@given(values=SAMPLES, widths=WIDTHS, data=st.data())
def test_a_stream_that_is_cut_anywhere_has_the_same_spectra(values, widths, data):
    cut = data.draw(st.integers(0, len(values)))
    whole = octave_spectrum(values, widths=widths)
    parts = [
        octave_spectrum(values[:cut], widths=widths),
        octave_spectrum(values[cut:], widths=widths, before=values[:cut]),
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(values=SAMPLES, step=st.integers(1, 7))
def test_looking_less_often_gives_the_same_at_each_look(values, step):
    np.testing.assert_array_equal(
        octave_spectrum(values, widths=(8,), step=step),
        octave_spectrum(values, widths=(8,))[::step],
    )


@pytest.mark.parametrize(("periods", "octave"), [(1.5, 0), (6.5, 2), (12, 3), (24, 4), (48, 5)])
def test_a_sine_is_in_the_octave_of_its_periods_and_has_its_energy(periods, octave):
    wave = 2.0 * np.sin(2 * np.pi * periods * np.arange(128) / 128)
    found = octave_spectrum(wave, widths=(128,))[-1, 0]
    assert np.argmax(found) == octave
    assert np.sqrt((found**2).sum()) == pytest.approx(2.0 / np.sqrt(2), rel=0.15)


def test_all_octaves_of_noise_add_up_to_its_variance():
    values = np.random.default_rng(0).normal(0, 3.0, 4096)
    energy = (octave_spectrum(values, widths=(64,), step=16)[4:, 0] ** 2).sum(axis=1)
    assert energy.mean() == pytest.approx(9.0, rel=0.1)


def test_a_level_has_no_spectrum_however_high_it_is():
    assert np.nanmax(octave_spectrum(np.full(200, 1e6))) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"widths": ()}, {"widths": (6,)}, {"widths": (8, 4)}, {"step": 0}]
)
def test_other_widths_and_steps_are_refused(wrong):
    with pytest.raises(UsageError, match="octave_spectrum"):
        octave_spectrum(np.ones(10), **wrong)
