"""The benchmark of the evaluation measures its encoder and each number of inferences."""

from benchmarks.evaluate import INFERENCES, main, parsed


def test_each_number_of_inferences_has_a_row(tmp_path):
    assert parsed([]).out.name == "evaluate_cpu.csv"
    assert parsed(["--device", "cuda"]).out.name == "evaluate_gpu.csv"
    file = tmp_path / "rates.csv"
    main(["--samples", "6", "--size-px", "32", "--rounds", "1", "--out", str(file)])
    header, *rows = (line.split(",")[:2] for line in file.read_text().splitlines())
    assert header == ["what", "images_per_s"]
    assert [row[0] for row in rows] == ["encoder", *(f"evaluation_{n}" for n in INFERENCES)]
    assert all(float(row[1]) > 0 for row in rows)
