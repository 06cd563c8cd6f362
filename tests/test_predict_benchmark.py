"""The benchmark of predict measures its encoder and itself, and writes a row for each."""

from benchmarks.predict.__main__ import Case, parsed, rates
from benchmarks.rates import write_rates


def test_each_case_has_two_rows(tmp_path):
    options = parsed(["--rounds", "1"])
    assert options.out.name == "predict_cpu.csv"
    assert parsed(["--device", "cuda"]).out.name == "predict_gpu.csv"
    found = rates(Case("squeezenet1_1", 32, 6), options, tmp_path)
    write_rates(tmp_path / "rates.csv", found, "here")
    header, *rows = (line.split(",") for line in (tmp_path / "rates.csv").read_text().splitlines())
    assert header == ["what", "images_per_s", "machine"]
    assert [row[0] for row in rows] == ["bare_encoder_squeezenet1_1_32", "predict_squeezenet1_1_32"]
    assert all(float(row[1]) > 0 and row[2] == "here" for row in rows)
