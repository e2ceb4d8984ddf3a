"""A job as a notebook shows it."""

from __future__ import annotations

from estimator_client.display import curve_svg, job_html

JOB = {
    "id": "job_1",
    "type": "train",
    "state": "SUCCEEDED",
    "model": "<b>",
    "progress": {"step": 20, "loss": 0.5},
    "result": {"version": 3},
    "error": None,
}


def test_job_shows_its_state_and_escapes_what_others_named() -> None:
    html = job_html(JOB, {})

    assert "SUCCEEDED" in html
    assert "&lt;b&gt;" in html
    assert "<b>job" not in html


def test_curve_goes_from_the_first_to_the_last_step() -> None:
    # 320 by 120 with a margin of 6: step 0 of 10 is x 6, step 10 is x 314; the least value 1 is y 114, 3 is y 6
    points = [{"step": 0, "value": 3.0}, {"step": 5, "value": None}, {"step": 10, "value": 1.0}]

    svg = curve_svg("loss", points)

    assert "points='6.0,6.0 314.0,114.0'" in svg
    assert "loss: 1 to 3, steps 0 to 10" in svg


def test_a_single_point_is_no_curve() -> None:
    assert curve_svg("loss", [{"step": 0, "value": 3.0}]) == ""
